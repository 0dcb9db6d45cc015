"""The path edge → thought → answer: what attention to each edge writes into each thought, and into the answer.

Thought k is made from edges that leave the hop before its own. For each edge and thought: how much the heads attend to
the edge's tokens, and what they write from there towards the edge's own target (its logit less the mean of the other
concepts).
Read along the optimal edges this is the route root → ... → target with the weight of each step. It is direct: what
layers write that later layers read in turn is not followed; `edge_knockout` says whether the answer rests on it.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Int

from workbench.figures.attention import edge_path_figures
from workbench.measure.class_means import EXCLUSIVE
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.readings.attention_by_class import edge_codes
from workbench.readings.base import Reading
from workbench.readings.direct_attribution import attribute

AT_ANSWER = ("into the target", "into the negative", "into others")
"""Classes of edges where the answer is named."""
CLASSES = (*EXCLUSIVE, *AT_ANSWER)


def frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought or answer, edge).

    Columns: run, problem, right, thought (the one that is made; null where the answer is named), edge (its number in
    the problem), source, target (names), class (of its source as the thought is made, as in `attention_by_class`; for
    the answer `AT_ANSWER`), attention (to the edge's tokens, mean over all heads), written (logits that this attention
    writes towards the edge's own target less the mean of the other concepts; for the answer towards target less
    negative).
    """
    return pl.concat([_of(recording, seed) for recording in recordings])


def route(table: pl.DataFrame, problem: str) -> pl.DataFrame:
    """Return the optimal edges of one problem, root first: a row per (run, thought, edge).

    Columns: run, thought, source, target, attention, written, rank (among all edges of the problem by what is written,
    1 is the most), edges (how many there are).
    """
    rows = table.filter((pl.col("problem") == problem) & pl.col("thought").is_not_null())
    ranked = rows.with_columns(
        rank=pl.col("written").rank("min", descending=True).over(RUN, "thought").cast(pl.Int32),
        edges=pl.len().over(RUN, "thought").cast(pl.Int32),
    )
    return ranked.filter(pl.col("class") == "optimal").select(
        RUN, "thought", "source", "target", "attention", "written", "rank", "edges"
    )


def _of(recording: Recording, seed: int) -> pl.DataFrame:
    found, count = attribute(recording, seed=seed), recording.count
    written = np.concatenate([found.edges, found.answer_edges[:, None]], 1)
    columns = [*range(count), count + 1]  # those that make thoughts 1..K, and the one that names the answer
    attention = recording.attention[:, columns].mean((2, 3))
    code = np.stack(
        [*(edge_codes(recording, recording.traces[0].hop(k)) for k in range(1, count + 1)), _answer_codes(recording)], 1
    )
    there = np.broadcast_to(recording.is_edge[:, None], written.shape)
    row, place, edge = np.nonzero(there)
    names = [np.array(problem.names, object) for problem in recording.problems]
    ends = recording.edges[row, edge]
    thoughts = pl.Series([*range(1, count + 1), None], dtype=pl.Int16)
    ids = np.array([problem.id for problem in recording.problems], object)
    return pl.DataFrame(
        {
            RUN: pl.Series([recording.label] * len(row), dtype=pl.String),
            "problem": pl.Series(ids[row], dtype=pl.String),
            "right": recording.right[row],
            "thought": thoughts.gather(place),
            "edge": pl.Series(edge, dtype=pl.Int16),
            "source": pl.Series([names[i][node] for i, node in zip(row, ends[:, 0], strict=True)], dtype=pl.String),
            "target": pl.Series([names[i][node] for i, node in zip(row, ends[:, 1], strict=True)], dtype=pl.String),
            "class": pl.Series(np.array(CLASSES, object)[code[there]], dtype=pl.Enum(CLASSES)),
            "attention": attention[there],
            "written": written[there],
        }
    ).with_columns(pl.col(pl.Float32).fill_nan(None))


def _answer_codes(recording: Recording) -> Int[np.ndarray, "n edges"]:
    target = np.array([problem.target for problem in recording.problems])[:, None]
    negative = np.array([problem.negative for problem in recording.problems])[:, None]
    into = recording.edges[..., 1]
    return len(EXCLUSIVE) + np.select([into == target, into == negative], [0, 1], default=2)


READING = Reading(
    name="edge_path",
    title="Edge, thought, answer",
    question="Along which edges does a thought come about, and does the route lead to the answer?",
    source="Attention with what it writes: Kobayashi et al. 2020, arXiv 2004.10102; per edge and thought, none known",
    chance="The mean over all edges of the problem.",
    schema=1,
    frame=frame,
    figures=edge_path_figures,
)
