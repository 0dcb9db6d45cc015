"""Geometry of thoughts: lengths, angles, dimensionality, and a map of all thoughts in two dimensions.

Lengths against token embeddings are the question of issue 29 of facebookresearch/coconut: a thought is fed where an
embedding is expected, and comes out of the final norm, whose gain sets its length.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from workbench.figures.layers import geometry_figures
from workbench.interventions.thoughts import exchanged
from workbench.measure.recording import Recording
from workbench.measure.statistics import (
    effective_rank,
    jackknife,
    noise_like,
    participation_ratio,
    principal_map,
    variances,
)
from workbench.readings.base import Reading, rows, steps

MEASURES = {"effective_rank": effective_rank, "participation_ratio": participation_ratio}
"""Measures of dimensionality by name."""


def geometry_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought).

    Columns: run, problem, steps, right, thought; norm (length of the thought), concept_norm (mean length of the
    embeddings of the problem's concepts); cosine_before (to the same problem's thought k - 1), cosine_before_other (to
    another problem's thought k - 1), cosine_between (to another problem's thought k); x, y (place on the map of all
    thoughts of all problems of the run), map_share and map_share_chance (share of the variance on its two axes, and
    that of random directions of the same lengths). Then, the same for all problems: effective_rank and
    participation_ratio of the set of thoughts k about its mean, with `_low` and `_high` (jackknife over problems),
    `_chance` (of as many random directions of the same lengths) and `_embeddings` (of the embeddings of all concepts
    that the problems name). null where undefined.
    """
    return pl.concat([_of(recording, seed) for recording in recordings])


def _of(recording: Recording, seed: int) -> pl.DataFrame:
    thoughts = recording.thoughts.astype(np.float64)
    n, count, width = thoughts.shape
    flat = thoughts.reshape(-1, width)
    places, share = principal_map(flat)
    spread = [_spread(recording, thoughts[:, k], seed) for k in range(count)]
    at, k = (axis.ravel() for axis in np.indices((n, count)))
    columns = {
        "steps": steps(recording)[at],
        "right": recording.right[at],
        "thought": k + 1,
        **_single(recording, thoughts, seed),
        "x": places[:, 0],
        "y": places[:, 1],
        "map_share": share,
        "map_share_chance": principal_map(noise_like(flat, seed))[1],
        **{name: np.array([of_set[name] for of_set in spread])[k] for name in spread[0]},
    }
    return rows(recording, at, columns)


def _single(
    recording: Recording, thoughts: Float[np.ndarray, "n K d"], seed: int
) -> dict[str, Float[np.ndarray, "n K"]]:
    """Return the numbers of single thoughts; nan where there is no thought before, or no other problem."""
    n, count, _ = thoughts.shape
    length = np.linalg.norm(thoughts, axis=2)
    unit = thoughts / length[..., None]
    other = unit[exchanged(n, seed)] if n > 1 else np.full_like(unit, np.nan)
    none, embedded = np.full((n, 1), np.nan), np.linalg.norm(recording.embedding, axis=1)
    concepts = zip(recording.first_tokens, recording.is_concept, strict=True)
    concept = np.array([embedded[tokens[mask]].mean() for tokens, mask in concepts], dtype=np.float64)
    return {
        "norm": length,
        "concept_norm": np.repeat(concept[:, None], count, 1),
        "cosine_before": np.concatenate([none, (unit[:, 1:] * unit[:, :-1]).sum(2)], 1),
        "cosine_before_other": np.concatenate([none, (unit[:, 1:] * other[:, :-1]).sum(2)], 1),
        "cosine_between": (unit * other).sum(2),
    }


def _spread(recording: Recording, vectors: Float[np.ndarray, "n d"], seed: int) -> dict[str, float]:
    """Return the spread of one thought over problems, of noise like it, and of the concepts' embeddings."""
    named = np.unique(recording.first_tokens[recording.is_concept])
    noise, embedded = variances(noise_like(vectors, seed)), variances(recording.embedding[named].astype(np.float64))
    found: dict[str, float] = {}
    for name, made in jackknife(vectors, MEASURES).items():
        found |= {name: made.value, f"{name}_low": made.low, f"{name}_high": made.high}
        found |= {f"{name}_chance": MEASURES[name](noise), f"{name}_embeddings": MEASURES[name](embedded)}
    return found


GEOMETRY = Reading(
    name="geometry",
    title="Geometry of thoughts",
    question="How long are thoughts, how alike, and over how many dimensions do they spread?",
    source="facebookresearch/coconut, issue 29 (lengths); Roy & Vetterli 2007 (effective rank)",
    chance="Lengths: embeddings of the problem's concepts; cosines: thoughts of another problem; spread: random "
    "directions of the same lengths.",
    schema=1,
    frame=geometry_frame,
    figures=geometry_figures,
)
