"""Generated problems: sound, repeatable, shaped like the released ones, and without a shortcut where promised."""

import re
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import WorkbenchError
from workbench.problems import graph
from workbench.problems import random_graphs as generators
from workbench.problems import shortcuts as blind
from workbench.problems.files import load_problems
from workbench.problems.random_graphs import FAMILIES, ask_both, ask_deepest
from workbench.problems.sets import RELEASED_HOPS, generate
from workbench.problems.validator import check
from workbench.problems.variants import entity_swap
from workbench.problems.vocabulary import CONCEPTS, ENTITIES, NOUNS

SHIPPED = Path(__file__).resolve().parents[2] / "fixtures" / "problems"


@pytest.mark.parametrize("family", FAMILIES)
def test_generated_problems_are_sound_named_and_repeatable(family):
    problems = generate(family, 20, seed=3)
    assert [check(problem) for problem in problems] == [[]] * 20
    assert len({problem.id for problem in problems}) == 20
    assert problems == generate(family, 20, seed=3)
    assert problems[0].question != generate(family, 20, seed=4)[0].question
    assert {graph.structure(problem).length for problem in problems} <= set(RELEASED_HOPS)


def test_concepts_called_by_nouns_have_the_same_graphs_and_questions():
    released, nouns = (generate("balanced", 20, seed=3, names=names) for names in ("released", "nouns"))

    for one, other in zip(released, nouns, strict=True):
        called = dict(zip(one.names, other.names, strict=True))
        assert {called[name] for name in one.names if name in CONCEPTS} <= set(NOUNS)
        assert all(called[name] == name for name in one.names if name in ENTITIES)
        words = [called.get(word, word) for word in re.findall(r"\w+|\W+", one.question)]
        assert "".join(words) == other.question
        assert check(other) == []
    assert not {*NOUNS} & {*CONCEPTS, *ENTITIES}
    assert not [noun for noun in NOUNS if noun[0] in "aeiou"]  # "a", never "an"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hop", [1, 4, 7, 12])
def test_every_distance_can_be_asked_for(family, hop):
    problems = generate(family, 4, seed=0, hop_weights={hop: 1.0})
    assert [graph.structure(problem).length for problem in problems] == [hop] * 4


def test_the_size_of_the_graphs_can_be_chosen():
    small, large = (np.mean([len(p.names) for p in generate("released", 10, 0, {3: 1.0}, n)]) for n in (14, 40))
    assert small < 14 < 28 < large


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("unheard", 1, 0), 'There is no family "unheard".'),
        (("released", 0, 0), "must be at least 1"),
        (("released", 1, 0, {13: 1.0}), "13 hops away is not offered"),
        (("released", 1, 0, {3: 0.0}), "not positive"),
        (("released", 1, 0, {}), "not positive"),
        (("released", 1, 0, None, 100), "100 nodes are not offered"),
        (("released", 1, 0, {12: 1.0}, 20), "20 nodes have no room for two paths of 12 hops"),
        (("released", 1, 0, {6: 1.0}, 6), "6 nodes have too few targets 6 hops away"),
    ],
)
def test_what_cannot_be_generated_is_refused_with_the_reason(arguments, reason, monkeypatch):
    monkeypatch.setattr("workbench.problems.sets._MOST_GRAPHS", 128)
    with pytest.raises(WorkbenchError) as caught:
        generate(*arguments)
    assert reason in str(caught.value)


