"""The command `workbench report`: a problem set run and read, as tables and pages that open offline."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import (
    Address,
    BatchSize,
    EngineName,
    Gpus,
    ProblemFile,
    Run,
    Seed,
    Thoughts,
    Workers,
    engine_of,
    load_problems,
    load_run,
    resumable,
)
from workbench.errors import unknown
from workbench.files import only_writer
from workbench.measure.run_labels import CONTROLS

if TYPE_CHECKING:
    from workbench.model.checkpoint import Checkpoint
    from workbench.problems.problem import Item, Problem
    from workbench.studies.report import ReportOptions

ALL, NONE = "all", "none"
SHORT = 10.0
"""Seconds of a report that need no forecast."""


def report(
    run: Run,
    problems: ProblemFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the report; made if it is not there.")],
    thoughts: Thoughts = None,
    seed: Seed = 0,
    explorer: Annotated[
        str, typer.Option(metavar="URL", help="Where the explorer runs; the problem table links there.")
    ] = "http://localhost:8501",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another report in DIR.")] = False,
    shard: Annotated[int, typer.Option(min=1, help="Problems that are run and saved at a time.")] = 128,
    batch_size: BatchSize = 64,
    readings: Annotated[
        str, typer.Option(metavar="NAMES", help="Readings on a page of their own: names with commas, all, or none.")
    ] = ALL,
    controls: Annotated[
        str, typer.Option(metavar="NAMES", help="Controls beside every reading: names with commas, all, or none.")
    ] = ALL,
    most: Annotated[
        int, typer.Option(min=2, help="Problems that are read; of a larger set as many are drawn by the seed.")
    ] = 500,
    engine: EngineName = "local",
    address: Address = None,
    workers: Workers = None,
    gpus: Gpus = 0.0,
) -> None:
    """Run a whole problem set and write tables (Parquet) and pages (HTML) that open offline.

    Interrupted, the same command goes on where it stopped.
    """
    beside = _names(controls, CONTROLS, "control")
    chosen: tuple[str, ...] = ()
    if readings != NONE:
        from workbench.readings import ITEM_READINGS, READINGS  # it loads the model code

        chosen = _names(readings, (*READINGS, *ITEM_READINGS), "reading")
    loaded = load_problems(problems)
    if chosen:
        from workbench.readings.arithmetic import require_values
        from workbench.studies.report_readings import readings_of, require_readings

        chosen = tuple(readings_of(loaded)) if readings == ALL else chosen
        require_readings(chosen, loaded)
        if "arithmetic" in chosen and readings != ALL:
            require_values(loaded)
    checkpoint = load_run(run)
    from workbench.cli.terminal import progress
    from workbench.studies.report import ReportOptions, write_report

    options = ReportOptions(
        run, problems, thoughts, seed, shard, batch_size, explorer, readings=chosen, controls=beside, most=most
    )
    with resumable(), only_writer(out), engine_of(engine, address, workers, gpus):
        count = checkpoint.thoughts if thoughts is None else thoughts
        with progress(f"Running {checkpoint.name}", len(loaded)) as advance:
            told = Forecast(len(loaded), readings_cost(loaded, options) if count else 0.0, advance)
            page = write_report(checkpoint, loaded, out, options, overwrite=overwrite, on_progress=told)
        if chosen:
            _add_readings(checkpoint, loaded, out, options)
    typer.echo(f"Open {page}")


def _add_readings(
    checkpoint: "Checkpoint", problems: "Sequence[Problem | Item]", directory: Path, options: "ReportOptions"
) -> None:
    """Write the readings of a report into its directory, and show how far they are; none of a run without thoughts."""
    from workbench.cli.terminal import progress
    from workbench.studies.report_readings import drawn, possible, write_readings

    if (checkpoint.thoughts if options.thoughts is None else options.thoughts) == 0:
        typer.echo(f"{checkpoint.name} is run with 0 thoughts: there are none to read.", err=True)
        return
    kept = drawn(problems, options.most, options.seed)
    runs = 1 + len(possible(options.controls, kept))
    with progress("Recording the model and its controls", len(kept) * runs) as advance:
        page = write_readings(
            checkpoint, problems, directory, options,
            on_problems=advance, on_reading=lambda title, left: typer.echo(_reading(title, left), err=True),
        )  # fmt: skip
    typer.echo(f"Readings: {page}")


class Forecast:
    """Passes on how far the tables are, and says once, early on, how long all will take.

    Args:
        problems: In all.
        readings: What the readings cost, in problems of the tables.
        advance: Called with the number of problems done since the last call.
    """

    def __init__(self, problems: int, readings: float, advance: Callable[[int], None]) -> None:
        self.problems, self.readings, self.advance = problems, readings, advance
        self.began, self.done, self.worked, self.said = time.monotonic(), 0, 0, False

    def __call__(self, count: int) -> None:
        """Count problems; those of the first second are of a run before, or too few to judge by."""
        from workbench.cli.terminal import AT_ONCE

        self.advance(count)
        self.done, spent = self.done + count, time.monotonic() - self.began
        self.worked += count if spent >= AT_ONCE else 0
        if self.said or not self.worked:
            return
        self.said, each = True, spent / self.worked
        tables, readings = each * (self.problems - self.done), each * self.readings
        if tables + readings >= SHORT:
            parts = f": {_time(tables)} for the tables, {_time(readings)} for the readings" if readings else ""
            typer.echo(f"This will take about {_time(tables + readings)}{parts}.", err=True)


def readings_cost(problems: "Sequence[Problem | Item]", options: "ReportOptions") -> float:
    """Return what the readings of a report cost, in problems of its tables; 0 for none."""
    if not options.readings:
        return 0.0
    from workbench.readings import COSTS, FITTED, MEASURED_ON, RECORDING, TABLES_COST
    from workbench.studies.report_readings import drawn, possible

    kept = drawn(problems, options.most, options.seed)
    asked, recordings = MEASURED_ON
    share = len(kept) / asked * (1 + len(possible(options.controls, kept))) / recordings
    cost = sum(COSTS[name] * (1.0 if name in FITTED else share) for name in (RECORDING, *options.readings))
    return cost / TABLES_COST * asked


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _reading(title: str, left: float | None) -> str:
    """Say which reading is made, and for how long it and those after it will go on."""
    return f"Reading: {title} (about {_time(left)} left)" if left else f"Reading: {title}"


def _names(text: str, known: Iterable[str], kind: str) -> tuple[str, ...]:
    """Read names with commas between, all or none."""
    if text in (ALL, NONE):
        return tuple(known) if text == ALL else ()
    asked = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in asked:
        if name not in known:
            raise unknown(kind, name, known, f"Give some of them with commas between, {ALL}, or {NONE}.")
    return asked
