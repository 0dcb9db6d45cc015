"""Estimates with intervals, paired tests and a logistic fit: the statistics of every table and figure.

`resample` makes every interval. Rows that belong together are kept together: the nodes, edges and thoughts of one
problem, and all questions about one graph, are not independent. Whole graphs are drawn (cluster bootstrap, Field &
Welsh 2007). Shares and differences of shares have no bootstrap, which claims too much near 0 and 1: they have the
intervals of Wilson (1927) and of Bonett & Price (2012), with as many rows as the graphs are worth. `summarise` applies
`resample` to the groups of a table.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
import scipy
from jaxtyping import Float, Int, UInt8
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
"""Coverage of every interval, unless another is asked for."""
RESAMPLES = 2000
"""Bootstrap resamples: the ends then move by a few hundredths of the interval's width from seed to seed."""
CLUSTER_RESAMPLES = 1000
"""Resamples where rows come in clusters: fewer, since a rank statistic has to be computed anew for each."""

_CELLS = 4_000_000
"""Weights of rows held at a time (32 MB)."""
_BOOTSTRAP, _CLUSTERS, _SEEDS = "bootstrap", "cluster ", "seeds and graphs"


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval."""

    value: float
    """The statistic; nan where it is undefined."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Rows behind it: problems, or nodes where problems are the clusters. Undefined rows (nan) are left out."""
    method: str = _BOOTSTRAP
    """How the interval was made: "bootstrap", "wilson" or "bonett-price", each after "cluster " where rows come in
    clusters; "seeds and graphs"; "jackknife"."""
    graphs: int | None = None
    """Clusters behind it, graphs as a rule; None where every row is one."""

    @property
    def independent(self) -> int:
        """How many independent pieces it rests on: clusters, or rows where they were not clustered."""
        return self.n if self.graphs is None else self.graphs

    def as_dict(self) -> dict[str, float]:
        """Return value, low and high for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        """Return "0.891 [0.862, 0.917]"."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


Rows = Float[np.ndarray, " rows"]
Weights = Float[np.ndarray, "*resamples rows"]
"""How often each row counts; the last axis is the rows."""


Labels = ArrayLike | Sequence[str]
"""A label per row: rows with the same label are of one cluster."""
Statistic = Callable[..., np.ndarray]
"""A statistic of weighted rows: takes columns, [rows] each, and `weights`, [..., rows]; returns [...]."""


def mean(values: Rows, *, weights: Weights) -> np.ndarray:
    """Return the mean of each resample."""
    return weights @ values / weights.sum(-1)


def difference(first: Rows, second: Rows, *, weights: Weights) -> np.ndarray:
    """Return the mean of first - second, row by row, of each resample."""
    return mean(first - second, weights=weights)


def ratio(above: Rows, below: Rows, *, weights: Weights) -> np.ndarray:
    """Return the sum of one column over the sum of another of each resample; nan where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ above) / (weights @ below)


def spearman(first: Rows, second: Rows, *, weights: Weights) -> np.ndarray:
    """Return Spearman's rank correlation, ties averaged; nan where one of the two is constant."""
    total = weights.sum(-1, keepdims=True)
    a, b = (_ranks(column, weights) - (total + 1) / 2 for column in (first, second))  # the mean rank is (n + 1) / 2
    both, aa, bb = ((weights * x * y).sum(-1) for x, y in ((a, b), (a, a), (b, b)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return both / np.sqrt(aa * bb)


def auroc(
    scores: Float[np.ndarray, "*shape rows"], positive: np.ndarray, *, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the area under the ROC curve; nan where one of the two classes is empty.

    The probability that a positive row has a larger score than a negative one, ties counted half (Mann & Whitney 1947):
    0 to 1, chance 0.5. All arguments are broadcast; the last axis is the rows.

    Args:
        scores: A score per row.
        positive: Whether each row is a positive one.
        weights: How often each row counts, 0 to leave it out; 1 by default.

    Examples:
        >>> float(auroc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])))
        0.875
    """
    order = np.argsort(scores, axis=-1, kind="stable")
    sorted_scores = np.take_along_axis(scores, order, -1)
    places = np.arange(scores.shape[-1])
    new = np.diff(sorted_scores, axis=-1, prepend=np.nan) != 0
    first = np.maximum.accumulate(np.where(new, places, 0), axis=-1)  # of the rows with an equal score
    ends = np.concatenate([new[..., 1:], np.ones_like(new[..., :1])], -1)
    last = np.minimum.accumulate(np.where(ends, places, places[-1:])[..., ::-1], axis=-1)[..., ::-1] + 1
    counted = np.ones(scores.shape) if weights is None else weights
    up, down = (_take(counted * kind, order) for kind in (positive, ~np.asarray(positive, bool)))
    below = np.concatenate([np.zeros_like(down[..., :1]), down.cumsum(-1)], -1)
    won = (up * (_take(below, first) + _take(below, last))).sum(-1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(won / (up.sum(-1) * below[..., -1]))


def _take(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return entries of the last axis; one index serves all rows where there is only one."""
    return array[..., index] if index.ndim == 1 else np.take_along_axis(array, index, -1)


