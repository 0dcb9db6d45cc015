"""Intervals and paired tests over problems: no figure of a report stands without one.

Statistics over nodes whose intervals resample problems: the nodes of one problem are not independent.

Each resample draws as many problems as there are, with replacement, and takes all of a drawn problem's nodes (the
cluster bootstrap, Field & Welsh 2007). A node that is drawn twice counts as two nodes, so that every statistic is
that of a weighted sample.

How many dimensions a set of vectors spreads over, and a map of it in two of them.

Means by class and thought, with intervals: the layout of tables 1 and 5 of arXiv 2505.12514.

Every node belongs to exactly one **exclusive** class at a hop, by what a search that has gone so many hops knows of it.
The paper's classes are **nested**, unions of these: frontier within reached, optimal within frontier. Its "reachable"
means reached within so many hops, and its "not reachable" also holds what would be reached later.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from workbench.measure.run_labels import RUN

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


CLUSTER_RESAMPLES = 1000
"""Resamples of problems: fewer than for means, since each one ranks every node anew."""

_CELLS = 4_000_000
"""Weights held at a time."""

_Statistic = Callable[[Float[np.ndarray, "resamples nodes"]], Float[np.ndarray, " resamples"]]
"""From the weights of the nodes in each resample to the statistic in each."""


def cluster_mean(
    values: ArrayLike, clusters: ArrayLike, *, seed: int = 0, resamples: int = CLUSTER_RESAMPLES
) -> Estimate:
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
    first: ArrayLike, second: ArrayLike, clusters: ArrayLike, *, seed: int = 0, resamples: int = CLUSTER_RESAMPLES
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
    values: ArrayLike, positive: ArrayLike, clusters: ArrayLike, *, seed: int = 0, resamples: int = CLUSTER_RESAMPLES
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


EXCLUSIVE = ("optimal", "off the path", "reached before", "reached later", "never reached")
"""Exclusive classes at a hop, in the order of the codes of `class_codes`."""
WALK = "walk frontier"
"""What a walk of exactly so many edges reaches: the paper's notebook takes this for the frontier."""
NESTED: dict[str, tuple[str, ...]] = {
    "not reached": EXCLUSIVE[3:],
    "reached": EXCLUSIVE[:3],
    "frontier": EXCLUSIVE[:2],
    WALK: (WALK,),
    "optimal": EXCLUSIVE[:1],
}
"""The paper's classes in its order, and the walk frontier: name, and the classes of a table that it joins."""
APART: dict[str, tuple[str, ...]] = {name: (name,) for name in EXCLUSIVE}
"""The exclusive classes, each by itself."""
CLASS_TITLES = {
    "not reached": "not reached",
    "reached": "reached",
    "frontier": "frontier",
    WALK: "frontier, by walks",
    "optimal": "optimal",
    "off the path": "frontier, off the path",
    "reached before": "reached before",
    "reached later": "reached later",
    "never reached": "never reached",
}
"""Names on the screen."""


def class_codes(
    hops: Int[np.ndarray, "*shape"], at: int, is_optimal: Bool[np.ndarray, "*shape"]
) -> Int[np.ndarray, "*shape"]:
    """Return each node's exclusive class at a hop as an index into `EXCLUSIVE`, -1 where there is no node.

    Args:
        hops: BFS depth from the root, -1 for unreachable, -2 where there is no node (`Recording.hops`).
        at: The hop: nodes at it are the frontier.
        is_optimal: Whether the node (for edges: the edge) continues a shortest path to the target; counts on the
            frontier alone.
    """
    here = hops == at
    missing, before, later = hops < -1, (hops >= 0) & (hops < at), hops > at
    return np.select([missing, here & is_optimal, here, before, later], [-1, 0, 1, 2, 3], default=4)


