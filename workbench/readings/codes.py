"""What a thought is the sum of: embeddings, as theory has it, or a code that the model has made for itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.figures.superposition import explained_by_thought
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.measure.splits import folds
from workbench.readings.base import Reading
from workbench.readings.node_vectors import cross_fitted, explained, of_embeddings

SCHEMA = 1

SUMS = ("embeddings", "codes", "codes, hop before too", "codes, other graph")
"""What thoughts are predicted from, the last one a control: codes summed over the frontier of another problem."""


@dataclass(frozen=True)
class Predictions:
    """What each sum predicts of a recording's thoughts, by its name of `SUMS`; problem, thought, d."""

    thoughts: np.ndarray
    by_sum: dict[str, np.ndarray]


def predictions(recording: Recording) -> Predictions:
    """Predict every thought from its graph alone, with numbers learned from problems on other graphs.

    Raises:
        WorkbenchError: All problems share one graph.
    """
    thoughts = recording.thoughts.astype(np.float64)
    tokens, hops, embedding = recording.first_tokens, recording.hops, recording.embedding
    fold, vocab = folds(recording.problems), len(embedding)
    # Another problem's graph, of the same fold so that its codes too were learned elsewhere.
    other = np.arange(len(fold))
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        other[rows] = np.roll(rows, 1)
    made = {
        SUMS[0]: of_embeddings(thoughts, tokens, hops, embedding, fold),
        SUMS[1]: cross_fitted(thoughts, tokens, hops, vocab, fold, "frontier"),
        SUMS[2]: cross_fitted(thoughts, tokens, hops, vocab, fold, "both"),
    }
    return Predictions(thoughts, made | {SUMS[3]: made[SUMS[1]][other]})


def frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, thought, sum).

    Columns: run, problem, thought, sum (of `SUMS`), frontier_size, error (squared distance of thought and prediction),
    spread (squared distance of the thought from the mean thought). Shares of variance explained are one less the ratio
    of their sums over problems; see `figures.codes.shares`.
    """
    parts = []
    for recording in recordings:
        made = predictions(recording)
        n, count = made.thoughts.shape[:2]
        size = np.stack([(recording.hops == k).sum(1) for k in range(1, count + 1)], 1)
        for name, predicted in made.by_sum.items():
            both = explained(made.thoughts, predicted)
            parts.append(
                pl.DataFrame(
                    {
                        RUN: [recording.label] * (n * count),
                        "problem": np.repeat([problem.id for problem in recording.problems], count),
                        "thought": pl.Series(np.tile(np.arange(1, count + 1), n), dtype=pl.Int16),
                        "sum": pl.Series([name] * (n * count), dtype=pl.Enum(SUMS)),
                        "frontier_size": pl.Series(size.ravel(), dtype=pl.Int16),
                        "error": both[..., 0].ravel(),
                        "spread": both[..., 1].ravel(),
                    }
                )
            )
    return pl.concat(parts)


READING = Reading(
    "codes",
    "What a thought is the sum of",
    "How much of a thought can be predicted from its graph by adding one vector per frontier node?",
    "Theory: arXiv 2505.12514, section 4 (the vectors are the embeddings); learned vectors: the workbench's own",
    "0, what the mean thought explains; codes summed over another problem's frontier are the control.",
    SCHEMA,
    frame,
    lambda table: [explained_by_thought(table)],
)
"""See `frame`."""
