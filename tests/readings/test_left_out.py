"""A control that leaves problems out is read with what was fitted for the model's own run, problem by problem."""

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import OTHER_TARGET
from workbench.measure.splits import source_rows
from workbench.problems.sets import generate
from workbench.problems.variants import other_target
from workbench.readings.lenses import lens_frame
from workbench.readings.probes import probe_frame

ASKED = [chain(0, 2), *generate("released", 5, 3, {3: 1.0}, 18)]  # of the first the root reaches no other leaf


@pytest.fixture(scope="module")
def recordings() -> tuple[Recording, Recording]:
    """All problems, and a run of the same model that leaves out the first."""
    own = record(tiny("qwen2", thoughts=2, max_position_embeddings=256), ASKED)
    return own, record(own.checkpoint, ASKED[1:], label="noise")


@pytest.mark.parametrize("frame", [lens_frame, probe_frame])
def test_a_problem_is_read_alike_whatever_a_control_leaves_out(
    frame: object, recordings: tuple[Recording, Recording]
) -> None:
    assert callable(frame)
    found = frame(recordings, count=0, steps=3)
    own, part = (found.filter(pl.col("run") == label).drop("run") for label in ("model", "noise"))
    assert set(part["problem"]) == {problem.id for problem in ASKED[1:]}
    own = own.filter(pl.col("problem") != ASKED[0].id).drop("control_auc", strict=False)
    for column in own.columns:
        if own[column].dtype.is_float():
            np.testing.assert_allclose(part[column].to_numpy(), own[column].to_numpy(), atol=2e-3, err_msg=column)
        elif column not in ("top_token", "supervision"):
            assert part[column].to_list() == own[column].to_list(), column


def test_another_target_is_read_where_a_root_reaches_one_leaf_alone(recordings: tuple[Recording, Recording]) -> None:
    own = recordings[0]
    kept = [number for number, problem in enumerate(ASKED) if other_target(problem, 0)]
    (control,) = record_controls(own, [OTHER_TARGET])
    assert source_rows(control, own).tolist() == kept == [1, 2, 4, 5]
    for frame in (lens_frame, probe_frame):
        rows = frame([own, control], count=0, steps=2).filter(pl.col("run") == OTHER_TARGET)
        assert set(rows["problem"]) == {ASKED[number].id for number in kept}
