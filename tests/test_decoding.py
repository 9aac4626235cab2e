"""Sampling draws what the logits say; beam search finds what listing everything finds."""

from itertools import product

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


def chain(logits):
    """A step whose next id depends on the last one alone."""
    table = np.asarray(logits, np.float32)
    return lambda ids, state: (tg.Tensor(table[ids.data]), state)


def always(*logits):
    """A step that expects the same at all times."""
    return chain([logits] * len(logits))


class Model(nn.Module):
    """An LSTM of two layers that reads and writes 7 ids."""

    def __init__(self):
        self.embedding, self.lstm = nn.Embedding(7, 5), nn.LSTM(5, 6, 2, bias=False)
        self.head = nn.Linear(6, 7, bias=False)

    def forward(self, ids, state=None):
        outputs, state = self.lstm(self.embedding(ids), state)
        return self.head(outputs), state


@pytest.fixture
def model():
    tg.manual_seed(3)
    model = Model()
    for parameter in model.parameters():
        parameter.data *= 4  # so that it does not say the same at all times
    with tg.compiled(False):
        yield model


def log_probability(model, first, ids):
    """Of the ids after `first`, from one reading of them all."""
    logits, _ = model(tg.tensor([*first, *ids])[:, None])
    logs = logits.log_softmax(-1).data[len(first) - 1 : -1, 0]
    return logs[np.arange(len(ids)), ids].sum()


# ------------------------------------------------------------------------------------- generate


def test_ids_are_drawn_as_often_as_their_probability_says():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    (drawn,) = tg.generate(always(*np.log(p)), [[0]], length=20_000, generator=tg.Generator(0))
    found = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(found, p, atol=5 * np.sqrt(0.25 / len(drawn)))


def test_temperature_divides_the_logits():
    p = np.array([0.6, 0.3, 0.1])
    for temperature in (0.5, 2.0):
        drawn = tg.generate(
            always(*np.log(p)), [0], length=20_000, temperature=temperature,
            generator=tg.Generator(0),
        )  # fmt: skip
        expected = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
        np.testing.assert_allclose(np.bincount(drawn) / len(drawn), expected, atol=0.02)


@pytest.mark.parametrize("temperature", [0, 1e-300, 1e-6])
def test_at_and_near_temperature_0_the_most_probable_id_is_taken(temperature):
    up = chain(np.roll(np.eye(5), 1, axis=1) * 1e-3)
    assert tg.generate(up, [2], length=6, temperature=temperature) == [3, 4, 0, 1, 2, 3]


def test_huge_logits_overflow_nowhere():
    drawn = tg.generate(always(1e38, -1e38, 1e38), [0], length=50, generator=tg.Generator(0))
    assert set(drawn) == {0, 2}


def test_an_id_of_probability_0_never_comes():
    drawn = tg.generate(always(-np.inf, 0.0, -np.inf), [0], length=50, temperature=1e9)
    assert set(drawn) == {1}


@pytest.mark.parametrize(("top_k", "seen"), [(1, {2}), (2, {0, 2}), (4, {0, 1, 2, 3}), (9, None)])
def test_only_the_k_most_probable_are_drawn(top_k, seen):
    step = always(0.2, 0.0, 0.3, 0.1)
    drawn = tg.generate(step, [0], length=200, top_k=top_k, generator=tg.Generator(0))
    assert set(drawn) == (seen or {0, 1, 2, 3})


def test_each_sequence_ends_before_its_stop():
    up = chain(np.roll(np.eye(6), 1, axis=1))
    found = tg.generate(up, [[0, 3, 5]], length=4, temperature=0, stop=5)
    assert found == [[1, 2, 3, 4], [4], [0, 1, 2, 3]]
    assert tg.generate(up, [4], length=4, temperature=0, stop=5) == []
    assert tg.generate(up, [4], length=0) == []
    assert tg.generate(up, [[4, 5]], length=0) == [[], []]


def test_it_stops_asking_when_every_sequence_has_ended():
    calls = []
    up = chain(np.roll(np.eye(6), 1, axis=1))

    def step(ids, state):
        calls.append(ids.shape)
        return up(ids, state)

    tg.generate(step, [[0, 1], [2, 3]], length=100, temperature=0, stop=5)
    assert calls == [(2, 2), (1, 2), (1, 2)]


def test_a_prompt_is_read_at_once_and_the_state_is_carried_on(model):
    ids = tg.generate(model, [3, 1, 4], length=9, temperature=0)
    text = [3, 1, 4]
    for _ in range(9):  # reading everything again for each id
        logits, _ = model(tg.tensor(text)[:, None])
        text.append(int(logits[-1, 0].argmax()))
    assert ids == text[3:]


def test_many_sequences_at_once_are_those_one_by_one(model):
    first = np.array([[0, 6, 2], [5, 1, 1]])
    together = tg.generate(model, first, length=8, temperature=0, stop=4)
    assert together == [tg.generate(model, f, length=8, temperature=0, stop=4) for f in first.T]


