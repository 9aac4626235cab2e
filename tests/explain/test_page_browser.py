"""The page in a real browser: it opens without a complaint, and shows what Python says."""

import os
import re
import shutil

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import explain, nn
from tinygrad_rnn.explain.look import PALETTE, figure
from tinygrad_rnn.nn import functional as F

WHERE = "chromium chromium-browser google-chrome google-chrome-stable".split()  # noqa: SIM905
HOW = "pip install 'tinygrad-rnn[browser]' and playwright install chromium (or a Chromium in PATH)"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason=f"needs a browser: {HOW}")
    with sync_api.sync_playwright() as playwright:
        path = playwright.chromium.executable_path
        if not os.path.exists(path):
            path = next(filter(None, map(shutil.which, WHERE)), None)
        if path is None:
            pytest.skip(f"needs a browser: {HOW}")
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page from disk; what it complains about fails the test."""
    complaints, pages = [], []

    def opened(page, scheme="light", width=1440):
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(page.html, "utf-8")
        view = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
        view.on("console", lambda message: complaints.append(message.text))
        view.on("pageerror", lambda error: complaints.append(str(error)))
        view.on("request", lambda request: complaints.append(request.url)
                if not request.url.startswith("file:") else None)  # fmt: skip
        view.goto(path.as_uri())
        pages.append(view)
        return view

    yield opened
    for view in pages:
        view.close()
    assert complaints == []


def made(rng, T, kind=nn.LSTM, layers=2):
    model = nn.ModuleList([kind(3, 4, layers), nn.Linear(4, 5)])
    with explain.watch(model):
        outputs, _ = model[0](tg.tensor(rng.standard_normal((T, 2, 3)).astype(np.float32)))
        return model, F.cross_entropy(model[1](outputs).flatten(0, 1), [1] * (2 * T))


def nodes(view):
    return view.locator(".lens .node")


def at(view, name):
    return view.locator(f"#numbers [data-{name}]").first.inner_text()


def test_all_lines_of_a_short_tape_are_there(visit, rng):
    model, loss = made(rng, 5)
    view = visit(explain.page(loss, model=model))
    lines = explain.grid(loss, model).lines
    assert nodes(view).count() == len(lines)
    assert view.locator(".lens .leaf").count() == len(lines.leaves)
    assert view.locator("h1").inner_text() == explain.grid(loss).title
    labels = view.locator(".lens .time").all_text_contents()
    assert labels == [f"t = {t}" for t in range(5)]
    assert view.locator(".pan").is_hidden()


def test_pointing_at_nodes_shows_the_numbers_of_python(visit, rng):
    model, loss = made(rng, 3)
    view, grid = visit(explain.page(loss, model=model)), explain.grid(loss, model)
    for i in range(0, len(grid.lines), 7):
        node = grid.lines.nodes[i]
        view.locator(f'.lens .node[data-line="{i}"]').hover()
        assert at(view, "shown").split("\n")[0] == node.op.__name__
        assert float(at(view, "gradient")) == pytest.approx(grid.flow.at[i], rel=1e-3)
        shown = view.locator("#numbers [data-edge]").all_inner_texts()
        assert len(shown) == min(len(grid.lines.uses[i]), 6)
        for text, use in zip(shown, grid.lines.uses[i], strict=False):
            g = float(re.search(r"dL/d\S+ (\S+) to", text)[1])
            assert g == pytest.approx(grid.flow.leaving[i][use.input], rel=1e-3)
        if len(node.outputs) == 1:
            assert at(view, "shape") == str(node.outputs[0][0])
            known = grid.flow.values.get((i, 0))
            text = view.locator("#numbers").inner_text()
            if known is None:
                assert "not kept" in text
            else:
                mean = float(re.search(r"mean (\S+),", text)[1])
                assert mean == pytest.approx(known.mean, rel=1e-3, abs=1e-9)


def test_gradients_that_meet_are_told_from_those_of_several_outputs(visit, rng):
    model, loss = made(rng, 3)
    view, grid = visit(explain.page(loss, model=model)), explain.grid(loss)
    ops = [node.op.__name__ for node in grid.lines.nodes]
    cut = ops.index("unbind")
    view.locator(f'.lens .node[data-line="{cut}"]').hover()
    assert "at its 3 outputs together" in view.locator("#numbers").inner_text()
    users = grid.lines.users
    met = next(i for i in range(len(ops)) if len(users.get((i, 0), ())) == 2)
    view.locator(f'.lens .node[data-line="{met}"]').hover()
    lines = ", ".join(str(use.line) for use in reversed(users[met, 0]))
    text = view.locator("#numbers").inner_text()
    assert f"2 gradients met and were added: from lines {lines}" in text


def test_pointing_at_a_weight_shows_its_gradient(visit, rng):
    model, loss = made(rng, 3)
    view = visit(explain.page(loss, model=model))
    view.locator('.leaf[aria-label^="0.cells.1.gates.weight,"]').hover()
    loss.backward()
    gradient = model[0].cells[1].gates.weight.grad.data
    assert float(at(view, "gradient")) == pytest.approx(np.linalg.norm(gradient), rel=1e-3)
    assert "used 3 times" in view.locator("#numbers").inner_text()


def test_the_slider_walks_back(visit, rng):
    model, loss = made(rng, 4)
    view, lines = visit(explain.page(loss, model=model)), explain.grid(loss).lines
    later = view.locator(".lens .node.later")
    assert later.count() == 0
    view.locator("#walk").fill("0")
    assert later.count() == len(lines)
    view.locator("#walk").fill("10")
    assert later.count() == len(lines) - 10
    now = view.locator(".lens .node.now")
    assert int(now.get_attribute("data-line")) == len(lines) - 10
    assert now.locator("rect").evaluate("e => getComputedStyle(e).fill") != "rgb(255, 255, 255)"
    assert at(view, "shown").split("\n")[0] == lines.nodes[len(lines) - 10].op.__name__
    assert view.locator("#where").inner_text() == f"10 of {len(lines)}"
    lit = view.locator(".lens .edge:not(.later)")
    assert {int(e.get_attribute("data-line")) >= len(lines) - 10 for e in lit.all()} == {True}


def test_keys_walk_by_line_by_time_step_and_to_the_ends(visit, rng):
    model, loss = made(rng, 4)
    view, lines = visit(explain.page(loss, model=model)), explain.grid(loss, model).lines
    done = lambda: int(view.locator("#walk").input_value())
    for key, expected in [("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)]:
        view.keyboard.press(key)
        assert done() == expected
    view.keyboard.press("Shift+ArrowRight")  # from the loss to the last step of the upper layer
    first = lines.nodes[len(lines) - done()]
    assert str(first.place) == "0.cells.1[3]"
    view.keyboard.press("Shift+ArrowRight")
    assert str(lines.nodes[len(lines) - done()].place) == "0.cells.1[2]"
    view.keyboard.press("Shift+ArrowLeft")
    assert str(lines.nodes[len(lines) - done()].place).endswith("[3]")
    view.keyboard.press("End")
    assert done() == len(lines)
    view.keyboard.press(" ")
    view.wait_for_function("+document.getElementById('walk').value > 3")
    view.keyboard.press(" ")
    assert 3 < done() < len(lines)


def test_nodes_and_weights_can_be_reached_with_tab(visit, rng):
    model, loss = made(rng, 2, nn.RNN, 1)
    view = visit(explain.page(loss, model=model))
    seen = set()
    for _ in range(60):
        view.keyboard.press("Tab")
        label = view.evaluate("document.activeElement.getAttribute('aria-label')")
        focused = view.evaluate("document.activeElement.dataset.key")
        if focused:
            seen.add(focused)
            assert at(view, "shown").split("\n")[0] in label
    lines = explain.grid(loss).lines
    expected = {f"n{i}" for i in range(len(lines))} | {f"w{k}" for k in range(len(lines.leaves))}
    assert seen == expected


def test_a_long_sequence_is_shown_in_parts(visit, rng):
    model, loss = made(rng, 50)
    view = visit(explain.page(loss, model=model))
    assert nodes(view).count() < 300
    assert view.locator(".strip .heat").count() == 100
    labels = lambda: view.locator(".lens .time").all_text_contents()
    assert "t = 0" in labels()
    view.locator(".pan input").fill("30")
    assert {"t = 30", "t = 31"} <= set(labels())
    assert "t = 3" not in labels()
    strip = view.locator(".strip").bounding_box()
    view.mouse.click(strip["x"] + strip["width"] - 3, strip["y"] + 4)
    assert "t = 49" in labels()
    view.keyboard.press("Home")
    view.locator("#walk").fill("700")  # the walk is followed
    now = view.locator(".lens .node.now").bounding_box()
    assert 0 < now["x"] < 1440


@pytest.mark.slow
def test_a_thousand_steps_are_usable(visit, rng):
    model, loss = made(rng, 1000)
    view = visit(explain.page(loss, model=model))
    assert nodes(view).count() < 300
    assert view.locator(".strip .heat").count() <= 2 * 1000
    view.locator("#walk").fill("20000")
    assert view.locator(".lens .node.now").count() == 1


def test_two_tapes_walk_together(visit, rng):
    (_, a), (_, b) = made(rng, 6, nn.RNN, 1), made(rng, 6, nn.LSTM, 1)
    view = visit(explain.page(a, other=b, names=["RNN", "LSTM"]))
    assert view.locator("h2").all_inner_texts() == ["RNN", "LSTM"]
    left, right = (box.bounding_box() for box in view.locator(".figure").all())
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    lengths = [len(explain.grid(loss).lines) for loss in (a, b)]
    view.locator("#walk").fill(str(max(lengths) // 2))
    later = [figure.locator(".node.later").count() for figure in view.locator(".figure").all()]
    total = [figure.locator(".node").count() for figure in view.locator(".figure").all()]
    assert all(0 < part < whole for part, whole in zip(later, total, strict=True))
    first, second = (int(n) for n in re.findall(r"(\d+) of", view.locator("#where").inner_text()))
    assert first / lengths[0] == pytest.approx(second / lengths[1], abs=0.01)


def luminance(colour):
    parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """How far two colours are apart.  Source: WCAG 2, which asks 4.5 for text and 3 for lines."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_on_light_and_on_dark_paper(scheme, visit, rng):
    model, loss = made(rng, 3)
    view = visit(explain.page(loss, model=model), scheme)
    colour = lambda where, what: view.locator(where).first.evaluate(
        f"e => getComputedStyle(e).{what}"
    )
    paper, card = colour("body", "backgroundColor"), colour("#dock", "backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for text in ("h1", ".lead", ".kicker", ".legend span"):
        assert contrast(colour(text, "color"), paper) > 4.5, text
    for family in {"product", "curve", "arithmetic", "total", "shape"} & set(PALETTE):
        node = f".lens .node.{family}"
        assert contrast(colour(f"{node} text", "fill"), colour(f"{node} rect", "fill")) > 4.5
    view.keyboard.press("ArrowLeft")
    for text in ("h3", "h4", ".soft", "code"):
        assert contrast(colour(f"#dock {text}", "color"), card) > 4.5, text
    ends = [luminance(colour(f".legend u:nth-child({k})", "backgroundColor")) for k in (1, 9)]
    assert abs(ends[1] - luminance(paper)) > abs(ends[0] - luminance(paper)) + 0.3


def test_a_compiled_layer_says_how_to_look_inside(needs_numba, visit, rng):
    outputs, _ = nn.RNN(3, 4)(tg.tensor(rng.standard_normal((9, 2, 3)).astype(np.float32)))
    loss = outputs.sum()
    view = visit(explain.page(loss))
    text = view.locator(".lens").text_content()
    assert "9 steps, one compiled line" in text
    assert "with tg.compiled(False):" in text
    view.locator('.node[data-line="0"]').hover()
    assert at(view, "gradient") == figure(explain.grid(loss).flow.at[0])


def test_a_tape_without_time_is_shown(visit, rng):
    layers = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 1))
    view = visit(explain.page(layers(tg.ones(2, 3)).sum()))
    assert nodes(view).count() == 15
    assert view.locator(".strip").is_hidden()


def test_gradients_that_are_no_numbers_are_shown_as_such(visit, rng):
    x = tg.tensor([1.0, -1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        page = explain.page((x.log() * x).sum())
    view = visit(page)
    assert view.locator(".edge.bad").count() > 0
    view.locator(".node", has_text="log").hover()
    assert "NaN" in view.locator("#numbers").inner_text()


def test_it_works_on_a_narrow_screen(visit, rng):
    model, loss = made(rng, 5)
    view = visit(explain.page(loss, model=model), width=420)
    assert view.evaluate("document.documentElement.scrollWidth") <= 420
    view.locator("#walk").fill("40")
    assert view.locator(".lens .node.now").count() == 1
