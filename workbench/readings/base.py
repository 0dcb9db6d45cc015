"""What a reading is, and the columns that the tables of all readings share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int

from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure


@dataclass(frozen=True)
class Reading:
    """A question about the thoughts of a model on a whole problem set.

    `frame` computes a table and `figures` draws it; notebooks, explorer and report need nothing else.

    Examples:
        >>> from workbench.readings import find_reading
        >>> find_reading("breadth").question
        'Is there mass on the candidates, on how many of them, and is the likeliest a right one more often than chance?'
    """

    name: str
    """Key in commands and addresses, and the name of the Parquet file."""
    title: str
    """On the screen."""
    question: str
    """One sentence that ends with a question mark."""
    source: str
    """Where it was published: paper, section, figure or table."""
    chance: str
    """The chance level, or why there is none and which control replaces it."""
    schema: int
    """Version of the columns of `frame`."""
    frame: Callable[[Sequence[Any]], pl.DataFrame]
    """From recordings of the same problems (the model's own first, then its controls) to a table with the column
    `run_labels.RUN`, and `problem` (id) where a row is about one problem. A recording is a `recording.Recording`; for
    readings of `ITEM_READINGS` an `arithmetic.ItemRecording`."""
    figures: Callable[[pl.DataFrame], list[Any]]
    """From that table to plotly figures, the model and its controls in the same axes. A point about one problem has
    `customdata[0]` = its id."""


_COUNTS = (
    "column", "edge", "edges", "fed_hop", "frontier_size", "head", "hop", "hop_read", "layer", "next_hop", "size",
    "steps", "thought",
)  # fmt: skip
"""Columns of 16-bit integers; a negative number stands for "none" and becomes null."""


def rows(recording: Recording, at: Int[np.ndarray, " rows"], columns: Mapping[str, Any]) -> pl.DataFrame:
    """Return rows of a reading's table: the columns run, problem and graph, then others.

    Args:
        recording: What the rows are read from.
        at: For each row, the number of its problem in the recording.
        columns: By name, one value for each row (an array of any shape, read row by row; a series; a list of texts), or
            one value for all rows. nan becomes null; so do negative numbers in columns of counts such as `head` or
            `hop`.
    """
    ids, graphs = (np.array([getattr(p, name) for p in recording.problems], object) for name in ("id", "graph"))
    given = {RUN: recording.label, "problem": ids[at], "graph": graphs[at], **columns}
    made = {name: _column(name, values, len(at)) for name, values in given.items()}
    return pl.DataFrame(made).with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))


def _column(name: str, values: Any, count: int) -> pl.Series:
    if isinstance(values, pl.Series):
        return values
    if not isinstance(values, (np.ndarray, list)):
        values = [values] * count if isinstance(values, str) else np.full(count, values)
    if isinstance(values, list) or values.dtype == object:
        return pl.Series(list(values), dtype=pl.String)
    if name in _COUNTS:
        counted = pl.Series(values.ravel(), dtype=pl.Int16)
        return counted.set(counted < 0, None)
    return pl.Series(values.ravel())


def named(names: Sequence[str], codes: Int[np.ndarray, " rows"]) -> pl.Series:
    """Return a column of names from their numbers, with the names as its categories."""
    return pl.Series(np.array(names, dtype=object)[codes], dtype=pl.Enum(names))


def steps(recording: Recording) -> Int[np.ndarray, " n"]:
    """Return the number of hops from root to target of each problem."""
    return np.array([structure(problem).length for problem in recording.problems])


def hops_read(recording: Recording) -> list[int]:
    """Return the hop that each of thoughts 1..K stands for."""
    return [recording.traces[0].hop(k) for k in range(1, recording.count + 1)]
