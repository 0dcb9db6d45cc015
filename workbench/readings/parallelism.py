"""How many candidates share the value: that of the best, the two best, the three best, over the problem set."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.values import parallelism
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.measure.scores import READOUTS, NodeScores, node_scores
from workbench.readings.base import Reading

TOP = (1, 2, 3)
"""How many of the likeliest candidates are summed."""


def parallelism_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, readout, number of thoughts) that has candidates: nodes at the hop read.

    Columns: run, problem, readout, thought, hop_read, frontier_size; top1, top2, top3: raw value of the candidates with
    the largest, two and three largest values, summed (of all, where there are fewer); top1_normalised, ...: the same of
    values normalised over the problem's concepts (null without mass); top1_chance, ...: of a uniform distribution over
    the concepts; candidate_mass (raw) and its chance.
    """
    return pl.concat(
        _frame(recording.label, [node_scores(trace, readout) for readout in READOUTS for trace in recording.traces])
        for recording in recordings
    )


def _frame(label: str, scores: Sequence[NodeScores]) -> pl.DataFrame:
    rows = []
    for read in scores:
        raw = _sums(read.raw, read.on_frontier)
        normalised = _sums(read.value, read.on_frontier)
        for row, k in enumerate(read.depths):
            if (size := int(read.frontier_size[row])) == 0:
                continue
            chance = [min(n, size) * read.chance_value for n in TOP]
            about = (label, read.problem.id, read.readout, k, read.hops_read[row], size)
            mass = (float(read.candidate_mass[row]), size * read.chance_value)
            rows.append((*about, *raw[row].tolist(), *normalised[row].tolist(), *chance, *mass))
    columns = {
        RUN: pl.String,
        "problem": pl.String,
        "readout": pl.Enum(READOUTS),
        "thought": pl.Int16,
        "hop_read": pl.Int16,
        "frontier_size": pl.Int16,
        **{f"top{n}{kind}": pl.Float64 for kind in ("", "_normalised", "_chance") for n in TOP},
        "candidate_mass": pl.Float64,
        "candidate_mass_chance": pl.Float64,
    }
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.selectors.float().fill_nan(None))


def _sums(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return for each row the sums of its one, two, three largest values among the members."""
    best = -np.sort(-np.where(members, values, 0), axis=1)
    return best.cumsum(1)[:, [min(n, best.shape[1]) - 1 for n in TOP]]


def parallelism_figures(frame: pl.DataFrame) -> list[go.Figure]:
    """Return a figure of raw values for each readout; `figures.parallelism` draws normalised ones too."""
    return [parallelism(frame, readout) for readout in READOUTS]


READING = Reading(
    "parallelism",
    "Parallelism",
    "Do several candidates share the value, and do fewer of them at later thoughts?",
    "Coconut, arXiv 2412.06769, v3, section 4, figure 6 (v1: figure 8)",
    "Uniform over the problem's concepts: 1, 2, 3 of them.",
    1,
    parallelism_frame,
    parallelism_figures,
)
