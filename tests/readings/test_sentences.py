"""The sentence above a reading: its verdict follows from intervals over graphs, beside chance and each control."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.measure.test_scores import TEXT, raw, trace
from workbench.measure.statistics import resample
from workbench.problems.prosqa import parse_question
from workbench.readings import READINGS
from workbench.readings.sentences import CLAIMS, OPPOSED, past_target, sentence


def table(mass: float, control: float, graphs: int = 40, run: str = "shuffled") -> pl.DataFrame:
    """Two problems of each graph, two thoughts each, chance 0.2; a control beside the model."""
    rng = np.random.default_rng(0)
    rows = [
        (label, f"{graph}-{twin}", str(graph), "lm_head", k, level + rng.normal(0, 0.05), 0.2)
        for label, level in (("model", mass), (run, control))
        for graph in range(graphs)
        for twin in range(2)
        for k in (1, 2)
    ]
    columns = ["run", "problem", "graph", "readout", "thought", "mass_without_target", "mass_without_target_chance"]
    return pl.DataFrame(rows, columns, orient="row")


@pytest.mark.parametrize(
    ("mass", "control", "graphs", "verdict"),
    [
        (0.6, 0.1, 40, "holds"),
        (0.6, 0.9, 40, "does not hold"),  # the control shows more
        (0.1, 0.05, 40, "does not hold"),  # below chance
        (0.2, 0.1, 40, "undecided"),
        (0.6, 0.1, 19, "too few"),
    ],
)
def test_the_verdict_asks_for_more_than_chance_and_than_the_control(mass, control, graphs, verdict):
    found = sentence("breadth", table(mass, control, graphs))
    assert found is not None
    assert found.verdict == verdict
    assert f"n = {2 * graphs} problems, {graphs} graphs" in found.text


def test_the_numbers_are_means_over_problems_with_intervals_over_graphs():
    rows = table(0.6, 0.1)
    found = sentence("breadth", rows)
    own = rows.filter(run="model").group_by("problem", maintain_order=True).agg(pl.col("mass_without_target").mean())
    graphs = own["problem"].str.split("-").list.first().to_numpy()
    expected = resample(own["mass_without_target"] - 0.2, clusters=graphs)
    assert found is not None
    assert (found.checks[0].estimate.low, found.checks[0].estimate.high) == pytest.approx((expected.low, expected.high))
    assert f"{own['mass_without_target'].mean():.3f}, chance 0.200" in found.text


def test_a_control_that_may_show_as_much_does_not_count():
    found = sentence("breadth", table(0.6, 0.9, run="other_target"))
    assert found is not None
    assert (found.verdict, len(found.checks)) == ("holds", 1)
    assert "no control" in found.text
    assert "other_target" not in OPPOSED


def test_claims_are_of_readings_that_exist_and_others_say_nothing():
    assert set(CLAIMS) <= set(READINGS)
    assert sentence("geometry", table(0.6, 0.1)) is None


def test_what_is_done_past_the_target_is_said_of_those_problems_alone() -> None:
    """By hand: the target, lempus, is three hops away, so that of four thoughts the last one is past it."""
    problem = parse_question(TEXT)
    target, negative = (problem.names[node] for node in (problem.target, problem.negative))
    values = raw(problem, **{target: 0.5, negative: 0.1, "terpus": 0.2, "Alex": 0.05})
    said = target
    late, never = (
        replace(trace(problem, lm_head=values), answer_texts=texts) for texts in (("", "", "", said, said), ("",) * 5)
    )
    table = past_target([late, never])

    assert table["thought"].to_list() == [4]
    row = table.row(0, named=True)
    assert row["n"] == 2
    names = ("target", "negative", "reachable", "unreachable", "outside")
    assert [row[name] for name in names] == pytest.approx([0.5, 0.1, 0.2, 0.0, 0.15])
    assert row["chance"] == pytest.approx(1 / 7)
    assert late.answer_right[4] != never.answer_right[4]
    assert (row["right"], row["at_target"]) == (0.5, 0.5)
    assert np.isnan(row["low"])  # one graph has no interval
