"""A network that learns to write Python's documentation, character by character.

What you will see (a minute of training; less or more with --seconds): an LSTM, composed of Linear,
tanh, sigmoid and concat, reads the documentation that every CPython carries (pydoc_data.topics) and
predicts each next character.  The loss falls from about 4.6 nats per character, where it only
guesses, to about 1.3, and the samples turn from noise into words, then into something like
English about Python.  Backpropagation through time is truncated: every 50 steps the tape is walked
back, and the state is carried on, detached.

    python demos/char_lm.py
    python demos/char_lm.py --text book.txt --cell gru --hidden 256 --seconds 600
"""

import argparse
import json
import math
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrent import map_state
from tinygrad_rnn.utils.data import ContiguousBatches, Vocabulary

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CLIP = 1.0  # the largest norm of the gradient
PLAIN_EVERY = 5.0  # seconds between lines where there is no terminal
LOOK_EVERY = 8.0  # seconds of training between a validation with a sample and the next


class CharacterModel(nn.Module):
    """Ids (T, B) and a state -> logits (T, B, V) of the next characters, and the state."""

    def __init__(self, vocabulary_size: int, cell: str, hidden: int, layers: int) -> None:
        self.embedding = nn.Embedding(vocabulary_size, hidden)
        self.recurrent = LAYERS[cell](hidden, hidden, layers)
        self.head = nn.Linear(hidden, vocabulary_size)

    def forward(self, ids: tg.Tensor, state: Any = None) -> tuple[tg.Tensor, Any]:
        outputs, state = self.recurrent(self.embedding(ids), state)
        return self.head(outputs), state


def loss_of(model: CharacterModel, inputs: tg.Tensor, targets: tg.Tensor, state: Any) -> tuple:
    """The mean surprise at the targets in nats per character, and the state to carry on."""
    logits, state = model(inputs, state)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), state


def warm_up(model: CharacterModel, batches: ContiguousBatches) -> None:
    """A step that changes nothing: what it compiles is not part of the training time."""
    inputs, targets = next(iter(batches))
    loss_of(model, inputs, targets, None)[0].backward()
    model.zero_grad()


