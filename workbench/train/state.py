"""What changes while a model trains: the newest state to resume from, and small ones to look back at.

The checkpoints that a run kept of itself, in the order of training: what a reading is scrubbed over.

The newest model of a run that can be opened, finished or not.
"""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.model.checkpoint import Checkpoint, load_checkpoint, make_checkpoint, save_checkpoint
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train import data as row_start
from workbench.train.config import Stage, TrainConfig, by_clock, checkpoint_fields
from workbench.train.distributed import gather, is_sharded
from workbench.train.init import build_model, build_optimizer
from workbench.train.objective import PackedStep, RowStep


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


START = "start"
"""Stage of what a run began from."""


@dataclass(frozen=True)
class StageCheckpoint:
    """A model of a run at one step of its training."""

    step: int
    """Steps trained; 0 for what the run began from."""
    stage: str
    """Stage of the curriculum, such as "thoughts4-edges20", or `START`."""
    path: Path
    """A plain `save_pretrained` directory, or a run directory, as `load_checkpoint` takes it."""


def stage_checkpoints(run: str | Path, start: bool = True) -> list[StageCheckpoint]:
    """Return the checkpoints of a run by step; the last one is `model/`, unless a kept one is newer.

    Where `model/` and a kept checkpoint are of the same step they are the same model, and only `model/` is named. What
    is not saved whole (a run may be killed while it writes) is left out.

    Args:
        run: A run directory.
        start: Whether to begin with the checkpoint that the run's config.yaml says it started from, where that is a
            directory here.

    Raises:
        WorkbenchError: The run kept no checkpoint beside its last model.
    """
    directory = Path(run)
    found: dict[int, StageCheckpoint] = {}
    for path in (*sorted((directory / "checkpoints").glob("step*")), directory / "model"):
        if (checkpoint := _read(path)) is not None:
            found[checkpoint.step] = checkpoint
    if start and (begun := _start(directory)) is not None:
        found.setdefault(0, StageCheckpoint(0, START, begun))
    if len(found) < 2:
        have = "only its last model" if found else "no model at all"
        raise WorkbenchError(
            f"{directory.name} has no checkpoints to scrub over.",
            f"The folder holds {have}; checkpoints are kept in checkpoints/stepNNNNNN-STAGE/.",
            "Give a run directory of `workbench train`, or train again with a smaller keep_every in the configuration.",
        )
    return [found[step] for step in sorted(found)]


def _read(path: Path) -> StageCheckpoint | None:
    """Return what a saved model says of itself, None where none is saved whole."""
    try:
        meta = json.loads((path / "config.json").read_text(encoding="utf-8"))["coconut"]
        step, stage = int(meta["step"]), str(meta.get("stage", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return StageCheckpoint(step, stage, path) if any(path.glob("*.safetensors")) else None


def _start(directory: Path) -> Path | None:
    """Return the directory that a run started from, None where it names none, or none that is here."""
    try:
        start = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))["start"]
        path = Path(start)
        return path if start and any((place / "config.json").is_file() for place in (path, path / "model")) else None
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return None


def newest_model(directory: Path) -> tuple[int, Path | None]:
    """Return the step and the directory of the newest model of a run: `model/`, or a kept stage that is newer.

    A run that was killed has no `model/`, or that of an interruption before.
    """
    found = [(step, path) for path in _models(directory) if (step := _step(path)) is not None]
    if not found:
        return 0, None
    return max(found, key=lambda pair: (pair[0], pair[1].name == "model"))


def _models(directory: Path) -> list[Path]:
    return [directory / "model", *sorted((directory / "checkpoints").glob("step*"))]


def _step(model: Path) -> int | None:
    """Return the step that a saved model says it is of, None where none is saved whole."""
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        whole = any(model.glob("*.safetensors"))
        return int(config["coconut"]["step"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
