"""What several commands share: arguments, loading, and what is said when work stops."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench import catalog
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.model.checkpoint import Checkpoint
    from workbench.problems.problem import Item, Problem

# Problems are read before torch is imported, so that a wrong path is said at once.
# What a command needs is imported inside it: `workbench --help` need not wait seconds for torch.

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The name of a run, its directory, one written by save_pretrained, or a hub name."
    ),
]
ProblemFile = Annotated[
    Path, typer.Argument(metavar="PROBLEMS", help="The name of a set, a file of problems, or a data set on the hub.")
]
Thoughts = Annotated[
    int | None, typer.Option(min=0, help="Number of thoughts; by default as many as the model was trained with.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Problems run at a time.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
EngineName = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Where batches run: in this process, or on a Ray cluster.")
]
Address = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Of the Ray cluster; by default one is started on this machine.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Ray workers, each with the model; by default as many as there is room for.")
]
Gpus = Annotated[float, typer.Option(min=0, help="GPUs of each Ray worker; 0 for the CPU, .5 for two on one.")]


def load_problems(path: Path) -> "Sequence[Problem] | Sequence[Item]":
    """Read problems of any task (`files.load_any`); a bundled set goes by its name."""
    from workbench.problems.files import load_any

    return load_any(problem_file(path))


def load_graphs(path: Path) -> "list[Problem]":
    """Read problems that must have graphs."""
    from workbench.problems.files import graphs_of

    return graphs_of(load_problems(path))


def problem_file(path: Path) -> Path:
    """Return the file of a set that is given by its name; any other path is its own."""
    return path if os.path.exists(path) else (catalog.task_sets() | catalog.problem_sets()).get(str(path), path)


def load_run(run: str) -> "Checkpoint":
    """Load a checkpoint without the progress bar of the library that reads it."""
    from transformers.utils import logging

    from workbench.model.checkpoint import load_checkpoint

    logging.disable_progress_bar()  # two lines of "Loading weights" for a model of ten megabytes
    return load_checkpoint(run_path(run))


def run_path(run: str) -> str | Path:
    """Return where a run lies that was named on the command line; a hub name stays as it is."""
    if os.path.exists(run):
        return run
    known = catalog.runs()
    return known.get(catalog.typed_run(run, known), run)


@contextmanager
def engine_of(name: Literal["local", "ray"], address: str | None, workers: int | None, gpus: float) -> Iterator[None]:
    """Run the batches of a command on an engine (`model.engines.engine`)."""
    from workbench.model.engines import engine

    with engine(name, address=address, workers=workers, gpus=gpus):
        yield


def writable(file: Path) -> None:
    """Say before the work, not after it, that its result has no place."""
    if file.is_dir():
        raise WorkbenchError(f"Cannot write {file}.", "It is a directory.", "Name a file.")
    if not file.resolve().parent.is_dir():
        raise WorkbenchError(f"Cannot write {file}.", "Its directory does not exist.", "Make it, or name another.")


def command_line() -> str:
    """Return the command as the user typed it, for the pages that it writes."""
    return shlex.join(["workbench", *sys.argv[1:]])


@contextmanager
def resumable() -> Iterator[None]:
    """Say on Ctrl-C that the same command goes on where it stopped."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Interrupted. The same command goes on where it stopped.", err=True)
        raise typer.Exit(130) from None


@contextmanager
def on_signals(stop: Callable[[], None], numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[None]:
    """Call `stop` on Ctrl-C and SIGTERM, in place of an exception wherever the work is."""
    handlers = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