def class_means(
    table: pl.DataFrame,
    value: str,
    weight: str,
    by: Sequence[str] = (RUN, "thought"),
    classes: Mapping[str, Sequence[str]] = NESTED,
    *,
    seed: int = 0,
) -> pl.DataFrame:
    """Return means over all edges or nodes of a class, pooled over problems as the paper does, with intervals.

    The interval is a percentile bootstrap (Efron & Tibshirani 1993) over problems, whose edges stay together: edges of
    one problem are no independent draws.

    Args:
        table: One row per (`by`, problem, class): mean `value` over `weight` edges or nodes, their standard deviation
            `spread`, and `chance`.
        value: Column of the means.
        weight: Column of the counts.
        by: What to keep apart besides the class.
        classes: `NESTED`, or `APART`.
        seed: Seed of the resampling.

    Returns:
        One row per (`by`, class), classes in the order given: value, low, high, spread (standard deviation over edges
        or nodes, the paper's ±), chance (mean over the same), n (problems that have such edges or nodes), items. Low
        and high are null where n is 1.
    """
    problems = table["problem"].unique(maintain_order=True)
    draws = np.random.default_rng(seed).multinomial(
        len(problems), np.full(len(problems), 1 / max(len(problems), 1)), size=RESAMPLES
    )
    number = pl.DataFrame({"problem": problems, "_row": np.arange(len(problems))})
    mean, count, parts = pl.col(value).cast(pl.Float64), pl.col(weight), []
    summed = table.with_columns(pl.col("class").cast(pl.String)).join(number, on="problem")
    for name, members in classes.items():
        kept = summed.filter(pl.col("class").is_in(list(members)) & (count > 0))
        for key, rows in kept.group_by(*by, maintain_order=True):
            each = rows.group_by("_row", maintain_order=True).agg(
                total=(mean * count).sum(),
                square=((mean**2 + pl.col("spread") ** 2) * count).sum(),
                even=(pl.col("chance") * count).sum(),
                items=count.cast(pl.Int64).sum(),
            )
            weights = draws[:, each["_row"].to_numpy()].astype(np.float64)
            totals, items = weights @ each["total"].to_numpy(), weights @ each["items"].to_numpy()
            means = totals[items > 0] / items[items > 0]  # a resample without any such problem says nothing
            ends = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
            low, high = ends if len(each) > 1 else (None, None)  # one problem has no spread, which is no certainty
            size = int(each["items"].sum())
            middle, square, even = (float(each[column].sum()) / size for column in ("total", "square", "even"))
            parts.append(
                dict(zip(by, key, strict=True)) | {
                    "class": name, "value": middle, "low": low, "high": high,
                    "spread": max(square - middle**2, 0.0) ** 0.5, "chance": even, "n": len(each), "items": size,
                }
            )  # fmt: skip
    return pl.DataFrame(parts, infer_schema_length=None)


def in_columns(means: pl.DataFrame, digits: int = 2) -> pl.DataFrame:
    """Return one run's means in the paper's layout: rows by class, columns thought 1..K, cells as text."""
    shown = [pl.col(name).round(digits).cast(pl.String).fill_null("-") for name in ("value", "low", "high", "spread")]
    cells = means.with_columns(cell=pl.format("{} [{}, {}] ± {}", *shown))
    return cells.pivot("thought", index=[RUN, "class"], values="cell", maintain_order=True)


def within_problems(
    table: pl.DataFrame,
    value: str,
    weight: str,
    by: Sequence[str] = (RUN, "thought"),
    pair: tuple[str, str] = ("optimal", "off the path"),
    *,
    seed: int = 0,
) -> pl.DataFrame:
    """Return how much two classes differ inside the same problem, beside their difference pooled as published.

    Pooling confounds: a problem with one frontier edge gives it all the attention there is, and that edge is optimal; a
    problem with six shares the attention out, and five are not. So optimal edges get more in the pooled table even
    where every problem treats its edges alike. Only the difference within problems says that the path is preferred.

    Args:
        table: As for `class_means`.
        value: Column of the means.
        weight: Column of the counts.
        by: What to keep apart.
        pair: Two classes of the table; the second is subtracted from the first.
        seed: Seed of the bootstrap.

    Returns:
        One row per `by`: pooled (difference of the pooled means), and the mean difference within problems that have
        both: value, low, high, n.
    """
    keys, found = [*by, "problem"], []
    first, second = (table.filter(pl.col("class").cast(pl.String) == name) for name in pair)
    both = first.join(second.select(*keys, value), on=keys, suffix="_second", maintain_order="left")
    pooled = []
    for part in (first, second):
        total = (pl.col(value).cast(pl.Float64) * pl.col(weight)).sum() / pl.col(weight).sum()
        pooled.append({row[:-1]: row[-1] for row in part.group_by(by, maintain_order=True).agg(total).iter_rows()})
    for key, rows in both.group_by(by, maintain_order=True):
        estimate = bootstrap_mean((rows[value] - rows[f"{value}_second"]).to_numpy(), seed=seed)
        of_pool = pooled[0][key] - pooled[1][key]
        found.append(dict(zip(by, key, strict=True)) | {"pooled": of_pool} | estimate.as_dict() | {"n": estimate.n})
    return pl.DataFrame(found)
