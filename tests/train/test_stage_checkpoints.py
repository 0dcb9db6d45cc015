"""The checkpoints that a run kept of itself: which there are, in which order, and what is no checkpoint."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.conftest import tiny
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import load_checkpoint, save_checkpoint
from workbench.train.state import START, stage_checkpoints


def keep(place: Path, step: int, stage: str = "thoughts3-edges08", seed: int = 0) -> Path:
    """Save a tiny model as one that was trained for so many steps."""
    checkpoint = tiny(seed=seed)
    return save_checkpoint(replace(checkpoint, meta={**checkpoint.meta, "step": step, "stage": stage}), place)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 300 steps that kept two checkpoints, and began from another run."""
    place = tmp_path_factory.mktemp("whole")
    keep(place / "base" / "model", 900, "the end of another run")
    directory = place / "run"
    # Ten thousand sorts before two hundred and fifty by name: the order is that of the steps inside.
    for step, stage in ((10000, "late"), (250, "early")):
        keep(directory / "checkpoints" / f"step{step}-{stage}", step, stage)
    keep(directory / "model", 20000, "end")
    (directory / "config.yaml").write_text(yaml.safe_dump({"start": str(place / "base")}))
    return directory


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_checkpoints_come_by_step_from_the_start_to_the_last_model(run: Path) -> None:
    found = stage_checkpoints(run)

    assert [(one.step, one.stage) for one in found] == [(0, START), (250, "early"), (10000, "late"), (20000, "end")]
    assert found[0].path.name == "base"
    assert found[-1].path == run / "model"
    assert load_checkpoint(found[0].path).thoughts == load_checkpoint(found[1].path).thoughts == 3
    assert stage_checkpoints(str(run), start=False) == found[1:]


def test_a_model_of_the_same_step_stands_for_the_kept_one(run: Path) -> None:
    keep(run / "model", 10000, "late")

    last = stage_checkpoints(run)[-1]
    assert (last.step, last.path) == (10000, run / "model")


def test_a_model_older_than_the_newest_kept_one_is_in_its_place(run: Path) -> None:
    keep(run / "model", 600, "before it was killed")

    assert [one.step for one in stage_checkpoints(run, start=False)] == [250, 600, 10000]


@pytest.mark.parametrize("damage", ["no weights", "no config", "cut off", "another program's", "no step"])
def test_what_is_not_saved_whole_is_left_out(run: Path, damage: str) -> None:
    broken = run / "checkpoints" / "step10000-late"
    config = json.loads((broken / "config.json").read_text())
    if damage == "no weights":
        (broken / "model.safetensors").unlink()
    elif damage == "no config":
        (broken / "config.json").unlink()
    elif damage == "cut off":
        (broken / "config.json").write_text(json.dumps(config)[:80])
    elif damage == "another program's":
        (broken / "config.json").write_text(json.dumps({**config, "coconut": None}))
    else:
        del config["coconut"]["step"]
        (broken / "config.json").write_text(json.dumps(config))

    assert [one.step for one in stage_checkpoints(run)] == [0, 250, 20000]


@pytest.mark.parametrize("config", ["start: nowhere/here", "start: ''", "start: 7", "- a list", "{", None])
def test_a_start_that_is_not_here_is_left_out(run: Path, config: str | None) -> None:
    (run / "config.yaml").unlink()
    if config is not None:
        (run / "config.yaml").write_text(config)

    assert [one.step for one in stage_checkpoints(run)] == [250, 10000, 20000]


def test_a_run_without_kept_checkpoints_says_what_it_holds(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "config.yaml").unlink()
    with pytest.raises(
        WorkbenchError, match=r"(?s)run has no checkpoints to scrub over.*only its last model.*keep_every"
    ):
        stage_checkpoints(run)

    shutil.rmtree(run / "model")
    with pytest.raises(WorkbenchError, match="no model at all"):
        stage_checkpoints(run)
    with pytest.raises(WorkbenchError, match="no model at all"):
        stage_checkpoints(run / "not" / "there")
