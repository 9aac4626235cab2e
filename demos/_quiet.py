"""What ends a demo without a traceback; imported first, before the imports that take long."""

import os
import sys
from types import TracebackType


def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Says in one line, or not at all, what is no mistake of the program."""
    if issubclass(kind, KeyboardInterrupt):  # Python itself exits with 130
        return
    if issubclass(kind, BrokenPipeError):  # nobody reads on: `| head`
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # where Python writes what is left when it exits
    elif issubclass(kind, MemoryError):
        print(f"{os.path.basename(sys.argv[0])}: not enough memory: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = hook
for name in ("stdout", "stderr"):
    if getattr(sys, name) is None:  # closed by the shell: `>&-`
        setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # it stays open
