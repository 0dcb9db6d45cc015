"""The command `workbench audit`: a directory that is opened, gone on with, and turned into a card."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from tests.conftest import tiny
from workbench.cli import app
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.files import save_problems
from workbench.problems.sets import generate
from workbench.studies.audit import run as audit
from workbench.studies.audit.base import AuditOptions
from workbench.studies.audit.card import write_card
from workbench.studies.audit.run import BATTERIES, inputs_of, is_done, join, open_audit, part_of, run_battery

OPTIONS = AuditOptions(fit=30, further=4)
SMALL = ["--fit", "30", "--further", "4", "--jobs", "1"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny checkpoint and six problems, as files."""
    folder = tmp_path_factory.mktemp("given")
    save_checkpoint(tiny(thoughts=2, max_position_embeddings=256), folder / "model")
    save_problems(generate("released", 6, seed=1), folder / "six.json")
    return folder / "model", folder / "six.json"


def test_an_audit_from_end_to_end(given: tuple[Path, Path], tmp_path: Path) -> None:
    run, problems = given
    ran = CliRunner().invoke(app, ["audit", str(run), str(problems), "--out", str(tmp_path / "a"), *SMALL])

    assert ran.exit_code == 0, ran.output
    table = pl.read_parquet(tmp_path / "a" / "audit.parquet")
    assert table["battery"].unique(maintain_order=True).to_list() == list(BATTERIES)
    for page in ("index.html", "card.md"):
        text = (tmp_path / "a" / page).read_text()
        assert "In plain words" in text
        assert "Needed?" in text
    html = (tmp_path / "a" / "index.html").read_text()
    assert 'class="plain"' in html  # "said" is what the report's style hides
    assert html.count('<li data-verdict="too few"') > 0  # six problems
    text = (tmp_path / "a" / "card.md").read_text()
    assert html.count("<li data-verdict") == sum(text.count(f"\n- {mark} ") for mark in "●○◐–")
    assert "**Aim" not in text  # of the reference models alone
    about = tmp_path / "a" / "audit.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"checkpoint": "reference"}))
    write_card(tmp_path / "a", table, "workbench audit reference")
    assert "**Aim " in (tmp_path / "a" / "card.md").read_text()


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, problems = tiny(thoughts=1, max_position_embeddings=256), generate("released", 4, seed=2)
    inputs = inputs_of(checkpoint, problems, OPTIONS)
    open_audit(tmp_path, inputs)
    run_battery(checkpoint, problems, tmp_path, "needed", OPTIONS)
    first = part_of(tmp_path, "needed").read_bytes()

    def never(*_: object) -> pl.DataFrame:
        raise AssertionError

    monkeypatch.setattr(audit, "BATTERIES", {"needed": never})
    open_audit(tmp_path, inputs)
    run_battery(checkpoint, problems, tmp_path, "needed", OPTIONS)

    assert is_done(tmp_path, "needed", inputs)
    assert part_of(tmp_path, "needed").read_bytes() == first
    assert len(join(tmp_path)) > 0


def test_a_directory_with_another_audit_or_other_files_is_left_alone(tmp_path: Path) -> None:
    checkpoint, problems = tiny(thoughts=1, max_position_embeddings=256), generate("released", 4, seed=2)
    inputs = inputs_of(checkpoint, problems, OPTIONS)
    open_audit(tmp_path / "a", inputs)
    part_of(tmp_path / "a", "needed").touch()
    other = inputs | {"weights": "others"}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()

    with pytest.raises(WorkbenchError, match="other inputs \\(weights\\)"):
        open_audit(tmp_path / "a", other)
    with pytest.raises(WorkbenchError, match=r"thesis\.txt"):
        open_audit(tmp_path / "b", inputs, overwrite=True)
    open_audit(tmp_path / "a", other, overwrite=True)
    assert not part_of(tmp_path / "a", "needed").exists()
    assert json.loads((tmp_path / "a" / "audit.json").read_text()) == other


@pytest.mark.parametrize(
    ("extra", "why"), [(["--only", "neded"], "The batteries are needed"), (["--fit", "1"], "--fit")]
)
def test_mistakes_are_said_in_words(given: tuple[Path, Path], tmp_path: Path, extra: list[str], why: str) -> None:
    run, problems = given
    ran = CliRunner().invoke(app, ["audit", str(run), str(problems), "--out", str(tmp_path / "a"), *extra])

    assert ran.exit_code == 2
    assert why in ran.output
    assert not (tmp_path / "a").exists()


def test_one_problem_is_too_few(given: tuple[Path, Path], tmp_path: Path) -> None:
    save_problems(generate("released", 1, seed=1), tmp_path / "one.json")
    ran = CliRunner().invoke(app, ["audit", str(given[0]), str(tmp_path / "one.json"), "--out", str(tmp_path / "a")])

    assert ran.exit_code == 2
    assert "one problem" in ran.output


def test_audits_stand_side_by_side(tmp_path: Path) -> None:
    problems = generate("released", 4, seed=2)
    for name, thoughts in (("one", 1), ("none", 0)):
        checkpoint = tiny(thoughts=thoughts, max_position_embeddings=256)
        open_audit(tmp_path / name, inputs_of(checkpoint, problems, OPTIONS))
        run_battery(checkpoint, problems, tmp_path / name, "needed", OPTIONS)
        table = join(tmp_path / name)
    table.rename({"strength": "dose"}).write_parquet(tmp_path / "none" / "audit.parquet")  # as before schema 2
    ran = CliRunner().invoke(app, ["audits", str(tmp_path)])
    lines = (tmp_path / "README.md").read_text().splitlines()

    assert ran.exit_code == 0, ran.output
    assert any(line.startswith("| [none](none/card.md)") and "–" in line for line in lines)
    assert any(line.startswith("| [one](one/card.md)") and "too few: " in line for line in lines)
    assert any("needed" not in line and "noise for all thoughts" in line for line in lines)


def test_a_directory_without_audits_says_how_to_make_one(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["audits", str(tmp_path)])

    assert ran.exit_code == 2
    assert "workbench audit RUN" in ran.output
