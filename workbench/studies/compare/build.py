"""From a suite to its report: train what is not finished, measure what is not measured, write the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.studies.compare.gather import gather, newest_step, present_sets
from workbench.studies.compare.jobs import Job, Jobs, read_costs
from workbench.studies.compare.measure import is_measured
from workbench.studies.compare.page import write_comparison
from workbench.studies.compare.plan import PlannedRun, plan_runs, standing, write_config
from workbench.studies.compare.suite import Suite
from workbench.studies.compare.tables import asked_in_training
from workbench.train.methods import find_method


@dataclass(frozen=True)
class Todo:
    """What a run still needs."""

    run: PlannedRun
    step: int
    """Reached so far."""
    train: bool
    measure: tuple[str, ...]
    """Problem sets that its model, once trained, has to be asked."""
    core_minutes: float | None
    """Training left, from the rate of this task's other trainings; None where none was recorded."""

    @property
    def questions(self) -> int:
        """Questions that the whole training draws."""
        return asked_in_training(self.run.config)


def plan(suite: Suite, out: Path, only: Sequence[str] = ()) -> list[Todo]:
    """Return every run of a suite and what it still needs, in the order in which it would be done.

    Args:
        suite: See there.
        out: The suite's directory.
        only: Methods; none for all.

    Raises:
        WorkbenchError: A configuration is wrong, or a method is not in the suite.
    """
    for method in only:
        find_method(method)
    runs = [run for run in plan_runs(suite, out) if not only or run.method.name in only]
    if not runs:
        raise WorkbenchError(
            "There is nothing to compare.", f"No task of the suite has the method {', '.join(only)}.", "Name another."
        )
    rates = _rates(runs, out)
    todo = []
    for run in runs:
        at = standing(run)
        files, _ = present_sets(run.task)
        train = not at.finished and not at.differs
        due = tuple(
            name
            for name, file in files.items()
            if not at.differs and (train or not is_measured(run.directory, name, file))
        )
        step = newest_step(run)
        rate = rates.get(run.key) or rates.get((run.task.name, run.method.name)) or rates.get(run.task.name)
        left = rate * max(run.config.steps - step, 0) if train and rate else (None if train else 0.0)
        todo.append(Todo(run, step, train, due, left))
    return todo


def carry_out(
    suite: Suite,
    out: Path,
    jobs: Jobs,
    only: Sequence[str] = (),
    *,
    train: bool = True,
    tick: Callable[[], None] = lambda: None,
    seconds: float = 1.0,
) -> None:
    """Train and measure what is left of a suite; a run is measured as soon as it is trained.

    Args:
        suite: See there.
        out: The suite's directory.
        jobs: Runs the commands; may be stopped from a signal handler.
        only: Methods; none for all.
        train: Whether to train; else what is there is measured, finished or not.
        tick: Called every so many seconds, to show progress.
        seconds: How many.
    """
    with jobs.locked():
        jobs.run([job for todo in plan(suite, out, only) if (job := _job(todo, out, train))], tick, seconds)


def report(suite: Suite, out: Path, only: Sequence[str], failed: dict[str, str], command: str) -> Path:
    """Write the report of what is there, and return the page.

    Args:
        suite: See there.
        out: The suite's directory; the report goes to `report/`.
        only: Methods; none for all.
        failed: Last error line by key of the run.
        command: As the user typed it; the page names it.
    """
    runs = [todo.run for todo in plan(suite, out, only)]
    return write_comparison(suite, gather(suite, runs, out, failed), out / "report", command)


def _job(todo: Todo, out: Path, train: bool) -> Job | None:
    run, commands = todo.run, []
    if todo.train and train:
        commands.append(("train", str(write_config(run, out)), "--out", str(run.directory)))
    files, _ = present_sets(run.task)
    if todo.measure and (train or standing(run).model is not None):
        sets = [f"{name}={file}" for name, file in files.items()]
        commands.append(
            (
                "measure",
                str(run.directory),
                *[part for one in sets for part in ("--problems", one)],
            )
        )
    return Job(run.key, tuple(commands)) if commands else None


def _rates(runs: Sequence[PlannedRun], out: Path) -> dict[object, float]:
    """Return core-minutes per step by run, by task and method, and by task, from what was recorded."""
    spent: dict[object, float] = {}
    steps: dict[object, int] = {}
    known = {run.key: run for run in runs}
    minutes: dict[str, float] = {}
    for cost in read_costs(out):
        if cost.command == "train" and cost.key in known:
            minutes[cost.key] = minutes.get(cost.key, 0.0) + cost.cpu_seconds / 60
    for key, spent_minutes in minutes.items():
        run, done = known[key], newest_step(known[key])
        for group in (key, (run.task.name, run.method.name), run.task.name):
            spent[group] = spent.get(group, 0.0) + spent_minutes
            steps[group] = steps.get(group, 0) + done
    return {group: spent[group] / steps[group] for group in spent if steps[group]}
