"""What the tools here give can be printed, shown in colours, and seen in a notebook."""

import os
from io import StringIO
from pathlib import Path
from typing import Any


class Shown:
    """``print`` writes plain text, `show` colours, a notebook HTML: of what `__rich__` gives."""

    width = 100  # columns, where no screen says how many it has

    def __rich__(self) -> Any:
        """Something that Rich can print."""
        raise NotImplementedError

    def show(self) -> None:
        """Prints it as the terminal can: in colours, as wide as the window."""
        from rich.console import Console

        Console().print(self)

    def __str__(self) -> str:
        from rich.console import Console

        # Rich would show what it prints in a notebook, whatever its file is.
        console = Console(file=StringIO(), width=self.width, color_system=None, force_jupyter=False)
        with console.capture() as printed:
            console.print(self)
        return "\n".join(line.rstrip() for line in printed.get().split("\n")).rstrip("\n")

    def _repr_html_(self) -> str:
        return html(self, self.width)


def html(shown: Any, width: int = 100) -> str:
    """What Rich can print, or plain text, for a notebook."""
    from rich.console import Console

    console = Console(
        file=StringIO(), width=width, color_system="truecolor", record=True, force_jupyter=False
    )
    plain = isinstance(shown, str)
    console.print(shown, markup=not plain, highlight=not plain, soft_wrap=plain)
    form = '<pre style="line-height: 1.2; font-family: monospace">{code}</pre>'
    return console.export_html(inline_styles=True, code_format=form)


def check_file(name: str, path: Any) -> None:
    """Raises: TypeError, FileNotFoundError, IsADirectoryError where no file can be written."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name}: expected the path of a file, got {type(path).__name__}")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{name}: cannot write {path}: it is a folder; add a file name")
    if not Path(path).parent.is_dir():
        folder = Path(path).parent
        raise FileNotFoundError(
            f"{name}: cannot write {path}: there is no folder {folder}; make it first"
        )
