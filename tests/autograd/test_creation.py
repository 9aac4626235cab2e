"""New tensors, and random numbers that nothing else disturbs."""

import numpy as np
import pytest

import tinygrad_rnn as tg

F32, F64, I64, BOOL = (np.dtype(t) for t in ("f4", "f8", "i8", "?"))


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, F32),
        (2, I64),
        (True, BOOL),
        ([1.0, 2], F32),
        ([1, 2.5], F32),
        ([[1, 2], [3, 4]], I64),
        ([True, False], BOOL),
        ([], F32),
        ([[], []], F32),
        (((1.0,), (2.0,)), F32),
        (np.float64(1.5), F64),
        (np.float32(1.5), F32),
        (np.array([1.0]), F64),
        (np.array([1.0], np.float32), F32),
        (np.array([1], np.int32), np.dtype("i4")),
        ([np.array([1.0]), np.array([2.0])], F64),
        (tg.ones(2, dtype=F64), F64),
        (range(3), I64),
    ],
    ids=repr,
)
def test_tensor_keeps_the_dtype_of_arrays_and_makes_python_floats_float32(data, dtype):
    x = tg.tensor(data)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.data, np.array(getattr(data, "data", data), dtype))
    assert tg.tensor(data, dtype=np.float16).dtype == np.float16


def test_tensor_copies_and_from_numpy_shares():
    array = np.ones(3)
    copied, shared = tg.tensor(array), tg.from_numpy(array)
    array[0] = 5.0
    assert copied.tolist() == [1, 1, 1]
    assert shared.tolist() == [5, 1, 1]
    shared += 1
    assert array.tolist() == [6, 2, 2]
    other = tg.tensor(shared)
    other += 1
    assert array.tolist() == [6, 2, 2]


def test_tensor_cuts_the_tape():
    x = tg.ones(2, requires_grad=True)
    y = tg.tensor(x * 2)
    assert (y.requires_grad, y.is_leaf, y.tolist()) == (False, True, [2, 2])
    assert tg.tensor(x, requires_grad=True).requires_grad


def test_from_numpy_takes_arrays_as_they_are():
    for array in (
        np.arange(6)[::-2],
        np.zeros((0, 3)),
        np.array(1.0),
        np.asfortranarray(np.eye(2)),
    ):
        assert tg.from_numpy(array).data is array
    array = np.ones(2)
    array.flags.writeable = False
    x = tg.from_numpy(array).requires_grad_()
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(TypeError, match=r"expected np.ndarray \(got list\)"):
        tg.from_numpy([1.0])


@pytest.mark.parametrize("data", ["text", None, 1j, [1, "a"], {"a": 1}])
def test_what_holds_no_numbers_is_refused(data):
    with pytest.raises(TypeError, match="expected numbers or booleans"):
        tg.tensor(data)


@pytest.mark.parametrize(
    ("make", "fill"),
    [(tg.zeros, 0), (tg.ones, 1), (lambda *size, **options: tg.full(*size, 7.0, **options), 7)],
)
def test_filled_tensors(make, fill):
    for size, shape in [(((2, 3),), (2, 3)), (([2, 3],), (2, 3)), (((),), ()), (((0, 2),), (0, 2))]:
        x = make(*size)
        assert (x.shape, x.dtype, x.requires_grad) == (shape, F32, False)
        np.testing.assert_array_equal(x.data, np.full(shape, fill))
    assert make((2,), dtype=tg.float64, requires_grad=True).requires_grad
    assert make((2,), dtype=tg.int64).dtype == I64


def test_sizes_may_be_given_one_by_one():
    assert tg.zeros(2, 3).shape == tg.ones(2, 3).shape == tg.rand(2, 3).shape == (2, 3)
    assert tg.zeros().shape == tg.randn().shape == ()
    assert tg.zeros(3).shape == tg.randn(3).shape == (3,)


def test_full_has_the_dtype_of_its_value():
    assert tg.full((2,), 1.5).dtype == F32
    assert tg.full((2,), 1).dtype == I64
    assert tg.full((2,), True).dtype == BOOL


