"""Claims of the literature: the verdict follows from intervals, and every claim can be measured."""

import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import tiny
from workbench.cli import app
from workbench.measure.statistics import Estimate
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.sets import generate
from workbench.studies.claims import Check, Claim, Finding
from workbench.studies.reproduce import methods
from workbench.studies.reproduce import necessity as needed
from workbench.studies.reproduce.catalogue import CLAIMS
from workbench.studies.reproduce.material import REFERENCE, Material
from workbench.studies.reproduce.page import judge, write_page


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 10)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([(0.1, 0.3, 0.0, 1.0)], "reproduced"),
        ([(0.1, 0.3, 0.0, 1.0), (-0.1, 0.3, 0.0, 1.0)], "undecided"),
        ([(0.1, 0.3, 0.0, 1.0), (-0.3, -0.1, 0.0, 1.0)], "not reproduced"),
        ([(0.1, 0.3, 0.2, 1.0), (0.9, 1.1, -1.0, 0.5)], "not reproduced"),
        ([(0.1, 0.3, 0.0, 1.0), (math.nan, math.nan, 0.0, 1.0)], "not measured"),
        ([], "not measured"),
    ],
)
def test_a_verdict_follows_from_whole_intervals(checks: list[tuple[float, float, float, float]], verdict: str) -> None:
    made = tuple(Check("a", estimate(low, high), at_least, at_most) for low, high, at_least, at_most in checks)
    assert Finding("here", made).verdict == verdict


def test_what_is_about_another_setting_is_not_judged() -> None:
    holds = Check("a", estimate(0.1, 0.2), 0.0)
    assert Finding("here", (holds,), comparable=False).verdict == "not comparable"
    assert Finding("here", comparable=False).verdict == "not measured"


@pytest.fixture
def material(tmp_path: Path) -> Material:
    for seed, name in enumerate((REFERENCE, "coconut", "cot")):
        save_checkpoint(tiny(thoughts=2, seed=seed, max_position_embeddings=256), tmp_path / name / "model")
    return Material(tmp_path, generate("balanced", 8, seed=1), generate("balanced", 8, seed=2), batch_size=3)


def test_what_is_measured_is_what_the_model_does(material: Material) -> None:
    found = methods._against("coconut", "cot", 0.0, 1.0)(material)
    difference = material.right("coconut").mean() - material.right("cot").mean()
    assert found.checks[0].estimate.value == pytest.approx(difference)
    assert found.checks[0].estimate.n == 8

    removed = needed._removed(REFERENCE, -1.0, 1.0)(material).checks[0].estimate
    after = material.right_after(REFERENCE, 2).mean() - material.right_after(REFERENCE, 0).mean()
    assert removed.value == pytest.approx(after)
    own, twin = material.under("all thoughts of the twin", [[]], twins=True)
    assert own.texts == twin.texts
    assert len(own.right) == len(material.paired) <= 8


def test_nothing_is_run_twice(material: Material) -> None:
    steps: list[str] = []
    material.on_step = steps.append
    assert material.right("coconut") is not None
    assert np.array_equal(material.right("coconut"), material.right("coconut"))
    assert material.recording() is material.recording()
    assert len(steps) == len(set(steps))


def test_the_page_shows_claim_numbers_and_verdict(tmp_path: Path, material: Material) -> None:
    claims = {
        "Some": (
            Claim("a | b", "1234.56789", "97.0", lambda _: Finding("here", (Check("c", estimate(0.5, 0.7), 0.4),))),
            Claim("never", "1234.56789", "1", lambda _: Finding("–", why="Because.", comparable=False)),
        )
    }
    seen: list[str] = []
    judged = judge(claims, material, lambda claim, found: seen.append(found.verdict))
    write_page(judged, tmp_path / "deep" / "page.md", "workbench reproduce", 0)
    page = (tmp_path / "deep" / "page.md").read_text(encoding="utf-8")
    assert seen == ["reproduced", "not measured"]
    assert "| a \\| b | 97.0 (1234.56789) | c 0.600 [0.500, 0.700], n 10 |  | **reproduced**, on here |" in page
    assert "| **not measured**. Because. |" in page


def test_claims_are_many_and_each_is_stated_once() -> None:
    texts = [claim.text for group in CLAIMS.values() for claim in group]
    assert len(texts) == len(set(texts)) >= 25
    assert all(claim.source and claim.published for group in CLAIMS.values() for claim in group)


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["reproduce", "--runs", str(tmp_path), "--out", str(tmp_path / "page.md")])
    assert ran.exit_code == 2
    assert "has no reference" in ran.stderr
    assert not (tmp_path / "page.md").exists()
