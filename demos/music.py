"""One note unrolls into a tune, in the key of that note, after a dozen folk songs (20 s).

What you will see: an LSTM reads folk tunes in all keys, note by note and bar by bar, and learns
what comes next; then it is given a key note and goes on alone, reading what it has just written.  A
tune is drawn as a piano roll, and written to listen to, as MIDI or WAV.  What it has learnt is
measured on many tunes, beside the network before training and the folk tunes: how many notes belong
to the key that it was given, how many of its bars have four beats, how many tunes end on the key
note, and how much is copied, as the longest run of notes that some folk tune has too.

    python demos/music.py
    python demos/music.py --note G --temperature 1.2 --out tune.wav

Source: the tunes are traditional or by composers long dead, in our own transcription; the notation
is that of numbered notes (jianpu).
"""

import argparse
import os
import re
import struct
import sys
import tempfile
import wave
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _shared import Parser, at_least, finish, say, trained, try_to_write, writing
from rich.markup import escape
from rich.table import Table
from rich.text import Text

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.utils.data import Vocabulary

# A digit is a degree of the major scale, with # a semitone higher, with ' an octave higher, with a
# comma an octave lower.  It lasts a beat; with - a beat more, with _ half of it, with a dot 1.5.
TUNES = {
    "Ah, vous dirai-je, maman": """1 1 5 5 | 6 6 5- | 4 4 3 3 | 2 2 1- | 5 5 4 4 | 3 3 2- |
        5 5 4 4 | 3 3 2- | 1 1 5 5 | 6 6 5- | 4 4 3 3 | 2 2 1-""",
    "Frère Jacques": """1 2 3 1 | 1 2 3 1 | 3 4 5- | 3 4 5- | 5_ 6_ 5_ 4_ 3 1 | 5_ 6_ 5_ 4_ 3 1 |
        1 5, 1- | 1 5, 1-""",
    "Freude, schöner Götterfunken": """3 3 4 5 | 5 4 3 2 | 1 1 2 3 | 3. 2_ 2- | 3 3 4 5 | 5 4 3 2 |
        1 1 2 3 | 2. 1_ 1- | 2 2 3 1 | 2 3_ 4_ 3 1 | 2 3_ 4_ 3 2 | 1 2 5,- | 3 3 4 5 | 5 4 3 2 |
        1 1 2 3 | 2. 1_ 1-""",
    "Mary had a little lamb": """3 2 1 2 | 3 3 3- | 2 2 2- | 3 5 5- | 3 2 1 2 | 3 3 3 3 |
        2 2 3 2 | 1---""",
    "London Bridge": """5. 6_ 5 4 | 3 4 5- | 2 3 4- | 3 4 5- | 5. 6_ 5 4 | 3 4 5- | 2- 5- |
        3 1--""",
    "Au clair de la lune": """1 1 1 2 | 3- 2- | 1 3 2 2 | 1--- | 1 1 1 2 | 3- 2- | 1 3 2 2 | 1--- |
        2 2 2 2 | 6,- 6,- | 2 1 7, 6, | 5,--- | 1 1 1 2 | 3- 2- | 1 3 2 2 | 1---""",
    "Alle meine Entchen": """1 2 3 4 | 5- 5- | 6 6 6 6 | 5--- | 6 6 6 6 | 5--- | 4 4 4 4 | 3- 3- |
        2 2 2 2 | 1---""",
    "Hänschen klein": """5 3 3- | 4 2 2- | 1 2 3 4 | 5 5 5- | 5 3 3- | 4 2 2- | 1 3 5 5 | 1--- |
        2 2 2 2 | 2 3 4- | 3 3 3 3 | 3 4 5- | 5 3 3- | 4 2 2- | 1 3 5 5 | 1---""",
    "Go tell Aunt Rhody": """3- 3 2 | 1- 1- | 2- 2 4 | 3 2 1- | 5- 5 4 | 3- 3- | 2 1 2 3 |
        1---""",
    "Jingle bells": """3 3 3- | 3 3 3- | 3 5 1. 2_ | 3--- | 4 4 4. 4_ | 4 3 3 3_ 3_ | 3 2 2 3 |
        2- 5- | 3 3 3- | 3 3 3- | 3 5 1. 2_ | 3--- | 4 4 4. 4_ | 4 3 3 3_ 3_ | 5 5 4 2 | 1---""",
    "Good King Wenceslas": """1 1 1 2 | 1 1 5,- | 6, 5, 6, 7, | 1- 1- | 1 1 1 2 | 1 1 5,- |
        6, 5, 6, 7, | 1- 1- | 5 4 3 2 | 3 2 1- | 6, 5, 6, 7, | 1- 1- | 5, 5, 6, 7, | 1 1 2- |
        5 4 3 2 | 1- 4- | 1---""",
    "Yankee Doodle": """1 1 2 3 | 1 3 2 5, | 1 1 2 3 | 1- 7,- | 1 1 2 3 | 4 3 2 1 | 7, 5, 6, 7, |
        1- 1- | 6,. 7,_ 6, 5, | 6, 7, 1- | 5,. 6,_ 5, 4, | 3,- 5,- | 6,. 7,_ 6, 5, | 6, 7, 1 6, |
        5, 1 7, 2 | 1- 1-""",
    "Sur le pont d'Avignon": """1 1 1- | 2 2 2- | 3 4 5 1 | 7, 1 2 5, | 1 1 1- | 2 2 2- | 3 4 5 1 |
        2 7, 1-""",
    "This old man": """5 3 5- | 5 3 5- | 6 5 4 3 | 2 3 4 3_ 4_ | 5 1 1_ 1_ 1 | 1_ 2_ 3_ 4_ 5- |
        5 2 2 4 | 3 2 1-""",
    "Alouette": """1. 2_ 3 3 | 2_ 1_ 2_ 3_ 1 5, | 1. 2_ 3 3 | 2_ 1_ 2_ 3_ 1-""",
}
BEATS = {"_": 0.5, "": 1, ".": 1.5, "-": 2, "--": 3, "---": 4}
SIGNS = {beats: sign for sign, beats in BEATS.items()}
SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones of the degrees above the key note
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MIDDLE_C, BAR = 60, 4  # as MIDI numbers it; beats in a bar
HIDDEN, EMBEDDED, BATCH, STEPS = 128, 64, 30, 900
LONGEST = 100  # notes and bar lines of a tune
RATE, BEAT, TICKS = 22050, 0.45, 480  # samples a second; seconds, and ticks of MIDI, in a beat
GOALS = {"in key": 0.95, "full bars": 0.9}
SHARES = ("in key", "full bars", "ends on the key note")
LINE, END = "|", "end"


