"""The readings of a report: a Parquet table for each, and a page with their figures, controls in the same axes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.checkpoint import Checkpoint
from workbench.controls import record_controls
from workbench.problem import Problem
from workbench.provenance import checkpoint_digest, problems_digest, provenance
from workbench.readings.catalogue import find_reading
from workbench.readings.reading import Reading
from workbench.recording import Recording, record
from workbench.report.page import drawing, write_whole
from workbench.report.tables import TableWriter, to_arrow
from workbench.series import CONTROLS

FOLDER = "readings"
PAGE = "readings.html"
_KEY = b"workbench"


@dataclass(frozen=True)
class ReadingOptions:
    """Which readings are made, and how."""

    names: tuple[str, ...]
    """Of the readings, see `readings.catalogue`."""
    controls: tuple[str, ...] = tuple(CONTROLS)
    """Of `series.CONTROLS`, drawn in every figure."""
    thoughts: int | None = None
    """Number of thoughts; None for as many as the model was trained with."""
    most: int = 500
    """Problems read: of a larger set as many are drawn by the seed, since all their activations are held at once."""
    seed: int = 0
    batch_size: int = 64


def write_readings(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    directory: Path,
    options: ReadingOptions,
    *,
    explorer: str = "http://localhost:8501",
    problem_set: str = "",
    on_problems: Callable[[int], None] | None = None,
    on_reading: Callable[[str], None] | None = None,
) -> Path:
    """Write the readings of a checkpoint into a report's directory, or go on with those of an interrupted run.

    A table that is there already, from the same inputs, is not made again.

    Args:
        checkpoint: What to read.
        problems: What to ask it.
        directory: Of the report.
        options: See there.
        explorer: Address of the explorer, which points of a figure open.
        problem_set: Name of the set there.
        on_problems: Called with the number of problems recorded since the last call, of the model and each control.
        on_reading: Called with the title of each reading before it is made.

    Returns:
        The page to open.

    Raises:
        WorkbenchError: There is no such reading or control, or there is no problem.
    """
    readings = [find_reading(name) for name in options.names]
    kept = drawn(problems, options.most, options.seed)
    origin = provenance(options.seed)
    shared = {
        "weights": checkpoint_digest(checkpoint),
        "problems": problems_digest(kept),
        "controls": list(options.controls),
        "thoughts": checkpoint.thoughts if options.thoughts is None else options.thoughts,
        **asdict(origin),
    }
    (directory / FOLDER).mkdir(parents=True, exist_ok=True)
    recordings: list[Recording] = []
    sections = []
    for reading in readings:
        path = directory / FOLDER / f"{reading.name}.parquet"
        inputs: dict[str, object] = {**shared, "schema": reading.schema}
        if on_reading:
            on_reading(reading.title)
        if not _made(path, inputs):
            if not recordings:
                recordings = _recordings(checkpoint, kept, options, on_problems)
            with TableWriter(path, reading.schema, inputs) as writer:
                writer.write(to_arrow(reading.frame(recordings)))
        sections.append(_section(reading, pl.read_parquet(path)))
    environment = Environment(
        loader=PackageLoader("workbench.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    html = environment.get_template("readings.html.jinja").render(
        title=f"Readings of {checkpoint.name}",
        sections=sections,
        controls=[CONTROLS[name] for name in options.controls],
        count=len(kept),
        total=len(problems),
        link=f"{explorer.rstrip('/')}/?{urlencode({'run': checkpoint.name, 'set': problem_set})}",
        origin=asdict(origin),
    )
    write_whole(directory / PAGE, html)
    return directory / PAGE


def drawn(problems: Sequence[Problem], most: int, seed: int) -> list[Problem]:
    """Return the problems, of a larger set as many as asked for, drawn by the seed, in their order."""
    if len(problems) <= most:
        return list(problems)
    chosen = np.random.default_rng(seed).choice(len(problems), most, replace=False)
    return [problems[i] for i in np.sort(chosen)]


def _recordings(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    options: ReadingOptions,
    on_progress: Callable[[int], None] | None,
) -> list[Recording]:
    own = record(
        checkpoint, problems, options.thoughts,
        batch_size=options.batch_size, continuations=True, on_progress=on_progress,
    )  # fmt: skip
    others = record_controls(
        own, options.controls, options.seed, batch_size=options.batch_size, on_progress=on_progress
    )
    return [own, *others]


def _made(path: Path, inputs: dict[str, object]) -> bool:
    """Return whether a table is there that was made from the same inputs."""
    if not path.exists():
        return False
    held = (pq.read_schema(path).metadata or {}).get(_KEY, b"{}")
    return json.loads(held) == json.loads(json.dumps(inputs))


def _section(reading: Reading, frame: pl.DataFrame) -> dict[str, object]:
    return {
        "name": reading.name,
        "title": reading.title,
        "question": reading.question,
        "source": reading.source,
        "chance": reading.chance,
        "rows": len(frame),
        "drawn": [drawing(made) for made in reading.figures(frame)],
    }
