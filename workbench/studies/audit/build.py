"""From a checkpoint and problems to an audit's tables, a battery at a time: what is done is not done again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.measure.provenance import checkpoint_digest, problems_digest, provenance
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.studies.audit.content import content
from workbench.studies.audit.generalization import further
from workbench.studies.audit.localization import where
from workbench.studies.audit.necessity import needed
from workbench.studies.audit.rows import AUDIT_SCHEMA, SCHEMA
from workbench.studies.audit.search import search
from workbench.studies.audit.shortcuts import shortcuts
from workbench.studies.audit.subject import Advance, Options, quiet, require_problems
from workbench.studies.tables import TableWriter, to_arrow

MANIFEST = "audit.json"
TABLE = "audit.parquet"
PARTS = "parts"

BATTERIES: Mapping[str, Callable[[Checkpoint, list[Problem], Options, Advance], pl.DataFrame]] = {
    "needed": needed,
    "content": content,
    "search": search,
    "shortcuts": shortcuts,
    "where": where,
    "further": further,
}
"""The batteries by name, in the order of the card."""

Inputs = dict[str, object]
"""All that decides the figures: digests, options, versions, schema."""


def inputs_of(checkpoint: Checkpoint, problems: Sequence[Problem], options: Options) -> Inputs:
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
    if directory.exists() and not directory.is_dir():
        raise WorkbenchError(f"Cannot write an audit to {directory}.", "It is a file.", "Name a directory.")
    manifest = directory / MANIFEST
    others = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    if others and not manifest.exists():
        raise WorkbenchError(
            f"Cannot write an audit to {directory}.",
            f"It holds other files, among them {others[0]}.",
            "Name an empty or a new directory.",
        )
    held = read_inputs(directory) if manifest.exists() else inputs
    if held != inputs and not overwrite:
        differing = [name for name in inputs if held.get(name) != inputs[name]]
        raise WorkbenchError(
            f"{directory} holds another audit.",
            f"It was made from other inputs ({', '.join(differing)}).",
            "Name another directory, or replace that audit with --overwrite.",
        )
    if held != inputs:
        for path in (directory / PARTS).glob("*.parquet"):
            path.unlink()
        (directory / TABLE).unlink(missing_ok=True)
    (directory / PARTS).mkdir(parents=True, exist_ok=True)
    write_whole(manifest, json.dumps(inputs, indent=2, sort_keys=True) + "\n")


def read_inputs(directory: Path) -> Inputs:
    """Return what an audit was made from.

    Raises:
        WorkbenchError: There is no audit.
    """
    try:
        held = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkbenchError(
            f"There is no audit in {directory}.",
            f"{MANIFEST} cannot be read.",
            "Make one: workbench audit RUN --out DIR",
        ) from error
    return held if isinstance(held, dict) else {}


def part_of(directory: Path, battery: str) -> Path:
    """Return the file of a battery; it exists once the battery is done."""
    return directory / PARTS / f"{battery}.parquet"


def is_done(directory: Path, battery: str, inputs: Inputs) -> bool:
    """Say whether a battery has been run from these inputs."""
    path = part_of(directory, battery)
    return path.exists() and json.loads((pq.read_schema(path).metadata or {}).get(b"workbench", b"{}")) == inputs


def run_battery(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    directory: Path,
    battery: str,
    options: Options,
    advance: Advance = quiet,
) -> None:
    """Run one battery and keep its table, unless it is there; the directory must be open.

    Raises:
        WorkbenchError: There is no such battery, there are fewer than two problems, or the model cannot be run on one.
    """
    if battery not in BATTERIES:
        raise WorkbenchError(
            f'There is no battery "{battery}".', f"They are {', '.join(BATTERIES)}.", "Choose among them."
        )
    require_problems(problems)
    inputs = inputs_of(checkpoint, problems, options)
    if not is_done(directory, battery, inputs):
        table = BATTERIES[battery](checkpoint, list(problems), options, advance)
        _write(part_of(directory, battery), table, inputs)


def join(directory: Path) -> pl.DataFrame:
    """Join the batteries that are done into one table, in their order, and return it."""
    parts = [pl.read_parquet(path) for name in BATTERIES if (path := part_of(directory, name)).exists()]
    table = pl.concat(parts) if parts else pl.DataFrame(schema=dict(SCHEMA))
    _write(directory / TABLE, table, read_inputs(directory))
    return table


def _write(path: Path, table: pl.DataFrame, inputs: Inputs) -> None:
    with TableWriter(path, AUDIT_SCHEMA, inputs) as writer:
        writer.write(to_arrow(table))
