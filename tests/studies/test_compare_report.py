"""A suite from end to end: trained, measured, reported; skipped when done, gone on with where more is asked."""

import json
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from tests.studies.test_compare_suite import SUITE, make_all
from tests.train.test_training import TINY
from workbench.cli import app
from workbench.errors import WorkbenchError
from workbench.figures import accuracy_after_thoughts, accuracy_in_training
from workbench.files import only_writer
from workbench.problems.files import save_problems
from workbench.problems.sets import generate
from workbench.studies.compare.claims import load_published
from workbench.studies.compare.jobs import COSTS, Job, last_error, minutes_of, plan, run_jobs, shell_lines
from workbench.studies.compare.measure import is_measured
from workbench.studies.compare.page import report
from workbench.studies.compare.suite import Suite, load_suite, plan_runs, standing
from workbench.train.config import load_config, save_config
from workbench.train.methods import METHODS


def tiny_suite(folder: Path, **changes: object) -> Path:
    """Write a suite of two methods that train for six steps, and its files."""
    small: dict[str, Any] = {"steps": 6, "decay_from": 3, "watched": 1, **changes}
    save_config(replace(TINY, **small), folder / "base.yaml")
    save_problems(generate("released", 3, seed=5), folder / "few.json")
    path = folder / "suite.yaml"
    path.write_text(SUITE.replace("name: tiny", "name: tiny\ntimed: 1"))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    folder = tmp_path_factory.mktemp("suite")
    suite, out = load_suite(tiny_suite(folder)), folder / "out"
    make_all(plan_runs(suite, out), out)
    return suite, out


@pytest.fixture(scope="module")
def pages(done: tuple[Suite, Path]) -> Path:
    suite, out = done
    return report(suite, out, [], {"prosqa/no_cot-0": "it broke"}, "workbench compare suite.yaml --out out").parent


def test_what_is_done_is_not_done_again(done: tuple[Suite, Path]) -> None:
    suite, out = done
    todo = plan(suite, out)

    assert [(one.train, one.measure, one.core_minutes) for one in todo] == [(False, (), 0.0)] * 2
    assert all(standing(one.run).finished for one in todo)


def test_another_model_or_another_problem_is_measured_anew(done: tuple[Suite, Path], tmp_path: Path) -> None:
    run = plan_runs(*done)[0]
    file = Path(run.task.problems["few"])
    other = tmp_path / "few.json"
    other.write_bytes(file.read_bytes() + b"\n")

    assert is_measured(run.directory, "few", file)
    assert not is_measured(run.directory, "few", other)


def test_more_steps_in_the_base_configuration_extend_a_run(done: tuple[Suite, Path], tmp_path: Path) -> None:
    _, out = done
    longer = load_suite(tiny_suite(tmp_path, steps=9))

    assert [one.train for one in plan(longer, out)] == [True, True]
    with pytest.raises(WorkbenchError, match="No task of the suite has the method icot"):
        plan(longer, out, ["icot"])


def test_the_report_has_both_pages_and_the_numbers(pages: Path) -> None:
    assert {"index.html", "comparison.md", "comparison.json", "plotly.min.js"} <= {p.name for p in pages.iterdir()}
    for name in ("index.html", "comparison.md"):
        text = (pages / name).read_text()
        for part in (
            "guessing between the options", "query-blind rule: nearest source", "Settings and budget", "McNemar",
            "behaviour for every forced k", "The problem set official is not there", "no_cot-0) failed: it broke",
            "workbench compare suite.yaml --out out", "Coconut is better than No-CoT", "no run of icot", "97.0 ± 0.3",
            "The same number of settings was tried for each method", "accuracy after k thoughts", "torch 2.",
        ):  # fmt: skip
            assert part in text, (name, part)
    assert (pages / "index.html").read_text().count("Plotly.newPlot") == 4  # training, thoughts, two behaviours


def test_published_numbers_stand_in_their_own_columns_only(pages: Path) -> None:
    html = (pages / "index.html").read_text()
    ours = re.findall(r'<td class="(?:num)?">([^<]*)</td>', html)
    published = re.findall(r'<td class="published">([^<]*)</td>', html)

    assert {"97.0 ± 0.3", "76.7 ± 1.0", "14.2"} <= set(published)
    assert not set(published) & set(ours) - {"–"}
    for line in (pages / "comparison.md").read_text().splitlines():
        if line.startswith("| Coconut, words only | words only |") and "±" in line:
            cells = [cell.strip() for cell in line.strip("| ").split("|")]
            assert all(not cell.startswith("*") for cell in cells[:11])
            assert all(cell == "–" or re.fullmatch(r"\*.*\*", cell) for cell in cells[11:])
            break
    else:
        raise AssertionError("no line of Coconut with published numbers")


