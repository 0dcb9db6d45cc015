"""Counterfactual versions of a problem: one word or one edge changed, and the answer with it.

A model that searches follows the change. A rule that never reads the queried entity cannot follow the swap; a model
that has learned the shape of the graphs cannot follow the rewrite.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from workbench.problems import graph
from workbench.problems.problem import Item, Problem
from workbench.problems.prontoqa import OPTIONS, QUERY, derive, read_question
from workbench.problems.prosqa import make_problem

Asked = TypeVar("Asked", Problem, Item)
Edges = tuple[tuple[int, int], ...]


def twin(problem: Problem | Item) -> Problem | Item | None:
    """Return the problem that asks about another entity, so that the other option becomes right, if there is one.

    Of ProsQA that is `entity_swap`. Of ProntoQA, it asks the same about an entity of whom the opposite follows, and
    has no steps. Items of other tasks have none.
    """
    if isinstance(problem, Problem):
        return entity_swap(problem)
    if problem.task != "prontoqa":
        return None
    premises, query, _ = read_question(problem.question)
    if query is None:
        return None
    flipped = next(option for option in OPTIONS if option != problem.answer)
    for entity in sorted({claim.subject for claim in premises if not claim.every} - {query.subject}):
        known = derive(premises, entity)
        asked, opposite = ((query.predicate, query.negated is same) for same in (True, False))
        if (asked in known) != (opposite in known) and (asked in known) == (flipped == "True"):
            given, mark, rest = problem.question.rpartition(QUERY)
            question = f"{given}{mark}{rest.replace(query.subject, entity, 1)}"
            return Item(f"{problem.id}-swap", question, flipped, (), problem.task, options=OPTIONS)
    return None


def entity_swap(problem: Problem) -> Problem | None:
    """Return the problem that asks about another entity, so that the other option becomes right.

    Only the entity's name changes in the question. In the released files the other entity is node 1 - root, one of
    the two special roots. In general it is any entity from which the negative can be reached and the target cannot:
    node 1 - root if possible, else the lowest number. The id gets the suffix "-swap".

    Returns:
        The counterfactual problem, or None if no entity has the other answer.
    """
    up_target = graph.reachable(problem.adjacency.T, problem.target)
    up_negative = graph.reachable(problem.adjacency.T, problem.negative)
    open_roots = [node for node in problem.entities if up_negative[node] and not up_target[node]]
    if not open_roots:
        return None
    root = 1 - problem.root if 1 - problem.root in open_roots else open_roots[0]
    return _changed(problem, "swap", root=root, turned=True)


def other_target(problem: Problem, seed: int) -> Problem | None:
    """Return the problem that names another leaf in the target's place: the same graph, root and other option.

    What a thought holds of the paths to the first target, although another is asked for, is no judgement of that
    target. The leaf is reached from the root and is not the negative; it is drawn by seed and id, among those as far
    from the root as the target where there are any, else among all. The id gets the suffix "-other-target".

    Returns:
        The problem, or None if the root reaches no other leaf. Compare `graph.structure(...).length` of the two for
        whether it is as far.
    """
    depth = graph.hops(problem.adjacency, problem.root)
    leaves = (depth > 0) & ~problem.adjacency.any(axis=1)
    leaves[[problem.target, problem.negative]] = False
    near = leaves & (depth == depth[problem.target])
    open_ = np.flatnonzero(near if near.any() else leaves)
    if not open_.size:
        return None
    target = int(generator_of(problem, seed).choice(open_))
    return make_problem(
        f"{problem.id}-other-target", problem.names, problem.edges, problem.root, target, problem.negative,
        problem.options[0] == problem.target, entities=problem.entities,
    )  # fmt: skip


def edge_rewrites(problem: Problem) -> list[Problem]:
    """Return every problem in which one edge ends elsewhere and the other option becomes right.

    These are the single-edge rewrites of arXiv 2607.06648. The new destination is no entity, no present child, and
    closes no cycle; afterwards the negative can be reached and the target cannot. One sentence's last word changes in
    the question. The id gets the suffix "-rewrite-EDGE-NODE": the edge's place in `edges` and its new destination.
    A concept may lose its only parent in this way, the target its only sentence; it stays a concept.

    Returns:
        The counterfactual problems in the order of edges, then of new destinations; none if no edge is a bridge to
        the target.
    """
    eligible = np.ones(len(problem.names), dtype=bool)
    eligible[list(problem.entities)] = False
    matrix = problem.adjacency.copy()
    found = []
    for place, (source, destination) in enumerate(problem.edges):
        matrix[source, destination] = False
        reached = graph.reachable(matrix, problem.root)
        if reached[source] and not reached[problem.target]:  # else no new destination changes the answer
            up_target = graph.reachable(matrix.T, problem.target)
            up_negative = graph.reachable(matrix.T, problem.negative)
            up_source = graph.reachable(matrix.T, source)  # the source itself too: no edge to itself
            open_nodes = eligible & ~problem.adjacency[source] & ~up_source & up_negative & ~up_target
            for node in np.flatnonzero(open_nodes).tolist():
                found.append(
                    _changed(problem, f"rewrite-{place}-{node}", _elsewhere(problem, place, node), turned=True)
                )
        matrix[source, destination] = True
    return found


def drawn_rewrite(problem: Problem, seed: int, rewrites: Sequence[Problem] | None = None) -> Problem | None:
    """Return one of the edge rewrites, drawn by seed and id: the same whatever file the problem is in.

    Args:
        problem: A sound problem.
        seed: Seed of the draw.
        rewrites: `edge_rewrites(problem)`, if it is known already.

    Returns:
        The rewrite, or None if there is none.
    """
    rewrites = edge_rewrites(problem) if rewrites is None else rewrites
    return rewrites[int(generator_of(problem, seed).integers(len(rewrites)))] if rewrites else None


def generator_of(problem: Problem | Item, seed: int) -> np.random.Generator:
    """Return a random generator that depends on the seed and the problem's id alone."""
    return np.random.default_rng([seed, zlib.crc32(problem.id.encode())])


