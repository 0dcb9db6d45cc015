"""Geometry of thoughts: lengths, angles, effective rank, and a map of all thoughts in two dimensions.

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
from workbench.measure.run_labels import RUN
from workbench.measure.statistics import (
    bootstrap_mean,
    effective_rank,
    jackknife,
    noise_like,
    participation_ratio,
    principal_map,
    variances,
)
from workbench.problems.graph import structure
from workbench.readings.base import Reading

MEASURES = {"effective_rank": effective_rank, "participation_ratio": participation_ratio}
"""Measures of spread by name."""


def frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
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


def geometry_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return means and spreads, one row per (run, thought, statistic): what a curve over training is drawn of.

    Columns: run, thought, statistic, value, low, high, n (problems), chance. The chance of norm is the mean
    length of the concepts' embeddings, that of cosine_before the cosine to another problem's thought k - 1, that of
    cosine_between 0 (random directions), those of the two spreads the spread of random directions of the same lengths.
    """
    rows = frame(recordings, seed)
    beside = {"norm": "concept_norm", "cosine_before": "cosine_before_other", "cosine_between": None}
    found = []
    for (run, thought), part in rows.group_by(RUN, "thought", maintain_order=True):
        for name, chance in beside.items():
            made = bootstrap_mean(part[name].fill_null(float("nan")).to_numpy(), seed=seed)
            level = 0.0 if chance is None else part[chance].mean()
            found.append((run, thought, name, made.value, made.low, made.high, made.n, level))
        for name in MEASURES:
            ends = (part[f"{name}{end}"][0] for end in ("", "_low", "_high"))
            found.append((run, thought, name, *ends, len(part), part[f"{name}_chance"][0]))
    types = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64, "chance": pl.Float64}
    schema = {RUN: pl.String, "thought": pl.Int16, "statistic": pl.String, **types}
    return pl.DataFrame(found, schema, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


def _of(recording: Recording, seed: int) -> pl.DataFrame:
    thoughts, problems = recording.thoughts.astype(np.float64), recording.problems
    n, count, width = thoughts.shape
    flat = thoughts.reshape(-1, width)
    places, share = principal_map(flat)
    spread = [_spread(recording, thoughts[:, k], seed) for k in range(count)]
    ids, steps = [problem.id for problem in problems], [structure(problem).length for problem in problems]
    return pl.DataFrame(
        {
            RUN: pl.Series([recording.label] * (n * count), dtype=pl.String),
            "problem": pl.Series(np.repeat(np.array(ids, object), count), dtype=pl.String),
            "steps": pl.Series(np.repeat(steps, count), dtype=pl.Int16),
            "right": np.repeat(recording.right, count),
            "thought": pl.Series(np.tile(np.arange(1, count + 1), n), dtype=pl.Int16),
            **{name: values.ravel() for name, values in _single(recording, thoughts, seed).items()},
            "x": places[:, 0],
            "y": places[:, 1],
            "map_share": np.full(n * count, share),
            "map_share_chance": np.full(n * count, principal_map(noise_like(flat, seed))[1]),
            **{name: np.tile([of_set[name] for of_set in spread], n) for name in spread[0]},
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))


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


READING = Reading(
    name="geometry",
    title="Geometry of thoughts",
    question="How long are thoughts, how alike, and over how many dimensions do they spread?",
    source="facebookresearch/coconut, issue 29 (lengths); Roy & Vetterli 2007 (effective rank)",
    chance="Lengths: embeddings of the problem's concepts; cosines: thoughts of another problem; spread: random "
    "directions of the same lengths.",
    schema=1,
    frame=frame,
    figures=geometry_figures,
)
