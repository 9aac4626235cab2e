import hashlib
import json
import math
import os
import stat
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import tinygrad_rnn as tg
from tinygrad_rnn import CheckpointError, checkpoint, nn


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


class Sized(nn.Module):
    """A model that says how it was made."""

    def __init__(self, inputs, names=("a", "b")):
        self.config = {"inputs": inputs, "names": names}
        self.linear = nn.Linear(inputs, len(names))


def the_same(a, b):
    """Whether two trees agree in types, dtypes, shapes and bits."""
    if isinstance(a, tg.Tensor) and isinstance(b, tg.Tensor):
        return the_same(a.data, b.data)
    if isinstance(a, np.ndarray | np.generic):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, dict):
        return list(a) == list(b) and all(the_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(the_same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


# --------------------------------------------------------------------------------- what is saved


@pytest.mark.parametrize(
    "tree",
    [
        {"a": tg.ones(2, 3), "b": [tg.zeros(()), (np.arange(3), None)]},
        (1, 2**127, -1.5, 0.1, math.inf, -math.inf, math.nan, True, "ü", None),
        {0: "int", "0": "text", 1.5: "float", (1, "x"): "tuple", None: []},
        {"a.b": np.ones(1), "a": {"b": np.zeros(1)}},
        np.zeros((3, 0, 2)),
        [np.float32(0.1), np.int64(3), np.bool_(True), np.float64(0.1)],
        [np.array([True]), np.array([1, 2], np.uint8), np.array([1.0], np.float16)],
        {np.int64(3): 1},
        tg.tensor(2.5),
        [],
    ],
    ids=str,
)
def test_any_nesting_comes_back_as_it_was(path, tree):
    tg.save(tree, path)
    assert the_same(tg.load(path), tree)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(10)[::-2],
        np.arange(24).reshape(2, 3, 4)[:, 1:, ::2],
        np.broadcast_to(np.arange(3.0), (4, 3)),
    ],
)
def test_arrays_that_are_not_contiguous_keep_their_values(path, array):
    tg.save({"array": array, "tensor": tg.from_numpy(array)}, path)
    np.testing.assert_array_equal(tg.load(path)["array"], array)
    np.testing.assert_array_equal(tg.load(path)["tensor"].data, array)


def test_arrays_in_another_byte_order_keep_their_values(path):
    tg.save(np.arange(3.0).astype(">f8"), path)
    np.testing.assert_array_equal(tg.load(path), [0.0, 1.0, 2.0])


def test_what_is_loaded_can_be_written_to(path):
    tg.save({"x": np.zeros(2)}, path)
    tg.load(path)["x"][:] = 1


def test_a_name_that_the_format_keeps_for_itself_is_no_trouble(path):
    tree = {"__metadata__": np.arange(3.0), "__metadata__'": np.ones(1)}
    tg.save(tree, path)
    assert the_same(tg.load(path), tree)


def test_a_named_tuple_comes_back_as_a_tuple(path):
    tg.save(namedtuple("Pair", "a b")(1, 2), path)
    assert tg.load(path) == (1, 2)


def test_parameters_have_their_names_in_the_file_for_other_programs(path):
    model = Sized(3)
    tg.save(model, path)
    with safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == ["model.linear.bias", "model.linear.weight"]
        np.testing.assert_array_equal(
            file.get_tensor("model.linear.weight"), model.linear.weight.detach().data
        )


ENDLESS_LIST, ENDLESS_DICT = [], {}
ENDLESS_LIST.append(ENDLESS_LIST)
ENDLESS_DICT["again"] = ENDLESS_DICT


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"a": [1, {"f": print}]}, r"a\.1\.f is a builtin_function_or_method; expected tensors"),
        ({1, 2}, "the object is a set; expected"),
        (nn.Linear, "the object is the class Linear; expected a model, or tensors"),
        (ENDLESS_LIST, "the object contains itself"),
        (ENDLESS_DICT, "the object contains itself"),
        ({"a": np.array(["x"])}, "a has dtype <U1"),
        (np.zeros(2, complex), "the array has dtype complex128"),
        ({"x": np.zeros(2, np.longdouble)}, "x has dtype float128"),
    ],
)
def test_what_cannot_be_saved_says_where_it_is(path, tree, says):
    with pytest.raises(TypeError, match=says):
        tg.save(tree, path)
    assert not path.exists()


