"""The disk cache: compiled functions, one file each, in a folder that nobody else may write to.

A file is a digest and the content that it is the digest of.  So a truncated or foreign file is
known before it is unpickled; and a file appears in one step, so that processes that compile the
same thing at once do no more than the same work.  Where nothing can be stored everything still
works, compiled anew in each process.
"""

import hashlib
import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

VARIABLE = "TINYGRAD_RNN_CACHE"
DIGEST = hashlib.sha256().digest_size


def read(name: str) -> bytes | None:
    """What was stored under the name; None where there is none, or none that is whole."""
    place = folder()
    if place is None:
        return None
    try:
        data = (place / name).read_bytes()
    except OSError:
        return None
    digest, content = data[:DIGEST], data[DIGEST:]
    if hashlib.sha256(content).digest() == digest:
        return content
    discard(name)
    return None


def write(name: str, content: bytes) -> None:
    """Stores the content, or says once that it cannot be stored."""
    place = folder()
    if place is None:
        return
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=f"{name}.", delete=False) as file:
            try:
                file.write(hashlib.sha256(content).digest() + content)
                file.close()
                os.replace(file.name, place / name)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        notice(f"compiled code cannot be kept in {place}: {error.strerror}")


def discard(name: str) -> None:
    """Takes a damaged file away."""
    place = folder()
    if place is not None:
        notice(f"compiled code in {place} was damaged: it is deleted and compiled again")
        try:
            (place / name).unlink(missing_ok=True)
        except OSError as error:
            notice(f"it cannot be deleted: {error.strerror}")


def folder() -> Path | None:
    """``$TINYGRAD_RNN_CACHE``, or the one in the user's cache directory, if there is one."""
    if given := os.environ.get(VARIABLE):
        return trusted(Path(given))
    if given := os.environ.get("XDG_CACHE_HOME"):
        return trusted(Path(given) / "tinygrad_rnn")
    try:
        home = Path.home()
    except RuntimeError:
        notice(f"there is no home to keep compiled code in; ${VARIABLE} can name a folder")
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = home / ".cache"
    return trusted(base / "tinygrad_rnn")


@cache
def trusted(place: Path) -> Path | None:
    """The folder, made if it was missing; None, with a notice, where others can write to it."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.stat()
    except OSError as error:
        notice(f"compiled code cannot be kept in {place}: {error.strerror}")
        return None
    if os.name == "posix":
        if found.st_uid != os.getuid():
            notice(f"compiled code is not kept in {place}, because it belongs to somebody else")
            return None
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            notice(
                f"compiled code is not kept in {place}, because others can write there: chmod go-w"
            )
            return None
    return place


@cache
def notice(text: str) -> None:
    """Says something to the user, once in a process."""
    print(f"tinygrad_rnn: {text}", file=sys.stderr)
