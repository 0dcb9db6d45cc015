"""Claims of the literature: the verdict follows from intervals, and every claim can be measured."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import tiny
from workbench.cli import app
from workbench.measure.statistics import Estimate
from workbench.measure.verdicts import Check
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.sets import generate
from workbench.studies.claims import Claim
from workbench.studies.reproduce import methods, superposition, values
from workbench.studies.reproduce.material import REFERENCE, Finding, Material
from workbench.studies.reproduce.page import Judged, chosen, judge, measure, write_page

CLAIM = Claim("Some number is what it is", "1234.56789", "97.0")
ALL = [claim for group in chosen().values() for claim in group]


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 100)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([(0.1, 0.3, 0.0, 1.0)], "reproduced"),
        ([(0.1, 0.3, 0.0, 1.0), (-0.1, 0.3, 0.0, 1.0)], "undecided"),
        ([(0.1, 0.3, 0.0, 1.0), (-0.3, -0.1, 0.0, 1.0)], "not reproduced"),
        ([(0.1, 0.3, 0.2, 1.0), (0.9, 1.1, -1.0, 0.5)], "not reproduced"),
        ([(0.1, 0.3, 0.1, 1.0)], "undecided"),
        ([(0.1, 0.3, 0.0, 1.0), (math.nan, math.nan, 0.0, 1.0)], "not measured"),
        ([], "not measured"),
    ],
)
def test_a_verdict_follows_from_whole_intervals(checks: list[tuple[float, float, float, float]], verdict: str) -> None:
    made = tuple(Check("a", estimate(low, high), at_least, at_most) for low, high, at_least, at_most in checks)
    assert Judged(CLAIM, Finding("here", made)).verdict == verdict


def test_what_is_about_another_setting_is_not_judged() -> None:
    holds = Check("a", estimate(0.1, 0.2), 0.0)
    other = replace(CLAIM, comparable=False)
    assert Judged(other, Finding("here", (holds,))).verdict == "not comparable"
    assert Judged(other, Finding("here")).verdict == "not measured"


@pytest.fixture
def material(tmp_path: Path) -> Material:
    for seed, name in enumerate((REFERENCE, "coconut_next_node", "cot")):
        save_checkpoint(tiny(thoughts=2, seed=seed, max_position_embeddings=256), tmp_path / name / "model")
    return Material(tmp_path, generate("balanced", 8, seed=1), generate("balanced", 8, seed=2), batch_size=3)


def test_what_is_measured_is_what_the_model_does(material: Material) -> None:
    claim = next(claim for claim in ALL if claim.pair == ("prosqa", "coconut_next_node", "more", "cot"))
    found = measure(claim, material)
    difference = material.right("coconut_next_node").mean() - material.right("cot").mean()
    assert found.checks[0].estimate.value == pytest.approx(difference)
    assert found.checks[0].estimate.n == 8

    removed = methods.removed(material, REFERENCE, -1.0, 1.0).checks[0].estimate
    after = material.right_after(REFERENCE, 2).mean() - material.right_after(REFERENCE, 0).mean()
    assert removed.value == pytest.approx(after)
    own, twin = material.under("all thoughts of the twin", [[]], twins=True)
    assert own.texts == twin.texts
    assert len(own.right) == len(material.paired) <= 8


def test_nothing_is_run_twice(material: Material) -> None:
    steps: list[str] = []
    material.on_step = steps.append
    assert material.right("coconut_next_node") is not None
    assert np.array_equal(material.right("coconut_next_node"), material.right("coconut_next_node"))
    assert material.recording() is material.recording()
    assert len(steps) == len(set(steps))


def test_the_page_shows_claim_numbers_and_verdict(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Check("c", estimate(0.5, 0.7), 0.4)
    monkeypatch.setattr(methods, "known", lambda _, on: Finding(on, (check,)), raising=False)
    claims = {
        "Some": [
            replace(CLAIM, statement="a | b", measure=("known", "here"), if_not="Never shown."),
            replace(CLAIM, comparable=False, remark="Because."),
        ]
    }
    seen: list[str] = []
    judged = judge(claims, material, lambda one: seen.append(one.verdict))
    write_page(judged, tmp_path / "deep" / "page.md", "workbench reproduce", 0)
    page = (tmp_path / "deep" / "page.md").read_text(encoding="utf-8")
    assert seen == ["reproduced", "not measured"]
    assert "| a \\| b | 97.0 (1234.56789) | c 0.600 [0.500, 0.700], n 100 |  | **reproduced**, on here |" in page
    assert "| **not measured**. Because. |" in page


def test_claims_are_many_stated_once_and_name_functions_that_are_there() -> None:
    statements = [claim.statement for claim in ALL]
    assert len(statements) == len(set(statements)) >= 25
    for claim in ALL:
        assert claim.source
        assert claim.published
        assert claim.measure or claim.pair or not claim.comparable
        if claim.measure:
            assert sum(hasattr(part, claim.measure[0]) for part in (methods, values, superposition)) == 1


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["reproduce", "--runs", str(tmp_path), "--out", str(tmp_path / "page.md")])
    assert ran.exit_code == 2
    assert "has no reference" in ran.stderr
    assert not (tmp_path / "page.md").exists()
