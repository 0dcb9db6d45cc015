"""Readings of the values of candidates: parallelism and height, and statistics that resample problems."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy import stats

from tests.conftest import tiny
from tests.figures.test_figures import generated
from workbench.figures.values import correlations, parallelism, value_by_height
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.statistics import _draws, auroc, resample, spearman
from workbench.problems.graph import structure
from workbench.problems.sets import generate
from workbench.readings.values import HEIGHT, PARALLELISM


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """A model with random weights, and a control, on a few problems of the released family."""
    own = record(
        tiny(thoughts=2, max_position_embeddings=256),
        [replace(generated(seed), id=f"made-{seed}") for seed in range(4)],
    )
    return [own, *record_controls(own, ["shuffled"])]


@pytest.fixture(scope="module")
def nodes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values with ties, heights, classes and problems of 60 nodes."""
    rng = np.random.default_rng(0)
    return rng.random(60).round(1), rng.integers(0, 4, 60), rng.random(60) < 0.4, np.sort(rng.integers(0, 12, 60))


def drawn(figure: go.Figure) -> list[Any]:
    return list(figure.data)


def resamples(problems: np.ndarray, count: int) -> list[np.ndarray]:
    """The nodes of each resample, the plain way: those of every problem as often as it is drawn."""
    labels = np.unique(problems)
    members = [np.flatnonzero(problems == label) for label in labels]
    return [
        np.concatenate([np.repeat(nodes, int(n)) for nodes, n in zip(members, row, strict=True)])
        for row in _draws(len(labels), 0, count, False)
    ]


