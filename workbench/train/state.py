"""What changes while a model trains: saved whole, resumed to the last digit, exported; and what a run has kept.

A run keeps its newest state in `latest/`, small models in `checkpoints/` and the last one in `model/`. What it has
trained of a pre-trained model is an adapter: small, saved by itself, and opened with the base beside it.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from workbench.catalog import current
from workbench.errors import WorkbenchError
from workbench.files import file_sha256, read_object, replacing, standing, write_whole
from workbench.model.adapters import ROWS, add_lora, merged_state
from workbench.model.bases import base_source
from workbench.model.checkpoint import Checkpoint, find, read_config, reason, save_checkpoint
from workbench.model.value_head import attach_value_head, without_head
from workbench.settings import read_settings
from workbench.train.config import Stage, TrainConfig, load_config, save_config
from workbench.train.distributed import gather, is_sharded
from workbench.train.graphs import GraphData
from workbench.train.init import begin, build_optimizer
from workbench.train.objective import TrainStep
from workbench.train.policy import RewardData, RewardStep, ValueStep
from workbench.train.text import TextData

DIGESTS = "weights.sha256"
"""In place of a model's weights, where a run is kept without: their digests and names, as `sha256sum` writes them."""


@dataclass
class State:
    """All that changes while training: what a checkpoint holds."""

    step: int
    stage: Stage
    checkpoint: Checkpoint
    """Model, tokenizer and how they are run; the model's weights are those that are trained."""
    data: GraphData | TextData | RewardData
    """Draws the batches."""
    step_module: TrainStep
    """Runs them."""
    optimizers: list[torch.optim.Optimizer]
    average: dict[str, Tensor]
    """Average of each weight over steps; empty before `average_from`."""
    fresh: int = 0
    """Step before which the optimizers' moments were last cleared."""

    @property
    def model(self) -> PreTrainedModel:
        """The model that is trained."""
        return self.checkpoint.model