def test_released_problems_have_the_moments_of_the_released_files():
    problems = generate("released", 600, seed=11)
    about = [graph.structure(problem) for problem in problems]
    mean = lambda values: float(np.mean(list(values)))  # noqa: E731
    # Measured on 800 released problems: 22.8 nodes, 36.0 edges, 3.77 hops, 1.59 shortest paths, 2.56 entities.
    assert mean(len(p.names) for p in problems) == pytest.approx(22.8, abs=0.8)
    assert mean(len(p.edges) for p in problems) == pytest.approx(36.0, abs=1.0)
    assert mean(a.length for a in about) == pytest.approx(3.77, abs=0.1)
    assert mean(a.shortest_paths for a in about) == pytest.approx(1.59, abs=0.1)
    assert mean((~a.concepts).sum() for a in about) == pytest.approx(2.56, abs=0.3)
    for hop, size in enumerate((2.94, 4.40, 3.35, 1.33), 1):
        assert mean(a.frontier(hop).sum() for a in about) == pytest.approx(size, abs=0.3)
    assert blind.blind_accuracy(problems, blind.lower_in_degree) == pytest.approx(0.664, abs=0.05)
    assert blind.blind_accuracy(problems, blind.first_listed) == pytest.approx(0.5, abs=0.01)
    # The one known gap: .83 here, .92 in the released files.
    assert blind.blind_accuracy(problems, blind.nearest_source) > 0.8


def test_no_query_blind_rule_has_anything_to_gain_on_balanced_problems():
    problems = generate("balanced", 100, seed=2)
    assert set(blind.blind_accuracies(problems).values()) == {0.5}
    for first, twin in zip(problems[::2], problems[1::2], strict=True):
        swapped = entity_swap(first)
        assert swapped is not None
        assert (swapped.question, swapped.answer) == (twin.question, twin.answer)
        assert twin.id == f"{first.id}-swap"
        assert graph.structure(first).length == graph.structure(twin).length


def test_both_questions_of_a_graph_share_their_options_and_differ_in_the_root():
    rng = np.random.default_rng(0)
    graphs = generators.grow("released", 200, 28, rng)
    asked = ask_both(graphs, rng, {3: 1.0, 4: 1.0})
    assert len(asked) > 20
    assert (asked.graph[::2] == asked.graph[1::2]).all()
    assert (asked.root.reshape(-1, 2) == [0, 1]).all()
    assert (asked.target[::2] == asked.negative[1::2]).all()
    assert (asked.target_first[::2] != asked.target_first[1::2]).all()
    assert set(asked.hops.tolist()) == {3, 4}
    assert (asked.hops == graphs.hops[asked.graph, asked.root, asked.target]).all()


def test_the_deepest_leaf_is_the_target():
    rng = np.random.default_rng(0)
    graphs = generators.grow("released", 200, 28, rng)
    asked = ask_deepest(graphs, rng)
    own = graphs.leaves & (graphs.hops[:, 0] < generators.FAR) & (graphs.hops[:, 1] >= generators.FAR)
    for place, root in enumerate(asked.root):
        if root == 0:
            number = asked.graph[place]
            assert asked.hops[place] == graphs.hops[number, 0][own[number]].max()


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED.is_dir(), reason="the problem sets have not been made")
def test_the_shipped_sets_load_and_are_what_their_names_say():
    sets = {path.stem: load_problems(path) for path in SHIPPED.glob("*.json")}
    assert {name: len(problems) for name, problems in sets.items()} == {
        "released": 500,
        "balanced": 500,
        "swaps": 500,
        "edge_rewrites": 500,
        "far": 300,
        "small": 500,
        "two_hops": 500,
    }
    assert {graph.structure(problem).length for problem in sets["two_hops"]} == {2}
    assert set(blind.blind_accuracies(sets["balanced"]).values()) == {0.5}
    assert {graph.structure(problem).length for problem in sets["far"]} == set(range(7, 13))
    by_id = {problem.id: problem for problem in sets["released"]}
    for name in ("swaps", "edge_rewrites"):
        for original, twin in zip(sets[name][::2], sets[name][1::2], strict=True):
            assert by_id[original.id] == original
            assert twin.id.startswith((f"{original.id}-swap", f"{original.id}-rewrite-"))
            assert (twin.target, twin.negative) == (original.negative, original.target)
    assert all(path.stat().st_size < 1_000_000 for path in SHIPPED.glob("*.json"))