def test_a_decoder_starts_from_a_given_state(model):
    _, state = model(tg.tensor([[2], [3]]))
    a = tg.generate(model, [5], state, length=9, temperature=0)
    assert a == tg.generate(model, [2, 3, 5], length=9, temperature=0)
    assert a != tg.generate(model, [5], length=9, temperature=0)


def test_the_same_generator_writes_the_same_again(model):
    draw = lambda: tg.generate(model, [1], length=20, generator=tg.Generator(5))
    assert draw() == draw()
    tg.manual_seed(9)
    a = tg.generate(model, [1], length=20)
    tg.manual_seed(9)
    assert a == tg.generate(model, [1], length=20)


def test_nothing_is_recorded():
    seen = []

    def step(ids, state):
        seen.append(tg.is_grad_enabled())
        return always(0.0, 1.0)(ids, state)

    tg.generate(step, [0], length=3)
    tg.beam_search(step, [0], length=3)
    assert set(seen) == {False}
    assert tg.is_grad_enabled()


# ---------------------------------------------------------------------------------- beam search


def everything(model, first, length, stop):
    """Every sequence that ends with `stop` or has `length` ids, with its log-probability."""
    others = [v for v in range(7) if v != stop]
    for n in range(length):
        for ids in product(others, repeat=n):
            yield list(ids), log_probability(model, first, [*ids, stop]), n + 1
    for ids in product(others, repeat=length):
        yield list(ids), log_probability(model, first, ids), length


@pytest.mark.parametrize("alpha", [0, 0.6, 1.0])
def test_a_wide_beam_finds_what_listing_everything_finds(model, alpha):
    everyone = [(ids, p, p / n**alpha) for ids, p, n in everything(model, [3, 1], 3, 4)]
    best = sorted(everyone, key=lambda h: -h[2])[:30]
    found = tg.beam_search(model, [3, 1], length=3, width=7**3, stop=4, alpha=alpha)
    assert [h.ids for h in found[:30]] == [ids for ids, *_ in best]
    for h, (_, p, score) in zip(found, best, strict=False):
        np.testing.assert_allclose((h.log_probability, h.score), (p, score), rtol=1e-4)
    if alpha == 0:
        np.testing.assert_allclose(sum(np.exp(h.log_probability) for h in found), 1, rtol=1e-4)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_log_probabilities_are_those_of_reading_the_text(model, width):
    found = tg.beam_search(model, [3, 1], length=6, width=width)
    assert len(found) == width
    for ids, p, score in found:
        assert len(ids) == 6
        np.testing.assert_allclose(p, log_probability(model, [3, 1], ids), rtol=1e-4)
        assert score == p / 6**0.6
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_a_beam_of_width_1_is_greedy(model):
    (found,) = tg.beam_search(model, [3, 1], length=8, width=1)
    assert found.ids == tg.generate(model, [3, 1], length=8, temperature=0)


def test_it_finds_what_the_greedy_choice_misses():
    """First 0 (0.6) or 1 (0.4); after 0 all is possible, after 1 the end is certain."""
    p = np.full((4, 4), 0.25)
    p[3] = [0.6, 0.4, 0, 0]
    p[1] = [0, 0, 1, 0]
    with np.errstate(divide="ignore"):
        step = chain(np.log(p))
    assert tg.generate(step, [3], length=1, temperature=0) == [0]
    best, *_ = tg.beam_search(step, [3], length=3, width=2, stop=2)
    assert best.ids == [1]
    np.testing.assert_allclose(np.exp(best.log_probability), 0.4, rtol=1e-6)


def test_alpha_makes_up_for_length():
    """To stop has 0.4 at once; to go on twice has 0.6 * 0.6."""
    step = always(*np.log([0.6, 0.4]))
    best = lambda alpha: tg.beam_search(step, [0], length=2, width=2, stop=1, alpha=alpha)[0].ids
    assert best(0) == []
    assert best(1) == [0, 0]


def test_impossible_ids_make_no_hypotheses():
    found = tg.beam_search(always(0.0, -np.inf, -np.inf), [0], length=2, width=3)
    assert [h.ids for h in found] == [[0, 0]]


@pytest.mark.parametrize("form", ["stacked", "cell"])
def test_the_state_follows_its_sequence(form):
    """Each sequence writes down in its state what it has read, and expects the next id from it."""
    table = np.random.default_rng(0).normal(size=(3, 3, 3))

    def step(ids, state):
        history, (count,) = state  # the last two ids, and how many
        history = tg.cat(
            [history[..., 1:], ids[-1][:, None].double().reshape(history[..., 1:].shape)], -1
        )
        last = history.data.reshape(-1, 2).astype(int)
        return tg.Tensor(table[last[:, 0], last[:, 1]][None]), (history, (count + 1,))

    shape = (1, 1) if form == "stacked" else (1,)
    state = tg.zeros(*shape, 2, dtype=tg.float64), (tg.zeros(*shape, 1),)
    found = tg.beam_search(step, [2], state, length=5, width=3)
    for ids, p, _ in found:
        logs = table - np.log(np.exp(table).sum(-1, keepdims=True))
        read = [0, 2, *ids]
        expected = sum(logs[read[t], read[t + 1], read[t + 2]] for t in range(5))
        np.testing.assert_allclose(p, expected, rtol=1e-12)


