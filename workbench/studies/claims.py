"""Claims of the literature: a statement, its source, and whether our runs can speak to it.

They stand in `literature.yaml`, one list for the comparison of methods and for the reproduction. Where their numbers
must lie is in `bounds.yaml`. Those of an audit's card are `audit/card.yaml`. All are judged by `measure.verdicts`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from workbench.settings import build, read_settings

Tag = Literal["functional", "representational", "causal"]
"""What a claim is about: what the model answers, what can be read from it, or what an intervention shows."""


@dataclass(frozen=True)
class Claim:
    """A statement of the literature."""

    statement: str
    """As a number of ours can bear out or not."""
    source: str
    published: str
    """What the source prints, and on which model."""
    pair: tuple[str, ...] = ()
    """Task (prosqa, prontoqa or gsm8k), method, `Relation`, method: what the comparison judges; "method/removed" and
    "method/tokens" for others of its measures than accuracy. Empty where it judges nothing."""
    key: str = ""
    """Of the claim in bounds.yaml; empty where nothing is measured for it."""
    tag: Tag | None = None
    """None for what the comparison of methods alone judges."""
    assumes: tuple[str, ...] = ()
    """Keys of `Literature.assumptions`, without which the verdict does not follow from the numbers."""
    comparable: bool = True
    """Whether our runs can speak to the claim."""
    reason: str = ""
    """Why they can or cannot, in a sentence."""


@dataclass(frozen=True)
class Literature:
    """The content of literature.yaml."""

    claims: dict[str, tuple[Claim, ...]]
    """By heading, in the order shown."""
    assumptions: dict[str, str]
    """Each in half a sentence."""
    reasons: tuple[str, ...] = ()
    """Sentences that several claims share."""


@cache
def literature() -> Literature:
    """Return what the literature claims."""
    file = Path(__file__).with_name("literature.yaml")
    return build(Literature, read_settings(file, "literature"), "literature")


def claims_measured() -> Mapping[str, list[Claim]]:
    """Return by heading the claims that the reproduction shows: all with a tag."""
    return {heading: [one for one in group if one.tag] for heading, group in literature().claims.items()}
