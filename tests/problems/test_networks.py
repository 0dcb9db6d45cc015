"""A problem as a networkx graph: it says what networkx says, goes out with scores, and comes back or is refused."""

import json
import re
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.measure.scores import node_scores, node_values
from workbench.measure.trace import run
from workbench.problems.files import load_any, load_problems
from workbench.problems.networks import from_networkx, graph_bytes, to_networkx, write_graph
from workbench.problems.prosqa import make_problem
from workbench.problems.sets import generate
from workbench.problems.validator import check

NAMES = ("Tom", "Alex", "terpus", "brimpus", "lempus", "gorpus", "scrompus")
EDGES = ((5, 6), (0, 2), (3, 4), (2, 3), (1, 5))
PROBLEM = make_problem("p-1", NAMES, EDGES, root=0, target=4, negative=6, target_first=False)


def refused(path: Path) -> str:
    with pytest.raises(WorkbenchError) as caught:
        load_problems(path)
    return str(caught.value)


def drawn(*edges: tuple[str, str], **roles: str) -> nx.DiGraph:
    """A graph as somebody else draws one."""
    network = nx.DiGraph(edges or [("Tom", "terpus"), ("terpus", "lempus"), ("Alex", "gorpus")])
    for role, node in ({"root": "Tom", "target": "lempus", "negative": "gorpus"} | roles).items():
        network.add_node(node, role=role)
    return network


def test_the_graph_agrees_with_networkx_itself():
    for problem in generate("released", 8, seed=5):
        network = to_networkx(problem)
        depth = nx.single_source_shortest_path_length(network, problem.root)
        assert {node: data["hop"] for node, data in network.nodes(data=True) if data["hop"] >= 0} == depth
        paths = list(nx.all_shortest_paths(network, problem.root, problem.target))
        assert {node for node, data in network.nodes(data=True) if data["optimal"]} == {n for p in paths for n in p}
        on_path = {edge for path in paths for edge in nx.utils.pairwise(path)}
        assert {(a, b) for a, b, data in network.edges(data=True) if data["optimal"]} == on_path
        assert network.nodes[problem.target]["role"] == "target"
        assert {node for node, data in network.nodes(data=True) if data["entity"]} == {
            node for node, degree in network.in_degree() if degree == 0
        }


@pytest.mark.parametrize("form", ["graphml", "json"])
def test_what_is_written_loads_again(tmp_path, form):
    problems = [PROBLEM, *generate("released", 5, seed=6)]
    for problem in problems:
        write_graph(problem, tmp_path / f"graph.{form}", {"heat": {problem.root: 0.5}}, {"sum": {problem.edges[0]: 2}})
        assert load_problems(tmp_path / f"graph.{form}") == [problem] == load_any(tmp_path / f"graph.{form}")
        assert from_networkx(to_networkx(problem)) == problem
    several = [json.loads(graph_bytes(problem, "json")) for problem in problems]
    (tmp_path / "list.json").write_text(json.dumps(several))
    assert load_problems(tmp_path / "list.json") == problems


def test_scores_travel_with_the_nodes(tiny_checkpoint, tiny_problems, tmp_path):
    (trace,) = run(tiny_checkpoint, tiny_problems[:1], continuations=False)
    problem, scores = trace.graph_problem, node_scores(trace, "lm_head")
    attention = {(1, edge): float(place) for place, edge in enumerate(problem.edges)}
    edge_values = {"attention 1": {edge: value for (_, edge), value in attention.items()}}
    write_graph(problem, tmp_path / "a.graphml", node_values(scores), edge_values)
    write_graph(problem, tmp_path / "a.json", node_values(scores), edge_values)
    linked = json.loads((tmp_path / "a.json").read_text())
    for back in (nx.read_graphml(tmp_path / "a.graphml", node_type=int), nx.node_link_graph(linked, edges="edges")):
        assert back.nodes[problem.target]["lm_head_raw_2"] == pytest.approx(scores.raw[1, problem.target])
        values = [data["lm_head_value_1"] for _, data in back.nodes(data=True) if "lm_head_value_1" in data]
        assert sum(values) == pytest.approx(1, abs=1e-5)
        assert len(values) == len(problem.names) - len(problem.entities)  # none of the entities, whose value is nan
        assert [data["attention 1"] for *_, data in back.edges(data=True)] == list(range(len(problem.edges)))


@pytest.mark.parametrize(
    ("values", "edges", "reason"),
    [({"a": {7: 1.0}}, None, 'no node of p-1 "7"'), (None, {"a": {(2, 0): 1}}, r'no edge of p-1 "\(2, 0\)"')],
)
def test_a_value_of_nothing_there_is_refused(values, edges, reason):
    with pytest.raises(WorkbenchError, match=reason):
        to_networkx(PROBLEM, values, edges)


def test_numbers_of_numpy_become_plain_and_those_that_are_not_finite_are_left_out():
    given_ = {"a": {0: np.float32(0.5), 1: np.nan, 2: np.int64(3), 3: "text"}}
    network = to_networkx(PROBLEM, given_)
    assert [network.nodes[node].get("a") for node in range(5)] == [0.5, None, 3, "text", None]
    assert "NaN" not in graph_bytes(PROBLEM, "json", given_).decode()


