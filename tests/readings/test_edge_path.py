"""What each edge writes into each thought: rows against arrays, the route of one problem, and the figures."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.conftest import tiny
from tests.readings.test_edge_knockout_reading import PROBLEMS
from workbench.figures.attention import route_figure
from workbench.measure.recording import Recording, record, record_controls
from workbench.readings.attribution import EDGE_PATH, attribute, edge_path_frame, route


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    own = record(tiny(), PROBLEMS)
    return [own, *record_controls(own, ["untrained"])]


def test_rows_hold_attention_and_what_it_writes(recordings: list[Recording]) -> None:
    own = recordings[0]
    made, found = edge_path_frame(recordings[:1]), attribute(own)
    assert len(made) == 3 * 4 * len(PROBLEMS[0].edges)
    (row,) = made.filter(
        (pl.col("problem") == "bushy-1") & (pl.col("thought") == 2) & (pl.col("source") == "lempus")
        & (pl.col("target") == "brimpus")
    ).iter_rows(named=True)  # fmt: skip
    edge = PROBLEMS[1].edges.index((2, 3))
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


def test_the_route_is_root_to_target_with_ranks(recordings: list[Recording]) -> None:
    made = edge_path_frame(recordings)
    found = route(made, "bushy-2").filter(pl.col("run") == "model").sort("thought")
    assert list(zip(found["source"], found["target"], strict=True)) == [
        ("Sally", "lempus"), ("lempus", "brimpus"), ("brimpus", "scrompus"),
    ]  # fmt: skip
    written = attribute(recordings[0]).edges[2]
    for k, (rank, value) in enumerate(zip(found["rank"], found["written"], strict=True)):
        assert rank == 1 + (written[k] > value + 1e-7).sum()
    assert found["edges"].unique().to_list() == [9]


def test_figures(recordings: list[Recording]) -> None:
    made = EDGE_PATH.frame(recordings)
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
