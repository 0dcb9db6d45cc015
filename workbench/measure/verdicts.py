"""The one rule of all verdicts: an audit's card, the comparison of methods and the claims of the literature.

A check is one number of ours and the bounds between which a claim wants it. The whole interval decides, never the
number alone:

- holds: the whole interval lies inside the bounds. For "within two points" these are two bounds: the claim holds only
  if both one-sided tests reject, as in an equivalence test (TOST, Schuirmann 1987), here each at 2.5 %.
- does not hold: the whole interval lies on the other side of a bound.
- undecided: a bound lies inside the interval; so it is, too, where the correction for the page's claims leaves a doubt.
- too few: fewer than `FEWEST` graphs, about which nothing is said.
- not measured: there is no number, or no interval.
- not comparable: what is claimed is about another kind of model or task.

A page makes many claims. `judge_page` holds the expected share of false ones among those that it decides below 5 %
(Benjamini & Hochberg 1995).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import scipy

from workbench.measure.statistics import CONFIDENCE, Estimate

Verdict = Literal["holds", "does not hold", "undecided", "too few", "not measured", "not comparable"]
Relation = Literal["more", "not less", "not more", "equal"]
"""Of a first number to a second. "not less": by no more than the margin; "equal": within it."""

MARGIN = 0.02
"""The smallest difference of shares that counts: two points."""
FEWEST = 20
"""Graphs below which nothing is said: intervals of fewer cover less than they say (tests/measure/test_coverage.py)."""
LEVEL = 1 - CONFIDENCE
"""Share of false verdicts among those that a page decides."""


@dataclass(frozen=True)
class Check:
    """One number of ours, and where its whole interval must lie for a claim to hold.

    Examples:
        >>> Check("accuracy", Estimate(0.95, 0.93, 0.97, 500), at_least=0.9).verdict
        'holds'
        >>> Check("accuracy", Estimate(0.95, 0.93, 0.97, 9), at_least=0.9).verdict
        'too few'
    """

    what: str
    """What the number is, in a few words."""
    estimate: Estimate
    at_least: float = -math.inf
    at_most: float = math.inf
    """An end of the interval that lies on a bound decides nothing."""

    @property
    def verdict(self) -> Verdict:
        """What the whole interval says."""
        low, high = self.estimate.low, self.estimate.high
        if math.isnan(self.estimate.value):
            return "not measured"
        if self.estimate.independent < FEWEST:
            return "too few"
        if math.isnan(low) or math.isnan(high):
            return "not measured"
        if self.at_least < low and high < self.at_most:
            return "holds"
        return "does not hold" if high < self.at_least or low > self.at_most else "undecided"

    @property
    def p(self) -> float:
        """Two-sided p-value of the verdict; 1 where nothing is decided.

        It is read off the interval (Altman & Bland 2011): the end towards the bound lies 1.96 standard errors from the
        value. So p is below .05 exactly where the bound lies outside the interval. To hold, both bounds must be
        excluded: the larger p counts.
        """
        if self.verdict == "holds":
            bounds = (self.at_least, self.at_most)
            return max((self._p(bound) for bound in bounds if math.isfinite(bound)), default=0.0)
        if self.verdict == "does not hold":
            return self._p(self.at_least if self.estimate.high < self.at_least else self.at_most)
        return 1.0

    def _p(self, bound: float) -> float:
        value = self.estimate.value
        end = self.estimate.low if bound < value else self.estimate.high
        if value == end:
            return 1.0 if value == bound else 0.0
        deviations = scipy.stats.norm.ppf((1 + CONFIDENCE) / 2) * (bound - value) / (end - value)
        return float(2 * scipy.stats.norm.sf(deviations))

    def __str__(self) -> str:
        """Return "top 3 less top 1 .384 [.362, .401], n 500"."""
        return f"{self.what} {self.estimate}, n {self.estimate.n}"


def judge(checks: Sequence[Check]) -> Verdict:
    """Return the verdict of one claim: holds if all of its checks do, does not hold if one does not, else undecided.

    Not measured where there is no check, or one of them was not measured; too few where one rests on too few graphs.
    """
    verdicts = {check.verdict for check in checks}
    if not checks:
        return "not measured"
    order: tuple[Verdict, ...] = ("not measured", "too few", "does not hold", "undecided")
    for first in order:
        if first in verdicts:
            return first
    return "holds"


@dataclass(frozen=True)
class Ruling:
    """The verdict of one claim among those of its page."""

    verdict: Verdict
    p: float | None = None
    """Of the verdict, before the correction; None where nothing was tested."""
    corrected: float | None = None
    """After it: the smallest share of false verdicts at which the page would still decide this claim."""


def judge_page(claims: Sequence[Sequence[Check]]) -> list[Ruling]:
    """Judge all claims of a page, corrected for their number (Benjamini & Hochberg 1995).

    The correction counts the claims that could be tested. One that is decided by its own interval, and whose corrected
    p-value is 5 % or more, is undecided. A claim of several checks has the largest p if it holds (all must) and the
    smallest, times their number, if it does not (one suffices).

    Args:
        claims: The checks of each claim. Leave out what is not comparable.

    Returns:
        A ruling per claim, in the order given.

    Examples:
        >>> sure, close = Estimate(0.8, 0.7, 0.9, 100), Estimate(0.8, 0.501, 0.95, 100)
        >>> [one.verdict for one in judge_page([[Check("a", sure, 0.5)], [Check("b", close, 0.5)]])]
        ['holds', 'holds']
        >>> judge_page([[Check("b", close, 0.5)]] + [[Check("c", close, 0.8)]] * 9)[0].verdict
        'undecided'
    """
    verdicts: list[Verdict] = [judge(checks) for checks in claims]
    tested = [place for place, one in enumerate(verdicts) if one in ("holds", "does not hold", "undecided")]
    p = {place: _p_of(claims[place], verdicts[place]) for place in tested}
    corrected = dict(zip(tested, scipy.stats.false_discovery_control([*p.values()]).tolist(), strict=True)) if p else {}
    found = []
    for place, verdict in enumerate(verdicts):
        doubtful = place in corrected and corrected[place] >= LEVEL
        found.append(Ruling("undecided" if doubtful else verdict, p.get(place), corrected.get(place)))
    return found


def _p_of(checks: Sequence[Check], verdict: Verdict) -> float:
    if verdict == "holds":
        return max(check.p for check in checks)
    against = [check.p for check in checks if check.verdict == verdict == "does not hold"]
    return min(1.0, min(against) * len(checks)) if against else 1.0


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
