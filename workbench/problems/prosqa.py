"""ProsQA problems made: from a bare question text, from a graph, from the fields of an official file."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise

from workbench.errors import WorkbenchError, listed
from workbench.problems import graph
from workbench.problems.english import MOST_CHARACTERS, is_a, parentless, question_text, read_question
from workbench.problems.problem import Problem
from workbench.problems.validator import MOST_NODES, check


def parse_question(text: str) -> Problem:
    """Read a bare question ("Tom is a terpus. ... Is Tom a lempus or scrompus?") into a problem.

    The graph is read from the sentences; target and negative, steps and answer are worked out from it. Nodes
    are numbered in the order of their first mention. The id is made from the text: same text, same id.

    Raises:
        WorkbenchError: naming every sentence that cannot be read, or what is wrong with the whole.
    """
    what, do = "This is not a ProsQA question.", "Correct the text: one sentence per edge, the question last."
    if len(text) > MOST_CHARACTERS:
        why = f"The text has {len(text)} characters; {MOST_CHARACTERS} are allowed."
        raise WorkbenchError(what, why, do)
    read, reasons = read_question(text)
    names = tuple(dict.fromkeys(name for edge in read.edges for name in edge))
    reasons += [
        f"{name} is asked about, but no sentence mentions it"
        for name in dict.fromkeys((read.root, *read.options))
        if name and name not in names
    ]
    if read.root and read.root in names and read.root not in read.entities:
        reasons.append(f'{read.root} is asked about, but no sentence has the form "{read.root} is a ..."')
    if read.root and read.options[0] == read.options[1]:
        reasons.append(f"both options are {read.options[0]}")
    if len(names) > MOST_NODES:
        reasons.append(f"{len(names)} names are more than the {MOST_NODES} allowed")
    if reasons:
        raise WorkbenchError(what, "\n       ".join(listed(reasons)), do)
    node = {name: number for number, name in enumerate(names)}
    edges = tuple((node[source], node[destination]) for source, destination in read.edges)
    adjacency = graph.from_edges(len(names), edges)
    if cycle := graph.find_cycle(adjacency):
        raise WorkbenchError(what, "The sentences go in a circle: " + " → ".join(names[n] for n in cycle), do)
    options = (node[read.options[0]], node[read.options[1]])
    reached = [n for n in options if graph.reachable(adjacency, node[read.root])[n]]
    if len(reached) != 1:
        number = "more than one" if reached else "none"
        pair = f"{read.options[0]} and {read.options[1]}"
        why = f"Exactly one of {pair} must follow from the sentences about {read.root}; {number} does."
        raise WorkbenchError(what, why, do)
    (target,) = reached
    made = make_problem(
        "question-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12], names, edges,
        node[read.root], target, options[options[0] == target], options[0] == target,
        entities={node[name] for name in read.entities},
    )  # fmt: skip
    problem = replace(made, question=" ".join(text.split()))
    if faults := check(problem):
        raise WorkbenchError(what, "\n       ".join(listed([fault.reason for fault in faults])), do)
    return problem


def make_problem(
    id: str,
    names: Sequence[str],
    edges: Sequence[tuple[int, int]],
    root: int,
    target: int,
    negative: int,
    target_first: bool,
    *,
    path: Sequence[int] | None = None,
    entities: Collection[int] | None = None,
) -> Problem:
    """Put a graph and a question about it into words. The result is not checked: ask `validator.check`.

    Args:
        id: The problem's id.
        names: Name of each node.
        edges: (source, destination) nodes in the order in which the question says them.
        root: The entity asked about.
        target: The option that can be reached.
        negative: The option that cannot.
        target_first: Whether the question lists the target first.
        path: The shortest path to give as steps, root first; by default the first by node numbers.
        entities: Nodes written as "Tom is a ..."; by default those without parents.
    """
    edges = tuple((int(source), int(destination)) for source, destination in edges)
    root, target, negative = int(root), int(target), int(negative)
    options = (target, negative) if target_first else (negative, target)
    if entities is None:
        entities = parentless(len(names), edges)
    if path is None:
        path = graph.shortest_path(graph.from_edges(len(names), edges), root, target)
    return Problem(
        id=id,
        question=question_text(names, edges, root, options, entities),
        answer=f"{names[root]} is a {names[target]}.",
        steps=tuple(is_a(names[a], names[b], a in entities) for a, b in pairwise(path)),
        names=tuple(names),
        edges=edges,
        root=root,
        target=target,
        negative=negative,
        options=options,
        entities=tuple(sorted({source for source, _ in edges if source in entities})),
    )


def as_published(
    id: str,
    question: str,
    answer: str,
    steps: Sequence[str],
    names: Sequence[str],
    edges: Sequence[tuple[int, int]],
    root: int,
    target: int,
    negative: int,
) -> Problem:
    """Return the problem that the fields of an official file state; it is not checked: ask `validator.check`.

    Official files list the edges by destination and shuffle the sentences. The edges of the problem, its options and
    its entities are as the question has them.
    """
    read, _ = read_question(question)
    place = {edge: number for number, edge in enumerate(read.edges)}
    if all(max(edge) < len(names) for edge in edges):
        edges = sorted(edges, key=lambda edge: place.get((names[edge[0]], names[edge[1]]), len(place)))
    asked = [names.index(name) if name in names else -1 for name in read.options]
    return Problem(
        id=id,
        question=question,
        answer=answer,
        steps=tuple(steps),
        names=tuple(names),
        edges=tuple(edges),
        root=root,
        target=target,
        negative=negative,
        options=(negative, target) if asked == [negative, target] else (target, negative),
        entities=tuple(node for node, name in enumerate(names) if name in read.entities),
    )
