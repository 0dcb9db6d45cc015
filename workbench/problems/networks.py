"""A problem as a networkx graph: to GraphML and node-link JSON with scores, and back.

Out: `write_graph(problem, path, node_values, edge_values)` writes a file, `graph_bytes` what a download button gives.
Scores are plain mappings by column name, so that this module needs none of those that measure:

    write_graph(problem, "graph.graphml", node_values={"lm_head_value_1": {4: 0.7, 5: 0.3}})

In: `files.load_problems` reads such a file like any other (by `read_network`, which says all that is wrong), and
`from_networkx` takes a graph made in Python. All that a graph needs is one node each with the attribute `role` =
"root", "target" and "negative"; nodes are called by their attribute `name`, else `label`, else their own id.
"""

import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import ParseError

import networkx as nx
import numpy as np
from pydantic_core import to_json

from workbench.errors import WorkbenchError, clip, listed, unknown
from workbench.files import write_whole
from workbench.problems import graph
from workbench.problems.english import MOST_CHARACTERS, split_sentences
from workbench.problems.problem import Fault, Problem
from workbench.problems.prosqa import as_published, make_problem
from workbench.problems.validator import MOST_EDGES, MOST_NODES, check

Value = float | int | str | bool | np.generic
NodeValues = Mapping[str, Mapping[int, Value]]
"""By column name: the value of each node that has one."""
EdgeValues = Mapping[str, Mapping[tuple[int, int], Value]]
"""By column name: the value of each (source, destination) that has one."""
GraphFormat = Literal["graphml", "json"]
ROLES = ("root", "target", "negative")

MOST_BYTES = 8 * 2**20
"""The largest GraphML file read."""

_ID = re.compile(r"[\w.:+-]{1,128}")


def to_networkx(
    problem: Problem, node_values: NodeValues | None = None, edge_values: EdgeValues | None = None
) -> nx.DiGraph:
    """Return a problem's graph with all that is known of its nodes and edges as attributes.

    Args:
        problem: A sound problem. Node numbers are kept; edges are in the order of the sentences.
        node_values: More attributes of nodes. Values that are not finite are left out.
        edge_values: More attributes of edges, in the same way.

    Returns:
        Attributes of nodes: `name`, `role` (root, target, negative or empty), `entity`, `hop` (-1: cannot be reached),
        `optimal` (on a shortest path), `height_longest`, `height_shortest`. Of edges: `place` (of its sentence in the
        question, from 0) and `optimal`. Of the graph: `problem` (its id), `question`, `answer`, `steps`.

    Raises:
        WorkbenchError: A value belongs to a node or an edge that the problem does not have.

    Examples:
        >>> from workbench.problems.prosqa import parse_question
        >>> network = to_networkx(parse_question("Tom is a lempus. Alex is a gorpus. Is Tom a lempus or gorpus?"))
        >>> network.nodes[0]["name"], network.nodes[0]["role"], list(network.edges)
        ('Tom', 'root', [(0, 1), (2, 3)])
    """
    about = graph.structure(problem)
    roles = {getattr(problem, role): role for role in ROLES}
    network = nx.DiGraph(
        problem=problem.id,  # an attribute "id" would not come back from GraphML
        question=" ".join(problem.question.split()),
        answer=problem.answer,
        steps=" ".join(problem.steps),
    )
    for node, name in enumerate(problem.names):
        network.add_node(
            node,
            name=name,
            role=roles.get(node, ""),
            entity=node in problem.entities,
            hop=int(about.hops[node]),
            optimal=bool(about.optimal[node]),
            height_longest=int(about.longest_height[node]),
            height_shortest=int(about.shortest_height[node]),
        )
    for place, (source, destination) in enumerate(problem.edges):
        on_path = about.optimal[[source, destination]].all() and about.hops[destination] == about.hops[source] + 1
        network.add_edge(source, destination, place=place, optimal=bool(on_path))
    nodes: dict[Any, dict[str, Any]] = dict(network.nodes)
    edges: dict[Any, dict[str, Any]] = dict(network.edges)
    for kind, held, values in (("node", nodes, node_values), ("edge", edges, edge_values)):
        for column, cells in (values or {}).items():
            for where, value in cells.items():
                if where not in held:
                    raise unknown(f"{kind} of {problem.id}", where, map(str, held))
                plain = value.item() if isinstance(value, np.generic) else value
                if not isinstance(plain, float) or math.isfinite(plain):
                    held[where][column] = plain
    return network


