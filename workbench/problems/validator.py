"""Everything that is wrong with a ProsQA problem. Every loader and generator asks."""

import re

from workbench.problems import graph
from workbench.problems.english import NAME, read_edge, read_question, split_sentences
from workbench.problems.problem import Fault, Problem

MOST_NODES = 256
"""The largest graph read; ProsQA has 14 to 28 nodes."""
MOST_EDGES = 8192


def check(problem: Problem) -> list[Fault]:
    """Return all faults of a problem; none means that every reading of its text and graph agrees.

    Checked: names are single words, all different; edges join existing nodes, none twice; the graph is
    acyclic; root and options exist; the root is an entity without parents; exactly one option, the
    target, can be reached; the steps are a shortest path from root to target in words; the answer names root
    and target; the question says the edges in their order, makes the entities entities, and asks for root and
    options. Faulty content never raises.
    """
    faults = _shape(problem)
    if faults:
        return faults  # the checks below would stumble over nodes that do not exist
    return _reachability(problem) + _words(problem)


def _shape(problem: Problem) -> list[Fault]:
    nodes = len(problem.names)
    faults = []
    if nodes > MOST_NODES:
        faults.append(Fault("names", f"{nodes} nodes are more than the {MOST_NODES} allowed"))
    seen: dict[str, int] = {}
    for node, name in enumerate(problem.names):
        if not re.fullmatch(NAME, name) or name in ("Every", "Is"):
            faults.append(Fault("names", f"node {node} is called {name[:80]!r}, which is not one plain word"))
        if name in seen:
            faults.append(Fault("names", f"nodes {seen[name]} and {node} are both called {name[:80]}"))
        seen.setdefault(name, node)
    known = range(nodes)
    so_far: set[tuple[int, int]] = set()
    for edge in problem.edges:
        source, destination = edge
        missing = [node for node in edge if node not in known]
        if missing:
            reason = f"edge {list(edge)}: node {missing[0]} does not exist ({nodes} nodes)"
            faults.append(Fault("edges", reason))
        elif source == destination:
            faults.append(Fault("edges", f"edge {list(edge)} joins {problem.names[source]} to itself"))
        if edge in so_far:
            faults.append(Fault("edges", f"edge {list(edge)} is there twice"))
        so_far.add(edge)
    for field in ("root", "target", "negative"):
        if getattr(problem, field) not in known:
            faults.append(Fault(field, f"node {getattr(problem, field)} does not exist ({nodes} nodes)"))
    if problem.target == problem.negative:
        faults.append(Fault("negative", "target and negative are the same node"))
    elif set(problem.options) != {problem.target, problem.negative}:
        faults.append(Fault("options", "the two options of the question are not the target and the negative"))
    return faults


def _reachability(problem: Problem) -> list[Fault]:
    faults = []
    cycle = graph.find_cycle(problem.adjacency)
    if cycle:
        faults.append(Fault("edges", "cycle: " + " → ".join(problem.names[node] for node in cycle)))
    root = problem.names[problem.root]
    parents = problem.adjacency[:, problem.root].nonzero()[0]
    if len(parents):
        parent = problem.names[parents[0]]
        faults.append(Fault("root", f"{root} is not an entity: it has the parent {parent}"))
    reachable = graph.reachable(problem.adjacency, problem.root)
    if not reachable[problem.target]:
        faults.append(Fault("target", f"{problem.names[problem.target]} cannot be reached from {root}"))
    if reachable[problem.negative]:
        faults.append(Fault("negative", f"{problem.names[problem.negative]} can be reached from {root}"))
    return faults


def _words(problem: Problem) -> list[Fault]:
    read, reasons = read_question(problem.question)
    faults = [Fault("question", reason) for reason in reasons]
    names = problem.names
    entities = tuple(node for node, name in enumerate(names) if name in read.entities)
    said = tuple((names[source], names[destination]) for source, destination in problem.edges)
    if read.edges != said:
        faults.append(_disagreement(read.edges, said))
    if read.root != names[problem.root]:
        faults.append(Fault("question", f'asks about "{read.root}", but the root is {names[problem.root]}'))
    if read.options != (names[problem.options[0]], names[problem.options[1]]):
        options = " or ".join(names[node] for node in problem.options)
        asked = " or ".join(read.options)
        faults.append(Fault("question", f'asks for "{asked}", but the options are {options}'))
    if entities != problem.entities:
        faults.append(Fault("entities", f"{list(problem.entities)} should be {list(entities)}, as the question has it"))
    answer = read_edge(problem.answer.removesuffix(".")) if problem.answer.endswith(".") else None
    if answer != (names[problem.root], names[problem.target], True):
        right = f"{names[problem.root]} is a {names[problem.target]}."
        faults.append(Fault("answer", f'"{problem.answer[:80]}" should be "{right}"'))
    return faults + _steps(problem, read.entities)


def _disagreement(read: tuple[tuple[str, str], ...], said: tuple[tuple[str, str], ...]) -> Fault:
    """Name one edge that only the text or only the graph has, else say that the order differs."""
    for wording, have, lack in (
        ("says {} → {}, which is no edge", read, said),
        ("does not say the edge {} → {}", said, read),
    ):
        lacked = set(lack)
        extra = [edge for edge in have if edge not in lacked]
        if extra:
            return Fault("question", wording.format(*extra[0]))
    return Fault("edges", "the edges are not in the order of the question's sentences")


def _steps(problem: Problem, entities: frozenset[str]) -> list[Fault]:
    here, faults = problem.names[problem.root], []
    numbers = {name: node for node, name in enumerate(problem.names)}
    for number, step in enumerate(problem.steps, 1):
        parts = split_sentences(step)
        edge = read_edge(parts[0]) if len(parts) == 1 else None
        where = f'step {number} ("{step[:80]}")'
        if edge is None:
            faults.append(Fault("steps", f'{where} is not a sentence like "Every terpus is a brimpus."'))
            return faults
        source, destination, entity = edge
        if source != here:
            faults.append(Fault("steps", f"{where} does not go on from {here}"))
        if (
            source not in numbers
            or destination not in numbers
            or not (problem.adjacency[numbers[source], numbers[destination]])
        ):
            faults.append(Fault("steps", f"{where} is no edge of the graph"))
        if entity != (source in entities):
            faults.append(Fault("steps", f"{where} is worded otherwise than in the question"))
        here = destination
    if here != problem.names[problem.target]:
        target = problem.names[problem.target]
        faults.append(Fault("steps", f"the steps end at {here}, not at the target {target}"))
    length = int(graph.hops(problem.adjacency, problem.root)[problem.target])
    if not faults and len(problem.steps) > length:
        faults.append(Fault("steps", f"{len(problem.steps)} steps, but the shortest path has {length}"))
    return faults
