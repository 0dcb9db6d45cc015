"""What rules score that do not reason: an accuracy near theirs is no sign of reasoning."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from workbench.tasks.item import Item
from workbench.tasks.ontology import Claim, read_question

Rule = Callable[[Item], str]


def shortcut_accuracies(items: Sequence[Item], known: Sequence[Item] = ()) -> dict[str, float]:
    """Return the accuracy of every rule that applies to the items' task, 0 to 1.

    Args:
        items: Items of one task, at least one.
        known: Items that the commonest answer is taken from; by default the items themselves.
    """
    (commonest, _), *_ = Counter(item.answer for item in known or items).most_common(1)
    rules: dict[str, Rule] = {"the commonest answer": lambda item: commonest}
    rules |= _PRONTOQA if items[0].task == "prontoqa" else _NUMBERS
    return {name: sum(rule(item) == item.answer for item in items) / len(items) for name, rule in rules.items()}


def _read(item: Item) -> tuple[list[Claim], Claim]:
    premises, query, _ = read_question(item.question)
    if query is None:
        raise ValueError(f"{item.id} asks nothing")
    return premises, query


def _agrees(claim: Claim, query: Claim) -> str:
    return str(claim.negated == query.negated)


def _first_said(item: Item) -> str:
    premises, query = _read(item)
    return next(_agrees(claim, query) for claim in premises if claim.predicate == query.predicate)


def _last_said(item: Item) -> str:
    premises, query = _read(item)
    return next(_agrees(claim, query) for claim in reversed(premises) if claim.predicate == query.predicate)


def _more_negations(item: Item) -> str:
    premises, query = _read(item)
    negated = sum(claim.negated for claim in premises)
    properties = sum(not claim.kind for claim in premises)
    return str((2 * negated > properties) == query.negated)


def _nearest_said(item: Item) -> str:
    """Believe the sentence about the property that stands nearest to the one about the entity."""
    premises, query = _read(item)
    place = next(number for number, claim in enumerate(premises) if claim.subject == query.subject)
    said = [(abs(number - place), number) for number, c in enumerate(premises) if c.predicate == query.predicate]
    return _agrees(premises[min(said)[1]], query)


def _longer_chain(item: Item) -> str:
    """Believe what is said of the concept that more kinds lie beyond, without asking who reaches it."""
    premises, query = _read(item)
    above = {claim.subject: claim.predicate for claim in premises if claim.every and claim.kind}

    def beyond(claim: Claim) -> int:
        concept, count = claim.subject, 0
        while concept in above and count < len(above):
            concept, count = above[concept], count + 1
        return count

    return _agrees(max((c for c in premises if c.predicate == query.predicate), key=beyond), query)


_PRONTOQA: dict[str, Rule] = {
    'True unless it asks with "not"': lambda item: str(not _read(item)[1].negated),
    "what is said first of the property": _first_said,
    "what is said last of the property": _last_said,
    "what is said nearest to the entity": _nearest_said,
    "the sign that most properties have": _more_negations,
    "the property's longer chain": _longer_chain,
}


def _asked(item: Item) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", item.question)] or [0]


def _clipped(number: int) -> str:
    return str(max(0, number))


_NUMBERS: dict[str, Rule] = {
    "the first number": lambda item: str(_asked(item)[0]),
    "the last number": lambda item: str(_asked(item)[-1]),
    "the largest number": lambda item: str(max(_asked(item))),
    "the sum of all numbers": lambda item: str(sum(_asked(item))),
    "the first number less the others": lambda item: _clipped(2 * _asked(item)[0] - sum(_asked(item))),
    "the product of the last two numbers": lambda item: str(_asked(item)[-1] * (_asked(item)[-2:-1] or [1])[0]),
}