def _elsewhere(problem: Problem, place: int, node: int) -> Edges:
    """Return the edges, one of them ending at another node."""
    return (*problem.edges[:place], (problem.edges[place][0], node), *problem.edges[place + 1 :])


def _changed(
    problem: Problem, suffix: str, edges: Edges | None = None, root: int | None = None, *, turned: bool = False,
    exchanged: bool = False,
) -> Problem:  # fmt: skip
    """Return the problem with other edges or another root, the answer turned, or the options listed the other way."""
    target, negative = (problem.negative, problem.target) if turned else (problem.target, problem.negative)
    first = (problem.options[0] == target) != exchanged
    return make_problem(
        f"{problem.id}-{suffix}", problem.names, problem.edges if edges is None else edges,
        problem.root if root is None else root, target, negative, first, entities=problem.entities,
    )  # fmt: skip


# The same answer: controls of what changes it


def harmless_rewrite(problem: Problem, seed: int) -> Problem | None:
    """Return the problem with one edge ending elsewhere and the same answer: the control of a rewrite.

    As in `edge_rewrites`, the new destination is no entity, no present child, and closes no cycle. The root still
    reaches the target and not the negative. Only edges that leave a node within the root's reach are moved, since
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
                return _changed(problem, f"harmless-{place}-{node}", _elsewhere(problem, place, node))
    return None


def reordered(problem: Asked, seed: int) -> Asked:
    """Return the problem with its sentences in another order: the same premises, question and answer."""
    if isinstance(problem, Item):
        *said, asked = re.split(r"(?<=\.) (?!$)", problem.question)
        order = generator_of(problem, seed).permutation(len(said))
        return replace(
            problem, id=f"{problem.id}-reordered", question=" ".join([*(said[place] for place in order), asked])
        )
    order = generator_of(problem, seed).permutation(len(problem.edges)).tolist()
    return _changed(problem, "reordered", tuple(problem.edges[place] for place in order))


def other_root(problem: Problem) -> Problem | None:
    """Return the problem that asks about another entity of the same answer, None where there is no such entity."""
    target, negative = (graph.reachable(problem.adjacency.T, option) for option in (problem.target, problem.negative))
    open_ = [node for node in problem.entities if target[node] and not negative[node]]
    others = [node for node in open_ if node != problem.root]
    return _changed(problem, "other-root", root=others[0]) if others else None


def options_exchanged(problem: Problem) -> Problem:
    """Return the problem that lists its options in the other order."""
    return _changed(problem, "exchanged", exchanged=True)


def in_names_of(donor: Problem, problem: Problem, seed: int) -> Problem:
    """Return another problem in the names of this one: another graph, the same answer.

    Root and options have the names that they have in `problem`. The other nodes get names of its other nodes at random;
    if there are not enough, they keep their own names.

    Args:
        donor: Whose graph it is.
        problem: Whose names it bears.
        seed: Of the draw.
    """
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
