import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.utils.data import Dataset, TensorDataset


def test_a_dataset_without_a_length_cannot_be_made():
    class Endless(Dataset):
        def __getitem__(self, index):
            return index

    with pytest.raises(TypeError, match="__len__"):
        Endless()


def test_a_tensor_dataset_gives_one_row_of_each_tensor():
    data = TensorDataset(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.tensor([7, 8]))
    assert len(data) == 2
    x, y = data[1]
    assert x.tolist() == [3.0, 4.0]
    assert y.item() == 8


def test_a_tensor_dataset_takes_arrays_as_they_are():
    array = np.arange(6).reshape(3, 2)
    (row,) = TensorDataset(array)[2]
    assert np.shares_memory(row, array)
    np.testing.assert_array_equal(row, [4, 5])


@pytest.mark.parametrize(
    "tensors", [(), (tg.zeros(2), tg.zeros(3)), (tg.tensor(1.0),), (tg.zeros(2), tg.tensor(1.0))]
)
def test_tensors_without_a_common_first_dim_are_refused_with_their_shapes(tensors):
    with pytest.raises(ValueError, match="first dims have the same size") as error:
        TensorDataset(*tensors)
    assert str([x.shape for x in tensors]) in str(error.value)


def test_a_list_is_no_tensor():
    with pytest.raises(TypeError, match="expects Tensors or arrays, got a list"):
        TensorDataset(tg.zeros(2), [1, 2])
