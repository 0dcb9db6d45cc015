"""The query-blind rules, on a graph drawn by hand."""

import math

import pytest

from workbench.problems import shortcuts as blind
from workbench.problems.prosqa import make_problem
from workbench.problems.sets import generate

NAMES = ("Tom", "Alex", "terpus", "brimpus", "lempus", "gorpus", "scrompus", "yumpus")
# Target 4 is 3 edges from its only source; negative 6 is 1 edge from Alex and has the parents 1, 5 and 7.
EDGES = ((0, 2), (2, 3), (3, 4), (1, 5), (5, 6), (1, 6), (1, 7), (7, 6))
PROBLEM = make_problem("p", NAMES, EDGES, root=0, target=4, negative=6, target_first=False)
TIED = make_problem("t", NAMES, [*EDGES, (1, 4)], root=0, target=4, negative=6, target_first=True)


@pytest.mark.parametrize(
    ("rule", "score"),
    [
        ("nearest source", 1),
        ("nearest source, then ancestors", 1),
        ("farthest source", 1),
        ("more ancestors", 0.5),
        ("lower in-degree", 1),
        ("larger index", 0),
        ("first listed", 0),
    ],
)
def test_each_rule_chooses_by_what_it_reads(rule, score):
    assert blind.blind_score(PROBLEM, blind.RULES[rule]) == score


def test_ties_count_a_half_and_make_a_problem_shortcut_resistant():
    assert blind.blind_score(TIED, blind.nearest_source) == 0.5
    assert blind.blind_accuracy([PROBLEM, TIED], blind.nearest_source) == 0.75
    assert blind.shortcut_resistant(TIED)
    assert not blind.shortcut_resistant(PROBLEM)
    assert blind.blind_accuracies([PROBLEM, TIED])["first listed"] == 0.5
    assert math.isnan(blind.blind_accuracy([], blind.first_listed))


def test_no_rule_sees_which_entity_is_asked_about():
    turned = make_problem("s", NAMES, EDGES, root=1, target=6, negative=4, target_first=True)
    for rule in blind.RULES.values():
        assert blind.blind_score(PROBLEM, rule) + blind.blind_score(turned, rule) == 1


def test_the_floor_of_a_set_is_its_best_rule_and_not_one_half():
    rule, scores = blind.floor([PROBLEM, PROBLEM, TIED])
    every = blind.blind_accuracies([PROBLEM, PROBLEM, TIED])
    assert scores.mean() == max(every.values()) == every[rule] > 0.5
    assert scores.tolist() == [blind.blind_score(one, blind.RULES[rule]) for one in (PROBLEM, PROBLEM, TIED)]
    balanced = generate("balanced", 6, 0)
    assert blind.floor(balanced)[1].mean() == 0.5


def test_a_forced_choice_counts_ties_a_half():
    assert blind.forced_choice([0.2, 0.1, 0.3], [0.1, 0.1, 0.9]).tolist() == [1, 0.5, 0]
