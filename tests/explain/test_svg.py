"""The picture as SVG: complete, well formed, and nothing is changed by drawing it."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.look import figure

NAME = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def model():
    return nn.ModuleList([nn.LSTM(3, 4, 2), nn.Linear(4, 1)])


def loss_of(model, rng, T):
    with tg.compiled(False):
        outputs, _ = model[0](tg.tensor(rng.standard_normal((T, 2, 3)).astype(np.float32)))
        return model[1](outputs).square().sum()


def parts(text, kind):
    found = ElementTree.fromstring(text).iter(NAME + "g")
    return [g for g in found if g.get("class", "").split()[:1] == [kind]]


def titles(text, kind):
    return [
        g.find(NAME + "title").text for g in parts(text, kind) if g.find(NAME + "title") is not None
    ]


def test_every_line_of_a_short_tape_is_a_node_that_says_its_gradient(model, rng):
    loss = loss_of(model, rng, 4)
    grid = explain.grid(loss, model)
    nodes = titles(grid.svg(), "node")
    expected = [
        f"{node.op.__name__}, .*{re.escape(figure(g))}"
        for node, g in zip(grid.lines.nodes, grid.flow.at, strict=True)
    ]
    assert len(nodes) == len(expected)
    for pattern in expected:
        assert any(re.fullmatch(pattern, text) for text in nodes), pattern


def test_every_weight_stands_once(model, rng):
    text = explain.svg(loss_of(model, rng, 4), model=model)
    names = [title.split()[0] for title in titles(text, "leaf")]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


def test_of_a_long_tape_the_ends_are_drawn(model, rng):
    loss = loss_of(model, rng, 30)
    text = explain.svg(loss)
    labels = [e.text for e in ElementTree.fromstring(text).iter(NAME + "text")]
    assert [label for label in labels if label.startswith("t =")] == [
        "t = 0", "t = 1", "t = 28", "t = 29",
    ]  # fmt: skip
    assert "· · ·" in labels
    chosen = explain.svg(loss, steps=[3, 4])
    assert "t = 3<" in chosen
    assert "t = 0<" not in chosen
    with pytest.raises(IndexError, match="there is no step 30; expected 0 to 29"):
        explain.svg(loss, steps=[30])


def test_the_file_holds_what_is_returned(model, rng, tmp_path):
    loss = loss_of(model, rng, 3)
    text = explain.svg(loss, tmp_path / "tape.svg", model=model)
    assert (tmp_path / "tape.svg").read_text("utf-8") == text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_drawing_changes_nothing(model, rng):
    loss = loss_of(model, rng, 3)
    lines = explain.grid(loss).lines
    before = [(node.pullback, node.edges, node.outputs) for node in lines.nodes]
    explain.svg(loss)
    assert [(node.pullback, node.edges, node.outputs) for node in lines.nodes] == before
    assert all(p.grad is None for p in model.parameters())


def test_gradients_that_are_zero_or_no_numbers_look_different(rng):
    x = tg.tensor([1.0, -1.0], requires_grad=True)
    zero = explain.svg((x * 0.0).sum())
    assert 'class="edge zero"' in zero
    with np.errstate(all="ignore"):
        broken = explain.svg((x.log() * x).sum())
    assert 'class="edge bad"' in broken


def test_names_cannot_break_the_file(rng):
    class Odd(nn.Module):
        def __init__(self):
            setattr(self, "<&>", nn.Linear(2, 1))

        def forward(self, x):
            return getattr(self, "<&>")(x)

    model = Odd()
    text = explain.svg(model(tg.ones(3, 2)).sum(), model=model)
    assert "<&>.weight (1, 2)" in " ".join(titles(text, "leaf"))


def test_compiled_layers_say_how_to_look_inside(needs_numba, rng):
    outputs, _ = nn.RNN(3, 4)(tg.tensor(rng.standard_normal((5, 2, 3)).astype(np.float32)))
    text = explain.svg(outputs.sum())
    assert "5 steps, one compiled line" in text
    assert "with tg.compiled(False):" in text


def test_a_tape_without_time_is_drawn(rng):
    layers = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 1))
    text = explain.svg(layers(tg.ones(2, 3)).sum())
    assert len(titles(text, "node")) == 15
    assert len(titles(text, "leaf")) == 6
