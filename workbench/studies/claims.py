"""Claims: a statement, its source, the numbers it is held against, and the verdict that follows from their intervals.

The claims of the literature stand in `literature.yaml`, one list for the comparison of methods and for the
reproduction. Those of an audit's card are `audit/card.yaml`. All are judged by `judge`; each page has its
own words for the verdict.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from workbench.measure.statistics import Estimate
from workbench.settings import build, read_settings

Verdict = Literal["holds", "fails", "undecided", "not measured"]
Relation = Literal["more", "not less", "not more", "equal"]
"""Of a first number to a second. "not less": by no more than the margin; "equal": within it."""

MARGIN = 0.02
"""The smallest difference of shares that counts: two points."""


@dataclass(frozen=True)
class Check:
    """One number of ours, and where its whole interval must lie for a claim to hold."""

    what: str
    """What the number is, in a few words."""
    estimate: Estimate
    at_least: float = -math.inf
    at_most: float = math.inf
    strict: bool = False
    """Whether the bounds themselves lie outside."""
    fails_below: float | None = None
    """The claim fails if the whole interval lies below this; `at_least` by default."""

    @property
    def verdict(self) -> Verdict:
        """Whether the whole interval is inside the bounds (holds), wholly outside them (fails), or neither."""
        low, high = self.estimate.low, self.estimate.high
        if math.isnan(self.estimate.value):
            return "not measured"
        if self.at_least < low and high < self.at_most:
            return "holds"
        if not self.strict and self.at_least <= low and high <= self.at_most:
            return "holds"
        below = self.at_least if self.fails_below is None else self.fails_below
        return "fails" if high < below or low > self.at_most else "undecided"

    def __str__(self) -> str:
        """Return "top 3 less top 1 .384 [.362, .401], n 500"."""
        return f"{self.what} {self.estimate}, n {self.estimate.n}"


def judge(checks: Sequence[Check]) -> Verdict:
    """Return the verdict of several checks: holds if all do, fails if one does, else undecided.

    Not measured where there is no check, or one of them was not measured.
    """
    verdicts = {check.verdict for check in checks}
    if not checks or "not measured" in verdicts:
        return "not measured"
    return "holds" if verdicts == {"holds"} else "fails" if "fails" in verdicts else "undecided"


def point(what: str, value: float, **bounds: Any) -> Check:
    """Return the check of a number that is judged without its interval.

    Args:
        what: What the number is.
        value: The number.
        bounds: Of `Check`.
    """
    return Check(what, Estimate(value, value, value, 1), **bounds)


def bounds(relation: Relation, margin: float = MARGIN) -> dict[str, float]:
    """Return the bounds of a difference, first less second, for a relation to hold.

    Args:
        relation: Of the first to the second.
        margin: The smallest difference that counts.
    """
    return {
        "more": {"at_least": 0.0},
        "not less": {"at_least": -margin},
        "not more": {"at_most": margin},
        "equal": {"at_least": -margin, "at_most": margin},
    }[relation]


# The literature


@dataclass(frozen=True)
class Claim:
    """A statement of the literature that can be measured."""

    statement: str
    """As a check of ours can hold or fail."""
    source: str
    published: str
    """What the source prints, and on which model."""
    pair: tuple[str, ...] = ()
    """Task (prosqa, prontoqa or gsm8k), method, `Relation`, method; "method/removed" and "method/tokens" for others of
    its measures than accuracy. Empty where the claim is not about two numbers of methods."""
    measure: tuple[Any, ...] = ()
    """Function of `reproduce/` and its arguments."""
    only: Literal["", "comparison", "reproduction"] = ""
    """The one study that judges it."""
    comparable: bool = True
    """Whether the published setting is ours in what the claim is about."""
    remark: str = ""
    """Why it is not comparable or was not measured, or what a difference may come from."""
    if_not: str = ""
    """A remark where it does not hold."""


@dataclass(frozen=True)
class _Literature:
    """The content of literature.yaml."""

    claims: dict[str, tuple[Claim, ...]]
    remarks: tuple[str, ...] = ()


@cache
def literature() -> Mapping[str, tuple[Claim, ...]]:
    """Return all claims of the literature by heading, in the order shown."""
    file = Path(__file__).with_name("literature.yaml")
    return build(_Literature, read_settings(file, "literature"), "literature").claims
