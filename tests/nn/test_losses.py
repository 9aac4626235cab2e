"""Every loss against its formula, worked out place by place in NumPy."""

from itertools import product

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import jit
from tinygrad_rnn.autograd.tape import tape
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.nn.losses import MANY, WHOLE

EXACT = {"rtol": 1e-12, "atol": 1e-12}
REDUCTIONS = ["mean", "sum", "none"]
SHAPES = [(3,), (4, 3), (4, 3, 2), (2, 3, 2, 2)]  # the classes are dim 1, or 0 where there is no N
IGNORED = 1


def reduced(losses, reduction, total):
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / total}[reduction]


def log_softmax(row):
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


def cross_entropy(logits, target, weight, ignored, reduction, smoothing):
    """-sum_c w_c q_c log softmax(x)_c at every place, with q = (1 - s) target + s / C."""
    dim = min(logits.ndim - 1, 1)
    rows = np.moveaxis(logits, dim, -1)
    C = rows.shape[-1]
    weight = np.ones(C) if weight is None else weight
    soft = target.dtype.kind == "f"
    targets = np.moveaxis(target, dim, -1) if soft else target
    losses, total = np.zeros(rows.shape[:-1]), 0.0
    for place in np.ndindex(losses.shape):
        if not soft and targets[place] == ignored:
            continue
        q = targets[place] if soft else np.eye(C)[targets[place]]
        q = (1 - smoothing) * q + smoothing / C
        losses[place] = -(weight * q * log_softmax(rows[place])).sum()
        total += 1 if soft else weight[targets[place]]
    return reduced(losses, reduction, total)


@pytest.fixture(params=SHAPES, ids=str)
def logits(request, rng):
    return tg.tensor(rng.standard_normal(request.param), requires_grad=True)


@pytest.fixture
def weight(rng):
    return tg.tensor(rng.uniform(0.5, 2.0, 3))


def ids_for(shape, rng):
    """Every class occurs, so that ignoring one never ignores all; a single id is 2."""
    places = shape[:1] + shape[2:] if len(shape) > 1 else ()
    return rng.permutation(np.resize([2, 0, 1], places)) if places else np.array(2)


def soft_for(shape, rng):
    dim = min(len(shape) - 1, 1)
    raw = rng.uniform(0.1, 1.0, shape)
    return raw / raw.sum(dim, keepdims=True)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weight"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_ids(logits, weight, weighted, smoothing, reduction, rng):
    weight = weight if weighted else None
    ids = ids_for(logits.shape, rng)
    for ignored in (-100, IGNORED):
        loss = F.cross_entropy(
            logits,
            tg.tensor(ids),
            weight,
            ignore_index=ignored,
            reduction=reduction,
            label_smoothing=smoothing,
        )
        w = None if weight is None else weight.data
        expected = cross_entropy(logits.data, ids, w, ignored, reduction, smoothing)
        np.testing.assert_allclose(loss.data, expected, **EXACT)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weight"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_distributions(logits, weight, weighted, smoothing, reduction, rng):
    weight, soft = weight if weighted else None, soft_for(logits.shape, rng)
    loss = F.cross_entropy(
        logits, tg.tensor(soft), weight, reduction=reduction, label_smoothing=smoothing
    )
    w = None if weight is None else weight.data
    expected = cross_entropy(logits.data, soft, w, None, reduction, smoothing)
    np.testing.assert_allclose(loss.data, expected, **EXACT)


@pytest.mark.parametrize("check", [tg.gradcheck, tg.gradgradcheck])
def test_cross_entropy_has_right_first_and_second_derivatives(check, logits, weight, rng):
    ids, soft = ids_for(logits.shape, rng), tg.tensor(soft_for(logits.shape, rng))
    options = {"ignore_index": IGNORED, "label_smoothing": 0.2}
    assert check(lambda x: F.cross_entropy(x, ids), logits)
    assert check(lambda x: F.cross_entropy(x, ids, weight, **options), logits)
    assert check(lambda x, q: F.cross_entropy(x, q, weight), [logits, soft.requires_grad_()])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_of_classes_may_be_learnt(logits, weight, smoothing, reduction, rng):
    """The mean divides by the sum of the weights, which sends a gradient to them as well."""
    ids, soft = ids_for(logits.shape, rng), tg.tensor(soft_for(logits.shape, rng))
    options = {"reduction": reduction, "label_smoothing": smoothing}
    weight.requires_grad_()
    for target, more in [(ids, {}), (ids, {"ignore_index": IGNORED}), (soft, {})]:
        f = lambda x, w: F.cross_entropy(x, target, w, **options, **more)  # noqa: B023
        assert tg.gradcheck(f, [logits, weight])


