"""The disk cache: compiled functions, one file each, in a folder that nobody else may write to.

A file is the digest of its content and the content, a pickle.  So a truncated or foreign file is
known before it is unpickled; and a file is replaced in one step, so that processes that compile the
same thing at once only do the same work twice.  Where nothing can be stored everything still works,
compiled anew in each process.
"""

import hashlib
import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

VARIABLE = "TINYGRAD_RNN_CACHE"


def folder() -> Path | None:
    """``$TINYGRAD_RNN_CACHE``, or the user's cache directory; None where there is no home."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "tinygrad_rnn"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "tinygrad_rnn"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "tinygrad_rnn"
    return home / ".cache" / "tinygrad_rnn"


def read(name: str) -> bytes | None:
    """The content stored under the name; None where there is none, or none that is whole."""
    place = usable(folder())
    if place is None:
        return None
    try:
        digest, content = _split((place / name).read_bytes())
    except OSError:
        return None
    if hashlib.sha256(content).digest() == digest:
        return content
    discard(name)
    return None


def write(name: str, content: bytes) -> None:
    """Stores the content, or does nothing where that is impossible."""
    place = usable(folder())
    if place is None:
        return
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=f"{name}.", delete=False) as file:
            try:
                file.write(hashlib.sha256(content).digest() + content)
                file.close()
                os.replace(file.name, place / name)
            except OSError:
                os.unlink(file.name)
                raise
    except OSError as error:
        notice(f"cannot store compiled code in {place} ({error.strerror}), so each process compiles")


def discard(name: str) -> None:
    """Takes a file away that is not what was written."""
    place = usable(folder())
    if place is not None:
        notice(f"{place / name} is damaged; compiling it again")
        (place / name).unlink(missing_ok=True)


def _split(data: bytes) -> tuple[bytes, bytes]:
    return data[:32], data[32:]


@cache
def usable(place: Path | None) -> Path | None:
    """The folder, made where it was missing; None with a notice where it cannot be trusted."""
    if place is None:
        notice("there is no home directory to keep compiled code in; $TINYGRAD_RNN_CACHE can name one")
        return None
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.stat()
    except OSError as error:
        notice(f"cannot keep compiled code in {place} ({error.strerror}), so each process compiles")
        return None
    if os.name == "posix":
        if found.st_uid != os.getuid():
            notice(f"compiled code is not kept in {place}, which belongs to somebody else")
            return None
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            notice(f"compiled code is not kept in {place}, where others can write (chmod go-w)")
            return None
    return place


@cache
def notice(text: str) -> None:
    """Says something to the user, once in a process."""
    print(f"tinygrad_rnn: {text}", file=sys.stderr)
