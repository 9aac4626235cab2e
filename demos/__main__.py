"""Lists the demos: what each shows and how long it takes, in its own words."""

import ast
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent


def main(arguments: Sequence[str] = ()) -> int:
    try:
        from _shared import SOURCE, missing
    except ModuleNotFoundError as error:
        print(f"demos: {error.name} is not installed: pip install --editable .", file=sys.stderr)
        return 2
    if arguments:
        print("demos: to run one, python demos/NAME.py; this lists them", file=sys.stderr)
        return 2
    paths = sorted(HERE.glob("[!_]*.py"))
    width = max(len(path.name) for path in paths)
    for path in paths:
        sentence, needs = described(path.read_text("utf-8"))
        lacks = " ".join(missing(needs))
        note = f" [{lacks} is not installed: {SOURCE} '.[demos]']" if lacks else ""
        print(f"{path.name:<{width}}  {sentence}{note}")
    if missing(["matplotlib"]):
        line = f"demos: --plot needs matplotlib, which is not installed: {SOURCE} '.[plot]'"
        print(line, file=sys.stderr)
    return 0


def described(source: str) -> tuple[str, list[str]]:
    """The first line of a demo's docstring, and its NEEDS, without running it."""
    module = ast.parse(source)
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NEEDS":
            needs = ast.literal_eval(node.value)
            break
    else:
        needs = []
    return (ast.get_docstring(module) or "").split("\n")[0], needs


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):  # not on Windows; `| head` ends the list without a word
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