def test_like_takes_shape_and_dtype():
    x = tg.zeros(2, 3, dtype=F64, requires_grad=True)
    y = tg.ones_like(x)
    assert (y.shape, y.dtype, y.requires_grad, y.data.sum()) == ((2, 3), F64, False, 6)
    assert tg.zeros_like(x, dtype=F32, requires_grad=True).requires_grad
    assert tg.zeros_like(tg.tensor([1])).dtype == I64


@pytest.mark.parametrize(
    ("arguments", "expected", "dtype"),
    [
        ((3,), [0, 1, 2], I64),
        ((1, 4), [1, 2, 3], I64),
        ((1, 8, 3), [1, 4, 7], I64),
        ((3, 0, -1), [3, 2, 1], I64),
        ((0,), [], I64),
        ((2.5,), [0, 1, 2], F32),
        ((0, 1, 0.25), [0, 0.25, 0.5, 0.75], F32),
    ],
)
def test_arange(arguments, expected, dtype):
    x = tg.arange(*arguments)
    assert (x.tolist(), x.dtype) == (expected, dtype)
    assert tg.arange(*arguments, dtype=F64, requires_grad=True).dtype == F64


# ------------------------------------------------------------------------------------------- random


RANDOM = {
    "rand": lambda **g: tg.rand(50, **g),
    "randn": lambda **g: tg.randn(50, **g),
    "randint": lambda **g: tg.randint(100, size=(50,), **g),
    "randperm": lambda **g: tg.randperm(50, **g),
}


@pytest.mark.parametrize("draw", RANDOM.values(), ids=RANDOM)
def test_a_seed_repeats_and_a_generator_is_its_own(draw):
    tg.manual_seed(5)
    first, second = draw().tolist(), draw().tolist()
    tg.manual_seed(5)
    own = draw(generator=tg.Generator(5)).tolist()
    assert draw().tolist() == first == own
    assert draw().tolist() == second != first


@pytest.mark.parametrize("draw", RANDOM.values(), ids=RANDOM)
def test_numpys_global_state_plays_no_part(draw):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    tg.manual_seed(1)
    first = draw().tolist()
    np.random.seed(1)  # noqa: NPY002
    tg.manual_seed(1)
    assert draw().tolist() == first
    np.random.seed(0)  # noqa: NPY002
    draw()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_a_generator_can_be_saved_and_continued():
    generator = tg.Generator().manual_seed(3)
    assert (generator.initial_seed(), tg.Generator().initial_seed()) == (3, None)
    tg.rand(5, generator=generator)
    state = generator.get_state()
    first = tg.rand(5, generator=generator).tolist()
    tg.rand(7, generator=generator)
    generator.set_state(state)
    assert tg.rand(5, generator=generator).tolist() == first
    other = tg.Generator(0)
    other.set_state(state)
    assert tg.rand(5, generator=other).tolist() == first
    assert tg.manual_seed(4).initial_seed() == 4


def test_distributions():
    g = tg.Generator(0)
    uniform, normal = tg.rand(10_000, generator=g), tg.randn(10_000, generator=g)
    assert 0 <= uniform.data.min() < 0.01 < 0.99 < uniform.data.max() < 1
    assert abs(uniform.data.mean() - 0.5) < 0.01
    assert abs(normal.data.mean()) < 0.03
    assert abs(normal.data.std() - 1) < 0.03
    ints = tg.randint(-2, 3, (1000,), generator=g)
    assert {*ints.tolist()} == {-2, -1, 0, 1, 2}
    assert {*tg.randint(3, size=(1000,), generator=g).tolist()} == {0, 1, 2}
    assert sorted(tg.randperm(20, generator=g).tolist()) == [*range(20)]


@pytest.mark.parametrize("draw", [tg.rand, tg.randn])
def test_random_dtypes_and_gradients(draw):
    assert draw(2).dtype == F32
    x = draw(2, 3, dtype=F64, requires_grad=True)
    assert (x.dtype, x.requires_grad, x.shape) == (F64, True, (2, 3))
    assert draw((2, 3), dtype=np.float16).dtype == np.float16
    assert tg.randperm(3).dtype == tg.randint(3).dtype == I64


@pytest.mark.parametrize("generator", [0, np.random.default_rng(0)])
def test_what_is_no_generator_is_refused(generator):
    with pytest.raises(TypeError, match=r"expected a generator, tinygrad_rnn.Generator\(seed\)"):
        tg.rand(2, generator=generator)
