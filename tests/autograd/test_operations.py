"""The ops by PyTorch's names, order and defaults; where it and NumPy differ, its way."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.tensor import Tensor

inf, nan = np.inf, np.nan


def leaf(values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def slopes(f, values):
    """The gradient of f(x), summed, as lists."""
    x = leaf(values)
    f(x).sum().backward()
    return x.grad.tolist()


# -------------------------------------------------------------------------------------- reductions


def test_max_and_min_over_a_dim_give_values_and_indices():
    x = tg.tensor([[3.0, 1.0, 3.0], [4.0, 5.0, 9.0]], requires_grad=True)
    values, indices = x.max(1)
    assert (values.tolist(), indices.tolist()) == ([3, 9], [0, 2])
    most = x.min(dim=0, keepdim=True)
    assert most.values.tolist() == [[3, 1, 3]]
    assert most.indices.tolist() == [[0, 0, 0]]
    values.sum().backward()
    assert x.grad.tolist() == [[1, 0, 0], [0, 0, 1]]  # the one that the index names


def test_max_of_everything_and_of_two_tensors():
    x = leaf([3.0, 1.0, 3.0])
    assert x.max().item() == 3
    assert x.max(tg.tensor([1.0, 2.0, 5.0])).tolist() == [3, 2, 5]
    assert x.min(tg.tensor([1.0, 2.0, 5.0])).tolist() == [1, 1, 3]


@pytest.mark.parametrize(
    ("f", "values", "expected"),
    [
        (lambda x: x.max(), [3, 1, 3], [0.5, 0, 0.5]),
        (lambda x: x.amax(0), [3, 1, 3], [0.5, 0, 0.5]),
        (lambda x: x.amin(), [1, 1, 1, 1], [0.25] * 4),
        (lambda x: x.max(0)[0], [3, 1, 3], [1, 0, 0]),
        (lambda x: x.min(0).values, [3, 1, 1], [0, 1, 0]),
        (lambda x: x.maximum(tg.tensor([3.0, 0.0])), [3, 1], [0.5, 1]),
        (lambda x: x.minimum(x), [3, 1], [1, 1]),
        (lambda x: x.clamp(1, 3), [0, 1, 2, 3, 4], [0, 1, 1, 1, 0]),
        (lambda x: x.clamp(min=1), [0, 1, 2], [0, 1, 1]),
        (lambda x: x.clamp(max=1), [0, 1, 2], [1, 1, 0]),
        (lambda x: x.std(), [2, 2, 2], [0, 0, 0]),
        (lambda x: x.std(0), [[1, 2], [1, 4]], [[0, -(0.5**0.5)], [0, 0.5**0.5]]),
        (lambda x: x.relu(), [-1, 0, 1], [0, 0, 1]),
        (lambda x: abs(x), [-1, 0, 1], [-1, 0, 1]),
        (lambda x: x.sqrt(), [4], [0.25]),
        (lambda x: x**0, [0, 2], [0, 0]),
        (lambda x: 2**x, [0, 1], [np.log(2), 2 * np.log(2)]),
        (lambda x: x.prod(0), [2, 0, 4], [0, 8, 0]),
        (lambda x: x.mean((0, 1)), [[1, 2], [3, 4]], [[0.25] * 2] * 2),
    ],
)
def test_gradients_at_ties_bounds_and_zeros(f, values, expected):
    np.testing.assert_allclose(slopes(f, values), expected)


def test_clamp_passes_infinities_and_nan_where_there_is_no_bound():
    x = tg.tensor([-inf, 0.0, inf, nan])
    np.testing.assert_array_equal(x.clamp(min=0).data, [0, 0, inf, nan])
    np.testing.assert_array_equal(x.clamp(max=0).data, [-inf, 0, 0, nan])
    assert tg.tensor([2**62]).clamp(min=0).item() == 2**62
    assert tg.tensor([5]).clamp(min=3, max=1).item() == 1  # the upper bound wins, as in PyTorch


def test_clamp_wants_numbers():
    with pytest.raises(ValueError, match="at least one of min and max"):
        tg.ones(2).clamp()
    with pytest.raises(NotImplementedError, match="bounds that are tensors are not supported"):
        tg.ones(2).clamp(tg.zeros(2))


def test_var_and_std_correct_by_one():
    x = leaf([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    assert x.var(1).tolist() == [7, 3]
    assert x.std(1).tolist() == [7**0.5, 3**0.5]
    for y in (x.var(1, False), x.var(1, correction=0), x.var(dim=1, unbiased=False)):
        np.testing.assert_allclose(y.data, [14 / 3, 2])
    assert x.var(1, True, True).shape == x.var(1, keepdim=True).shape == (2, 1)
    np.testing.assert_allclose(x.var().item(), x.data.var(ddof=1))
    np.testing.assert_allclose(x.var(False).item(), x.data.var())
    np.testing.assert_allclose(x.std((0, 1)).item(), x.data.std(ddof=1))
    assert np.isnan(tg.tensor([1.0]).var().item())


@pytest.mark.parametrize("f", [Tensor.mean, Tensor.var, Tensor.std])
def test_integers_have_no_mean(f):
    with pytest.raises(RuntimeError, match=r"expected a floating point dtype.*use \.float\(\)"):
        f(tg.tensor([1, 2]))


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x.mean(), [[1.0, 2.0], [3.0, 5.0]]),
        (lambda x: x.mean(0, True), [[1.0, 2.0], [3.0, 5.0]]),
        (lambda x: x.var((0, 1)), [[1.0, 2.0], [3.0, 5.0]]),
        (lambda x: x.std(1), [[1.0, 2.0], [3.0, 5.0]]),
        (lambda x: x.std(0, correction=0), [[1.0, 2.0], [3.0, 5.0]]),
        (lambda x: x.max(1).values, [[1.0, 2.0], [5.0, 3.0]]),
        (lambda x: x.outer(x[:1]), [1.0, 2.0]),
        (lambda x: x.masked_fill(x > 2, 0.0) * x, [1.0, 3.0]),
        (lambda x: x.where(x > 2, -x) * x, [1.0, 3.0]),
        (lambda x: x.add(x, alpha=3) * x.sub(x * x, alpha=2), [1.0, 3.0]),
        (lambda x: x[1] ** x, [1.0, 3.0]),
        (lambda x: 2.5**x, [1.0, 3.0]),
        (lambda x: x.logsumexp((0, 1)), [[1.0, 2.0], [5.0, 3.0]]),
    ],
)
def test_ops_said_in_terms_of_others_have_two_derivatives(f, x):
    assert tg.gradcheck(f, leaf(x))
    assert tg.gradgradcheck(f, leaf(x))


@pytest.mark.parametrize("dim", [0, -1])
def test_a_scalar_has_a_dim_to_reduce(dim):
    x = tg.tensor(3.0)
    assert x.sum(dim).item() == x.mean(dim).item() == x.amax(dim).item() == 3
    assert x.softmax(dim).shape == x.log_softmax(dim).shape == x.cumsum(dim).shape == ()
    assert x.argmax(dim).item() == 0
    values, indices = x.max(dim)
    assert (values.item(), indices.item(), values.shape) == (3, 0, ())


def test_truth_of_all_and_any():
    x = tg.tensor([[True, False], [True, True]])
    assert (x.all().item(), x.any().item()) == (False, True)
    assert x.all(0).tolist() == [True, False]
    assert x.any(dim=1, keepdim=True).tolist() == [[True], [True]]


# ------------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize(
    ("cut", "sizes"),
    [
        (lambda x: x.split(3), [3, 3, 1]),
        (lambda x: x.split(7), [7]),
        (lambda x: x.split(9), [7]),
        (lambda x: x.split([4, 0, 3]), [4, 0, 3]),
        (lambda x: x.split((7,)), [7]),
        (lambda x: x.chunk(3), [3, 3, 1]),
        (lambda x: x.chunk(4), [2, 2, 2, 1]),
        (lambda x: x.chunk(5), [2, 2, 2, 1]),  # fewer than asked for, as in PyTorch
        (lambda x: x.chunk(1), [7]),
        (lambda x: x.chunk(20), [1] * 7),
        (lambda x: x.split(3, dim=-1), [3, 3, 1]),
        (lambda x: x[:0].split(3), [0]),
        (lambda x: x[:0].chunk(3), [0, 0, 0]),
        (lambda x: x.unbind(), [()] * 7),
    ],
)
def test_pieces(cut, sizes):
    pieces = cut(tg.arange(7))
    assert isinstance(pieces, tuple)
    assert [piece.shape for piece in pieces] == [n if n == () else (n,) for n in sizes]
    if pieces[0].ndim:
        np.testing.assert_array_equal(tg.cat(pieces).data, range(sum(sizes)))


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (lambda x: x.split(0), "split expects a size above 0"),
        (lambda x: x.split(-1), "split expects a size above 0"),
        (lambda x: x.split([3, 3]), r"sum exactly to 7 .*got \[3, 3\], which sum to 6"),
        (lambda x: x.split([-1, 8]), "split"),
        (lambda x: x.chunk(0), "chunk expects chunks to be greater than 0, got 0"),
    ],
)
def test_impossible_pieces_are_refused(cut, says):
    with pytest.raises(RuntimeError, match=says):
        cut(tg.arange(7))


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda: tg.ones(2, 3).reshape(3, -1), (3, 2)),
        (lambda: tg.ones(2, 3).reshape((6,)), (6,)),
        (lambda: tg.ones(2, 3).view(-1), (6,)),
        (lambda: tg.ones(2, 3).view(3, 1, 2), (3, 1, 2)),
        (lambda: tg.ones(2, 3, 4).flatten(), (24,)),
        (lambda: tg.ones(2, 3, 4).flatten(1), (2, 12)),
        (lambda: tg.ones(2, 3, 4).flatten(0, -2), (6, 4)),
        (lambda: tg.ones(0, 3, 4).flatten(1), (0, 12)),
        (lambda: tg.tensor(1.0).flatten(), (1,)),
        (lambda: tg.ones(2, 3, 4).permute(2, 0, 1), (4, 2, 3)),
        (lambda: tg.ones(2, 3, 4).permute((-1, 0, 1)), (4, 2, 3)),
        (lambda: tg.ones(2, 3, 4).transpose(0, -1), (4, 3, 2)),
        (lambda: tg.ones(1, 2, 1).squeeze(), (2,)),
        (lambda: tg.ones(1, 2, 1).squeeze(0), (2, 1)),
        (lambda: tg.ones(1, 2, 1).squeeze(1), (1, 2, 1)),
        (lambda: tg.ones(1, 2, 1).squeeze((0, 1, -1)), (2,)),
        (lambda: tg.ones(2).unsqueeze(0), (1, 2)),
        (lambda: tg.ones(2).unsqueeze(-1), (2, 1)),
        (lambda: tg.tensor(1.0).unsqueeze(0), (1,)),
        (lambda: tg.ones(3, 1).expand(2, -1, 4), (2, 3, 4)),
        (lambda: tg.ones(3, 1).expand((3, 4)), (3, 4)),
        (lambda: tg.ones(2, 3).flip(0), (2, 3)),
        (lambda: tg.ones(2, 3).flip((0, 1)), (2, 3)),
        (lambda: tg.ones(2).outer(tg.ones(3)), (2, 3)),
    ],
)
def test_shapes(f, shape):
    assert f().shape == shape


def test_view_never_copies():
    x = tg.ones(2, 3)
    assert np.shares_memory(x.view(6).data, x.data)
    with pytest.raises(RuntimeError, match=r"view size is not compatible.*Use \.reshape\(\.\.\.\)"):
        x.T.view(6)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.view(5)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.unsqueeze(3),
        lambda x: x.sum(2),
        lambda x: x.transpose(0, 2),
        lambda x: x.flatten(2),
        lambda x: x.squeeze(-3),
        lambda x: x.softmax(2),
        lambda x: x.max(2),
        lambda x: x.unbind(2),
        lambda x: x.split(1, 2),
    ],
)
def test_a_dim_out_of_range_is_an_index_error(f):
    with pytest.raises(IndexError):
        f(tg.ones(2, 3))


def test_a_condition_is_boolean():
    for f in (lambda x, c: x.where(c, 0), lambda x, c: x.masked_fill(c, 0)):
        with pytest.raises(RuntimeError, match="expected condition to be a boolean tensor"):
            f(tg.ones(2), tg.tensor([0, 1]))


def test_what_is_no_number_is_refused_by_name():
    for other in ("a", None, [1, 2]):
        with pytest.raises(TypeError, match="add: expected a Tensor, an array or a number, got"):
            tg.ones(2) + other


def test_outer_is_for_vectors():
    with pytest.raises(RuntimeError, match="1"):
        tg.ones(2, 2).outer(tg.ones(2))
