"""Tagging Python source: what `tokenize` says of a character, and that both directions help."""

import keyword

import numpy as np
import pytest


@pytest.fixture
def highlight(demo):
    return demo("highlight")


def letters(highlight, source):
    return "".join(highlight.CLASSES[i][0] for i in highlight.classes(source))


@pytest.mark.parametrize(
    ("source", "classes"),
    [
        ("if f (1):  # é", "kkbcbonoobbccc"),
        ("x = 'a\\\nb'\nfg(y)", "nbobssssssbccono"),
        ('x = """a\n  b"""\nreturn', "nbobsssssssssssbkkkkkk"),
    ],
)
def test_characters_have_the_class_of_their_token(highlight, source, classes):
    assert letters(highlight, source) == classes


def test_every_character_of_the_programs_has_its_class(highlight):
    learnt, held = highlight.programs()
    assert len(learnt) > 5 * len(held) > 0
    assert set(learnt).isdisjoint(held)
    ids, tags = highlight.encoded(held)
    source = "".join(held)
    assert len(ids) == len(tags) == len(source)
    words = "".join(c if tags[i] == 1 else " " for i, c in enumerate(source)).split()
    assert len(words) > 500
    assert all(map(keyword.iskeyword, words))


def test_both_networks_have_as_many_weights_in_their_gates(highlight):
    counts = []
    for name, units in highlight.UNITS.items():
        model = highlight.Tagger(units, name == "both ways")
        weights = [p for n, p in model.recurrent.named_parameters() if "weight" in n]
        counts.append(sum(p.numel() for p in weights))
    assert counts == [49_152, 49_152]


def test_all_characters_are_coloured_in_their_order(highlight, rng):
    model = highlight.Tagger(8, bidirectional=False)
    ids = rng.integers(0, 100, 2 * highlight.PIECE + 7)
    tags = highlight.coloured(model, ids)
    assert tags.shape == ids.shape
    again = highlight.coloured(model, ids[highlight.PIECE :])
    np.testing.assert_array_equal(tags[highlight.PIECE :], again)


def test_mistakes_are_marked_below_their_line(highlight):
    name, string = highlight.CLASSES.index("name"), highlight.CLASSES.index("string")
    found, right = np.array([name, string, name, name, name]), np.full(5, name)
    text = highlight.painted("ab\ncd", found, right)
    assert text.plain == "ab\n ^\ncd"
    assert [str(span.style) for span in text.spans][1] == "green"


def test_a_tiny_budget_runs_through_and_is_honest(run, highlight, monkeypatch):
    learnt, held = highlight.programs()
    monkeypatch.setattr(highlight, "programs", lambda: (learnt[:3], held[:1]))
    ran = run("highlight", "--seconds", "0.1")
    assert ran.code == 0
    assert ran.missed == ["its mistakes are more than 50% of the other's"]
    assert set(ran.figures["right by class"]["both ways"]) >= {"keyword", "call", "string"}


@pytest.mark.slow
def test_what_comes_next_tells_what_is_here(run):
    ran = run("highlight")
    assert ran.missed == []
    right = ran.figures["right"]
    assert right["both ways"] > 0.98 > 0.97 > right["forwards"]
    calls = {name: share["call"] for name, share in ran.figures["right by class"].items()}
    assert calls["both ways"] > 0.9 > 0.8 > calls["forwards"]
