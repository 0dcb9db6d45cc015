"""Settings of published trainings: betas, what decays, when the optimizer forgets, a rate that falls in steps."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import workbench.train.loop as loop
from tests.train.test_training import TINY
from workbench.errors import WorkbenchError
from workbench.problems.files import save_items
from workbench.problems.sets import generate_items
from workbench.train.config import Curriculum, RowsConfig, TrainConfig, load_config
from workbench.train.init import build_model, build_optimizer
from workbench.train.loop import learning_rate, read_metrics, train

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Three steps make a pass over twelve problems, two passes a stage: stages begin at steps 6 and 12."""
    save_items(generate_items("arithmetic", 12, 0, operations=2), tmp_path / "problems.json")
    rows = RowsConfig(problems=str(tmp_path / "problems.json"), batch=4, epochs_per_stage=2.0)
    rows = replace(rows, validation=rows.problems)
    return replace(
        TINY, task="arithmetic", method="coconut_words", mixing="none", rows=rows, curriculum=Curriculum(thoughts=2),
        reset_optimizer=True, steps=15, decay_from=15, warmup_steps=1, watched=1, evaluate_every=5, precision="fp32",
    )  # fmt: skip


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps before which no optimizer held a moment."""
    seen, step = [], loop.train_step

    def watched(config: TrainConfig, state: Any, *given: Any) -> Any:
        if not any(optimizer.state_dict()["state"] for optimizer in state.optimizers):
            seen.append(state.step)
        return step(config, state, *given)

    monkeypatch.setattr(loop, "train_step", watched)
    return seen


@pytest.mark.parametrize(
    ("reset", "steps"), [(False, [0]), (True, [0, 6, 12]), ("epoch", [0, 3, 6, 9, 12])], ids=["never", "stage", "epoch"]
)
def test_the_optimizer_holds_nothing_at_the_first_step_of_a_stage_or_pass(
    config: TrainConfig, empty: list[int], tmp_path: Path, reset: Any, steps: list[int]
) -> None:
    train(replace(config, reset_optimizer=reset), tmp_path / "run")
    assert empty == steps


def test_a_run_resumed_within_a_stage_keeps_moments_and_rate(
    config: TrainConfig, empty: list[int], tmp_path: Path
) -> None:
    config = replace(config, reset_optimizer="epoch", rate_factor=0.5, rate_every=2)
    train(config, tmp_path / "whole")
    assert empty == [0, 3, 6, 9, 12]
    empty.clear()

    def interrupt(record: dict) -> None:
        if record.get("loss") and record["step"] == 10:
            os.kill(os.getpid(), signal.SIGINT)

    train(config, tmp_path / "cut", interrupt)
    assert json.loads((tmp_path / "cut" / "latest" / "state.json").read_text())["step"] == 11
    train(config, tmp_path / "cut")
    assert empty == [0, 3, 6, 9, 12]
    assert read_metrics(tmp_path / "cut") == read_metrics(tmp_path / "whole")
    rates = [record["learning_rate"] / config.learning_rate for record in read_metrics(tmp_path / "cut")]
    assert rates == [1.0, 1.0, 0.5]  # of steps 4, 9 and 14; the moments were cleared before 3, 9 and 12
    for name in ("model.safetensors", "optimizer.safetensors"):
        cut, whole = (load_file(tmp_path / run / "latest" / name) for run in ("cut", "whole"))
        assert cut.keys() == whole.keys()
        assert all(torch.equal(cut[key], whole[key]) for key in cut)


def test_a_rate_falls_in_steps_from_the_last_time_the_moments_were_cleared() -> None:
    config = replace(TINY, warmup_steps=1, rate_factor=0.5, rate_every=2, steps=100, decay_from=100)
    assert [learning_rate(config, step, 3) for step in range(3, 9)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert [learning_rate(replace(config, rate_factor=1.0, rate_every=0), step) for step in (0, 50, 99)] == [1, 1, 1]


def test_betas_and_what_decays_reach_the_optimizer() -> None:
    model = build_model(TINY.model, 0)
    for config, betas, decays in (
        (TINY, (0.9, 0.95), [0.01, 0.0]),
        (replace(TINY, betas=(0.9, 0.999), decay_all=True, weight_decay=0.1), (0.9, 0.999), [0.1, 0.1]),
    ):
        (adamw,) = build_optimizer(model, config)
        assert [group["betas"] for group in adamw.param_groups] == [betas] * 2
        assert [group["weight_decay"] for group in adamw.param_groups] == decays


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("betas: [0.9]", r"betas \(\[0.9\]\) must be two numbers"),
        ("betas: [0.9, 1.0]", "from 0 to below 1"),
        ("betas: 0.9", "betas is 0.9, expected a list"),
        ("weight_decay: -0.1", "weight_decay"),
        ("decay_all: some", "decay_all is 'some', expected bool"),
        ("rate_factor: 0.8", "rate_every"),
        ("rate_every: 50", "rate_every"),
        ("rate_factor: 1.5\nrate_every: 50", "at most 1"),
        ("rate_factor: 0.5\nrate_every: -1", "rate_every"),
        ("reset_optimizer: never", "reset_optimizer is 'never', expected False or True or 'epoch'"),
        ("reset_optimizer: epoch", "needs passes"),
        ("task: arithmetic\nreset_optimizer: epoch", "needs passes"),
        ("reset_optimizer: epoch\nrows: {epochs_per_stage: 1}", "another task than edges"),
    ],
)
def test_nonsense_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(WorkbenchError, match=f"(?s){message}"):
        load_config(tmp_path / "config.yaml")


def test_the_published_configurations_have_the_published_optimizer() -> None:
    """AdamW of torch as it comes, on all weights: run.py of the official code, and that of arXiv 2512.11816."""
    official, later = (load_config(CONFIGS / f"{name}.yaml") for name in ("gpt2-prosqa", "qwen-gsm8k"))
    for one, rate in ((official, 1e-4), (later, 5e-5)):
        assert (one.betas, one.weight_decay, one.decay_all, one.learning_rate) == ((0.9, 0.999), 0.01, True, rate)
        factors = {learning_rate(replace(one, rate_factor=1.0, rate_every=0), step) for step in (0, 1, one.steps - 1)}
        assert factors == {1.0}, "no warm-up, no decay"
    assert (official.reset_optimizer, official.rate_every) == ("epoch", 0)
    assert (later.reset_optimizer, later.rate_factor, later.rate_every) == (True, 0.8, 50)
