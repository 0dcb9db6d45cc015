"""From a checkpoint and problems to a report, a part of the problems at a time."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from workbench.errors import WorkbenchError
from workbench.measure.evaluate import results_frame
from workbench.measure.provenance import checkpoint_digest, problems_digest, provenance
from workbench.measure.scores import READOUTS, node_scores, scores_frame, statistics_frame
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.studies.pages import write_page
from workbench.studies.shards import Shards
from workbench.studies.tables import SCHEMAS, traces_frame


@dataclass(frozen=True)
class Options:
    """How a report is made."""

    run: str = ""
    """The checkpoint as the user named it; shown on the page."""
    problems: Path = Path("problems.json")
    """The file the problems came from; the explorer knows its set by the file's name."""
    thoughts: int | None = None
    """Number of thoughts; None for as many as the model was trained with."""
    seed: int = 0
    """Of the rewrites drawn and of the bootstrap."""
    shard: int = 128
    """Problems that are run and saved at a time: what an interruption can cost, and what memory holds."""
    batch_size: int = 64
    """Problems run at a time."""
    explorer: str = "http://localhost:8501"
    """Address of the explorer that the problem table links to."""
    readings: bool = False
    """Whether the page links to that of the readings, which `report.readings.write_readings` makes beside it."""


def write_report(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    directory: Path,
    options: Options,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Path:
    """Write a report, or go on with one that was interrupted.

    The same checkpoint, problems, options, versions and number of threads give the same bytes in the tables, in one
    go or in several.

    Args:
        checkpoint: What to run.
        problems: What to ask it.
        directory: Where to; made if it is not there.
        options: See there.
        overwrite: Whether another report in the directory may be replaced.
        on_progress: Called with the number of problems done since the last call.

    Returns:
        The page to open.

    Raises:
        WorkbenchError: There is no problem, or the directory holds something else.
    """
    if not problems:
        raise WorkbenchError("There is nothing to report on.", "The list of problems is empty.", "Give some problems.")
    if not options.explorer.startswith(("http://", "https://")):
        raise WorkbenchError(
            f'"{options.explorer}" is no address of an explorer.',
            "It does not begin with http:// or https://.",
            "Give the address that your browser shows, such as http://localhost:8501.",
        )
    thoughts = checkpoint.thoughts if options.thoughts is None else options.thoughts
    origin = provenance(options.seed)
    inputs = {
        "checkpoint": checkpoint.name,
        "weights": checkpoint_digest(checkpoint),
        "problems": problems_digest(problems),
        "thoughts": thoughts,
        "shard": options.shard,
        "batch size": options.batch_size,
        "schema versions": SCHEMAS,
        **asdict(origin),
    }
    shards = Shards(directory, inputs, overwrite=overwrite)
    parts = range(0, len(problems), options.shard)
    if shards.complete:
        if on_progress:
            on_progress(len(problems))
    else:
        for number, start in enumerate(parts):
            part = problems[start : start + options.shard]
            shards.make(number, lambda part=part: _tables(checkpoint, part, thoughts, options))
            if on_progress:
                on_progress(len(part))
        shards.join(len(parts))
    return write_page(
        directory, checkpoint.name, options.run, options.problems, origin, options.explorer,
        readings=options.readings and thoughts > 0,
    )  # fmt: skip


def _tables(
    checkpoint: Checkpoint, problems: Sequence[Problem], thoughts: int, options: Options
) -> dict[str, pl.DataFrame]:
    traces = list(run(checkpoint, problems, thoughts, options.batch_size))
    readouts = READOUTS if thoughts else ("forced_language",)  # without thoughts there is none to read
    scores = [node_scores(trace, readout) for trace in traces for readout in readouts]
    return {
        "problems": results_frame(checkpoint, traces, options.seed, batch_size=options.batch_size),
        "traces": traces_frame(traces),
        "scores": scores_frame(scores),
        "statistics": statistics_frame(scores),
    }
