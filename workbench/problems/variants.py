"""Counterfactual twins of a problem: one word or one edge changed, and the answer with it.

A model that searches follows the change; a rule that never reads the queried entity cannot follow the swap,
and a model that has learned the graph's shape cannot follow the rewrite.
"""

import re

import numpy as np

from workbench.problems import graph
from workbench.problems.english import entity_names
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem


def entity_swap(problem: Problem) -> Problem | None:
    """Return the problem that asks about another entity, so that the other option becomes right.

    Only the entity's name changes in the question. In the released files it is node 1 - root, one of the two
    special roots; in general any entity from which the negative can be reached and the target cannot, node 1
    - root preferred, then the lowest number. The id gets the suffix "-swap".

    Returns:
        The twin, or None where no entity turns the answer round.
    """
    up_target = graph.reachable(problem.adjacency.T, problem.target)
    up_negative = graph.reachable(problem.adjacency.T, problem.negative)
    entities = _entities(problem)
    open_roots = [node for node in sorted(entities) if up_negative[node] and not up_target[node]]
    if not open_roots:
        return None
    root = 1 - problem.root if 1 - problem.root in open_roots else open_roots[0]
    return _twin(problem, f"{problem.id}-swap", problem.edges, root, entities)


def edge_rewrites(problem: Problem) -> list[Problem]:
    """Return every problem in which one edge ends elsewhere and the other option becomes right.

    The new destination is no entity, no present child, and closes no cycle; afterwards the target is out of
    reach and the negative within it (the single-edge rewrites of arXiv 2607.06648). One sentence's last word
    changes in the question. The id gets the suffix "-rewrite-EDGE-NODE": the edge's place in `edges` and its
    new destination.

    A concept may lose its only parent in this way, the target its only sentence; it stays a concept.

    Returns:
        The twins in the order of edges, then of new destinations; none where no edge is a bridge to the
        target.
    """
    entities = _entities(problem)
    eligible = np.ones(len(problem.names), dtype=bool)
    eligible[list(entities)] = False
    matrix = problem.adjacency.copy()
    twins = []
    for place, (source, destination) in enumerate(problem.edges):
        matrix[source, destination] = False
        reached = graph.reachable(matrix, problem.root)
        if reached[source] and not reached[problem.target]:  # else the rewrite could not turn the answer round
            up_target = graph.reachable(matrix.T, problem.target)
            up_negative = graph.reachable(matrix.T, problem.negative)
            up_source = graph.reachable(matrix.T, source)  # the source itself too: no edge to itself
            open_nodes = eligible & ~problem.adjacency[source] & ~up_source & up_negative & ~up_target
            for node in np.flatnonzero(open_nodes).tolist():
                edges = (*problem.edges[:place], (source, node), *problem.edges[place + 1 :])
                id = f"{problem.id}-rewrite-{place}-{node}"
                twins.append(_twin(problem, id, edges, problem.root, entities))
        matrix[source, destination] = True
    return twins


def original_id(id: str) -> str:
    """Return the id of the problem that a twin was made from; an id without suffix is its own."""
    return re.sub(r"-swap$|-rewrite-\d+-\d+$", "", id)


def _entities(problem: Problem) -> frozenset[int]:
    named = entity_names(problem.question)
    return frozenset(node for node, name in enumerate(problem.names) if name in named)


def _twin(
    problem: Problem, id: str, edges: tuple[tuple[int, int], ...], root: int, entities: frozenset[int]
) -> Problem:
    target_first = problem.options[0] == problem.negative  # the twin's target is the negative of the original
    return make_problem(
        id, problem.names, edges, root, problem.negative, problem.target, target_first, entities=entities
    )
