"""What a suite still has to do, and the processes that do it: each an ordinary command that resumes by itself."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

from workbench.errors import WorkbenchError
from workbench.files import only_writer, replacing, write_whole
from workbench.studies.compare.extras import Extra, is_made, wanted
from workbench.studies.compare.measure import FOLDER, is_measured, keep_results
from workbench.studies.compare.suite import (
    PlannedRun,
    Suite,
    asked_in_training,
    chosen_runs,
    newest_step,
    plan_runs,
    plan_starts,
    present_sets,
    standing,
    start_within,
    timing_file,
    write_config,
)
from workbench.train.launch import COSTS

Tick = Callable[[Mapping[str, Future[str]]], None]
"""Called every so often with the jobs by key: at work, or done with their error, empty for none."""


@dataclass(frozen=True)
class Job:
    """Commands of one run, one after the other."""

    key: str
    """Of the run."""
    commands: tuple[tuple[str, ...], ...]
    """Arguments of `workbench`; the next one starts when the one before ended well."""


def run_jobs(
    jobs: Sequence[Job],
    out: Path,
    side_by_side: int,
    stop: Event,
    tick: Tick = lambda _: None,
    seconds: float = 1.0,
) -> dict[str, str]:
    """Run jobs in their order, so many at a time, and return the last error of those that failed by key.

    Threads of `concurrent.futures` wait for the commands. The few lines around `subprocess` are the stop: a command
    that is asked to end saves first, and that has to be passed on and waited for. xargs does not pass it on, and in a
    pool of processes the end of one worker is the end of all jobs.

    Args:
        jobs: What to run.
        out: Logs go to `logs/` in it.
        side_by_side: Jobs at a time, a thread of computation each.
        stop: Once it is set, no more commands are started, and those at work are asked to save and end.
        tick: Called at this interval.
        seconds: The interval.
    """
    children: list[subprocess.Popen] = []

    def run(job: Job) -> str:
        log = out / "logs" / f"{job.key}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        for command in job.commands:
            if stop.is_set():
                break
            with log.open("ab") as file:
                # In this process's group: what ends the whole group ends the trainings too.
                child = subprocess.Popen(
                    [sys.executable, "-m", "workbench", *command],
                    stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
                )  # fmt: skip
                children.append(child)
                code = child.wait()
            if code and not stop.is_set():
                return last_error(log) or f"ended with status {code}"
        return ""

    with ThreadPoolExecutor(side_by_side) as pool:
        futures = {job.key: pool.submit(run, job) for job in jobs}
        while wait(futures.values(), seconds).not_done:
            while stop.is_set() and children:
                children.pop().terminate()
            tick(futures)
    tick(futures)
    return {key: error for key, future in futures.items() if (error := future.result())}


def last_error(log: Path) -> str:
    """Return the error at the end of a log in one line: what and why of a user's mistake, else the last line."""
    lines = [line.rstrip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    for place in range(len(lines) - 1, max(len(lines) - 12, 0), -1):
        if lines[place].startswith("  why: "):
            return f"{lines[place - 1]} {lines[place].removeprefix('  why: ')}"
    return lines[-1] if lines else ""


# What is left of a suite


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
    start: bool = False
    """Whether it is a training that others begin from."""
    extras: tuple[Extra, ...] = ()
    """What else its model, once trained, has to be asked."""
    extra_minutes: float | None = 0.0
    """Core-minutes of these, from what they took of this task's other runs; None where none was recorded."""

    @property
    def questions(self) -> int:
        """Questions that the whole training draws."""
        return asked_in_training(self.run.config)


def plan(suite: Suite, out: Path, only: Sequence[str] = ()) -> list[Todo]:
    """Return every run of a suite and what it still needs, in the order in which it would be done; the starts first.

    A start is left as it is once a run has begun from it: all runs from it begin from the same weights.

    Args:
        suite: What is compared.
        out: The suite's directory.
        only: Methods; none for all.

    Raises:
        WorkbenchError: A configuration is wrong, or a method is not in the suite.
    """
    runs = chosen_runs(suite, out, only)
    rates, asked = _rates(runs, out), wanted(suite)
    took = {extra: _means(runs, minutes_of(out, runs, extra)) for extra in asked}
    begun = {(run.task.name, run.start) for run in plan_runs(suite, out) if newest_step(run)}
    todo = []
    for run in plan_starts(suite, out):
        train = (run.task.name, run.start) not in begun and not standing(run).finished
        todo.append(Todo(run, newest_step(run), train, (), None if train else 0.0, start=True))
    for run in runs:
        at = standing(run)
        files, _ = present_sets(run.task)
        train = not at.finished and not at.differs
        due = tuple(
            name
            for name, file in files.items()
            if not at.differs and (train or not is_measured(run.directory, name, file, suite.page))
        )
        judged = next(iter(files.items()), None)
        extras: tuple[Extra, ...] = tuple(
            extra
            for extra, how in asked.items()
            if judged and not at.differs and (train or not is_made(run.directory, extra, *judged, how))
        )
        each = [took[extra].get((run.task.name, run.method.name), took[extra].get(run.task.name)) for extra in extras]
        step = newest_step(run)
        rate = rates.get(run.key) or rates.get((run.task.name, run.method.name)) or rates.get(run.task.name)
        left = rate * max(run.config.steps - step, 0) if train and rate else (None if train else 0.0)
        minutes = None if None in each else sum((one for one in each if one is not None), 0.0)
        todo.append(Todo(run, step, train, due, left, extras=extras, extra_minutes=minutes))
    return todo


def carry_out(
    suite: Suite,
    out: Path,
    side_by_side: int,
    stop: Event,
    only: Sequence[str] = (),
    *,
    train: bool = True,
    tick: Tick = lambda _: None,
) -> dict[str, str]:
    """Train and measure what is left of a suite, and return the errors of runs; each is measured once it is trained.

    Args:
        suite: What is compared.
        out: The suite's directory.
        side_by_side: Runs at a time.
        stop: See `run_jobs`.
        only: Methods; none for all.
        train: Whether to train; else what is there is measured, finished or not.
        tick: Called every second, to show progress.

    Raises:
        WorkbenchError: A configuration is wrong, or another comparison is at work in the directory.
    """
    failed = {}
    with only_writer(out):
        for starts in (True, False):  # what others begin from is there before they begin
            todo = [one for one in plan(suite, out, only) if one.start is starts]
            jobs = [job for one in todo if (job := _job(one, out, train, suite))]
            failed |= run_jobs(jobs, out, side_by_side, stop, tick)
    return failed


def _job(todo: Todo, out: Path, train: bool, suite: Suite) -> Job | None:
    run, commands, page = todo.run, [], suite.page
    if todo.train and train:
        commands.append(("train", str(write_config(run, out)), "--out", str(run.directory)))
    at = standing(run)  # the other pages, and what else is asked for, count finished runs alone
    trained = train or at.finished
    extras = [part for one in todo.extras if trained for part in (f"--{one}", json.dumps(asdict(wanted(suite)[one])))]
    if extras or (todo.measure and (trained or (at.model is not None and page == "comparison"))):
        sets = [f"{name}={file}" for name, file in present_sets(run.task)[0].items()]
        asked = [part for one in sets for part in ("--problems", one)]
        commands.append(("measure", str(run.directory), *asked, "--page", page, *extras))
    return Job(run.key, tuple(commands)) if commands else None


def keep(suite: Suite, out: Path, to: Path) -> int:
    """Copy the results of all finished runs without their weights, and whole models of what others begin from.

    The copy can be the directory of the same suite: its page is written without training, and trainings that are left
    go on. Some megabytes in place of gigabytes, it can stand beside a paper or in a repository.

    Args:
        suite: What was compared.
        out: The suite's directory.
        to: Another directory; results there of the same runs are replaced.

    Returns:
        How many runs were copied.

    Raises:
        WorkbenchError: The directory is the suite's own, or no run is finished and measured.
    """
    if to.resolve() == out.resolve():
        raise WorkbenchError(
            "Results cannot be kept in the directory they come from.", f"{to} is the suite's own.", "Name another one."
        )
    done = [run for run in plan_runs(suite, out) if standing(run).finished and (run.directory / FOLDER).is_dir()]
    if not done:
        raise WorkbenchError(
            f"There is nothing to keep in {out}.", "No run of the suite is finished and measured there.",
            "Name the directory of its runs with --out, or leave --keep out to train them.",
        )  # fmt: skip
    for run in plan_starts(suite, out):
        if standing(run).finished:
            with replacing(to / run.key, folder=True) as part:
                shutil.copyfile(run.directory / "config.yaml", part / "config.yaml")
                shutil.copytree(run.directory / "model", part / "model")
    for task in suite.tasks:
        if (times := timing_file(out, task)).exists():
            write_whole(timing_file(to, task), times.read_bytes())
    for run in done:
        keep_results(run.directory, to / run.key, start_within(run))
    return len(done)


def shell_lines(suite: Suite, out: Path, only: Sequence[str] = ()) -> list[str]:
    """Return what is left of a suite as lines for a shell, each of which goes on by itself after it was cut off.

    Lines may run side by side, on any machines that share the directory. Where runs begin from trainings of the suite
    that are not done, the lines are those trainings alone: the others may be asked for once they are.

    Args:
        suite: What is compared.
        out: The suite's directory; configurations are written there.
        only: Methods; none for all.

    Raises:
        WorkbenchError: A configuration is wrong, or a method is not in the suite.
    """
    todo = plan(suite, out, only)
    jobs = [job for one in todo if one.start and (job := _job(one, out, True, suite))]
    jobs = jobs or [job for one in todo if not one.start and (job := _job(one, out, True, suite))]
    return [
        " && ".join(f"OMP_NUM_THREADS=1 {shlex.join(['workbench', *command])}" for command in job.commands)
        for job in jobs
    ]


def minutes_of(out: Path, runs: Sequence[PlannedRun], command: str = "train") -> dict[str, float]:
    """Return the core-minutes that were spent on training, or on an extra, by key of the run, as far as recorded.

    A command records its own in the run's directory; before, the suite did, in a file for all.
    """
    minutes = dict[str, float]()
    for run, path in [(None, out / COSTS), *((run, run.directory / COSTS) for run in runs)]:
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                cost = json.loads(line)
                key, spent = run.key if run else cost["key"], float(cost["cpu_seconds"]) / 60
            except (ValueError, TypeError, KeyError):  # cut off by a kill
                continue
            if cost.get("command", "train") == command:
                minutes[key] = minutes.get(key, 0.0) + spent
    return {run.key: minutes[run.key] for run in runs if run.key in minutes}


def _rates(runs: Sequence[PlannedRun], out: Path) -> dict[object, float]:
    """Return core-minutes per step by run, by task and method, and by task, from what was recorded."""
    spent: dict[object, float] = {}
    steps: dict[object, int] = {}
    known = {run.key: run for run in runs}
    for key, minutes in minutes_of(out, runs).items():
        run, done = known[key], newest_step(known[key])
        for group in (key, (run.task.name, run.method.name), run.task.name):
            spent[group] = spent.get(group, 0.0) + minutes
            steps[group] = steps.get(group, 0) + done
    return {group: spent[group] / steps[group] for group in spent if steps[group]}


def _means(runs: Sequence[PlannedRun], minutes: Mapping[str, float]) -> dict[object, float]:
    """Return the mean of what was recorded of runs, by task and method, and by task."""
    found: dict[object, list[float]] = {}
    for run in (run for run in runs if run.key in minutes):
        for group in ((run.task.name, run.method.name), run.task.name):
            found.setdefault(group, []).append(minutes[run.key])
    return {group: sum(each) / len(each) for group, each in found.items()}


def total_cost(todo: Sequence[Todo], side_by_side: int) -> str:
    """Say what is left and what it takes, as far as it is known."""

    def told(minutes: Sequence[float | None]) -> str:
        known = [one for one in minutes if one is not None]
        # One process a run: side by side they share the cores evenly.
        cost = f"{sum(known):.0f} core-minutes, about {sum(known) / side_by_side:.0f} minutes"
        rest = f"{len(minutes) - len(known)} runs whose cost is known once one of their task is done"
        return cost if len(known) == len(minutes) else f"{cost}, and {rest}" if known else rest

    said = f"Training left: {told([one.core_minutes for one in todo if one.train])}."
    asked = [one for one in todo if one.extras]
    names = " and ".join(dict.fromkeys(name for one in asked for name in one.extras))
    return f"{said} {names.capitalize()} left: {told([one.extra_minutes for one in asked])}." if asked else said
