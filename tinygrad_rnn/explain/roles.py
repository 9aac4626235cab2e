"""What the lines of a loop's steps have in common: roles, and the circles that they form."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from .lines import Lines
from .loops import Loop


def roles_of(lines: Lines, loop: Loop) -> list[dict[int, int]]:
    """For every step role -> line; equal roles do the same, and lower ones come earlier.

    What most steps do is the pattern; a step that does more or less is laid against it.
    """
    ops = [tuple(lines.nodes[i].op.__name__ for i in step) for step in loop.steps]
    pattern = Counter(ops).most_common(1)[0][0]
    places = {kind: _beside(pattern, kind) for kind in set(ops)}
    numbers = {place: r for r, place in enumerate(sorted(set().union(*places.values())))}
    return [
        {numbers[place]: i for place, i in zip(places[kind], step, strict=True)}
        for kind, step in zip(ops, loop.steps, strict=True)
    ]


def _beside(pattern: Sequence[str], ops: Sequence[str]) -> list[tuple[int, int, str]]:
    """Where each op stands in the pattern, or after which place of it, as something to sort by."""
    places: list[tuple[int, int, str]] = []
    matcher = SequenceMatcher(None, pattern, ops, autojunk=False)
    for what, a, _, b, end in matcher.get_opcodes():
        if what == "equal":
            places += [(a + k, 0, op) for k, op in enumerate(ops[b:end])]
        else:
            places += [(a - 1, 1 + k, op) for k, op in enumerate(ops[b:end])]
    return places


def circles(
    roles: Collection[int], arrows: Iterable[tuple[int, int]]
) -> Iterator[tuple[set[int], bool]]:
    """The layers among the roles, (members, whether they form a circle), lower ones first.

    `arrows` are pairs (parent, child).  Roles that go round no circle belong to the first circle
    that needs them; those that none needs come last, together.
    """
    children: dict[int, list[int]] = {r: [] for r in roles}
    parents: dict[int, list[int]] = {r: [] for r in roles}
    for parent, child in arrows:
        children[parent].append(child)
        parents[child].append(parent)
    found: list[set[int]] = []
    home: dict[int, int] = {}  # role -> its circle
    for group in _strongly_connected(children, parents):  # no group needs a later one
        if len(group) > 1 or group[0] in children[group[0]]:
            home |= dict.fromkeys(group, len(found))
            found.append(set(group))
    for members in found:  # lower circles take first what they need
        k = found.index(members)
        stack = list(members)
        while stack:
            for parent in parents[stack.pop()]:
                if parent not in home:
                    home[parent] = k
                    stack.append(parent)
    for r, k in home.items():
        found[k].add(r)
    for members in found:
        yield members, True
    rest = set(roles) - set(home)
    if rest:
        yield rest, False


def _strongly_connected(
    children: dict[int, list[int]], parents: dict[int, list[int]]
) -> list[list[int]]:
    """The groups of which every member leads to every other, parents before children.

    Source: Sharir 1981 (two depth-first searches, the second one backwards), without recursion.
    """
    finished: list[int] = []
    seen: set[int] = set()
    for root in children:
        stack = [] if root in seen else [(root, iter(children[root]))]
        seen.add(root)
        while stack:
            for child in stack[-1][1]:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, iter(children[child])))
                    break
            else:
                finished.append(stack.pop()[0])
    groups: list[list[int]] = []
    taken: set[int] = set()
    for root in reversed(finished):
        group = [] if root in taken else [root]
        taken.add(root)
        for r in group:  # it grows meanwhile
            new = [p for p in dict.fromkeys(parents[r]) if p not in taken]
            group += new
            taken.update(new)
        if group:
            groups.append(group)
    return groups