def trained(model: PreTrainedModel) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the weights that training changes, with their names."""
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


def update_average(state: State, config: TrainConfig) -> None:
    """Take the weights after a step into their average.

    Every step counts equally until the average holds about 1 / (1 - `average_decay`) of them; from then on older steps
    count less and less.
    """
    before = state.step - config.average_from  # steps in the average so far
    if not config.average_from or before < 0:
        return
    weights = {name: weight.detach() for name, weight in trained(state.model)}
    if not before:
        state.average = {name: weight.clone() for name, weight in weights.items()}
    for name, average in state.average.items():
        share = max(1 / (before + 1), 1 - config.average_decay)
        average.mul_(1 - share).add_(weights[name], alpha=share)  # sharded tensors have no lerp


@contextmanager
def averaged(state: State) -> Iterator[None]:
    """Give the model its average weights within a block, where there are any, and its own again after it."""
    parameters = dict(state.model.named_parameters())
    own = {name: parameters[name].detach().clone() for name in state.average}
    with torch.no_grad():
        for name, average in state.average.items():
            parameters[name].copy_(average)
        try:
            yield
        finally:
            for name, weight in own.items():
                parameters[name].copy_(weight)


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
    held = state.model.state_dict()
    moments = {
        f"{index}.{parameter}.{key}": value
        for index, optimizer in enumerate(state.optimizers)
        for parameter, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    tensors = {
        "model": {name: held[name] for name, _ in trained(state.model)},
        "optimizer": moments,
        "average": state.average,
    }
    gathered = {name: gather(part, write) for name, part in tensors.items() if part or name != "average"}
    if not write:
        return
    with replacing(directory / "latest", folder=True) as new:
        for name, part in gathered.items():
            save_file(part, new / f"{name}.safetensors")
        (new / "state.json").write_text(
            json.dumps({"step": state.step, "stage": asdict(state.stage), "fresh": state.fresh})
        )
    for left in ("latest.new", "latest.old"):  # by versions before this one
        shutil.rmtree(directory / left, ignore_errors=True)


def load_state(config: TrainConfig, directory: Path) -> State:
    """Return the newest saved state of a run, or a fresh one.

    Raises:
        WorkbenchError: If a saved state cannot be read.
    """
    checkpoint = begin(config)
    model = checkpoint.model.train()
    if lora := config.lora.rank:
        marker = checkpoint.format.marker
        tokens = sorted({marker.bot, marker.eot, marker.thought})
        add_lora(model, lora, config.lora.alpha, tokens, config.lora.full_layers, config.seed)
    if config.objective != "supervised":
        data = RewardData(config, checkpoint)
        if config.objective == "latent_value":
            attach_value_head(model, config.reward.head.width, config.seed)
        kind = ValueStep if config.objective == "latent_value" else RewardStep
        step = kind(model, config.precision, data.thinker)
    else:
        data = GraphData(config) if config.task == "edges" else TextData(config, checkpoint)
        step = TrainStep(model, config.precision)
    state = State(0, data.schedule.first(), checkpoint, data, step, build_optimizer(model, config), {})
    saved = standing(directory / "latest")
    if not saved.exists() and (directory / "latest.old").exists():  # of a version before this one, killed in between
        saved = directory / "latest.old"
    if not saved.exists():
        return state
    try:
        weights, moments = load_file(saved / "model.safetensors"), load_file(saved / "optimizer.safetensors")
        average = saved / "average.safetensors"
        state.average = load_file(average, device=str(model.device)) if average.exists() else {}
        stored = json.loads((saved / "state.json").read_text())
        if lacking := [name for name, _ in trained(model) if name not in weights]:
            raise WorkbenchError(
                f"Cannot resume from {saved.parent.name}/{saved.name}/.",
                f"{len(lacking)} weights that are trained are not in it, {lacking[0]} among them"
                + (": earlier versions did not train all of them with lora." if config.lora.rank else "."),
                "Train into another directory with --out.",
            )
        with torch.no_grad():
            for name, parameter in trained(model):
                parameter.copy_(weights[name])
        for index, optimizer in enumerate(state.optimizers):
            held = optimizer.state_dict()
            for key, value in moments.items():
                owner, parameter, name = key.split(".", 2)
                if int(owner) == index:
                    held["state"].setdefault(int(parameter), {})[name] = value
            optimizer.load_state_dict(held)
        state.step, state.stage = stored["step"], Stage(**stored["stage"])
        state.fresh = stored.get("fresh", 0)  # not there in runs from before `rate_every`
    except WorkbenchError:
        raise
    except Exception as error:
        raise WorkbenchError(
            f"Cannot resume from {saved.parent.name}/{saved.name}/.",
            f"its files cannot be read ({type(error).__name__}: {error})",
            "remove that folder to begin again, or train into another directory with --out",
        ) from error
    return state


def as_checkpoint(state: State) -> Checkpoint:
    """Return the checkpoint with the step and stage of now; shares its weights."""
    held = state.checkpoint
    held.model.config.coconut = meta = {**held.meta, "step": state.step, "stage": state.stage.name}
    return replace(held, meta=meta)


def export(state: State, directory: Path, write: bool = True) -> None:
    """Write the model as a plain `save_pretrained` directory, in bf16: half the size, read back as fp32.

    Its weights are the average where there is one. Low-rank updates are merged in fp32 and written so: an update is
    often smaller than what bf16 rounds off a pre-trained weight, and most of it would be lost.

    Args:
        state: What to write.
        directory: Where to.
        write: Whether this process writes; where the weights are sharded every process must call this.
    """
    sharded = is_sharded(state.step_module)
    if not write and not sharded:
        return
    with averaged(state):
        weights = gather(state.model.state_dict(), write) if sharded else without_head(merged_state(state.model))
        if write:
            kind = torch.float32 if state.data.config.lora.rank else torch.bfloat16
            save_checkpoint(as_checkpoint(state), directory, dtype=kind, weights=weights)


ADAPTER_WEIGHTS, ADAPTER_SETTINGS = "adapter.safetensors", "config.yaml"
"""Files of an adapter."""


def save_adapter(run: str | Path, out: str | Path) -> Path:
    """Write the trained part of a run, in bf16, and its configuration.

    Args:
        run: The directory of a run with `lora`.
        out: Directory to write, which may not be there yet.

    Raises:
        WorkbenchError: The run has trained all weights, nothing is saved of it, or `out` is there.
    """
    directory, target = Path(run), Path(out)
    config = load_config(directory / ADAPTER_SETTINGS)
    if not config.lora.rank:
        why = "It trained all weights of its base; its model/ is all there is."
        raise WorkbenchError(f"{directory.name} has no adapter.", why, "Train with `lora` in the configuration.")
    if target.exists():
        raise WorkbenchError(f"{target} exists.", "An adapter replaces nothing.", "Name another, or remove it.")
    state = load_state(config, directory)
    if not state.step:
        raise WorkbenchError(f"{directory.name} has not been trained.", "It has no latest/.", "Train it first.")
    with averaged(state):
        weights = {name: weight.detach().to(torch.bfloat16).contiguous() for name, weight in trained(state.model)}
    about = {"step": str(state.step), "stage": json.dumps(asdict(state.stage)), "base_sha256": _base_sum(config.start)}
    with replacing(target, folder=True) as part:
        save_file(weights, part / ADAPTER_WEIGHTS, metadata=about)
        save_config(config, part / ADAPTER_SETTINGS)
    return target


def open_adapter(adapter: str | Path, base: str | Path, out: str | Path) -> Path:
    """Write the checkpoint that an adapter makes of its base, as every run's `model/`.

    Args:
        adapter: A directory of `save_adapter`.
        base: What the run began with: a directory, such as one of `workbench base`, or a hub name.
        out: Directory to write; its `config.yaml` is the run's.

    Raises:
        WorkbenchError: The base is another one, a file is damaged, or `out` is there.
    """
    directory, target = Path(adapter), Path(out)
    if target.exists():
        raise WorkbenchError(f"{target} exists.", "An adapter replaces nothing.", "Name another, or remove it.")
    config = replace(load_config(directory / ADAPTER_SETTINGS), start=str(base))
    try:
        with safe_open(directory / ADAPTER_WEIGHTS, "pt") as opened:
            about = opened.metadata() or {}
        weights = load_file(directory / ADAPTER_WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise WorkbenchError(f"{directory} holds no adapter.", reason(error), "Copy it again.") from error
    if about.get("base_sha256") != (found := _base_sum(config.start)):
        why = f"It was trained from weights with the sha256 {about.get('base_sha256')}, those of {base} have {found}."
        raise WorkbenchError(f"{directory.name} belongs to another base.", why, "Make the base it names; see its card.")
    state = load_state(config, directory)
    wanted = {name: tuple(weight.shape) for name, weight in trained(state.model)}
    # Versions before this one trained the updates and the markers alone: what is not there is as the run began.
    first = {name: shape for name, shape in wanted.items() if ".lora_" in name or name.startswith(f"{ROWS}.")}
    if {name: tuple(weight.shape) for name, weight in weights.items()} not in (wanted, first):
        why = "Its tensors are not those that its configuration trains."
        raise WorkbenchError(f"{directory.name} is damaged.", why, "Copy it again.")
    with torch.no_grad():
        for name, weight in trained(state.model):
            weight.copy_(weights.get(name, weight))
    state.step, state.stage = int(about["step"]), Stage(**json.loads(about["stage"]))
    with replacing(target, folder=True) as part:
        export(state, part / "model")
        write_whole(part / ADAPTER_SETTINGS, (directory / ADAPTER_SETTINGS).read_text(encoding="utf-8"))
    return target


def _base_sum(start: str) -> str:
    """Return what tells a base: that of its package or weights as it says itself, else of its first weights."""
    directory, name = find(start)
    about = base_source(read_config(directory, name))
    if about:
        return str(about["sha256"])
    return " ".join(file_sha256(file) for file in sorted(directory.glob("*.safetensors")))


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
    found = {checkpoint.step: checkpoint for checkpoint in _kept(directory)}
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


def _read(path: Path, *, weights: bool = True) -> StageCheckpoint | None:
    """Return what a saved model says of itself, None where none is saved whole.

    Without `weights` a list of their digests will do.
    """
    try:
        meta: Any = read_object(path / "config.json")["coconut"]
        step, stage = int(meta["step"]), str(meta.get("stage", ""))
    except (OverflowError, ValueError, LookupError, TypeError, AttributeError):
        return None
    whole = any(path.glob("*.safetensors")) or (not weights and (path / DIGESTS).is_file())
    return StageCheckpoint(step, stage, path) if whole else None


def _kept(directory: Path, *, weights: bool = True) -> list[StageCheckpoint]:
    """Return the models of a run that are saved whole, the kept ones by name, then `model/`."""
    places = (*sorted((directory / "checkpoints").glob("step*")), standing(directory / "model"))
    return [checkpoint for path in places if (checkpoint := _read(path, weights=weights)) is not None]


def _start(directory: Path) -> Path | None:
    """Return the directory that a run started from, None where it names none, or none that is here."""
    try:
        start = read_settings(directory / "config.yaml", "configuration")["start"]
        path = current(Path(start))
        return path if start and any((place / "config.json").is_file() for place in (path, path / "model")) else None
    except (WorkbenchError, OSError, KeyError, TypeError, ValueError):
        return None


def newest_model(directory: Path, *, weights: bool = True) -> tuple[int, Path | None]:
    """Return the step and the directory of the newest model of a run: `model/`, or a kept stage that is newer.

    A run that was killed has no `model/`, or that of an interruption before; one without any gives 0 and None.

    Args:
        directory: Of the run.
        weights: Whether its weights must be here; else a list of their digests will do (`DIGESTS`).
    """
    newest = max(_kept(directory, weights=weights), key=lambda one: (one.step, one.path.name == "model"), default=None)
    return (0, None) if newest is None else (newest.step, newest.path)
