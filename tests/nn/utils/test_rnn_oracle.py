import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.nn.utils.rnn import pad_sequence


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_values_and_gradients_equal_those_of_torch(shape, side, batch_first):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((n, *shape)) for n in (3, 1, 5, 0)]
    ours = [tg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    padded = pad_sequence(ours, batch_first, 0.25, side)
    expected = torch.nn.utils.rnn.pad_sequence(theirs, batch_first, 0.25, side)
    np.testing.assert_array_equal(padded.data, expected.detach().numpy())

    g = rng.standard_normal(padded.shape)
    padded.backward(tg.tensor(g))
    expected.backward(torch.tensor(g))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.grad.data, b.grad.numpy())
