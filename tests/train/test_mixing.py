"""Stage mixing: which stage each question is asked at."""

import numpy as np
import pytest

from workbench.errors import WorkbenchError
from workbench.train.methods import draw_stages, mixing_share

STEPS = np.tile([3, 4], 3000)


def draw(mixing: str, stage: int = 4) -> np.ndarray:
    return draw_stages(mixing, stage, STEPS, np.random.default_rng(0))


def test_without_mixing_all_are_asked_at_the_newest_stage():
    assert set(draw("none")) == {4}


def test_a_share_is_drawn_over_the_whole_chain_and_no_further():
    drawn = draw("0.3", stage=6)
    other = drawn != 6
    assert other.mean() == pytest.approx(0.3, abs=0.03)
    assert set(drawn[other & (STEPS == 3)]) == {0, 1, 2, 3}
    assert set(drawn[other & (STEPS == 4)]) == {0, 1, 2, 3, 4}


def test_proportional_weighs_a_stage_by_its_number():
    share = np.bincount(draw("proportional", stage=2)) / len(STEPS)
    assert share == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)


def test_packed_draws_the_open_stages_evenly():
    assert np.bincount(draw("packed", stage=3)) / len(STEPS) == pytest.approx([0.25] * 4, abs=0.03)


@pytest.mark.parametrize("mixing", ["some", "1.5", "-0.1", "nan"])
def test_another_dial_is_refused(mixing):
    with pytest.raises(WorkbenchError, match="no stage mixing"):
        mixing_share(mixing)
