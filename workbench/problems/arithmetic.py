"""Arithmetic word problems of GSM8k's kind (Cobbe et al., arXiv 2110.14168), small enough for one token a number.

Two to six operations, each a step in the notation of the iCoT files (Deng et al., arXiv 2405.14838):
"<<3*4=12>> <<9+12=21>> #### 21". Whole numbers only, in every step.

A problem is drawn as a `Story`, lines with numbers in them, and then put into words (`spell`). The validator calculates
every step again with fractions, from the words and from the story.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import yaml

from workbench.errors import WorkbenchError, clip
from workbench.problems.problem import Fault, Item
from workbench.problems.vocabulary import ENTITIES

Split = Literal["train", "test"]
Symbol = Literal["+", "-", "*", "/"]
Place = Literal["total", "n", "m", "last"]
"""Where a number comes from: the total so far, the two numbers of a line, the operation before on the same line."""


@dataclass(frozen=True)
class Operation:
    """One step: a symbol between two numbers."""

    symbol: Symbol
    left: Place
    right: Place


KINDS: dict[str, tuple[Operation, ...]] = {
    "start": (),
    "start_groups": (Operation("*", "n", "m"),),
    "add": (Operation("+", "total", "n"),),
    "subtract": (Operation("-", "total", "n"),),
    "multiply": (Operation("*", "total", "n"),),
    "divide": (Operation("/", "total", "n"),),
    "add_groups": (Operation("*", "n", "m"), Operation("+", "total", "last")),
    "subtract_groups": (Operation("*", "n", "m"), Operation("-", "total", "last")),
    "add_share": (Operation("/", "n", "m"), Operation("+", "total", "last")),
    "join_more": (Operation("+", "total", "n"), Operation("+", "total", "last")),
    "join_fewer": (Operation("-", "total", "n"), Operation("+", "total", "last")),
    "join_times": (Operation("*", "total", "n"), Operation("+", "total", "last")),
    "aside": (),
    "ask": (),
    "ask_price": (Operation("*", "total", "n"),),
    "ask_share": (Operation("/", "total", "n"),),
}
"""What each kind of line calculates; its last result is the new total ("start" makes n the total)."""
OPENINGS = ("start", "start_groups")
ENDINGS = ("ask", "ask_price", "ask_share")
EVENTS = tuple(kind for kind in KINDS if kind not in (*OPENINGS, *ENDINGS, "aside"))


_WORDS = yaml.safe_load(Path(__file__).with_name("wordings.yaml").read_text(encoding="utf-8"))
THINGS: tuple[str, ...] = tuple(_WORDS["things"])
BOXES: tuple[str, ...] = tuple(_WORDS["boxes"])
WORDINGS: dict[str, dict[Split, tuple[str, ...]]] = {
    kind: {split: tuple(texts) for split, texts in splits.items()} for kind, splits in _WORDS["wordings"].items()
}
"""Sentences by kind of line and split."""


@dataclass(frozen=True)
class Line:
    """One sentence of a story: what it calculates, with which numbers, in which wording."""

    kind: str
    """Key of `KINDS`."""
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
    """One operation with its numbers and its result."""

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
    """Return the operations of a story's lines in their order, calculated from its structure alone."""
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


STEP = re.compile(r"<<(\d+)([-+*/])(\d+)=(\d+)>>")
"""A step: two whole numbers, the symbol between them, and their result."""
_NUMBER = re.compile(r"\d+")
MOST_DIGITS = 30
"""Of a number that is calculated with; Python reads no more than 4,300 at once."""


