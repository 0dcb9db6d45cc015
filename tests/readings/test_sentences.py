"""The sentence above a reading: its verdict follows from intervals over graphs, beside chance and each control."""

import numpy as np
import polars as pl
import pytest

from workbench.measure.statistics import resample
from workbench.readings import READINGS
from workbench.readings.sentences import CLAIMS, OPPOSED, sentence


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
