"""Problems that think in another's place: a rewrite of its answer, and the controls that have its own answer."""

from collections.abc import Sequence

import numpy as np

from workbench.interventions.thoughts import exchanged
from workbench.problems import graph
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem
from workbench.problems.variants import generator_of


def harmless_rewrite(problem: Problem, seed: int) -> Problem | None:
    """Return the problem with one edge ending elsewhere and the same answer: the control of a rewrite.

    As there, the new destination is no entity, no present child, and closes no cycle; the target stays within the
    root's reach and the negative out of it. Only edges that leave a node within the root's reach are moved, since
    those are what a rewrite moves. None where there is no such edge.
    """
    entities, rng = problem.entities, generator_of(problem, seed)
    reach = graph.reachable(problem.adjacency, problem.root)
    for place in rng.permutation(len(problem.edges)).tolist():
        source, destination = problem.edges[place]
        matrix = problem.adjacency.copy()
        matrix[source, destination] = False
        closed = problem.adjacency[source] | graph.reachable(matrix.T, source)
        for node in rng.permutation(np.flatnonzero(~closed)).tolist() if reach[source] else ():
            matrix[source, node] = True
            reached = graph.reachable(matrix, problem.root)
            matrix[source, node] = False
            if node not in entities and reached[problem.target] and not reached[problem.negative]:
                edges = (*problem.edges[:place], (source, node), *problem.edges[place + 1 :])
                return _same_answer(problem, f"{problem.id}-harmless-{place}-{node}", edges, problem.root)
    return None


def reordered(problem: Problem, seed: int) -> Problem:
    """Return the problem with its sentences in another order: the same graph, question and answer."""
    order = generator_of(problem, seed).permutation(len(problem.edges)).tolist()
    edges = tuple(problem.edges[place] for place in order)
    return _same_answer(problem, f"{problem.id}-reordered", edges, problem.root)


def other_root(problem: Problem) -> Problem | None:
    """Return the problem that asks about another entity of the same answer, None where there is no such entity."""
    target, negative = (graph.reachable(problem.adjacency.T, option) for option in (problem.target, problem.negative))
    open_ = [node for node in problem.entities if target[node] and not negative[node]]
    others = [node for node in open_ if node != problem.root]
    return _same_answer(problem, f"{problem.id}-other-root", problem.edges, others[0]) if others else None


def renamed(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """Return for each problem another of the set in its names: other graph, same answer.

    Root and options bear the names that they bear here, all other nodes names of this problem's other nodes, drawn;
    where the graph is larger, names of its own.
    """
    donors = exchanged(len(problems), seed)
    return [_in_names_of(problems[donor], problem, seed) for donor, problem in zip(donors, problems, strict=True)]


def _in_names_of(donor: Problem, problem: Problem, seed: int) -> Problem:
    rng, theirs, entities = generator_of(problem, seed), donor.entities, problem.entities
    names = {getattr(donor, one): problem.names[getattr(problem, one)] for one in ("root", "target", "negative")}
    for is_entity in (True, False):
        own = [name for node, name in enumerate(donor.names) if (node in theirs) == is_entity]
        here = [name for node, name in enumerate(problem.names) if (node in entities) == is_entity]
        free = [name for name in rng.permutation(here).tolist() if name not in names.values()]
        pool = iter([*free, *(name for name in own if name not in problem.names)])
        for node in range(len(donor.names)):
            if (node in theirs) == is_entity and node not in names:
                names[node] = next(pool)
    return make_problem(
        f"{problem.id}-renamed", [names[node] for node in range(len(names))], donor.edges,
        donor.root, donor.target, donor.negative, donor.options[0] == donor.target, entities=theirs,
    )  # fmt: skip


def _same_answer(problem: Problem, id: str, edges: Sequence[tuple[int, int]], root: int) -> Problem:
    first = problem.options[0] == problem.target
    return make_problem(
        id, problem.names, edges, root, problem.target, problem.negative, first, entities=problem.entities
    )


def options_exchanged(problem: Problem) -> Problem:
    """Return the problem that lists its options in the other order."""
    return make_problem(
        f"{problem.id}-exchanged", problem.names, problem.edges, problem.root, problem.target, problem.negative,
        problem.options[0] != problem.target, entities=problem.entities,
    )  # fmt: skip
