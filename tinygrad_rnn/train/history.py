"""What has happened in training."""

from dataclasses import dataclass, field


@dataclass
class History:
    """Figures of every step and of every validation, and why training ended.

    ``losses`` and ``norms`` (of the gradient, before clipping) have one entry for each step,
    ``validations`` one for each validation, which came after ``validation_steps[i]`` steps.
    ``targets`` counts what has been learnt from: the elements of the last tensor of every batch.
    ``epochs`` counts those that are complete; ``seconds`` are those of training alone: no
    validation, no callback, no display.  ``ended`` is
    "steps", "seconds", "epochs", "patience", "interrupted" or "diverged", or what was given to
    `Trainer.stop`; it is empty while training runs.
    """

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    validation_steps: list[int] = field(default_factory=list)
    targets: int = 0
    epochs: int = 0
    seconds: float = 0.0
    ended: str = ""
    signal: int = 0  # the number of the signal that came meanwhile

    @property
    def steps(self) -> int:
        """The number of updates."""
        return len(self.losses)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program: 130 after Ctrl-C, 143 after SIGTERM, otherwise 0."""
        return 128 + self.signal if self.signal else 0

    @property
    def loss(self) -> float:
        """The mean loss of the last 50 steps; NaN before the first."""
        recent = self.losses[-50:]
        return sum(recent) / len(recent) if recent else float("nan")

    @property
    def validation(self) -> float:
        """The last validation; NaN before the first."""
        return self.validations[-1] if self.validations else float("nan")
