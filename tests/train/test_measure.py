import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.train.measure import mean_loss, tensors, weight


def test_a_batch_counts_as_much_as_its_last_tensor_has_elements():
    x = tg.zeros(2, 3)
    assert weight(x) == 6
    assert weight((x, tg.zeros(2))) == 2
    assert weight({"x": x, "y": [tg.zeros(5), "name"]}) == 5
    assert weight("nothing to count") == 1


def test_the_mean_is_over_elements_and_not_over_batches():
    batches = [tg.tensor([1.0, 1.0, 1.0]), tg.tensor([5.0])]
    assert mean_loss(lambda batch, state: (batch.mean(), state), batches) == 2.0


def test_tensors_come_in_their_order():
    a, b, c = tg.zeros(1), tg.zeros(2), tg.zeros(3)
    assert [x.numel() for x in tensors([a, {"b": (b, 5)}, c])] == [1, 2, 3]


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="holds no batch"):
        mean_loss(lambda batch, state: (batch, state), [])
