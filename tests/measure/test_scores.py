"""Scores of made-up traces: hand-computed numbers, laws on random values, chance levels, tables."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.measure.effects import class_differences
from workbench.measure.scores import (
    MASS_CLASSES,
    READOUTS,
    TITLES,
    NodeScores,
    node_scores,
    scores_frame,
    statistics,
    statistics_frame,
)
from workbench.measure.trace import Trace
from workbench.problems.graph import NODE_CLASSES
from workbench.problems.problem import Problem
from workbench.problems.prosqa import parse_question

TEXT = (
    "Tom is a terpus. Tom is a rompus. Every terpus is a brimpus. Every rompus is a yumpus. Every yumpus is a brimpus. "
    "Every brimpus is a lempus. Alex is a gorpus. Every gorpus is a scrompus. Is Tom a lempus or scrompus?"
)
THOUGHTS = 4


def trace(problem: Problem, seed: int = 0, **rows: np.ndarray) -> Trace:
    """A trace of random values, or of the rows given."""
    rng, nodes = np.random.default_rng(seed), len(problem.names)
    draw = rng.dirichlet(np.full(nodes + 1, 0.5), 2 * THOUGHTS + 1)[:, :nodes]
    arrays = {"lm_head": draw[:THOUGHTS], "forced_language": draw[THOUGHTS:]} | rows
    words = ("",) * (THOUGHTS + 1)
    best = tuple(((problem.names[int(row.argmax())], float(row.max())), ("|", 0.1)) for row in arrays["lm_head"])
    thoughts, answers = np.zeros((THOUGHTS, 2)), np.zeros((THOUGHTS + 1, nodes))
    return Trace(
        problem, "made up", thoughts, arrays["lm_head"], arrays["forced_language"], answers, words, words, best
    )


@pytest.fixture(scope="module")
def problem() -> Problem:
    return parse_question(TEXT)


def raw(problem: Problem, **named: float) -> np.ndarray:
    return np.array([[named.get(name, 0.0) for name in problem.names]] * THOUGHTS)


def test_rows_and_the_hops_they_read(problem):
    lm_head, forced = (node_scores(trace(problem), readout) for readout in READOUTS)
    assert (lm_head.depths, lm_head.hops_read) == ((1, 2, 3, 4), (1, 2, 3, 4))
    assert (forced.depths, forced.hops_read) == ((0, 1, 2, 3, 4), (1, 1, 2, 3, 4))
    assert forced.row(0) == 0
    assert lm_head.row(1) == 0


def test_numbers_of_a_case_done_by_hand(problem):
    # Hop 1: terpus (on the path), rompus. Hop 2: brimpus (on the path), yumpus. Hop 3: lempus. Concepts: 7.
    values = raw(problem, terpus=0.3, rompus=0.1, brimpus=0.2, lempus=0.06, scrompus=0.02, Alex=0.12)
    made = statistics(node_scores(trace(problem, lm_head=values), "lm_head"))
    first = {name: (s.values[0], s.chance[0]) for name, s in made.items()}
    assert first["candidate_mass"] == pytest.approx((0.4, 2 / 7))
    assert first["mass_without_target"] == first["candidate_mass"]  # the target is at hop 3, and alone there
    assert np.isnan(made["mass_without_target"].values[2])
    assert first["frontier_mass"] == pytest.approx((0.4 / 0.68, 2 / 7))
    assert first["reachable_mass"] == pytest.approx((0.66, 5 / 7))
    assert first["problem_mass"][0] == pytest.approx(0.8)
    assert first["on_path_share"] == pytest.approx((0.75, 0.5))
    assert first["path_rank"] == pytest.approx((1, 4))
    assert first["top1_correct"] == pytest.approx((1, 1))  # rompus reaches the target too, the longer way
    assert first["breadth"] == pytest.approx((2 ** (0.75 * math.log2(4 / 3) + 0.25 * 2), 2))
    assert first["breadth_share"] == pytest.approx((0.75 * math.log2(4 / 3) + 0.25 * 2, 1))
    assert first["preference"] == pytest.approx((0.75, 0.5))
    assert made["path_rank"].values[1] == 2  # brimpus, behind terpus
    assert made["walk_frontier_mass"].values[2] == pytest.approx(0.26)  # lempus, and brimpus by way of yumpus
    assert made["candidate_mass"].values[2] == pytest.approx(0.06)
    assert np.isnan([made[name].values[3] for name in ("candidate_mass", "breadth", "path_rank", "top1_correct")]).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), readout=st.sampled_from(READOUTS))
def test_laws(seed, readout):
    scores = node_scores(trace(parse_question(TEXT), seed), readout)
    concepts = scores.structure.concepts
    assert np.nansum(scores.value, axis=1) == pytest.approx(1)
    assert np.isnan(scores.value[:, ~concepts]).all()
    assert sum(scores.mass_by_class.values()) == pytest.approx(1)
    assert sum(scores.chance_by_class.values()) == pytest.approx(1)
    assert tuple(scores.mass_by_class) == tuple(scores.chance_by_class) == MASS_CLASSES
    on_frontier = scores.mass_by_class["optimal"] + scores.mass_by_class["frontier"]
    assert on_frontier == pytest.approx(np.nan_to_num(scores.candidate_mass))
    assert np.nansum(scores.rank, axis=1) == pytest.approx(concepts.sum() * (concepts.sum() + 1) / 2)
    made = statistics(scores)
    assert tuple(made) == tuple(TITLES)
    for statistic in made.values():
        defined = ~np.isnan(statistic.values)
        assert (statistic.values >= statistic.low - 1e-12)[defined].all()
        assert (statistic.values <= statistic.high + 1e-12)[defined].all()
        assert statistic.name == "problem_mass" or (np.isnan(statistic.chance) == ~defined).all()


def test_mass_without_the_target_leaves_out_the_target_alone(problem):
    near = parse_question(TEXT.replace("a lempus or scrompus", "a brimpus or scrompus"))  # at hop 2 beside yumpus
    values = raw(near, brimpus=0.5, yumpus=0.2)
    made = statistics(node_scores(trace(near, lm_head=values), "lm_head"))
    assert (made["candidate_mass"].values[1], made["candidate_mass"].chance[1]) == pytest.approx((0.7, 2 / 7))
    assert (made["mass_without_target"].values[1], made["mass_without_target"].chance[1]) == pytest.approx((0.2, 1 / 7))


def test_an_even_distribution_scores_exactly_chance(problem):
    concepts = node_scores(trace(problem), "lm_head").structure.concepts
    even = np.tile(concepts / concepts.sum(), (THOUGHTS, 1))
    made = statistics(node_scores(trace(problem, lm_head=even), "lm_head"))
    names = ["candidate_mass", "mass_without_target", "frontier_mass", "walk_frontier_mass", "reachable_mass"]
    for name in [*names, "on_path_share", "breadth", "breadth_share", "entropy", "target", "negative", "preference"]:
        assert made[name].values == pytest.approx(made[name].chance, nan_ok=True), name


def test_a_distribution_without_mass_is_undefined_not_a_crash(problem):
    scores = node_scores(trace(problem, lm_head=raw(problem)), "lm_head")
    assert np.isnan(scores.value).all()
    assert scores.candidate_mass[:3].tolist() == [0, 0, 0]
    assert np.isnan(statistics(scores)["breadth"].values).all()
    assert scores.to_frame()["value"].null_count() == scores.raw.size


def test_frame_has_a_row_per_cell_and_says_who_is_who(problem):
    frame = node_scores(trace(problem), "forced_language").to_frame()
    assert frame.columns == [
        "checkpoint", "problem", "graph", "readout", "thought", "hop_read", "node", "name", "role", "class", "hop",
        "height_longest", "height_shortest", "raw", "value", "rank", "chance", "on_frontier", "on_walk_frontier",
        "reaches_target",
    ]  # fmt: skip
    assert len(frame) == 5 * len(problem.names)
    assert frame.schema["class"] == pl.Enum(NODE_CLASSES)
    row = frame.row(by_predicate=(pl.col("thought") == 2) & (pl.col("name") == "brimpus"), named=True)
    expected = {"hop_read": 2, "hop": 2, "height_longest": 1, "height_shortest": 1, "on_frontier": True, "role": ""}
    assert row.items() >= (expected | {"class": "optimal", "reaches_target": True, "chance": 1 / 7}).items()
    negative = frame.filter(role="negative").row(0, named=True)
    assert (negative["name"], negative["hop"], negative["class"]) == ("scrompus", None, "unreachable")


def test_frames_join_in_order_and_are_the_same_each_time(problem):
    several = [node_scores(trace(problem, seed), readout) for seed in range(3) for readout in READOUTS]
    frame = scores_frame(several)
    assert frame.equals(pl.concat([scores.to_frame() for scores in several]))
    assert frame.schema == scores_frame([]).schema
    assert frame.equals(scores_frame(several))
    wide = statistics_frame(several)
    assert len(wide) == 3 * 9
    assert wide["candidate_mass"].to_list()[:3] == pytest.approx(several[0].candidate_mass[:3].tolist())
    assert wide["candidate_mass"][3] is None
    assert statistics_frame([]).schema == wide.schema


def test_wrong_readout_and_wrong_depth_say_what_there_is(problem):
    with pytest.raises(WorkbenchError, match='There is no readout "geometry"') as raised:
        node_scores(trace(problem), "geometry")
    assert "lm_head, forced_language" in str(raised.value)
    with pytest.raises(WorkbenchError, match="no LM head reading after 9 thoughts") as raised:
        node_scores(trace(problem), "lm_head").row(9)
    assert "after 1 to 4 thoughts" in str(raised.value)


def test_arrays_that_do_not_fit_the_problem_are_refused(problem):
    with pytest.raises(ValueError, match="raw has shape"):
        NodeScores(problem, "made up", "lm_head", (1, 2), (1, 2), np.zeros((3, len(problem.names))))


def test_two_thoughts_for_a_step_read_each_hop_twice() -> None:
    two = replace(trace(parse_question(TEXT)), thoughts_per_step=2)

    assert node_scores(two, "lm_head").hops_read == (1, 1, 2, 2)
    assert node_scores(two, "forced_language").hops_read == (1, 1, 1, 2, 2)
    assert [two.hop(k) for k in range(THOUGHTS + 1)] == [0, 1, 1, 2, 2]


def test_two_readings_are_compared_by_classes_on_the_nodes_of_the_first(problem):
    first = node_scores(trace(problem, lm_head=raw(problem, terpus=0.3, rompus=0.1, brimpus=0.2)), "lm_head")
    second = node_scores(trace(problem, lm_head=raw(problem, terpus=0.1, rompus=0.4, yumpus=0.2)), "lm_head")
    other = parse_question(TEXT.replace("yumpus", "jompus"))  # another graph
    alike = node_scores(trace(other, lm_head=raw(other, terpus=0.3, rompus=0.1)), "lm_head")
    table = class_differences([(first, 1, second, 2), (alike, 1, alike, 1)])
    rows = {row["class"]: row for row in table.iter_rows(named=True)}

    assert [*rows] == list(MASS_CLASSES)
    assert rows["optimal"]["first"] == pytest.approx(0.3)  # terpus; hop 1 for both
    assert rows["optimal"]["second"] == pytest.approx((0.1 + 0.3) / 2)
    assert rows["frontier"]["difference"] == pytest.approx((0.1 - 0.4 + 0) / 2)
    assert rows["optimal"]["low"] <= rows["optimal"]["difference"] <= rows["optimal"]["high"]
    assert {row["problems"] for row in rows.values()} == {2}
