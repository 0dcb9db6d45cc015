"""The table of attributions and attention to the frontier's edges, against naive sums; its figures."""

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.measure.recording import Recording, record, record_controls
from workbench.problems.graph import structure
from workbench.readings.attribution import ATTRIBUTION, attribute, attribution_frame, leading_head

PROBLEMS = [chain(0, 2), chain(1, 4), chain(2, 3)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    own = record(tiny(), PROBLEMS)
    return [own, *record_controls(own, ["untrained", "shuffled"])]


def test_rows_of_a_place_sum_to_its_logit_difference(recordings: list[Recording]) -> None:
    made, found = attribution_frame(recordings[:1]), attribute(recordings[0])
    answers = made.filter(pl.col("thought").is_null()).group_by("problem", maintain_order=True).agg("attribution")
    np.testing.assert_allclose([v.sum() for v in answers["attribution"]], found.answer_logits, atol=1e-4)
    for k in (1, 2, 3):
        sums = made.filter(pl.col("thought") == k).group_by("problem", maintain_order=True).agg("attribution")
        expected = found.thought_logits[:, k - 1]
        for values, value in zip(sums["attribution"], expected, strict=True):
            assert values.null_count() == len(values) if np.isnan(value) else abs(values.sum() - value) < 1e-4


def test_attention_to_the_edges_that_leave_the_hop_before(recordings: list[Recording]) -> None:
    made, own = attribution_frame(recordings[:1]), recordings[0]
    for row, problem in enumerate(PROBLEMS):
        hops = structure(problem).hops
        for k in (1, 2, 3):
            leaving = [i for i, (source, _) in enumerate(problem.edges) if hops[source] == k - 1]
            (got,) = made.filter(
                (pl.col("problem") == problem.id) & (pl.col("thought") == k) & (pl.col("part") == "L1H2")
            ).iter_rows(named=True)
            if not leaving:
                assert got["attention"] is None
                assert got["attention_chance"] is None
                continue
            seen = own.attention[row, k - 1, 1, 2, : len(problem.edges)]
            assert got["attention_raw"] == pytest.approx(seen[leaving].sum(), abs=1e-6)
            assert got["attention"] == pytest.approx(seen[leaving].sum() / seen.sum(), abs=1e-6)
            assert got["attention_chance"] == pytest.approx(len(leaving) / len(problem.edges))
    assert made.filter(pl.col("head").is_null())["attention"].null_count() == made["head"].null_count()


def test_the_leading_head_is_the_one_that_writes_most(recordings: list[Recording]) -> None:
    made = attribution_frame(recordings[:1]).filter(pl.col("thought").is_not_null() & pl.col("head").is_not_null())
    best = made.group_by("layer", "head").agg(pl.mean("attribution")).sort("attribution").row(-1)
    assert leading_head(recordings[0]) == best[:2]


def test_figures_show_the_model_and_its_controls_with_chance(recordings: list[Recording]) -> None:
    made = ATTRIBUTION.frame(recordings)
    assert made["run"].unique(maintain_order=True).to_list() == ["model", "untrained", "shuffled"]
    answer, thoughts, attention = ATTRIBUTION.figures(made)
    own = made.filter((pl.col("run") == "model") & pl.col("thought").is_null() & (pl.col("part") == "L0H1"))
    first = answer.data[0]
    assert first.name == "model"
    assert first.y[list(first.x).index("L0H1")] == pytest.approx(own["attribution"].mean())
    assert {trace.name for trace in attention.data} == {
        "model", "untrained model", "thoughts of other problems", "chance: share of such edges",
    }  # fmt: skip
    (slider,) = thoughts.layout.sliders
    assert [step.label for step in slider.steps] == ["thought 1", "thought 2", "thought 3"]
    for step in slider.steps:  # each step shows the model, two controls and chance
        assert sum(step.args[0]["visible"]) == 4
    assert [bool(trace.visible) for trace in thoughts.data] == slider.steps[0].args[0]["visible"]
    assert "L" in attention.layout.meta["alt"]
