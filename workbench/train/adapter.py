"""What a run has trained of a pre-trained model, by itself: small, and opened with the base beside it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from workbench.errors import WorkbenchError
from workbench.files import file_sha256, replacing, write_whole
from workbench.model.bases import base_source
from workbench.model.checkpoint import find, read_config, reason
from workbench.train.config import Stage, load_config, save_config
from workbench.train.state import averaged, export, load_state, trained

WEIGHTS, SETTINGS = "adapter.safetensors", "config.yaml"


def save_adapter(run: str | Path, out: str | Path) -> Path:
    """Write the trained part of a run, in bf16, and its configuration.

    Args:
        run: The directory of a run with `lora`.
        out: Directory to write, which may not be there yet.

    Raises:
        WorkbenchError: The run has trained all weights, nothing is saved of it, or `out` is there.
    """
    directory, target = Path(run), Path(out)
    config = load_config(directory / SETTINGS)
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
        save_file(weights, part / WEIGHTS, metadata=about)
        save_config(config, part / SETTINGS)
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
    config = replace(load_config(directory / SETTINGS), start=str(base))
    try:
        with safe_open(directory / WEIGHTS, "pt") as opened:
            about = opened.metadata() or {}
        weights = load_file(directory / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise WorkbenchError(f"{directory} holds no adapter.", reason(error), "Copy it again.") from error
    if about.get("base_sha256") != (found := _base_sum(config.start)):
        why = f"It was trained from weights with the sha256 {about.get('base_sha256')}, those of {base} have {found}."
        raise WorkbenchError(f"{directory.name} belongs to another base.", why, "Make the base it names; see its card.")
    state = load_state(config, directory)
    wanted = {name: tuple(weight.shape) for name, weight in trained(state.model)}
    if wanted != {name: tuple(weight.shape) for name, weight in weights.items()}:
        why = "Its tensors are not those that its configuration trains."
        raise WorkbenchError(f"{directory.name} is damaged.", why, "Copy it again.")
    with torch.no_grad():
        for name, weight in trained(state.model):
            weight.copy_(weights[name])
    state.step, state.stage = int(about["step"]), Stage(**json.loads(about["stage"]))
    export(state, target / "model")
    write_whole(target / SETTINGS, (directory / SETTINGS).read_text(encoding="utf-8"))
    return target


def _base_sum(start: str) -> str:
    """Return what tells a base: that of its package or weights as it says itself, else of its first weights."""
    directory, name = find(start)
    about = base_source(read_config(directory, name))
    if about:
        return str(about["sha256"])
    return " ".join(file_sha256(file) for file in sorted(directory.glob("*.safetensors")))
