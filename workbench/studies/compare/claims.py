"""What the papers claim about methods, declared, and a verdict on each from our own problems.

A verdict is about our runs: small models from scratch on generated problems, at the budget named beside the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.measure.statistics import Estimate, bootstrap_difference
from workbench.studies.compare.outcome import RunOutcome

MARGIN = 0.02
"""The smallest difference of shares that counts: two points."""

Verdict = Literal["agrees", "disagrees", "undecided", "not measured"]


@dataclass(frozen=True)
class Side:
    """One of the two numbers that a claim is about."""

    method: str
    measure: str = "accuracy"
    """Name of a measure of `outcome.MEASURES`."""


@dataclass(frozen=True)
class Claim:
    """One statement about two numbers."""

    text: str
    task: str
    """The papers' task: prosqa, prontoqa or gsm8k."""
    first: Side
    kind: Literal["more", "not less", "not more", "equal"]
    """Of the first against the second. "not less": by no more than the margin; "equal": within it."""
    second: Side
    published: str
    """What the source prints for the two."""
    source: str


@dataclass(frozen=True)
class Judgement:
    """A claim with what our runs say."""

    claim: Claim
    verdict: Verdict
    difference: Estimate | None
    """First less second over the problems, of the first shared seed; None where one is missing."""
    ours: str
    """Both numbers, or what is missing."""


TABLE1, OBSERVABLE = "2412.06769, Table 1", "2606.12689"
CLAIMS = (
    Claim("Coconut is better than CoT", "prosqa", Side("coconut"), "more", Side("cot"), "97.0 and 77.5", TABLE1),
    Claim("Coconut is better than No-CoT", "prosqa", Side("coconut"), "more", Side("no_cot"), "97.0 and 76.7", TABLE1),
    Claim("CoT is about as good as No-CoT", "prosqa", Side("cot"), "equal", Side("no_cot"), "77.5 and 76.7", TABLE1),
    Claim(
        "iCoT is no worse than Coconut",
        "prosqa", Side("icot"), "not less", Side("coconut"), "98.2 and 97.0", TABLE1,
    ),
    Claim(
        "Pause as thought is within two points of Coconut",
        "prosqa", Side("pause_as_thought"), "equal", Side("coconut"), "96.6 and 97.0", TABLE1,
    ),
    Claim(
        "Coconut without thought is within two points of Coconut",
        "prosqa", Side("coconut_without_thought"), "equal", Side("coconut"), "95.5 and 97.0", TABLE1,
    ),
    Claim(
        "Coconut without curriculum is no better than No-CoT",
        "prosqa", Side("coconut_without_curriculum"), "not more", Side("no_cot"), "76.1 and 76.7", TABLE1,
    ),
    Claim(
        "Pause tokens without a curriculum are no better than No-CoT",
        "prosqa", Side("pause_token"), "not more", Side("no_cot"), "75.9 and 76.7", TABLE1,
    ),
    Claim(
        "Coconut says less than CoT, its thoughts counted",
        "prosqa", Side("cot", "tokens"), "more", Side("coconut", "tokens"), "49.4 and 14.2 tokens", TABLE1,
    ),
    Claim(
        "Coconut answers as well with its thoughts removed",
        "prosqa", Side("coconut"), "equal", Side("coconut", "removed"), "98.0 and 97.8", OBSERVABLE,
    ),
    Claim(
        "Pause as thought answers as well with its pauses removed",
        "prosqa", Side("pause_as_thought"), "equal", Side("pause_as_thought", "removed"), "95.4 and 95.6", OBSERVABLE,
    ),
    Claim(
        "Coconut is no worse than CoT",
        "prontoqa", Side("coconut"), "not less", Side("cot"), "99.8 and 98.8", TABLE1,
    ),
    Claim("CoT is better than No-CoT", "prontoqa", Side("cot"), "more", Side("no_cot"), "98.8 and 93.8", TABLE1),
    Claim("CoT is better than Coconut", "gsm8k", Side("cot"), "more", Side("coconut"), "42.9 and 34.1", TABLE1),
    Claim("Coconut is better than No-CoT", "gsm8k", Side("coconut"), "more", Side("no_cot"), "34.1 and 16.5", TABLE1),
    Claim(
        "Coconut is worse with its thoughts removed",
        "gsm8k", Side("coconut"), "more", Side("coconut", "removed"), "35.7 and 7.7", OBSERVABLE,
    ),
)  # fmt: skip
"""In the order shown."""


def judge(claim: Claim, outcomes: Sequence[RunOutcome]) -> Judgement:
    """Judge a claim by the paired difference over problems, for every seed that both sides have.

    A claim agrees or disagrees only where every shared seed says so.

    Args:
        claim: See there.
        outcomes: Of one task and problem set.
    """
    runs = {(outcome.method, outcome.seed): outcome for outcome in outcomes}
    seeds = sorted(
        seed for method, seed in runs if method == claim.first.method and (claim.second.method, seed) in runs
    )
    missing = [m for m in dict.fromkeys((claim.first.method, claim.second.method)) if not any(m == k for k, _ in runs)]
    if not seeds:
        why = f"no run of {' and '.join(missing)}" if missing else "no seed in common"
        return Judgement(claim, "not measured", None, why)
    verdicts, differences, said = [], [], []
    for seed in seeds:
        first = runs[claim.first.method, seed].values[claim.first.measure]
        second = runs[claim.second.method, seed].values[claim.second.measure]
        difference = bootstrap_difference(first, second)
        differences.append(difference)
        verdicts.append(verdict(difference, claim.kind, MARGIN if claim.first.measure != "tokens" else 0.0))
        said.append(f"{np.nanmean(first):.3f} and {np.nanmean(second):.3f}")
    final = verdicts[0] if len(set(verdicts)) == 1 else "undecided"
    return Judgement(claim, final, differences[0], "; ".join(said))


def verdict(difference: Estimate, kind: str, margin: float) -> Verdict:
    """Say whether an interval of a difference supports a claim of some kind, contradicts it, or leaves it open.

    Args:
        difference: First less second.
        kind: Of the claim.
        margin: The smallest difference that counts.
    """
    low, high = difference.low, difference.high
    if np.isnan(difference.value):
        return "not measured"
    if kind == "not more":
        low, high = -high, -low
    agrees = {
        "more": low > 0,
        "not less": low > -margin,
        "not more": low > -margin,
        "equal": -margin < low and high < margin,
    }[kind]
    disagrees = {
        "more": high < margin,
        "not less": high < -margin,
        "not more": high < -margin,
        "equal": low > margin or high < -margin,
    }[kind]
    return "agrees" if agrees else "disagrees" if disagrees else "undecided"
