"""The readings of a report: a Parquet table for each, and a page with their figures, controls in the same axes."""

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError, unknown
from workbench.figures.style import INK
from workbench.measure.provenance import checkpoint_digest, problems_digest, provenance
from workbench.measure.recording import record, record_controls
from workbench.measure.run_labels import CONTROLS, MODEL, OTHER_TARGET, RUN, title
from workbench.model.checkpoint import Checkpoint
from workbench.problems.files import graphs_of, task_of
from workbench.problems.problem import Item, Problem
from workbench.problems.variants import other_target
from workbench.readings import COSTS, ITEM_READINGS, READINGS, RECORDING, find_reading
from workbench.readings.arithmetic import record_items
from workbench.readings.base import Reading
from workbench.studies.artefacts import made_from, write_table
from workbench.studies.pages import drawing, write_html
from workbench.studies.report import READINGS_FOLDER as FOLDER
from workbench.studies.report import READINGS_PAGE as PAGE
from workbench.studies.report import ReportOptions

MOST_IN_LEGEND = 240
"""Characters of a legend that fit under a figure of half a page's width."""


def write_readings(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    directory: Path,
    options: ReportOptions,
    *,
    on_problems: Callable[[int], None] | None = None,
    on_reading: Callable[[str, float | None], None] | None = None,
) -> Path:
    """Write the readings of a checkpoint into a report's directory, or go on with those of an interrupted run.

    A table that is there already, from the same inputs, is not made again. A reading that these problems do not allow
    (say, a probe where one graph leaves nothing to fit on) says so in its place on the page. Thoughts cannot be
    exchanged within a set of one problem: that control is left out there.

    Args:
        checkpoint: What to read.
        problems: What to ask it.
        directory: Of the report.
        options: Which readings and controls, and how they are made.
        on_problems: Called with the number of problems recorded since the last call, of the model and each control.
        on_reading: Called before each reading is made, the cheap ones first: its title, and the seconds that it and
            those after it will take, judged by what was made before (None where nothing was).

    Returns:
        The page to open.

    Raises:
        WorkbenchError: There is no such reading or control, no problem, or no thought to read.
    """
    readings = [find_reading(name) for name in options.readings]
    require_readings(options.readings, problems)
    kept = drawn(problems, options.most, options.seed)
    count = checkpoint.thoughts if options.thoughts is None else options.thoughts
    if count == 0:
        raise WorkbenchError(
            "There are no thoughts to read.",
            f"{checkpoint.name} is run with 0 thoughts.",
            "Give --readings none, or --thoughts with a number.",
        )
    controls = possible(options.controls, kept)
    origin = provenance(options.seed)
    shared = {
        "weights": checkpoint_digest(checkpoint),
        "problems": problems_digest(kept),
        "controls": list(controls),
        "thoughts": count,
        **asdict(origin),
    }
    recordings: list[Any] = []
    sections: dict[str, dict[str, object]] = {}
    tables = {one.name: directory / FOLDER / f"{one.name}.parquet" for one in readings}
    given: dict[str, dict[str, object]] = {one.name: {**shared, "schema": one.schema} for one in readings}
    left = {one.name for one in readings if not made_from(tables[one.name], given[one.name])}
    spent = Spent()
    for reading in sorted(readings, key=lambda one: COSTS[one.name]):
        name = reading.name
        if name in left and not recordings:
            make = partial(_recordings, checkpoint, kept, count, controls, options, on_problems)
            recordings = spent.on(RECORDING, make)
        if on_reading:
            on_reading(reading.title, spent.left(left))
        make = partial(_section, reading, tables[name], given[name], recordings)
        sections[name] = spent.on(name, make) if name in left else make()
        left.discard(name)
    if on_problems and not recordings:
        on_problems(len(kept) * (1 + len(controls)))
    query = urlencode({"run": checkpoint.name, "set": options.problems.stem})
    return write_html(
        directory / PAGE,
        "readings.html",
        title=f"Readings of {checkpoint.name} on {options.problems.name}",
        sections=[sections[one.name] for one in readings],
        controls=[CONTROLS[name] for name in controls],
        left_out=[title(name) for name in options.controls if name not in controls],
        count=len(kept),
        total=len(problems),
        thoughts=count,
        supervision=str(checkpoint.supervision),
        command=_command(options, directory),
        link=f"{options.explorer.rstrip('/')}/?{query}",
        origin=asdict(origin),
        grey=INK["both"],
        report=(directory / "index.html").exists(),
    )


class Spent:
    """The time that was spent on parts of known cost, and the time that others will take by it."""

    def __init__(self) -> None:
        self.seconds = self.cost = 0.0

    def on(self, name: str, make: Callable[[], Any]) -> Any:
        """Make a part and count its time."""
        start = time.monotonic()
        made = make()
        self.seconds += time.monotonic() - start
        self.cost += COSTS[name]
        return made

    def left(self, names: Collection[str]) -> float | None:
        """Return the seconds that parts will take, None where nothing was made."""
        return self.seconds / self.cost * sum(COSTS[name] for name in names) if self.cost else None


