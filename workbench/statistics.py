"""Intervals and paired tests over problems: no figure of a report stands without one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
"""Coverage of every interval, unless another is asked for."""
RESAMPLES = 2000
"""Bootstrap resamples: the ends then move by a few hundredths of the interval's width from seed to seed."""


@dataclass(frozen=True)
class Estimate:
    """A mean over problems with its interval."""

    value: float
    """The mean; nan where no problem defines it."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Problems behind it; those for which the statistic is undefined (nan) are left out."""
    method: str = "bootstrap"
    """How the interval was made: "bootstrap", "wilson" or, for seeds, "range"."""

    def as_dict(self) -> dict[str, float]:
        """Return value, low and high for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        """Return "0.891 [0.862, 0.917]"."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_mean(
    values: ArrayLike, *, seed: int = 0, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate a mean over problems with a percentile bootstrap interval (Efron & Tibshirani 1993).

    Resampling is over problems, so `values` holds one number per problem (or per pair of problems), never one
    per node. Where every value is 0 or every value is 1 the bootstrap has no spread to resample and would
    claim certainty: the Wilson interval takes its place, and `method` says so.

    Args:
        values: One number per problem; nan means "undefined here" and is left out.
        seed: Seed of the resampling; the same seed gives the same interval.
        confidence: Coverage, in (0, 1).
        resamples: Number of bootstrap resamples.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    if np.all(numbers == 0) or np.all(numbers == 1):
        return wilson(int(numbers.sum()), len(numbers), confidence=confidence)
    mean = float(numbers.mean())
    if np.all(numbers == numbers[0]):
        return Estimate(mean, mean, mean, len(numbers))
    interval = stats.bootstrap(
        (numbers,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // len(numbers)),  # at most 16 MB at a time
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), len(numbers))


def bootstrap_difference(
    first: ArrayLike, second: ArrayLike, *, seed: int = 0, confidence: float = CONFIDENCE
) -> Estimate:
    """Estimate the mean difference of two methods on the same problems, resampling problems.

    Where the two never differ the bootstrap would claim certainty; the interval is then that of Wilson for 0 of n
    problems, in both directions.

    Args:
        first: One number per problem; nan means "undefined here", and the problem is left out.
        second: The same, in the same order.
        seed: Seed of the resampling.
        confidence: Coverage, in (0, 1).
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    differences = differences[~np.isnan(differences)]
    if len(differences) and np.all(differences == 0):
        edge = wilson(0, len(differences), confidence=confidence).high
        return Estimate(0.0, -edge, edge, len(differences), "wilson")
    return bootstrap_mean(differences, seed=seed, confidence=confidence)


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a proportion with the Wilson score interval, which says something at 0 of n and n of n too."""
    interval = stats.binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n, "wilson")


def seed_spread(values: ArrayLike) -> Estimate:
    """Summarise one number per training seed: mean, smallest, largest, number of seeds.

    A range and not a confidence interval: three or five seeds carry no tail.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    return Estimate(float(numbers.mean()), float(numbers.min()), float(numbers.max()), len(numbers), "range")


@dataclass(frozen=True)
class PairedComparison:
    """Two methods on the same problems."""

    both: int
    """Problems that both got right."""
    only_first: int
    """Problems that only the first got right."""
    only_second: int
    """Problems that only the second got right."""
    neither: int
    """Problems that both got wrong."""
    p_value: float
    """Two-sided exact McNemar test: the binomial test on the problems they disagree about."""
    difference: Estimate
    """Accuracy of the first less accuracy of the second, bootstrapped over problems."""


def mcnemar(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> PairedComparison:
    """Compare two methods on the same problems (McNemar 1947, exact form).

    Args:
        first: Whether the first method got each problem right.
        second: The same for the second, in the same order.
        seed: Seed of the bootstrap of the difference.

    Raises:
        ValueError: If the two are of different length or empty.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"paired results need the same problems: got {a.shape} and {b.shape}")
    only_first, only_second = int((a & ~b).sum()), int((~a & b).sum())
    disagree = only_first + only_second
    p_value = float(stats.binomtest(only_first, disagree, 0.5).pvalue) if disagree else 1.0
    difference = bootstrap_difference(a, b, seed=seed)
    both, neither = int((a & b).sum()), int((~a & ~b).sum())
    return PairedComparison(both, only_first, only_second, neither, p_value, difference)
