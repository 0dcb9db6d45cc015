"""The command `workbench`: what a user types, and nothing else; the work is done by the library.

- arguments: arguments that commands share, loading, and what happens on Ctrl-C; terminal: progress and tables
- report, audit, compare, importing, reproduce, stop, problems: a command, or a group of them, each
"""

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from workbench.catalog import current
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
    run_path,
    writable,
)
from workbench.cli.audit import register as register_audit
from workbench.cli.compare import register as register_compare
from workbench.cli.compare import reproduce
from workbench.cli.importing import adapter_app, base, import_
from workbench.cli.problems import problems_app
from workbench.cli.report import report
from workbench.cli.stop import stop
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.problems.problem import Item, Problem


class Commands(TyperGroup):
    """Shows what a user did wrong without a traceback, and exits with status 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # pydantic's, which Typer passes on
            raise
        except WorkbenchError as error:
            typer.echo(str(error), err=True)
        except OSError as error:
            if error.errno in (None, errno.EPIPE):  # no file's, or a reader such as `head` that has gone
                raise
            message = WorkbenchError(
                f"Cannot read or write {error.filename or 'a file'}.", f"{error.strerror}.",
                "Check the path, your rights to it, and the space that is left.",
            )  # fmt: skip
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
app.add_typer(adapter_app, name="adapter")
register_compare(app)
register_audit(app)


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


@app.command(epilog="Example:  workbench train configs/first.yaml --out runs/mine")
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see configs/first.yaml.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run directory; by default runs/ and the name in the file.")
    ] = None,
) -> None:
    """Train a model, or go on with a run that was interrupted."""
    from workbench.train.launch import train_command

    train_command(current(config), out)


@app.command(epilog="Example:  workbench evaluate reference released --json figures.json")
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
    engine: EngineName = "local",
    address: Address = None,
    workers: Workers = None,
    gpus: Gpus = 0.0,
) -> None:
    """Measure accuracy, its controls and the mass on the frontier, each with an interval and its chance level."""
    if json is not None:
        writable(json)
    loaded = load_problems(problems)
    checkpoint = load_run(run)
    from workbench.cli.terminal import evaluation_table, progress, show
    from workbench.measure.evaluate import evaluate as measure
    from workbench.measure.evaluate import save_evaluation

    with engine_of(engine, address, workers, gpus), progress(f"Evaluating {checkpoint.name}", len(loaded)) as advance:
        evaluation = measure(
            checkpoint, loaded, thoughts, seed, all_rewrites=all_rewrites, batch_size=batch_size, on_progress=advance
        )
    show(evaluation_table(evaluation))
    if json is not None:
        save_evaluation(evaluation, json)
        typer.echo(f"Wrote {json}", err=True)


app.command(epilog="Example:  workbench report reference released --out runs/report")(report)
app.command(epilog="Example:  workbench base smollm2 --out runs/smollm2")(base)
app.command("import", epilog="Example:  workbench import checkpoint_50 --base openai-community/gpt2 --out runs/theirs")(
    import_
)
app.command(epilog="Example:  workbench stop reference released --fit others.json")(stop)


@app.command(epilog="Example:  workbench trace reference released --problem released-7")
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
    graph: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the graph with all scores here: .graphml, or .json (node-link)."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all that was read here as JSON, the rows of a report.")
    ] = None,
) -> None:
    """Run one problem and show, thought by thought, what the model is considering."""
    if json is not None:
        writable(json)
    if graph is not None:  # before the wait, not after it
        from workbench.problems.networks import format_of

        format_of(graph)
        writable(graph)
    from workbench.problems.prosqa import parse_question

    asked: Sequence[Problem] | Sequence[Item] = []
    if question is not None:
        chosen = parse_question(question)
    elif problems is not None:
        asked = load_problems(problems)
        chosen = _choose(asked, problems, problem)
    else:
        raise WorkbenchError("There is nothing to trace.", "No problem was named.", "Give a file, or --question.")
    from workbench.problems.files import graphs_of

    if graph is not None:
        graphs_of([chosen])
    checkpoint = load_run(run)
    from workbench.cli.terminal import second_model, show, trace_table
    from workbench.measure import trace as tracing

    (traced,) = tracing.run(checkpoint, [chosen], thoughts)
    told = (f"after {k}: {said}" for k, said in enumerate(traced.continuations))
    read = second_model(run_path(run), checkpoint, traced, asked)
    show(trace_table(traced, str(checkpoint.supervision)), *told, *read)
    if graph is not None:
        from workbench.measure.scores import READOUTS, node_scores, node_values
        from workbench.problems.networks import write_graph

        readouts = READOUTS if traced.thoughts.size else READOUTS[-1:]
        columns = [node_values(node_scores(traced, readout)) for readout in readouts]
        write_graph(graphs_of([chosen])[0], graph, {name: cells for one in columns for name, cells in one.items()})
        typer.echo(f"Wrote {graph}", err=True)
    if json is not None:
        from workbench.studies.report import save_trace

        save_trace(traced, json, str(checkpoint.supervision))
        typer.echo(f"Wrote {json}", err=True)


app.command(epilog="Example:  workbench reproduce --out reproduction.md")(reproduce)


@app.command("list", epilog="Example:  workbench list")
def list_runs() -> None:
    """List the trained models that are here, and how the thoughts of each were supervised."""
    import json

    from workbench import catalog
    from workbench.cli.terminal import runs_table, show
    from workbench.model.supervision import Supervision

    rows = []
    for name, path in catalog.runs().items():
        if "/" in name:  # a checkpoint, supervised as its run
            continue
        directory = path if (path / "config.json").is_file() else path / "model"
        meta = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("coconut") or {}
        thoughts = str(meta.get("thoughts", "–"))
        rows.append((name, thoughts, str(Supervision.read(meta, directory))))
    show(runs_table(rows))


@app.command(epilog="Example:  workbench explore --port 8600")
def explore(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    demo: Annotated[
        bool, typer.Option("--demo", help="For the public: no uploads, no paths, bounded sizes and rates.")
    ] = False,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="To serve at; another one than this machine's only with --demo.")
    ] = "localhost",
) -> None:
    """Open the explorer in a browser; it is served to this machine only, unless it is a demo."""
    import os
    import subprocess
    from importlib.util import find_spec

    from workbench import catalog

    page = catalog.ROOT / "apps" / "explorer.py"
    if find_spec("streamlit") is None:
        raise WorkbenchError(
            "The explorer needs Streamlit.", "It is not installed.", "Type: pip install 'coconut-workbench[app]'"
        )
    if address not in ("localhost", "127.0.0.1") and not demo:
        raise WorkbenchError(
            f"The explorer is not served at {address}.",
            "It opens any folder that is typed, and asks for no password.",
            "Add --demo, which opens none.",
        )
    command = [sys.executable, "-m", "streamlit", "run", str(page), "--server.address", address]
    command += ["--server.port", str(port), "--server.headless", str(not browser).lower()]
    folders = [part for part in (os.environ.get(catalog.RUNS_VARIABLE), str(Path("runs").absolute())) if part]
    env = os.environ | {catalog.RUNS_VARIABLE: os.pathsep.join(folders)}
    if demo:  # what is shown is named by whoever hosts it
        env |= {catalog.RUNS_VARIABLE: os.environ.get(catalog.RUNS_VARIABLE, ""), "WORKBENCH_DEMO": "1"}
        command += ["--server.maxUploadSize", "1"]
    raise typer.Exit(subprocess.call(command, cwd=page.parents[1], env=env))


def _choose(loaded: "Sequence[Problem] | Sequence[Item]", path: Path, id: str | None) -> "Problem | Item":
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