def readings_of(problems: Sequence[Problem | Item]) -> Mapping[str, Reading]:
    """Return the readings that problems have, by name: those of graphs or those of items."""
    return ITEM_READINGS if isinstance(problems[0], Item) else READINGS


def require_readings(names: Sequence[str], problems: Sequence[Problem | Item]) -> None:
    """Refuse readings that problems do not have.

    Raises:
        WorkbenchError: One is of graphs and the problems have none, or the other way round.
    """
    known = readings_of(problems) if problems else READINGS
    if foreign := [name for name in names if name not in known]:
        raise unknown(f"reading of {task_of(problems)}", foreign[0], known, "Give some of these, all, or none.")


def possible(controls: Sequence[str], problems: Sequence[Problem | Item]) -> tuple[str, ...]:
    """Return the controls that problems allow: thoughts of others need two, another target another leaf."""
    leaf = any(isinstance(one, Problem) and other_target(one, 0) for one in problems)
    cannot = {"shuffled": len(problems) < 2, OTHER_TARGET: not leaf}
    return tuple(name for name in controls if not cannot.get(name))


def drawn(problems: Sequence[Problem | Item], most: int, seed: int) -> list[Any]:
    """Return the problems, of a larger set as many as asked for, drawn by the seed, in their order."""
    if len(problems) <= most:
        return list(problems)
    chosen = np.random.default_rng(seed).choice(len(problems), most, replace=False)
    return [problems[i] for i in np.sort(chosen)]


def _recordings(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    count: int,
    controls: Sequence[str],
    options: ReportOptions,
    on_progress: Callable[[int], None] | None,
) -> list[Any]:
    if items := [problem for problem in problems if isinstance(problem, Item)]:
        return record_items(
            checkpoint, items, count, controls=controls, seed=options.seed, batch_size=options.batch_size,
            on_progress=on_progress,
        )  # fmt: skip
    own = record(
        checkpoint, graphs_of(problems), count, batch_size=options.batch_size, continuations=True,
        on_progress=on_progress,
    )  # fmt: skip
    others = record_controls(own, controls, options.seed, batch_size=options.batch_size, on_progress=on_progress)
    return [own, *others]


def _section(reading: Reading, path: Path, inputs: dict[str, object], recordings: Sequence[Any]) -> dict[str, object]:
    """Return what the page says of a reading; its table is made unless it is there."""
    about: dict[str, object] = {
        "name": reading.name,
        "title": reading.title,
        "question": reading.question,
        "source": reading.source.rstrip("."),
        "chance": reading.chance.rstrip("."),
        "code": _code(reading.name),
    }
    try:
        if not made_from(path, inputs):
            write_table(path, reading.frame(recordings), reading.schema, inputs)
        frame = pl.read_parquet(path)
        figures = [_figure(made, f"{reading.name}-{number}") for number, made in enumerate(reading.figures(frame))]
    except WorkbenchError as error:
        return {**about, "problem": error, "figures": [], "rows": 0, "n": 0}
    n = frame.filter(pl.col(RUN) == MODEL)["problem"].n_unique()
    return {**about, "problem": None, "figures": figures, "rows": len(frame), "n": n}


def _figure(made: go.Figure, place: str) -> dict[str, object]:
    """Return a figure for the page, which draws it when it comes into view: its script waits as plain text."""
    shown = drawing(made, place)
    html = re.sub(r"<script[^>]*>", '<script type="text/plain">', shown["html"])
    return {**shown, "html": html, "wide": _wide(made)}


def _wide(made: go.Figure) -> bool:
    """Return whether a figure has more panels, or a longer legend, than half a page's width can hold."""
    traces, layout = made.to_dict()["data"], made.to_dict()["layout"]
    legend = sum(len(trace.get("name") or "") for trace in traces if trace.get("showlegend") is not False)
    return sum(key.startswith("xaxis") for key in layout) > 2 or legend > MOST_IN_LEGEND or bool(layout.get("sliders"))


def _command(options: ReportOptions, directory: Path) -> str:
    names, controls = (",".join(part) or "none" for part in (options.readings, options.controls))
    words = ["workbench report", options.run or "RUN", str(options.problems), f"--out {directory}"]
    words += [f"--readings {names}", f"--controls {controls}", f"--most {options.most}", f"--seed {options.seed}"]
    if options.thoughts is not None:
        words.append(f"--thoughts {options.thoughts}")
    return " ".join(words)


def _code(name: str) -> str:
    return (
        "import polars as pl\n"
        "from workbench.readings import find_reading\n\n"
        f'table = pl.read_parquet("{FOLDER}/{name}.parquet")\n'
        f'for figure in find_reading("{name}").figures(table):\n'
        "    figure.show()"
    )
