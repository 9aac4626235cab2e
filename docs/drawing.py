"""Figures for the pages: SVG in the colours of the page around them, light or dark."""

import io
import re
from collections.abc import Iterable
from itertools import count

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK, GREY = "#3b8eea", "#e8833a", "#2ca37c", "#d55a9f", "#8a8f98"
INK = "#0a0b0c"  # stands for the colour of the text around the figure

mpl.rcParams.update(
    {
        **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color"], INK),
        "axes.edgecolor": GREY,
        "axes.prop_cycle": mpl.cycler(color=[BLUE, ORANGE, GREEN, PINK, GREY]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "svg.fonttype": "none",  # text stays text
    }
)
_numbers = count()


class Drawing:
    """An SVG that a notebook shows."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_html_(self) -> str:
        return f'<div class="drawing">{self.svg}</div>'


def axes(columns: int = 1, width: float = 7.0, height: float = 2.9, **options) -> list[Axes]:
    """Empty axes beside each other, in inches."""
    return list(Figure((width, height)).subplots(1, columns, squeeze=False, **options)[0])


def drawn(figure: Figure) -> Drawing:
    """A figure of matplotlib as SVG that takes its ink from the page."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": str(next(_numbers))}):  # ids of its own on the page
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    return Drawing(svg.replace(INK, "currentColor"))


def diagram(width: int, height: int, *parts: str) -> Drawing:
    """Boxes, arrows and words: an SVG of `parts`, in pixels."""
    number = next(_numbers)
    heads = "".join(
        f'<marker id="head{number}{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" class="head {name}"/></marker>'
        for name in ("forward", "backward")
    )
    body = "".join(parts).replace("url(#head", f"url(#head{number}")
    return Drawing(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<defs>{heads}</defs>{body}</svg>"
    )


def box(
    x: float, y: float, text: str, width: float = 34, height: float = 34, kind: str = ""
) -> str:
    """A box with words in it, around (x, y)."""
    return (
        f'<rect class="box {kind}" x="{x - width / 2}" y="{y - height / 2}" width="{width}" '
        f'height="{height}" rx="6"/>' + word(x, y, text)
    )


def word(x: float, y: float, text: str, kind: str = "") -> str:
    """Words around (x, y)."""
    return f'<text class="{kind}" x="{x}" y="{y}">{text}</text>'


def arrow(points: Iterable[float], kind: str = "forward") -> str:
    """An arrow from (x, y) to (x, y), or a curve by way of one more point between them."""
    x0, y0, *between, x1, y1 = points
    curve = f"Q{between[0]} {between[1]} {x1} {y1}" if between else f"L{x1} {y1}"
    return f'<path class="arrow {kind}" d="M{x0} {y0}{curve}" marker-end="url(#head{kind})"/>'
