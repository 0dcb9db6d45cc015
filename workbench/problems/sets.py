"""Generated problems: from arrays of graphs and questions to problems in words, and the sets that ship.

Generated problems of the tasks beside ProsQA, by name.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from workbench.errors import WorkbenchError
from workbench.problems import random_graphs as generators
from workbench.problems.arithmetic import LIMIT, Split, arithmetic_items
from workbench.problems.files import save_items, save_problems
from workbench.problems.graph import Adjacency
from workbench.problems.problem import Item, Problem
from workbench.problems.prontoqa import HOPS, prontoqa_items
from workbench.problems.prosqa import make_problem
from workbench.problems.random_graphs import FAMILIES, Graphs, Questions, ask_both, ask_deepest
from workbench.problems.validator import check
from workbench.problems.variants import edge_rewrites, entity_swap
from workbench.problems.vocabulary import CONCEPTS, ENTITIES

RELEASED_HOPS = {3: 0.407, 4: 0.438, 5: 0.131, 6: 0.024}
"""Share of each distance from root to target in 800 released problems."""
FAR_HOPS = dict.fromkeys(range(7, 13), 1.0)
"""Farther than ProsQA ever asks."""
MOST_HOPS = 12
MOST_NODES = 55
"""Node slots of a generated graph: there are no more names."""

_DEEPEST = {"algorithm1": 5, "released": 6, "balanced": 5}
"""Hops that a family's graphs reach often enough; for more, growth begins with two long paths."""
_MOST_GRAPHS = 200_000
"""Graphs grown for one distance before it is given up."""


