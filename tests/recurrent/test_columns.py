"""Where the columns of values come from."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.columns import Array, Columns
from tinygrad_rnn.recurrent.program import Value
from tinygrad_rnn.recurrent.trace import trace

B, H = 3, 6
TABLE = tg.Tensor(np.arange(100.0, 100 + B * 4).reshape(B, 4))

MOVES = {
    "slices": lambda x, h: tg.cat([h[:, 4:], x, h[:, :1]], -1),
    "every other": lambda x, h: tg.stack([h[:, ::2], h[:, 1::2]], -1).flatten(1),
    "indices": lambda x, h: h[:, [5, 5, 0, 1, 2]],
    "flip": lambda x, h: h.reshape(B, 2, 3).flip(2).flatten(1),
    "heads": lambda x, h: h.reshape(B, 2, 3).transpose(1, 2).flatten(1),
    "spread": lambda x, h: h[:, 2:3].expand(B, 5),
    "samples last": lambda x, h: tg.cat([h.T, x.T]).T[:, 3:8],
    "a batch": lambda x, h: tg.cat([TABLE, h], -1),
}


def rebuilt(columns, line, values):
    """The result of a move, put together from its runs."""
    made = []
    for out, (runs,) in zip(line.outputs, columns.runs[columns.lines.index(line)], strict=True):
        rows = np.full((B, columns.width(out)), np.nan)
        for run in runs:
            at = slice(run.at, run.at + run.length)
            if not isinstance(run.source, Array):
                rows[:, at] = run.source
                continue
            source = values[run.source] if isinstance(run.source, Value) else run.source._array
            source = source.reshape(B if run.has_rows else 1, -1)
            taken = run.start + np.arange(run.length) * run.step
            rows[:, at] = source[:, taken]
        made.append(rows)
    return made


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_runs_put_together_are_the_move(move, rng):
    x, h = rng.standard_normal((B, 4)), rng.standard_normal((B, H))
    step = trace(lambda x, h: (move(x, h), h), x, h)
    columns = Columns(step)
    values = {step.x: x, step.state: h}  # by value, a row of columns for each sample
    for line in step.lines:
        values |= dict(zip(line.outputs, rebuilt(columns, line, values), strict=True))
    want = move(tg.Tensor(x), tg.Tensor(h)).data
    np.testing.assert_array_equal(values[step.output], want.reshape(B, -1))


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_every_piece_of_a_result_is_a_piece_of_one_source(move, rng):
    x, h = rng.standard_normal((B, 4)), rng.standard_normal((B, H))
    step = trace(lambda x, h: (move(x, h).tanh(), h), x, h)
    columns = Columns(step)
    for line, found in zip(step.lines, columns.runs, strict=True):
        for out, lists in zip(line.outputs, found, strict=True):
            for a, b in columns.spans(out):
                for run in (next(r for r in runs if r.covers(a)) for runs in lists):
                    assert b <= run.at + run.length
                    if isinstance(run.source, Value) and run.step:
                        start = run.start + a - run.at
                        assert (start, start + b - a) in columns.spans(run.source)
