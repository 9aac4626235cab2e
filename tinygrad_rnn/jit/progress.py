"""What the user sees while something compiles, and how often that was."""

import sys

LINE = "tinygrad_rnn: compiling ... (once; cached afterwards)"
_compiled = 0


def compilations() -> int:
    """How many functions this process has compiled, for lack of a stored one."""
    return _compiled


def begin() -> None:
    """Shows the line on a terminal."""
    global _compiled
    _compiled += 1
    if sys.stderr.isatty():
        print(f"\r{LINE}", end="", file=sys.stderr, flush=True)


def end() -> None:
    """Takes the line away."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