def _ranks(values: Rows, weights: Weights) -> np.ndarray:
    """Return the rank of each row, 1 for the smallest, ties averaged, where a row of weight w stands for w rows."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.add.reduceat(weights[..., order], starts, axis=-1)
    return (size.cumsum(-1) - (size - 1) / 2)[..., group]


def resample(
    *columns: ArrayLike,
    statistic: Statistic = mean,
    clusters: Labels | None = None,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int | None = None,
) -> Estimate:
    """Estimate a statistic of rows with its interval.

    - A mean of zeros and ones is a share: the Wilson interval, which is not empty at 0 of n and n of n either. Halves
      for ties may be among them: their variance is smaller than the interval takes it to be.
    - A mean difference of such columns: the interval of Bonett & Price (2012).
    - All else: a percentile bootstrap (Efron & Tibshirani 1993).

    The first two take, in clusters, as many rows as these are worth (`_worth`).

    Args:
        columns: One number per row each: per problem, or per node. Rows with a nan are left out.
        statistic: `mean`, `difference`, `ratio`, `spearman`, `auroc`, or another function of columns and weights.
        clusters: The graph of each row, any labels: whole graphs are drawn. Where each has a single row, a mean or
            difference is what it is without. Without it every row is one.
        seed: Seed of the resampling; the same seed gives the same interval.
        confidence: Coverage, in (0, 1).
        resamples: `RESAMPLES` by default, `CLUSTER_RESAMPLES` with clusters.

    Returns:
        The estimate; nan where no row defines it, and ends of nan where there is only one cluster, or no resample
        defines the statistic.

    Examples:
        >>> print(resample([0, 1, 1, 1, 0, 1, 1, 1]))
        0.750 [0.409, 0.929]
        >>> print(resample([0, 1, 1, 1, 0, 1, 1, 1], clusters=[1, 1, 2, 2, 3, 3, 4, 4]))  # four graphs say less
        0.750 [0.272, 0.960]
        >>> resample([0.2, 0.8], [False, True], statistic=auroc).value
        1.0
    """
    arrays = [np.asarray(column, dtype=np.float64).ravel() for column in columns]
    there = ~np.isnan(arrays).any(0)
    arrays, n, nan = [array[there] for array in arrays], int(there.sum()), float("nan")
    if n == 0:
        return Estimate(nan, nan, nan, 0)
    labels, member = (None, None) if clusters is None else np.unique(np.asarray(clusters)[there], return_inverse=True)
    count = n if labels is None else len(labels)
    if count == n and statistic in (mean, difference):
        member = None
    method, graphs = (_BOOTSTRAP, None) if member is None else (_CLUSTERS + _BOOTSTRAP, count)
    if statistic is difference:
        arrays, statistic = [arrays[0] - arrays[1]], mean
        if np.isin(arrays[0], (-1, -0.5, 0, 0.5, 1)).all():
            return _paired(arrays[0], member, confidence)
    if statistic is mean:
        constant, value = bool((arrays[0] == arrays[0][0]).all()), float(arrays[0][0])
        if np.isin(arrays[0], (0, 0.5, 1)).all() and not (constant and value == 0.5):
            return _share(arrays[0], member, confidence)
        if constant:
            return Estimate(value, value, value, n, method, graphs)
    if member is not None:
        if statistic is mean:
            arrays, statistic = [arrays[0], np.ones(n)], ratio
        if statistic is ratio:  # sums of a cluster are all that counts
            arrays, member = [np.bincount(member, array) for array in arrays], None
    times = resamples or (RESAMPLES if graphs is None else CLUSTER_RESAMPLES)
    draw = _draws if count * times <= _CELLS else _draws.__wrapped__  # large ones are not kept
    drawn = draw(count, seed, times, graphs is None)
    value = float(statistic(*arrays, weights=np.ones((1, len(arrays[0]))))[0])
    found = np.concatenate([statistic(*arrays, weights=part) for part in _weights(drawn, member, len(arrays[0]))])
    found = found[np.isfinite(found)]  # a resample may hold one class alone
    if len(found) == 0 or graphs == 1:  # one graph has no spread: that is not certainty
        return Estimate(value, nan, nan, n, method, graphs)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high), n, method, graphs)


Members = Int[np.ndarray, " rows"] | None
"""Number of the cluster of each row, from 0; None where every row is one."""


def _share(values: Rows, member: Members, confidence: float) -> Estimate:
    """Estimate the share of ones, ties as halves: the Wilson interval of as many rows as the clusters are worth."""
    worth, deviations, graphs = _worth(values, member, confidence)
    low, high = _wilson(values.mean(), worth, deviations)
    return Estimate(float(values.mean()), low, high, len(values), _named("wilson", graphs), graphs)


def _wilson(share: float, n: float, deviations: float) -> tuple[float, float]:
    """Return the ends of the Wilson interval; n need not be whole."""
    square = deviations**2 / n
    middle, half = share + square / 2, np.sqrt(square * (share * (1 - share) + square / 4))
    return tuple(np.clip([(middle - half) / (1 + square), (middle + half) / (1 + square)], 0, 1).tolist())


def _paired(values: Rows, member: Members, confidence: float) -> Estimate:
    """Estimate a mean of -1, 0 and 1: a normal interval with one more row won and one more lost (Bonett & Price).

    What is won by half counts half.
    """
    worth, deviations, graphs = _worth(values, member, confidence)
    won, lost = ((np.maximum(sign * values, 0).mean() * worth + 1) / (worth + 2) for sign in (1, -1))
    half = deviations * np.sqrt((won + lost - (won - lost) ** 2) / (worth + 2))
    low, high = np.clip([won - lost - half, won - lost + half], -1, 1).tolist()
    return Estimate(float(values.mean()), low, high, len(values), _named("bonett-price", graphs), graphs)


def _named(method: str, graphs: int | None) -> str:
    return method if graphs is None else _CLUSTERS + method


def _worth(values: Rows, member: Members, confidence: float) -> tuple[float, float, int | None]:
    """Return how many independent rows a mean rests on, how many deviations its interval spans, and the clusters.

    The number is that of the rows over the design effect (Kish 1965): the variance of the mean with whole clusters,
    over that with rows. It is below 1 where rows of a cluster balance, as twins do, so that the number may exceed that
    of the rows; capped there, intervals of twins would cover always (tests/measure/test_coverage.py). One cluster
    without any effect is added to those there are, since few of them may show no variance at all. Where all values
    are the same no effect can be seen, and each cluster counts as one row.
    """
    n, upper = len(values), (1 + confidence) / 2
    if member is None:
        return float(n), float(scipy.stats.norm.ppf(upper)), None
    count, variance = int(member.max()) + 1, values.var()
    if count == 1:
        return float("nan"), float("nan"), 1
    effect = variance_of_mean(values, member) / (variance / n) if variance else n / count
    return n * (count + 1) / (count * effect + 1), float(scipy.stats.t.ppf(upper, count - 1)), count


def variance_of_mean(values: Rows, member: Members) -> float:
    """Return the variance of a mean over rows in clusters, by the clusters' sums about it."""
    about = values - values.mean()
    sums = about if member is None else np.bincount(member, about)
    return float((sums**2).sum() / len(values) ** 2 * len(sums) / (len(sums) - 1))


