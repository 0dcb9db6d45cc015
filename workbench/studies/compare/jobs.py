"""What a suite still has to do, and the processes that do it: each an ordinary command that resumes by itself."""

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from workbench.errors import WorkbenchError
from workbench.studies.compare.measure import is_measured
from workbench.studies.compare.suite import (
    Page,
    PlannedRun,
    Suite,
    asked_in_training,
    chosen_runs,
    newest_step,
    plan_runs,
    plan_starts,
    present_sets,
    standing,
    write_config,
)

LOCK = "suite.lock"
COSTS = "costs.jsonl"


@dataclass(frozen=True)
class Job:
    """Commands of one run, one after the other."""

    key: str
    """Of the run."""
    commands: tuple[tuple[str, ...], ...]
    """Arguments of `workbench`; the next one starts when the one before ended well."""


@dataclass(frozen=True)
class Cost:
    """What one command of a job took."""

    key: str
    command: str
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """Of the command and all its processes."""
    at: str
    """When it ended, UTC."""


class Jobs:
    """Runs jobs side by side, passes a stop on to them, and keeps the last words of those that fail.

    Args:
        out: The suite's directory; logs go to `logs/`, costs to `costs.jsonl`.
        side_by_side: Jobs at a time.
    """

    def __init__(self, out: Path, side_by_side: int) -> None:
        self.out, self.side_by_side = out, side_by_side
        self.running: set[str] = set()
        """Keys of the jobs at work."""
        self.failed: dict[str, str] = {}
        """Last error line by key."""
        self._processes: dict[str, subprocess.Popen] = {}
        self._stopping, self._lock, self._held = False, Lock(), -1

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second suite out of the directory, also while a process of a killed one is still at work.

        Raises:
            WorkbenchError: Another one is at work.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise WorkbenchError(
                    f"Another comparison is at work in {self.out.name}/.",
                    f"It, or a training that it started, holds {LOCK}.",
                    "Wait for it, or end it; then type the same command again.",
                ) from error
            self._held = file.fileno()
            yield

    def run(self, jobs: Sequence[Job], tick: Callable[[], None] = lambda: None, seconds: float = 1.0) -> None:
        """Run jobs in their order; return when all are done, or after `stop`.

        Args:
            jobs: What to run.
            tick: Called at this interval.
            seconds: The interval.
        """
        with ThreadPoolExecutor(self.side_by_side) as pool:
            waiting: set[Future[None]] = {pool.submit(self._run, job) for job in jobs}
            while waiting:
                done, waiting = wait(waiting, timeout=seconds, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                tick()

    def stop(self) -> None:
        """Start no more jobs, and ask those at work to save and end."""
        with self._lock:
            self._stopping = True
            for process in self._processes.values():
                # Not Popen.terminate: it would take the exit status that `wait4` waits for.
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def _run(self, job: Job) -> None:
        log = self.out / "logs" / f"{job.key}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self.running.add(job.key)
        try:
            for command in job.commands:
                code = self._command(job.key, command, log)
                if self._stopping:
                    return
                if code:
                    self.failed[job.key] = last_error(log) or f"ended with status {code}"
                    return
        finally:
            self.running.discard(job.key)

    def _command(self, key: str, command: tuple[str, ...], log: Path) -> int:
        began = time.monotonic()
        with log.open("ab") as file:
            with self._lock:
                if self._stopping:
                    return 0
                # In this process's group: what ends the whole group ends the trainings too.
                process = subprocess.Popen(
                    [sys.executable, "-m", "workbench", *command],
                    stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
                    pass_fds=[self._held] if self._held >= 0 else [],
                )  # fmt: skip
                self._processes[key] = process
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            with self._lock:
                del self._processes[key]
                cpu = usage.ru_utime + usage.ru_stime
                ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                cost = Cost(key, command[0], round(time.monotonic() - began, 2), round(cpu, 2), ended)
                with (self.out / COSTS).open("a") as costs:
                    costs.write(json.dumps(asdict(cost)) + "\n")
        return process.returncode


def read_costs(out: Path) -> list[Cost]:
    """Return what was spent in a suite's directory, oldest first; a line cut off by a kill is left out."""
    path = out / COSTS
    costs = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            costs.append(Cost(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return costs


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
    rates = _rates(runs, out)
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
        suite: What is compared.
        out: The suite's directory.
        jobs: Runs the commands; may be stopped from a signal handler.
        only: Methods; none for all.
        train: Whether to train; else what is there is measured, finished or not.
        tick: Called at this interval, to show progress.
        seconds: The interval.
    """
    with jobs.locked():
        for starts in (True, False):  # what others begin from is there before they begin
            todo = [one for one in plan(suite, out, only) if one.start is starts]
            jobs.run([job for one in todo if (job := _job(one, out, train, suite.page))], tick, seconds)


def _job(todo: Todo, out: Path, train: bool, page: Page) -> Job | None:
    run, commands = todo.run, []
    if todo.train and train:
        commands.append(("train", str(write_config(run, out)), "--out", str(run.directory)))
    at = standing(run)  # the page about thoughts counts finished runs alone
    if todo.measure and (train or (at.finished if page == "superposition" else at.model is not None)):
        sets = [f"{name}={file}" for name, file in present_sets(run.task)[0].items()]
        asked = [part for one in sets for part in ("--problems", one)]
        commands.append(("measure", str(run.directory), *asked, "--page", page))
    return Job(run.key, tuple(commands)) if commands else None


def shell_lines(suite: Suite, out: Path, only: Sequence[str] = ()) -> list[str]:
    """Return what is left of a suite as lines for a shell, each of which goes on by itself after it was cut off.

    Lines may run side by side, on any machines that share the directory. Where runs begin from trainings of the suite
    that are not done, the lines are those trainings alone: the others may be asked for once they are. A line records no
    cost in `costs.jsonl`.

    Args:
        suite: What is compared.
        out: The suite's directory; configurations are written there.
        only: Methods; none for all.

    Raises:
        WorkbenchError: A configuration is wrong, or a method is not in the suite.
    """
    todo = plan(suite, out, only)
    jobs = [job for one in todo if one.start and (job := _job(one, out, True, suite.page))]
    jobs = jobs or [job for one in todo if not one.start and (job := _job(one, out, True, suite.page))]
    return [
        " && ".join(f"OMP_NUM_THREADS=1 {shlex.join(['workbench', *command])}" for command in job.commands)
        for job in jobs
    ]


def training_minutes(out: Path, runs: Sequence[PlannedRun]) -> dict[str, float]:
    """Return the core-minutes that were spent on training, by key of the run, as far as recorded."""
    keys, minutes = {run.key for run in runs}, dict[str, float]()
    for cost in read_costs(out):
        if cost.key in keys and cost.command == "train":
            minutes[cost.key] = minutes.get(cost.key, 0.0) + cost.cpu_seconds / 60
    return minutes


def _rates(runs: Sequence[PlannedRun], out: Path) -> dict[object, float]:
    """Return core-minutes per step by run, by task and method, and by task, from what was recorded."""
    spent: dict[object, float] = {}
    steps: dict[object, int] = {}
    known = {run.key: run for run in runs}
    for key, minutes in training_minutes(out, runs).items():
        run, done = known[key], newest_step(known[key])
        for group in (key, (run.task.name, run.method.name), run.task.name):
            spent[group] = spent.get(group, 0.0) + minutes
            steps[group] = steps.get(group, 0) + done
    return {group: spent[group] / steps[group] for group in spent if steps[group]}
