"""Values of candidates over a problem set: breadth, parallelism, height, and behaviour by number of thoughts.

The values are those of two readouts: the LM head of a thought, and forced language after it (`measure.scores`).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.values import (
    HEIGHTS,
    accuracy_by_thoughts,
    behaviour_shares,
    correlation_by_thought,
    parallelism,
    separation_by_height,
    separation_by_thought,
    statistic_by_run,
    value_by_height,
)
from workbench.measure.behaviour import Behaviour, classify
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.measure.scores import MASSES, READOUTS, NodeScores, node_scores, scores_frame, statistics_frame
from workbench.problems.shortcuts import floor
from workbench.readings.base import Reading, steps

SHOWN = (*MASSES, "breadth_share", "top1_correct")
"""Statistics of breadth that are drawn; the table has all of `scores.TITLES`."""
TOP = (1, 2, 3)
"""How many of the likeliest candidates are summed for parallelism."""


def _scores(recording: Recording) -> Iterator[NodeScores]:
    return (node_scores(trace, readout) for readout in READOUTS for trace in recording.traces)


def _of_run(recording: Recording, *columns: str | pl.Expr) -> list[str | pl.Expr]:
    return [pl.lit(recording.label).alias(RUN), *columns]


def breadth_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return `scores.statistics_frame` with the column run: one row per (run, problem, readout, number of thoughts).

    The frontier is that of BFS depth max(k, 1) after k thoughts (arXiv 2606.12689). Forced language begins at k = 0,
    the LM head at thought 1.
    """
    return pl.concat(
        statistics_frame(node_scores(trace, readout) for trace in recording.traces for readout in READOUTS).select(
            _of_run(recording, pl.all())
        )
        for recording in recordings
    )


BREADTH = Reading(
    name="breadth",
    title="Breadth and chance",
    question="Is there mass on the candidates, on how many of them, and is the likeliest a right one more often than "
    "chance?",
    source="Observable Patterns Are Not Explanations, arXiv 2606.12689 (superposition probe)",
    chance="Candidate mass, with and without the target: uniform over the problem's concepts. Entropy / log2 N: 1, "
    "uniform over the frontier. Top candidate: a random node of the frontier.",
    schema=2,
    frame=breadth_frame,
    # Masses first: the two others say nothing where they are near zero.
    figures=lambda frame: [statistic_by_run(frame, name) for name in SHOWN],
)


def behaviour_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, number of thoughts 0..K).

    Columns: run, problem, thought, steps (hops from root to target), correct and valid (the answer forced right after
    the thoughts), choice (between the two options alone, `Trace.choice`), floor (`shortcuts.floor`), said (the
    continuation), behaviour (a value of `Behaviour`); the last two are null where the recording has no continuations.
    The steps that were thought and not written are taken to be exactly as many as the thoughts stand for (`classify`,
    prefix="exact").
    """
    rows = []
    for recording in recordings:
        _, floors = floor(recording.problems)
        for problem, trace, length, level in zip(
            recording.problems, recording.traces, steps(recording), floors.tolist(), strict=True
        ):
            right, valid, choice = trace.answer_right, trace.answer_valid, trace.choice.tolist()
            for k in range(len(right)):
                said = trace.continuations[k] if trace.continuations else None
                how = None if said is None else classify(problem, said, trace.hop(k)).value
                about = (recording.label, problem.id, problem.graph, k, int(length), bool(right[k]), bool(valid[k]))
                rows.append((*about, choice[k], level, said, how))
    columns = {
        RUN: pl.String,
        "problem": pl.String,
        "graph": pl.String,
        "thought": pl.Int16,
        "steps": pl.Int16,
        "correct": pl.Boolean,
        "valid": pl.Boolean,
        "choice": pl.Float64,
        "floor": pl.Float64,
        "said": pl.String,
        "behaviour": pl.Enum([b.value for b in Behaviour]),
    }
    return pl.DataFrame(rows, schema=columns, orient="row")


def behaviour_figures(frame: pl.DataFrame) -> list[go.Figure]:
    """Draw exact answers and forced choices by number of thoughts and, where they were recorded, the categories."""
    drawn = [accuracy_by_thoughts(frame)]
    return drawn if frame["behaviour"].null_count() else [*drawn, behaviour_shares(frame)]


BEHAVIOUR = Reading(
    name="behaviour",
    title="Behaviour by number of thoughts",
    question="What does the model answer, and what does it say on the way, when it must speak after k thoughts?",
    source="Coconut, arXiv 2412.06769, v3, section 4, figure 3 (v1: figure 5)",
    chance="Exact answer and forced choice: the floor of this set, what its best query-blind rule gets right. The "
    "categories have no chance level; the controls replace it.",
    schema=2,
    frame=behaviour_frame,
    figures=behaviour_figures,
)


def parallelism_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, readout, number of thoughts) with candidates: nodes at the hop read.

    Columns: run, problem, readout, thought, hop_read, frontier_size; top1, top2, top3: raw value of the candidates with
    the largest, two and three largest values, summed (of all, where there are fewer); top1_normalised, ...: the same of
    values normalised over the problem's concepts (null without mass); top1_chance, ...: of a uniform distribution over
    the concepts; candidate_mass (raw) and its chance.
    """
    rows = [row for recording in recordings for scores in _scores(recording) for row in _tops(recording.label, scores)]
    columns = {
        RUN: pl.String,
        "problem": pl.String,
        "graph": pl.String,
        "readout": pl.Enum(READOUTS),
        "thought": pl.Int16,
        "hop_read": pl.Int16,
        "frontier_size": pl.Int16,
        **{f"top{n}{kind}": pl.Float64 for kind in ("", "_normalised", "_chance") for n in TOP},
        "candidate_mass": pl.Float64,
        "candidate_mass_chance": pl.Float64,
    }
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.selectors.float().fill_nan(None))


