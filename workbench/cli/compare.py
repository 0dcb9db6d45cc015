"""The commands `workbench compare` and `reproduce`: a suite trained and measured; claims of the literature."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.catalog import ROOT
from workbench.cli.arguments import command_line, load_graphs, on_signals
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from workbench.studies.compare.jobs import Todo
    from workbench.studies.compare.suite import PlannedRun, Suite

More = Annotated[
    list[str] | None,
    typer.Option("--problems", metavar="NAME=FILE", help="Judge on this set as well; may be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `workbench`."""
    example = "Example:  workbench compare configs/suites/smoke.yaml --out runs/smoke"
    app.command(epilog=example)(compare)
    app.command(hidden=True)(measure)


def compare(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A YAML file; see configs/suites/methods.yaml.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the runs and the report.")],
    only: Annotated[list[str] | None, typer.Option(metavar="METHOD", help="Only this method; may be repeated.")] = None,
    problems: More = None,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train, or measure and report what is there.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and what it costs.")] = False,
    lines: Annotated[
        bool, typer.Option("--plan", help="Print a line for each run, for xargs, SLURM arrays or submitit; run none.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side; by default as the suite says.")] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="KEPT", help="Copy all results there, without the weights, and end.")
    ] = None,
) -> None:
    r"""Train a suite of methods, measure them on the same problems, and write one report.

    What is done is skipped, what was cut off goes on: the same command again resumes. Lines of a plan resume as well:
    workbench compare SUITE --out DIR --plan | xargs -d '\n' -n 1 -P 8 sh -c
    """
    from workbench.studies.compare.suite import load_suite, with_problems

    loaded = with_problems(load_suite(suite), _named(problems or []))
    from workbench.studies.compare.jobs import plan, shell_lines, total_cost

    if keep:
        from workbench.studies.compare.jobs import keep as keep_all

        typer.echo(f"{keep_all(loaded, out, keep)} runs kept in {keep}; a page from them: --out {keep} --no-train")
        return
    if lines:
        for line in shell_lines(loaded, out, only or []):
            typer.echo(line)
        typer.echo(total_cost(plan(loaded, out, only or []), jobs or loaded.jobs), err=True)
        return
    if loaded.page == "comparison":
        from workbench.studies.compare.page import report
    elif loaded.page == "superposition":
        from workbench.studies.compare.factorial import report
    else:
        from workbench.studies.compare.variants import report

    todo = plan(loaded, out, only or [])
    if dry_run:
        _show_plan(loaded, todo, jobs or loaded.jobs)
        return
    stop = Event()
    failed = _work(loaded, out, todo, only or [], jobs or loaded.jobs, train, stop)
    if stop.is_set():
        typer.echo("Stopped. The same command goes on from here.", err=True)
        raise typer.Exit(130)
    for key, error in failed.items():
        typer.echo(f"{key} failed: {error} (logs/{key}.log)", err=True)
    typer.echo(f"Open {report(loaded, out, only or [], failed, command_line())}")
    if failed:
        raise typer.Exit(1)


def measure(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    problems: More = None,
    page: Annotated[
        Literal["comparison", "superposition", "variants"],
        typer.Option(help="What it is measured for, as the suite says."),
    ] = "comparison",
    audit: Annotated[str, typer.Option(metavar="YAML", help="Audit it on the first set; as in a suite.")] = "",
    emergence: Annotated[str, typer.Option(metavar="YAML", help="Read its checkpoints; as in a suite.")] = "",
) -> None:
    """Ask a run all that the page of a suite needs to know, and keep it beside the run."""
    from workbench.settings import build, parse_yaml
    from workbench.studies.compare.extras import EXTRAS, make
    from workbench.studies.compare.measure import measure as ask

    sets, given = _named(problems or []), {"audit": audit, "emergence": emergence}
    ask(run, sets, page=page)
    for extra, kind in EXTRAS.items():
        if given[extra] and sets:
            make(run, extra, *next(iter(sets.items())), build(kind, parse_yaml(given[extra]), f"option --{extra}"))


def _named(given: Sequence[str]) -> dict[str, Path]:
    """Read NAME=FILE."""
    named: dict[str, Path] = {}
    for one in given:
        name, sign, file = one.partition("=")
        if not sign or not name.replace("-", "").replace("_", "").isalnum() or not file:
            raise WorkbenchError(
                f'"{one}" names no problem set.', "It is not of the form NAME=FILE.", "Write released=released.json."
            )
        if not Path(file).is_file():
            raise WorkbenchError(f"There is no problem file {file}.", f'It was given as "{one}".', "Check the path.")
        named[name] = Path(file)
    return named