class Note(NamedTuple):
    """How many semitones above the key note, or above none (MIDI's number); for how many beats."""

    pitch: int
    beats: float


Tune = list[list[Note]]  # in bars

# ---------------------------------------------------------------------------------- as a text


def read(text: str) -> Tune:
    """A tune in numbers.

    >>> read("1 5,- | #4'_")
    [[Note(pitch=0, beats=1), Note(pitch=-5, beats=2)], [Note(pitch=18, beats=0.5)]]
    """

    def note(text: str) -> Note:
        sharp, degree, octaves, long = re.fullmatch("(#?)([1-7])([',]*)([-_.]*)", text).groups()
        octave = octaves.count("'") - octaves.count(",")
        return Note(SCALE[int(degree) - 1] + len(sharp) + 12 * octave, BEATS[long])

    return [[note(word) for word in bar.split()] for bar in text.split("|")]


def written(tune: Tune) -> str:
    """The way back."""

    def text(note: Note) -> str:
        octave, semitone = divmod(note.pitch, 12)
        degree = max(i for i, s in enumerate(SCALE) if s <= semitone)
        octaves = "'" * octave + "," * -octave
        return f"{'#' * (semitone - SCALE[degree])}{degree + 1}{octaves}{SIGNS[note.beats]}"

    return " | ".join(" ".join(map(text, bar)) for bar in tune)


