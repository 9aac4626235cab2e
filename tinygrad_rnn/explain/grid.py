"""`grid`: a tape folded to layers over time, with the gradient that flows through each step."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..autograd.tensor import Tensor
from ..nn.module import Module
from .flow import Flow, flow, norm
from .fold import Fold, fold
from .layout import Picture, layout
from .lines import Lines
from .look import figure
from .scale import Scale, scale_of
from .show import Shown

if TYPE_CHECKING:
    from .terminal import Terminal


class Grid(Shown):
    """The tape behind a loss as a picture: see `grid`."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.fold: Fold = fold(lines)
        self.flow: Flow = flow(lines)

    def __repr__(self) -> str:
        return f"<grid: {self.title}>"

    @cached_property
    def picture(self) -> Picture:
        """Where everything stands."""
        return layout(self.fold)

    @property
    def scale(self) -> Scale:
        """On which all gradients of the tape can be told apart."""
        return scale_of(np.array([*self.norms()]), log=True)

    def norms(self) -> Iterator[float]:
        """Of all that arrives at a line and of all that leaves it."""
        for i in range(len(self.lines)):
            yield self.flow.at[i]
            yield from self.flow.leaving[i].values()

    @cached_property
    def heat(self) -> list[list[float]]:
        """For every step of each layer the norm of the gradient of what it hands on.

        That is what other steps, layers and the loss read of it: of an LSTM h and c.
        """
        fold, rows = self.fold, []
        for number, layer in enumerate(fold.layers):
            rows.append([norm(np.array(self._handed(number, t))) for t in range(len(layer.steps))])
        return rows

    def _handed(self, number: int, t: int) -> list[float]:
        place, users = self.fold.place, self.lines.users
        found = []
        for i in self.fold.layers[number].steps[t].values():
            for k, g in enumerate(self.flow.arriving[i]):
                readers = [place.get(use.line, (-1, 0, 0))[:2] for use in users.get((i, k), [])]
                if any(reader != (number, t) for reader in readers) or not readers:
                    found.append(g)
        return found

    @property
    def title(self) -> str:
        """What there is, in one line."""
        layers = {(layer.level, layer.shelf) for layer in self.fold.layers if not layer.aside}
        time = f"{_count(len(layers), 'layer')} over {_count(self.fold.columns, 'step')}"
        tape, loss = _count(len(self.lines), "line"), f"loss {figure(self.lines.loss.item())}"
        return " · ".join([time, tape, loss] if layers else [tape, loss])

    # ------------------------------------------------------------------------ how it is shown

    def __rich__(self) -> "Terminal":
        from .terminal import Terminal  # when it is used: plain programs do not wait for Rich

        return Terminal(self)

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:  # an image, so that its style sheet stays its own
        data = b64encode(self.svg().encode()).decode()
        return f'<img alt="{self.title}" src="data:image/svg+xml;base64,{data}">'

    def svg(self, steps: Sequence[int] | None = None) -> str:
        """The picture as SVG; `steps` as in `explain.svg`."""
        from .svg import drawn

        return drawn(self, steps)


def grid(loss: Tensor, model: Module | None = None) -> Grid:
    """The tape behind a loss folded to layers over time: ``print(explain.grid(loss))``.

    A block for each step of each layer: the larger the gradient of what the step hands on, the
    taller.  Notebooks show it as a picture.  With a model its parameters are called by their names.
    Steps are found on the tape, and surely told after ``with explain.watch(model):`` (see `loops`).
    No ``.grad`` is touched, and the tape is as it was.
    """
    return Grid(Lines(loss, model))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + "s" * (n != 1)