def generate(
    family: str,
    count: int,
    seed: int,
    hop_weights: dict[int, float] | None = None,
    nodes: int | None = None,
) -> list[Problem]:
    """Generate problems, each checked by the oracle; the same arguments give the same problems.

    Args:
        family: "algorithm1" (graphs as printed in arXiv 2412.06769, appendix A.2), "released" (graphs and questions
            nearest to the released files) or "balanced" (released graphs, each asked from both roots with targets
            equally far: problem 2i + 1 is the entity-swapped twin of 2i, and no query-blind rule beats one half).
        count: Number of problems.
        seed: Seed of all randomness.
        hop_weights: Relative weight of each distance from root to target, 1 to 12; as released by default. Beyond
            5 or 6 hops the graphs grow from two long paths, since the families hardly get that deep.
        nodes: Node slots of a graph, about a fifth of which stay isolated and are dropped; 28 by default, more for
            targets beyond 6 hops.

    Raises:
        WorkbenchError: for an unknown family, or for hops and nodes that cannot be had.
    """
    what = f"Cannot generate {count} problems."
    if family not in FAMILIES:
        raise WorkbenchError(what, f'There is no family "{family}".', f"Use one of {', '.join(FAMILIES)}.")
    if count < 1:
        raise WorkbenchError(what, "The number of problems must be at least 1.", "Ask for one or more.")
    weights = RELEASED_HOPS if hop_weights is None else hop_weights
    wrong = [hop for hop in weights if not 1 <= hop <= MOST_HOPS]
    if wrong or not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        why = f"A target {wrong[0]} hops away is not offered." if wrong else "The weights of the hops are not positive."
        raise WorkbenchError(what, why, f"Give hops from 1 to {MOST_HOPS} with positive weights.")
    if nodes is not None and not 4 <= nodes <= MOST_NODES:
        raise WorkbenchError(what, f"{nodes} nodes are not offered.", f"Use 4 to {MOST_NODES} nodes.")
    per_graph = 2 if family == "balanced" else 1
    rng = np.random.default_rng([seed, zlib.crc32(family.encode())])
    share = np.array(list(weights.values()))
    # Largest remainders would be exact; a draw is what a file of independent problems has.
    order = rng.choice(list(weights), -(-count // per_graph), p=share / share.sum())
    pools = {
        int(hop): _at_hop(
            family, int(hop), int((order == hop).sum()), nodes or (28 if hop <= max(RELEASED_HOPS) else 36), rng
        )
        for hop in np.unique(order)
    }
    problems = [problem for hop in order for problem in pools[int(hop)].pop()]
    return [replace(problem, id=_id(family, place, per_graph)) for place, problem in enumerate(problems[:count])]


def problems_of(graphs: Graphs, asked: Questions, rng: np.random.Generator) -> list[Problem]:
    """Put questions into words: names drawn anew for every graph, sentences in random order, one shortest path.

    Args:
        graphs: The graphs asked about.
        asked: The questions; those of the same graph must follow each other, and get the same names and sentences.
        rng: Source of all randomness.

    Returns:
        One problem per question, with an empty id; nodes are numbered as in the graph, isolated slots left out.
    """
    length = int(asked.hops.max(initial=0))
    paths = generators.sample_paths(graphs, asked.graph, asked.root, asked.target, length, rng)
    problems = []
    last, names, edges, place = -1, (), [], {}
    for question, graph in enumerate(asked.graph.tolist()):
        if graph != last:
            names, edges, place = _words(graphs.adjacency[graph], rng)
            last = graph
        root, target, negative = (int(part[question]) for part in (asked.root, asked.target, asked.negative))
        problems.append(
            make_problem(
                "",
                names,
                edges,
                place[root],
                place[target],
                place[negative],
                bool(asked.target_first[question]),
                path=[place[root], *(place[int(node)] for node in paths[question] if node >= 0)],
            )
        )
    return problems


def make_problem_sets(out_dir: Path, seed: int = 0) -> dict[str, int]:
    """Write the problem sets that ship: the same seed gives the same bytes.

    released.json (500, as the released test set), balanced.json (500, pairs of twins), swaps.json (250 problems of
    released.json, each followed by its entity-swapped twin), edge_rewrites.json (250 problems of released.json that
    have a single-edge rewrite, each followed by one of them), far.json (300, 7 to 12 hops, balanced), small.json (500,
    3 and 4 hops on graphs of about 22 edges, balanced).

    Returns:
        The number of problems of each file by its name.
    """
    released = generate("released", 500, seed)
    rng = np.random.default_rng([seed, 1])
    swaps = [(problem, twin) for problem in released if (twin := entity_swap(problem))]
    rewrites = [(problem, twins[rng.integers(len(twins))]) for problem in released if (twins := edge_rewrites(problem))]
    far = [replace(problem, id=problem.id.replace("balanced", "far")) for problem in _far(300, seed)]
    sets = {
        "released.json": released,
        "balanced.json": generate("balanced", 500, seed),
        "swaps.json": [problem for pair in swaps[:250] for problem in pair],
        "edge_rewrites.json": [problem for pair in rewrites[:250] for problem in pair],
        "far.json": far,
        "small.json": [replace(p, id=p.id.replace("balanced", "small")) for p in _small(500, seed)],
    }
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, problems in sets.items():
        _expect_sound(problems)
        save_problems(problems, out_dir / name)
    return {name: len(problems) for name, problems in sets.items()}


def _small(count: int, seed: int) -> list[Problem]:
    return generate("balanced", count, seed + 1, {3: 1.0, 4: 1.0}, nodes=18)


def _far(count: int, seed: int) -> list[Problem]:
    return generate("balanced", count, seed, FAR_HOPS)


def _id(family: str, place: int, per_graph: int) -> str:
    suffix = "-swap" if place % per_graph else ""
    return f"{family}-{place // per_graph}{suffix}"


def _at_hop(family: str, hop: int, count: int, nodes: int, rng: np.random.Generator) -> list[list[Problem]]:
    """Return `count` lists of one problem, or two twins, whose targets are exactly `hop` edges away."""
    law = "algorithm1" if family == "algorithm1" else "released"
    spine = hop - 1 if hop > _DEEPEST[family] else 0
    if nodes < 2 + 2 * spine:
        why = f"{nodes} nodes have no room for two paths of {hop} hops."
        raise WorkbenchError("Cannot generate problems.", why, f"Use at least {2 + 2 * spine} nodes.")
    found: list[list[Problem]] = []
    batch = min(max(16 * count, 64), 1024)  # a single problem comes at once, many are grown in lockstep
    for _ in range(_MOST_GRAPHS // batch):
        graphs = generators.grow(law, batch, nodes, rng, spine=spine)
        sources = graphs.sources.sum(axis=1)
        named = (sources <= len(ENTITIES)) & (graphs.present.sum(axis=1) - sources <= len(CONCEPTS))
        graphs = graphs.take(named)
        asked = ask_both(graphs, rng, {hop: 1.0}) if family == "balanced" else ask_deepest(graphs, rng)
        asked = asked.take(asked.hops == hop)
        per_graph = 2 if family == "balanced" else 1
        asked = asked.take(np.arange(min(len(asked), (count - len(found)) * per_graph)))
        if per_graph == 1:  # half of them list the target first, more evenly than coins would have it
            order = rng.permutation(len(asked)) + rng.integers(2)
            asked = replace(asked, target_first=order % 2 == 0)
        problems = problems_of(graphs, asked, rng)
        _expect_sound(problems)
        found += [problems[start : start + per_graph] for start in range(0, len(problems), per_graph)]
        if len(found) == count:
            return found
    why = f"Graphs of {nodes} nodes have too few targets {hop} hops away."
    raise WorkbenchError("Cannot generate problems.", why, "Ask for fewer hops, or for more nodes.")


def _words(
    adjacency: Adjacency, rng: np.random.Generator
) -> tuple[tuple[str, ...], list[tuple[int, int]], dict[int, int]]:
    """Return names and edges of one graph, and the place of each of its nodes among those present."""
    sources = ~np.logical_or.reduce(adjacency, axis=0)
    present = np.flatnonzero(~sources | np.logical_or.reduce(adjacency, axis=1)).tolist()
    place = {node: number for number, node in enumerate(present)}
    entities, concepts = iter(rng.permutation(ENTITIES).tolist()), iter(rng.permutation(CONCEPTS).tolist())
    names = tuple(next(entities if sources[node] else concepts) for node in present)
    edges = np.argwhere(adjacency)
    shuffled = [(place[source], place[node]) for source, node in rng.permutation(edges).tolist()]
    return names, shuffled, place


def _expect_sound(problems: list[Problem]) -> None:
    for problem in problems:
        faults = check(problem)
        if faults:
            raise AssertionError(f"a generated problem is faulty, please report it: {problem.id} {faults}")


TASKS = ("prontoqa", "arithmetic")
"""The tasks that problems can be generated for."""
SHIPPED_SEED = 1_000_003
"""Seed of the sets that ship: one that nobody trains or validates with by accident."""
SPLITS: tuple[Split, ...] = ("train", "test")


def generate_items(
    task: str, count: int, seed: int, split: Split = "train", *, hops: int = HOPS, limit: int = LIMIT
) -> list[Item]:
    """Generate problems, each checked by its oracle; the same arguments give the same problems.

    The first problems of a longer list are those of a shorter one. The splits never draw the same random numbers;
    arithmetic stories of different splits also share no sentence pattern.

    Args:
        task: "prontoqa" or "arithmetic".
        count: Number of problems.
        seed: Seed of all randomness.
        split: "train" or "test".
        hops: For prontoqa: rules of the proof.
        limit: For arithmetic: the largest number.

    Raises:
        WorkbenchError: There is no such task, or the numbers are not offered.
    """
    check_task(task)
    if count < 1:
        why = "The number of problems must be at least 1."
        raise WorkbenchError(f"Cannot generate {count} problems.", why, "Ask for one or more.")
    key = f"{task} {split} {seed}"
    items: Iterator[Item] = prontoqa_items(key, hops) if task == "prontoqa" else arithmetic_items(key, split, limit)
    return [replace(item, id=f"{task}-{split}-{seed}-{place}") for place, item in enumerate(islice(items, count))]


def check_task(task: str) -> None:
    """Say whether problems of a task can be generated here.

    Raises:
        WorkbenchError: There is no such task.
    """
    if task not in TASKS:
        why = f'There is no task "{task}".'
        raise WorkbenchError("Cannot generate problems.", why, f"Use prosqa, {' or '.join(TASKS)}.")


def check_split(split: str) -> Split:
    """Return a split by its name.

    Raises:
        WorkbenchError: There is no such split.
    """
    for known in SPLITS:
        if split == known:
            return known
    raise WorkbenchError("Cannot generate problems.", f'There is no split "{split}".', f"Use {' or '.join(SPLITS)}.")


def make_task_sets(out_dir: Path, seed: int = SHIPPED_SEED, count: int = 200) -> dict[str, int]:
    """Write the test problems that ship, a file per task: the same seed gives the same bytes.

    Returns:
        The number of problems of each file by its name.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    sets = {f"{task}.json": generate_items(task, count, seed, "test") for task in TASKS}
    for name, items in sets.items():
        save_items(items, out_dir / name)
    return {name: len(items) for name, items in sets.items()}
