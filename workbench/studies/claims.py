"""A published claim, the estimates that it is held against, and the verdict that follows from their intervals."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workbench.measure.statistics import Estimate
from workbench.studies.reproduce.material import Material

Verdict = Literal["reproduced", "not reproduced", "undecided", "not comparable", "not measured"]

MARGIN = 0.02
"""What counts as the same share: two points."""


@dataclass(frozen=True)
class Check:
    """One number of ours, and where its whole interval must lie for the claim to hold."""

    what: str
    """What the number is, in a few words."""
    estimate: Estimate
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether the whole interval is inside the bounds."""
        return self.estimate.low >= self.at_least and self.estimate.high <= self.at_most

    @property
    def fails(self) -> bool:
        """Whether the whole interval is outside them."""
        return self.estimate.high < self.at_least or self.estimate.low > self.at_most

    def __str__(self) -> str:
        """Return "top 3 less top 1 .384 [.362, .401], n 500"."""
        return f"{self.what} {self.estimate}, n {self.estimate.n}"


@dataclass(frozen=True)
class Finding:
    """What our runs say of a claim."""

    on: str
    """Run and problem set."""
    checks: tuple[Check, ...] = ()
    beside: str = ""
    """Controls and chance levels."""
    why: str = ""
    """Why it is not comparable or was not measured, or what the difference may come from."""
    comparable: bool = True
    """Whether the published setting is ours in what the claim is about."""

    @property
    def verdict(self) -> Verdict:
        """Reproduced if every check holds, not reproduced if one fails, else undecided."""
        if not self.comparable:
            return "not comparable" if self.checks else "not measured"
        if any(math.isnan(check.estimate.value) for check in self.checks) or not self.checks:
            return "not measured"
        if all(check.holds for check in self.checks):
            return "reproduced"
        return "not reproduced" if any(check.fails for check in self.checks) else "undecided"


@dataclass(frozen=True)
class Claim:
    """A statement of the literature that can be measured."""

    text: str
    """The statement, as a check of ours can hold or fail."""
    source: str
    published: str
    """What the source prints, and on which model."""
    measure: Callable[[Material], Finding]