def test_the_numbers_for_programs_keep_them_apart_too(pages: Path) -> None:
    data = json.loads((pages / "comparison.json").read_text())
    runs = data["tasks"]["prosqa"]["sets"]["few"]["runs"]

    assert {run["method"] for run in runs} == {"coconut_words", "no_cot"}
    assert all(run["finished"] and run["step"] == 6 for run in runs)
    assert all(run["tokens"]["value"] <= 3 for run in runs)
    assert data["published"] == json.loads(json.dumps(load_published().numbers))
    assert len(data["tasks"]["prosqa"]["timings"]) == 2
    assert data["commit"] or data["versions"]


def test_a_partly_trained_run_is_measured_with_its_step(done: tuple[Suite, Path], tmp_path: Path) -> None:
    _, out = done
    longer = load_suite(tiny_suite(tmp_path, steps=9))
    text = (report(longer, out, [], {}, "x").parent / "comparison.md").read_text()

    assert "Coconut, words only (step 6 of 9)" in text
    assert "Not finished: prosqa/coconut_words-0, prosqa/no_cot-0" in text


def test_a_method_has_the_same_line_in_every_figure() -> None:
    title = METHODS["coconut_two"].title
    metrics = pl.DataFrame({"method": ["CoT", title], "seed": 0, "step": 1, "accuracy": 0.5, "stage": ""})
    swept = {"method": [title], "thoughts": 1, "accuracy": 0.5, "low": 0.4, "high": 0.6, "trained": True}
    drawn: list[Any] = [accuracy_in_training(metrics), accuracy_after_thoughts(pl.DataFrame(swept))]
    first, second = (next(line for line in figure.data if line.name == title).line for figure in drawn)
    assert (first.color, first.dash) == (second.color, second.dash)


def test_accuracy_in_training_has_a_line_per_run() -> None:
    metrics = pl.DataFrame(
        {"method": ["Coconut"] * 4, "seed": [0, 0, 1, 1], "step": [1, 2] * 2, "accuracy": [0.1, 0.9, 0.2, 0.8],
         "stage": ["stage 1"] * 4}
    )  # fmt: skip
    made = accuracy_in_training(metrics).to_dict()

    assert [line["name"] for line in made["data"]] == ["Coconut", "Coconut", "chance"]
    assert [line["line"]["width"] for line in made["data"][:2]] == [2.5, 1.2]
    assert [head["text"] for head in made["layout"]["annotations"]] == ["Coconut"]
    assert "Coconut ends at 0.90" in made["layout"]["meta"]["alt"]


def test_the_plan_is_shown_before_anything_is_done(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["compare", str(tiny_suite(tmp_path)), "--out", str(tmp_path / "out"), "--dry-run"], env={"COLUMNS": "120"}
    )

    assert result.exit_code == 0, result.output
    for part in ("prosqa/coconut_words-0", "0 of 6", "24", "few", "unknown"):
        assert part in result.stdout
    assert not (tmp_path / "out").exists()


def test_a_plan_is_a_line_for_each_run_and_a_done_one_is_left_out(done: tuple[Suite, Path], tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path)
    command = ["compare", str(suite), "--out", str(tmp_path / "out"), "--plan"]
    lines = CliRunner().invoke(app, command).stdout.splitlines()

    assert len(lines) == 2
    for line, method in zip(lines, ("coconut_words", "no_cot"), strict=True):
        train_it, measure_it = (shlex.split(part) for part in line.split(" && "))
        assert train_it[:3] == ["OMP_NUM_THREADS=1", "workbench", "train"]
        assert load_config(Path(train_it[3])).method == method
        assert train_it[4:] == ["--out", str(tmp_path / "out" / "prosqa" / f"{method}-0")]
        assert measure_it[2:4] == ["measure", train_it[-1]]
        assert f"few={tmp_path / 'few.json'}" in measure_it
    assert shell_lines(*done) == []


def test_a_plan_begins_with_what_others_begin_from(tmp_path: Path) -> None:
    path = tiny_suite(tmp_path)
    text = path.read_text().replace("    problems:", "    starts: {words: base.yaml}\n    problems:")
    path.write_text(text)
    (line,) = shell_lines(load_suite(path), tmp_path / "out")
    assert str(tmp_path / "out" / "prosqa" / "starts" / "words") in line
    assert "measure" not in line


