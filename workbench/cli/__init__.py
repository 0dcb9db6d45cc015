"""The command `workbench`: what a user types, and nothing else; the work is done by the library."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from workbench.cli.audit import register as register_audit
from workbench.cli.compare import register as register_compare
from workbench.cli.problems import ProblemFile, Seed, problems_app, writable
from workbench.cli.readings import add_readings, control_names, reading_names
from workbench.cli.reproduce import reproduce
from workbench.cli.stop import stop
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.model.checkpoint import Checkpoint
    from workbench.problems.problem import Problem


# Problems are read before torch is imported, so that a wrong path is said at once.
# What a command needs is imported inside it: `workbench --help` need not wait seconds for torch.


class Commands(TyperGroup):
    """Shows what a user did wrong without a traceback, and exits with status 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except WorkbenchError as error:
            typer.echo(str(error), err=True)
        except (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            message = WorkbenchError(
                f"Cannot read or write {error.filename}.", f"{error.strerror}.", "Check the path and your rights to it."
            )
            typer.echo(str(message), err=True)
        raise typer.Exit(2)


app = typer.Typer(
    cls=Commands,
    help="See and test what a model that reasons in continuous thoughts is thinking.",
    epilog="Begin with:  workbench explore",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(problems_app, name="problems")
register_compare(app)
register_audit(app)

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run directory, a directory written by save_pretrained, or a hub name.")
]
Thoughts = Annotated[
    int | None, typer.Option(min=0, help="Number of thoughts; by default as many as the model was trained with.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Problems run at a time.")]


def _version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        typer.echo(f"coconut-workbench {version('coconut-workbench')}")
        raise typer.Exit
    return asked


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """See and test what a model that reasons in continuous thoughts is thinking."""


def _problems(path: Path) -> "list[Problem]":
    from workbench.problems.files import load_problems

    return load_problems(path)


def _load(run: str) -> "Checkpoint":
    from transformers.utils import logging

    from workbench.model.checkpoint import load_checkpoint

    logging.disable_progress_bar()  # two lines of "Loading weights" for a model of ten megabytes
    return load_checkpoint(run)


@app.command(epilog="Example:  workbench train configs/reference.yaml --out runs/mine")
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see configs/reference.yaml.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run directory; by default runs/ and the name in the file.")
    ] = None,
) -> None:
    """Train a model, or go on with a run that was interrupted."""
    from workbench.train.launch import train_command

    train_command(config, out)


@app.command(
    epilog="Example:  workbench evaluate fixtures/runs/reference fixtures/problems/released.json --json figures.json"
)
def evaluate(
    run: Run,
    problems: ProblemFile,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures here as JSON.")] = None,
    thoughts: Thoughts = None,
    seed: Seed = 0,
    all_rewrites: Annotated[
        bool, typer.Option("--all-rewrites", help="Also answer every single-edge rewrite, not one per problem (slow).")
    ] = False,
    batch_size: BatchSize = 64,
) -> None:
    """Measure accuracy, its controls and the mass on the frontier, each with an interval and its chance level."""
    if json is not None:
        writable(json)
    loaded = _problems(problems)
    checkpoint = _load(run)
    from rich.console import Console

    from workbench.cli.terminal import evaluation_table, progress
    from workbench.measure.evaluate import evaluate as measure
    from workbench.measure.evaluate import save_evaluation

    with progress(f"Evaluating {checkpoint.name}", len(loaded)) as advance:
        evaluation = measure(
            checkpoint, loaded, thoughts, seed, all_rewrites=all_rewrites, batch_size=batch_size, on_progress=advance
        )
    Console().print(evaluation_table(evaluation))
    if json is not None:
        save_evaluation(evaluation, json)
        typer.echo(f"Wrote {json}", err=True)