@tg.no_grad()
def validate(model: CharacterModel, ids: np.ndarray, batch: int, steps: int) -> float:
    """Nats per character on text that the model has not learnt from."""
    streams = max(1, min(batch, (len(ids) - 1) // steps))
    state, total, count = None, 0.0, 0
    for inputs, targets in ContiguousBatches(ids, streams, steps):
        loss, state = loss_of(model, inputs, targets, state)
        total += loss.item() * targets.numel()
        count += targets.numel()
    return total / count


@tg.no_grad()
def sample(
    model: CharacterModel, vocabulary: Vocabulary, prompt: str, length: int, temperature: float,
    rng: np.random.Generator,
) -> str:  # fmt: skip
    """The prompt, and `length` more characters, each drawn from what the model expects next.

    A low temperature plays safe, a high one dares.
    """
    ids, state = list(vocabulary.encode(prompt)), None
    read = ids
    for _ in range(length):
        logits, state = model(tg.tensor(np.array(read)[:, None]), state)
        logits = logits[-1, 0].double()
        p = ((logits - logits.max()) / temperature).softmax(-1).numpy()
        if not np.isfinite(p).all():
            break
        read = [int(rng.choice(len(vocabulary), p=p))]
        ids += read
    return vocabulary.decode(ids)


class Run:
    """One training run: what has been measured so far, and how it is shown."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.seconds = 0.0  # of training: validation and sampling do not count
        self.characters = 0
        self.train_loss = self.validation_loss = math.nan
        self.norm = math.nan
        self.losses: list[float] = []
        self.recent: deque[float] = deque(maxlen=50)
        self.sample = ""
        self.stopped = self.diverged = False

    def record(self, loss: float, norm: float, characters: int, seconds: float) -> None:
        self.seconds += seconds
        self.characters += characters
        self.norm = norm
        self.losses.append(loss)
        self.recent.append(loss)
        self.train_loss = sum(self.recent) / len(self.recent)

    @property
    def speed(self) -> float:
        return self.characters / self.seconds if self.seconds else 0.0

    @property
    def validated(self) -> str:
        return "..." if math.isnan(self.validation_loss) else f"{self.validation_loss:.3f}"

    def line(self) -> str:
        return (
            f"{self.seconds:5.0f} s  train {self.train_loss:.3f}  validation {self.validated}  "
            f"{self.speed:,.0f} characters/s  gradient norm {self.norm:.2f}"
        )

    def screen(self) -> Panel:
        numbers = Table.grid(padding=(0, 3))
        numbers.add_row("train", "validation", "characters/s", "gradient norm", style="dim")
        numbers.add_row(
            f"{self.train_loss:.3f} nats",
            f"{self.validated} nats",
            f"{self.speed:,.0f}",
            f"{self.norm:.2f}",
        )
        o = self.options
        curves = Table.grid()
        curves.add_row(ProgressBar(o.seconds, min(self.seconds, o.seconds), width=60))
        curves.add_row(Text(sparkline(self.losses, 60), style="cyan"))
        return Panel(
            Group(curves, numbers, Text("\n" + self.sample, style="green")),
            title=f"{o.layers} x {o.hidden} {o.cell}, {self.seconds:.0f} of {o.seconds:g} s",
        )


def sparkline(values: list[float], width: int) -> str:
    """The values as a row of blocks, high to low."""
    if not values:
        return ""
    parts = np.array_split(np.array(values), min(width, len(values)))
    means = np.array([part.mean() for part in parts])
    levels = (means - means.min()) / (np.ptp(means) or 1) * 7
    return "".join("▁▂▃▄▅▆▇█"[int(level)] for level in levels)


def train(model: CharacterModel, run: Run, learnt: np.ndarray, look: Any, show: Any) -> None:
    """Truncated backpropagation through time until the budget is used up or Ctrl-C comes."""
    o = run.options
    optimizer = optim.Adam(model.parameters(), lr=o.lr)
    batches = ContiguousBatches(learnt, o.batch, o.bptt)
    next_look = LOOK_EVERY
    warm_up(model, batches)
    while True:
        state = None
        for inputs, targets in batches:
            start = time.perf_counter()
            loss, state = loss_of(model, inputs, targets, state)
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            state = map_state(tg.Tensor.detach, state)
            spent = time.perf_counter() - start
            if not math.isfinite(loss.item() + norm.item()):
                run.diverged = True
                return
            run.record(loss.item(), float(norm), targets.numel(), spent)
            if run.seconds >= o.seconds or run.stopped:
                return
            if run.seconds >= next_look:
                next_look += LOOK_EVERY
                look()
            show()


def main(arguments: list[str] | None = None) -> int:
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    o, text = parsed(arguments)
    vocabulary = Vocabulary.of(text)
    ids = vocabulary.encode(text)
    learnt, held_out = np.split(ids, [len(ids) * 9 // 10])
    tg.manual_seed(o.seed)
    model = CharacterModel(len(vocabulary), o.cell, o.hidden, o.layers)
    run, console = Run(o), Console()
    size = sum(p.numel() for p in model.parameters())
    print(
        f"{len(text):,} characters, {len(vocabulary)} different ones; {o.layers} x {o.hidden} "
        f"{o.cell.upper()} with {size:,} parameters; training for {o.seconds:g} seconds",
        flush=True,
    )

    def look(length: int = 160) -> None:
        run.validation_loss = validate(model, held_out, o.batch, o.bptt)
        draw = np.random.default_rng(o.seed)
        run.sample = sample(model, vocabulary, o.prompt, length, o.temperature, draw)

    def stop(*_: object) -> None:
        if run.stopped:  # a second Ctrl-C does not wait
            signal.default_int_handler(signal.SIGINT, None)
        run.stopped = True

    shown = [time.perf_counter()]

    def due(every: float) -> bool:
        if time.perf_counter() - shown[0] < every:
            return False
        shown[0] = time.perf_counter()
        return True

    before = signal.signal(signal.SIGINT, stop)
    try:
        if console.is_terminal:
            with Live(run.screen(), console=console, auto_refresh=False, transient=True) as live:
                show = lambda: live.update(run.screen(), refresh=True) if due(0.25) else None
                train(model, run, learnt, look, show)
        else:
            show = lambda: print(run.line(), flush=True) if due(PLAIN_EVERY) else None
            train(model, run, learnt, look, show)
        if not run.diverged:
            look(o.length)
            run.diverged = not math.isfinite(run.validation_loss)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, before)

    if run.diverged:
        print(
            f"char_lm.py: after {run.seconds:.1f} seconds the loss is no longer finite; "
            "try a smaller --lr",
            file=sys.stderr,
        )
        return 1
    bits = run.validation_loss / math.log(2)
    console.print(Panel(Text(run.sample), title="a sample"))
    print(
        f"validation {run.validation_loss:.3f} nats per character ({bits:.3f} bits), "
        f"{run.speed:,.0f} characters per second"
    )
    if o.report:
        report = {
            "validation_loss": run.validation_loss,
            "train_loss": run.train_loss,
            "bits_per_character": bits,
            "characters_per_second": run.speed,
            "seconds": run.seconds,
            "sample": run.sample,
            "options": vars(o),
        }
        Path(o.report).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 130 if run.stopped else 0


# ------------------------------------------------------------------------------- the command line


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and exits with 2."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(2)


def at_least(low: float, kind: type = int, above: bool = False) -> Any:
    """A type for numbers from `low` on (or above it), for argparse."""

    def number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value < math.inf if above else low <= value < math.inf):
            bound = f"above {low:g}" if above else f"of at least {low:g}"
            noun = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {noun} {bound}, got {text!r}")
        return value

    return number


def parsed(arguments: list[str] | None) -> tuple[argparse.Namespace, str]:
    """The options, and the text to learn."""
    parser = Parser(prog="char_lm.py", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--text", metavar="FILE", help="a UTF-8 text to learn (default: Python's documentation)")
    add("--cell", choices=LAYERS, default="lstm")
    add("--hidden", type=at_least(1), default=128, help="units of each layer (%(default)s)")
    add("--layers", type=at_least(1), default=2, help="layers (%(default)s)")
    add("--batch", type=at_least(1), default=50, help="streams read in parallel (%(default)s)")
    add("--bptt", type=at_least(1), default=50, help="steps between two updates (%(default)s)")
    add("--lr", type=at_least(0, float, True), default=4e-3, help="learning rate (%(default)s)")
    add("--seconds", type=at_least(0, float, True), default=60.0, help="of training (%(default)g)")
    add(
        "--temperature", type=at_least(0, float, True), default=0.8, help="of samples (%(default)s)"
    )
    add(
        "--length",
        type=at_least(0),
        default=500,
        help="characters of the last sample (%(default)s)",
    )
    add("--prompt", help="what samples start with (default: a new line)")
    add("--seed", type=at_least(0), default=0, help="of all that is random (%(default)s)")
    add("--report", metavar="FILE", help="write the figures as JSON")
    o = parser.parse_args(arguments)
    text = documentation() if o.text is None else read(Path(o.text), parser)
    shortest = max(10 * (o.batch + 1), 20)
    if len(text) < shortest:
        parser.error(f"the text has {len(text)} characters; --batch {o.batch} needs {shortest}")
    if not o.prompt:
        o.prompt = "\n" if "\n" in text else text[0]
    unknown = sorted(set(o.prompt) - set(text))
    if unknown:
        parser.error(
            f"the prompt has characters that the text has not: {' '.join(map(repr, unknown))}"
        )
    if o.report:
        try:
            Path(o.report).open("a").close()
        except OSError as error:
            parser.error(f"--report {o.report}: {error.strerror}")
    return o, text


def documentation() -> str:
    """The topics of Python's own help, in order."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def read(path: Path, parser: Parser) -> str:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        parser.error(f"{path}: not UTF-8 (byte {error.start} cannot be decoded)")
    except OSError as error:
        parser.error(f"{path}: {error.strerror}")
    if not text:
        parser.error(f"{path}: the file is empty")
    return text


if __name__ == "__main__":
    sys.exit(main())