def graph_bytes(
    problem: Problem,
    form: GraphFormat,
    node_values: NodeValues | None = None,
    edge_values: EdgeValues | None = None,
) -> bytes:
    """Return a problem's graph as the content of a file: GraphML, or node-link JSON. See `to_networkx`."""
    network = to_networkx(problem, node_values, edge_values)
    if form == "json":
        return to_json(nx.node_link_data(network, edges="edges"), indent=1) + b"\n"
    buffer = io.BytesIO()
    nx.write_graphml_xml(network, buffer, infer_numeric_types=True)
    return buffer.getvalue() + b"\n"


def format_of(path: str | Path) -> GraphFormat:
    """Return the format of graphs that a file's name ends with.

    Raises:
        WorkbenchError: The name ends otherwise.
    """
    form = Path(path).suffix.lower().removeprefix(".")
    if form != "graphml" and form != "json":
        raise WorkbenchError(
            f"Cannot write a graph to {path}.", f'Graphs are written as .graphml or .json, not as "{form}".',
            "Give the file a name that ends with .graphml or .json.",
        )  # fmt: skip
    return form


def write_graph(
    problem: Problem,
    path: Path | str,
    node_values: NodeValues | None = None,
    edge_values: EdgeValues | None = None,
) -> None:
    """Write a problem's graph to a file of the format that its name ends with: .graphml or .json.

    Args:
        problem: A sound problem.
        path: The file, which is written whole or not at all.
        node_values: By column name, values by node number: `{"lm_head_value_1": {4: 0.7}}`.
        edge_values: By column name, values by (source, destination).

    Raises:
        WorkbenchError: The name ends otherwise, or a value belongs to no node or edge of the problem.
    """
    write_whole(Path(path), graph_bytes(problem, format_of(path), node_values, edge_values))


def from_networkx(network: nx.Graph, id: str = "graph") -> Problem:
    """Return the problem that a networkx graph states.

    Args:
        network: A directed acyclic graph. Exactly one node each has the attribute `role` = "root", "target" and
            "negative". With the graph's attribute `question` the text is taken from there and must agree with the
            edges. Without it sentences are written in the order of the edges, and the option that comes first among
            the nodes is listed first.
        id: The problem's id, if the graph has no attribute `problem`.

    Raises:
        WorkbenchError: Naming everything that is wrong with it.

    Examples:
        >>> network = nx.DiGraph([("Tom", "lempus"), ("Alex", "gorpus")])
        >>> for name, role in (("Tom", "root"), ("lempus", "target"), ("gorpus", "negative")):
        ...     network.nodes[name]["role"] = role
        >>> from_networkx(network).question
        'Tom is a lempus. Alex is a gorpus. Is Tom a lempus or gorpus?'
    """
    problem, faults = read_network(network, id)
    if problem is None or faults:
        reasons = [f"{fault.field}: {fault.reason}" for fault in faults]
        do = "Correct the graph's nodes, edges and attributes."
        raise WorkbenchError("This graph is no ProsQA problem.", "\n       ".join(listed(reasons)), do)
    return problem


