"""The query-blind rules, on a graph drawn by hand."""

import math

import pytest

from workbench.problems import shortcuts as blind
from workbench.problems.prosqa import make_problem

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
