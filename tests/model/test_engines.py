"""Batches on a Ray cluster of two workers give what they give here, also when a worker dies."""

import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.interventions.layers import Ablate
from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Noise
from workbench.measure.recording import record
from workbench.model import engines
from workbench.model.engines import Local, current_engine, engine
from workbench.model.session import Batch, in_batches
from workbench.readings.attribution import attribute
from workbench.studies.report import ReportOptions, write_report

CHECKPOINT = tiny("gpt2")
PROBLEMS = [chain(number, 1 + number % 5) for number in range(18)]
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")


@pytest.fixture(scope="module")
def ray_engine() -> Iterator[engines.Engine]:
    """Two workers on this machine."""
    from workbench.model.engines.on_ray import cluster

    with cluster(None, 2, 0.0) as made:
        yield made


@pytest.fixture
def on_ray(ray_engine: engines.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches run on the two workers."""
    monkeypatch.setattr("workbench.model.session.current_engine", lambda: ray_engine)


def rows_of(batch: Batch) -> list[int]:
    return [row * 10 for row in batch.rows]


def test_batches_run_here_unless_an_engine_is_named() -> None:
    assert isinstance(current_engine(), Local)
    with engine("local") as local:
        assert isinstance(local, Local)
    assert list(in_batches(CHECKPOINT, PROBLEMS, rows_of, 4)) == [10 * row for row in range(len(PROBLEMS))]


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [("rays", {}, 'Did you mean "ray"?'), ("local", {"workers": 2}, "Add --engine ray"), ("ray", {}, "[ray]")],
)
def test_an_engine_that_cannot_be_had_says_why(
    name: str, given: dict, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(WorkbenchError) as raised, engine(name, **given):
        pass
    assert says in raised.value.do


@needs_ray
def test_tables_have_the_same_bytes(
    ray_engine: engines.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, done = ReportOptions(shard=12, batch_size=4), []
    write_report(CHECKPOINT, PROBLEMS, tmp_path / "here", options)
    monkeypatch.setattr("workbench.model.session.current_engine", lambda: ray_engine)
    write_report(CHECKPOINT, PROBLEMS, tmp_path / "there", options, on_progress=done.append)
    written = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert "problems.parquet" in written
    for name in written:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name
    assert sum(done) == len(PROBLEMS)


@needs_ray
def test_interventions_recordings_and_readings_travel(
    ray_engine: engines.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything() -> list[Any]:
        plans = [[], [Noise(seed=1)], [Ablate(part="mlp", layers=(1,), at=(2,), to="mean")]]
        ran = run_intervened(CHECKPOINT, PROBLEMS, plans, batch_size=4, keep_thoughts=True)
        recording = record(CHECKPOINT, PROBLEMS, batch_size=4)
        found = attribute(recording, batch_size=4)
        return [*(one.lm_head for one in ran), recording.residual, recording.attention, found.answer, found.edges]

    here = everything()
    monkeypatch.setattr("workbench.model.session.current_engine", lambda: ray_engine)
    for one, other in zip(here, everything(), strict=True):
        np.testing.assert_array_equal(one, other)


@needs_ray
@pytest.mark.usefixtures("on_ray")
def test_a_batch_whose_worker_is_killed_is_run_again(tmp_path: Path) -> None:
    killed = tmp_path / "killed"

    def deadly(batch: Batch) -> list[int]:
        if 7 in batch.rows and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [row * 10 for row in batch.rows]

    assert list(in_batches(CHECKPOINT, PROBLEMS, deadly, 2)) == [10 * row for row in range(len(PROBLEMS))]
    assert killed.exists()


@needs_ray
@pytest.mark.usefixtures("on_ray")
def test_results_come_in_the_order_of_the_problems_and_errors_as_they_are() -> None:
    def slow_first(batch: Batch) -> list[int]:
        time.sleep(0.3 if 0 in batch.rows else 0)
        return [row * 10 for row in batch.rows]

    def refused(batch: Batch) -> list[int]:
        raise WorkbenchError("It cannot be.", f"Rows {batch.rows}.", "Try another.")

    assert list(in_batches(CHECKPOINT, PROBLEMS, slow_first, 2)) == [10 * row for row in range(len(PROBLEMS))]
    with pytest.raises(WorkbenchError, match="It cannot be") as raised:
        list(in_batches(CHECKPOINT, PROBLEMS, refused, 2))
    assert raised.value.do == "Try another."
