"""One sentence that stands above a reading's figures: what its table says, how sure, beside chance and controls.

The rule is that of all verdicts (`workbench.measure.verdicts`): the whole 95 % interval decides, over graphs. A claim
holds where the model is above chance and above each control that should not show it, problem by problem; it does not
hold where one of these differences is below zero. Readings without an entry in `CLAIMS` have no claim of one number:
their figures stand beside their controls alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.measure.arrays import Trace
from workbench.measure.run_labels import MODEL, RUN, title
from workbench.measure.scores import node_scores
from workbench.measure.statistics import Estimate, graphs_of, resample
from workbench.measure.verdicts import Check, Verdict, judge

OPPOSED = ("untrained", "shuffled", "noise")
"""Controls that should show less than the model does. A pause may hold as much, and where another target is asked what
is read is the same graph."""


@dataclass(frozen=True)
class Claim:
    """What a reading would show if its question had the answer yes."""

    says: str
    """In words, without its numbers; "holds" or another verdict stands before it."""
    what: str
    """What the number is, in a few words."""
    value: str
    """Column of the number."""
    chance: str | float
    """Column of its chance level, or the level."""
    where: Mapping[str, object]
    """Columns and what they must be; "last" for the largest, another column's name after "=" for the same value."""


@dataclass(frozen=True)
class Sentence:
    """A verdict and the numbers that it rests on."""

    verdict: Verdict
    text: str
    checks: tuple[Check, ...]
    """Model less chance, then less each control; mean over problems, intervals over graphs."""


CLAIMS: dict[str, Claim] = {
    "breadth": Claim(
        "the thoughts put more probability on the nodes at their own hop, target excluded, than an even spread over "
        "the concepts would", "probability there", "mass_without_target", "mass_without_target_chance",
        {"readout": "lm_head"},
    ),
    "behaviour": Claim(
        "after all thoughts the target is chosen over the other option more often than by the best query-blind rule",
        "forced choices that are right", "choice", "floor", {"thought": "last"},
    ),
    "parallelism": Claim(
        "the two likeliest nodes at a thought's hop have more probability together than two concepts have by chance",
        "their probability", "top2", "top2_chance", {"readout": "lm_head"},
    ),
    "superposition": Claim(
        "a thought points along the sum of the embeddings at its own hop more than along as many random concepts",
        "cosine", "cosine", "cosine_chance", {"set": "frontier", "hop": "=hop_read"},
    ),
    "attention_by_class": Claim(
        "heads attend to edges on a shortest path at the hop read more than an even spread over all edges would",
        "attention per edge, mean over layers and heads", "attention", "chance", {"class": "optimal", "head": None},
    ),
}  # fmt: skip
"""By the name of the reading."""


def sentence(name: str, table: pl.DataFrame) -> Sentence | None:
    """Return the verdict on a reading's claim; None where it has none or the table holds nothing about it.

    Args:
        name: Of the reading.
        table: Made by its `frame`: the model's rows and those of its controls.

    Examples:
        >>> rows = {"run": "model", "problem": [f"p{i}" for i in range(40)], "readout": "lm_head"}
        >>> rows |= {"mass_without_target": 0.9, "mass_without_target_chance": [0.1, 0.2] * 20}
        >>> sentence("breadth", pl.DataFrame(rows)).verdict
        'holds'
    """
    claim = CLAIMS.get(name)
    if claim is None:
        return None
    rows = _by_problem(claim, table)
    own = rows.filter(pl.col(RUN) == MODEL)
    if own.is_empty():
        return None
    checks = [Check("less chance", _mean(own.with_columns(number=pl.col("value") - pl.col("chance"))), at_least=0.0)]
    for control in (one for one in rows[RUN].unique(maintain_order=True) if one in OPPOSED):
        beside = rows.filter(pl.col(RUN) == control).select("problem", other="value")
        pairs = own.join(beside, on="problem", how="inner", maintain_order="left")
        gap = pairs.with_columns(number=pl.col("value") - pl.col("other"))
        checks.append(Check(f"less the control {title(control)}", _mean(gap), at_least=0.0))
    verdict, level = judge(checks), checks[0].estimate
    mean, chance = (float(own[column].to_numpy().mean()) for column in ("value", "chance"))
    n, graphs = f"n = {level.n} problems", f", {level.independent} graphs" if level.independent != level.n else ""
    gaps = "; ".join(f"{one.what} {_signed(one.estimate)}" for one in checks)
    without = "" if len(checks) > 1 else "; no control beside it that should show less"
    numbers = f"{claim.what} {mean:.3f}, chance {chance:.3f}"
    return Sentence(verdict, f"{claim.says}: {numbers}; {gaps}{without} ({n}{graphs})", tuple(checks))


