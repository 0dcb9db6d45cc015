"""Laws of the graph numbers, held against networkx and against brute force."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.problems import graph
from workbench.problems.prosqa import parse_question

TEXT = (
    "Tom is a terpus. Tom is a rompus. Every terpus is a brimpus. Every rompus is a brimpus. "
    "Every brimpus is a lempus. "
    "Every rompus is a yumpus. Every yumpus is a zumpus. Tom is a yumpus. Alex is a zumpus. Alex is a gorpus. "
    "Every gorpus is a scrompus. Is Tom a lempus or scrompus?"
)


@st.composite
def dags(draw: st.DrawFn, most: int = 9) -> np.ndarray:
    nodes = draw(st.integers(2, most))
    upper = np.triu(draw(arrays(bool, (nodes, nodes))), 1)
    order = np.array(draw(st.permutations(range(nodes))))
    return upper[np.ix_(order, order)]


def as_networkx(adjacency: np.ndarray) -> nx.DiGraph:
    return nx.from_numpy_array(adjacency, create_using=nx.DiGraph)


@settings(deadline=None)
@given(dags())
def test_hops_and_shortest_paths_agree_with_networkx(adjacency):
    net = as_networkx(adjacency)
    for root in range(len(adjacency)):
        lengths = nx.single_source_shortest_path_length(net, root)
        depth = graph.hops(adjacency, root)
        assert depth.tolist() == [lengths.get(node, -1) for node in net]
        for target in range(len(adjacency)):
            paths = list(nx.all_shortest_paths(net, root, target)) if target in lengths else []
            assert graph.count_shortest_paths(adjacency, root, target) == len(paths)
            assert set(np.flatnonzero(graph.optimal(adjacency, root, target))) == {n for p in paths for n in p}
            assert list(graph.shortest_path(adjacency, root, target)) == min(paths, default=[])


@settings(deadline=None)
@given(dags())
def test_frontiers_partition_what_is_reachable_and_lie_within_the_walk_frontiers(adjacency):
    reachable = graph.reachable(adjacency, 0)
    fronts = np.array([graph.frontier(adjacency, 0, k) for k in range(len(adjacency))])
    walks = np.array([graph.walk_frontier(adjacency, 0, k) for k in range(len(adjacency))])
    assert (fronts.sum(axis=0) == reachable).all()
    assert (fronts <= walks).all()
    assert (walks.any(axis=0) == reachable).all()
    powers = np.array([np.linalg.matrix_power(adjacency.astype(int), k)[0] > 0 for k in range(len(adjacency))])
    assert (walks == powers).all()


@settings(deadline=None)
@given(dags())
def test_heights_are_the_longest_and_the_shortest_distance_to_a_leaf(adjacency):
    net = as_networkx(adjacency)
    longest, shortest = graph.longest_height(adjacency), graph.shortest_height(adjacency)
    for node in net:
        children = list(net.successors(node))
        assert longest[node] == max((longest[child] + 1 for child in children), default=0)
        assert shortest[node] == min((shortest[child] + 1 for child in children), default=0)
    assert longest.max() == nx.dag_longest_path_length(net)


@settings(deadline=None)
@given(arrays(bool, (6, 6)))
def test_a_cycle_is_found_exactly_where_there_is_one(adjacency):
    cycle = graph.find_cycle(adjacency)
    assert bool(cycle) != nx.is_directed_acyclic_graph(as_networkx(adjacency))
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(adjacency[edge] for edge in pairwise(cycle))
        with pytest.raises(ValueError, match="cycle"):
            graph.longest_height(adjacency)


def test_very_many_shortest_paths_are_counted_exactly():
    width, layers = 10, 24
    nodes = 2 + width * layers
    adjacency = np.zeros((nodes, nodes), dtype=bool)
    adjacency[0, 1 : 1 + width] = True
    for layer in range(layers - 1):
        here = 1 + layer * width
        adjacency[here : here + width, here + width : here + 2 * width] = True
    adjacency[nodes - 1 - width : nodes - 1, nodes - 1] = True
    assert graph.count_shortest_paths(adjacency, 0, nodes - 1) == width**layers


def test_structure_of_a_problem_drawn_by_hand():
    problem = parse_question(TEXT)
    node = {name: number for number, name in enumerate(problem.names)}
    about = graph.structure(problem)
    assert (about.length, about.shortest_paths) == (3, 2)
    assert [problem.names[n] for n in np.flatnonzero(about.frontier(1))] == ["terpus", "rompus", "yumpus"]
    assert [problem.names[n] for n in np.flatnonzero(~about.concepts)] == ["Tom", "Alex"]
    assert about.longest_height[node["rompus"]] == 2
    assert about.shortest_height[node["Tom"]] == 2
    assert about.hops[node["scrompus"]] == -1
    assert graph.structure(problem) is about
    with pytest.raises(ValueError, match="read-only"):
        about.hops[0] = 3


def test_every_node_has_one_class_at_each_hop():
    problem = parse_question(TEXT)
    names = lambda k, code: {  # noqa: E731
        problem.names[n] for n in np.flatnonzero(graph.node_classes(problem, k) == code)
    }
    assert names(1, 0) == {"terpus", "rompus"}
    assert names(1, 1) == {"yumpus"}
    assert names(1, 2) == {"Tom", "brimpus", "lempus", "zumpus"}
    assert names(1, 3) == {"Alex", "gorpus", "scrompus"}
    assert names(3, 0) == {"lempus"}
    assert names(9, 0) == names(9, 1) == set()
    assert len(graph.NODE_CLASSES) == 4


def test_chance_is_uniform_over_the_set_it_names():
    problem = parse_question(TEXT)
    node = {name: number for number, name in enumerate(problem.names)}
    assert graph.uniform(problem, "concepts")[node["scrompus"]] == pytest.approx(1 / 8)
    assert graph.uniform(problem, "concepts")[node["Tom"]] == 0
    assert graph.uniform(problem, "reachable")[node["lempus"]] == pytest.approx(1 / 6)
    assert graph.uniform(problem, "reachable")[node["Tom"]] == 0
    assert graph.uniform(problem, "frontier", 1)[node["yumpus"]] == pytest.approx(1 / 3)
    assert graph.uniform(problem, "frontier", 7).sum() == 0
    assert graph.frontier_hit_chance(problem, 1) == pytest.approx(2 / 3)
    assert np.isnan(graph.frontier_hit_chance(problem, 7))
