"""Repetition on a tape: stretches of lines that are the same again and again, moved on by a step.

Two lines are the same, a step apart, when they are of one kind and each of their inputs is one of:

* the line that is as far before: the step's own, or one of the step before;
* the very same line or leaf, in every step;
* the next output of the same line: the x of the step, cut from a sequence.

Which of the three it is must not change from step to step, so the first stretch and the number of
repetitions say everything.
"""

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from .lines import Use

ORDER = AGO, SAME, NEXT = "ago", "same", "next"
CANDIDATES = 12
"""How many later lines of the same kind are tried as the beginning of the next repetition."""


class Repeat(NamedTuple):
    """Lines start, start + 1, ... that are so many repetitions of `period` lines.

    ``moves[offset, k]`` says how input k of the line at `offset` moves from one to the next.
    """

    start: int
    period: int
    times: int
    moves: dict[tuple[int, int], str]

    @property
    def end(self) -> int:
        """The first line after it."""
        return self.start + self.period * self.times


def repeats(
    kinds: Sequence[Hashable], steps: Sequence[int | None], uses: Sequence[Sequence[Use]]
) -> list[Repeat]:
    """All repetitions, from the oldest line to the youngest; no line is in two of them.

    ``kinds`` say which lines are alike, ``steps`` at which step of time they are, where known.
    What does not go on from the repetition before, and so may be chance, must come three times.
    """
    return list(_Search(kinds, steps, uses))


class _Search:
    def __init__(
        self, kinds: Sequence[Hashable], steps: Sequence[int | None], uses: Sequence[Sequence[Use]]
    ) -> None:
        self.kinds, self.steps, self.uses = kinds, steps, uses

    def __iter__(self) -> Iterator[Repeat]:
        alike: dict[Hashable, list[int]] = {}
        for i, kind in enumerate(self.kinds):
            alike.setdefault(kind, []).append(i)
        i = 0
        while i < len(self.kinds):
            same = alike[self.kinds[i]]
            first = bisect_right(same, i)
            tried = [self._from(i, j - i) for j in same[first : first + CANDIDATES]]
            best = max(tried, key=lambda r: (r.period * r.times, -r.period), default=None)
            if best is not None and best.times >= (2 if self._goes_on(best) else 3):
                yield best
                i = best.end
            else:
                i += 1

    def _from(self, begin: int, period: int) -> Repeat:
        """How far lines from `begin` on repeat with this period.

        A repetition begins where a step begins.  Where no steps are known they are counted from the
        end: the last one is whole, but what precedes the first may look like the end of one.
        """
        possible: dict[tuple[int, int], set[str]] = {}
        end = begin + period
        while end < len(self.kinds) and self._is_same(end, begin, period, possible):
            end += 1
        start = end - (end - begin) // period * period
        if self.steps[begin] is not None:
            starts = (i for i in range(begin, end) if i == 0 or self.steps[i] != self.steps[i - 1])
            start = next(starts, end)
        moves = {((offset + begin - start) % period, k): min(ways, key=ORDER.index)
                 for (offset, k), ways in possible.items()}  # fmt: skip
        return Repeat(start, period, (end - start) // period, moves)

    def _is_same(
        self, i: int, begin: int, period: int, possible: dict[tuple[int, int], set[str]]
    ) -> bool:
        """Whether a line is the one a period before, moved on as those before it were.

        `possible` are the ways in which each input can have moved so far.
        """
        before, offset = i - period, (i - begin) % period
        step = self.steps[before]
        if self.kinds[i] != self.kinds[before] or len(self.uses[i]) != len(self.uses[before]):
            return False
        if self.steps[i] != (None if step is None else step + 1):
            return False
        now = {}
        for new, old in zip(self.uses[i], self.uses[before], strict=True):
            ways = _moves(new, old) & possible.get((offset, new.input), {*ORDER})
            if not ways:
                return False
            now[offset, new.input] = ways
        possible |= now
        return True

    def _goes_on(self, repeat: Repeat) -> bool:
        """Whether a repetition uses what the one before it has computed."""
        second = range(repeat.start + repeat.period, repeat.start + 2 * repeat.period)
        return repeat.times > 1 and any(
            repeat.moves.get((i - second.start, use.input)) == AGO and use.parent < second.start
            for i in second for use in self.uses[i]
        )  # fmt: skip


def _moves(new: Use, old: Use) -> set[str]:
    """How an input can have moved between two lines that are a step apart."""
    ways: set[str] = set()
    same_output = new.output == old.output
    if new.input != old.input:
        return ways
    if new.parent >= 0 and new.line - new.parent == old.line - old.parent and same_output:
        ways.add(AGO)
    if new.parent == old.parent and same_output:
        ways.add(SAME)
    if new.parent == old.parent >= 0 and new.output == old.output + 1:
        ways.add(NEXT)
    return ways
