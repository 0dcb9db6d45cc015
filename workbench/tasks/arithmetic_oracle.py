"""The oracle of arithmetic word problems: every step calculated again, with fractions."""

import re
from fractions import Fraction

from workbench.oracle import Fault
from workbench.sentences import clip
from workbench.tasks.item import Item
from workbench.tasks.stories import Story, Sum, apply, spell, sums

_STEP = re.compile(r"<<(\d+)([-+*/])(\d+)=(\d+)>>")
_NUMBER = re.compile(r"\d+")


def check(item: Item, limit: int | None = None, story: Story | None = None) -> list[Fault]:
    """Return all faults of an item.

    Checked: each step is one operation on whole numbers and comes to what it says; its numbers stand in the question
    or are results of steps before; the last result is the answer; no number is above the limit. With the story it was
    made from, also: the question says the story, and the steps are the story's own operations in their order, each
    calculated again from the story's structure. Faulty content never raises.

    Args:
        item: Any item.
        limit: The largest number allowed.
        story: What the item was made from.
    """
    faults = _steps(item)
    said = [item.question, item.answer, *item.steps]
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
        where, match = f'step {number} ("{clip(step)}")', _STEP.fullmatch(step)
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
    if tuple(map(_plain, right)) != item.steps:
        faults.append(Fault("steps", f"the story asks for {' '.join(map(_plain, right))}"))
    return faults


def _plain(done: Sum) -> str:
    return str(done)
