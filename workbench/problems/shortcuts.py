"""Rules that answer without reasoning, and what they score: an accuracy near theirs is no sign of reasoning.

For ProsQA these are rules that choose between the two options without reading which entity is asked about. The option
farther from its nearest source is right in 91 % of the released test set, because a minimum path length was imposed on
the target only. For ProntoQA and arithmetic they read surface features: what is said first, the largest number.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from workbench.problems import graph
from workbench.problems.arithmetic import MOST_DIGITS
from workbench.problems.graph import Adjacency, NodeCounts
from workbench.problems.problem import Item, Problem
from workbench.problems.prontoqa import Claim, read_question

Options = tuple[int, int]
Scores = tuple[float | int, ...]
Rule = Callable[[Adjacency, Options], Scores]
"""From a graph and the two options, in the order listed, to a score of each; the higher one is chosen. A rule
sees neither root nor target, so it cannot but be query-blind."""


def source_depths(adjacency: Adjacency) -> NodeCounts:
    """Return each node's shortest distance in edges from any node without parents, 0 for those themselves."""
    return graph.shortest_height(adjacency.T)


def nearest_source(adjacency: Adjacency, options: Options) -> Scores:
    """Score an option by the distance from its nearest source: the strongest of the simple rules."""
    return tuple(source_depths(adjacency)[list(options)].tolist())


def nearest_source_then_ancestors(adjacency: Adjacency, options: Options) -> Scores:
    """Score by the distance from the nearest source, ties by the number of ancestors."""
    ancestors = more_ancestors(adjacency, options)
    near = nearest_source(adjacency, options)
    return tuple(depth + count / (len(adjacency) + 1) for depth, count in zip(near, ancestors, strict=True))


def farthest_source(adjacency: Adjacency, options: Options) -> Scores:
    """Score an option by the longest path from a source."""
    return tuple(graph.longest_height(adjacency.T)[list(options)].tolist())


def more_ancestors(adjacency: Adjacency, options: Options) -> Scores:
    """Score an option by how many nodes reach it."""
    return tuple(int(graph.reachable(adjacency.T, option).sum()) - 1 for option in options)


def lower_in_degree(adjacency: Adjacency, options: Options) -> Scores:
    """Score an option by how few parents it has, that is by how seldom the question mentions it."""
    return tuple(-int(adjacency[:, option].sum()) for option in options)


def larger_index(adjacency: Adjacency, options: Options) -> Scores:
    """Score an option by its node number: nodes built later have higher ones."""
    return tuple(float(option) for option in options)


def first_listed(adjacency: Adjacency, options: Options) -> Scores:
    """Choose the option that the question lists first."""
    return (1.0, 0.0)


RULES: dict[str, Rule] = {
    "nearest source": nearest_source,
    "nearest source, then ancestors": nearest_source_then_ancestors,
    "farthest source": farthest_source,
    "more ancestors": more_ancestors,
    "lower in-degree": lower_in_degree,
    "larger index": larger_index,
    "first listed": first_listed,
}
"""The query-blind rules of a report, by the name shown."""


def blind_score(problem: Problem, rule: Rule) -> float:
    """Return 1 if the rule chooses the target, 0 if the negative, 0.5 if it cannot tell them apart."""
    return _score(problem, rule(problem.adjacency, problem.options))


@lru_cache(maxsize=4096)
def blind_scores(problem: Problem) -> tuple[float, ...]:
    """Return the score of each of `RULES`, in their order."""
    return tuple(blind_score(problem, rule) for rule in RULES.values())


def best_rule(scores: Float[np.ndarray, "n rules"], names: Sequence[str] = ()) -> tuple[str, Float[np.ndarray, " n"]]:
    """Return the name of the rule that is right most often on a set, and its score on each problem.

    This is the floor of an accuracy on the set: what can be had without reading which entity is asked about. It is not
    assumed to be one half; on `released` it is .836. The rule is chosen on the set that it is judged on, which flatters
    it a little.

    Args:
        scores: `blind_scores` of each problem.
        names: Of the rules; by default of `RULES`.
    """
    best = int(scores.mean(0).argmax())
    return list(names or RULES)[best], scores[:, best]


def item_floor(
    answers: Sequence[str], task: str, scores: Float[np.ndarray, "n rules"]
) -> tuple[str, Float[np.ndarray, " n"]]:
    """Return the best of the rules that do not reason on items, the commonest right answer among them.

    Args:
        answers: The right answer of each item.
        task: Theirs.
        scores: `rule_scores` of each.
    """
    (commonest, _), *_ = Counter(answers).most_common(1)
    common = np.array([[float(answer == commonest)] for answer in answers])
    return best_rule(np.concatenate([common, scores], 1), [COMMONEST, *item_rules(task)])


def floor(problems: Sequence[Problem | Item]) -> tuple[str, Float[np.ndarray, " n"]]:
    """Return the best rule that does not reason on problems of one task, at least one, and its score on each.

    Examples:
        >>> from workbench.problems.sets import generate
        >>> floor(generate("balanced", 4, 0))[1].mean()
        np.float64(0.5)
    """
    first, scores = problems[0], np.array([rule_scores(problem) for problem in problems])
    return (
        item_floor([p.answer for p in problems], first.task, scores) if isinstance(first, Item) else best_rule(scores)
    )