def read_network(network: nx.Graph, default_id: str) -> tuple[Problem | None, list[Fault]]:
    """Return the problem that a graph states, and everything that is wrong with it; see `from_networkx`."""
    faults = _unusable(network)
    if faults:
        return None, faults
    about, nodes = network.graph, list(network.nodes(data=True))
    place = {node: number for number, (node, _) in enumerate(nodes)}
    names = tuple(str(data.get("name") or data.get("label") or node) for node, data in nodes)
    having = {role: [place[node] for node, data in nodes if data.get("role") == role] for role in ROLES}
    faults = [
        Fault("role", f'{len(found)} nodes have the role "{role}"; exactly one must')
        for role, found in having.items()
        if len(found) != 1
    ]
    id, question = str(about.get("problem", default_id)), str(about.get("question", ""))
    if not _ID.fullmatch(id):
        faults.append(Fault("problem", f'"{clip(id)}" is not one word of at most 128 letters, digits and ".:+-"'))
    if len(question) > MOST_CHARACTERS:
        faults.append(Fault("question", f"it has {len(question)} characters; {MOST_CHARACTERS} are allowed"))
    if faults:
        return None, faults
    said = list(network.edges(data=True))
    if all(isinstance(data.get("place"), int) for *_, data in said):
        said.sort(key=lambda one: one[2]["place"])
    edges = [(place[source], place[destination]) for source, destination, _ in said]
    root, target, negative = (found[0] for found in having.values())
    entities = {place[node] for node, data in nodes if data["entity"]} if all("entity" in d for _, d in nodes) else None
    problem = make_problem(id, names, edges, root, target, negative, target < negative, entities=entities)
    if question:
        answer, steps = (
            str(about.get("answer", problem.answer)),
            tuple(f"{sentence}." for sentence in split_sentences(str(about.get("steps", " ".join(problem.steps))))),
        )
        problem = as_published(id, question, answer, steps, names, edges, root, target, negative)
    return problem, check(problem)


def _unusable(network: nx.Graph) -> list[Fault]:
    """Return what keeps a graph from being read at all."""
    faults = [] if network.is_directed() else [Fault("edges", "they have no direction: the graph is undirected")]
    for what, count, most in (
        ("nodes", len(network), MOST_NODES),
        ("edges", network.number_of_edges(), MOST_EDGES),
    ):
        if not 0 < count <= most:
            faults.append(Fault(what, f"there are {count}; 1 to {most} are allowed"))
    if not faults and network.is_multigraph() and len(set(network.edges())) < network.number_of_edges():
        faults.append(Fault("edges", "one of them is there twice"))
    return faults


def parse_graphml(text: str) -> nx.Graph:
    """Read GraphML.

    Raises:
        ValueError: It is no GraphML, or declares a document type.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 2**20} MB")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it defines a document type, which is not read")
    try:
        return _declared(nx.parse_graphml(text), len(re.findall(r"<(?:\w+:)?node\b", text)))
    except (ParseError, nx.NetworkXException, LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"it is not valid GraphML: {clip(str(error))}") from error


def parse_node_link(data: Mapping[str, Any]) -> nx.Graph:
    """Read a graph of node-link JSON, its edges under "edges" or, as d3 has it, under "links".

    Raises:
        ValueError: It is no such graph.
    """
    key = "edges" if "edges" in data else "links"
    try:
        network = _declared(nx.node_link_graph(dict(data), directed=True, edges=key), len(data["nodes"]))
        if network.number_of_edges() < len(data[key]):
            raise ValueError("an edge is there twice")
        if not isinstance(network.graph, dict):
            raise ValueError('its field "graph" is no object')
    except (nx.NetworkXException, LookupError, TypeError, AttributeError, ValueError) as error:
        missing = f"there is no {error}" if isinstance(error, KeyError) else clip(str(error))
        raise ValueError(f"it is not valid node-link JSON: {missing}") from error
    return network


def _declared(network: nx.Graph, nodes: int) -> nx.Graph:
    if len(network) != nodes:
        raise ValueError(f"it lists {nodes} nodes, but its edges and ids speak of {len(network)}")
    return network
