"""The command `workbench reproduce`: what the literature says, measured on the bundled runs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from workbench.catalog import ROOT
from workbench.cli.arguments import command_line, load_graphs
from workbench.errors import WorkbenchError


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
