"""Twins of a problem: sound, one change away, and with the other answer."""

from workbench.problems import graph
from workbench.problems.prosqa import make_problem, parse_question
from workbench.problems.sets import generate
from workbench.problems.validator import check
from workbench.problems.variants import (
    drawn_rewrite,
    edge_rewrites,
    entity_swap,
    harmless_rewrite,
    other_target,
    reordered,
)

NAMES = ("Tom", "Alex", "terpus", "brimpus", "lempus", "gorpus", "scrompus", "yumpus")
EDGES = ((0, 2), (2, 3), (3, 4), (1, 5), (5, 6), (5, 7))
PROBLEM = make_problem("p", NAMES, EDGES, root=0, target=4, negative=6, target_first=True)


def changed_words(one: str, other: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in zip(one.split(), other.split(), strict=True) if a != b]


def test_the_swap_asks_about_the_other_root_and_changes_one_word():
    twin = entity_swap(PROBLEM)
    assert twin is not None
    assert check(twin) == []
    assert (twin.root, twin.target, twin.negative, twin.options) == (1, 6, 4, (4, 6))
    assert twin.answer == "Alex is a scrompus."
    assert changed_words(PROBLEM.question, twin.question) == [("Tom", "Alex")]


def test_swapping_twice_gives_the_problem_back():
    twin = entity_swap(PROBLEM)
    assert twin is not None
    back = entity_swap(twin)
    assert back is not None
    assert back.question == PROBLEM.question


def test_without_an_entity_that_turns_the_answer_round_there_is_no_swap():
    both = make_problem("p", NAMES, [*EDGES, (1, 2)], root=0, target=4, negative=6, target_first=True)
    assert entity_swap(both) is None


def test_the_swap_takes_another_entity_where_the_special_root_is_none():
    edges = ((3, 0), (0, 1), (1, 2), (4, 5))
    names = ("terpus", "brimpus", "lempus", "Tom", "Alex", "gorpus")
    twin = entity_swap(make_problem("p", names, edges, root=3, target=2, negative=5, target_first=True))
    assert twin is not None
    assert twin.root == 4


def test_rewrites_are_exactly_those_that_brute_force_finds():
    expected = set()
    for place, (source, _) in enumerate(EDGES):
        for node in range(len(NAMES)):
            edges = (*EDGES[:place], (source, node), *EDGES[place + 1 :])
            if node in (0, 1) or (source, node) in EDGES:
                continue
            twin = make_problem("p", NAMES, edges, 0, 6, 4, target_first=False, entities=(0, 1))
            if not check(twin):
                expected.add(twin.question)
    assert {twin.question for twin in edge_rewrites(PROBLEM)} == expected
    assert expected


def test_a_rewrite_is_sound_changes_one_word_and_names_its_edge():
    twins = edge_rewrites(PROBLEM)
    assert len({twin.id for twin in twins}) == len(twins)
    for twin in twins:
        assert check(twin) == []
        ((_, after),) = changed_words(PROBLEM.question, twin.question)
        place, node = (int(part) for part in twin.id.split("-")[-2:])
        assert twin.names[node] == after.rstrip(".")
        assert twin.edges[place][1] == node
        assert (twin.target, twin.negative) == (PROBLEM.negative, PROBLEM.target)


def test_no_bridge_no_rewrite():
    wide = [*EDGES, (0, 7), (7, 4)]
    problem = make_problem("p", NAMES, [edge for edge in wide if edge != (5, 7)], 0, 4, 6, target_first=True)
    assert edge_rewrites(problem) == []


def test_a_bare_question_has_twins_too():
    problem = parse_question(PROBLEM.question)
    assert entity_swap(problem) is not None
    assert len(edge_rewrites(problem)) == len(edge_rewrites(PROBLEM))


def test_another_target_is_a_leaf_of_the_same_graph_as_far_away_where_there_is_one():
    found = [
        (problem, other_target(problem, seed)) for seed in range(3) for problem in generate("released", 12, seed=4)
    ]
    far = 0
    for problem, other in found:
        depth, matrix = graph.hops(problem.adjacency, problem.root), problem.adjacency
        leaves = {
            node for node in range(len(problem.names))
            if depth[node] > 0 and not matrix[node].any() and node not in problem.options
        }  # fmt: skip
        if other is None:
            assert not leaves
            continue
        assert check(other) == []
        assert (other.names, other.edges, other.root, other.negative) == (
            problem.names, problem.edges, problem.root, problem.negative,
        )  # fmt: skip
        assert other.target in leaves
        assert (other.options[0] == other.target) == (problem.options[0] == problem.target)
        near = {node for node in leaves if depth[node] == depth[problem.target]}
        assert not near or other.target in near
        far += not near
    assert far
    drawn = {(problem.id, other.target) for problem, other in found if other}
    assert len(drawn) > len({problem.id for problem, other in found if other})  # the seed draws


def test_what_asks_about_one_graph_names_one_graph_and_other_graphs_another():
    problems = generate("released", 60, seed=1)
    assert len({problem.graph for problem in problems}) == 60
    for problem in problems[:20]:
        others = [entity_swap(problem), drawn_rewrite(problem, 0), harmless_rewrite(problem, 0), reordered(problem, 0)]
        assert {other.graph for other in others if other} == {problem.graph}
        assert any(other and set(other.edges) != set(problem.edges) for other in others[1:3]) or not others[1]
    pairs = generate("balanced", 40, seed=1)
    assert len({problem.graph for problem in pairs}) == 20
    assert all(one.graph == twin.graph for one, twin in zip(pairs[::2], pairs[1::2], strict=True))
