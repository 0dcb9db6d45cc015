"""The tables of attributions and of the path from edge to answer, against naive sums; their figures."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from tests.readings.test_edge_knockout_reading import PROBLEMS as BUSHY
from workbench.figures.attention import route_figure
from workbench.measure.recording import Recording, record, record_controls
from workbench.problems.graph import structure
from workbench.readings.attribution import (
    ATTRIBUTION,
    EDGE_PATH,
    attribute,
    attribution_frame,
    edge_path_frame,
    leading_head,
    route,
)  # fmt: skip

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


@pytest.fixture(scope="module")
def bushy() -> list[Recording]:
    own = record(tiny(), BUSHY)
    return [own, *record_controls(own, ["untrained"])]


def test_rows_hold_attention_and_what_it_writes(bushy: list[Recording]) -> None:
    own = bushy[0]
    made, found = edge_path_frame(bushy[:1]), attribute(own)
    assert len(made) == 3 * 4 * len(BUSHY[0].edges)
    (row,) = made.filter(
        (pl.col("problem") == "bushy-1") & (pl.col("thought") == 2) & (pl.col("source") == "lempus")
        & (pl.col("target") == "brimpus")
    ).iter_rows(named=True)  # fmt: skip
    edge = BUSHY[1].edges.index((2, 3))
    assert row["edge"] == edge
    assert row["class"] == "optimal"
    assert row["written"] == pytest.approx(found.edges[1, 1, edge])
    assert row["attention"] == pytest.approx(own.attention[1, 1, :, :, edge].mean())
    answer = made.filter((pl.col("problem") == "bushy-1") & pl.col("thought").is_null())
    np.testing.assert_allclose(answer["written"], found.answer_edges[1], atol=1e-6)
    np.testing.assert_allclose(answer["attention"], own.attention[1, -1].mean((0, 1)), atol=1e-6)
    into = dict(answer.select("target", "class").iter_rows())
    assert into["scrompus"] == "into the target"
    assert into["yumpus"] == "into the negative"
    classes = made.filter((pl.col("problem") == "bushy-0") & (pl.col("thought") == 2)).select(
        "source", "target", "class"
    )
    assert {(source, target): name for source, target, name in classes.iter_rows()} == {
        ("Sally", "lempus"): "reached before",
        ("Sally", "rempus"): "reached before",
        ("Tom", "yumpus"): "never reached",
        ("Tom", "rempus"): "never reached",
        ("lempus", "brimpus"): "optimal",
        ("lempus", "sterpus"): "off the path",
        ("rempus", "sterpus"): "off the path",
        ("brimpus", "scrompus"): "reached later",
        ("sterpus", "hilpus"): "reached later",
    }


def test_the_route_is_root_to_target_with_ranks(bushy: list[Recording]) -> None:
    made = edge_path_frame(bushy)
    found = route(made, "bushy-2").filter(pl.col("run") == "model").sort("thought")
    assert list(zip(found["source"], found["target"], strict=True)) == [
        ("Sally", "lempus"), ("lempus", "brimpus"), ("brimpus", "scrompus"),
    ]  # fmt: skip
    written = attribute(bushy[0]).edges[2]
    for k, (rank, value) in enumerate(zip(found["rank"], found["written"], strict=True)):
        assert rank == 1 + (written[k] > value + 1e-7).sum()
    assert found["edges"].unique().to_list() == [9]


def test_figures_of_the_path(bushy: list[Recording]) -> None:
    made = EDGE_PATH.frame(bushy)
    by_class, drawn = EDGE_PATH.figures(made)
    first = by_class.data[0]
    assert first.name == "model"
    optimal = made.filter((pl.col("run") == "model") & (pl.col("class") == "optimal") & (pl.col("thought") == 2))
    per_problem = optimal.group_by("problem").agg(pl.mean("written"))["written"]
    assert first.y[1] == pytest.approx(per_problem.mean(), abs=1e-6)
    assert {"untrained model", "chance: all edges"} <= {trace.name for trace in by_class.data}
    assert "bushy" in drawn.layout.title.text
    own: Any = route_figure(made, "bushy-1")
    points = next(trace for trace in own.data if trace.name == "optimal")
    assert points.customdata[0][0] == "bushy-1"
    assert "Sally → lempus → brimpus → scrompus" in own.layout.title.subtitle.text
