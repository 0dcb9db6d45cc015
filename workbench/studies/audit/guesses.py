"""What a reader gets who sees the graph and the two options, but not which entity is asked about.

Beside the simple rules of `blind`, a classifier that is fitted on all that they look at: logistic regression on the
difference between the two options, so that it cannot but be the same reader whichever is listed first, but for one
feature that says which is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit

from workbench.problems import graph
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import source_depths

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
    seen = seen / scale

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = seen @ weights
        value = float(np.logaddexp(0, -margin).sum() + PENALTY / 2 * weights @ weights)
        return value, PENALTY * weights - seen.T @ expit(-margin)

    return Guesser(minimize(loss, np.zeros(seen.shape[1]), jac=True, method="L-BFGS-B").x, scale)
