"""A problem as a networkx graph, for drawing, path queries and export to other tools (GraphML, GEXF)."""

import networkx as nx
import numpy as np

from workbench.measure.scores import NodeScores
from workbench.problems.graph import structure
from workbench.problems.problem import Problem


def to_networkx(problem: Problem, scores: NodeScores | None = None) -> nx.DiGraph:
    """Return a problem's graph with what is known of each node as attributes.

    Args:
        problem: The problem; node ids are kept, edges in the order of the sentences.
        scores: Adds to each node, per row of the scores, its raw probability `raw_k` and its value `value_k` after k
            thoughts; entities, over which no value ranges, have none.

    Returns:
        Node attributes: `name`, `role` (root, target, negative or empty), `hop` (-1: cannot be reached), `optimal`,
        `height_longest`, `height_shortest`. Graph attributes: `question`, `answer`.
    """
    facts = structure(problem)
    roles = {problem.root: "root", problem.target: "target", problem.negative: "negative"}
    network = nx.DiGraph(id=problem.id, question=problem.question, answer=problem.answer)
    for node, name in enumerate(problem.names):
        network.add_node(
            node,
            name=name,
            role=roles.get(node, ""),
            hop=int(facts.hops[node]),
            optimal=bool(facts.optimal[node]),
            height_longest=int(facts.longest_height[node]),
            height_shortest=int(facts.shortest_height[node]),
        )
        if scores is not None:
            for row, after in enumerate(scores.depths):
                network.nodes[node][f"raw_{after}"] = float(scores.raw[row, node])
                if np.isfinite(scores.value[row, node]):
                    network.nodes[node][f"value_{after}"] = float(scores.value[row, node])
    network.add_edges_from(problem.edges)
    return network
