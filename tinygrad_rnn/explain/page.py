"""`page`: the picture as one HTML file to explore, which needs no network and no server."""

import json
import os
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..autograd.tensor import Tensor
from ..nn.module import Module
from .grid import grid
from .look import PALETTE, RAMP, SHADES, WORDS
from .scale import scale_of
from .scene import scene
from .show import check_file

SCRIPTS = ("page_elements.js", "page_numbers.js", "page_figure.js", "page.js")
"""One script in four files, by subject."""


class Page:
    """A page as text, ``html``; a notebook shows it."""

    def __init__(self, html: str) -> None:
        self.html = html

    def __repr__(self) -> str:
        return f"<page of {len(self.html) / 1e3:,.0f} kB>"

    def _repr_html_(self) -> str:
        framed = escape(self.html, quote=True)
        return f'<iframe srcdoc="{framed}" style="width:100%;height:800px;border:0"></iframe>'


def page(
    loss: Tensor,
    path: str | os.PathLike[str] | None = None,
    other: Tensor | None = None,
    names: Sequence[str] = (),
    model: Module | None = None,
) -> Page:
    """The tape behind a loss as a page to explore; written to `path`, one file, if there is one.

    Columns are time, rows are layers; lines are as wide as the gradient that flows back along them.
    A slider replays backward, nodes show their numbers: of the gradient, and of the value where a
    derivative mentions it, or where the forward pass ran inside `watch`.  With `other`, a second
    loss, two tapes stand side by side on the same scale, under `names`.  With a model its
    parameters are called by their names.  No ``.grad`` is touched, and the tapes are as they were.
    Raises: TypeError, ValueError, RuntimeError as `Lines`; OSError for a path without a folder.
    """
    if isinstance(path, Tensor):
        raise TypeError("page: expected a path, got a Tensor; a second loss is other=")
    if path is not None:
        check_file("page", path)
    grids = [grid(tensor, model) for tensor in ([loss] if other is None else [loss, other])]
    scale = scale_of(*(np.array([*each.norms()]) for each in grids), log=True)
    titles = list(names) or ["first", "second"][: len(grids) * (len(grids) > 1)]
    if len(titles) not in (0, len(grids)):
        raise ValueError(f"page: expected {len(grids)} names, one for each loss; got {len(titles)}")
    data = {
        "scenes": [scene(each, scale) for each in grids],
        "names": titles, "words": WORDS, "shades": SHADES,
    }  # fmt: skip
    parts = {
        "title": escape(" and ".join(titles) or grids[0].title),
        "style": _colours() + _text("picture.css") + _text("page.css"),
        "data": json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"),
        "script": "\n".join(map(_text, SCRIPTS)),
    }
    text = re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], _text("page.html"))
    if path is not None:
        Path(path).write_text(text, "utf-8")
    return Page(text)


def _colours() -> str:
    """The colours as variables, for light and dark; what they colour is in the style sheets."""
    rules = []
    for dark in (False, True):
        named = {name: both[dark] for name, both in PALETTE.items()}
        named |= {f"g{k}": both[dark] for k, both in enumerate(RAMP)}
        text = ":root { " + " ".join(f"--{name}: {c};" for name, c in named.items()) + " }\n"
        rules.append(f"@media (prefers-color-scheme: dark) {{ {text}}}\n" if dark else text)
    shades = (
        f".edge.g{k} {{ stroke: var(--g{k}); }} .heat.g{k} {{ fill: var(--g{k}); }}\n"
        for k in range(SHADES)
    )
    return ":root { color-scheme: light dark; }\n" + "".join(rules) + "".join(shades)


def _text(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")
