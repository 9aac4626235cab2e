import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.utils.data import DataLoader, TensorDataset


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize(
    "options",
    [{"batch_size": n, "drop_last": drop} for n in (1, 3, 7) for drop in (False, True)]
    + [{}, {"batch_size": None}],
)
def test_sequential_batches_equal_those_of_torch(torch, options):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 2)), rng.integers(5, size=7)
    ours = DataLoader(TensorDataset(tg.tensor(x), tg.tensor(y)), **options)
    data = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    theirs = torch.utils.data.DataLoader(data, **options)
    assert len(ours) == len(theirs)
    for batch, expected in zip(ours, theirs, strict=True):
        for a, b in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(a.data, b.numpy())
            assert a.dtype == b.numpy().dtype


@pytest.mark.parametrize(
    "samples",
    [
        [1, 2, 3],
        [True, False, True],
        [np.float64(1), np.float64(2), np.float64(3)],
        [(1, [2, 3]), (4, [5, 6])],
        [{"a": (np.ones(2), 1)}, {"a": (np.zeros(2), 2)}],
    ],
)
def test_collated_structures_equal_those_of_torch(torch, samples):
    def plain(x):
        if isinstance(x, dict):
            return {key: plain(value) for key, value in x.items()}
        if isinstance(x, list):
            return [plain(value) for value in x]
        return str(x.dtype).removeprefix("torch."), x.tolist()

    (ours,) = DataLoader(samples, len(samples))
    (theirs,) = torch.utils.data.DataLoader(samples, len(samples))
    assert plain(ours) == plain(theirs)
