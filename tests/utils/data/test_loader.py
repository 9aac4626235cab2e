import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autograd.creation import default_generator
from tinygrad_rnn.utils.data import DataLoader, Dataset, TensorDataset


class Numbers(Dataset):
    """The numbers below n; it checks that it is asked for ints."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        assert type(index) is int
        return index


def epoch(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({}, [[0], [1], [2], [3], [4]]),
        ({"batch_size": 2}, [[0, 1], [2, 3], [4]]),
        ({"batch_size": 2, "drop_last": True}, [[0, 1], [2, 3]]),
        ({"batch_size": 5, "drop_last": True}, [[0, 1, 2, 3, 4]]),
        ({"batch_size": 9}, [[0, 1, 2, 3, 4]]),
        ({"batch_size": 9, "drop_last": True}, []),
    ],
)
def test_samples_come_in_order_and_the_length_counts_the_batches(options, batches):
    loader = DataLoader(Numbers(5), **options)
    assert epoch(loader) == batches
    assert len(loader) == len(batches)


def test_an_empty_dataset_has_no_batches():
    loader = DataLoader(Numbers(0), batch_size=2, shuffle=True)
    assert len(loader) == 0
    assert list(loader) == []


def test_batches_of_a_tensor_dataset_are_the_rows_of_its_tensors():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    batches = list(DataLoader(TensorDataset(tg.tensor(x), tg.tensor(y)), batch_size=4))
    np.testing.assert_array_equal(np.concatenate([b[0].data for b in batches]), x)
    np.testing.assert_array_equal(np.concatenate([b[1].data for b in batches]), y)


def test_a_list_is_a_dataset():
    assert epoch(DataLoader([5, 6, 7], batch_size=2)) == [[5, 6], [7]]


@pytest.mark.parametrize("batch_size", [3, None])
def test_shuffling_gives_every_sample_once_in_a_new_order_each_epoch(batch_size):
    loader = DataLoader(
        Numbers(50),
        batch_size=batch_size,
        shuffle=True,
        collate_fn=lambda samples: np.atleast_1d(samples),
        generator=tg.Generator(0),
    )
    first, second = (np.concatenate(list(loader)).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first != list(range(50))


def test_the_same_seed_gives_the_same_orders():
    def two_epochs():
        loader = DataLoader(Numbers(20), 3, shuffle=True, generator=tg.Generator(7))
        return epoch(loader), epoch(loader)

    assert two_epochs() == two_epochs()


def test_without_a_generator_the_default_one_is_used():
    loader = DataLoader(Numbers(20), 20, shuffle=True)
    tg.manual_seed(3)
    order = epoch(loader)
    tg.manual_seed(3)
    assert order == [tg.randperm(20).tolist()]


def test_the_order_of_one_epoch_does_not_depend_on_what_is_drawn_meanwhile():
    def order(disturb):
        generator, seen = tg.Generator(1), []
        for batch in DataLoader(Numbers(10), 2, shuffle=True, generator=generator):
            seen += batch.tolist()
            if disturb:
                tg.rand(3, generator=generator)
        return seen

    assert order(disturb=True) == order(disturb=False)


def test_numpys_global_random_state_is_untouched():
    before = np.random.get_state()  # noqa: NPY002
    list(DataLoader(Numbers(10), 2, shuffle=True))
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002


def test_without_a_batch_size_single_samples_come_with_tensors_for_arrays():
    samples = [(np.ones(2), 1), (np.zeros(2), 2)]
    loader = DataLoader(samples, batch_size=None)
    assert len(loader) == 2
    (x, y), (_, z) = loader
    assert isinstance(x, tg.Tensor)
    assert x.shape == (2,)
    assert (y, z) == (1, 2)


def test_collate_fn_gets_the_samples_of_a_batch():
    loader = DataLoader(["a", "bc", "def"], batch_size=2, collate_fn="+".join)
    assert list(loader) == ["a+bc", "def"]


def test_sequences_of_different_lengths_are_padded_by_a_collate_fn():
    sequences = [tg.tensor([1, 2, 3]), tg.tensor([4])]
    (batch,) = DataLoader(sequences, 2, collate_fn=tg.nn.utils.rnn.pad_sequence)
    assert batch.T.tolist() == [[1, 2, 3], [4, 0, 0]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_workers", 2),
        ("sampler", [1, 0]),
        ("batch_sampler", [[0], [1]]),
        ("pin_memory", True),
        ("persistent_workers", True),
        ("timeout", 1.5),
    ],
)
def test_what_is_not_supported_says_so(name, value):
    with pytest.raises(NotImplementedError, match=f"{name}=.*not supported"):
        DataLoader([1, 2], **{name: value})


def test_arguments_that_ask_for_nothing_are_accepted():
    loader = DataLoader(
        Numbers(2), 2, None, sampler=None, num_workers=0, pin_memory=False, timeout=0
    )
    assert epoch(loader) == [[0, 1]]


def test_a_misspelt_argument_is_an_error():
    with pytest.raises(TypeError, match="unexpected argument: shufle"):
        DataLoader([1], shufle=True)


def test_what_can_only_be_iterated_is_refused_with_the_cure():
    with pytest.raises(TypeError, match=r"__len__ and __getitem__, got generator; .* in a list"):
        DataLoader(i for i in range(3))


def test_a_batch_size_below_one_is_an_error():
    with pytest.raises(ValueError, match="batch_size of at least 1, got 0"):
        DataLoader([1], batch_size=0)


def test_no_batches_and_drop_last_do_not_go_together():
    with pytest.raises(ValueError, match="drop_last"):
        DataLoader([1], batch_size=None, drop_last=True)


# ------------------------------------------------------------------------------------- going on


def texts(batches):
    return [str(batch) for batch in batches]


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "batch_size": None}])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("given", [1, 3, 5])
def test_a_new_loader_goes_on_where_the_state_was_taken(options, own, given):
    def make(seed):
        tg.manual_seed(seed)
        generator = tg.Generator(seed) if own else None
        return DataLoader(Numbers(10), **{"batch_size": 2, "generator": generator, **options})

    first = make(0)
    list(first)
    epoch = iter(first)
    for _ in range(given):
        next(epoch)
    state, chance = first.state_dict(), default_generator.get_state()
    expected = texts(epoch), texts(first)

    second = make(1)
    second.load_state_dict(state)
    assert second.state_dict()["batch"] == given
    default_generator.set_state(chance)
    assert (texts(second), texts(second)) == expected
    assert len(expected[0]) == len(second) - given


def test_after_a_whole_epoch_the_state_is_that_of_the_beginning():
    loader = DataLoader(Numbers(4), 2, shuffle=True)
    list(loader)
    form = {"samples": 4, "batch_size": 2, "drop_last": False, "shuffle": True}
    assert loader.state_dict() == {"batch": 0, "order": None, "generator": None, **form}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (DataLoader(Numbers(10), 3, True), "that of batch_size=2, and this one has batch_size=3"),
        (DataLoader(Numbers(9), 2, True), "that of samples=10, and this one has samples=9"),
        (DataLoader(Numbers(10), 2), "that of shuffle=True, and this one has shuffle=False"),
        (
            DataLoader(Numbers(9), None, True, drop_last=False),
            "samples=10, batch_size=2, and this one has samples=9, batch_size=None",
        ),
        (DataLoader(Numbers(10), 2, True, drop_last=True), "this one has drop_last=True"),
        (DataLoader(Numbers(10), 2, True, generator=tg.Generator(0)), "both have a generator"),
    ],
)
def test_the_state_of_another_loader_is_refused(other, says):
    loader = DataLoader(Numbers(10), 2, shuffle=True)
    next(iter(loader))
    with pytest.raises(ValueError, match=says):
        other.load_state_dict(loader.state_dict())
    assert len(list(other)) == len(other)
