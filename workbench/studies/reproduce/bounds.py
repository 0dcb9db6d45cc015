"""What is measured for each claim and where it must lie, frozen in `../bounds.yaml`, and the fresh problems."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench.measure.provenance import last_commit
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.settings import build, read_settings

FILE = Path(__file__).parents[1] / "bounds.yaml"
OTHERWISE = "otherwise"
"""Key of `Bounds.problems` for all runs not named."""

ROUNDS = 6
"""Steps over which neighbours count for the shape of a graph."""


@dataclass(frozen=True)
class Bound:
    """Where the whole intervals of some statistics must lie."""

    of: tuple[str, ...]
    """Statistics by name."""
    thoughts: tuple[int, ...] = ()
    """One of each for each of these; none where a statistic is not of a thought."""
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def statistics(self) -> list[str]:
        """Names of the statistics, as the functions that measure them give them."""
        return [at(name, k) for name in self.of for k in self.thoughts] if self.thoughts else list(self.of)

    def __str__(self) -> str:
        """Return "≥ 0.5"."""
        ends = [f"≥ {self.at_least:g}"] * math.isfinite(self.at_least) + [f"≤ {self.at_most:g}"] * math.isfinite(
            self.at_most
        )
        return " and ".join(ends)


def at(name: str, thought: int) -> str:
    """Return the name of a statistic of one thought."""
    return f"{name}, thought {thought}"


@dataclass(frozen=True)
class Plan:
    """What is measured for one claim."""

    run: str
    """The one that is judged."""
    measure: tuple[Any, ...]
    """Function of this package and its arguments."""
    checks: tuple[Bound, ...] = ()
    """None where the claim is not comparable: its numbers are shown."""
    beside: tuple[str, ...] = ()
    """Runs whose numbers are shown and never judged."""

    def bound_of(self, statistic: str) -> Bound | None:
        """Return the bound of a statistic, None where it has none."""
        return next((bound for bound in self.checks if statistic in bound.statistics), None)


@dataclass(frozen=True)
class Bounds:
    """The content of bounds.yaml."""

    fewest_graphs: int
    """Graphs below which nothing is said."""
    fresh: int
    """Problems to generate for each set."""
    sets: dict[str, dict[str, Any]]
    """How problems like those of a bundled set are generated: arguments of `problems.sets.generate`."""
    problems: dict[str, str]
    """The set of each run."""
    claims: dict[str, Plan] = field(default_factory=dict)
    """By `Claim.key`."""

    def set_of(self, run: str) -> str:
        """Return the name of the set that a run is measured on."""
        return self.problems.get(run, self.problems[OTHERWISE])


@cache
def frozen() -> Bounds:
    """Return the bounds as they stand in the file."""
    return build(Bounds, read_settings(FILE, "bounds"), "bounds")


def digest() -> str:
    """Return the SHA-256 of the file, which the page prints and the fresh problems are drawn by."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()


def commit() -> str | None:
    """Return the commit that last changed the file, None where this is no checkout."""
    return last_commit(FILE)


def fresh_problems(known: Iterable[Problem], count: int | None = None) -> Mapping[str, Sequence[Problem]]:
    """Generate problems like those of each bundled set that nobody can have looked at before the bounds were frozen.

    The seed is the beginning of the file's digest: who changes a bound gets other problems.

    Args:
        known: Bundled problems; a graph of the shape of one of theirs is left out.
        count: Problems of each set, by default as many as the bounds say.

    Returns:
        Problems by the name of their set; both questions of a graph, or neither.
    """
    count, seed, made = count or frozen().fresh, int(digest()[:8], 16), {}
    shapes = {shape(problem) for problem in known}
    for name, how in frozen().sets.items():
        arguments: dict[str, Any] = {"seed": seed, **how}
        drawn = [one for one in generate(count=2 * count, **arguments) if shape(one) not in shapes][:count]
        made[name] = [replace(problem, id=f"fresh-{problem.id}") for problem in drawn]
    return made


def shape(problem: Problem) -> tuple[int, ...]:
    """Return a mark of a problem's graph that does not depend on names or numbers (Weisfeiler & Lehman 1968).

    Graphs of equal shape have equal marks; that different ones have, too, is possible and rare.
    """
    matrix = problem.adjacency
    links = [(np.flatnonzero(matrix[node]), np.flatnonzero(matrix[:, node])) for node in range(len(matrix))]
    colours = [0] * len(links)
    for _ in range(ROUNDS):
        colours = [
            hash((own, *(tuple(sorted(colours[node] for node in side)) for side in around)))
            for own, around in zip(colours, links, strict=True)
        ]
    return tuple(sorted(colours))
