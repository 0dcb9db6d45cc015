"""From rows of answers to the figures of a method: per problem first, so that methods can be compared pair by pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from workbench.measure.statistics import Estimate, bootstrap_mean, seed_spread

PerProblem = Float[np.ndarray, "problems"]
"""A number per problem of the set, in the order of the file; nan where it is undefined."""


@dataclass(frozen=True)
class Measure:
    """One column of the main table."""

    name: str
    """Key in JSON and in the published numbers."""
    title: str
    share: bool = True
    """In 0..1; else a number of tokens."""
    coin: float | None = None
    """What a coin between the two options scores on ProsQA, None where that is no number."""


MEASURES = (
    Measure("accuracy", "accuracy", coin=0.5),
    Measure("valid", "valid format"),
    Measure("tokens", "tokens", share=False),
    Measure("pair", "swap pairs", coin=0.25),
    Measure("rewrite", "edge rewrites", coin=0.5),
    Measure("resistant", "shortcut-resistant", coin=0.5),
    Measure("removed", "thoughts removed", coin=0.5),
    Measure("noise", "noise for thoughts", coin=0.5),
)
"""In the order of columns."""
MEANINGS = {
    "accuracy": "The whole answer is exactly right, as the method was trained to answer.",
    "valid": "The answer has the right form, right or wrong.",
    "tokens": "Thoughts and generated tokens, mean; what is forced and the end token are not counted.",
    "pair": "A problem and its entity-swapped twin, both right; rules that never read the queried entity score 0.",
    "rewrite": "Of the problems answered right: one edge rewritten, the answer follows.",
    "resistant": "Accuracy where the nearest-source rule is wrong or tied.",
    "removed": "Accuracy after no thoughts (k = 0), the rest as trained; only methods with slots.",
    "noise": "Accuracy with random vectors of the same length in the slots; only methods with slots.",
}
"""What each measure is, for the page."""


@dataclass(frozen=True)
class RunOutcome:
    """What one run answered on one problem set."""

    method: str
    seed: int
    step: int
    """Of the model that was asked."""
    finished: bool
    problems: tuple[str, ...]
    """Ids, in the order of the file."""
    values: dict[str, PerProblem]
    """By name of the measure."""
    by_thoughts: dict[int, PerProblem]
    """Right or not after k thoughts, in the own form."""
    behaviours: pl.DataFrame
    """A row per problem and k: thoughts, behaviour."""
    same_passes: dict[str, float] | None = None
    """Pause tokens read one a pass and all in one: problems, same, max_difference."""


def run_outcome(
    method: str, seed: int, rows: pl.DataFrame, about: dict[str, object], *, finished: bool = True
) -> RunOutcome:
    """Derive what a run is judged by from its rows.

    Args:
        method: Of the run.
        seed: Of the run.
        rows: `measure.answers_frame`.
        about: What they were made from; `step` and, for pause tokens, `passes` are read.
        finished: Whether the model is the run's last.
    """
    names = rows["problem"].unique(maintain_order=True)
    order = pl.DataFrame({"problem": names})
    plain = rows.filter((pl.col("variant") == "itself") & (pl.col("edit") == "none"))
    own = plain.filter("own")
    says, thoughts = own["says"][0], int(own["thoughts"][0])

    def column(part: pl.DataFrame, name: str = "right") -> PerProblem:
        return _aligned(order, part, name)

    right, blind = column(own), column(own, "nearest_source")
    rewrite, swap = (column(rows.filter(pl.col("variant") == variant)) for variant in ("rewrite", "swap"))
    first = own.with_columns(first=pl.col("pair").is_first_distinct() & pl.col("pair").is_not_null())
    both = np.where(column(first, "first") > 0, right * swap, np.nan)
    removed = column(plain.filter((pl.col("thoughts") == 0) & (pl.col("says") == says)))
    undefined = np.full(len(names), np.nan)
    values = {
        "accuracy": right,
        "valid": column(own, "valid"),
        "tokens": column(own, "tokens"),
        "pair": both,
        "rewrite": np.where(right > 0, rewrite, np.nan),
        "resistant": np.where(blind < 1, right, np.nan),
        "removed": removed if thoughts else undefined,
        "noise": column(rows.filter(pl.col("edit") == "noise")),
    }
    depths = sorted(plain.filter(pl.col("says") == says)["thoughts"].unique().to_list())
    sweep = {k: column(plain.filter((pl.col("thoughts") == k) & (pl.col("says") == says))) for k in depths}
    return RunOutcome(
        method, seed, int(str(about["step"])), finished, tuple(names), values, sweep, _behaviours(plain),
        about.get("passes"),  # type: ignore[arg-type]
    )  # fmt: skip


def spread(arrays: Sequence[PerProblem], seed: int = 0, *, share: bool = True) -> Estimate:
    """Summarise one measure of a method: one run by the bootstrap over problems, several by their range.

    Args:
        arrays: One per training seed.
        seed: Of the bootstrap.
        share: Whether the values are shares, of which all ones leaves a doubt; a number of tokens that is always 1 not.
    """
    if len(arrays) == 1:
        known = arrays[0][~np.isnan(arrays[0])]
        if not share and len(known) and (known == known[0]).all():
            return Estimate(float(known[0]), float(known[0]), float(known[0]), len(known))
        return bootstrap_mean(arrays[0], seed=seed)
    means = [float(np.nanmean(values)) if not np.isnan(values).all() else float("nan") for values in arrays]
    return seed_spread(means)


def _aligned(order: pl.DataFrame, part: pl.DataFrame, name: str) -> PerProblem:
    """Return a column in the order of the problems, nan for those that have no row."""
    joined = order.join(
        part.select("problem", pl.col(name).cast(pl.Float64)), on="problem", how="left", maintain_order="left"
    )
    return joined[name].fill_null(float("nan")).to_numpy().copy()


def _behaviours(plain: pl.DataFrame) -> pl.DataFrame:
    """Return the category after every k: of chains where there are any, of the own answers of other methods."""
    told = plain.filter(pl.col("behaviour").is_not_null())
    chains = told.filter(pl.col("says") == "chain")
    return (told if chains.is_empty() else chains).select("thoughts", pl.col("behaviour").cast(pl.String))