FOLK = [read(text) for text in TUNES.values()]


# -------------------------------------------------------------------------------- the network


class Composer(nn.Module):
    """Ids (T, B) and a state -> logits (T, B, V) of what comes next, and the state."""

    def __init__(self, vocabulary: int) -> None:
        self.embedding = nn.Embedding(vocabulary, EMBEDDED)
        self.recurrent = nn.LSTM(EMBEDDED, HIDDEN)
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(HIDDEN, vocabulary)

    def forward(self, ids: tg.Tensor, state: Any = None) -> tuple[tg.Tensor, Any]:
        outputs, state = self.recurrent(self.embedding(ids), state)
        return self.head(self.dropout(outputs)), state


def songs() -> list[list[Any]]:
    """The tunes in all keys, as tokens: the key, notes (MIDI's numbers), bar lines, the end."""

    def tokens(tune: Tune, key: int) -> list[Any]:
        bars = [[*(Note(key + n.pitch, n.beats) for n in bar), LINE] for bar in tune]
        return [key, *chain(*bars), END]

    return [tokens(tune, key) for key in range(MIDDLE_C, MIDDLE_C + 12) for tune in FOLK]


def batch(rng: np.random.Generator, them: list[np.ndarray]) -> tuple[tg.Tensor, tg.Tensor]:
    """Some songs, what is read and what comes next, (T, B); -100 where a song is over."""
    some = [tg.tensor(them[i]) for i in rng.choice(len(them), BATCH, replace=False)]
    before = nn.utils.rnn.pad_sequence([ids[:-1] for ids in some])
    return before, nn.utils.rnn.pad_sequence([ids[1:] for ids in some], padding_value=-100)


def loss(model: Composer, batch: tuple[tg.Tensor, tg.Tensor]) -> tg.Tensor:
    before, after = batch
    return F.cross_entropy(model(before)[0].flatten(0, 1), after.flatten())


def tunes(
    model: Composer, vocabulary: Vocabulary, keys: Sequence[int], temperature: float
) -> list[Tune]:
    """What each key note unrolls into, in semitones above it."""
    model.eval()
    first, stop = vocabulary.encode(keys)[None], vocabulary.ids[END]
    ids = tg.generate(model, first, length=LONGEST, temperature=temperature, stop=stop)
    model.train()
    found = []
    for key, tune in zip(keys, ids, strict=True):
        bars: Tune = [[]]
        for token in vocabulary.decode(tune):
            if token == LINE:
                bars.append([])
            elif isinstance(token, Note):
                bars[-1].append(Note(token.pitch - key, token.beats))
        found.append([bar for bar in bars if bar])
    return found


# -------------------------------------------------------------------------------- how good it is


def in_key(tune: Tune) -> float:
    """The share of notes that belong to the major scale of the key note."""
    return float(np.mean([note.pitch % 12 in SCALE for note in chain(*tune)]))


def full_bars(tune: Tune) -> float:
    """The share of bars with four beats."""
    return float(np.mean([sum(note.beats for note in bar) == BAR for bar in tune]))


def copied(tune: Tune) -> int:
    """How many notes in a row some folk tune has too."""
    notes, others = [*chain(*tune)], [[*chain(*folk)] for folk in FOLK]
    pairs = [SequenceMatcher(None, notes, other, autojunk=False) for other in others]
    return max(pair.find_longest_match().size for pair in pairs)


def measured(them: Sequence[Tune]) -> dict[str, float]:
    """Means over tunes."""
    them = [tune for tune in them if tune]
    figures = {
        "in key": [in_key(tune) for tune in them],
        "full bars": [full_bars(tune) for tune in them],
        "ends on the key note": [tune[-1][-1].pitch % 12 == 0 for tune in them],
        "notes": [sum(map(len, tune)) for tune in them],
        "copied in a row": [copied(tune) for tune in them],
    }
    return {name: float(np.mean(values)) for name, values in figures.items()}