@app.command(
    epilog="Example:  workbench report fixtures/runs/reference fixtures/problems/released.json --out runs/report"
)
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
    ] = "all",
    controls: Annotated[
        str, typer.Option(metavar="NAMES", help="Controls beside every reading: names with commas, all, or none.")
    ] = "all",
    most: Annotated[
        int, typer.Option(min=2, help="Problems that are read; of a larger set as many are drawn by the seed.")
    ] = 500,
) -> None:
    """Run a whole problem set and write tables (Parquet) and pages (HTML) that open offline.

    Interrupted, the same command goes on where it stopped.
    """
    chosen, beside = reading_names(readings), control_names(controls)
    loaded = _problems(problems)
    checkpoint = _load(run)
    from workbench.cli.terminal import progress
    from workbench.studies.report import Options, write_report

    options = Options(run, problems, thoughts, seed, shard, batch_size, explorer, readings=bool(chosen))
    try:
        with progress(f"Running {checkpoint.name}", len(loaded)) as advance:
            page = write_report(checkpoint, loaded, out, options, overwrite=overwrite, on_progress=advance)
        if chosen:
            add_readings(checkpoint, loaded, out, chosen, beside, most, options)
    except KeyboardInterrupt:
        typer.echo("Interrupted. The same command goes on where it stopped.", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"Open {page}")


app.command(
    epilog="Example:  workbench stop fixtures/runs/reference fixtures/problems/released.json --fit others.json"
)(stop)


@app.command(
    epilog="Example:  workbench trace fixtures/runs/reference fixtures/problems/released.json --problem released-7"
)
def trace(
    run: Run,
    problems: Annotated[
        Path | None, typer.Argument(metavar="PROBLEMS", help="A file of problems; leave it out with --question.")
    ] = None,
    problem: Annotated[str | None, typer.Option(metavar="ID", help="Id of the problem; by default the first.")] = None,
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A question in words instead of a problem of the file.")
    ] = None,
    thoughts: Thoughts = None,
) -> None:
    """Run one problem and show, thought by thought, what the model is considering."""
    from workbench.problems.prosqa import parse_question

    if question is not None:
        chosen = parse_question(question)
    elif problems is not None:
        chosen = _choose(_problems(problems), problems, problem)
    else:
        raise WorkbenchError("There is nothing to trace.", "No problem was named.", "Give a file, or --question.")
    checkpoint = _load(run)
    from rich.console import Console

    from workbench.cli.terminal import trace_table
    from workbench.measure import trace as tracing

    (traced,) = tracing.run(checkpoint, [chosen], thoughts)
    console = Console()
    console.print(trace_table(traced))
    for k, said in enumerate(traced.continuations):
        console.print(f"after {k}: {said}", markup=False, highlight=False)


app.command(epilog="Example:  workbench reproduce --out docs/reproduction.md")(reproduce)


@app.command(epilog="Example:  workbench explore --port 8600")
def explore(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
) -> None:
    """Open the explorer in a browser; it is served to this machine only."""
    import subprocess
    from importlib.util import find_spec

    page = Path(__file__).resolve().parents[1] / "apps" / "explorer.py"
    if not page.exists():
        raise WorkbenchError(
            "The explorer is not here.",
            "It lies in apps/ of a checkout, beside the library, and is not part of the installed package.",
            "Clone the project and type make explore.",
        )
    if find_spec("streamlit") is None:
        raise WorkbenchError(
            "The explorer needs Streamlit.", "It is not installed.", "Type: pip install 'coconut-workbench[app]'"
        )
    command = [sys.executable, "-m", "streamlit", "run", str(page), "--server.address", "localhost"]
    command += ["--server.port", str(port), "--server.headless", str(not browser).lower()]
    raise typer.Exit(subprocess.call(command, cwd=page.parents[1]))


def _choose(loaded: "list[Problem]", path: Path, id: str | None) -> "Problem":
    if id is None:
        return loaded[0]
    for problem in loaded:
        if problem.id == id:
            return problem
    raise WorkbenchError(
        f"There is no problem {id} in {path}.",
        f"Its {len(loaded)} problems are called {loaded[0].id} to {loaded[-1].id}.",
        "Give one of these ids.",
    )
