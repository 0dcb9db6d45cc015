"""Lengths, angles and spreads of thoughts, against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.interventions.thoughts import exchanged
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.statistics import (
    Estimate,
    effective_rank,
    jackknife,
    noise_like,
    participation_ratio,
    principal_map,
    variances,
)
from workbench.readings.geometry import GEOMETRY, geometry_frame

PROBLEMS = [chain(0, 2), chain(1, 4), chain(2, 3)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    own = record(tiny(), PROBLEMS)
    return [own, *record_controls(own, ["untrained", "noise"])]


def with_thoughts(recording: Recording, thoughts: np.ndarray) -> Recording:
    traces = [replace(t, thoughts=v.astype(np.float32)) for t, v in zip(recording.traces, thoughts, strict=True)]
    return replace(recording, traces=tuple(traces))


def test_spread_of_sets_worked_out_by_hand() -> None:
    # Four points on two axes: variances 2 and 1/2, so singular values stand as 2 to 1.
    cross = np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]])
    np.testing.assert_allclose(np.sort(variances(cross)), [0.5, 2])
    shares = np.array([2, 1]) / 3
    assert effective_rank(variances(cross)) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert participation_ratio(variances(cross)) == pytest.approx(2.5**2 / 4.25)
    assert effective_rank(variances(cross + 100)) == pytest.approx(effective_rank(variances(cross)))
    line = np.outer([1.0, 2, 5], [1, 2, 3])
    assert effective_rank(variances(line)) == pytest.approx(1, abs=1e-3)
    assert np.isnan(effective_rank(np.zeros(3)))
    places, share = principal_map(np.c_[cross, [0.5, 0.5, -0.5, -0.5]])
    assert share == pytest.approx(10 / 11)
    np.testing.assert_allclose(np.abs(places[:2, 0]), 2, atol=1e-6)


def test_the_jackknife_covers_the_spread_of_a_larger_set_and_shrinks_with_n() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((4000, 5)) * [3, 2, 1, 1, 0.5]
    truth = participation_ratio(variances(drawn))

    def estimate(rows: np.ndarray) -> Estimate:
        return jackknife(rows, {"it": participation_ratio})["it"]

    made = [estimate(drawn[200 * i : 200 * i + 200]) for i in range(20)]
    covered = sum(e.low <= truth <= e.high for e in made)
    assert 16 <= covered <= 20
    wide, narrow = made[0], estimate(drawn[:2000])
    assert narrow.high - narrow.low < 0.6 * (wide.high - wide.low)
    assert np.isnan(estimate(drawn[:2]).low)


def test_noise_keeps_lengths_and_spreads_over_all_dimensions() -> None:
    vectors = np.outer(np.linspace(1, 3, 400), [3.0, 4, 0, 0])
    noise = noise_like(vectors, 1)
    np.testing.assert_allclose(np.linalg.norm(noise, axis=1), np.linalg.norm(vectors, axis=1))
    assert participation_ratio(variances(noise)) > 3.8
    assert not np.allclose(noise, noise_like(vectors, 2))


def test_frame_of_thoughts_set_by_hand(recordings: list[Recording]) -> None:
    thoughts = np.zeros((3, 3, 32))
    thoughts[:, 0, 0], thoughts[:, 1, 0], thoughts[:, 2, 1] = 2, 1, 3
    thoughts[:, 1, 1] = 1  # 45 degrees from thought 1 and from thought 3
    thoughts[0, 0] = -thoughts[0, 0]
    made = geometry_frame([with_thoughts(recordings[0], thoughts)])
    assert made["thought"].to_list() == [1, 2, 3] * 3
    assert made["norm"].to_list() == pytest.approx([2, 2**0.5, 3] * 3)
    half = 0.5**0.5
    before = made.filter(pl.col("thought") > 1)["cosine_before"].to_list()
    assert before == pytest.approx([-half, half, half, half, half, half])
    assert made.filter(pl.col("thought") == 1)["cosine_before"].null_count() == 3
    donor = exchanged(3, 0)
    between = made.filter(pl.col("thought") == 1)["cosine_between"].to_list()
    assert between == pytest.approx([-1.0 if 0 in (row, donor[row]) else 1.0 for row in range(3)])
    other = made.filter(pl.col("thought") == 2)["cosine_before_other"].to_list()
    assert other == pytest.approx([-half if donor[row] == 0 else half for row in range(3)])
    rank = dict(made.select("thought", "effective_rank").unique().iter_rows())
    assert rank[1] == pytest.approx(1, abs=1e-6)
    assert rank[2] is None  # three equal thoughts spread over nothing
    embedding, tokens = recordings[0].embedding, recordings[0].first_tokens[0][recordings[0].is_concept[0]]
    assert made["concept_norm"][0] == pytest.approx(np.linalg.norm(embedding[tokens], axis=1).mean())


def test_reading_holds_the_model_and_its_controls(recordings: list[Recording]) -> None:
    made = GEOMETRY.frame(recordings)
    assert made["run"].unique(maintain_order=True).to_list() == ["model", "untrained", "noise"]
    assert len(made) == 3 * 3 * 3
    norms = made.filter(run="model")["norm"].to_numpy().reshape(3, 3)
    np.testing.assert_allclose(norms, np.linalg.norm(recordings[0].thoughts, axis=2), rtol=1e-6)
    figures = GEOMETRY.figures(made)
    assert len(figures) == 7
    for drawn in figures:
        names = {trace.name for trace in drawn.data}
        assert drawn.layout.meta["alt"]
        assert "model" in names or {"thought 1", "right", "wrong", "2 hops"} & names
    by_thought = figures[4]
    assert by_thought.data[0].customdata[0][0] == "chain-0"
    assert sum(len(trace.x) for trace in by_thought.data) == len(made)