# ---------------------------------------------------------------------------------- as a file


def midi(notes: Sequence[Note]) -> bytes:
    """A MIDI file with one track.  Source: Standard MIDI Files 1.0, format 0."""
    events = [(0, b"\xff\x51\x03" + int(BEAT * 1e6).to_bytes(3, "big"))]  # the tempo
    for pitch, beats in notes:
        events += [(0, bytes([0x90, pitch, 80])), (int(beats * TICKS), bytes([0x80, pitch, 0]))]
    events += [(0, b"\xff\x2f\x00")]  # the end of the track
    track = b"".join(variable(ticks) + event for ticks, event in events)
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


def variable(number: int) -> bytes:
    """A number in bytes of 7 bits; the highest bit says that more are to come.

    >>> variable(480).hex()
    '8360'
    """
    low, rest = [number & 127], number >> 7
    while rest:
        low, rest = [rest & 127 | 128, *low], rest >> 7
    return bytes(low)


def sound(notes: Sequence[Note]) -> np.ndarray:
    """Samples of 16 bits: each note is a few overtones that die away."""
    parts = []
    for pitch, beats in notes:
        t = np.arange(int(beats * BEAT * RATE)) / RATE
        hertz = 440 * 2 ** ((pitch - 69) / 12)  # the A above middle C is number 69
        waves = sum(np.sin(2 * np.pi * n * hertz * t) / n**2 for n in range(1, 6))
        begins, ends = np.minimum(t / 0.01, 1), np.minimum((t[-1] - t) / 0.02, 1)  # no clicks
        parts.append(waves * np.exp(-2.5 * t) * begins * ends)
    return (np.concatenate(parts) * 20_000).astype("<i2")


def save(path: Path, notes: Sequence[Note]) -> None:
    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            file.writeframes(sound(notes).tobytes())
    else:
        path.write_bytes(midi(notes))


# -------------------------------------------------------------------------------- the command line