def test_a_graph_drawn_elsewhere_gets_its_words(tmp_path):
    problem = from_networkx(drawn(), "mine")
    assert problem.question == "Tom is a terpus. Every terpus is a lempus. Alex is a gorpus. Is Tom a lempus or gorpus?"
    assert (problem.id, problem.steps) == ("mine", ("Tom is a terpus.", "Every terpus is a lempus."))
    data = nx.node_link_data(nx.relabel_nodes(drawn(), {"Tom": 7}), edges="links")
    data["nodes"][0]["label"] = "Tom"
    (tmp_path / "d3.json").write_text(json.dumps(data))
    (again,) = load_problems(tmp_path / "d3.json")
    assert (again.question, again.id) == (problem.question, "d3-0")
    nx.write_graphml(drawn(), tmp_path / "g.graphml")
    assert load_problems(tmp_path / "g.graphml")[0].question == problem.question


def test_only_two_formats_are_written(tmp_path):
    with pytest.raises(WorkbenchError, match=r"not as \"gexf\""):
        write_graph(PROBLEM, tmp_path / "graph.gexf")


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (drawn().to_undirected(), "they have no direction"),
        (nx.DiGraph(), "nodes: there are 0; 1 to 256 are allowed"),
        (nx.path_graph(300, nx.DiGraph), "nodes: there are 300"),
        (nx.MultiDiGraph([("a", "b"), ("a", "b")]), "one of them is there twice"),
        (drawn(root="lempus"), '0 nodes have the role "root"'),
        (drawn(other="Tom"), '0 nodes have the role "root"'),
        (drawn(("Tom", "lempus"), ("Tom", "gorpus")), "negative: gorpus can be reached from Tom"),
        (drawn(("Tom", "a"), ("a", "b"), ("b", "a"), ("a", "lempus"), ("Al", "gorpus")), "edges: cycle: "),
        (drawn(("Tom", "two words"), ("two words", "lempus"), ("Al", "gorpus")), "which is not one plain word"),
        (drawn(("Al", "Tom"), ("Tom", "lempus"), ("Bo", "gorpus")), "Tom is not an entity"),
        (nx.DiGraph(to_networkx(PROBLEM).edges - {(0, 2)}, **to_networkx(PROBLEM).graph), "role"),
    ],
)
def test_a_graph_that_states_no_problem_is_refused_with_the_reason(network, reason):
    with pytest.raises(WorkbenchError, match=re.escape(reason)):
        from_networkx(network)


def test_an_edited_graph_must_agree_with_its_question():
    network = to_networkx(PROBLEM)
    network.remove_edge(1, 5)
    with pytest.raises(WorkbenchError, match="says Alex → gorpus, which is no edge"):
        from_networkx(network)
    del network.graph["question"]
    assert check(from_networkx(network)) == []
    network.graph["problem"] = "two words"
    with pytest.raises(WorkbenchError, match='"two words" is not one word'):
        from_networkx(network)


LINKED: dict[str, Any] = nx.node_link_data(drawn(), edges="edges")
XML = '<?xml version="1.0"?>{}<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{}</graphml>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<graphml", "it is not valid GraphML"),
        ("<svg></svg>", "it is not valid GraphML"),
        (XML.format("", ""), "it is not valid GraphML"),
        (XML.format('<!DOCTYPE x [<!ENTITY a "b">]>', "&a;"), "it defines a document type"),
        (XML.format("", '<graph edgedefault="directed"><edge source="a" target="b"/></graph>'), "it lists 0 nodes"),
        (XML.format("", '<graph edgedefault="undirected"><node id="a"/></graph>'), "the graph is undirected"),
        ({**LINKED, "nodes": LINKED["nodes"][1:]}, "it lists 4 nodes, but its edges and ids speak of 5"),
        ({**LINKED, "nodes": [*LINKED["nodes"], LINKED["nodes"][0]]}, "it lists 6 nodes"),
        ({**LINKED, "edges": [*LINKED["edges"], LINKED["edges"][0]]}, "an edge is there twice"),
        ({**LINKED, "edges": [{"source": "Tom"}]}, "there is no 'target'"),
        ({**LINKED, "edges": 3}, "it is not valid node-link JSON"),
        ({**LINKED, "nodes": [1]}, "it is not valid node-link JSON"),
        ({**LINKED, "graph": []}, 'its field "graph" is no object'),
        ({**LINKED, "graph": {"question": "x" * 600_000}}, "600000 characters"),
        ([LINKED, LINKED, {**LINKED, "nodes": 1}], "item 2, the graph: "),
    ],
)
def test_files_that_hold_no_graph_are_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "graph.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    text = refused(path)
    assert reason in text
    assert str(path) in text


def test_a_large_graphml_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.problems.networks.MOST_BYTES", 100)
    write_graph(PROBLEM, tmp_path / "a.graphml")
    assert "it has more than" in refused(tmp_path / "a.graphml")


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["nodes", "edges", "links", "id", "source", "target", "graph", "directed"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_nonsense_is_refused_in_words(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("nonsense") / "graph.json"
    path.write_text(json.dumps(data if isinstance(data, dict) else {"nodes": data, "edges": data}))
    assert refused(path)
