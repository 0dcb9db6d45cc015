"""How many dimensions a set of vectors spreads over, and a map of it in two of them."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from scipy import stats

from workbench.statistics import CONFIDENCE, Estimate

Vectors = Float[np.ndarray, "rows d"]
Variances = Float[np.ndarray, " d"]
"""Variance along each principal axis, in any order and on any scale."""

GROUPS = 20
"""Groups of the jackknife."""


def effective_rank(variances: Variances) -> float:
    """Return the exponential of the entropy of the normalised singular values (Roy & Vetterli 2007, definition 1)."""
    singular = np.sqrt(np.maximum(variances, 0))
    return float(np.exp(stats.entropy(singular))) if singular.sum() > 0 else float("nan")


def participation_ratio(variances: Variances) -> float:
    """Return (sum of variances)^2 / sum of their squares: d for a round cloud, 1 for a line (Gao et al. 2017)."""
    return float(variances.sum() ** 2 / (variances**2).sum()) if variances.sum() > 0 else float("nan")


def variances(vectors: Vectors) -> Variances:
    """Return the variances of a set about its mean along its principal axes."""
    centred = vectors - vectors.mean(0)
    return np.maximum(np.linalg.eigvalsh(centred.T @ centred / len(vectors)), 0)


def jackknife(vectors: Vectors, measures: Mapping[str, Callable[[Variances], float]]) -> dict[str, Estimate]:
    """Estimate measures of spread, with intervals from leaving out a twentieth of the rows at a time.

    A bootstrap would draw rows twice, and a set with doubles spreads over fewer dimensions; the jackknife does not.
    With fewer rows than groups, one row is left out at a time.

    Args:
        vectors: One row per problem.
        measures: `effective_rank`, `participation_ratio`, by name.
    """
    whole, groups = variances(vectors), min(GROUPS, len(vectors))
    if len(vectors) < 3:
        nan = float("nan")
        return {name: Estimate(of(whole), nan, nan, len(vectors), "jackknife") for name, of in measures.items()}
    member = np.arange(len(vectors)) % groups
    parts = [variances(vectors[member != group]) for group in range(groups)]
    found = {}
    for name, measure in measures.items():
        left_out = np.array([measure(part) for part in parts])
        error = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum())
        half, value = float(stats.norm.ppf((1 + CONFIDENCE) / 2) * error), measure(whole)
        found[name] = Estimate(value, value - half, value + half, len(vectors), "jackknife")
    return found


def principal_map(vectors: Vectors) -> tuple[Float[np.ndarray, "rows 2"], float]:
    """Return the place of each row on the two principal axes, and their share of the variance.

    Signs are fixed: the entry of each axis that is largest in size is positive.
    """
    centred = vectors - vectors.mean(0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    two = axes[:2] * np.sign(axes[:2][range(len(axes[:2])), np.abs(axes[:2]).argmax(1)])[:, None]
    share = float((singular[:2] ** 2).sum() / max((singular**2).sum(), 1e-300))
    return centred @ two.T, share


def noise_like(vectors: Vectors, seed: int) -> Vectors:
    """Return as many random directions of the same lengths."""
    drawn = np.random.default_rng(seed).standard_normal(vectors.shape)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True) * lengths