# --------------------------------------------------------------------------------------- a model


def test_a_model_is_made_again_from_its_own_configuration(path):
    model = Sized(3, ("x", "y", "z"))
    tg.save(model, path)
    again = tg.load(path, Sized)
    assert again.config == {"inputs": 3, "names": ("x", "y", "z")}
    assert the_same(again.state_dict(), model.state_dict())


def test_a_model_is_made_again_from_the_configuration_that_was_passed(path):
    model = nn.LSTM(2, 3, num_layers=2)
    tg.save(model, path, config={"input_size": 2, "hidden_size": 3, "num_layers": 2})
    assert the_same(tg.load(path, nn.LSTM).state_dict(), model.state_dict())


def test_a_model_keeps_its_dtype(path):
    model = Sized(3).double()
    tg.save(model, path)
    assert the_same(tg.load(path, Sized).state_dict(), model.state_dict())


def test_a_model_that_is_there_is_filled_in_its_memory(path):
    model, other = Sized(3), Sized(3)
    tg.save(model, path)
    weight = other.linear.weight
    assert tg.load(path, other) is other
    assert other.linear.weight is weight
    assert the_same(other.state_dict(), model.state_dict())


def test_a_layer_without_configuration_needs_one_to_be_made_again(path):
    tg.save(nn.Linear(1, 1), path)
    with pytest.raises(CheckpointError, match=r"make one .*: load.path, Linear.*, not load"):
        tg.load(path, nn.Linear)
    with pytest.raises(TypeError, match="config belongs to a model"):
        tg.save([1], path, config={})


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda: Sized(4), r"size mismatch for linear.weight: .* \(2, 3\), the model \(2, 4\)"),
        (lambda: nn.Linear(3, 2), "Missing key"),
        (lambda: Sized(3).double(), "linear.weight is float32, and the model's is float64"),
    ],
)
def test_a_model_that_does_not_fit_is_left_as_it_was(path, other, says):
    tg.save(Sized(3), path)
    model = other()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"does not fit: .*{says}"):
        tg.load(path, model)
    assert the_same(model.state_dict(), before)


def test_a_class_that_takes_another_configuration_says_so(path):
    tg.save(Sized(3), path)
    with pytest.raises(CheckpointError, match=r"does not fit: .*unexpected keyword argument"):
        tg.load(path, nn.Linear)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda path: tg.save(path, nn.Linear(1, 1)), r"got a Linear; it is save\(model, path\)"),
        (lambda path: tg.load(nn.Linear(1, 1), path), r"got a Linear; it is load\(path, model\)"),
        (lambda path: tg.load(nn.Linear, path), r"got the class Linear; it is load\(path, model\)"),
        (lambda path: tg.load(path, 3), "expected a model or its class, got an int"),
    ],
)
def test_arguments_in_another_order_are_shown_the_right_one(path, call, says):
    with pytest.raises(TypeError, match=says):
        call(path)


def test_what_makes_no_model_says_so(path):
    tg.save(nn.Linear(1, 1), path, config={"a": 1})
    with pytest.raises(CheckpointError, match="does not fit: dict makes a dict, and no model"):
        tg.load(path, dict)


def test_a_file_without_a_model_says_so(path):
    tg.save({"a": 1}, path)
    with pytest.raises(CheckpointError, match="does not fit: it holds no model; load"):
        tg.load(path, Sized)
    with pytest.raises(CheckpointError, match="does not fit: it holds no model; load"):
        tg.load(path, Sized(2))


# ------------------------------------------------------------------------ files that are not good


def test_every_file_that_was_cut_short_is_noticed(path):
    tg.save({"x": np.arange(5), "name": "abc"}, path)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="is damaged, or no checkpoint at all"):
            tg.load(path)


