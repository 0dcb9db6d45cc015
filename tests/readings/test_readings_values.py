"""Readings of values over a problem set: behaviour and breadth, model and controls, with their chance levels."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.figures.style import RUN_COLOURS
from workbench.figures.values import behaviour_shares, statistic_by_run
from workbench.measure.behaviour import classify
from workbench.measure.recording import Recording, record, record_controls
from workbench.problems.graph import structure
from workbench.readings.values import BEHAVIOUR, BREADTH, behaviour_frame

PROBLEMS = [chain(number, 1 + number % 4) for number in range(6)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """A model and two of its controls, with continuations."""
    own = record(tiny(), PROBLEMS, continuations=True)
    return [own, *record_controls(own, ["untrained", "noise"])]


@pytest.fixture(scope="module")
def mute() -> Recording:
    return record(tiny(), PROBLEMS)


def drawn(figure: go.Figure) -> list[Any]:
    return list(figure.data)


def test_behaviour_has_a_row_for_every_run_problem_and_number_of_thoughts(recordings):
    frame = BEHAVIOUR.frame(recordings)
    assert len(frame) == 3 * 6 * 4
    assert frame["run"].unique(maintain_order=True).to_list() == ["model", "untrained", "noise"]
    for recording in recordings:
        for problem, trace in zip(recording.problems, recording.traces, strict=True):
            rows = frame.filter(run=recording.label, problem=problem.id).sort("thought")
            assert rows["thought"].to_list() == [0, 1, 2, 3]
            assert rows["correct"].to_list() == trace.answer_right.tolist()
            assert rows["valid"].to_list() == trace.answer_valid.tolist()
            assert rows["said"].to_list() == list(trace.continuations)
            expected = [classify(problem, said, k).value for k, said in enumerate(trace.continuations)]
            assert rows["behaviour"].to_list() == expected
            assert rows["steps"].to_list() == [structure(problem).length] * 4


def test_thoughts_that_share_a_step_are_classified_by_step(recordings):
    # With two thoughts per step, two thoughts stand for one step: the steps that are left begin at hop 1.
    own = record(tiny(thoughts=2), [chain(0, 3), chain(1, 3)], continuations=True)
    problem, trace = own.problems[0], own.traces[0]
    names = [problem.names[node] for node in (2, 3, 4)]
    said = f"| {names[0]} {names[1]} | {names[1]} {names[2]} [A] {names[2]}"
    words = ("", "", said)
    one = replace(own, traces=(replace(trace, continuations=words), own.traces[1]))
    two = replace(own, traces=(replace(trace, continuations=words, thoughts_per_step=2), own.traces[1]))
    first, second = (behaviour_frame([r]).filter(problem=problem.id, thought=2)["behaviour"].item() for r in (one, two))
    assert (first, second) == ("Hallucination", "Correct Path")


def test_behaviour_shares_show_a_panel_for_each_run_and_add_up(recordings):
    frame = BEHAVIOUR.frame(recordings)
    accuracy, shares = BEHAVIOUR.figures(frame)
    bars = drawn(shares)
    assert len(bars) == 3 * 7
    assert len({bar.xaxis for bar in bars}) == 3
    for axis in {bar.xaxis for bar in bars}:
        assert np.sum([bar.y for bar in bars if bar.xaxis == axis], axis=0) == pytest.approx(1)
    counted = Counter(frame.filter(run="noise", thought=1)["behaviour"])
    noise = [bar for bar in bars if bar.xaxis == "x3"]
    assert {bar.name: bar.y[1] for bar in noise if bar.y[1]} == {k: n / 6 for k, n in counted.items()}
    titles = [a.text for a in shares.layout.annotations]
    assert titles == ["model", "untrained model", "noise of matched norm"]
    lines = {t.name: t for t in drawn(accuracy)}
    assert {"model", "untrained model", "noise of matched norm", "chance"} <= lines.keys()
    assert lines["untrained model"].line.color == RUN_COLOURS["untrained"]
    assert (lines["model"].line.dash, lines["untrained model"].line.dash) == ("solid", "dot")


def test_without_continuations_accuracy_stands_alone_and_the_error_says_what_to_do(mute):
    frame = BEHAVIOUR.frame([mute])
    assert frame["behaviour"].is_null().all()
    assert len(BEHAVIOUR.figures(frame)) == 1
    with pytest.raises(WorkbenchError, match="continuations=True"):
        behaviour_shares(frame)


def test_breadth_by_hand(recordings):
    frame = BREADTH.frame(recordings)
    assert len(frame) == 3 * 6 * (3 + 4)
    own = recordings[0]
    for problem, trace in zip(own.problems, own.traces, strict=True):
        about = structure(problem)
        for k in range(4):
            row = frame.filter(run="model", problem=problem.id, readout="forced_language", thought=k).row(0, named=True)
            candidates = np.flatnonzero(about.hops == max(k, 1))  # BFS depth, with no thoughts that of one
            values = trace.forced_language[k, candidates].astype(float)
            if len(candidates) == 0:
                assert row["candidate_mass"] is None
                continue
            assert row["candidate_mass"] == pytest.approx(values.sum())
            assert row["candidate_mass_chance"] == pytest.approx(len(candidates) / about.concepts.sum())
            assert row["top1_correct"] == about.reaches_target[candidates[values.argmax()]]
            assert row["top1_correct_chance"] == pytest.approx(about.reaches_target[candidates].mean())
            share = values / values.sum()
            entropy = -(share * np.log2(share)).sum()
            expected = entropy / np.log2(len(candidates)) if len(candidates) > 1 else None
            assert row["breadth_share"] == (expected if expected is None else pytest.approx(expected))


def test_breadth_is_drawn_with_runs_readouts_and_chance(recordings):
    frame = BREADTH.frame(recordings)
    mass, *_ = BREADTH.figures(frame)
    assert len(BREADTH.figures(frame)) == 4
    lines = drawn(mass)
    for axis in ("x", "x2"):
        assert [t.name for t in lines if (t.xaxis or "x") == axis] == [
            "model", "untrained model", "noise of matched norm", "chance",
        ]  # fmt: skip
    forced = frame.filter(run="model", readout="forced_language")
    expected = forced.drop_nulls("candidate_mass").group_by("thought").agg(pl.col("candidate_mass").mean())
    model = next(t for t in lines if t.name == "model" and t.xaxis == "x2")
    assert list(model.y) == pytest.approx(expected.sort("thought")["candidate_mass"].to_list())
    assert all(row[2] for row in model.customdata)
    with pytest.raises(WorkbenchError, match='no statistic "beauty"'):
        statistic_by_run(frame, "beauty")
