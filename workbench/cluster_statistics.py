"""Statistics over nodes whose intervals resample problems: the nodes of one problem are not independent.

Each resample draws as many problems as there are, with replacement, and takes all of a drawn problem's nodes (the
cluster bootstrap, Field & Welsh 2007). A node that is drawn twice counts as two nodes, so that every statistic is
that of a weighted sample.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from workbench.statistics import CONFIDENCE, Estimate

RESAMPLES = 1000
"""Resamples of problems: fewer than for means, since each one ranks every node anew."""

_CELLS = 4_000_000
"""Weights held at a time."""

_Statistic = Callable[[Float[np.ndarray, "resamples nodes"]], Float[np.ndarray, " resamples"]]
"""From the weights of the nodes in each resample to the statistic in each."""


def cluster_mean(values: ArrayLike, clusters: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Estimate a mean over nodes, resampling problems; `n` is the number of nodes.

    Args:
        values: One number per node.
        clusters: The problem of each, any labels.
        seed: Seed of the resampling.
        resamples: Number of resamples.
    """
    numbers, (number, _) = np.asarray(values, np.float64), _numbered(clusters)
    if len(numbers) == 0:
        return _none()
    sums, sizes = np.bincount(number, numbers), np.bincount(number).astype(float)
    drawn = _drawn(len(sizes), seed, resamples)
    return _estimate(float(numbers.mean()), (drawn @ sums) / (drawn @ sizes), len(numbers), len(sizes))


def spearman(
    first: ArrayLike, second: ArrayLike, clusters: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate Spearman's rank correlation over nodes (ties averaged), resampling problems; nan if one is constant.

    Args:
        first: One number per node.
        second: The same, in the same order.
        clusters: The problem of each, any labels.
        seed: Seed of the resampling.
        resamples: Number of resamples.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    number, count = _numbered(clusters)
    if len(np.unique(one)) < 2 or len(np.unique(two)) < 2:
        return _none(len(one))

    def of(weights: Float[np.ndarray, "resamples nodes"]) -> Float[np.ndarray, " resamples"]:
        total = weights.sum(1)
        a, b = (_ranks(part, weights) - (total[:, None] + 1) / 2 for part in (one, two))  # the mean rank is (n + 1) / 2
        both, aa, bb = ((weights * x * y).sum(1) for x, y in ((a, b), (a, a), (b, b)))
        with np.errstate(invalid="ignore", divide="ignore"):
            return both / np.sqrt(aa * bb)

    return _resampled(of, number, count, seed, resamples)


def separation(
    values: ArrayLike, positive: ArrayLike, clusters: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate the area under the ROC curve, resampling problems; nan where one of the two classes is empty.

    The chance that a positive node, drawn at random, has a larger value than a negative one, ties counted half; 0.5 is
    chance.

    Args:
        values: One number per node.
        positive: Whether each node is a positive one.
        clusters: The problem of each, any labels.
        seed: Seed of the resampling.
        resamples: Number of resamples.
    """
    numbers, is_positive = np.asarray(values, np.float64), np.asarray(positive, bool)
    number, count = _numbered(clusters)
    if is_positive.all() or not is_positive.any():
        return _none(len(numbers))

    above, below = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    below = below[np.argsort(numbers[below], kind="stable")]
    # Of the sorted negatives those before `first` are smaller than a positive node, those before `last` not larger.
    first, last = (np.searchsorted(numbers[below], numbers[above], side) for side in ("left", "right"))

    def of(weights: Float[np.ndarray, "resamples nodes"]) -> Float[np.ndarray, " resamples"]:
        positive, negative = weights[:, above], np.zeros((len(weights), len(below) + 1))
        weights[:, below].cumsum(1, out=negative[:, 1:])
        won = (positive * (negative[:, first] + negative[:, last])).sum(1) / 2  # Mann & Whitney 1947
        with np.errstate(invalid="ignore", divide="ignore"):
            return won / (positive.sum(1) * negative[:, -1])

    return _resampled(of, number, count, seed, resamples)


def _ranks(
    values: Float[np.ndarray, " nodes"], weights: Float[np.ndarray, "resamples nodes"]
) -> Float[np.ndarray, "resamples nodes"]:
    """Return the rank of each node, 1 for the smallest, ties averaged, where a node of weight w stands for w nodes."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.add.reduceat(weights[:, order], starts, axis=1)
    return (size.cumsum(1) - (size - 1) / 2)[:, group]


def _resampled(of: _Statistic, number: Int[np.ndarray, " nodes"], count: int, seed: int, resamples: int) -> Estimate:
    value = float(of(np.ones((1, len(number))))[0])
    drawn, step = _drawn(count, seed, resamples), max(1, _CELLS // len(number))
    found = np.concatenate([of(drawn[start : start + step][:, number]) for start in range(0, resamples, step)])
    return _estimate(value, found, len(number), count)


def _numbered(clusters: ArrayLike) -> tuple[Int[np.ndarray, " nodes"], int]:
    """Return the number of each node's problem, and how many problems there are."""
    labels, number = np.unique(np.asarray(clusters), return_inverse=True)
    return number, len(labels)


def _drawn(clusters: int, seed: int, resamples: int) -> Float[np.ndarray, "resamples clusters"]:
    """Return how often each problem is drawn in each resample."""
    return _counts(clusters, seed, resamples).astype(np.float64)


@lru_cache(maxsize=64)
def _counts(clusters: int, seed: int, resamples: int) -> np.ndarray:
    """Return the same, small enough to be kept: a figure asks for it again for every run, panel and line."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), resamples).astype(np.uint16)


def _estimate(value: float, found: Float[np.ndarray, " resamples"], n: int, clusters: int) -> Estimate:
    found = found[np.isfinite(found)]  # a resample may hold one class alone
    if len(found) == 0 or clusters == 1:  # one problem has no spread to resample: that is not certainty
        return Estimate(value, float("nan"), float("nan"), n, "cluster bootstrap")
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), n, "cluster bootstrap")


def _none(n: int = 0) -> Estimate:
    return Estimate(float("nan"), float("nan"), float("nan"), n, "cluster bootstrap")
