"""What changes while a model trains: the newest state to resume from, and small ones to look back at."""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from workbench import row_start
from workbench.checkpoint import Checkpoint, load_checkpoint, make_checkpoint, save_checkpoint
from workbench.curriculum import Stage, by_clock
from workbench.errors import WorkbenchError
from workbench.from_scratch import build_model
from workbench.optim import build_optimizer
from workbench.packed_step import PackedStep
from workbench.row_step import RowStep
from workbench.sharded import gather, is_sharded
from workbench.tokenizer import edges_tokenizer
from workbench.train_config import TrainConfig, checkpoint_fields


@dataclass
class State:
    """All that changes while training: what a checkpoint holds."""

    step: int
    stage: Stage
    checkpoint: Checkpoint
    """Model, tokenizer and how they are run; the model's weights are those that are trained."""
    step_module: Any
    """Draws and runs batches: `PackedStep` or `RowStep`."""
    optimizers: list[torch.optim.Optimizer]

    @property
    def model(self) -> PreTrainedModel:
        """The model that is trained."""
        return self.checkpoint.model


def save_state(state: State, directory: Path, write: bool = True) -> None:
    """Write the newest state, all of it or nothing: a kill while writing leaves the one before.

    Args:
        state: What to write.
        directory: The run directory.
        write: Whether this process writes. One that does not must call this all the same where the weights are
            sharded: they are gathered from all processes.
    """
    if not write and not is_sharded(state.step_module):
        return
    named = [name for name, _ in state.model.named_parameters()]
    held = state.model.state_dict()
    weights = gather({name: held[name] for name in named}, write)
    moments = gather(
        {
            f"{index}.{parameter}.{key}": value
            for index, optimizer in enumerate(state.optimizers)
            for parameter, values in optimizer.state_dict()["state"].items()
            for key, value in values.items()
        },
        write,
    )
    if not write:
        return
    new, newest, aside = (directory / name for name in ("latest.new", "latest", "latest.old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_file(weights, new / "model.safetensors")
    save_file(moments, new / "optimizer.safetensors")
    (new / "state.json").write_text(json.dumps({"step": state.step, "stage": asdict(state.stage)}))
    shutil.rmtree(aside, ignore_errors=True)
    if newest.exists():
        newest.rename(aside)
    new.rename(newest)
    shutil.rmtree(aside, ignore_errors=True)


def load_state(config: TrainConfig, directory: Path) -> State:
    """Return the newest saved state of a run, or a fresh one.

    Raises:
        WorkbenchError: If a saved state cannot be read.
    """
    checkpoint = begin(config)
    model = checkpoint.model.train()
    if config.task == "edges":
        module = PackedStep(model, config)
    else:
        module = RowStep(checkpoint, config, row_start.draw_items(config))
    state = State(0, _first_stage(config, module), checkpoint, module, build_optimizer(model, config))
    saved = directory / "latest"
    if not saved.exists() and (directory / "latest.old").exists():  # killed between the two renames
        saved = directory / "latest.old"
    if not saved.exists():
        return state
    try:
        weights, moments = load_file(saved / "model.safetensors"), load_file(saved / "optimizer.safetensors")
        stored = json.loads((saved / "state.json").read_text())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        for index, optimizer in enumerate(state.optimizers):
            held = optimizer.state_dict()
            for key, value in moments.items():
                owner, parameter, name = key.split(".", 2)
                if int(owner) == index:
                    held["state"].setdefault(int(parameter), {})[name] = value
            optimizer.load_state_dict(held)
        state.step, state.stage = stored["step"], Stage(**stored["stage"])
        if isinstance(module, RowStep):
            state.stage = replace(state.stage, thoughts=module.stage_at(state.step))
    except Exception as error:
        raise WorkbenchError(
            f"Cannot resume from {saved.parent.name}/{saved.name}/.",
            f"its files cannot be read ({type(error).__name__}: {error})",
            "remove that folder to begin again, or train into another directory with --out",
        ) from error
    return state


def begin(config: TrainConfig) -> Checkpoint:
    """Return the model that a run begins with, as everything else in the workbench takes it.

    Raises:
        WorkbenchError: `config.start` names no checkpoint, or one that does not fit.
    """
    if config.task != "edges":
        return row_start.start(config)
    meta = checkpoint_fields(config) | {"format": "edges"}
    if not config.start:
        return make_checkpoint(build_model(config.model, config.seed), edges_tokenizer(), meta, config.name)
    before = load_checkpoint(config.start)
    if before.format.name != "edges" or before.format.markers:
        raise WorkbenchError(
            f"Cannot begin from {before.name}.",
            "It does not read the edges format without markers.",
            "Name a checkpoint trained on the task edges, or leave `start` out.",
        )
    return make_checkpoint(before.model, before.tokenizer, meta, config.name)


def _first_stage(config: TrainConfig, module: PackedStep | RowStep) -> Stage:
    plan = config.curriculum
    if isinstance(module, RowStep):
        return Stage(module.stage_at(0))
    return by_clock(plan, 0) if plan.by == "clock" else Stage(edges=plan.small_edges)


def as_checkpoint(state: State) -> Checkpoint:
    """Return the checkpoint with the step and stage of now; shares its weights."""
    held = state.checkpoint
    held.model.config.coconut = meta = {**held.meta, "step": state.step, "stage": state.stage.name}
    return replace(held, meta=meta)


def export(state: State, directory: Path, write: bool = True) -> None:
    """Write the model as a plain `save_pretrained` directory, in bf16: half the size, read back as fp32.

    Args:
        state: What to write.
        directory: Where to.
        write: Whether this process writes; where the weights are sharded every process must call this.
    """
    if is_sharded(state.step_module):
        weights = gather(state.model.state_dict(), write)
        if write:
            save_checkpoint(as_checkpoint(state), directory, dtype=torch.bfloat16, weights=weights)
    elif write:
        save_checkpoint(as_checkpoint(state), directory, dtype=torch.bfloat16)
