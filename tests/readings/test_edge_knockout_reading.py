"""Which edges are knocked out, and what the table and the figures say of it."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from tests.conftest import tiny
from workbench.measure.recording import Recording, record, record_controls
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem
from workbench.readings.attribution import leading_head
from workbench.readings.knockout import ARMS, EDGE_KNOCKOUT, SCOPES, EdgeCut, chosen, knock_out


def bushy(number: int) -> Problem:
    """Sally reaches the target in three hops, with one side branch at each hop; Tom reaches the negative."""
    names = "Sally Tom lempus brimpus scrompus rempus sterpus hilpus yumpus".split()
    path, side = [0, 2, 3, 4], [(0, 5), (2, 6), (5, 6), (6, 7)]
    edges = [*pairwise(path), *side, (1, 8), (1, 5)]
    edges = edges[number:] + edges[:number]
    return make_problem(f"bushy-{number}", names, edges, 0, 4, 8, True)


PROBLEMS = [bushy(number) for number in range(3)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    own = record(tiny(), PROBLEMS)
    return [own, *record_controls(own, ["untrained"])]


def test_arms_have_as_many_edges_of_the_right_hops() -> None:
    for row, problem in enumerate(PROBLEMS):
        first, second, third = (chosen(problem, k, row, 0) for k in (1, 2, 3))
        edge = {arm: [problem.edges[i] for i in numbers] for arm, numbers in first.items()}
        assert edge["optimal"] == [(0, 2)]
        assert edge["other frontier"] == [(0, 5)]
        assert edge["elsewhere"][0][0] != 0
        edge = {arm: [problem.edges[i] for i in numbers] for arm, numbers in second.items()}
        assert edge["optimal"] == [(2, 3)]
        assert edge["other frontier"][0] in [(2, 6), (5, 6)]
        edge = {arm: [problem.edges[i] for i in numbers] for arm, numbers in third.items()}
        assert edge["optimal"] == [(3, 4)]
        assert edge["other frontier"] == [(6, 7)]
    assert chosen(PROBLEMS[0], 4, 0, 0) == {}  # the target is nearer


def test_rows_hold_the_effect_of_their_knock_out(recordings: list[Recording]) -> None:
    made = EDGE_KNOCKOUT.frame(recordings)
    assert len(made) == 2 * 3 * 3 * 7
    assert made["run"].unique(maintain_order=True).to_list() == ["model", "untrained"]
    layer, head = leading_head(recordings[0])
    assert set(made["head"]) == {f"L{layer}H{head}"}
    only = np.zeros((2, 4), bool)
    only[layer, head] = True
    for scope, heads in zip(SCOPES, (None, only, ~only), strict=True):
        for arm in ARMS[:2]:
            edges = tuple(chosen(problem, 2, row, 0)[arm] for row, problem in enumerate(PROBLEMS))
            effect = knock_out(recordings[0], [EdgeCut(2, edges, heads)])
            rows = made.filter(
                (pl.col("run") == "model")
                & (pl.col("thought") == 2)
                & (pl.col("scope") == scope)
                & (pl.col("arm") == arm)
            )
            np.testing.assert_allclose(rows["before"], effect.logit_difference[0], atol=1e-5)
            np.testing.assert_allclose(rows["after"], effect.logit_difference[1], atol=1e-5)
            np.testing.assert_allclose(rows["change"], rows["after"] - rows["before"])
            assert rows["right"].to_list() == effect.right[1].tolist()
    assert made.filter("names_target")["thought"].unique().to_list() == [3]


def test_figures_count_only_what_was_right_and_keep_the_target_apart(recordings: list[Recording]) -> None:
    made = EDGE_KNOCKOUT.frame(recordings).with_columns(
        right_before=pl.col("problem") != "bushy-2",
        right=(pl.col("arm") != "optimal") | (pl.col("problem") == "bushy-0") | pl.col("names_target"),
    )
    loss, change, scopes = EDGE_KNOCKOUT.figures(made)
    optimal = next(trace for trace in loss.data if trace.name == "optimal")
    assert list(optimal.x) == [1, 2]  # thought 3 would be made without the target's name
    assert list(optimal.y) == [0.5, 0.5]  # of two right answers one is lost, the third was never right
    assert optimal.customdata[0][2] == 2
    other = next(trace for trace in loss.data if trace.name == "other frontier")
    assert list(other.y) == [0, 0]
    shift = next(trace for trace in change.data if trace.name == "elsewhere")
    rows = made.filter((pl.col("run") == "model") & (pl.col("scope") == "all heads") & (pl.col("arm") == "elsewhere"))
    assert shift.y[0] == pytest.approx(rows.filter(pl.col("thought") == 1)["change"].mean())
    bars = next(trace for trace in scopes.data if trace.name == "optimal")
    assert list(bars.x) == list(SCOPES)
    assert list(bars.y) == [0.5, 0.5, 0.5]
    assert bars.customdata[0][2] == 2  # problems, not problems times thoughts
