"""The page as text: one file that holds all it needs, and says what Python says."""

import json
import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.nn import functional as F


def trained(rng, T, kind=nn.LSTM, layers=2):
    model = nn.ModuleList([kind(3, 8, layers), nn.Linear(8, 5)])
    with explain.watch(model):
        outputs, _ = model[0](tg.tensor(rng.standard_normal((T, 2, 3)).astype(np.float32)))
        return model, F.cross_entropy(model[1](outputs).flatten(0, 1), [1] * (2 * T))


def data_of(page):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.html, re.S)
    return json.loads(text[1])


def test_the_page_is_one_file_without_a_network(rng, tmp_path):
    model, loss = trained(rng, 5)
    page = explain.page(loss, tmp_path / "tape.html", model=model)
    text = (tmp_path / "tape.html").read_text("utf-8")
    assert text == page.html
    text = text.replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|src=|<link|@import|url\(|fetch\(", text)
    assert "{{" not in text


def test_fifty_steps_are_far_less_than_two_megabytes(rng):
    model, loss = trained(rng, 50)
    assert len(explain.page(loss, model=model).html.encode()) < 400_000


def test_the_numbers_are_those_of_the_walk(rng):
    model, loss = trained(rng, 4)
    grid = explain.grid(loss, model)
    (scene,) = data_of(explain.page(loss, model=model))["scenes"]
    assert scene["gradient"] == pytest.approx(grid.flow.at, rel=1e-3)
    assert [scene["ops"][op][0] for op in scene["op"]] == [
        node.op.__name__ for node in grid.lines.nodes
    ]
    for i, edges in enumerate(scene["edges"]):
        assert [(k, parent) for k, parent, *_ in edges] == [
            (use.input, use.parent) for use in grid.lines.uses[i]
        ]
    loss.backward()
    named = {leaf["name"]: leaf["gradient"] for leaf in scene["leaves"]}
    for name, parameter in model.named_parameters():
        assert named[name] == pytest.approx(np.linalg.norm(parameter.grad.data), rel=1e-3)


def test_drawing_changes_nothing(rng):
    model, loss = trained(rng, 3)
    lines = explain.grid(loss).lines
    before = [(node.pullback, node.edges, node.outputs) for node in lines.nodes]
    explain.page(loss, other=loss)
    assert [(node.pullback, node.edges, node.outputs) for node in lines.nodes] == before
    assert all(p.grad is None for p in model.parameters())


def test_two_tapes_have_one_scale_and_names(rng):
    (_, a), (_, b) = trained(rng, 6, nn.RNN, 1), trained(rng, 6)
    data = data_of(explain.page(a, other=b, names=["RNN", "LSTM"]))
    assert data["names"] == ["RNN", "LSTM"]
    first, second = data["scenes"]
    assert first["scale"] == second["scale"]
    assert len(data_of(explain.page(a, other=b))["names"]) == 2
    with pytest.raises(ValueError, match="expected 2 names, one for each loss; got 1"):
        explain.page(a, other=b, names=["RNN"])


def test_no_name_breaks_out_of_the_page(rng):
    model = nn.ModuleList([nn.Linear(2, 1)])
    setattr(model, "</script><b>", nn.Linear(2, 1))
    loss = (model[0](tg.ones(3, 2)) + getattr(model, "</script><b>")(tg.ones(3, 2))).sum()
    page = explain.page(loss, model=model, names=["<i>one</i>"])
    assert "</script><b>" not in page.html
    assert "<i>" not in page.html
    assert "</script><b>.weight" in [leaf["name"] for leaf in data_of(page)["scenes"][0]["leaves"]]


def test_what_is_no_number_can_be_written(rng):
    x = tg.tensor([1.0, -1.0, 0.0], requires_grad=True)
    with np.errstate(all="ignore"):
        page = explain.page((x.log() * x).sum())
    (scene,) = data_of(page)["scenes"]
    assert scene["gradient"][0] == "nan" or scene["leaves"][0]["gradient"] == "nan"


def test_notebooks_get_it_in_a_frame(rng):
    _, loss = trained(rng, 2)
    page = explain.page(loss)
    assert page._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert repr(page) == f"<page of {len(page.html) / 1e3:,.0f} kB>"
