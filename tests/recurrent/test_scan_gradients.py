"""Gradients through `scan`: first and second, for some leaves only, with noise."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.scanned import CELLS, LENGTHS, B, H, I, T, check_close, made, numbers
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent.program import flat

# ---------------------------------------------------------------------------------- derivatives


@pytest.mark.usefixtures("needs_numba")
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_first_and_second_derivatives_are_right(name, lengths, xs, rng):
    cell, state = made(name, rng)
    assert tg.why_not_compiled(cell, xs, state) is None

    def run(*_):
        tg.manual_seed(0)
        outputs, last = tg.scan(cell, xs, state, lengths)
        return [outputs, *flat(last)]

    leaves = [xs, *flat(state), *cell.parameters()]
    assert tg.gradcheck(run, leaves)
    assert tg.gradgradcheck(run, leaves)


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_create_graph_gives_what_it_gives_through_unroll(name, lengths, xs, rng):
    cell, state = made(name, rng)
    leaves = [xs, *flat(state), *cell.parameters()]
    weights = [rng.standard_normal(leaf.shape) for leaf in leaves]

    def second(run):
        tg.manual_seed(0)
        outputs, last = run(cell, xs, state, lengths)
        loss = sum((end * end).sum() for end in [outputs, *flat(last)])
        first = tg.grad(loss, leaves, create_graph=True)
        total = sum((g * w).sum() for g, w in zip(first, weights, strict=True))
        return numbers(first) + numbers(tg.grad(total, leaves))

    check_close(second(tg.scan), second(tg.unroll))


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(
    "ends",
    [
        lambda y, h, c: y.square().sum(),
        lambda y, h, c: y[-1].sum(),
        lambda y, h, c: c.square().sum(),
        lambda y, h, c: h.sum(),
        lambda y, h, c: (y * 2).sum() + (h * c).sum(),
    ],
    ids=["outputs", "last output", "c", "h", "all"],
)
def test_gradients_of_outputs_of_the_last_state_and_of_both(ends, cell, xs, state):
    leaves = [xs, *state, *cell.parameters()]
    runs = (run(cell, xs, state) for run in (tg.scan, tg.unroll))
    check_close(*(numbers(tg.grad(ends(y, *last), leaves)) for y, last in runs))


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("wanted", ["x", "state", "weight", "bias", "c alone"])
def test_only_what_requires_a_gradient_gets_one(wanted, cell, xs, state):
    weight, bias = cell.gates.weight, cell.gates.bias
    groups = {"x": [xs], "state": [*state], "weight": [weight], "bias": [bias],
              "c alone": [state[1]]}  # fmt: skip
    for leaf in (xs, *state, weight, bias):
        leaf.requires_grad_(any(leaf is chosen for chosen in groups[wanted]))
    found = []
    for run in (tg.scan, tg.unroll):
        outputs, _ = run(cell, xs, state)
        outputs.square().sum().backward()
        found.append([leaf.grad.data for leaf in groups[wanted]])
        assert [leaf.grad is None for leaf in (xs, *state, weight, bias)].count(False) == len(
            groups[wanted]
        )
        for leaf in groups[wanted]:
            leaf.grad = None
    check_close(*found)


@pytest.mark.usefixtures("on_numpy")
def test_nothing_that_requires_a_gradient_gives_outputs_that_do_not(cell, xs):
    cell.requires_grad_(False)
    outputs, (h, c) = tg.scan(cell, xs.detach())
    assert not any(t.requires_grad for t in (outputs, h, c))


@pytest.mark.usefixtures("on_numpy")
def test_one_tensor_may_be_the_input_the_state_and_a_weight(rng):
    """A gradient arrives from each of its places."""
    same = tg.tensor(rng.standard_normal((3, 3)), requires_grad=True)

    def cell(x, h):
        h = tg.tanh(h @ same + x)
        return h, h

    found = [tg.grad(run(cell, same[None], same)[0].sum(), [same]) for run in (tg.scan, tg.unroll)]
    check_close(*map(numbers, found))


@pytest.mark.usefixtures("on_numpy")
def test_the_gradient_of_a_looked_up_input_can_be_asked_for(cell, rng):
    table = tg.tensor(rng.standard_normal((4, I)), requires_grad=True)
    found = []
    for run in (tg.scan, tg.unroll):
        xs = F.embedding(rng.integers(0, 4, (T, B)) * 0 + 1, table)
        outputs, _ = run(cell, xs)
        found.append(numbers(tg.grad(outputs.sum(), [xs, table])))
    check_close(*found)


# ------------------------------------------------------------------------------------- the tape


@pytest.mark.usefixtures("on_numpy")
def test_a_second_backward_is_refused_unless_the_graph_is_retained(cell, xs, state):
    outputs, _ = tg.scan(cell, xs, state)
    loss = outputs.square().sum()
    loss.backward(retain_graph=True)
    once = [t.grad.data.copy() for t in (xs, *state, *cell.parameters())]
    loss.backward()
    twice = [t.grad.data for t in (xs, *state, *cell.parameters())]
    for a, b in zip(once, twice, strict=True):
        np.testing.assert_array_equal(2 * a, b)
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        loss.backward()


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("every", [None, 2], ids=["whole", "checkpoints"])
@pytest.mark.parametrize("what", ["weight", "input", "state", "mask"])
def test_a_change_in_place_before_backward_is_an_error(what, every, cell, xs, state):
    mask = tg.tensor(np.ones((B, H)))
    step = lambda x, s: (lambda out: (out[0] * mask, out[1]))(cell(x, s))
    given, start = xs * 1, tuple(part * 1 for part in state)
    outputs, _ = tg.scan(step, given, start, checkpoint_every=every)
    changed = {"weight": cell.gates.weight, "input": given, "state": start[0], "mask": mask}
    with tg.no_grad():
        changed[what] *= 2.0
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        outputs.sum().backward()


@pytest.mark.usefixtures("on_numpy")
def test_a_change_of_the_outputs_in_place_is_an_error_where_the_way_back_needs_them(
    cell, xs, state
):
    outputs, _ = tg.scan(cell, xs, state)
    loss = outputs.sum()
    with tg.no_grad():
        outputs.zero_()
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        loss.backward()


# -------------------------------------------------------------------------------- random numbers


@pytest.mark.usefixtures("on_numpy")
def test_scan_and_unroll_draw_the_same_numbers_and_leave_the_generator_alike(xs, rng):
    cell, state = made("noisy", rng)
    found = []
    for run in (tg.scan, tg.unroll):
        tg.manual_seed(3)
        outputs, h = run(cell, xs, state)
        found.append([outputs.data, h.data, tg.rand(4).data])
    check_close(*found)
    tg.manual_seed(3)
    outputs, _ = tg.scan(cell, xs, state)
    assert not np.array_equal(outputs.data, tg.scan(cell, xs, state)[0].data)


@pytest.mark.usefixtures("on_numpy")
def test_reading_a_cell_draws_nothing(xs, rng):
    cell, state = made("noisy", rng)
    tg.manual_seed(3)
    before = tg.rand(2).data
    tg.manual_seed(3)
    tg.compiled_source(cell, xs, state)
    assert tg.why_not_compiled(cell, xs, state) is None
    np.testing.assert_array_equal(tg.rand(2).data, before)


@pytest.mark.usefixtures("on_numpy")
def test_a_generator_of_ones_own_is_used(xs):
    def run(run):
        generator = tg.Generator().manual_seed(5)

        def cell(x, h):
            h = 0.5 * h + x * tg.rand(*x.shape, generator=generator, dtype=x.dtype)
            return h, h

        outputs, _ = run(cell, xs, xs[0])
        return [outputs.data, tg.rand(2, generator=generator).data]

    check_close(run(tg.scan), run(tg.unroll))


TIES = {
    "of several": lambda h: tg.stack([h, 2 * h, 3 * h], 0).amax(0),
    "of the largest of two and another": lambda h: tg.stack(
        [tg.stack([h, 2 * h], 0).amax(0), 3 * h], 0
    ).amax(0),
    "two after the other": lambda h: tg.maximum(tg.maximum(h, 2 * h), 3 * h),
    "over pieces": lambda h: tg.cat([h[:, :4], 2 * h[:, 5:]], -1).amax(-1, keepdim=True),
    "with a number": lambda h: tg.cat([h, tg.zeros(B, 2, dtype=h.dtype)], -1).amin(-1, True),
    "over every other": lambda h: h.reshape(B, 3, 2).amax(1),
    "over spread columns": lambda h: tg.cat([h[:, :1].expand(B, 4), h[:, 1:3]], -1).amax(-1, True),
    "the first of equals": lambda h: h.max(-1, keepdim=True).values,
    "the first of every other": lambda h: h.reshape(B, 3, 2).min(1).values,
}


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("extremum", TIES.values(), ids=TIES)
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_equal_largest_ones_share_the_gradient_as_they_do_on_the_tape(extremum, fill, xs):
    h = tg.tensor(np.zeros((B, H)), requires_grad=True)
    h.data[1, 1:3] = fill

    def cell(x, h):
        return extremum(h), h + tg.cat([x, x], -1)

    assert tg.why_not_compiled(cell, xs, h) is None
    runs = (run(cell, xs, h)[0].sum() for run in (tg.scan, tg.unroll))
    check_close(*(numbers(tg.grad(loss, [h, xs])) for loss in runs))