@pytest.mark.parametrize(
    ("given", "message"),
    [("few.json", "not of the form NAME=FILE"), ("a=absent.json", "There is no problem file absent.json")],
)
def test_a_wrong_problem_set_is_said_at_once(tmp_path: Path, given: str, message: str) -> None:
    command = ["compare", str(tiny_suite(tmp_path)), "--out", str(tmp_path / "out"), "--problems", given]
    result = CliRunner().invoke(app, command)

    assert result.exit_code == 2
    assert message in result.stderr


def instead_of_python(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script stand for the interpreter that runs `-m workbench COMMAND`; its first argument is COMMAND."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\nshift 2\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(file))


def test_a_job_that_fails_leaves_its_last_words_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'echo $1; if [ "$1" = bad ]; then echo "What.\n  why: Why.\n  do:  Do."; exit 2; fi'
    instead_of_python(tmp_path, monkeypatch, script)
    jobs = [Job("t/a", (("bad",), ("never",))), Job("t/b", (("good",), ("better",)))]
    assert run_jobs(jobs, tmp_path, 2, Event(), seconds=0.05) == {"t/a": "What. Why."}

    assert (tmp_path / "logs/t/a.log").read_text().splitlines()[0] == "bad"
    assert (tmp_path / "logs/t/b.log").read_text() == "good\nbetter\n"


def test_a_stop_is_passed_on_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = f"trap 'sleep 0.3; echo saved; exit 0' TERM; touch {tmp_path}/$1; while :; do sleep 0.05; done"
    instead_of_python(tmp_path, monkeypatch, save)
    stop = Event()

    def tick(_: object) -> None:
        if (tmp_path / "one").exists() and (tmp_path / "two").exists():
            stop.set()

    jobs = [Job("a", (("one",), ("after",))), Job("b", (("two",),)), Job("c", (("three",),))]
    assert run_jobs(jobs, tmp_path, 2, stop, tick, seconds=0.05) == {}
    assert [(tmp_path / f"logs/{key}.log").read_text() for key in "ab"] == ["saved\n"] * 2
    assert not (tmp_path / "after").exists()
    assert not (tmp_path / "three").exists()


def test_costs_of_this_and_of_earlier_versions_are_counted(done: tuple[Suite, Path], tmp_path: Path) -> None:
    runs = plan_runs(done[0], tmp_path)
    first, second = (run.directory for run in runs)
    first.mkdir(parents=True)
    (first / COSTS).write_text('{"seconds": 9, "cpu_seconds": 60, "at": ""}\n{"seconds": 9, "cpu_s')
    assert not second.exists()
    of_all = [{"key": run.key, "command": name, "cpu_seconds": 30} for run in runs for name in ("train", "measure")]
    (tmp_path / COSTS).write_text("".join(json.dumps(cost) + "\n" for cost in of_all))

    assert minutes_of(tmp_path, runs) == {runs[0].key: 1.5, runs[1].key: 0.5}


def test_the_last_line_of_any_other_failure_is_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("step 1\nTraceback\n  File x\nRuntimeError: out of memory\n\n")

    assert last_error(tmp_path / "log") == "RuntimeError: out of memory"


def test_two_comparisons_do_not_share_a_directory(tmp_path: Path) -> None:
    command = ["compare", str(tiny_suite(tmp_path)), "--out", str(tmp_path / "out")]
    with only_writer(tmp_path / "out"):
        result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "Another process is writing" in result.stderr


@pytest.mark.slow
def test_the_commands_of_a_suite_go_on_with_its_runs_and_do_nothing_twice(
    done: tuple[Suite, Path], tmp_path: Path
) -> None:
    """Two processes that import PyTorch. What a kill leaves is tested with the commands (tests/crash)."""
    directory = tmp_path / "out" / "prosqa" / "coconut_words-0"
    shutil.copytree(done[1] / "prosqa" / "coconut_words-0", directory)
    command = ["compare", str(tiny_suite(tmp_path, steps=9)), "--out", str(tmp_path / "out"), "--jobs", "1"]
    command += ["--only", "coconut_words"]

    assert CliRunner().invoke(app, command).exit_code == 0
    steps = [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)), "no record is repeated"
    assert steps[-1] == 9
    costs = (directory / COSTS).read_text()
    assert [json.loads(line)["command"] for line in costs.splitlines()] == ["train"]
    assert "index.html" in CliRunner().invoke(app, command).stdout
    assert (directory / COSTS).read_text() == costs, "nothing is done twice"
