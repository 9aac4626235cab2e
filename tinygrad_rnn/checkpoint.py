"""Saving and loading: models, runs, any nesting of tensors and numbers, in one safe file.

The file is a safetensors file: arrays by name, which other programs read as well, and text.  The
text says the version of this layout, the SHA-256 of everything, and how the arrays are nested among
numbers and words.  Nothing in it is ever run.  Equal content gives equal files.

Source: the format is that of https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from .autograd.checks import kind
from .autograd.operations import array_of
from .autograd.tensor import Tensor
from .nn.module import Module

VERSION = 1
KEY = "tinygrad_rnn"  # of the text among the file's metadata
Arrays = dict[str, np.ndarray]


class CheckpointError(RuntimeError):
    """A file cannot be written or read, or does not fit; nothing has been changed."""


def save(obj: Any, path: str | Path, config: dict[str, Any] | None = None) -> None:
    """Writes a model, or any nesting of dicts, lists and tuples of tensors, arrays and numbers.

    Of a model its parameters are saved, and the configuration from which `load` makes it again: the
    keywords of its class, `config` or else ``model.config``.

    The file is replaced at once when all is written; whatever interrupts that leaves the old one.

    Raises: CheckpointError where it cannot be written; TypeError for what cannot be saved.

    >>> from tempfile import TemporaryDirectory
    >>> from tinygrad_rnn import nn
    >>> with TemporaryDirectory() as folder:
    ...     path = f"{folder}/line.safetensors"
    ...     save(nn.Linear(2, 1), path, config={"in_features": 2, "out_features": 1})
    ...     load(path, nn.Linear)
    Linear(2, 1)
    """
    path = path_of(path, "save(model, path)")
    if isinstance(obj, Module):
        chosen = getattr(obj, "config", None) if config is None else config
        obj = {"model": obj.state_dict(), "config": chosen}
    elif config is not None:
        raise TypeError(f"save: config belongs to a model, and this is {kind(obj)}")
    arrays: Arrays = {}
    try:
        tree = _said(obj, "", arrays)
        text = {"version": VERSION, "sha256": _digest(tree, arrays), "tree": tree}
        metadata = {KEY: json.dumps(text)}  # one entry: several have no order that stays
    except RecursionError:
        raise TypeError("save: the object contains itself, or is nested too deeply") from None
    except ValueError:  # JSON's only one: Python writes no such number
        most = sys.get_int_max_str_digits()
        raise CheckpointError(
            f"cannot write {path}: it holds an integer of more than {most} digits"
        ) from None
    from safetensors.numpy import save as serialized  # here: imports do not wait for it

    _replace(Path(os.path.realpath(path)), serialized(arrays, metadata))


def load(path: str | Path, model: Module | Callable[..., Module] | None = None) -> Any:
    """What `save`, or `Trainer.save`, has written.

    With the class of a model (or a function), the model: made with the saved configuration, filled
    with the saved parameters.  With a model, that model, filled.  Without, all that is in the file:
    of a model and of a run a dict with "model" and "config".

    Raises: CheckpointError for a file that is not ours, is damaged, or does not fit; TypeError for
    what is no path or no model.
    """
    path = path_of(path, "load(path, model)")
    if model is not None and not callable(model):
        raise TypeError(f"load: expected a model or its class, got {kind(model)}")
    tree = _read(path)
    if model is None:
        return tree
    with fitting(path):
        if not isinstance(tree, dict) or "model" not in tree:
            raise ValueError("it holds no model; load(path) alone gives what it holds")
        parameters, config = tree["model"], tree.get("config")
        pairs = parameters.items() if isinstance(parameters, dict) else [(None, None)]
        if not all(isinstance(name, str) and hasattr(p, "dtype") for name, p in pairs):
            raise ValueError("its model is not parameters by their names")
        if not isinstance(model, Module):
            name = getattr(model, "__name__", "Model")
            if config is None:
                raise ValueError(
                    "it has no configuration of a model; make one and pass that: "
                    f"load(path, {name}(...)), not load(path, {name})"
                )
            model = _made(model, config, name)
            for name, p in model.named_parameters():
                p.data = p.data.astype(parameters[name].dtype) if name in parameters else p.data
        fill(model, parameters)
    return model


def _made(model: Callable[..., Module], config: Any, name: str) -> Module:
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise TypeError(f"its configuration is {kind(config)}, not keywords and their values")
    try:
        made = model(**config)
    except Exception as error:  # the constructor is the user's: anything may go wrong in it
        raise ValueError(
            f"{name} cannot be made with the keywords {', '.join(config) or 'of none'} as saved: "
            f"{type(error).__name__}: {error}"
        ) from None
    if not isinstance(made, Module):
        raise TypeError(f"{name} makes {kind(made)}, and no model")
    return made


def fill(model: Module, parameters: dict[str, Tensor]) -> None:
    """`Module.load_state_dict` without any change of dtype.

    Raises: ValueError or RuntimeError where something does not fit; nothing has been changed then.
    """
    dtypes = {name: p.dtype for name, p in model.state_dict().items()}
    for name, p in parameters.items():
        if name in dtypes and dtypes[name] != p.dtype:
            raise ValueError(f"{name} is {p.dtype}, and the model's is {dtypes[name]}")
    model.load_state_dict(parameters)


@contextmanager
def fitting(path: str | Path) -> Iterator[None]:
    """Turns what goes wrong in taking over the content of a file into a `CheckpointError`."""
    try:
        yield
    except KeyError as error:
        raise CheckpointError(f"{path} does not fit: it has no {error.args[0]!r}") from None
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())  # in one line
        raise CheckpointError(f"{path} does not fit: {reason}") from None


def path_of(given: Any, usage: str) -> Path:
    """What was given, as a path.  Raises: TypeError that shows the usage where it is none."""
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f"expected a path, got {kind(given)}; it is {usage}")
    if "\0" in os.fspath(given):
        raise CheckpointError(f"{given!r} is no path: it holds the character NUL")
    return Path(given)


def check_folder(path: str | Path) -> None:
    """Raises: CheckpointError where no file of that name can be written."""
    path = Path(path)
    try:
        if path.is_dir() or not path.parent.is_dir():
            found = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise CheckpointError(f"cannot write {path}: {found}")
    except OSError as error:  # its name is too long
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from None


# ---------------------------------------------------------------------------------- bytes on disk


def _replace(path: Path, content: bytes) -> None:
    """Puts a file in the place of another at once: readers see the old one or the new one."""
    check_folder(path)
    short = os.fsdecode(os.fsencode(path.name)[:200])  # no name is longer than 255 bytes
    beside = path.with_name(f".{short}.{os.getpid()}.part")
    try:
        _tidy(path.parent, short)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        if os.name == "posix":  # the new name is on the disk only when the folder is
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


def _tidy(folder: Path, name: str) -> None:
    """Removes what processes that were killed have left of files of this name."""
    for part in folder.glob(f".{escape(name)}.*.part") if os.name == "posix" else ():
        number = part.name.removeprefix(f".{name}.").removesuffix(".part")
        try:
            os.kill(int(number), 0)  # does nothing, but knows whether there is such a process
        except (ProcessLookupError, OverflowError):
            part.unlink(missing_ok=True)
        except (PermissionError, ValueError):  # somebody else's process, or no file of ours
            continue


def _read(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    damaged = f"{path} is damaged, or no checkpoint at all"
    try:
        path.open("rb").close()  # a folder, a missing file: in the system's words
        with safe_open(path, "numpy") as file:
            metadata = (file.metadata() or {}).get(KEY)
            if metadata is None:
                raise CheckpointError(f"{path} is a safetensors file, but no checkpoint of ours")
            text = json.loads(metadata)
            if text["version"] != VERSION:
                raise CheckpointError(
                    f"{path} has layout {text['version']}, and this version reads {VERSION}: use "
                    "the one that wrote it"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{damaged} ({error})") from None
    if text.get("sha256") != _digest(text.get("tree"), arrays):
        raise CheckpointError(f"{damaged} (the SHA-256 of its content is another)")
    return _meant(text["tree"], arrays)


def _digest(tree: Any, arrays: Arrays) -> str:
    from hashlib import sha256

    digest = sha256(json.dumps([VERSION, tree]).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# ----------------------------------------------------------------------------- nesting, as text


def _said(value: Any, name: str, arrays: Arrays) -> Any:
    """The value as JSON; arrays are put aside under their names.  {"kind": ...} is what JSON lacks.

    Raises: TypeError for what is neither a number nor made of them.
    """
    if isinstance(value, Tensor | np.ndarray | np.generic):
        said = "tensor" if isinstance(value, Tensor) else "array"
        said = "number" if isinstance(value, np.generic) else said
        return {said: _put_aside(np.asarray(array_of(value)), name, arrays)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value

    def inner(key: Any, part: Any) -> Any:
        return _said(part, f"{name}.{key}" if name else str(key), arrays)

    if isinstance(value, list | tuple):
        parts = [inner(i, part) for i, part in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, dict):
        return {"dict": [[inner("key", key), inner(key, part)] for key, part in value.items()]}
    raise TypeError(
        f"save: {name or 'the object'} is {kind(value)}; expected {'' if name else 'a model, or '}"
        "tensors, arrays, numbers and texts, in dicts, lists and tuples"
    )


def _put_aside(array: np.ndarray, name: str, arrays: Arrays) -> str:
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"save: {name or 'the array'} has dtype {array.dtype}, not of numbers")
    while name in arrays or name == "__metadata__":  # "a.b" may be one key or two
        name += "'"
    # safetensors takes the memory as it lies, in C order and the machine's byte order.
    arrays[name] = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    return name


def _meant(said: Any, arrays: Arrays) -> Any:
    """The value that `_said` said."""
    if isinstance(said, list):
        return [_meant(part, arrays) for part in said]
    if not isinstance(said, dict):
        return said
    ((what, content),) = said.items()
    if what == "dict":
        return {_meant(key, arrays): _meant(part, arrays) for key, part in content}
    if what == "tuple":
        return tuple(_meant(part, arrays) for part in content)
    if what == "float":
        return float(content)
    array = arrays[content]
    return Tensor(array) if what == "tensor" else array[()] if what == "number" else array