def _work(
    suite: "Suite", out: Path, todo: "Sequence[Todo]", only: Sequence[str], side_by_side: int, train: bool, stop: Event
) -> dict[str, str]:
    """Train and measure with a line of progress per run; Ctrl-C and SIGTERM set `stop`. Return the errors."""
    from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from workbench.cli.terminal import bars
    from workbench.studies.compare.jobs import carry_out
    from workbench.studies.compare.suite import newest_step

    with (
        on_signals(stop.set),
        bars(MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[state]}")) as bar,
    ):
        lines = {
            one.run.key: bar.add_task(
                one.run.key, total=one.run.config.steps, completed=one.step, start=False, state=_state(one, train)
            )
            for one in todo
        }
        runs, ended = {one.run.key: one.run for one in todo}, set[str]()

        def tick(jobs: "Mapping[str, Future[str]]") -> None:
            for key, job in jobs.items():
                if key in ended or not (job.running() or job.done()):
                    continue
                bar.start_task(lines[key])
                state = _at_work(runs[key], suite) if job.running() else "failed" if job.result() else "done"
                bar.update(lines[key], completed=newest_step(runs[key]), state="stopped" if stop.is_set() else state)
                if job.done():
                    bar.stop_task(lines[key])
                    ended.add(key)

        return carry_out(suite, out, side_by_side, stop, only, train=train, tick=tick)


def _state(todo: "Todo", train: bool) -> Literal["waiting", "done", "not finished"]:
    if todo.train:
        return "waiting" if train else "not finished"
    return "waiting" if todo.measure or todo.extras else "done"


def _at_work(run: "PlannedRun", suite: "Suite") -> str:
    """Say what is being done of a run."""
    from workbench.studies.compare.extras import doing, wanted
    from workbench.studies.compare.suite import present_sets

    asked = wanted(suite)
    name = next(iter(present_sets(run.task)[0]), "") if asked else ""
    return ", ".join(filter(None, ("at work", doing(run.directory, name, asked))))


def _show_plan(suite: "Suite", todo: "Sequence[Todo]", side_by_side: int) -> None:
    """Show what would be done, and what it costs where a rate was recorded."""
    from workbench.cli.terminal import RIGHT, show, table
    from workbench.studies.compare.jobs import total_cost

    made = table(
        f"{suite.name}: {len(todo)} runs, {side_by_side} side by side", total_cost(todo, side_by_side),
        ("run", {"no_wrap": True}), ("step", RIGHT), ("questions", RIGHT), "to measure", ("core-minutes left", RIGHT),
    )  # fmt: skip
    for one in todo:
        parts = (one.core_minutes, one.extra_minutes)
        cost = "unknown" if None in parts else f"{sum(part for part in parts if part is not None):.1f}"
        step = f"{one.step:,} of {one.run.config.steps:,}" if one.train else "done"
        made.add_row(one.run.key, step, f"{one.questions:,}", ", ".join((*one.measure, *one.extras)) or "–", cost)
    show(made)


def reproduce(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The Markdown page to write.")] = Path(
        "runs/reproduction.md"
    ),
    runs: Annotated[
        Path, typer.Option(metavar="DIR", help="Directory of runs, by name.", show_default="those bundled")
    ] = ROOT / "fixtures" / "runs",
    problems: Annotated[
        Path, typer.Option(metavar="DIR", help="Directory of problem sets, by name.", show_default="those bundled")
    ] = ROOT / "fixtures" / "problems",
    most: Annotated[int, typer.Option(min=2, help="Problems of each set, the first so many.")] = 500,
    fresh: Annotated[
        int | None, typer.Option(min=2, help="Problems to generate like those of each set.", show_default="200")
    ] = None,
    bounds_only: Annotated[bool, typer.Option("--bounds-only", help="Measure nothing: write the bounds.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of controls and intervals.")] = 0,
) -> None:
    """Check what the papers say of continuous thoughts: a table of claims, our numbers and verdicts."""
    sets = {file.stem: load_graphs(file) for file in sorted(problems.glob("*.json"))}
    from transformers.utils import logging

    from workbench.studies.claims import Claim, claims_measured
    from workbench.studies.reproduce.bounds import fresh_problems, frozen
    from workbench.studies.reproduce.material import Material
    from workbench.studies.reproduce.page import Measured, judge, measure, write_page

    if missing := [name for name in frozen().sets if name not in sets]:
        why = f"{problems} has no {', '.join(missing)}."
        raise WorkbenchError("There are problem sets missing.", why, "Give the directory of the bundled ones.")
    if not any((runs / plan.run).is_dir() for plan in frozen().claims.values()):
        why = f"{runs} has none of the runs that claims are about."
        raise WorkbenchError("There is nothing to measure.", why, "Give the directory of the bundled runs.")
    logging.disable_progress_bar()

    def material(kind: str, of: Mapping) -> Material:
        said = partial("  {}: {} ...".format, kind)
        return Material(runs, of, seed, kind == "bundled", on_step=lambda words: typer.echo(said(words), err=True))

    both = {
        "bundled": material("bundled", {name: sets[name][:most] for name in frozen().sets}),
        "fresh": material("fresh", fresh_problems([one for every in sets.values() for one in every], fresh)),
    }

    def found_of(claim: Claim) -> Measured:
        plan = frozen().claims.get(claim.key)
        return Measured(claim, plan) if bounds_only else measure(claim, both["bundled"], both["fresh"])

    found = {heading: [found_of(claim) for claim in group] for heading, group in claims_measured().items()}
    judged = iter(judge([one for group in found.values() for one in group]))
    by_heading = {heading: [next(judged) for _ in group] for heading, group in found.items()}
    write_page(by_heading, out, command_line(), both, seed)
    typer.echo(f"Wrote {out}")
