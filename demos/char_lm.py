"""A network that learns to write Python's documentation, character by character (60 s).

What you will see: an LSTM, composed of Linear, tanh, sigmoid and concat, reads the documentation
that every CPython carries (pydoc_data.topics) and predicts each next character.  The loss falls
from about 4.6 nats per character, where it only guesses, to about 1.2, and the samples turn from
noise into words, then into something like English about Python.  Backpropagation through time is
truncated: every 50 steps the tape is walked back, and the state is carried on, detached.

    python demos/char_lm.py
    python demos/char_lm.py --text book.txt --cell gru --hidden 256 --seconds 600 --save book.model
    python demos/char_lm.py --resume book.model --seconds 0 --temperatures 0.2,0.5,1,2
    python demos/char_lm.py --level word --stop .
    python demos/char_lm.py --compare
"""

import _quiet  # noqa: F401  # before all others: it answers Ctrl-C while they are imported

# isort: split
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import _shared
import numpy as np
from _shared import at_least, say
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.checkpoint import check_folder
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import ContiguousBatches, Vocabulary

LAYERS = {name.lower(): layer for name, layer in _shared.LAYERS.items()}
CLIP = 1.0  # the largest norm of the gradient
LOOK_EVERY = 8.0  # seconds of training between a validation with a sample and the next
WORD = re.compile(r" ?\w+|\s+|[^\w\s]")  # all of them together are the text
DOCUMENTATION = "Python's documentation"  # the text without --text
UNKNOWN = "<unknown>"  # any word that occurs only once
UNITS = {"char": "character", "word": "word"}
GOAL = 1.26  # nats per character, after a minute with the defaults


class LanguageModel(nn.Module):
    """Ids (T, B) and a state -> logits (T, B, V) of the next tokens, and the state."""

    def __init__(
        self, tokens: Iterable[str], level: str, cell: str, hidden: int, layers: int
    ) -> None:
        self.config = {  # with which tg.load makes the model again
            "tokens": list(tokens), "level": level,
            "cell": cell, "hidden": hidden, "layers": layers,
        }  # fmt: skip
        unknown = UNKNOWN if level == "word" else None
        self.vocabulary = Vocabulary(self.config["tokens"], unknown=unknown)
        self.embedding = nn.Embedding(len(self.vocabulary), hidden)
        self.recurrent = LAYERS[cell](hidden, hidden, layers)
        self.head = nn.Linear(hidden, len(self.vocabulary))

    def forward(self, ids: tg.Tensor, state: Any = None) -> tuple[tg.Tensor, Any]:
        outputs, state = self.recurrent(self.embedding(ids), state)
        return self.head(outputs), state

    def encode(self, text: str) -> np.ndarray:
        return self.vocabulary.encode(split(text, self.config["level"]))

    def write(
        self, prompt: str, length: int, temperature: float, stop: str = "", seed: int = 0
    ) -> str:
        """The prompt, and how the model goes on: `length` tokens, but only up to the text `stop`.

        A low temperature plays safe, a high one dares.
        """
        end = self.encode(stop)
        try:
            ids = tg.generate(
                self, self.encode(prompt), length=length, temperature=temperature,
                stop=int(end[0]) if len(end) == 1 else None, generator=tg.Generator(seed),
            )  # fmt: skip
        except ValueError:  # its numbers have become too large: it has nothing to say
            ids = []
        text = "".join(self.vocabulary.tokens[i] for i in ids)
        return prompt + (text.partition(stop)[0] if stop else text)


def loss_of(model: LanguageModel, batch: Any, state: Any) -> tuple[tg.Tensor, Any]:
    """The mean surprise at the targets in nats per token, and the state to carry on."""
    inputs, targets = batch
    logits, state = model(inputs, state)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), state


def split(text: str, level: str) -> Sequence[str]:
    return text if level == "char" else WORD.findall(text)