def test_every_byte_that_was_changed_is_noticed(path):
    tree = {"x": np.arange(5), "name": "abc"}
    tg.save(tree, path)
    content = bytearray(path.read_bytes())
    for i in range(len(content)):
        content[i] ^= 1
        path.write_bytes(content)
        content[i] ^= 1
        try:
            loaded = tg.load(path)
        except CheckpointError as error:
            one_line = str(path) in str(error) and "\n" not in str(error)
            assert one_line, (i, error)  # noqa: PT017
        else:  # a space in the padding of the header, which says nothing
            assert the_same(loaded, tree), i


def test_a_safetensors_file_of_others_is_refused(path):
    save_file({"weight": np.ones(2)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="is a safetensors file, but no checkpoint of ours"):
        tg.load(path)


def test_a_later_layout_is_refused_with_the_reason(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 7)
    tg.save([1], path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="has layout 7, and this version reads 1"):
        tg.load(path)


def test_the_checksum_covers_arrays_names_and_text(path):
    """So that it cannot be that of another file."""
    trees = [
        {"a": np.zeros(4)}, {"b": np.zeros(4)}, {"a": np.zeros((2, 2))}, {"a": np.ones(4)},
        {"a": np.zeros(4, np.int64)}, {"a": tg.zeros(4, dtype=tg.float64)},
    ]  # fmt: skip
    sums = set()
    for tree in trees:
        tg.save(tree, path)
        with safe_open(path, "numpy") as file:
            sums.add(json.loads(file.metadata()["tinygrad_rnn"])["sha256"])
    assert len(sums) == len(trees)
    assert all(len(s) == len(hashlib.sha256().hexdigest()) for s in sums)


def test_the_metadata_is_text_that_a_person_can_read(path):
    tg.save({"lr": 0.1, "x": np.zeros(1)}, path)
    with safe_open(path, "numpy") as file:
        text = json.loads(file.metadata()["tinygrad_rnn"])
    assert text["version"] == 1
    assert text["tree"] == {"dict": [["lr", 0.1], ["x", {"array": "x"}]]}


def test_equal_content_gives_equal_files(tmp_path):
    tree = {name: np.arange(i + 1) for i, name in enumerate("caebd")}
    files = [tmp_path / str(i) for i in range(8)]
    for file in files:
        tg.save(tree, file)
    assert len({file.read_bytes() for file in files}) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [("missing", "cannot read .*missing: No such file"), (".", "cannot read .*: Is a directory")],
)
def test_what_cannot_be_read_is_one_clear_line(tmp_path, name, says):
    with pytest.raises(CheckpointError, match=says):
        tg.load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "says"), [("no/folder/f", "there is no folder"), (".", "is a folder")]
)
def test_what_cannot_be_written_is_one_clear_line(tmp_path, name, says):
    with pytest.raises(CheckpointError, match=f"cannot write .*: {says}"):
        tg.save([1], tmp_path / name)