def check(item: Item, limit: int | None = None, story: Story | None = None) -> list[Fault]:
    """Return all faults of an item.

    Checked: each step is one operation on whole numbers with the right result; its numbers stand in the question or
    are results of earlier steps; the last result is the answer; no number is above the limit. With the story that the
    item was made from, also: the question says the story, and the steps are the story's operations in their order,
    calculated again from its structure. Faulty content never raises.

    Args:
        item: Any item.
        limit: The largest number allowed.
        story: What the item was made from.
    """
    said = [item.question, item.answer, *item.steps]
    if long := [number for text in said for number in _NUMBER.findall(text) if len(number) > MOST_DIGITS]:
        return [Fault("question", f"{clip(long[0])} has {len(long[0])} digits; {MOST_DIGITS} are allowed")]
    faults = _steps(item)
    if limit is not None and not faults:
        large = [number for text in said for number in _NUMBER.findall(text) if int(number) > limit]
        if large:
            faults.append(Fault("question", f"{clip(large[0])} is above {limit}"))
    if item.options:
        faults.append(Fault("options", "there are some, but any number may answer"))
    return faults + (_story(item, story) if story else [])


def _steps(item: Item) -> list[Fault]:
    faults, known = [], {Fraction(number) for number in _NUMBER.findall(item.question)}
    results: list[str] = []
    for number, step in enumerate(item.steps, 1):
        where, match = f'step {number} ("{clip(step)}")', STEP.fullmatch(step)
        if match is None:
            return [*faults, Fault("steps", f'{where} is not of the form "<<9+12=21>>" with whole numbers')]
        left, right, result = (Fraction(match[group]) for group in (1, 3, 4))
        if match[2] == "/" and right == 0:
            faults.append(Fault("steps", f"{where} divides by 0"))
        elif (comes_to := apply(match[2], left, right)) != result:
            faults.append(Fault("steps", f"{where} comes to {comes_to}"))
        faults += [
            Fault("steps", f"{where}: {used} is neither in the question nor a result before")
            for used in (left, right)
            if used not in known
        ]
        known.add(result)
        results.append(match[4])
    if not results:
        return [Fault("steps", "there are none")]
    if item.answer != results[-1]:
        faults.append(Fault("answer", f'"{clip(item.answer)}" is not the last result, {results[-1]}'))
    if item.values and item.values != tuple(results):
        faults.append(Fault("values", f"{list(item.values)} are not the results {results}"))
    return faults


def _story(item: Item, story: Story) -> list[Fault]:
    faults = [] if spell(story) == item.question else [Fault("question", "it does not say its story")]
    try:
        right = sums(story)
    except ZeroDivisionError:
        return [*faults, Fault("steps", "the story divides by 0")]
    steps = tuple(str(done) for done in right)
    if steps != item.steps:
        faults.append(Fault("steps", f"the story asks for {' '.join(steps)}"))
    return faults


LIMIT = 99
"""The largest number by default."""
LEAST_LIMIT = 30
FEWEST, MOST = 2, 6
"""Operations of a story."""

_ASIDE = 0.2
"""Share of the stories with a number that is not needed."""
_TRIES = 4
"""Draws of numbers for one line before another kind is tried."""
_OPENING_WEIGHTS = (3, 1)
_ENDING_WEIGHTS = (4, 1, 1)


def arithmetic_items(
    seed: str, split: Split = "train", limit: int = LIMIT, operations: tuple[int, int] = (FEWEST, MOST)
) -> Iterator[Item]:
    """Yield items without end, each checked by `check`; the same arguments yield the same items.

    Args:
        seed: Seed of all randomness.
        split: Whose wordings; no wording is in both.
        limit: The largest number, in the question and in every step.
        operations: Fewest and most operations; each number between them is as likely.

    Raises:
        WorkbenchError: Limit or operations that are not offered.
    """
    fewest, most = operations
    what = "Cannot generate arithmetic problems."
    if limit < LEAST_LIMIT:
        why = f"{limit} as the largest number leaves too little to calculate."
        raise WorkbenchError(what, why, f"Use {LEAST_LIMIT} or more.")
    if not 1 <= fewest <= most <= 12:
        why = f"{fewest} to {most} operations are not offered."
        raise WorkbenchError(what, why, "Ask for 1 to 12 operations, the fewest first.")
    rng = random.Random(seed)
    while True:
        story, steps = draw_story(rng, split, limit, rng.randint(fewest, most))
        results = tuple(step[:-2].split("=")[1] for step in steps)
        item = Item("", spell(story), results[-1], steps, "arithmetic", results)
        faults = check(item, limit, story)
        if faults:
            raise AssertionError(f"a generated problem is faulty, please report it: {item} {faults}")
        yield item


