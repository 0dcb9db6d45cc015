"""How much of a thought is on the frontier, how broadly, and whether its first choice is a right one."""

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from workbench.figures.values import statistic_by_run
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.measure.scores import READOUTS, node_scores, statistics_frame
from workbench.readings.base import Reading

SHOWN = ("candidate_mass", "breadth_share", "top1_correct")
"""Statistics that are drawn; the table has all of `score_statistics.TITLES`."""


def breadth_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return `statistics_frame` with the column run: one row per (run, problem, readout, number of thoughts).

    The frontier is that of BFS depth max(k, 1) after k thoughts (arXiv 2606.12689); forced language has k = 0, the LM
    head begins at thought 1.
    """
    return pl.concat(
        statistics_frame(node_scores(trace, readout) for trace in recording.traces for readout in READOUTS).select(
            pl.lit(recording.label).alias(RUN), pl.all()
        )
        for recording in recordings
    )


def breadth_figures(frame: pl.DataFrame) -> list[go.Figure]:
    """Return candidate mass first, since the two others say nothing where it is near zero."""
    return [statistic_by_run(frame, name) for name in SHOWN]


READING = Reading(
    "breadth",
    "Breadth and chance",
    "Is there mass on the candidates, on how many of them, and is the likeliest a right one more often than chance?",
    "Observable Patterns Are Not Explanations, arXiv 2606.12689 (superposition probe)",
    "Candidate mass: uniform over the problem's concepts. Entropy / log2 N: 1, uniform over the frontier. Top "
    "candidate: a random node of the frontier.",
    1,
    breadth_frame,
    breadth_figures,
)