def destination(text: str) -> str:
    """A type for argparse: a file that can be written, MIDI or WAV."""
    path = Path(text)
    if path.suffix not in (".mid", ".midi", ".wav"):
        raise argparse.ArgumentTypeError(
            f"expected a name that ends with .mid or .wav, got {text!r}"
        )
    try:
        try_to_write(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise argparse.ArgumentTypeError(f"{text}: {reason}") from None
    return text


def temporary() -> str:
    """A new file in the system's folder for temporary files."""
    with writing(tempfile.gettempdir()):
        number, name = tempfile.mkstemp(".mid", "tune-")
        os.close(number)
    return name


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(__file__, __doc__)
    parser.add(
        "--note", choices=NAMES, default="C", help="that the tune unrolls from (%(default)s)"
    )
    parser.add("--out", metavar="FILE", type=destination,
               help="the tune as .mid or .wav (a new .mid among temporary files)")  # fmt: skip
    parser.add("--temperature", type=at_least(0, float, above=True), default=0.8,
               help="low plays safe, high dares (%(default)s)")  # fmt: skip
    o = parser.parse_args(arguments)
    rng = np.random.default_rng(o.seed)
    tg.manual_seed(o.seed)
    them = songs()
    keys = [song[0] for song in them[:: len(FOLK)]]
    vocabulary = Vocabulary(dict.fromkeys(token for song in them for token in song))
    ids = [vocabulary.encode(song) for song in them]
    model = Composer(len(vocabulary))
    write = lambda keys: tunes(model, vocabulary, keys, o.temperature)
    figures = {"before training": measured(write(keys * 10))}
    batches = lambda: batch(rng, ids)
    history = trained(o.budget, model, loss, batches, STEPS, "folk tunes", cycle=True)
    figures |= {"after training": measured(write(keys * 10)), "folk tunes": measured(FOLK)}

    key = MIDDLE_C + NAMES.index(o.note)
    tune = write([key])[0]
    notes = [Note(key + n.pitch, n.beats) for n in chain(*tune)]
    say(f"\nfrom {o.note} on its own, in numbers: {written(tune)}\n")
    say(roll(notes, key))
    say(table(figures))
    if notes:
        out = o.out or temporary()
        say(f"\n{escape(out)}: {sum(n.beats for n in notes) * BEAT:.0f} s to listen to")

    before, after, _ = figures.values()
    missed = [f"{name} below {goal:.0%}" for name, goal in GOALS.items() if after[name] < goal]
    missed += ["it only copies"] if after["copied in a row"] > after["notes"] / 2 else []
    code = finish(
        o, figures | {"tune": written(tune), "steps": history.steps},
        f"{after['in key']:.0%} of the notes in key (untrained {before['in key']:.0%}), "
        f"{after['full bars']:.0%} of the bars full ({before['full bars']:.0%}), "
        f"{after['copied in a row']:.0f} of {after['notes']:.0f} notes copied in a row",
        "scale and bar are learnt from tunes, and carried on alone", missed,
        lambda figure: draw(figure, notes, key, figures),
    )  # fmt: skip
    if notes:
        with writing(out) as path:
            save(path, notes)
    return code


def roll(notes: Sequence[Note], key: int) -> Text:
    """Half a beat is one column, eight bars are a row; what is not in key is red."""
    starts = [0, *accumulate(int(2 * note.beats) for note in notes)]
    text, wide = Text(), 2 * BAR * 8
    for left in range(0, starts[-1], wide):
        for pitch in sorted({note.pitch for note in notes}, reverse=True):
            cells = ["·" if column % (2 * BAR) == 0 else " " for column in range(wide)]
            for note, start in zip(notes, starts, strict=False):
                if note.pitch == pitch and left <= start < left + wide:
                    long = int(2 * note.beats)
                    cells[start - left : start - left + long] = "█" + "▬" * (long - 1)
            colour = "green" if (pitch - key) % 12 in SCALE else "red"
            text.append(f"{NAMES[pitch % 12]:>4} ", "dim").append(
                "".join(cells[:wide]) + "\n", colour
            )
        text.append("\n")
    return text


def table(figures: dict[str, dict[str, float]]) -> Table:
    shown = Table("means over tunes", *figures)
    for name in figures["folk tunes"]:
        values = [column[name] for column in figures.values()]
        counts = name in ("notes", "copied in a row")
        shown.add_row(name, *(f"{v:.1f}" if counts else f"{v:.0%}" for v in values))
    return shown


def draw(figure: Any, notes: Sequence[Note], key: int, figures: dict[str, Any]) -> None:
    top, bottom = figure.subplots(2, 1, height_ratios=(3, 2))
    for note, start in zip(notes, [0, *accumulate(note.beats for note in notes)], strict=False):
        colour = "tab:green" if (note.pitch - key) % 12 in SCALE else "tab:red"
        top.barh(note.pitch, note.beats - 0.1, 0.8, left=start, color=colour)
    pitches = sorted({note.pitch for note in notes})
    top.set_yticks(pitches, [NAMES[pitch % 12] for pitch in pitches])
    top.set_xticks(range(0, int(sum(note.beats for note in notes)) + 1, BAR))
    top.set(title=f"From {NAMES[key % 12]}", xlabel="beats")
    top.grid(axis="x", alpha=0.5)
    for i, (name, means) in enumerate(figures.items()):
        bottom.bar(
            np.arange(len(SHARES)) + (i - 1) * 0.25, [means[s] for s in SHARES], 0.25, label=name
        )
    bottom.set_xticks(range(len(SHARES)), SHARES)
    bottom.set(ylim=(0, 1.3))
    bottom.legend(frameon=False, ncols=3)


if __name__ == "__main__":
    sys.exit(main())
