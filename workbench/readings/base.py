"""What a reading is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from workbench.measure.recording import Recording


@dataclass(frozen=True)
class Reading:
    """A question put to the thoughts of a whole problem set.

    `frame` and `figures` are all that notebooks, explorer and report need: the first reads, the second draws.
    """

    name: str
    """Key in commands, addresses, and the name of its Parquet file."""
    title: str
    """On the screen."""
    question: str
    """What it asks, in one sentence that ends with a question mark."""
    source: str
    """Where it was published: paper, section, figure or table."""
    chance: str
    """What its chance level is, or why there is none and which control stands for it."""
    schema: int
    """Version of the columns of `frame`."""
    frame: Callable[[Sequence[Recording]], pl.DataFrame]
    """From recordings of the same problems (the model's own first, then its controls) to a table with the column
    `series.RUN`, and `problem` (id) where a row is about one problem."""
    figures: Callable[[pl.DataFrame], list[Any]]
    """From that table to plotly figures, the model and its controls in the same axes. A point about one problem has
    `customdata[0]` = its id."""
