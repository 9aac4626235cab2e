"""The rules of the house: who may import whom, how much a learner has to read."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

import tinygrad_rnn as tg

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tinygrad_rnn"
ROOMS = ["autograd", "jit", "recurrent", "nn", "optim", "utils", "decoding", "metrics", "interop"]
ROOMS += ["explain", "checkpoint", "train"]
FILES = sorted(PACKAGE.rglob("*.py"))
IN_ROOMS = [path for path in FILES if path != PACKAGE / "__init__.py"]

BUDGETS = [
    ("elementwise tensor gradcheck", 600),
    ("primitives operations", 500),
    ("elementwise primitives promotion recording tape operations tensor gradcheck", 1300),
]


def lines_of_code(path: Path) -> int:
    """Lines with code on them: no blanks, comments or docstrings."""
    source = path.read_text()
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                documentation.update(range(body[0].lineno, body[0].end_lineno + 1))
    lines: set[int] = set()
    no_code = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in no_code:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documentation)


@pytest.mark.parametrize(("names", "budget"), BUDGETS)
def test_the_engine_can_be_read_in_an_evening(names, budget):
    counted = {name: lines_of_code(PACKAGE / "autograd" / f"{name}.py") for name in names.split()}
    assert sum(counted.values()) <= budget, counted


def test_lines_of_code_leave_out_blanks_comments_and_docstrings(tmp_path):
    path = tmp_path / "example.py"
    path.write_text(
        '"""Doc\nstring."""\n\n# comment\nx = (1,\n     2)\n\ndef f():\n    "doc"\n    return 1\n'
    )
    assert lines_of_code(path) == 4


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    package = ["tinygrad_rnn", *path.relative_to(PACKAGE).parts[:-1]]
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += (node.module or "").split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        rooms |= {name[1] for name in names if name[0] == "tinygrad_rnn" and len(name) > 1}
    return rooms


@pytest.mark.parametrize("path", IN_ROOMS, ids=lambda f: f.stem)
def test_a_room_imports_only_from_rooms_above_it(path):
    room = room_of(path)
    assert room in ROOMS
    below = ROOMS[ROOMS.index(room) + 1 :]
    assert not imported_rooms(path) & set(below)


def test_the_check_of_imports_sees_relative_and_absolute_ones():
    assert {"autograd", "recurrent"} <= imported_rooms(PACKAGE / "nn" / "cells.py")


@pytest.mark.parametrize("path", FILES, ids=lambda f: f.stem)
def test_the_global_random_state_of_numpy_is_used_nowhere(path):
    allowed = {"default_rng", "Generator"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
            assert node.attr in allowed, f"{path.name}:{node.lineno}"


def test_every_public_name_is_there_and_what_comes_later_is_said_once_to_type_checkers():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    checked = {alias.name for line in block.body for alias in line.names}
    assert checked == set(" ".join(tg.LATER.values()).split())
    assert checked <= set(tg.__all__)
    assert [name for name in tg.__all__ if not hasattr(tg, name)] == []
    assert dir(tg) == sorted(tg.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tinygrad_rnn' has no attribute 'lstm'"):
        tg.lstm  # noqa: B018