def tokens_of(text: str, level: str) -> list[str]:
    """What a model can say: all characters, or the words that occur more than once."""
    counts = Counter(split(text, level))
    return sorted(token for token, n in counts.items() if n > 1 or level == "char")


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def train(o: Any, model: LanguageModel, ids: np.ndarray, seconds: float) -> tg.Trainer:
    """Truncated backpropagation through time until the budget is used up or Ctrl-C comes."""
    learnt, held_out = np.split(ids, [len(ids) * 9 // 10])
    streams = max(1, min(o.batch, (len(held_out) - 1) // o.bptt))
    next_look = LOOK_EVERY

    def look(trainer: tg.Trainer) -> None:
        nonlocal next_look
        if trainer.history.seconds >= next_look:
            next_look = trainer.history.seconds + LOOK_EVERY
            if math.isfinite(trainer.validate()):
                sample = model.write(o.prompt, 160, o.temperature, o.stop, o.seed)
                trainer.extra = Text(sample, style="green")

    def slow_down(
        trainer: tg.Trainer,
    ) -> None:  # in the second half: large steps find, small settle
        optimizer.param_groups[0]["lr"] = o.lr * min(1, 2 * (1 - trainer.progress))

    form, optimizer = model.config, optim.Adam(model.parameters(), lr=o.lr)
    trainer = tg.Trainer(
        model, optimizer, loss_of, clip=CLIP, carry=True, callbacks=[slow_down, look],
        title=f"{form['layers']} x {form['hidden']} {form['cell']}", unit=f"{UNITS[o.level]}s",
        checkpoint=o.save, every_seconds=60 if o.save else None,
    )  # fmt: skip
    if o.resume and seconds:
        trainer.resume(o.resume)
        next_look += trainer.history.seconds
    trainer.fit(
        ContiguousBatches(learnt, o.batch, o.bptt), ContiguousBatches(held_out, streams, o.bptt),
        seconds=seconds, validate_every=math.inf,
    )  # fmt: skip
    if trainer.history.ended == "interrupted":
        trainer.validate()
    return trainer


def has_diverged(trainer: tg.Trainer, model: LanguageModel) -> bool:
    """Whether the loss is no number, or far above that of guessing."""
    guessing = math.log(len(model.vocabulary) + 1)
    return trainer.history.ended == "diverged" or not trainer.history.validation < 10 * guessing


def figures(o: Any, trainer: tg.Trainer, text: str, ids: np.ndarray) -> dict[str, Any]:
    """What has been measured, for the report."""
    history = trainer.history
    length = len(text) / len(ids)  # of a token, in characters
    return {
        "validation_loss": history.validation,
        "train_loss": history.loss if history.steps else None,
        "bits_per_character": history.validation / math.log(2) / length,
        "characters_per_second": history.targets * length / (history.seconds or 1),
        "seconds": history.seconds,
    }


# ----------------------------------------------------------------------------- what a model can do


@tg.no_grad()
def sweep(o: Any, model: LanguageModel) -> list[dict[str, Any]]:
    """At each temperature, how uncertain the model is of the next token, and what it writes.

    The entropy -sum p log p is a mean over one text, which the model wrote at temperature 1.
    """
    read = model.encode(model.write(o.prompt, o.length + 1, 1.0, seed=o.seed))
    logits = model(tg.tensor(read[:, None]))[0].double()
    rows = []
    for temperature in sorted(o.temperatures):
        log_p = (logits / temperature).log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum(-1).mean().item()
        sample = model.write(o.prompt, o.length, temperature, o.stop, o.seed)
        rows.append({"temperature": temperature, "entropy": entropy, "sample": sample})
    return rows


def compare(o: Any, model: LanguageModel, text: str) -> int:
    """The three cells with as many parameters as `model` has, a third of the time for each."""
    wanted, ids = size(model), model.encode(text)
    shown = Table("cell", "hidden", "parameters", "steps", "nats", "bits per character")
    rows: list[dict[str, Any]] = []
    losses: dict[str, Sequence[float]] = {}
    said: list[str] = []
    diverged: list[str] = []
    for cell in LAYERS:
        tg.manual_seed(o.seed)
        model = of_size(wanted, {**model.config, "cell": cell})
        trainer = train(o, model, ids, o.seconds / len(LAYERS))
        row = {"cell": cell, "hidden": model.config["hidden"], "parameters": size(model),
               "steps": trainer.history.steps, **figures(o, trainer, text, ids)}  # fmt: skip
        nats, bits = (f"{row[name]:.3f}" for name in ("validation_loss", "bits_per_character"))
        if has_diverged(trainer, model):
            row |= {"validation_loss": None, "bits_per_character": None}
            nats, bits = "diverged", ""
            diverged.append(cell.upper())
        shown.add_row(
            cell, f"{row['hidden']}", f"{row['parameters']:,}", f"{row['steps']:,}", nats, bits
        )
        said.append(f"{cell.upper()} {nats}")
        rows.append(row)
        losses[cell.upper()] = trainer.history.losses
        if trainer.history.exit_code:
            break
    say(shown)
    say(f"validation {', '.join(said)} nats per {UNITS[o.level]}, with {wanted:,} parameters or "
        "nearly as many")  # fmt: skip
    write_files(o, {"comparison": rows}, losses)
    if diverged:
        print(f"char_lm.py: {', '.join(diverged)} diverged; try a smaller --lr", file=sys.stderr)
    return trainer.history.exit_code or int(bool(diverged))


def of_size(wanted: int, form: dict[str, Any]) -> LanguageModel:
    """The model of this form whose number of parameters is nearest to `wanted`."""
    model = lambda hidden: LanguageModel(**{**form, "hidden": hidden})
    low, high = 1, 2
    while size(model(high)) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(model(middle)) < wanted else (low, middle)
    return min(model(low), model(high), key=lambda made: abs(size(made) - wanted))


def write_files(o: Any, report: dict[str, Any], losses: dict[str, Sequence[float]]) -> None:
    if o.report:
        _shared.write_report(o, report)
    curves = {name: _shared.curve(values) for name, values in losses.items() if values}
    if o.plot and not curves:
        print(f"char_lm.py: nothing was learnt, so {o.plot} is not drawn", file=sys.stderr)
    elif o.plot:
        labels = {"xlabel": "step", "ylabel": f"nats per {UNITS[o.level]}"}
        _shared.write_png(o.plot, lambda figure: _shared.plot(figure.subplots(), curves, **labels))


# ---------------------------------------------------------------------------------------- the demo


def main(arguments: list[str] | None = None) -> int:
    try:
        return run(arguments)
    except KeyboardInterrupt:  # the second Ctrl-C, which does not wait
        return 130


def run(arguments: list[str] | None) -> int:
    parser = command_line()
    o = parser.parse_args(arguments)
    model, text = chosen(o, parser)
    if o.compare:
        return compare(o, model, text)
    unit, report, losses, code = UNITS[o.level], {}, {}, 0
    last_line = f"written by {o.resume}, which was not trained any further"
    if text:
        ids = model.encode(text)
        say(
            f"{escape(o.text or DOCUMENTATION)}: {len(ids):,} {unit}s, "
            f"{len(model.vocabulary):,} different ones; {o.layers} x {o.hidden} {o.cell.upper()} "
            f"with {size(model):,} parameters; training for {o.seconds:g} seconds"
        )
        try:
            trainer = train(o, model, ids, o.seconds)
        except (tg.CheckpointError, ValueError) as error:  # another run than that of --resume
            hint = "" if o.text else f" (there is no --text, so this is {DOCUMENTATION})"
            parser.error(f"{error}{hint}")
        history = trainer.history
        if has_diverged(trainer, model):
            parser.exit(1, f"{parser.prog}: after {history.seconds:.1f} seconds the loss is too "
                        "large, or no number; try a smaller --lr\n")  # fmt: skip
        report, code = figures(o, trainer, text, ids), history.exit_code
        losses["training"] = history.losses
        last_line = (
            f"validation {report['validation_loss']:.3f} nats per {unit} "
            f"({report['bits_per_character']:.3f} bits{' per character' * (unit == 'word')}), "
            f"{report['characters_per_second']:,.0f} characters per second"
        )
        if misses(o, parser, report):
            last_line += f"; missed: {GOAL} nats after a minute"
    if o.temperatures:
        shown = Table("temperature", f"nats per {unit}", "a sample", show_lines=True)
        report["temperatures"] = sweep(o, model)
        for row in report["temperatures"]:
            shown.add_row(f"{row['temperature']:g}", f"{row['entropy']:.3f}", Text(row["sample"]))
        Console().print(shown)
    report["sample"] = model.write(o.prompt, o.length, o.temperature, o.stop, o.seed)
    Console().print(Panel(Text(report["sample"]), title="a sample"))
    say(Text(last_line))
    write_files(o, report, losses)
    return code


def misses(o: Any, parser: _shared.Parser, report: dict[str, Any]) -> bool:
    """Whether the loss is above the GOAL after a training for which that was set."""
    names = "text", "level", "cell", "hidden", "layers", "batch", "bptt", "lr", "resume"
    if any(getattr(o, name) != parser.get_default(name) for name in names):
        return False
    enough = report["seconds"] >= parser.get_default("seconds")
    return enough and report["validation_loss"] > GOAL


def command_line() -> _shared.Parser:
    parser = _shared.Parser(__file__, __doc__)
    number, positive = at_least(1), at_least(0, float, above=True)
    seconds = lambda text: 0.0 if text == "0" else positive(text)
    temperatures = lambda text: [positive(part) for part in text.split(",")]
    add = parser.add
    add("--text", metavar="FILE", help="a UTF-8 text to learn (default: Python's documentation)")
    add("--level", choices=UNITS, default="char", help="what a token is (%(default)s)")
    add("--cell", choices=LAYERS, default="lstm")
    add("--hidden", type=number, default=128, help="units of each layer (%(default)s)")
    add("--layers", type=number, default=2, help="layers (%(default)s)")
    add("--batch", type=number, default=50, help="streams read in parallel (%(default)s)")
    add("--bptt", type=number, default=50, help="steps between two updates (%(default)s)")
    add("--lr", type=positive, default=4e-3, help="learning rate of the first half (%(default)s)")
    add("--seconds", type=seconds, default=60.0,
        help="of training (%(default)g); 0 with --resume: none, only samples")  # fmt: skip
    add("--save", metavar="FILE", help="keep the run in a file, every minute and at the end")
    add(
        "--resume",
        metavar="FILE",
        help="go on with the run in this file, for --seconds more; --text is to be the same",
    )
    add("--compare", action="store_true", help="the three cells, with as many parameters each")
    add("--prompt", help="what samples start with (default: a new line)")
    add("--length", type=at_least(0), default=500, help="tokens of the last sample (%(default)s)")
    add("--temperature", type=positive, default=0.8, help="of samples (%(default)s)")
    add("--temperatures", type=temperatures, default=[], metavar="T,T,...",
        help="show entropy and a sample at each of these")  # fmt: skip
    add("--stop", default="", metavar="TEXT", help="samples end before this")
    return parser


def chosen(o: Any, parser: _shared.Parser) -> tuple[LanguageModel, str]:
    """The model, new or from a file, and the text to learn: "" where there is none.

    Whatever is wrong ends the program with one line.
    """
    if o.compare and (o.save or o.resume):
        parser.error("--compare trains three models, and goes without --save and --resume")
    if not o.seconds and not o.resume:
        parser.error("--seconds 0 trains nothing; it needs --resume FILE")
    tg.manual_seed(o.seed)
    model = None
    try:
        if o.save:
            check_folder(o.save)
        if o.resume:
            model = tg.load(o.resume, LanguageModel)
    except tg.CheckpointError as error:
        parser.error(str(error))
    for name in ("level", "cell", "hidden", "layers") if model else ():
        if getattr(o, name) not in (parser.get_default(name), model.config[name]):
            parser.error(f"--{name}: the model in {o.resume} has {model.config[name]}")
        setattr(o, name, model.config[name])

    text = ""
    if o.text is not None:
        text = read(Path(o.text), parser)
    elif o.seconds:
        text = documentation()
    if text:
        length, shortest = len(split(text, o.level)), max(10 * (o.batch + 1), 20)
        if length < shortest:
            parser.error(
                f"the text has {length} {UNITS[o.level]}s; --batch {o.batch} needs {shortest}"
            )
    form = {"level": o.level, "cell": o.cell, "hidden": o.hidden, "layers": o.layers}
    try:
        model = model or LanguageModel(tokens_of(text, o.level), **form)
    except (MemoryError, OverflowError, ValueError) as error:
        parser.error(f"--layers {o.layers} --hidden {o.hidden}: too large ({error})")

    known = model.vocabulary
    if not o.prompt:
        o.prompt = "\n" if "\n" in known else known.tokens[-1]
    given = {"the prompt": o.prompt, "--stop": o.stop}
    if o.level == "char" and o.resume:
        given["the text" if o.text else f"{DOCUMENTATION}, read as there is no --text,"] = text
    for place, there in given.items():
        unknown = sorted(token for token in {*split(there, o.level)} if token not in known)
        if unknown:
            what = "the model does not know" if o.resume else "the text has not"
            names = " ".join(map(repr, unknown[:10]))
            parser.error(f"{place} has {UNITS[o.level]}s that {what}: {names}")
    return model, text


def documentation() -> str:
    """The topics of Python's own help, in order."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def read(path: Path, parser: _shared.Parser) -> str:
    try:
        text = path.read_text("utf-8-sig")  # without the mark that some editors begin files with
    except UnicodeDecodeError as error:
        parser.error(f"{path}: not UTF-8 (byte {error.start} cannot be decoded)")
    except OSError as error:
        parser.error(f"{path}: {error.strerror}")
    if not text:
        parser.error(f"{path}: the file is empty")
    return text


if __name__ == "__main__":
    sys.exit(main())