def test_the_gradient_of_cross_entropy_is_softmax_minus_target(logits, rng):
    """delta = dL/dy = softmax(y) - target, for ids and for the same target as a distribution."""
    dim = min(logits.ndim - 1, 1)
    ids = ids_for(logits.shape, rng)
    one_hot = np.moveaxis(np.eye(3)[ids], -1, dim)
    expected = F.softmax(logits, dim).data - one_hot
    for target in (ids, tg.tensor(one_hot)):
        (delta,) = tg.grad(F.cross_entropy(logits, target, reduction="sum"), logits)
        np.testing.assert_allclose(delta.data, expected, **EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_is_stable_for_huge_logits(dtype):
    logits = tg.tensor(np.array([[1e4, 0, -1e4], [-1e4, 1e4, 1e4]], dtype), requires_grad=True)
    losses = F.cross_entropy(logits, tg.tensor([2, 1]), reduction="none")
    np.testing.assert_allclose(losses.data, [2e4, np.log(2)], rtol=1e-6)
    losses.sum().backward()
    np.testing.assert_allclose(logits.grad.data, [[1, 0, -1], [0, -0.5, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("ignored", [-100, 255])
def test_an_ignored_id_need_not_be_a_class(ignored, rng):
    logits = tg.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    loss = F.cross_entropy(logits, [0, ignored, 3], ignore_index=ignored)
    others = F.cross_entropy(logits[[0, 2]], [0, 3])
    assert loss.item() == pytest.approx(others.item(), rel=1e-12)
    loss.backward()
    np.testing.assert_array_equal(logits.grad.data[1], 0)


def test_nothing_but_ignored_ids_has_the_sum_0_and_no_mean():
    logits, ids = tg.ones(2, 3), tg.tensor([1, 1])
    assert F.cross_entropy(logits, ids, ignore_index=1, reduction="sum").item() == 0
    assert np.isnan(F.cross_entropy(logits, ids, ignore_index=1).item())


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weight"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss_is_cross_entropy_without_the_softmax(logits, weight, weighted, reduction, rng):
    weight, ids = weight if weighted else None, ids_for(logits.shape, rng)
    logs = F.log_softmax(logits, min(logits.ndim - 1, 1))
    loss = F.nll_loss(logs, ids, weight, ignore_index=IGNORED, reduction=reduction)
    same = F.cross_entropy(logits, ids, weight, ignore_index=IGNORED, reduction=reduction)
    np.testing.assert_array_equal(loss.data, same.data)
    assert tg.gradcheck(
        lambda x: F.nll_loss(x, ids, weight, ignore_index=IGNORED, reduction=reduction), logits
    )


# ------------------------------------------------------------------------- many logits, in one pass


@pytest.fixture
def many(rng, compiled):
    """(logits, ids) of which there are enough for the compiled pass."""
    jit.load("@driver\ndef nothing(x):\n    pass\n", np.float64)  # from now on Numba is in use
    N, C = MANY // 40 + 1, 40
    return 3 * rng.standard_normal((N, C)), rng.integers(0, C, N)


def one_pass(logits):
    """Whether the compiled pass stands on the tape."""
    names = {node.op.__name__ for node in tape([logits._edge[:2]])}
    assert names & {"_surprise", "logsumexp", "log_softmax", "exp"}
    return "_surprise" in names


def by_parts(x, ids, **options):
    """What `cross_entropy` says, composed of two other functions."""
    return F.nll_loss(F.log_softmax(x, 1), ids, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ignored", [-100, 7, 255])
def test_one_pass_over_many_logits_gives_the_same_numbers(many, dtype, ignored, rng):
    logits, ids = many
    ids = ids.copy()
    ids[::5] = ignored
    for reduction in REDUCTIONS:
        found = []
        for loss in (F.cross_entropy, by_parts):
            x = tg.tensor(logits.astype(dtype), requires_grad=True)
            y = loss(x, ids, ignore_index=ignored, reduction=reduction)
            assert one_pass(y) == (loss is F.cross_entropy)
            g = tg.tensor(np.linspace(0.5, 1.5, y.numel()).reshape(y.shape).astype(dtype))
            found.append([y.data, tg.grad(y, [x], [g])[0].data])
        for a, b in zip(*found, strict=True):
            tolerance = 1e-12 if dtype == np.float64 else 1e-5
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_one_pass_over_many_logits_has_the_same_second_derivative(many, rng):
    logits, ids = many
    v, found = rng.standard_normal(logits.shape), []
    for loss in (F.cross_entropy, by_parts):
        x = tg.tensor(logits, requires_grad=True)
        (g,) = tg.grad(loss(x, ids, ignore_index=7, reduction="sum"), [x], create_graph=True)
        found.append([g.data, tg.grad((g * v).sum(), [x])[0].data])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_pass_over_huge_and_impossible_logits_is_stable(many, dtype):
    logits, ids = many
    logits, ids = logits.astype(dtype), ids.copy()
    logits[0], logits[1], logits[2] = 0.0, 0.0, -1e30
    logits[0, :2], ids[0] = (1e4, -1e4), 1  # surprised by 2e4
    logits[1, :-1], ids[1] = -np.inf, logits.shape[1] - 1  # the only possibility
    logits[3, 5], ids[3] = -np.inf, 6  # some other one is impossible
    found = []
    for loss in (F.cross_entropy, by_parts):
        x = tg.tensor(logits, requires_grad=True)
        y = loss(x, ids, reduction="none")
        assert one_pass(y) == (loss is F.cross_entropy)
        found.append([y.data, tg.grad(y.sum(), [x])[0].data])
    y, _ = found[0]
    np.testing.assert_allclose(y[:3], [2e4, 0, np.log(logits.shape[1])], rtol=1e-6)
    assert np.isfinite(y[3])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("logit", "at_target", "loss"),
    [(-np.inf, True, np.inf), (np.inf, False, np.nan), (np.inf, True, np.nan)],
    ids=["the impossible happened", "another one is certain", "it was certain"],
)
def test_infinite_logits_say_the_same_among_few_and_many(many, logit, at_target, loss):
    logits, ids = many
    logits[4, 5], ids[4] = logit, 5 if at_target else 6
    found = []
    for some in (slice(None, 6), slice(None)):
        x = tg.tensor(logits[some], requires_grad=True)
        with np.errstate(invalid="ignore"):
            y = F.cross_entropy(x, ids[some], reduction="none")
            y[:6].sum().backward()
        np.testing.assert_array_equal(y.data[4], loss)
        found.append((y.data[:6], x.grad.data[:6]))
    for few, among_many in zip(*found, strict=True):
        np.testing.assert_array_equal(few, among_many)


def test_ids_are_told_apart_where_half_precision_has_not_all_whole_numbers(many):
    C = 2100  # 2048 and 2049 are the same in float16
    ids = np.arange(2040, 2060)
    logits = np.zeros((len(ids), C), np.float16)
    logits[:, 2049] = 4.0
    assert logits.size > MANY
    y = F.cross_entropy(tg.tensor(logits), ids, reduction="none")
    assert y.dtype == np.float16
    expected = np.log(C - 1 + np.exp(4.0)) - 4.0 * (ids == 2049)
    np.testing.assert_allclose(y.data, expected, rtol=2e-3)


def test_one_pass_takes_as_many_classes_as_its_numbers_tell_apart(many, monkeypatch):
    assert {dtype.name: most for dtype, most in WHOLE.items()} == {
        "float32": 2**24,
        "float64": 2**53,
    }
    logits, ids = tg.tensor(many[0], requires_grad=True), many[1]
    for most in (40, 39):
        monkeypatch.setitem(WHOLE, logits.dtype, most)
        assert one_pass(F.cross_entropy(logits, ids)) == (most == 40)


def test_ids_that_do_not_fit_are_refused_by_the_one_pass_too(many):
    logits, ids = tg.tensor(many[0]), many[1]
    with pytest.raises(IndexError, match="Target 40 is out of bounds: there are classes 0 to 39"):
        F.cross_entropy(logits, np.full_like(ids, 40))
    with pytest.raises(ValueError, match="expected class ids of shape"):
        F.cross_entropy(logits, ids[1:])
    with pytest.raises(TypeError, match="integers"):
        F.cross_entropy(logits, ids > 3)
    assert np.isnan(F.cross_entropy(logits, np.full_like(ids, -100)).item())


# --------------------------------------------------------------------------- losses of two tensors


def bce(x, t, weight=None, pos_weight=None):
    p = 1 / (1 + np.exp(-x))
    ones = 1 if pos_weight is None else pos_weight
    losses = -(ones * t * np.log(p) + (1 - t) * np.log(1 - p))
    return losses if weight is None else weight * losses


PAIRS = {
    "mse": (F.mse_loss, {}, lambda x, t: (x - t) ** 2),
    "half mse": (F.mse_loss, {"half": True}, lambda x, t: 0.5 * (x - t) ** 2),
    "l1": (F.l1_loss, {}, lambda x, t: abs(x - t)),
    "bce": (F.binary_cross_entropy_with_logits, {}, bce),
    "bce, weights": (
        F.binary_cross_entropy_with_logits,
        {"weight": np.array([0.5, 2.0, 1.0]), "pos_weight": np.array([3.0, 0.2, 1.0])},
        bce,
    ),
}


@pytest.mark.parametrize(("loss", "options", "formula"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_two_tensors(loss, options, formula, reduction, rng):
    x = tg.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    t = tg.tensor(rng.uniform(0, 1, (4, 3)), requires_grad=True)
    numbers = {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
    expected = reduced(formula(x.data, t.data, **numbers), reduction, x.numel())
    options = {k: tg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    f = lambda x, t: loss(x, t, reduction=reduction, **options)
    np.testing.assert_allclose(f(x, t).data, expected, **EXACT)
    assert tg.gradcheck(f, [x, t])
    assert tg.gradgradcheck(f, [x, t])


def test_binary_cross_entropy_is_stable_for_huge_logits():
    x = tg.tensor([1e4, 1e4, -1e4, -1e4], requires_grad=True)
    t = tg.tensor([1.0, 0.0, 1.0, 0.0])
    losses = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    np.testing.assert_array_equal(losses.data, [0, 1e4, 1e4, 0])
    losses.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 1, -1, 0])


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_shapes_that_would_be_broadcast_get_a_warning(loss):
    with pytest.warns(UserWarning, match=r"target has shape \(3,\), the input \(2, 3\)"):
        value = loss(tg.ones(2, 3), tg.zeros(3))
    assert value.item() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_dtype_is_that_of_the_input(dtype, reduction):
    x, t = tg.zeros(2, 3, dtype=dtype), tg.ones(2, 3, dtype=dtype)
    w, ids = tg.ones(3, dtype=dtype), tg.tensor([0, 2])
    losses = [
        F.cross_entropy(x, ids, w, ignore_index=2, label_smoothing=0.1, reduction=reduction),
        F.cross_entropy(x, t / 3, w, label_smoothing=0.1, reduction=reduction),
        F.nll_loss(x, ids, w, reduction=reduction),
        F.mse_loss(x, t, half=True, reduction=reduction),
        F.l1_loss(x, t, reduction=reduction),
        F.binary_cross_entropy_with_logits(x, t, w, pos_weight=w, reduction=reduction),
    ]
    assert {loss.dtype for loss in losses} == {np.dtype(dtype)}


# ---------------------------------------------------------------------------------------- errors

X, IDS = tg.ones(2, 3), tg.tensor([0, 2])
BCE = F.binary_cross_entropy_with_logits


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda: F.cross_entropy(X, [0, 3]), IndexError, "Target 3 is out of bounds.* 0 to 2"),
        (lambda: F.nll_loss(X, [0, -1]), IndexError, "Target -1 is out of bounds"),
        (lambda: F.cross_entropy(X, [0]), ValueError, r"shape \(2,\) .*\(2, 3\), got \(1,\)"),
        (lambda: F.cross_entropy(X, tg.ones(2)), ValueError, r"\(2, 3\); got \(2,\).*must be int"),
        (
            lambda: F.nll_loss(X, tg.ones(2)),
            TypeError,
            "class ids that are integers, got .*float32",
        ),
        (lambda: F.cross_entropy(X, IDS, tg.ones(4)), ValueError, r"weight.*\(4,\)"),
        (lambda: F.cross_entropy(X, X, tg.ones(1)), ValueError, r"weight.*\(1,\)"),
        (lambda: F.nll_loss(X, IDS, tg.ones(4)), ValueError, r"weight.*\(4,\)"),
        (lambda: F.cross_entropy(X, IDS, label_smoothing=1.5), ValueError, "label_smoothing.*1.5"),
        (lambda: BCE(X, tg.ones(2)), ValueError, r"Target size \(2,\) must be the same .*\(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_an_error_with_the_shapes(wrong, kind, message):
    with pytest.raises(kind, match=message):
        wrong()


CALLS = {
    "cross_entropy": lambda **options: F.cross_entropy(X, IDS, **options),
    "nll_loss": lambda **options: F.nll_loss(X, IDS, **options),
    "mse_loss": lambda **options: F.mse_loss(X, X, **options),
    "l1_loss": lambda **options: F.l1_loss(X, X, **options),
    "binary_cross_entropy_with_logits": lambda **options: BCE(X, X, **options),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_unknown_reduction_is_an_error(name):
    with pytest.raises(ValueError, match=r"'avg' is not a valid .* reduction"):
        CALLS[name](reduction="avg")


@pytest.mark.parametrize(("name", "old"), list(product(CALLS, ["size_average", "reduce"])))
def test_the_old_arguments_are_not_supported_and_say_what_is(name, old):
    with pytest.raises(NotImplementedError, match=f"{name}: .* use reduction="):
        CALLS[name](**{old: True})


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_a_weight_of_each_element_is_not_supported(name):
    with pytest.raises(NotImplementedError, match=f"{name}: weight= is not supported"):
        CALLS[name](weight=X)
