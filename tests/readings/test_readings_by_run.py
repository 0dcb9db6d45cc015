"""Rows of one series depend on the model's own recording and on its own alone: the explorer reads them one by one."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.conftest import tiny
from workbench.measure.columns import columns
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import RUN
from workbench.problems.sets import generate
from workbench.readings import READINGS


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    own = record(tiny(max_position_embeddings=256), generate("released", 5, 0, {3: 1.0}, 18), continuations=True)
    return [own, *record_controls(own, ["untrained", "shuffled"])]


@pytest.mark.parametrize("name", READINGS)
def test_a_series_reads_the_same_without_the_other_controls(
    recordings: list[Recording], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.measure.splits.COUNT", 0)
    monkeypatch.setattr("workbench.measure.splits.FOLDS", 2)
    own, untrained, shuffled = recordings
    together, read = READINGS[name].frame(recordings), READINGS[name].frame
    apart = [read([own]), *(read([own, one]).filter(pl.col(RUN) == one.label) for one in (untrained, shuffled))]

    # The copy map is one of weights: of shuffled thoughts it would be the model's own.
    assert together[RUN].n_unique() == (2 if name == "copy_map" else 3)
    assert_frame_equal(together, pl.concat(apart), abs_tol=1e-6)
    assert [column.name for column in columns(name, together.columns)] == together.columns  # each is described
    for one, two in zip(READINGS[name].figures(apart[0]), READINGS[name].figures(apart[0]), strict=True):
        assert one.to_json() == two.to_json(), "a figure is a function of the table alone"
        assert len(one.layout.meta["alt"]) > 40
