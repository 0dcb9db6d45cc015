"""Claims of the literature: a statement, its source, and what it is held against.

They stand in `literature.yaml`, one list for the comparison of methods and for the reproduction. Those of an audit's
card are `audit/card.yaml`. All are judged by `measure.verdicts`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from workbench.settings import build, read_settings


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
