"""Audit cards and emergence curves of a suite: the same as of the commands alone, resumed, kept, and on the page."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from tests.studies.test_compare_report import tiny_suite
from tests.studies.test_compare_suite import make_all
from workbench.cli import app
from workbench.measure.recording import record, record_controls
from workbench.measure.run_labels import MODEL, RUN
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems, save_items
from workbench.problems.sets import generate_items
from workbench.readings.emergence import emergence_frame
from workbench.studies.audit.base import NO_GRAPH
from workbench.studies.compare import extras
from workbench.studies.compare.cards import verdicts_table
from workbench.studies.compare.extras import NO_CHECKPOINTS, NO_THOUGHTS, is_made, make, place_of, why_not
from workbench.studies.compare.jobs import keep, plan, shell_lines, total_cost
from workbench.studies.compare.page import report
from workbench.studies.compare.suite import Suite, SuiteEmergence, load_suite, plan_runs

ASKED = "audit: {first: 3, batteries: [needed, shortcuts], fit: 30, further: 4}\nemergence: {first: 2}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    """A suite whose runs are trained and have answered: Coconut with two checkpoints or more, and No-CoT."""
    folder = tmp_path_factory.mktemp("extras")
    path = tiny_suite(folder, keep_every=3)
    path.write_text(ASKED + path.read_text())
    suite, out = load_suite(path), folder / "out"
    make_all(plan_runs(suite, out), out)
    return suite, out


@pytest.fixture(scope="module")
def made(trained: tuple[Suite, Path]) -> tuple[Suite, Path]:
    """The same after the commands of its plan, each as a shell would give it."""
    suite, out = trained
    threads = torch.get_num_threads()
    for line in shell_lines(suite, out):
        environment, program, *arguments = shlex.split(line)
        assert (environment, program, arguments[0]) == ("OMP_NUM_THREADS=1", "workbench", "measure")
        ran = CliRunner().invoke(app, arguments)
        assert ran.exit_code == 0, ran.output
    torch.set_num_threads(threads)
    return suite, out


def asked(suite: Suite) -> tuple[str, Path]:
    return next((name, Path(file)) for name, file in suite.tasks[0].problems.items())


def test_the_rows_of_a_card_are_those_of_the_command_alone(made: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, out = made
    run, place = out / "prosqa/coconut_words-0", out / "prosqa/coconut_words-0/compare/few-audit"
    only = ["--only", "needed", "--only", "shortcuts", "--jobs", "1"]
    command = ["audit", str(run), str(asked(suite)[1]), "--out", str(tmp_path / "a"), "--first", "3"]
    ran = CliRunner().invoke(app, [*command, "--fit", "30", "--further", "4", *only])

    assert ran.exit_code == 0, ran.output
    alone = pl.read_parquet(tmp_path / "a/audit.parquet")
    assert set(alone["battery"]) == {"needed", "shortcuts"}
    assert pl.read_parquet(place / "audit.parquet").equals(alone)
    assert json.loads((place / "audit.json").read_text()) == json.loads((tmp_path / "a/audit.json").read_text())
    assert shlex.join(["--only", "needed", "--only", "shortcuts"]) in (place / "card.md").read_text()


def test_an_audit_that_was_killed_goes_on_to_the_same_bytes(
    made: tuple[Suite, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, out = made
    (name, file), directory, how = asked(suite), out / "prosqa/coconut_words-0", suite.audit
    assert how is not None
    place = place_of(directory, "audit", name)
    whole = {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    ran: list[str] = []
    run_battery: Callable[..., None] = extras.run_battery

    def killed(checkpoint: Any, problems: Any, to: Path, battery: str, options: Any) -> None:
        ran.append(battery)
        if len(ran) == 2:
            raise KeyboardInterrupt
        run_battery(checkpoint, problems, to, battery, options)

    shutil.rmtree(place)
    place.with_name(f"{place.name}.json").unlink()
    monkeypatch.setattr(extras, "run_battery", killed)
    with pytest.raises(KeyboardInterrupt):
        make(directory, "audit", name, file, how)
    assert ran == ["needed", "shortcuts"]
    assert extras.doing(directory, name, {"audit": how}) == "audit, 1 batteries done"
    assert [one.run.key for one in plan(suite, out) if "audit" in one.extras] == ["prosqa/coconut_words-0"]

    first = (place / "parts/needed.parquet").stat().st_mtime_ns
    make(directory, "audit", name, file, how)
    assert (place / "parts/needed.parquet").stat().st_mtime_ns == first, "what was done is not done again"
    assert {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()} == whole
    assert is_made(directory, "audit", name, file, how)
    assert not any(one.extras for one in plan(suite, out))


def test_the_curve_is_the_reading_at_each_checkpoint(made: tuple[Suite, Path]) -> None:
    suite, out = made
    directory = out / "prosqa/coconut_words-0"
    table = extras.read_emergence(directory, "few")
    (kept,) = directory.glob("checkpoints/step000003*")
    checkpoint = load_checkpoint(kept)
    problems = load_problems(asked(suite)[1])[:2]
    own = record(checkpoint, problems, 2)
    alone = emergence_frame([own, *record_controls(own, ["untrained"])])

    assert table.filter(step=3).drop("step", "stage").equals(alone)
    assert set(table[RUN]) == {MODEL, "untrained"}
    assert table["step"].max() == 6
    assert not place_of(directory, "emergence", "few").exists()  # the parts went into the table


def test_where_there_is_no_curve_it_is_said_why(made: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, out = made
    name, file = asked(suite)
    assert why_not(out / "prosqa/no_cot-0", "emergence", name) == NO_THOUGHTS
    assert why_not(out / "prosqa/coconut_words-0", "emergence", name) == ""

    alone = tmp_path / "run"
    shutil.copytree(out / "prosqa/coconut_words-0/model", alone / "model")
    make(alone, "emergence", name, file, SuiteEmergence(2))
    assert why_not(alone, "emergence", name) == NO_CHECKPOINTS
    save_items(generate_items("arithmetic", 2, 1), tmp_path / "items.json")
    make(alone, "emergence", "items", tmp_path / "items.json", SuiteEmergence(2))
    assert why_not(alone, "emergence", "items") == NO_GRAPH


def test_what_was_asked_otherwise_is_asked_again(made: tuple[Suite, Path]) -> None:
    suite, out = made
    (name, file), directory = asked(suite), out / "prosqa/coconut_words-0"

    assert is_made(directory, "emergence", name, file, SuiteEmergence(2))
    assert not is_made(directory, "emergence", name, file, SuiteEmergence(1))
    assert not is_made(directory, "emergence", "other", file, SuiteEmergence(2))


def test_the_page_has_cards_and_curves_and_so_have_kept_results(made: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, out = made
    page = report(suite, out, [], {}, "workbench compare suite.yaml")
    html, text = page.read_text(), page.with_name("comparison.md").read_text()
    for part in ("prosqa: audit cards, side by side", "prosqa: how the breadth emerged", "No curve of No-CoT",
                 "it does better than the best reader", "When the mass appears", "Recorded cost"):  # fmt: skip
        assert part.lower() in html.lower(), part
        assert part.lower() in text.lower(), part
    link = "../prosqa/coconut_words-0/compare/few-audit/index.html"
    assert f'<a href="{link}">prosqa/coconut_words-0</a>' in html
    assert (page.parent / link).exists()
    assert link not in text  # the page is copied into documents
    told = json.loads(page.with_name("comparison.json").read_text())["tasks"]["prosqa"]
    assert set(told["audit"]) == {"prosqa/coconut_words-0", "prosqa/no_cot-0"}
    assert {row["hop"] for row in told["emergence"]} == {1, 2}

    kept = tmp_path / "kept"
    assert keep(suite, out, kept) == 2
    assert not [path for path in kept.rglob("*") if path.suffix in (".js", ".html", ".safetensors")]
    again = report(suite, kept, [], {}, "workbench compare suite.yaml")
    assert again.with_name("comparison.md").read_text() == text
    assert "compare/few-audit/card.md" in again.read_text()
    assert not any(one.extras or one.train for one in plan(suite, kept))


def test_what_cards_and_curves_take_is_known_from_other_runs(made: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, out = made
    path = tmp_path / "suite.yaml"
    path.write_text(
        Path(str(asked(suite)[1])).with_name("suite.yaml").read_text()
        .replace("base: base.yaml", f"base: {asked(suite)[1].with_name('base.yaml')}\n    seeds: {{default: 2}}")
        .replace("few.json", str(asked(suite)[1]))
    )  # fmt: skip
    left = [one for one in plan(load_suite(path), out) if one.extras]

    assert [one.run.key for one in left] == ["prosqa/coconut_words-1", "prosqa/no_cot-1"]
    assert all(one.extra_minutes is not None and one.extra_minutes > 0 for one in left)
    assert "Audit and emergence left: " in total_cost(left, 2)
    fresh = [one for one in plan(load_suite(path), tmp_path / "none")]
    assert "4 runs whose cost is known once one of their task is done" in total_cost(fresh, 2)


def test_verdicts_of_seeds_are_counted(made: tuple[Suite, Path]) -> None:
    suite, out = made
    from workbench.studies.compare.cards import RunCard, cards_of
    from workbench.studies.compare.outcome import gather

    assert suite.audit is not None
    (task,) = gather(suite, plan_runs(suite, out), out, {})
    cards = cards_of(task, suite.audit, out)
    one = verdicts_table(cards)
    assert [column.title for column in one.columns] == ["question", "sentence", "Coconut, words only", "No-CoT"]
    verdict = next(row for row in one.rows if row[1].startswith("It does better than the best reader"))
    assert verdict[2:] == ("too few", "too few")  # three problems
    two = verdicts_table([*cards, RunCard("again", cards[0].method, cards[0].card)])
    assert next(row for row in two.rows if row[1] == verdict[1])[2:] == ("too few (2\u00a0of\u00a02)", "too few")