@lru_cache(maxsize=32)  # a figure asks for the same draws again for every run, panel and line
def _draws(n: int, seed: int, resamples: int, single: bool) -> UInt8[np.ndarray, "resamples n"]:
    """Return how often each row (or cluster) is drawn in each resample.

    Rows are drawn as `scipy.stats.bootstrap` draws them, clusters as multinomial counts: the distribution is the same,
    and each keeps the ends that were published with it. More than 255 times the same row does not happen.
    """
    rng = np.random.default_rng(seed)
    if not single:
        return rng.multinomial(n, np.full(n, 1 / n), resamples).astype(np.uint8)
    step = max(1, _CELLS // n)
    parts = []
    for start in range(0, resamples, step):
        rows = rng.integers(0, n, (min(step, resamples - start), n))
        rows += n * np.arange(len(rows))[:, None]
        parts.append(np.bincount(rows.ravel(), minlength=rows.size).astype(np.uint8).reshape(rows.shape))
    return np.concatenate(parts)


def _weights(drawn: np.ndarray, member: Int[np.ndarray, " rows"] | None, rows: int) -> Iterator[np.ndarray]:
    """Yield the weights of the rows, a part of the resamples at a time."""
    step = max(1, _CELLS // rows)
    for start in range(0, len(drawn), step):
        part = drawn[start : start + step].astype(np.float64)
        yield part if member is None else part[:, member]


GRAPH, PROBLEM = "graph", "problem"
"""Columns of tables: the graph that a row is about, and its problem."""


def graphs_of(table: pl.DataFrame) -> pl.Series | None:
    """Return what holds rows of a table together: the graph of each, else its problem; None if it names neither.

    A graph goes by its first problem, so that a set with one question per graph is resampled as by problems.
    """
    if PROBLEM not in table.columns:
        return table[GRAPH] if GRAPH in table.columns else None
    if GRAPH not in table.columns:  # a table of before
        return table[PROBLEM]
    first = pl.col(PROBLEM).min().over(GRAPH)
    return table.select(pl.when(pl.col(GRAPH).is_null()).then(PROBLEM).otherwise(first).alias(GRAPH))[GRAPH]


def about(columns: Collection[str]) -> list[str]:
    """Return the columns of a table that say which problem and graph a row is about; one of before has no graph."""
    return [name for name in (PROBLEM, GRAPH) if name in columns]


def summarise(
    frame: pl.DataFrame,
    value: str | pl.Expr | Sequence[str],
    by: str | Sequence[str],
    *,
    chance: str | pl.Expr | float | None = None,
    statistic: Statistic = mean,
    clusters: str | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Estimate a statistic for each group of a table: what a figure with intervals is drawn from.

    Args:
        frame: One row per problem and group, or several.
        value: Column, or expression, whose mean is estimated; several columns for a statistic of several. Rows with a
            null or nan are left out.
        by: Columns that make a group.
        chance: Chance level of each row, averaged over those that count; by default the column
            "{value}_chance" where there is one. A number holds for all.
        statistic: As in `resample`.
        clusters: Column of the clusters, as in `resample`; by default graphs, as far as the table names them
            (`graphs_of`). Where each has one row of a group it changes nothing.
        seed: Seed of the resampling, of every group anew.

    Returns:
        One row per group with a defined statistic, in the order of the table: columns `by`, value, low, high, n,
        chance (null without one). Low and high are null where they are undefined.

    Examples:
        >>> table = pl.DataFrame({"thought": [1, 1, 2, 2], "mass": [0.2, 0.4, 0.5, 0.9], "mass_chance": 0.1})
        >>> summarise(table, "mass", "thought").select("thought", "value", "n", "chance").rows()
        [(1, 0.30000000000000004, 2, 0.1), (2, 0.7, 2, 0.1)]
    """
    keys, columns = [by] if isinstance(by, str) else list(by), [value] if isinstance(value, str | pl.Expr) else value
    if chance is None and isinstance(value, str) and f"{value}_chance" in frame.columns:
        chance = f"{value}_chance"
    level = pl.col(chance) if isinstance(chance, str) else pl.lit(chance) if not isinstance(chance, pl.Expr) else chance
    numbers = [(pl.col(one) if isinstance(one, str) else one).cast(pl.Float64) for one in columns]
    names = [f"_{place}" for place in range(len(numbers))]
    table = frame.select(
        *keys,
        *(number.alias(name) for name, number in zip(names, numbers, strict=True)),
        level.cast(pl.Float64).alias("_chance"),
        (pl.lit(graphs_of(frame)) if clusters is None else pl.col(clusters)).alias("_cluster"),
    ).filter(pl.all_horizontal(pl.col(names).is_not_null() & pl.col(names).is_not_nan()))
    rows = []
    for key, part in table.group_by(keys, maintain_order=True):
        kept = part["_cluster"].null_count() == 0 and part["_cluster"].n_unique() < len(part)
        group = part["_cluster"].to_numpy() if kept or clusters else None
        made = resample(*(part[name] for name in names), statistic=statistic, clusters=group, seed=seed)
        rows.append((*key, made.value, made.low, made.high, made.n, part["_chance"].mean()))
    types = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64, "chance": pl.Float64}
    schema = {key: frame.schema[key] for key in keys} | types
    found = pl.DataFrame(rows, schema, orient="row").with_columns(pl.col("value", "low", "high").fill_nan(None))
    return found.filter(pl.col("value").is_not_null())


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a proportion with the Wilson score interval, which is not empty at 0 of n and n of n either."""
    interval = scipy.stats.binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n, "wilson")


def across_seeds(values: Float[np.ndarray, "seeds rows"], clusters: Labels | None = None) -> Estimate:
    """Estimate a mean over training seeds that all answered the same rows; the seeds are inside the interval.

    The variance is that of the seeds' means over their number, plus that of the rows' means over seeds, whole graphs
    kept together. What a seed does on a row of its own is in both, so the interval is a little too wide. The quantile
    is Student's, of Satterthwaite's degrees of freedom. Of three seeds it covers as it should, of two somewhat too
    seldom (tests/measure/test_coverage.py). Values from 0 to 1 are taken for shares or probabilities, and values from
    -1 to 1 for differences of them: the interval has Wilson's form and ends within that range.

    Args:
        values: One row per seed, nan where undefined. With one seed the interval is about its rows alone (`resample`).
        clusters: As in `resample`.

    Examples:
        >>> print(across_seeds(np.array([[1.0] * 8 + [0.0] * 2, [1.0] * 9 + [0.0]])))
        0.850 [0.479, 0.972]
    """
    if len(values) == 1:
        return resample(values[0], clusters=clusters)
    there = ~np.isnan(values).all(0)
    given, n = values[:, there], int(there.sum())
    if n == 0 or np.isnan(given).all(1).any():
        return Estimate(float("nan"), float("nan"), float("nan"), n, _SEEDS)
    member = None if clusters is None else np.unique(np.asarray(clusters)[there], return_inverse=True)[1]
    graphs = n if member is None else int(member.max()) + 1
    rows, seeds = np.nanmean(given, 0), np.nanmean(given, 1)
    value, parts = float(seeds.mean()), np.array([seeds.var(ddof=1) / len(seeds), variance_of_mean(rows, member)])
    free = np.array([len(seeds) - 1, graphs - 1])
    total, least, most = float(parts.sum()), np.nanmin(given), np.nanmax(given)
    if not total:
        low, high = value, value
        if np.isin(given[~np.isnan(given)], (0, 0.5, 1)).all():  # seeds that agree are no certainty
            low, high = _wilson(value, float(graphs), float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2)))
        return Estimate(value, low, high, n, _SEEDS, graphs)
    deviations = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, total**2 / (parts**2 / free).sum()))
    if least < -1 or most > 1:
        half = deviations * float(np.sqrt(total))
        return Estimate(value, value - half, value + half, n, _SEEDS, graphs)
    bottom = -1 if least < 0 else 0
    share = (value - bottom) / (1 - bottom)
    ends = _wilson(share, share * (1 - share) * (1 - bottom) ** 2 / total, deviations)
    low, high = (bottom + (1 - bottom) * end for end in ends)
    return Estimate(value, low, high, n, _SEEDS, graphs)


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
    """Two-sided exact McNemar test (`exact_p`)."""
    difference: Estimate
    """Accuracy of the first less accuracy of the second."""


