"""What the doctor says: verdicts, each with its evidence and what helps."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .show import Shown

CURES = {
    "vanishing": "an LSTM or a GRU; for an LSTM a larger forget_bias; recurrent weights that start "
    "orthogonal (nn.init.orthogonal_)",
    "exploding": "nn.utils.clip_grad_norm_(model.parameters(), 1.0) between backward() and step(); "
    "recurrent weights that start orthogonal; a smaller learning rate",
    "not finite": "a look at how the batch is made: a value that is missing, a division by a "
    "standard deviation of 0; fill in or mask what is not known",
    "saturated": "inputs of mean 0 and variance 1; smaller weights, or nn.LayerNorm before the "
    "activation; a smaller learning rate",
    "dead": "leaky_relu or elu; a smaller learning rate; biases that start at 0. A parameter that "
    "nothing uses: take it out",
    "clipped after the step": "clip_grad_norm_ between backward() and optimizer.step()",
    "dropout that does nothing": "num_layers=2 or more, or nn.Dropout on the outputs; dropout=0 is "
    "what happens now",
    "state still attached": "state = tg.recurrent.map_state(tg.Tensor.detach, state) before the "
    "next batch",
}
"""What helps, for every verdict there is."""


class Verdict(NamedTuple):
    """Something that is wrong: what, where, what shows it, what helps."""

    name: str
    where: str
    evidence: str
    cure: str


class Diagnosis(Shown):
    """What `diagnose` has found: its verdicts, and what was measured.

    ``flows[path][t]`` is how much of a gradient at a cell's last state arrives at its state of step
    t: the norm of a random vector times d(last state) / d(state t).
    """

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.loss = self.norm = float("nan")  # and the norm of its gradient
        self.flows: dict[str, np.ndarray] = {}

    def __repr__(self) -> str:
        return f"<Diagnosis: {', '.join(self.names) or 'nothing wrong'}>"

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    @property
    def names(self) -> list[str]:
        """The names of the verdicts, each once."""
        return list(dict.fromkeys(verdict.name for verdict in self.verdicts))

    def says(self, name: str, where: str, evidence: str) -> None:
        """Adds a verdict."""
        self.verdicts.append(Verdict(name, where, evidence, CURES[name]))

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown: list[Any] = []
        if self.verdicts:
            table = Table("verdict", "where", "evidence", "what helps", show_lines=True)
            for name, *rest in self.verdicts:
                table.add_row(Text(name, style="bold red"), *map(Text, rest))
            shown.append(table)
        else:
            shown.append(Text("Nothing wrong was found.", style="bold green"))
        shown.append(Text(f"loss {self.loss:.4g}, norm of its gradient {self.norm:.3g}"))
        for path, flow in self.flows.items():
            left, rate = shrinks(flow)
            shown.append(Text(
                f"{path or 'the cell'}: {left:.2g} of the last state's gradient reaches the state "
                f"{len(flow) - 1} steps before, {rate:.2f} at each step"
            ))  # fmt: skip
        return Group(*shown)


def shrinks(flow: np.ndarray) -> tuple[float, float]:
    """How much of a gradient is left at the first step, in all and on average at each step."""
    left = float(flow[0] / flow[-1]) if flow[-1] else 0.0
    return left, left ** (1 / (len(flow) - 1))
