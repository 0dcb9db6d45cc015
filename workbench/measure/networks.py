"""A problem as a networkx graph with all its scores, and as a graph file: GraphML, or node-link JSON."""

import json
from pathlib import Path

import networkx as nx
import numpy as np

from workbench.errors import WorkbenchError
from workbench.files import replacing, write_whole
from workbench.measure.scores import NodeScores
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem


def to_networkx(problem: Problem, *scores: NodeScores) -> nx.DiGraph:
    """Return a problem's graph with what is known of each node and edge as attributes.

    Args:
        problem: The problem; node ids are kept, edges in the order of the sentences.
        scores: Of readouts of the problem. Each adds to every node, per row of the scores, its raw probability `raw_k`
            and its value `value_k` after k thoughts; entities, over which no value ranges, have none. Of several
            readouts each name begins with the readout's: `lm_head_raw_1`.

    Returns:
        Node attributes: `name`, `entity`, `role` (root, target, negative or empty), `hop` (-1: cannot be reached),
        `optimal` (on a shortest path to the target), `height_longest`, `height_shortest`. Edge attributes: `place`
        (number of its sentence), `optimal`. Graph attributes: `problem` (its id), `question`, `answer`,
        `target_first`.
    """
    facts = structure(problem)
    roles = {problem.root: "root", problem.target: "target", problem.negative: "negative"}
    network = nx.DiGraph(problem=problem.id, question=problem.question, answer=problem.answer)
    network.graph["target_first"] = problem.options[0] == problem.target
    for node, name in enumerate(problem.names):
        network.add_node(
            node,
            name=name,
            entity=node in problem.entities,
            role=roles.get(node, ""),
            hop=int(facts.hops[node]),
            optimal=bool(facts.optimal[node]),
            height_longest=int(facts.longest_height[node]),
            height_shortest=int(facts.shortest_height[node]),
        )
        for one in scores:
            start = f"{one.readout}_" if len(scores) > 1 else ""
            for row, after in enumerate(one.depths):
                network.nodes[node][f"{start}raw_{after}"] = float(one.raw[row, node])
                if np.isfinite(one.value[row, node]):
                    network.nodes[node][f"{start}value_{after}"] = float(one.value[row, node])
    for place, (source, end) in enumerate(problem.edges):
        on_path = facts.optimal[source] & facts.optimal[end] & (facts.hops[end] == facts.hops[source] + 1)
        network.add_edge(source, end, place=place, optimal=bool(on_path))
    return network


def from_networkx(network: nx.DiGraph) -> Problem:
    """Return the problem of a graph as `to_networkx` makes them; scores are left out.

    Raises:
        WorkbenchError: A name, or one of root, target and negative, is missing.
    """
    nodes = list(network.nodes)
    number = {node: place for place, node in enumerate(nodes)}
    roles = {data.get("role"): number[node] for node, data in network.nodes(data=True)}
    missing = [role for role in ("root", "target", "negative") if role not in roles]
    if missing or not all("name" in network.nodes[node] for node in nodes):
        raise WorkbenchError(
            "The graph is no problem.",
            f"No node has the role {missing[0]}." if missing else "A node has no name.",
            "Give every node a name, and one node each the role root, target and negative.",
        )
    edges = sorted(network.edges(data=True), key=lambda edge: edge[2].get("place", 0))
    return make_problem(
        str(network.graph.get("problem", "graph")),
        [network.nodes[node]["name"] for node in nodes],
        [(number[source], number[end]) for source, end, _ in edges],
        roles["root"], roles["target"], roles["negative"],
        bool(network.graph.get("target_first", True)),
        entities=[number[node] for node in nodes if network.nodes[node].get("entity")],
    )  # fmt: skip


def write_graph(network: nx.DiGraph, path: Path) -> None:
    """Write a graph as GraphML (.graphml) or as node-link JSON (.json), whole or not at all.

    Raises:
        WorkbenchError: The file ends otherwise.
    """
    if path.suffix == ".json":
        write_whole(path, json.dumps(nx.node_link_data(network, edges="edges"), indent=1) + "\n")
    elif path.suffix == ".graphml":
        with replacing(path) as part:
            nx.write_graphml(network, part)
    else:
        raise _unknown_format(path)


def read_graph(path: Path) -> nx.DiGraph:
    """Read a graph that `write_graph` wrote, or another tool in one of the two formats.

    Raises:
        WorkbenchError: It cannot be read, or the file ends otherwise.
    """
    if path.suffix not in (".json", ".graphml"):
        raise _unknown_format(path)
    try:
        if path.suffix == ".json":
            return nx.DiGraph(nx.node_link_graph(json.loads(path.read_text(encoding="utf-8")), edges="edges"))
        return nx.DiGraph(nx.read_graphml(path, node_type=int))
    except (OSError, SyntaxError, ValueError, KeyError, nx.NetworkXError) as error:
        raise WorkbenchError(f"Cannot read the graph {path}.", str(error), "Give GraphML or node-link JSON.") from error


def _unknown_format(path: Path) -> WorkbenchError:
    do = "End its name in .graphml or .json (node-link)."
    return WorkbenchError(f"{path} names no graph format.", f'Its name ends in "{path.suffix}".', do)
