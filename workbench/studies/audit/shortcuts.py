"""Battery 4. Would shortcuts do as well? Readers who do not know which entity is asked about; and what order does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from workbench.errors import WorkbenchError
from workbench.measure.splits import alike
from workbench.measure.statistics import logistic
from workbench.problems import graph
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import RULES, blind_score, floor, rule_scores, rules_of, source_depths
from workbench.problems.variants import options_exchanged, reordered
from workbench.studies.audit.base import Rows, Subject, where

FITTED = "fitted query-blind classifier"


def shortcuts(subject: Subject, rows: Rows) -> None:
    """Add accuracy beside query-blind readers, where they fail, and under changes that should not matter."""
    problems, options = subject.graphs, subject.options
    if not problems:
        _of_items(subject, rows)
        return
    own = subject.answered(problems)
    readers = {name: np.array([blind_score(one, rule) for one in problems]) for name, rule in RULES.items()}
    try:
        readers[FITTED] = fit_guesser(alike(problems, options.fit, options.seed + 1)).right(problems).astype(float)
    except WorkbenchError as error:
        rows.not_measured("accuracy", error.why, FITTED)
    best = max(readers, key=lambda name: readers[name].mean())
    rows.add(
        "accuracy", "the model", "right", own.right,
        control=f"best reader: {best}", control_values=readers[best],
    )  # fmt: skip
    for name, score in readers.items():
        rows.add("accuracy", name, "right", score)
    for name, score in readers.items():
        rows.add("where it fails", name, "right", where(own.right, score < 1))
        rows.add("where it is wrong", name, "agrees", where(own.wrong_option, score == 0))
    _orders(subject, rows, own.right)
    _mentions(problems, rows, own.right)


def _of_items(subject: Subject, rows: Rows) -> None:
    """Add accuracy beside the rules of the items' task that do not reason, and with sentences in another order."""
    items = [problem for problem in subject.problems if isinstance(problem, Item)]
    right, (best, level) = subject.answered(items).right, floor(items)
    rows.add("accuracy", "the model", "right", right, control=f"best reader: {best}", control_values=level)
    for place, name in enumerate(rules_of(items)):
        rows.add("accuracy", name, "right", [rule_scores(item)[place] for item in items])
    if items[0].task != "prontoqa":  # there sentences are premises, in any order
        rows.not_applicable("order", "the order of the sentences may matter")
        return
    mixed = subject.answered([reordered(item, subject.options.seed) for item in items]).right
    rows.add(
        "order", "sentences in another order", "right", mixed, control="as they were", control_values=right,
    )  # fmt: skip


def _orders(subject: Subject, rows: Rows, right: np.ndarray) -> None:
    """Ask again with the options, then the sentences, in another order."""
    problems, seed = subject.graphs, subject.options.seed
    exchanged = subject.answered([options_exchanged(problem) for problem in problems]).right
    first = np.array([problem.options[0] == problem.target for problem in problems])
    rows.add(
        "order", "target listed first", "right", np.where(first, right, exchanged),
        control="the same problems, target listed second",
        control_values=np.where(first, exchanged, right),
    )  # fmt: skip
    mixed = subject.answered([reordered(problem, seed) for problem in problems]).right
    rows.add(
        "order", "sentences in another order", "right", mixed,
        control="as they were", control_values=right,
    )  # fmt: skip


def _mentions(problems: list[Problem], rows: Rows, right: np.ndarray) -> None:
    """Split by how often, and how late, the target is mentioned; other problems, so no paired test."""
    parents = np.array([[one.adjacency[:, node].sum() for node in (one.target, one.negative)] for one in problems])
    late = np.array([_last_mention(one, one.target) - _last_mention(one, one.negative) for one in problems])
    for condition, counts in (
        ("target has fewer parents", parents[:, 0] < parents[:, 1]),
        ("target has more parents", parents[:, 0] > parents[:, 1]),
        ("target is mentioned later", late > 0),
        ("target is mentioned earlier", late < 0),
    ):
        rows.add("mentions", condition, "right", where(right, counts))


def _last_mention(problem: Problem, node: int) -> int:
    return max((place for place, edge in enumerate(problem.edges) if node in edge), default=-1)


# The fitted reader: logistic regression on the difference between the two options in all that the rules look at. So it
# is the same reader whichever option is listed first, but for the one feature that says which is.

PENALTY = 1.0
"""Weight of half the squared norm of the weights."""

FEATURES = (
    "distance from the nearest source", "distance from the farthest source", "ancestors", "sources above", "parents",
    "children", "descendants", "longest height", "node number", "first mention", "last mention", "listed first",
)  # fmt: skip
"""What the classifier sees of an option; mentions by their place among the sentences, in 0..1."""


@dataclass(frozen=True)
class Guesser:
    """A fitted query-blind classifier."""

    weights: Float[np.ndarray, " features"]
    """Of differences in standard deviations."""
    scale: Float[np.ndarray, " features"]

    def right(self, problems: Sequence[Problem]) -> Bool[np.ndarray, " n"]:
        """Say for each problem whether the target is the likelier option."""
        return differences(problems) / self.scale @ self.weights > 0


def features(problem: Problem, option: int) -> Float[np.ndarray, " features"]:
    """Return what a query-blind reader sees of an option, in the order of `FEATURES`."""
    adjacency = problem.adjacency
    above, below = graph.reachable(adjacency.T, option), graph.reachable(adjacency, option)
    sources = ~adjacency.any(0)
    mentions = [place for place, edge in enumerate(problem.edges) if option in edge]
    last = max(len(problem.edges) - 1, 1)
    return np.array(
        [
            source_depths(adjacency)[option], graph.longest_height(adjacency.T)[option], above.sum() - 1,
            (above & sources).sum(), adjacency[:, option].sum(), adjacency[option].sum(), below.sum() - 1,
            graph.longest_height(adjacency)[option], option,
            min(mentions, default=0) / last, max(mentions, default=0) / last, option == problem.options[0],
        ],
        dtype=float,
    )  # fmt: skip


def differences(problems: Sequence[Problem]) -> Float[np.ndarray, "n features"]:
    """Return the features of the target less those of the negative."""
    return np.stack([features(one, one.target) - features(one, one.negative) for one in problems])


def fit_guesser(problems: Sequence[Problem]) -> Guesser:
    """Fit the classifier; judge it on other problems.

    Args:
        problems: At least one.
    """
    seen = differences(problems)
    scale = np.where(seen.std(0) > 0, np.sqrt(np.square(seen).mean(0)), 1.0)
    fitted = logistic(seen / scale, np.ones(len(seen)), penalty=PENALTY, intercept=False)
    return Guesser(fitted.weights, scale)
