"""The claims of the lectures: verdicts, what is exact, and the table in its three forms."""

import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

for _name in ("sklearn", "matplotlib"):
    pytest.importorskip(_name)

DEMOS = Path(__file__).parents[2] / "demos"


@pytest.fixture
def claims(demo):
    return demo("_claims")


def of(claims, *conditions, **more):
    return claims.Claim("L0", "a | b", "c", "1", [*conditions], **more)


def test_a_claim_holds_if_all_is_met_and_depends_if_some_is(claims):
    assert of(claims, True, True).verdict == claims.HOLDS
    assert of(claims, True, False).verdict == claims.DEPENDS
    assert of(claims, False, False).verdict == claims.FAILS


def test_parameters_are_as_1_to_3_to_4(claims):
    first = next(claims.costs(None, {}))
    assert first.verdict == claims.HOLDS
    assert first.figures == "RNN 620, GRU 1860, LSTM 2480: 1 : 3 : 4"


def test_the_constant_error_carousel_is_exact_and_leaks_where_f_is_less_than_1(claims):
    kept, back = claims.carried(1.0)
    assert set(kept) == set(back) == {1.0}
    assert len(back) == claims.CAROUSEL + 1 == 1001
    kept, back = claims.carried(0.99)
    assert kept[-1] == pytest.approx(0.99**1000)
    assert back[-1] == pytest.approx(0.99**1000)


def test_the_label_lies_ahead(demo):
    claims, bits = demo("claims"), np.zeros((10, 1, 1), np.float32)
    for both in (False, True):
        tg.manual_seed(0)
        model = claims.Ahead(both)
        before = model(tg.tensor(bits)).data
        changed = bits.copy()
        changed[5] = 1
        after = model(tg.tensor(changed)).data
        assert before.shape == (10 - claims.AHEAD, 1, 1)
        assert (before[5 - claims.AHEAD] != after[5 - claims.AHEAD]).all() == both


def test_the_markdown_is_one_table_of_as_many_cells_in_each_row(claims):
    lines = claims.markdown([of(claims, True, demo="x.py"), of(claims, False)]).splitlines()
    assert lines[:2] == ["# The claims of the lectures, measured", ""]
    assert len(lines) == 6
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines[2:]} == {8}
    assert "`python demos/x.py`" in lines[4]
    assert r"a \| b" in lines[4]


def test_a_file_that_cannot_be_written_is_said_at_once(demo, capsys):
    with pytest.raises(SystemExit, match="2"):
        demo("claims").main(["--markdown", "no/such/folder/c.md"])
    err = capsys.readouterr().err
    assert err == "claims.py: --markdown no/such/folder/c.md: No such file or directory\n"


def test_a_tiny_budget_runs_through_and_is_honest(demo, run, tmp_path, monkeypatch):
    monkeypatch.setattr(demo("_claims"), "STARTS", 1)
    monkeypatch.setattr(demo("_claims"), "TURNS", 1)
    png, md = tmp_path / "claims.png", tmp_path / "claims.md"
    ran = run("claims", "--seconds", "0.2", "--plot", str(png), "--markdown", str(md))
    assert ran.code == 0
    assert "NOT shown by this run" in ran.last[0]
    assert any("A plain RNN learns short dependencies" in claim for claim in ran.missed)
    verdicts = {claim["claim"]: claim["verdict"] for claim in ran.figures["claims"]}
    assert len(verdicts) == len(ran.figures["claims"]) > 20
    assert set(" ".join(c["lectures"] for c in ran.figures["claims"]).split()) == {
        f"L{i}" for i in range(5)
    }
    lines = md.read_text("utf-8").splitlines()[2:]
    assert len(lines) == len(verdicts) + 2
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {8}
    named = {c["demo"] for c in ran.figures["claims"]} - {""}
    assert all((DEMOS / name).is_file() for name in named)
    assert {"deep.py", "frames.py"} <= named
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_claims_come_out_as_the_table_says(run):
    ran = run("claims")
    assert ran.missed == []
    for claim in ran.figures["claims"]:
        assert claim["expected"] in (None, claim["verdict"]), claim