def past_target(traces: Sequence[Trace]) -> pl.DataFrame:
    """Return what a model does past the target: one row per thought for a hop beyond some problems' targets.

    Columns: thought; n (the problems of which that is so, all else is about them alone); target, negative, reachable
    (other nodes that the root reaches), unreachable, outside (mean raw probability under the LM head of the thought, of
    all tokens); chance (of one concept, spread evenly); right, low, high (share of answers right after so many
    thoughts, interval of 95 % over graphs); at_target (after as many thoughts as stand for the target's hop).
    """
    found = []
    scores = [node_scores(trace, "lm_head") for trace in traces]
    for k in sorted({k for one in scores for k in one.depths}):
        rows, right, reached, graphs = [], [], [], []
        for one, trace in zip(scores, traces, strict=True):
            if k not in one.depths or one.hops_read[one.row(k)] <= one.structure.length:
                continue
            raw, about, problem = one.raw[one.row(k)], one.structure, one.problem
            options = [problem.target, problem.negative]
            rest = about.concepts.copy()
            rest[options] = False
            rows.append((*raw[options], raw[rest & about.reachable].sum(), raw[rest & ~about.reachable].sum(),
                         max(1 - raw.sum(), 0.0), one.chance_value))  # fmt: skip
            right.append(bool(trace.answer_right[k]))
            arrives = about.length * trace.thoughts_per_step
            reached.append(bool(trace.answer_right[arrives]))
            graphs.append(problem.graph)
        if rows:
            names = ("target", "negative", "reachable", "unreachable", "outside", "chance")
            share = resample(np.array(right, float), clusters=np.array(graphs))
            means = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
            answers = {"right": share.value, "low": share.low, "high": share.high, "at_target": float(np.mean(reached))}
            found.append({"thought": k, "n": len(rows)} | means | answers)
    return pl.DataFrame(found)


def _by_problem(claim: Claim, table: pl.DataFrame) -> pl.DataFrame:
    """Return one row per run and problem: mean of value and of chance over the rows that the claim is about."""
    for column, wanted in claim.where.items():
        if wanted == "last":
            table = table.filter(pl.col(column) == pl.col(column).max())
        elif wanted is None:
            table = table.filter(pl.col(column).is_null())
        elif isinstance(wanted, str) and wanted.startswith("="):
            table = table.filter(pl.col(column) == pl.col(wanted[1:]))
        else:
            table = table.filter(pl.col(column) == wanted)
    level = pl.col(claim.chance) if isinstance(claim.chance, str) else pl.lit(claim.chance)
    kept = table.with_columns(value=pl.col(claim.value).cast(pl.Float64), chance=level.cast(pl.Float64))
    graphs = graphs_of(kept)
    kept = kept.with_columns(cluster=pl.lit(graphs)).drop_nulls(["value", "chance"])
    return kept.group_by(RUN, "problem", maintain_order=True).agg(
        pl.col("value", "chance").mean(), pl.col("cluster").first()
    )


def _mean(rows: pl.DataFrame) -> Estimate:
    return resample(rows["number"], clusters=rows["cluster"].to_numpy())


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