def mcnemar(first: ArrayLike, second: ArrayLike, *, clusters: Labels | None = None, seed: int = 0) -> PairedComparison:
    """Compare two methods on the same problems (McNemar 1947, exact form).

    Args:
        first: Whether the first method got each problem right.
        second: The same for the second, in the same order.
        clusters: As in `resample`.
        seed: Seed of the bootstrap of the difference.

    Raises:
        ValueError: If the two are of different length or empty.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"paired results need the same problems: got {a.shape} and {b.shape}")
    both, only_first, only_second, neither = (int(x.sum()) for x in (a & b, a & ~b, ~a & b, ~a & ~b))
    made = resample(a, b, statistic=difference, clusters=clusters, seed=seed)
    p_value = exact_p(a.astype(float) - b, clusters)
    return PairedComparison(both, only_first, only_second, neither, p_value, made)


def exact_p(less: ArrayLike, clusters: Labels | None = None) -> float:
    """Test whether a mean paired difference is zero: two-sided, exact, by exchanging the two in whole graphs.

    Under the hypothesis the sum of a graph could as well have the other sign. The p-value is the share of all choices
    of signs whose total is as far from zero as ours. With one question per graph, all of them 0 or 1, it is the exact
    McNemar test: the binomial test on the questions that the two disagree about.

    Args:
        less: First less second of each row, in multiples of a half, as forced choices have.
        clusters: As in `resample`.

    Examples:
        >>> exact_p([1, 1, 1, 1, 0]), exact_p([1, 1, 1, 1, 0], clusters=["a", "a", "b", "b", "c"])
        (0.125, 0.5)
    """
    halves = np.rint(2 * np.asarray(less, dtype=np.float64))
    sums = halves if clusters is None else np.bincount(np.unique(np.asarray(clusters), return_inverse=True)[1], halves)
    sizes, shares = np.abs(sums[sums != 0]).astype(int), np.ones(1)
    for size in sizes:  # shares[i]: of the choices of signs whose positive ones sum to i
        shares = (np.pad(shares, (0, size)) + np.pad(shares, (size, 0))) / 2
    totals = 2 * np.arange(len(shares)) - sizes.sum()
    return min(float(shares[np.abs(totals) >= abs(sums.sum())].sum()), 1.0)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct p-values for their number so that the chance of any false alarm stays below the level (Holm 1979).

    scipy corrects the share of false alarms (Benjamini and Hochberg), not their chance.

    Args:
        p_values: By name.
    """
    names = sorted(p_values, key=lambda name: p_values[name])
    steps = [(len(names) - place) * p_values[name] for place, name in enumerate(names)]
    return dict(zip(names, np.minimum(np.maximum.accumulate(steps), 1.0).tolist(), strict=True)) if names else {}


