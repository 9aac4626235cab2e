"""The course in `docs/`: every page runs, ends with a question, and needs no network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_rnn import explain
from tinygrad_rnn.jit import why_absent

DOCS = Path(__file__).parents[2] / "docs"
INDEX = (DOCS / "index.md").read_text()
COURSE, REFERENCE = (
    re.findall(r"^\w+$", listed, re.M)
    for listed in re.findall(r"^```\{toctree\}\n(.*?)^```", INDEX, re.S | re.M)
)
CELL = re.compile(r"^```\{code-cell\}\n(.*?)^```$", re.S | re.M)
WIDE = 88  # columns of code that a page shows without a scroll bar


def page(name):
    return (DOCS / f"{name}.md").read_text()


def test_the_index_lists_every_page_in_the_order_of_reading():
    assert {path.stem for path in DOCS.glob("*.md")} == {"index", *COURSE, *REFERENCE}
    assert re.findall(r"^\d+\. \{doc\}`(\w+)`", INDEX, re.M) == COURSE
    assert len(COURSE) == 12


@pytest.mark.parametrize("name", COURSE)
def test_a_page_ends_with_one_question_and_its_answer_folded_away(name):
    question, answer = re.findall(r"^:::\{admonition\} .*?^:::$", page(name), re.S | re.M)
    assert ":class: question\n" in question
    assert "?" in question
    assert ":class: answer\n:collapsible: closed\n" in answer
    rest = page(name).partition(answer)[2]
    assert all(":tags: [remove-cell]\n" in cell for cell in CELL.findall(rest))
    assert CELL.sub("", rest).strip() == ""


@pytest.mark.parametrize("name", COURSE)
def test_the_answers_are_checked_when_the_page_is_built(name):
    assert re.search(r"^assert ", CELL.findall(page(name))[-1], re.M)


@pytest.mark.parametrize("name", COURSE)
def test_the_code_fits_on_the_page(name):
    shown = [cell for cell in CELL.findall(page(name)) if ":tags: [remove-cell]" not in cell]
    assert shown
    assert [line for cell in shown for line in cell.splitlines() if len(line) > WIDE] == []


def test_every_lecture_that_is_cited_is_listed():
    listed = re.findall(r"^\| (L\d) \| \w", INDEX, re.M)
    cited = {name for course in COURSE for name in re.findall(r"\bL\d\b", page(course))}
    assert listed == ["L0", "L1", "L2", "L3", "L4"]
    assert {"L1", "L4"} <= cited <= {*listed}


# ------------------------------------------------------------------------- built


def build(source, to):
    """The pages in `source`, built as the course is."""
    for module in ("sphinx", "docutils", "furo", "myst_nb"):
        pytest.importorskip(module, reason="the course needs pip install 'tinygrad-rnn[docs]'")
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-T", "--keep-going", "-c", DOCS, source, to],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    if why_absent():  # a page shows what is compiled
        pytest.skip(why_absent())
    to = tmp_path_factory.mktemp("course") / "html"
    run = build(DOCS, to)
    assert run.returncode == 0, run.stderr[-5000:]
    return to


@pytest.mark.slow
def test_every_page_is_built_and_has_been_run(built):
    for name in (*COURSE, *REFERENCE):
        html = (built / f"{name}.html").read_text()
        printed = [cell for cell in CELL.findall(page(name)) if ":tags: [remove-cell]" not in cell]
        assert 0 < html.count('class="cell_output') <= len(printed), name
        assert "Traceback" not in html, name


@pytest.mark.slow
def test_the_reference_names_all_that_explains(built):
    html = (built / "api.html").read_text()
    for name in explain.__all__:
        assert f">{name}</span>" in html, name


@pytest.mark.slow
def test_every_answer_is_folded_away(built):
    for name in COURSE:
        html = (built / f"{name}.html").read_text()
        (attributes,) = re.findall(r"<details ([^>]*\banswer\b[^>]*)>", html)
        assert "open" not in attributes, name


@pytest.mark.slow
def test_the_pages_load_nothing_from_the_network(built):
    loads = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(?:https?:)?//")
    for path in built.glob("*.html"):
        assert not loads.search(path.read_text()), path.name


@pytest.mark.slow
def test_truncation_says_what_it_gives_by_hand(built):
    html = (built / "truncation.html").read_text()
    for line in ("k = 3: 0.108", "k = 2: 0.072", "k = 1: 0.036"):
        assert line in re.sub(r"<[^>]*>", "", html)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```{code-cell}\n1 / 0\n```", "ZeroDivisionError"),
        ("```{code-cell}\nimport warnings\nwarnings.warn('take care')\n```", "stderr was found"),
        ("{doc}`nowhere`", "nowhere"),
    ],
    ids=["error", "warning", "link"],
)
def test_a_mistake_in_a_page_stops_the_build(text, complaint, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    front, title = page(COURSE[0]).split("\n\n")[:2]
    (pages / "index.md").write_text(f"{front}\n\n{title}\n\n{text}\n")
    run = build(pages, tmp_path / "html")
    assert run.returncode != 0
    assert complaint in run.stderr
