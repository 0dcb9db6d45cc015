"""What changes while a model trains: the newest state to resume from, and small ones to look back at."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from workbench.checkpoint import Checkpoint, make_checkpoint, save_checkpoint
from workbench.curriculum import Stage
from workbench.errors import WorkbenchError
from workbench.from_scratch import build_model
from workbench.optim import build_optimizer
from workbench.tokenizer import edges_tokenizer
from workbench.train_config import TrainConfig


@dataclass
class State:
    """All that changes while training: what a checkpoint holds."""

    step: int
    stage: Stage
    model: PreTrainedModel
    optimizers: list[torch.optim.Optimizer]


def save_state(state: State, directory: Path) -> None:
    """Write the newest state, all of it or nothing: a kill while writing leaves the one before."""
    new, newest, aside = (directory / name for name in ("latest.new", "latest", "latest.old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_file({n: p.detach().contiguous() for n, p in state.model.named_parameters()}, new / "model.safetensors")
    moments: dict[str, Tensor] = {}
    for index, optimizer in enumerate(state.optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                moments[f"{index}.{parameter}.{key}"] = value.detach().contiguous().clone()
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
    model = build_model(config.model, config.seed)
    state = State(0, Stage(edges=config.curriculum.small_edges), model, build_optimizer(model, config))
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
    except Exception as error:
        raise WorkbenchError(
            f"Cannot resume from {saved.parent.name}/{saved.name}/.",
            f"its files cannot be read ({type(error).__name__}: {error})",
            "remove that folder to begin again, or train into another directory with --out",
        ) from error
    return state


def as_checkpoint(state: State, config: TrainConfig) -> Checkpoint:
    """Return the model as everything else in the workbench takes it; shares its weights."""
    meta: dict[str, object] = {
        "version": 1,
        "task": "prosqa",
        "format": "edges",
        "markers": False,
        "thoughts": config.curriculum.thoughts,
        "thoughts_per_step": 1,
        "method": "coconut",
        "step": state.step,
        "stage": state.stage.name,
    }
    return make_checkpoint(state.model, edges_tokenizer(), meta, config.name)


def export(state: State, config: TrainConfig, directory: Path) -> None:
    """Write the model as a plain `save_pretrained` directory, in bf16: half the size, read back as fp32."""
    save_checkpoint(as_checkpoint(state, config), directory, dtype=torch.bfloat16)
