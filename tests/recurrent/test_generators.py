"""Random generators: what a step draws by other means than the engine's is seen, and put back."""

import random

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.scanned import check_close
from tinygrad_rnn.recurrent.generators import Generators
from tinygrad_rnn.recurrent.program import CannotCompile
from tinygrad_rnn.recurrent.trace import trace

ours, of_numpy, legacy, dice = (
    tg.Generator(1), np.random.default_rng(1), np.random.RandomState(1), random.Random(1)
)  # fmt: skip
other = np.random.Generator(np.random.MT19937(1))  # its state holds arrays
bound = np.random.default_rng(2).random

DRAWS = {
    "random.random": random.random,
    "numpy.random.rand": lambda: np.random.rand(),  # noqa: NPY002
    "random.Random": lambda: dice.random(),
    "numpy's Generator": lambda: of_numpy.random(),
    "another bit generator": lambda: other.random(),
    "RandomState": lambda: legacy.rand(),
    "a method by itself": lambda: bound(),
    "behind ours": lambda: ours.numpy.random(),
    "a seed": lambda: ours.manual_seed(3).initial_seed(),
    "the seed of all": lambda: tg.manual_seed(3).initial_seed(),
}
draws = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


@pytest.fixture(autouse=True)
def as_before():
    generators = Generators([ours, of_numpy, legacy, dice, other, bound.__self__])
    yield
    generators.restore()


def coin(draw):
    """A step that nearly always does the same."""

    def cell(x, h):
        h = h + x if draw() < 9 else h - x
        return h, h

    return cell


@draws
def test_a_step_that_draws_by_other_means_is_refused_and_takes_nothing(draw):
    before = Generators([ours, of_numpy, legacy, dice, other, bound.__self__])
    with pytest.raises(CannotCompile, match="draws random numbers by other means"):
        trace(coin(draw), np.ones((2, 3)), np.ones((2, 3)))
    assert not before.moved()


@draws
def test_scan_draws_what_unroll_would(draw):
    before = Generators([ours, of_numpy, legacy, dice, other, bound.__self__])

    def cell(x, h):
        h = h + x * (1 if draw() < 0.5 else 2)
        return h, h

    xs, h, found = tg.ones(20, 2, 3), tg.zeros(2, 3), []
    for run in (tg.scan, tg.unroll):
        before.restore()
        found.append(run(cell, xs, h)[0].data)
    check_close(*[[numbers] for numbers in found], rtol=0, atol=0)


def test_a_generator_that_is_only_held_is_no_reason():
    class Cell:
        def __init__(self):
            self.rng, self.ours = np.random.default_rng(0), tg.Generator(0)

        def __call__(self, x, h):
            h = h + x * tg.rand(2, 3, generator=self.ours, dtype=tg.float64)
            return h, h

    step = trace(Cell(), np.ones((2, 3)), np.ones((2, 3)))
    assert len(step.draws) == 1


def test_a_generator_that_cannot_be_put_back_is_refused():
    dice = random.SystemRandom()
    with pytest.raises(CannotCompile, match="may take from dice, which cannot be put back"):
        trace(coin(lambda: dice.random()), np.ones((2, 3)), np.ones((2, 3)))


def test_a_generator_that_had_no_numbers_yet_has_none_afterwards():
    fresh = tg.Generator(5)
    before = Generators([fresh])
    first = fresh.numpy.random()
    assert before.moved()
    before.restore()
    assert not before.moved()
    assert fresh.numpy.random() == first