@dataclass(frozen=True)
class Logistic:
    """Fitted logistic regressions of m labels on the same features."""

    weights: Float[np.ndarray, "features *m"]
    bias: Float[np.ndarray, "*m"]
    """Intercept of each label; 0 where none was fitted."""
    gain: float
    """Factor of the offset; 0 without an offset."""


def logistic(
    features: Float[np.ndarray, "n features"],
    labels: np.ndarray,
    *,
    penalty: float = 1.0,
    counts: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    intercept: bool = True,
    iterations: int = 1000,
) -> Logistic:
    """Fit logistic regressions: summed loss + penalty / 2 * |weights|^2, by L-BFGS from zero; convex.

    Args:
        features: One row per example.
        labels: 0 or 1 for each example, [n], or for several labels at once, [n, m].
        penalty: Weight of the squared norm; intercepts and gain are not penalised.
        counts: How often an example counts for a label, of the shape of `labels`; 0 leaves it out.
        offset: Logits to start from, of the shape of `labels`; one factor for all of them, the gain, is fitted too.
        intercept: Whether to fit one for each label.
        iterations: Largest number of steps.
    """
    truth, width, shape = np.asarray(labels, features.dtype), features.shape[1], labels.shape[1:]
    outputs = int(np.prod(shape))

    def parts(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        weights, bias, gain = np.split(parameters.astype(features.dtype), [width * outputs, (width + 1) * outputs])
        return weights.reshape(width, *shape), bias.reshape(shape), float(gain[0])

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias, gain = parts(parameters)
        logits = features @ weights + bias + (0 if offset is None else gain * offset)
        wrong, each = scipy.special.expit(logits) - truth, np.logaddexp(0, logits) - truth * logits
        if counts is not None:
            wrong, each = wrong * counts, each * counts
        slope = (features.T @ wrong + penalty * weights).ravel()
        of_bias = wrong.sum(0).ravel() * intercept
        of_gain = 0.0 if offset is None else (wrong * offset).sum()
        value = each.sum(dtype=np.float64) + penalty / 2 * np.square(weights).sum(dtype=np.float64)
        return float(value), np.concatenate([slope, of_bias, [of_gain]]).astype(np.float64)

    start = np.zeros((width + 1) * outputs + 1)
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    weights, bias, gain = parts(found.x)
    return Logistic(weights, np.asarray(bias), gain)


Vectors = Float[np.ndarray, "rows d"]
Variances = Float[np.ndarray, " d"]
"""Variance along each principal axis, in any order and on any scale."""

GROUPS = 20
"""Groups of the jackknife."""


def effective_rank(variances: Variances) -> float:
    """Return the exponential of the entropy of the normalised singular values (Roy & Vetterli 2007, definition 1)."""
    singular = np.sqrt(np.maximum(variances, 0))
    return float(np.exp(scipy.stats.entropy(singular))) if singular.sum() > 0 else float("nan")


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
        half, value = float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2) * error), measure(whole)
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
