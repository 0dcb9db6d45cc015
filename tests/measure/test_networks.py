"""A problem as a networkx graph says the same as the workbench's own numbers, and survives export."""

import io

import networkx as nx
import pytest

from workbench.measure.networks import to_networkx
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
