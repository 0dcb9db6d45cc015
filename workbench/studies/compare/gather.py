"""What is there of a suite: its runs, what they answered, how they trained and what they cost."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from workbench.problems.files import load_any
from workbench.problems.problem import Item, Problem
from workbench.studies.compare.jobs import read_costs
from workbench.studies.compare.measure import is_measured, measure_key, read_answers
from workbench.studies.compare.outcome import RunOutcome, run_outcome
from workbench.studies.compare.plan import PlannedRun, Standing, standing
from workbench.studies.compare.suite import Suite, SuiteTask
from workbench.studies.compare.timing import Timing, timed
from workbench.train.config import TrainConfig, load_config
from workbench.train.loop import read_metrics
from workbench.train.methods import METHODS
from workbench.train.state import newest_model


@dataclass(frozen=True)
class SetReport:
    """One problem set of a task and what every run answered."""

    name: str
    file: str
    problems: Sequence[Problem | Item]
    outcomes: tuple[RunOutcome, ...]
    with_published: bool
    """Whether published numbers stand beside it: the set that claims are judged on, and the official one."""


@dataclass(frozen=True)
class TaskReport:
    """All that is known of one task of a suite."""

    task: SuiteTask
    base: str
    """Name of the base configuration's file."""
    config: TrainConfig
    """The base configuration."""
    runs: tuple[tuple[PlannedRun, Standing], ...]
    sets: tuple[SetReport, ...]
    absent: tuple[str, ...]
    """Optional problem sets whose file is not there."""
    timings: tuple[Timing, ...]
    core_minutes: dict[str, float]
    """Spent on training, by key of the run, as far as recorded."""
    failed: dict[str, str]
    """Last error line by key of the run."""
    metrics: pl.DataFrame
    """A row per evaluation in training: method (key), seed, step, accuracy, stage."""


def present_sets(task: SuiteTask) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the problem files of a task that are there, the judged one first, and the names of the others."""
    files = {name: Path(file) for name, file in (*task.problems.items(), *task.optional.items())}
    there = {name: file for name, file in files.items() if file.is_file()}
    return there, tuple(name for name in files if name not in there)


def gather(suite: Suite, runs: Sequence[PlannedRun], out: Path, failed: dict[str, str]) -> list[TaskReport]:
    """Read what is there of every task that has a run; times the methods unless that was done before.

    Args:
        suite: See there.
        runs: Of the plan, all or some.
        out: The suite's directory.
        failed: Last error line by key of the run.
    """
    reports, order = [], list(METHODS)
    for task in suite.tasks:
        own = sorted(
            (run for run in runs if run.task.name == task.name), key=lambda r: (order.index(r.method.name), r.seed)
        )
        if not own:
            continue
        stood = tuple((run, standing(run)) for run in own)
        config = load_config(Path(task.base))
        files, absent = present_sets(task)
        problems = {name: load_any(file) for name, file in files.items()}
        sets = tuple(
            SetReport(name, str(file), problems[name], _outcomes(stood, name, file), place == 0 or name == "official")
            for place, (name, file) in enumerate(files.items())
        )
        differs = {
            run.key: f"its directory holds a run with other settings ({', '.join(at.differs)}); remove it to train anew"
            for run, at in stood
            if at.differs
        }
        errors = {run.key: failed[run.key] for run in own if run.key in failed} | differs
        timings = _timings(suite, stood, next(iter(files.items()), None), problems, out, task)
        costs = _core_minutes(out, own)
        name = Path(task.base).name
        reports.append(TaskReport(task, name, config, stood, sets, absent, timings, costs, errors, _metrics(stood)))
    return reports


def _outcomes(stood: Sequence[tuple[PlannedRun, Standing]], name: str, file: Path) -> tuple[RunOutcome, ...]:
    found = []
    for run, at in stood:
        if not at.differs and is_measured(run.directory, name, file):
            rows, about = read_answers(run.directory, name)
            found.append(run_outcome(run.method.name, run.seed, rows, about, finished=at.finished))
    return tuple(found)


def _timings(
    suite: Suite,
    stood: Sequence[tuple[PlannedRun, Standing]],
    judged: tuple[str, Path] | None,
    problems: dict[str, Sequence[Problem] | Sequence[Item]],
    out: Path,
    task: SuiteTask,
) -> tuple[Timing, ...]:
    """Time the first seed of every method on the first problems of the judged set."""
    models: dict[str, Path] = {}
    for run, at in stood:
        if at.model is not None and not at.differs:
            models.setdefault(run.method.name, at.model)
    if judged is None or not models:
        return ()
    keys = [f"{method} {measure_key(model, judged[1])}" for method, model in sorted(models.items())]
    key = hashlib.sha256(repr((keys, suite.timed)).encode()).hexdigest()
    return tuple(timed(models, problems[judged[0]][: suite.timed], out / f"timing-{task.name}.json", key))


def _core_minutes(out: Path, runs: Sequence[PlannedRun]) -> dict[str, float]:
    keys, minutes = {run.key for run in runs}, dict[str, float]()
    for cost in read_costs(out):
        if cost.key in keys and cost.command == "train":
            minutes[cost.key] = minutes.get(cost.key, 0.0) + cost.cpu_seconds / 60
    return minutes


def _metrics(stood: Sequence[tuple[PlannedRun, Standing]]) -> pl.DataFrame:
    schema = {"method": pl.String, "seed": pl.Int64, "step": pl.Int64, "accuracy": pl.Float64, "stage": pl.String}
    rows = []
    for run, at in stood:
        if at.differs or not (run.directory / "metrics.jsonl").exists():
            continue
        for record in read_metrics(run.directory):
            if "accuracy" in record:
                stage = f"stage {record['thoughts']}" if "thoughts" in record else ""
                edges = f", up to {record['edges']} edges" if run.config.task == "edges" and "edges" in record else ""
                rows.append((run.method.name, run.seed, record["step"], record["accuracy"], stage + edges))
    return pl.DataFrame(rows, schema=schema, orient="row")


def newest_step(run: PlannedRun) -> int:
    """Return the step up to which a run is known to have trained: of its metrics or its newest model."""
    if not (run.directory / "metrics.jsonl").exists():
        return 0
    records = read_metrics(run.directory)
    return max(newest_model(run.directory)[0], records[-1]["step"] if records else 0)