def draw_story(rng: random.Random, split: Split, limit: int, operations: int) -> tuple[Story, tuple[str, ...]]:
    """Return a random story of that many operations, and its steps; all numbers are whole and from 1 to the limit."""
    name, other = rng.sample(ENTITIES, 2)
    while True:
        drawn = _lines(rng, split, limit, operations)
        if drawn:
            lines, steps = drawn
            return Story(split, name, other, rng.choice(THINGS), rng.choice(BOXES), tuple(lines)), tuple(steps)


def _lines(rng: random.Random, split: Split, limit: int, operations: int) -> tuple[list[Line], list[str]] | None:
    """Draw the lines of one story, and its steps; None where the numbers led nowhere."""
    (opening,) = rng.choices(OPENINGS, _OPENING_WEIGHTS)
    (ending,) = rng.choices(ENDINGS, _ENDING_WEIGHTS)
    left = operations - len(KINDS[opening]) - len(KINDS[ending])
    if left < 0:
        return None
    lines: list[Line] = []
    steps: list[str] = []
    total = 0
    offered: list[str] = [opening]
    while offered:
        drawn = None
        for kind in offered:
            drawn = drawn or _draw(rng, kind, split, total, limit)
        if drawn is None:
            return None
        line, done, total = drawn
        lines.append(line)
        steps += done
        if line.kind in EVENTS:
            left -= len(done)
        if line.kind in ENDINGS:
            offered = []
        elif left == 0:
            offered = [ending]
        else:
            offered = [kind for kind in EVENTS if len(KINDS[kind]) <= left]
            rng.shuffle(offered)
    if rng.random() < _ASIDE:
        aside = Line("aside", rng.randrange(len(WORDINGS["aside"][split])), rng.randint(2, 20))
        lines.insert(rng.randint(1, len(lines) - 1), aside)
    return lines, steps


def _draw(rng: random.Random, kind: str, split: Split, total: int, limit: int) -> tuple[Line, list[str], int] | None:
    """Draw a line of a kind: the line, its steps, the new total; None where no numbers were found that fit."""
    for _ in range(_TRIES):
        n, m = _numbers(rng, kind, total, limit)
        if n < 0:
            return None
        steps, last = [], n if kind == "start" else total
        for operation in KINDS[kind]:
            place = {"total": total, "n": n, "m": m, "last": last}
            left, right, symbol = place[operation.left], place[operation.right], operation.symbol
            if symbol == "/" and left % right:
                break
            last = {"+": left + right, "-": left - right, "*": left * right, "/": left // max(right, 1)}[symbol]
            if not 1 <= last <= limit:
                break
            steps.append(f"<<{left}{symbol}{right}={last}>>")
        else:
            if max(n, m) <= limit:
                return Line(kind, rng.randrange(len(WORDINGS[kind][split])), n, m), steps, last
    return None


def _numbers(rng: random.Random, kind: str, total: int, limit: int) -> tuple[int, int]:
    """Draw the one or two numbers of a line, negative where there are none; they may still not fit."""
    match kind:
        case "start":
            return rng.randint(2, limit * 2 // 3), 0
        case "start_groups" | "add_groups" | "subtract_groups":
            return rng.randint(2, 9), rng.randint(2, 9)
        case "add" | "join_more":
            return rng.randint(2, limit // 3), 0
        case "subtract" | "join_fewer":
            return (rng.randint(2, total - 1) if total > 2 else -1), 0
        case "multiply" | "join_times":
            return rng.randint(2, 5), 0
        case "divide" | "ask_share":
            divisors = [number for number in range(2, 13) if total % number == 0 and total > number]
            return (rng.choice(divisors) if divisors else -1), 0
        case "add_share":
            m = rng.randint(2, 9)
            return m * rng.randint(2, 9), m
        case "ask_price":
            return rng.randint(2, 9), 0
        case _:
            return 0, 0