# --------------------------------------------------------------------------------- all or nothing


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    tg.save([1], path)

    def interrupted(*_):
        raise KeyboardInterrupt

    for function in ("fsync", "replace"):
        monkeypatch.setattr(os, function, interrupted)
        with pytest.raises(KeyboardInterrupt):
            tg.save([2], path)
        monkeypatch.undo()
    assert tg.load(path) == [1]
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_is_a_checkpoint_error(path, monkeypatch):
    tg.save([1], path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(CheckpointError, match=r"cannot write .*: No space left"):
        tg.save([2], path)
    assert tg.load(path) == [1]
    assert os.listdir(path.parent) == [path.name]


def test_the_content_and_then_the_name_reach_the_disk(path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(number):
        done.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file")
        fsync(number)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", lambda *p: (done.append("replace"), replace(*p)))
    tg.save([1], path)
    assert done == ["file", "replace", "folder"]


def test_a_link_stays_a_link(path, tmp_path):
    real = tmp_path / "real"
    real.write_text("old")
    path.symlink_to(real)
    tg.save([1], path)
    assert path.is_symlink()
    assert tg.load(real) == [1]


def test_a_new_file_has_the_rights_that_the_user_gives_to_files(path):
    plain = path.with_name("plain")
    Path(plain).write_text("")
    tg.save([1], path)
    assert path.stat().st_mode == plain.stat().st_mode


def test_importing_the_package_does_not_import_what_only_training_and_files_need(python):
    shown, _ = python(
        "import sys, tinygrad_rnn\n"
        "later = ['safetensors', 'hashlib', 'json', 'rich', 'numpy.random', 'tinygrad_rnn.train']\n"
        "print(*[name for name in later if name in sys.modules])\n"
        "print(tinygrad_rnn.save.__name__, tinygrad_rnn.Trainer.__name__)"
    )
    assert shown == ["save", "Trainer"]


def test_every_public_name_is_there_and_no_other():
    assert all(hasattr(tg, name) for name in tg.__all__)
    with pytest.raises(AttributeError, match="module 'tinygrad_rnn' has no attribute 'loda'"):
        tg.loda  # noqa: B018


# ------------------------------------------------------------------------ names of files, and rests


@pytest.mark.parametrize(
    ("name", "says"),
    [("a" * 300, "File name too long"), ("a\0b", r"'.*a\\x00b' is no path: it holds the char")],
)
def test_what_can_be_no_name_of_a_file_is_one_line(tmp_path, name, says):
    for run in (lambda path: tg.save([1], path), tg.load):
        with pytest.raises(CheckpointError, match=says) as error:
            run(f"{tmp_path}/{name}")
        assert "\n" not in str(error.value)


def test_a_name_as_long_as_a_name_can_be(tmp_path):
    for name in ("a" * 255, "ä" * 127):
        tg.save([name], tmp_path / name)
        assert tg.load(tmp_path / name) == [name]


def test_an_integer_too_long_to_be_written_is_refused(path):
    tg.save([10**4000], path)
    assert tg.load(path) == [10**4000]
    with pytest.raises(CheckpointError, match="holds an integer of more than 4300 digits"):
        tg.save([10**5000], path)
    assert tg.load(path) == [10**4000]


@pytest.mark.skipif(os.name != "posix", reason="nobody knows there whether a process lives")
def test_what_a_killed_process_left_is_removed_with_the_next_save(path, python):
    (dead,), _ = python("import os; print(os.getpid())")
    left, others, ours = (
        path.with_name(f".{name}.part")
        for name in (f"{path.name}.{dead}", f"x{path.name}.{dead}", path.name)
    )
    alive = path.with_name(f".{path.name}.{os.getppid()}.part")
    for file in (left, others, ours, alive):
        file.touch()
    tg.save([1], path)
    assert sorted(path.parent.iterdir()) == sorted([path, others, ours, alive])


# ------------------------------------------------------------------ content that nobody should make


def odd(**config):
    if "cell" in config:
        return nn.Linear({}[config["cell"]], 1)
    return nn.Linear(1 // config["n"], 1)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"model": {}, "config": {"cell": "cnn"}}, "odd cannot .* cell as saved: KeyError: 'cnn'"),
        ({"model": {}, "config": {"n": 0}}, "keywords n as saved: ZeroDivisionError: int"),
        ({"model": {}, "config": [1]}, "its configuration is a list, not keywords and their"),
        ({"model": {}, "config": {1: 2}}, "its configuration is a dict, not keywords and their"),
        ({"model": {}}, "it has no configuration of a model"),
        ({"model": 3, "config": {"n": 1}}, "its model is not parameters by their names"),
        ({"model": {1: np.ones(1)}, "config": {"n": 1}}, "its model is not parameters by their"),
        ({"model": {"bias": 1}, "config": {"n": 1}}, "its model is not parameters by their names"),
    ],
)
def test_the_reason_why_it_does_not_fit_helps(path, tree, says):
    tg.save(tree, path)
    with pytest.raises(CheckpointError, match=says):
        tg.load(path, odd)


def test_text_that_is_nested_without_end_is_damage(path):
    save_file({}, path, {"tinygrad_rnn": "[" * 100_000})
    with pytest.raises(CheckpointError, match="damaged, or no checkpoint at all"):
        tg.load(path)
