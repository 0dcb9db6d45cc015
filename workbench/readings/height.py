"""Height against value: are candidates near a leaf told apart better, and is value a matter of height alone?"""

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from workbench.figures.values import HEIGHTS, correlation_by_thought, separation_by_height, value_by_height
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.measure.scores import READOUTS, node_scores, scores_frame
from workbench.readings.base import Reading


def height_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, readout, number of thoughts, candidate): the nodes at the hop read.

    Columns: run, problem, readout, thought, hop_read, node, name, height_longest, height_shortest, reaches_target,
    optimal (on a shortest path to the target), raw, value (normalised over the problem's concepts), chance (of either,
    uniform over the concepts).
    """
    columns = ("problem", "readout", "thought", "hop_read", "node", "name", *HEIGHTS, "reaches_target")
    return pl.concat(
        scores_frame(node_scores(trace, readout) for readout in READOUTS for trace in recording.traces)
        .filter("on_frontier")
        .select(
            pl.lit(recording.label).alias(RUN),
            *columns,
            (pl.col("class").cast(pl.String) == "optimal").alias("optimal"),
            "raw",
            "value",
            "chance",
        )
        for recording in recordings
    )


def height_figures(frame: pl.DataFrame) -> list[go.Figure]:
    """Return value and separation by each of the two heights, for each readout, and the correlation by thought."""
    drawn = [
        draw(frame, readout, height)
        for readout in READOUTS
        for height in HEIGHTS
        for draw in (value_by_height, separation_by_height)
    ]
    return [*drawn, correlation_by_thought(frame)]


READING = Reading(
    "height",
    "Height against value",
    "Are candidates with a short way to a leaf told apart better: those that reach the target from those that do not?",
    "Coconut, arXiv 2412.06769, v3, section 4.4, figure 7 (v1: figure 9); figure 5 has the other height",
    "Value: uniform over the problem's concepts. Separation (area under the ROC curve): 0.5. Rank correlation: 0.",
    1,
    height_frame,
    height_figures,
)
