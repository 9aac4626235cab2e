"""Grammars: the end of a Reber string repeats its beginning, and aⁿbⁿ must be counted (60 s).

What you will see.  The embedded Reber grammar, with the criterion of 1997: a network has learnt it
if, for every symbol of every test string, the symbols that may follow are those it expects most.
The last but one is what the second was, and only a memory tells it.  The LSTM gets all strings
right in every trial.  An Elman net trained as in 1990, without a gradient through time, never does;
the same net with backpropagation through time (RNN) sometimes does, as the strings are short (about
12 symbols).  Then aⁿbⁿ, trained with n up to 10: after the first b, who has counted knows the rest.
The LSTM goes on counting beyond what it was trained on, further than the others; the unit of its
state that counts is drawn.

    python demos/grammar.py
    python demos/grammar.py --seed 1 --plot grammar.png

Source: Hochreiter and Schmidhuber 1997: LSTM learnt it in 97 to 100 % of trials, Elman nets, with
Elman's training, in none.  The criterion is theirs, the protocol is not: they train on 256 strings
again and again, with an update after each, and test on 256 others; here each of 1500 updates sees
32 fresh strings, by Adam, and 500 are tested.  So our figures cannot be set beside theirs.
Counting: Gers and Schmidhuber 2001; Weiss, Goldberg and Yahav 2018.
"""

import sys
from statistics import median

import numpy as np
from _shared import LAYERS, Parser, chart, finish, plot, say, trained, unmet
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

SYMBOLS = "BTPSXVE"
ARROWS = {  # of Reber's grammar: from each state, the symbols that may come and where they lead
    0: {"T": 1, "P": 2}, 1: {"S": 1, "X": 3}, 2: {"T": 2, "V": 4},
    3: {"X": 2, "S": 5}, 4: {"P": 3, "V": 5}, 5: {"E": 6},
}  # fmt: skip
END = 6
TRIALS, STRINGS = 3, 500
LONGEST, FURTHEST = 10, 60  # n of the training, and of the tests at most
IGNORED = -100  # a target that does not count
Batch = tuple[tg.Tensor, tg.Tensor, tg.Tensor]


def reber_string(rng: np.random.Generator) -> tuple[str, list[str]]:
    """A string of the embedded grammar, and which symbols may follow each of its symbols."""
    kind = "TP"[rng.integers(2)]
    text, follow, state = f"B{kind}B", ["TP", "B"], 0
    while state != END:
        arrows = ARROWS[state]
        symbol = [*arrows][rng.integers(len(arrows))]
        follow.append("".join(arrows))
        text, state = text + symbol, arrows[symbol]
    return f"{text}{kind}E", [*follow, kind, "E"]


def padded(texts: list[str], symbols: str, known: list[int] | None = None) -> Batch:
    """Ids (T, B), the next ids, and the lengths (B,); targets before `known` do not count."""
    lengths = [len(text) - 1 for text in texts]
    ids = np.zeros((max(lengths), len(texts)), np.int64)
    following = np.full(ids.shape, IGNORED)
    for b, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        numbers, start = [symbols.index(symbol) for symbol in text], known[b] if known else 0
        ids[:length, b], following[start:length, b] = numbers[:-1], numbers[start + 1 :]
    return tg.tensor(ids), tg.tensor(following), tg.tensor(lengths)


def counted(ns: range) -> Batch:
    """ "$aⁿbⁿ$" for each n, of which only what follows the first b can be known."""
    return padded(["$" + "a" * n + "b" * n + "$" for n in ns], "$ab", [n + 1 for n in ns])


