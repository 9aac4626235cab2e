"""The embedded Reber grammar and counting: the strings, the criterion, and what is learnt."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.fixture
def grammar(demo):
    return demo("grammar")


def test_the_last_symbol_but_one_is_the_second(grammar, rng):
    for _ in range(50):
        text, follow = grammar.reber_string(rng)
        assert len(follow) == len(text) - 1
        assert text[1] == text[-2]
        assert re.fullmatch(rf"B[TP]B[{grammar.SYMBOLS}]+E[TP]E", text)
        assert all(symbol in may for symbol, may in zip(text[1:], follow, strict=True))


def test_every_arrow_of_the_grammar_is_taken(grammar, rng):
    pairs = {(may, s) for _ in range(300) for t, f in [grammar.reber_string(rng)]
             for s, may in zip(t[3:-2], f[2:], strict=False)}  # fmt: skip
    assert {may for may, _ in pairs} == {"TP", "SX", "TV", "XS", "PV", "E"}
    assert all((may, symbol) in pairs for may, _ in pairs for symbol in may)


def test_only_what_follows_the_first_b_counts(grammar):
    ids, following, lengths = (t.data for t in grammar.counted(range(1, 4)))
    assert lengths.tolist() == [3, 5, 7]
    assert ids[:, 2].tolist() == [0, 1, 1, 1, 2, 2, 2]
    off = grammar.IGNORED
    assert following[:, 2].tolist() == [off, off, off, off, 2, 2, 0]
    assert following[:, 0].tolist() == [off, off, 0, off, off, off, off]


def test_no_gradient_goes_into_the_past_of_an_elman_net_of_1990(grammar):
    xs = tg.randn(3, 1, 2, requires_grad=True)
    outputs, _ = grammar.NETS["Elman 1990"](2, 4)(xs)
    outputs[-1].sum().backward()
    assert not xs.grad[:2].data.any()
    assert xs.grad[2].data.all()


class Oracle:
    """Expects what `following` says, and then, if it counts to `limit` only, an end too early."""

    def __init__(self, grammar, limit):
        self.grammar, self.limit = grammar, limit

    def __call__(self, ids, lengths):
        _, following, _ = self.grammar.counted(range(1, self.grammar.FURTHEST + 1))
        said = np.eye(3)[np.maximum(following.data, 0)]
        said[2 * self.limit :, self.limit :] = [1, 0, 0]
        return tg.tensor(said)


@pytest.mark.parametrize("limit", [1, 7, 60])
def test_counting_is_right_up_to_the_first_mistake(grammar, limit):
    assert grammar.counts_to(Oracle(grammar, limit)) == limit


def test_a_string_is_right_where_all_that_may_follow_is_expected_most(grammar):
    strings = [("BTB", ["TP", "B"])]

    def model(ids, lengths):
        scores = np.zeros((2, 1, 7))
        scores[0, 0, [1, 2]] = 0.9, 0.8  # T and P
        scores[1, 0, 3] = 1.0  # S
        return tg.tensor(scores)

    assert grammar.right_at(model, strings) == [[True, False]]


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("grammar", "--seconds", "0.5", plain=True)
    assert ran.code == 0
    assert "NOT shown" in ran.last[0]
    assert "the LSTM right in every trial" in ran.missed
    assert {*ran.figures["counts to"]} == {"RNN", "GRU", "LSTM"}
    assert {*ran.figures["whole strings"]} == {"Elman 1990", "RNN", "GRU", "LSTM"}


@pytest.mark.slow
def test_the_lstm_learns_the_grammar_and_counts_on(run):
    ran = run("grammar")
    assert ran.missed == []
    whole, reach = ran.figures["whole strings"], ran.figures["counts to"]
    assert min(whole["LSTM"]) == 1 > max(whole["Elman 1990"])
    assert np.median(reach["LSTM"]) > 13
    assert np.median(reach["LSTM"]) > max(np.median(reach["GRU"]), np.median(reach["RNN"]))
