"""The commands `workbench audit` and `workbench audits`: batteries of interventions, and the cards that they fill."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from workbench import catalog
from workbench.cli.arguments import (
    Address,
    BatchSize,
    EngineName,
    Gpus,
    Run,
    Seed,
    Workers,
    command_line,
    engine_of,
    load_problems,
    load_run,
    on_signals,
    resumable,
)
from workbench.errors import WorkbenchError
from workbench.files import only_writer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from workbench.model.checkpoint import Checkpoint
    from workbench.problems.problem import Item, Problem
    from workbench.studies.audit.base import AuditOptions

ProblemsFile = Annotated[
    Path | None, typer.Argument(metavar="PROBLEMS", help="A file of problems; by default the 500 that ship.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory of the audit; made if it is not there.")]
Fit = Annotated[int, typer.Option(min=2, help="Problems generated to learn codes and a query-blind classifier from.")]
Further = Annotated[int, typer.Option(min=2, help="Problems generated for each kind of larger graphs.")]
First = Annotated[int | None, typer.Option(metavar="N", min=2, help="Only the first problems of the file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `workbench`."""
    app.command(epilog="Example:  workbench audit reference --out runs/audit")(audit)
    app.command(epilog="Examples:  workbench audits runs/audits;  workbench audits runs/audits --organisms")(audits)
    app.command("audit-battery", hidden=True)(audit_battery)


def audit(
    run: Run,
    problems: ProblemsFile = None,
    out: Out = Path("runs/audit"),
    first: First = None,
    seed: Seed = 0,
    fit: Fit = 600,
    further: Further = 200,
    batch_size: BatchSize = 64,
    jobs: Annotated[int, typer.Option(min=1, help="Batteries side by side, a process of one thread each.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(metavar="BATTERY", help="Only this battery; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another audit in DIR.")] = False,
    engine: EngineName = "local",
    address: Address = None,
    workers: Workers = None,
    gpus: Gpus = 0.0,
) -> None:
    """Ask whether a model thinks: interventions, controls, tests, and a card that says in plain words what they show.

    Batteries that are done are not run again: interrupted, the same command goes on.
    """
    file, loaded, checkpoint, options = _subject(run, problems, first, seed, fit, further, batch_size)
    from workbench.studies.audit.base import require_problems
    from workbench.studies.audit.card import write_card
    from workbench.studies.audit.run import BATTERIES, inputs_of, is_done, join, open_audit, require_batteries

    require_batteries(only or ())
    require_problems(loaded)
    inputs = inputs_of(checkpoint, loaded, options)
    with resumable(), only_writer(out):
        open_audit(out, inputs, overwrite=overwrite)
        todo = [name for name in BATTERIES if name in (only or BATTERIES) and not is_done(out, name, inputs)]
        if jobs > 1 and len(todo) > 1 and engine == "local":
            given = (run, str(file), "--out", str(out), "--seed", str(seed), "--fit", str(fit))
            given += () if first is None else ("--first", str(first))
            _side_by_side(todo, (*given, "--further", str(further), "--batch-size", str(batch_size)), out, jobs)
        else:
            with engine_of(engine, address, workers, gpus):
                _one_by_one(todo, checkpoint, loaded, out, options)
        page = write_card(out, join(out), command_line())
    typer.echo(f"Open {page}")


def audits(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory whose folders are audits.")],
    organisms: Annotated[
        bool, typer.Option("--organisms", help="Audit models whose answer is known instead: organisms.md in DIR.")
    ] = False,
    count: Annotated[int, typer.Option("--problems", metavar="N", min=2, help="Problems of each organism.")] = 160,
    seed: Seed = 0,
    fit: Fit = 200,
) -> None:
    """Put the audits of several models side by side on one page, README.md in DIR."""
    if not directory.is_dir():
        raise WorkbenchError(
            f"There is no directory {directory}.",
            "The page is written into a directory that is there.",
            "Check the path, or make the directory first.",
        )
    if organisms:
        from workbench.cli.terminal import counting
        from workbench.studies.audit.base import AuditOptions
        from workbench.studies.audit.organisms import model_names, write_organisms

        with counting(model_names()) as advance:
            options = AuditOptions(seed, batch_size=240, fit=fit, further=20)
            page = write_organisms(directory, command_line(), count, options, advance)
        typer.echo(f"Wrote {page}")
        return
    from workbench.studies.audit.card import write_side_by_side

    typer.echo(f"Wrote {write_side_by_side(directory, command_line())}")


def audit_battery(
    run: Run,
    problems: ProblemsFile = None,
    out: Out = Path("runs/audit"),
    first: First = None,
    battery: Annotated[str, typer.Option(metavar="BATTERY", help="Which one.")] = "",
    seed: Seed = 0,
    fit: Fit = 600,
    further: Further = 200,
    batch_size: BatchSize = 64,
) -> None:
    """Run one battery of an audit whose directory is open."""
    import torch

    from workbench.studies.audit.run import run_battery

    torch.set_num_threads(1)
    _, loaded, checkpoint, options = _subject(run, problems, first, seed, fit, further, batch_size)
    count, log = 0, out / "logs" / f"{battery}.count"

    def advance(more: int) -> None:
        nonlocal count
        count += more
        with suppress(OSError):
            log.write_text(str(count))

    run_battery(checkpoint, loaded, out, battery, options, advance)


def _subject(
    run: str, problems: Path | None, first: int | None, seed: int, fit: int, further: int, batch_size: int
) -> "tuple[Path, Sequence[Problem | Item], Checkpoint, AuditOptions]":
    file = Path(catalog.FIRST_SET) if problems is None else problems
    loaded, checkpoint = load_problems(file)[:first], load_run(run)
    from workbench.studies.audit.base import AuditOptions

    return file, loaded, checkpoint, AuditOptions(seed, batch_size, fit, further)


def _one_by_one(
    todo: Sequence[str],
    checkpoint: "Checkpoint",
    problems: "Sequence[Problem | Item]",
    out: Path,
    options: "AuditOptions",
) -> None:
    from workbench.cli.terminal import counting
    from workbench.studies.audit.run import run_battery

    with counting(todo) as count:
        for name in todo:
            run_battery(checkpoint, problems, out, name, options, lambda more, name=name: count(name, more))
            count(name, None)


def _side_by_side(todo: Sequence[str], given: tuple[str, ...], out: Path, jobs: int) -> None:
    """Run batteries in processes of their own, and pass Ctrl-C on to them."""
    from workbench.cli.terminal import counting
    from workbench.studies.compare.jobs import Job, run_jobs

    stop, shown = Event(), dict.fromkeys(todo, 0)
    with on_signals(stop.set), counting(todo) as count:

        def tick(futures: "Mapping[str, Future[str]]") -> None:
            for name in todo:
                with suppress(OSError, ValueError):
                    at = int((out / "logs" / f"{name}.count").read_text())
                    count(name, at - shown[name])
                    shown[name] = at
                if futures[name].done():
                    count(name, None)

        for name in todo:
            (out / "logs" / f"{name}.count").unlink(missing_ok=True)
        batteries = [Job(name, (("audit-battery", *given, "--battery", name),)) for name in todo]
        failed = run_jobs(batteries, out, jobs, stop, tick)
    if stop.is_set():
        raise KeyboardInterrupt
    for name, error in failed.items():
        raise WorkbenchError(f"The battery {name} failed.", error, f"See {out / 'logs' / name}.log, and try again.")
