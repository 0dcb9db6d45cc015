"""Problems to fit lenses and probes on: never those that they are read on, nor their twins."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from workbench.errors import WorkbenchError
from workbench.measure.recording import Recording, memoize
from workbench.model.checkpoint import Checkpoint
from workbench.model.lens import residual_streams
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.sets import MOST_HOPS, MOST_NODES, generate

COUNT = 600
"""Problems generated to fit on, a compromise with time: with 400 a probe misses some of what it finds with 1500
(reference model, thought 2, layer 1: the nodes at hop 1 at an AUC of .63, and of .83)."""
LARGEST = 30_000_000
"""Parameters of the largest model for which more problems are run: beyond, a processor needs many minutes."""
FOLDS = 5
"""Parts of the set itself, where no other problems are run: each is read by what was fitted on the other parts."""

GENERATED, FOLDED = "generated problems", "other problems of the set"
_SEED = 20_000  # far from the seeds of the sets that ship


@dataclass(frozen=True)
class Split:
    """Problems to fit on, and which problems of a recording may be read with the result."""

    problems: tuple[Problem, ...]
    residual: Float[np.ndarray, "m columns streams d"]
    """Of those problems, at the end of the prompt and at every thought."""
    rows: Int[np.ndarray, " rows"]
    """Numbers of the recording's problems that share no graph with them."""
    source: str
    """`GENERATED` or `FOLDED`."""


@memoize
def splits(recording: Recording, count: int | None = None, seed: int = 0) -> list[Split]:
    """Return the problems to fit on for a recording: generated problems of the same shape, or parts of the set itself.

    Args:
        recording: Of a run without interventions.
        count: Problems to generate and run; 0 for parts of the set itself. By default `COUNT` for a model of at most
            `LARGEST` parameters and 0 for a larger one. Where such problems cannot be generated, parts of the set.
        seed: Of the generator, and of the division into parts.

    Raises:
        WorkbenchError: The set itself is to be divided, but all of its problems share one graph.
    """
    if problems := _generated(recording.checkpoint, recording.problems, count, seed):
        residual = residual_streams(recording.checkpoint, problems, recording.count)
        return [Split(tuple(problems), residual, np.arange(len(recording.problems)), GENERATED)]
    fold = folds(recording.problems, seed)
    residual = recording.residual[:, : recording.count + 1]
    found = []
    for number in np.unique(fold):
        other = np.flatnonzero(fold != number)
        problems = tuple(recording.problems[row] for row in other)
        found.append(Split(problems, residual[other], np.flatnonzero(fold == number), FOLDED))
    return found


def others(
    checkpoint: Checkpoint, problems: Sequence[Problem], asked: Problem, count: int | None = None, seed: int = 0
) -> tuple[list[Problem], str]:
    """Return the problems to fit on for one problem of a set, and their source; those generated serve the whole set.

    Args:
        checkpoint: The model.
        problems: The set.
        asked: The problem of the set that is to be read.
        count: As in `splits`.
        seed: As in `splits`.

    Raises:
        WorkbenchError: The set itself is to be divided, but all of its problems share one graph.
    """
    if made := _generated(checkpoint, problems, count, seed):
        return made, GENERATED
    fold = folds(problems, seed)
    (own,) = {int(fold[row]) for row, problem in enumerate(problems) if graph_key(problem) == graph_key(asked)}
    return [problem for problem, part in zip(problems, fold, strict=True) if part != own], FOLDED


def _generated(checkpoint: Checkpoint, problems: Sequence[Problem], count: int | None, seed: int) -> list[Problem]:
    if count is None:
        count = COUNT if sum(p.numel() for p in checkpoint.model.parameters()) <= LARGEST else 0
    try:
        return alike(problems, count, seed) if count else []
    except WorkbenchError:
        return []


def alike(problems: Sequence[Problem], count: int, seed: int = 0) -> list[Problem]:
    """Generate problems of about the size of others and as many steps, on other graphs; twins where those have twins.

    Raises:
        WorkbenchError: The generator cannot make graphs of such sizes.
    """
    lengths = Counter(min(structure(problem).length, MOST_HOPS) for problem in problems)
    # About a sixth of a graph's slots stay empty.
    nodes = round(float(np.mean([len(problem.names) for problem in problems])) / 0.84)
    known = {graph_key(problem) for problem in problems}
    family = "balanced" if len(known) < 0.6 * len(problems) else "released"
    made = _made(family, count, seed, tuple(sorted(lengths.items())), min(nodes, MOST_NODES))
    return [problem for problem in made if graph_key(problem) not in known]


@lru_cache(maxsize=4)  # every run and every reading of a set is fitted on the same problems
def _made(family: str, count: int, seed: int, lengths: tuple[tuple[int, int], ...], nodes: int) -> tuple[Problem, ...]:
    weights = {length: float(number) for length, number in lengths}
    return tuple(generate(family, count, _SEED + seed, weights, nodes))


def folds(problems: Sequence[Problem], seed: int = 0) -> Int[np.ndarray, " n"]:
    """Return for each problem its part, 0 to `FOLDS` - 1 at most; problems on one graph are in one part.

    Raises:
        WorkbenchError: There is only one graph.
    """
    keys = {key: number for number, key in enumerate(dict.fromkeys(graph_key(problem) for problem in problems))}
    if len(keys) < 2:
        raise WorkbenchError(
            "Nothing is left to fit on.",
            "All problems share one graph, and what was fitted on a graph must not be read on it.",
            "Give more problems, or let others be generated.",
        )
    part = np.random.default_rng(seed).permutation(len(keys)) % FOLDS
    return part[[keys[graph_key(problem)] for problem in problems]]


def graph_key(problem: Problem) -> tuple[str, ...]:
    """Return the key of a problem's graph, shared with its twins and edge rewrites alone: the names of its nodes."""
    return problem.names


def sources(recordings: Sequence[Recording]) -> dict[tuple[int, str], Recording]:
    """Return for each model, as it is fed, the recording that stands for it: where there is one, without interventions.

    The keys are those of `source_key`.
    """
    found: dict[tuple[int, str], Recording] = {}
    for recording in sorted(recordings, key=lambda one: bool(one.interventions)):
        found.setdefault(source_key(recording.checkpoint), recording)
    return found


def source_key(checkpoint: Checkpoint) -> tuple[int, str]:
    """Return the key that recordings share if they were made by the same weights, fed in the same way."""
    return id(checkpoint.model), checkpoint.fed


def source_rows(recording: Recording, source: Recording) -> Int[np.ndarray, " n"]:
    """Return the numbers that a recording's problems have in the recording that stands for its model.

    Args:
        recording: Of the same problems in the same order; a control may leave some out (`recording.record_controls`).
        source: Of `sources`.
    """
    numbers = enumerate(source.problems)
    return np.array([next(i for i, other in numbers if other.id == problem.id) for problem in recording.problems])
