"""Arithmetic stories: lines with numbers in them, before they become words."""

import re
from dataclasses import dataclass
from fractions import Fraction

from workbench.tasks.wordings import BOXES, KINDS, THINGS, WORDINGS, Operation, Split
from workbench.tokenizer import ENTITIES


@dataclass(frozen=True)
class Line:
    """One sentence of a story: what it calculates, with which numbers, in which wording."""

    kind: str
    """Key of `wordings.KINDS`."""
    wording: int
    """Which of the split's wordings of this kind."""
    n: int
    m: int = 0
    """The second number, for kinds that have one."""


@dataclass(frozen=True)
class Story:
    """A word problem: an opening, events, asides, and an ending that asks."""

    split: Split
    name: str
    other: str
    things: str
    box: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Sum:
    """One operation with its numbers, and what it comes to."""

    symbol: str
    left: Fraction
    right: Fraction
    result: Fraction

    def __str__(self) -> str:
        """Return the step in the notation of GSM8k's calculator: "<<9+12=21>>"."""
        return f"<<{self.left}{self.symbol}{self.right}={self.result}>>"


def apply(symbol: str, left: Fraction, right: Fraction) -> Fraction:
    """Return left symbol right, exactly.

    Raises:
        ZeroDivisionError: A division by nothing.
    """
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right
    return left * right if symbol == "*" else left / right


def sums(story: Story) -> list[Sum]:
    """Return the operations that a story's lines ask for, in order, from its structure alone."""
    total, done = Fraction(0), []
    for line in story.lines:
        made, total = _line_sums(KINDS[line.kind], line, total)
        done += made
    return done


def _line_sums(operations: tuple[Operation, ...], line: Line, total: Fraction) -> tuple[list[Sum], Fraction]:
    last, done = Fraction(line.n) if line.kind == "start" else total, []
    for operation in operations:
        place = {"total": total, "n": Fraction(line.n), "m": Fraction(line.m), "last": last}
        left, right = place[operation.left], place[operation.right]
        last = apply(operation.symbol, left, right)
        done.append(Sum(operation.symbol, left, right, last))
    return done, last


def spell(story: Story) -> str:
    """Return a story in words."""
    return " ".join(
        WORDINGS[line.kind][story.split][line.wording].format(
            name=story.name, other=story.other, things=story.things, box=story.box, n=line.n, m=line.m
        )
        for line in story.lines
    )


def story_words() -> list[str]:
    """Return every word that a story can say, lower case, in the alphabet's order; numbers left out."""
    texts = [text for splits in WORDINGS.values() for texts in splits.values() for text in texts]
    said = {word for text in texts for word in re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text).lower())}
    return sorted(said | set(THINGS) | set(BOXES) | {name.lower() for name in ENTITIES})
