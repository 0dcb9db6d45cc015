"""An audit: six batteries run on a checkpoint, each kept in its own file; what is done is not done again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from workbench.errors import WorkbenchError, unknown
from workbench.measure.provenance import checkpoint_digest, problems_digest, provenance
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Item, Problem
from workbench.studies import artefacts
from workbench.studies.audit.base import (
    AUDIT_SCHEMA,
    NO_GRAPH,
    SCHEMA,
    Advance,
    AuditOptions,
    Battery,
    Rows,
    Subject,
    require_problems,
)
from workbench.studies.audit.content import content
from workbench.studies.audit.generalization import generalization
from workbench.studies.audit.necessity import localization, necessity
from workbench.studies.audit.search import search
from workbench.studies.audit.shortcuts import shortcuts

MANIFEST, TABLE, PARTS = "audit.json", "audit.parquet", "parts"

BATTERIES: Mapping[str, Battery] = {
    "needed": necessity,
    "content": content,
    "search": search,
    "shortcuts": shortcuts,
    "where": localization,
    "further": generalization,
}
"""The batteries by name, in the order of the card."""

OF_GRAPHS = ("search", "where", "further")
"""Those that ask about nodes, edges or other graphs."""

Inputs = dict[str, object]
"""All that decides the figures: digests, options, versions, schema."""


def inputs_of(checkpoint: Checkpoint, problems: Sequence[Problem | Item], options: AuditOptions) -> Inputs:
    """Return what an audit's figures are made from."""
    made = {
        "checkpoint": checkpoint.name,
        "weights": checkpoint_digest(checkpoint),
        "problems": problems_digest(problems),
        "count": len(problems),
        "thoughts": checkpoint.thoughts,
        "fed": checkpoint.fed,
        "says": checkpoint.says,
        "method": str(checkpoint.meta.get("method", "")),
        "supervision": str(checkpoint.supervision),
        "options": asdict(options),
        "schema": AUDIT_SCHEMA,
        **asdict(provenance(options.seed)),
    }
    return json.loads(json.dumps(made))


def open_audit(directory: Path, inputs: Inputs, *, overwrite: bool = False) -> None:
    """Open a directory for an audit: empty, or begun from the same inputs.

    Args:
        directory: Made if it is not there.
        inputs: Of `inputs_of`.
        overwrite: Whether another audit in it may be replaced. Files that are no audit's are never touched.

    Raises:
        WorkbenchError: It holds something else.
    """
    made = (f"{PARTS}/*.parquet", TABLE)
    artefacts.open_directory(directory, MANIFEST, inputs, made, overwrite=overwrite)
    artefacts.write_manifest(directory / MANIFEST, inputs)
    (directory / PARTS).mkdir(exist_ok=True)


def read_inputs(directory: Path) -> Inputs:
    """Return what an audit was made from.

    Raises:
        WorkbenchError: There is no audit.
    """
    held = artefacts.read_manifest(directory / MANIFEST)
    if not held:
        do = "Make one: workbench audit RUN --out DIR"
        raise WorkbenchError(f"There is no audit in {directory}.", f"{MANIFEST} cannot be read.", do)
    return held


def part_of(directory: Path, battery: str) -> Path:
    """Return the file of a battery; it exists once the battery is done."""
    return directory / PARTS / f"{battery}.parquet"


def is_done(directory: Path, battery: str, inputs: Inputs) -> bool:
    """Say whether a battery has been run from these inputs."""
    return artefacts.made_from(part_of(directory, battery), inputs)


def require_batteries(names: Sequence[str]) -> None:
    """Refuse a name that is no battery's.

    Raises:
        WorkbenchError: There is no such battery.
    """
    for name in names:
        if name not in BATTERIES:
            raise unknown("battery", name, BATTERIES)


def measure(
    battery: str,
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    options: AuditOptions,
    advance: Advance = lambda count: None,
) -> pl.DataFrame:
    """Run one battery and return its rows (`base.SCHEMA`).

    Args:
        battery: Of `BATTERIES`.
        checkpoint: What is audited.
        problems: What it is asked.
        options: How it is audited.
        advance: Called with the number of answers given since the last call.

    Raises:
        WorkbenchError: There is no such battery, there are fewer than two problems, or the model cannot be run on one.
    """
    require_batteries([battery])
    require_problems(problems)
    rows = Rows(battery, options.seed, problems)
    subject = Subject(checkpoint, list(problems), options, advance)
    if battery in OF_GRAPHS and not subject.graphs:
        rows.not_applicable(battery, NO_GRAPH)
    else:
        BATTERIES[battery](subject, rows)
    return rows.frame()


def run_battery(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    directory: Path,
    battery: str,
    options: AuditOptions,
    advance: Advance = lambda count: None,
) -> None:
    """Run one battery (`measure`) and keep its table, unless it is there; the directory must be open."""
    inputs = inputs_of(checkpoint, problems, options)
    if not is_done(directory, battery, inputs):
        table = measure(battery, checkpoint, problems, options, advance)
        artefacts.write_table(part_of(directory, battery), table, AUDIT_SCHEMA, inputs)


def read_table(directory: Path) -> pl.DataFrame:
    """Read the table of an audit; what one of an older schema lacks is null."""
    table = pl.read_parquet(directory / TABLE).rename({"dose": "strength"}, strict=False)  # its name in schema 1
    absent = {name: kind for name, kind in SCHEMA.items() if name not in table.columns}
    return table.with_columns(pl.lit(None, kind).alias(name) for name, kind in absent.items())


def join(directory: Path) -> pl.DataFrame:
    """Join the batteries that are done into one table, in their order, and return it."""
    parts = [pl.read_parquet(path) for name in BATTERIES if (path := part_of(directory, name)).exists()]
    table = pl.concat(parts) if parts else pl.DataFrame(schema=dict(SCHEMA))
    artefacts.write_table(directory / TABLE, table, AUDIT_SCHEMA, read_inputs(directory))
    return table