class Elman1990(nn.RNNCell):
    """An RNN whose last state is one more input: no gradient goes into the past."""

    def forward(self, x: tg.Tensor, h: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        return super().forward(x, h.detach())


NETS = {"Elman 1990": lambda inputs, hidden: nn.Recurrent(Elman1990(inputs, hidden))} | LAYERS


class Predictor(nn.Module):
    """Ids (T, B) of sequences with these lengths -> how much each next symbol is expected."""

    def __init__(self, cell: str, symbols: int, hidden: int) -> None:
        self.embedding = nn.Embedding(symbols, symbols)
        self.recurrent = NETS[cell](symbols, hidden)
        self.head = nn.Linear(hidden, symbols)

    def forward(self, ids: tg.Tensor, lengths: tg.Tensor) -> tg.Tensor:
        outputs, _ = self.recurrent(self.embedding(ids), lengths=lengths)
        return self.head(outputs)


def loss(model: Predictor, batch: Batch) -> tg.Tensor:
    ids, following, lengths = batch
    return F.cross_entropy(model(ids, lengths).flatten(0, 1), following.flatten())


@tg.no_grad()
def right_at(model: Predictor, strings: list[tuple[str, list[str]]]) -> list[list[bool]]:
    """Whether the symbols that may follow are the most expected ones, after each symbol."""
    ids, _, lengths = padded([text for text, _ in strings], SYMBOLS)
    ranked = model(ids, lengths).data.argsort(-1)
    return [
        [
            {SYMBOLS[i] for i in ranked[t, b, -len(may) :]} == set(may)
            for t, may in enumerate(follow)
        ]
        for b, (_, follow) in enumerate(strings)
    ]


@tg.no_grad()
def counts_to(model: Predictor) -> int:
    """The n up to which every aⁿbⁿ is finished without a mistake."""
    ids, following, lengths = counted(range(1, FURTHEST + 1))
    wrong = (model(ids, lengths).data.argmax(-1) != following.data) & (following.data != IGNORED)
    failed = wrong.any(0)
    return int(failed.argmax()) if failed.any() else FURTHEST


@tg.no_grad()
def counting_unit(model: Predictor, n: int) -> list[float]:
    """The part of the LSTM's cell state that goes furthest one way for aⁿ and back for bⁿ."""
    ids, _, _ = counted(range(n, n + 1))
    cell, state, cs = model.recurrent.cells[0], None, []
    for x in model.embedding(ids).unbind():
        _, state = cell(x, state)
        cs.append(state[1].data[0])
    states = np.array(cs)
    there, back = states[n] - states[0], states[n] - states[-1]
    way = np.where(there * back > 0, np.minimum(abs(there), abs(back)), 0)
    return states[:, way.argmax()].tolist()


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__).parse_args(arguments)
    strings = [reber_string(np.random.default_rng([STRINGS, i])) for i in range(STRINGS)]
    whole: dict[str, list[float]] = {cell: [] for cell in NETS}  # the share of strings, by trial
    reach: dict[str, list[int]] = {cell: [] for cell in LAYERS}
    shown, counters = {}, {}
    for cell in NETS:
        for trial in range(TRIALS):
            tg.manual_seed(seed := TRIALS * o.seed + trial)
            rng, model = np.random.default_rng(seed), Predictor(cell, len(SYMBOLS), 16)
            batches = lambda: padded([reber_string(rng)[0] for _ in range(32)], SYMBOLS)  # noqa: B023
            trained(o.budget, model, loss, batches, 1500, f"Reber, {cell}, {trial + 1}")
            right = right_at(model, strings)
            whole[cell].append(float(np.mean([all(string) for string in right])))
            shown[cell] = right
    for cell in LAYERS:
        for trial in range(TRIALS):
            tg.manual_seed(TRIALS * o.seed + trial)
            model = Predictor(cell, 3, 8)
            batches = [counted(range(1, LONGEST + 1))]
            trained(o.budget, model, loss, batches, 1000, f"aⁿbⁿ, {cell}, {trial + 1}", lr=3e-2)
            reach[cell].append(counts_to(model))
            counters[cell] = model

    say("\na string, and in brackets what was not foretold (in the last trial)")
    i = next((i for i, right in enumerate(shown["Elman 1990"]) if not all(right)), 0)
    for cell, right in shown.items():
        text = Text(f"{cell:<11}B")
        for symbol, ok in zip(strings[i][0][1:], right[i], strict=True):
            text.append(*(symbol, "green") if ok else (f"({symbol})", "bold red"))
        say(text)
    say(table(whole, reach))
    n = 2 * LONGEST
    unit = {"LSTM": (range(2 * n + 1), counting_unit(counters["LSTM"], n))}
    say(f"\nthe unit that counts: a state of the LSTM while it reads {n} a's and {n} b's")
    say(chart(unit, height=8, x="symbols read"))

    solved = {cell: sum(share == 1 for share in shares) for cell, shares in whole.items()}
    to = {cell: median(ns) for cell, ns in reach.items()}
    missed = unmet({
        "the LSTM right in every trial": solved["LSTM"] == TRIALS,
        "the Elman net of 1990 in none": not solved["Elman 1990"],
        "the LSTM counts furthest": to["LSTM"] > max(1.3 * LONGEST, to["GRU"], to["RNN"]),
    })  # fmt: skip
    trials = ", ".join(f"{cell} {solved[cell]}" for cell in reversed(NETS))
    counting = ", ".join(f"{cell} {to[cell]:g}" for cell in reversed(LAYERS))
    return finish(
        o, {"whole strings": whole, "counts to": reach},
        f"Reber, trials of {TRIALS} with every string right: {trials}; aⁿbⁿ learnt to {LONGEST}, "
        f"right up to {counting} (median)",
        "the LSTM remembers how it began, and counts on", missed,
        lambda figure: plot(
            figure.subplots(), unit, xlabel="symbols read", ylabel="cell state",
            title=f"The unit that counts: {n} a's, then {n} b's",
        ),
    )  # fmt: skip


def table(whole: dict[str, list[float]], reach: dict[str, list[int]]) -> Table:
    title = f"\nReber: share of {STRINGS} strings without a mistake, by trial; aⁿbⁿ: right up to n"
    trials = [str(trial + 1) for trial in range(TRIALS)]
    rows = Table("", *(f"Reber {t}" for t in trials), *(f"aⁿbⁿ {t}" for t in trials), title=title)
    for cell in NETS:
        shares = (f"[{'green' if s == 1 else 'red'}]{s:.1%}" for s in whole[cell])
        ns = (f"[{'green' if n > LONGEST else 'red'}]{n}" for n in reach.get(cell, []))
        rows.add_row(cell, *shares, *ns)
    return rows


if __name__ == "__main__":
    sys.exit(main())
