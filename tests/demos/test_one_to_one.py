"""A network without memory, and temporal XOR."""

import numpy as np
import pytest


@pytest.fixture
def one_to_one(demo):
    return demo("one_to_one")


def test_every_third_bit_is_the_xor_of_the_two_before(one_to_one, rng):
    x, following = one_to_one.streams(rng, 7)
    bits = np.concatenate([x.data, following.data[-1:]])[..., 0].astype(int)
    assert bits.shape == (3 * one_to_one.TRIPLES, 7)
    np.testing.assert_array_equal(bits[2::3], bits[::3] ^ bits[1::3])
    np.testing.assert_array_equal(x.data[1:], following.data[:-1])
    assert 0.3 < bits.mean() < 0.7


def test_the_spirals_are_each_other_turned_by_half_a_turn(one_to_one, rng):
    points, label = one_to_one.spirals(rng, 4000)
    radius = np.hypot(*points.data.T)
    ring = (radius > 0.49) & (radius < 0.51)
    one, other = (points.data[ring & (label.data[:, 0] == i)].mean(0) for i in (0, 1))
    np.testing.assert_allclose(one, -other, atol=0.05)


def test_a_tiny_budget_runs_through_and_is_honest(run):
    ran = run("one_to_one", "--seconds", "0.1", plain=True)
    assert ran.code == 0
    assert "the Elman net foretells XOR" in ran.missed
    assert "NOT shown" in ran.last[0]
    assert len(ran.figures["after 1, 2, ... bits"]["Elman net"]) == 59


@pytest.mark.slow
def test_only_a_network_that_remembers_foretells_the_xor(run):
    ran = run("one_to_one")
    assert ran.missed == []
    assert ran.figures["spirals"] > 0.95
    assert ran.figures["every third bit"]["Elman net"] > 0.98
    assert ran.figures["every third bit"]["without memory"] < 0.55
