"""A problem as a networkx graph says the same as the workbench's own numbers, and survives export."""

import io
from pathlib import Path

import networkx as nx
import pytest

from workbench.errors import WorkbenchError
from workbench.measure.networks import from_networkx, read_graph, to_networkx, write_graph
from workbench.measure.scores import node_scores
from workbench.measure.trace import run


def test_the_graph_agrees_with_networkx_itself(tiny_problems):
    for problem in tiny_problems:
        network = to_networkx(problem)
        depth = nx.single_source_shortest_path_length(network, problem.root)
        assert {node: data["hop"] for node, data in network.nodes(data=True) if data["hop"] >= 0} == depth
        on_path = {node for path in nx.all_shortest_paths(network, problem.root, problem.target) for node in path}
        assert {node for node, data in network.nodes(data=True) if data["optimal"]} == on_path
        assert network.nodes[problem.target]["role"] == "target"


def test_values_travel_with_the_nodes_through_graphml(tiny_checkpoint, tiny_problems):
    (trace,) = run(tiny_checkpoint, tiny_problems[:1], continuations=False)
    scores = node_scores(trace, "lm_head")
    file = io.BytesIO()
    nx.write_graphml(to_networkx(trace.problem, scores), file)
    file.seek(0)
    back = nx.read_graphml(file, node_type=int)
    assert back.nodes[trace.problem.target]["raw_2"] == pytest.approx(float(scores.raw[1, trace.problem.target]))
    assert sum(data.get("value_1", 0) for _, data in back.nodes(data=True)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("ending", ["graphml", "json"])
def test_a_problem_and_its_scores_come_back_from_a_graph_file(ending, tiny_checkpoint, tiny_problems, tmp_path):
    (trace,) = run(tiny_checkpoint, tiny_problems[:1], continuations=False)
    both = [node_scores(trace, readout) for readout in ("lm_head", "forced_language")]
    network = to_networkx(trace.problem, *both)
    write_graph(network, tmp_path / f"scored.{ending}")
    back = read_graph(tmp_path / f"scored.{ending}")

    assert from_networkx(back) == trace.problem
    assert dict(back.nodes(data=True)) == dict(network.nodes(data=True))
    assert {(a, b): data for a, b, data in back.edges(data=True)} == {
        (a, b): data for a, b, data in network.edges(data=True)
    }
    on_path = [edge for edge in back.edges if back.edges[edge]["optimal"]]
    assert nx.shortest_path_length(back.edge_subgraph(on_path), trace.problem.root, trace.problem.target) > 0


def test_what_is_no_graph_file_is_said(tmp_path):
    (tmp_path / "cut.graphml").write_text("<graphml><graph")
    for path, words in ((Path("x.gexf"), "names no graph format"), (tmp_path / "cut.graphml", "Cannot read the graph")):
        with pytest.raises(WorkbenchError, match=words):
            read_graph(path)
    with pytest.raises(WorkbenchError, match="No node has the role root"):
        from_networkx(nx.DiGraph([(0, 1)]))
