"""What a user types about readings, and the progress that is shown while they are made."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError
from workbench.measure.run_labels import CONTROLS

if TYPE_CHECKING:
    from workbench.model.checkpoint import Checkpoint
    from workbench.problems.problem import Problem
    from workbench.studies.report import Options


ALL, NONE = "all", "none"


def reading_names(text: str) -> tuple[str, ...]:
    """Return the readings that a user names.

    Raises:
        WorkbenchError: There is none of that name.
    """
    if text == NONE:
        return ()
    from workbench.readings import READINGS  # it loads the model code

    return _names(text, READINGS, "reading")


def control_names(text: str) -> tuple[str, ...]:
    """Return the controls that a user names.

    Raises:
        WorkbenchError: There is none of that name.
    """
    return () if text == NONE else _names(text, CONTROLS, "control")


def add_readings(
    checkpoint: "Checkpoint",
    problems: "Sequence[Problem]",
    directory: Path,
    names: tuple[str, ...],
    controls: tuple[str, ...],
    most: int,
    options: "Options",
) -> None:
    """Write the readings of a report into its directory, and show how far they are; none of a run without thoughts."""
    import typer

    from workbench.cli.terminal import progress
    from workbench.studies.report_readings import ReadingOptions, possible, write_readings

    if (checkpoint.thoughts if options.thoughts is None else options.thoughts) == 0:
        typer.echo(f"{checkpoint.name} is run with 0 thoughts: there are none to read.", err=True)
        return
    chosen = ReadingOptions(
        names, controls, options.thoughts, most, options.seed, options.batch_size, options.run, str(options.problems)
    )
    count = min(len(problems), most)
    with progress("Recording the model and its controls", count * (1 + len(possible(controls, count)))) as advance:
        page = write_readings(
            checkpoint, problems, directory, chosen, explorer=options.explorer,
            on_problems=advance, on_reading=lambda title: typer.echo(f"Reading: {title}", err=True),
        )  # fmt: skip
    typer.echo(f"Readings: {page}")


def _names(text: str, known: Iterable[str], what: str) -> tuple[str, ...]:
    if text == ALL:
        return tuple(known)
    asked = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in asked:
        if name not in known:
            raise WorkbenchError(
                f'There is no {what} "{name}".',
                f"The {what}s are {', '.join(known)}.",
                f"Give some of them with commas between, {ALL}, or {NONE}.",
            )
    return asked
