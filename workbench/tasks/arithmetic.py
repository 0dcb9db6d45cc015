"""Arithmetic word problems of GSM8k's kind (Cobbe et al., arXiv 2110.14168), small enough for one token a number.

Two to six operations, each a step in the notation of the iCoT files (Deng et al., arXiv 2405.14838):
"<<3*4=12>> <<9+12=21>> #### 21". Whole numbers only, in every step.
"""

import random
from collections.abc import Iterator

from workbench.errors import WorkbenchError
from workbench.tasks.arithmetic_oracle import check
from workbench.tasks.item import Item
from workbench.tasks.stories import Line, Story, spell
from workbench.tasks.wordings import BOXES, ENDINGS, EVENTS, KINDS, OPENINGS, THINGS, WORDINGS, Split
from workbench.tokenizer import ENTITIES

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
    """Yield items without end, each checked by the oracle; the same arguments yield the same items.

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
    """Draw a story with so many operations, all numbers and results whole and from 1 to the limit; and its steps."""
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