@pytest.mark.parametrize("name", ["mean", "spearman", "auroc"])
def test_statistics_and_intervals_equal_those_of_resampled_nodes(name, nodes):
    values, heights, positive, problems = nodes

    def plain(chosen: np.ndarray) -> float:
        if name == "mean":
            return float(values[chosen].mean())
        if name == "spearman":
            return float(stats.spearmanr(heights[chosen], values[chosen])[0])  # type: ignore[arg-type]
        one, two = values[chosen][positive[chosen]], values[chosen][~positive[chosen]]
        return float(stats.mannwhitneyu(one, two).statistic / (len(one) * len(two)))

    found = {
        "mean": lambda: resample(values, clusters=problems, resamples=50),
        "spearman": lambda: resample(heights, values, statistic=spearman, clusters=problems, resamples=50),
        "auroc": lambda: resample(values, positive, statistic=auroc, clusters=problems, resamples=50),
    }[name]()
    assert found.value == pytest.approx(plain(np.arange(60)))
    expected = np.quantile([plain(chosen) for chosen in resamples(problems, 50)], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.n == 60


def test_what_is_undefined_is_nan():
    assert np.isnan(resample([1, 1, 1], [1, 2, 3], statistic=spearman, clusters=[0, 1, 2]).value)
    assert np.isnan(resample([1, 2], [True, True], statistic=auroc, clusters=[0, 1]).value)
    assert np.isnan(resample([], clusters=[]).value)
    of_one_problem = resample([1, 2], [False, True], statistic=auroc, clusters=[0, 0])
    assert of_one_problem.value == 1
    assert np.isnan(of_one_problem.low)
    assert np.isnan(of_one_problem.high)


def test_parallelism_sums_the_largest_values_of_the_candidates(recordings):
    frame = PARALLELISM.frame(recordings)
    for recording in recordings:
        for problem, trace in zip(recording.problems, recording.traces, strict=True):
            about = structure(problem)
            for readout, values, first in (
                ("lm_head", trace.lm_head, 1),
                ("forced_language", trace.forced_language, 0),
            ):
                for row, raw in enumerate(values.astype(float)):
                    k = row + first
                    members = np.flatnonzero(about.hops == max(k, 1))
                    got = frame.filter(run=recording.label, problem=problem.id, readout=readout, thought=k)
                    best = sorted(raw[members], reverse=True)
                    total = raw[about.concepts].sum()
                    for n in (1, 2, 3):
                        assert got[f"top{n}"].item() == pytest.approx(sum(best[:n]))
                        assert got[f"top{n}_normalised"].item() == pytest.approx(sum(best[:n]) / total)
                        expected = min(n, len(members)) / about.concepts.sum()
                        assert got[f"top{n}_chance"].item() == pytest.approx(expected)
                    assert got["candidate_mass"].item() == pytest.approx(sum(best))


def test_parallelism_draws_sorted_curves_whose_points_are_problems(recordings):
    frame = PARALLELISM.frame(recordings)
    figure = parallelism(frame, "forced_language")
    curves = [t for t in drawn(figure) if t.name in ("top 1", "top 2", "top 3")]
    assert len(curves) == 3 * 3  # after 0, 1, 2 thoughts
    for curve in curves:
        assert list(curve.y) == sorted(curve.y)
        assert {row[0] for row in curve.customdata} == {p.id for p in recordings[0].problems}
    for one, three in zip(curves[::3], curves[2::3], strict=True):
        assert (np.array(one.y) <= np.array(three.y) + 1e-12).all()
    assert sum(t.name == "thoughts of other problems" for t in drawn(figure)) == 9
    for axis in ("x", "x2", "x3"):  # the model's points lie above the controls, where a click meets them
        own = [t.customdata is not None for t in drawn(figure) if t.xaxis == axis and "chance" not in t.name]
        assert own == [False] * 3 + [True] * 3
    assert sum(str(t.name).startswith("chance") for t in drawn(figure)) == 9


def test_height_has_a_row_for_every_candidate(recordings):
    frame = HEIGHT.frame(recordings)
    problem, trace = recordings[0].problems[1], recordings[0].traces[1]
    about = structure(problem)
    rows = frame.filter(run="model", problem=problem.id, readout="lm_head", thought=2).sort("node")
    members = np.flatnonzero(about.hops == 2)
    assert rows["node"].to_list() == members.tolist()
    assert rows["raw"].to_numpy() == pytest.approx(trace.lm_head[1, members].astype(float))
    assert rows["height_longest"].to_list() == about.longest_height[members].tolist()
    assert rows["height_shortest"].to_list() == about.shortest_height[members].tolist()
    assert rows["reaches_target"].to_list() == about.reaches_target[members].tolist()
    assert rows["named"].to_list() == [node == problem.target for node in members]


def test_nodes_that_any_question_names_are_left_out_of_the_separation():
    problems = generate("released", 3, seed=5)
    own = record(tiny("qwen2", thoughts=2, max_position_embeddings=256), problems)
    (control,) = record_controls(own, ["other_target"])
    frame = HEIGHT.frame([own, control])
    asked = {one.id: new.target for one, new in zip(control.problems, control.asked, strict=True)}
    for row in frame.iter_rows(named=True):
        problem = next(one for one in problems if one.id == row["problem"])
        assert row["named"] == (row["node"] in (problem.target, asked.get(problem.id)))


def test_correlations_are_those_of_scipy_for_every_run_thought_and_height(recordings):
    frame = HEIGHT.frame(recordings)
    found = correlations(frame)
    assert len(found) == 2 * (2 + 3) * 3 * 2
    for row in found.filter(found["reaches_target"].is_null()).iter_rows(named=True):
        rows = frame.filter(run=row["run"], readout=row["readout"], thought=row["thought"])
        expected = stats.spearmanr(rows[row["height"]], rows["raw"])[0]
        assert row["correlation"] == pytest.approx(expected)
        assert row["low"] <= row["correlation"] <= row["high"]
        assert (row["n"], row["problems"]) == (len(rows), 4)


def test_values_by_height_are_means_of_nodes(recordings):
    frame = HEIGHT.frame(recordings)
    figure = value_by_height(frame, "lm_head", "height_longest")
    lines = [t for t in drawn(figure) if t.name == "model, does not"]
    rows = frame.filter(run="model", readout="lm_head", thought=1, reaches_target=False)
    expected = {h: rows.filter(height_longest=h)["raw"].mean() for h in rows["height_longest"].unique()}
    assert dict(zip(lines[0].x, lines[0].y, strict=True)) == pytest.approx(expected)


def test_every_figure_of_these_readings_has_an_alt_and_shows_chance_and_controls(recordings):
    for one in (PARALLELISM, HEIGHT):
        figures = one.figures(one.frame(recordings))
        assert len(figures) == (2 if one.name == "parallelism" else 10)
        for figure in figures:
            assert len(json.loads(figure.to_json())["layout"]["meta"]["alt"]) > 40
            names = " ".join(t.name or "" for t in drawn(figure))
            if not names.strip():  # no panel has a value; each says why
                assert "fewer than 10 of either kind" in json.loads(figure.to_json())["layout"]["meta"]["alt"]
                continue
            assert "chance" in names
            assert "Separation" in figure.layout.title.text or "thoughts of other problems" in names