def blind_accuracy(problems: Iterable[Problem], rule: Rule) -> float:
    """Return the mean score of a rule over problems, in 0..1 (ties count a half); nan without problems."""
    return _mean(blind_score(problem, rule) for problem in problems)


def blind_accuracies(problems: Sequence[Problem]) -> dict[str, float]:
    """Return the accuracy of every query-blind rule by its name."""
    return {name: blind_accuracy(problems, rule) for name, rule in RULES.items()}


def shortcut_resistant(problem: Problem) -> bool:
    """Return whether the nearest-source rule fails here: wrong or tied (one problem in seven)."""
    return blind_score(problem, nearest_source) < 1


def _score(problem: Problem, scores: Scores) -> float:
    by_option = dict(zip(problem.options, scores, strict=True))
    return float(forced_choice(by_option[problem.target], by_option[problem.negative]))


def forced_choice(target: ArrayLike | float | int, negative: ArrayLike | float | int) -> np.ndarray:
    """Return 1 where the target is preferred to the other option, 0 where it is not, 0.5 for ties.

    Beside the exact answer this tells lost ability from a broken format: a model that names neither option may still
    know the likelier one.

    Args:
        target: Probabilities, logits or scores of the target; nan where there are no options.
        negative: The same of the other option.
    """
    one, other = np.asarray(target, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    return np.where(np.isnan(one + other), np.nan, np.where(one == other, 0.5, one > other))


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return float(np.mean(listed)) if listed else float("nan")


ItemRule = Callable[[Item], str]
COMMONEST = "the commonest answer"


def shortcut_accuracies(items: Sequence[Item], known: Sequence[Item] = ()) -> dict[str, float]:
    """Return the accuracy of every rule that applies to the items' task, 0 to 1.

    Args:
        items: Items of one task, at least one.
        known: Items that the commonest answer is taken from; by default the items themselves.
    """
    (commonest, _), *_ = Counter(item.answer for item in known or items).most_common(1)
    rules: dict[str, ItemRule] = {COMMONEST: lambda item: commonest, **rules_of(items)}
    return {name: sum(rule(item) == item.answer for item in items) / len(items) for name, rule in rules.items()}


def item_rules(task: str) -> dict[str, ItemRule]:
    """Return the rules that do not reason on items of a task, but for the commonest answer, which is of a set.

    Those of every task but ProntoQA are about numbers, which may be the answers of one's own problems, too.
    """
    return {"prontoqa": _PRONTOQA}.get(task, _NUMBERS)


def rules_of(items: Sequence[Item]) -> dict[str, ItemRule]:
    """Return the `item_rules` of items of one task; none about numbers where no answer is a number."""
    rules = item_rules(items[0].task)
    return rules if rules is not _NUMBERS or any(item.numeric for item in items) else {}


def rule_scores(problem: Problem | Item) -> tuple[float, ...]:
    """Return the score of each rule of the problem's task: of `RULES`, of an item of `item_rules`."""
    if isinstance(problem, Problem):
        return blind_scores(problem)
    return tuple(float(rule(problem) == problem.answer) for rule in item_rules(problem.task).values())


def _read(item: Item) -> tuple[list[Claim], Claim]:
    premises, query, _ = read_question(item.question)
    if query is None:
        raise ValueError(f"{item.id} asks nothing")
    return premises, query


def _agrees(claim: Claim, query: Claim) -> str:
    return str(claim.negated == query.negated)


def _said(item: Item, place: int) -> str:
    """Believe the first (0) or the last (-1) sentence about the property."""
    premises, query = _read(item)
    return _agrees([claim for claim in premises if claim.predicate == query.predicate][place], query)


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


_PRONTOQA: dict[str, ItemRule] = {
    'True, or False where the question has "not"': lambda item: str(not _read(item)[1].negated),
    "the first sentence about the property": partial(_said, place=0),
    "the last sentence about the property": partial(_said, place=-1),
    "the sentence about the property nearest to the entity's": _nearest_said,
    "the sign that most properties have": _more_negations,
    "the concept with the longer chain above it": _longer_chain,
}


def _asked(item: Item) -> list[int]:
    # Longer ones are no numbers to calculate with, and those of over 4,300 digits Python does not read.
    return [int(number) for number in re.findall(r"\d+", item.question) if len(number) <= MOST_DIGITS] or [0]


def _clipped(number: int) -> str:
    return str(max(0, number))


_NUMBERS: dict[str, ItemRule] = {
    "the first number": lambda item: str(_asked(item)[0]),
    "the last number": lambda item: str(_asked(item)[-1]),
    "the largest number": lambda item: str(max(_asked(item))),
    "the sum of all numbers": lambda item: str(sum(_asked(item))),
    "the first number less the others": lambda item: _clipped(2 * _asked(item)[0] - sum(_asked(item))),
    "the product of the last two numbers": lambda item: str(_asked(item)[-1] * (_asked(item)[-2:-1] or [1])[0]),
}