def test_searches_of_many_sequences_are_those_one_by_one(model):
    first = np.array([[0, 6, 2], [5, 1, 1]])
    _, state = model(tg.tensor([[1, 2, 3]]))
    together = tg.beam_search(model, first, state, length=4, width=3, stop=4)
    assert len(together) == 3
    for b, found in enumerate(together):
        own = tuple(part[:, b : b + 1] for part in state)
        assert found == tg.beam_search(model, first[:, b], own, length=4, width=3, stop=4)


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("run", [tg.generate, tg.beam_search])
def test_logits_of_a_model_that_diverged_are_refused(run, bad):
    with pytest.raises(ValueError, match="logits hold NaN or infinity; has training diverged"):
        run(always(0.0, bad), [0], length=3)
    with pytest.raises(ValueError, match="logits hold NaN or infinity"):
        run(always(-np.inf, -np.inf), [0], length=3)


@pytest.mark.parametrize(
    ("run", "options", "says"),
    [
        (tg.generate, {"temperature": -1}, "temperature to be a number of at least 0, got -1"),
        (tg.generate, {"temperature": np.nan}, "temperature to be a number of at least 0, got nan"),
        (tg.generate, {"temperature": np.inf}, "temperature to be finite, got inf"),
        (tg.generate, {"temperature": "1"}, "temperature to be a number of at least 0, got '1'"),
        (tg.generate, {"temperature": None}, "temperature to be a number .* got None"),
        (tg.generate, {"length": -1}, "length to be a whole number of at least 0, got -1"),
        (tg.generate, {"top_k": 0}, "top_k to be a whole number of at least 1, got 0"),
        (tg.beam_search, {"width": 0}, "width to be a whole number of at least 1, got 0"),
        (tg.beam_search, {"length": 0}, "length to be a whole number of at least 1, got 0"),
        (tg.beam_search, {"alpha": -1}, "alpha to be a number of at least 0, got -1"),
        (tg.beam_search, {"alpha": np.nan}, "alpha to be a number of at least 0, got nan"),
        (tg.beam_search, {"alpha": np.inf}, "alpha to be finite, got inf"),
        (tg.beam_search, {"alpha": "x"}, "alpha to be a number of at least 0, got 'x'"),
        (tg.generate, {"first": [[0, 1], [2]]}, "generate: .* its rows differ in length"),
        (tg.beam_search, {"first": [[0, 1], [2]]}, "beam_search: .* its rows differ in length"),
        (tg.generate, {"first": []}, r"expected `first` to be ids \(T,\) or \(T, B\), integers"),
        (tg.beam_search, {"first": 3}, r"got shape \(\), dtype int64"),
        (tg.generate, {"first": [0.5]}, "dtype float64"),
    ],
)
def test_what_makes_no_sense_is_refused(run, options, says):
    given = {"first": [0], "length": 3} | options
    with pytest.raises(ValueError, match=says):
        run(always(0.0, 1.0), given.pop("first"), **given)


@pytest.mark.parametrize("run", [tg.generate, tg.beam_search])
def test_logits_of_no_ids_are_refused(run):
    with pytest.raises(
        ValueError, match=r"shape \(1, 1, 0\); expected \(T, B, V\) = \(1, 1, V\), a n"
    ):
        run(lambda ids, state: (tg.zeros(1, 1, 0), state), [0], length=1)


def test_logits_of_another_form_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 1\) step gave logits of shape \(1, 4\); expected"):
        tg.generate(lambda ids, state: (tg.zeros(1, 4), state), [0, 1], length=1)


@pytest.mark.parametrize("run", [tg.generate, tg.beam_search])
@pytest.mark.parametrize("result", [tg.zeros(1, 1, 2), (tg.zeros(1, 1, 2),), None])
def test_a_step_that_returns_only_logits_is_refused(run, result):
    with pytest.raises(TypeError, match=r"expected step\(ids, state\) to return \(logits, state\)"):
        run(lambda ids, state: result, [0], length=3)


def test_a_state_of_another_form_is_refused():
    with pytest.raises(ValueError, match=r"has shape \(3,\); expected \(\.\.\., 1, H\)"):
        tg.beam_search(always(0.0, 1.0), [0], (tg.zeros(3),), length=2)
    for state, what in [(np.zeros((1, 3)), "a ndarray"), (3, "an int"), ({"h": 1}, "a dict")]:
        with pytest.raises(TypeError, match=f"expected a state of Tensors, .* got {what}"):
            tg.beam_search(always(0.0, 1.0), [0], state, length=2)


@pytest.mark.parametrize("wrong", [{"length": 2.5}, {"stop": "."}, {"top_k": 0}, {"length": True}])
def test_what_is_no_whole_number_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"generate: expected {name} to be a whole number .* got"):
        tg.generate(lambda ids, state: (ids, state), [0], **{"length": 1, **wrong})
    if name != "top_k":
        with pytest.raises(ValueError, match=f"beam_search: expected {name} to be a whole number"):
            tg.beam_search(lambda ids, state: (ids, state), [0], **{"length": 1, **wrong})