def _tops(label: str, scores: NodeScores) -> Iterator[tuple]:
    """Yield the rows of one problem and readout."""
    raw, normalised = (_sums(values, scores.on_frontier) for values in (scores.raw, scores.value))
    for row, k in enumerate(scores.depths):
        if size := int(scores.frontier_size[row]):
            chance = [min(n, size) * scores.chance_value for n in TOP]
            about = (label, scores.problem.id, scores.problem.graph, scores.readout, k, scores.hops_read[row], size)
            mass = (float(scores.candidate_mass[row]), size * scores.chance_value)
            yield (*about, *raw[row].tolist(), *normalised[row].tolist(), *chance, *mass)


def _sums(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return for each row the sums of its one, two, three largest values among the members."""
    best = -np.sort(-np.where(members, values, 0), axis=1)
    return best.cumsum(1)[:, [min(n, best.shape[1]) - 1 for n in TOP]]


PARALLELISM = Reading(
    name="parallelism",
    title="Parallelism",
    question="Do several candidates share the value, and do fewer of them at later thoughts?",
    source="Coconut, arXiv 2412.06769, v3, section 4, figure 6 (v1: figure 8)",
    chance="Uniform over the problem's concepts: 1, 2, 3 of them.",
    schema=1,
    frame=parallelism_frame,
    figures=lambda frame: [parallelism(frame, readout) for readout in READOUTS],
)


def height_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, readout, number of thoughts, candidate): the nodes at the hop read.

    Columns: run, problem, readout, thought, hop_read, node, name, height_longest, height_shortest, reaches_target,
    optimal (on a shortest path to the target), raw, value (normalised over the problem's concepts), chance (of either,
    uniform over the concepts), named (whether the question of any of the recordings names the node as the target).
    """
    columns = ("problem", "graph", "readout", "thought", "hop_read", "node", "name", *HEIGHTS, "reaches_target")
    optimal = (pl.col("class").cast(pl.String) == "optimal").alias("optimal")
    asked = [(old.id, new.target) for r in recordings for old, new in zip(r.problems, r.asked, strict=True)]
    own = [(problem.id, problem.target) for problem in recordings[0].problems]
    named = pl.DataFrame(sorted({*asked, *own}), {"problem": pl.String, "node": pl.Int16}, orient="row")
    found = pl.concat(
        scores_frame(_scores(recording))
        .filter("on_frontier")
        .select(_of_run(recording, *columns, optimal, "raw", "value", "chance"))
        for recording in recordings
    )
    named = named.with_columns(named=pl.lit(True))
    return found.join(named, on=("problem", "node"), how="left", maintain_order="left").with_columns(
        pl.col("named").fill_null(False)
    )


def height_figures(frame: pl.DataFrame) -> list[go.Figure]:
    """Draw the separation of nodes that no question names, value and separation by both heights, the correlation."""
    drawn = [
        draw(frame, readout, height)
        for readout in READOUTS
        for height in HEIGHTS
        for draw in (value_by_height, separation_by_height)
    ]
    return [separation_by_thought(frame), *drawn, correlation_by_thought(frame)]


HEIGHT = Reading(
    name="height",
    title="Height against value",
    question="Are candidates with a short way to a leaf told apart better: those that reach the target from those that "
    "do not? And are they, when another target is asked for?",
    source="Coconut, arXiv 2412.06769, v3, section 4.4, figure 7 (v1: figure 9); figure 5 has the other height",
    chance="Value: uniform over the problem's concepts. Separation (area under the ROC curve): 0.5. Rank correlation: "
    "0.",
    schema=2,
    frame=height_frame,
    figures=height_figures,
)
