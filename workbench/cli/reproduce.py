"""The command `workbench reproduce`: what the literature says, measured on the bundled runs."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.catalog import current
from workbench.cli.arguments import FIXTURES, command_line, load_problems
from workbench.errors import WorkbenchError

RUNS = (
    "reference", "coconut_next_node", "coconut_frontier", "coconut_words", "coconut_without_curriculum",
    "coconut_without_thought", "cot", "icot", "no_cot", "pause_as_thought", "pause_token",
)  # fmt: skip
"""The runs that claims are about."""


def reproduce(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The Markdown page to write.")] = Path(
        "runs/reproduction.md"
    ),
    runs: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Directory of runs: reference, and one for each method.", show_default="those bundled"
        ),
    ] = FIXTURES / "runs",
    problems: Annotated[
        Path, typer.Option(metavar="FILE", help="Problems for the reference.", show_default="released.json")
    ] = FIXTURES / "problems" / "released.json",
    method_problems: Annotated[
        Path, typer.Option(metavar="FILE", help="Problems for the methods.", show_default="small.json")
    ] = FIXTURES / "problems" / "small.json",
    most: Annotated[int, typer.Option(min=2, help="Problems of each file, the first so many.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of controls and intervals.")] = 0,
) -> None:
    """Check what the papers say of continuous thoughts, and write a table: claim, published, ours, verdict."""
    given, of_methods = (load_problems(path)[:most] for path in (problems, method_problems))
    if missing := [name for name in RUNS if not current(runs / name).is_dir()]:
        raise WorkbenchError(
            "There are runs missing.", f"{runs} has no {', '.join(missing)}.", "Give the directory of the bundled runs."
        )
    from transformers.utils import logging

    from workbench.studies.reproduce.material import Material
    from workbench.studies.reproduce.page import chosen, judge, write_page

    logging.disable_progress_bar()
    material = Material(
        runs, given, of_methods,
        on=f"reference, {problems.stem} ({len(given)})",
        on_methods=f"runs of the methods, {method_problems.stem} ({len(of_methods)})",
        seed=seed,
        on_step=lambda words: typer.echo(f"  {words} ...", err=True),
    )  # fmt: skip
    judged = judge(chosen(), material, lambda one: typer.echo(f"{one.verdict}: {one.claim.statement}", err=True))
    write_page(judged, out, command_line(), seed)
    typer.echo(f"Wrote {out}")
