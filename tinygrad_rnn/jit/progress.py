"""What the user sees when something compiles, and how often that was."""

import sys

LINE = "tinygrad_rnn: compiling ..."
_compiled = 0


def compilations() -> int:
    """How many functions this process has compiled, for lack of a stored one."""
    return _compiled


def begin() -> None:
    """Counts; before the first one, a line on a terminal says so, and whether it is for good."""
    global _compiled
    _compiled += 1
    if _compiled == 1 and sys.stderr.isatty():
        from . import disk  # with hashing and temporary files, which importing should not wait for

        place = disk.folder()
        often = f"once; kept in {place}" if place else "in every process: it cannot be kept"
        print(f"{LINE} ({often})", file=sys.stderr, flush=True)
