"""`workbench train`: one process or several, progress on the terminal, a checkpoint that everything else can open."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig, load_config, notes, save_config
from workbench.train.init import check_start
from workbench.train.loop import train

EXTENDABLE = ("steps", "decay_from", "evaluate_every", "keep_every", "checkpoint_seconds", "watched")
"""Keys of a configuration that a run may change when it is resumed."""


def train_command(config_path: Path, out: Path | None = None) -> Path:
    """Train as a configuration says, or go on with a run that was interrupted.

    Args:
        config_path: A YAML file (`train_config.TrainConfig`).
        out: The run directory; `runs/<name>` by default.

    Returns:
        The run directory: `config.yaml`, `model/`, `metrics.jsonl`, `checkpoints/` of the stages, `latest/`.

    Raises:
        WorkbenchError: If the configuration is wrong or the directory holds another run.
    """
    config = load_config(config_path)
    if config.start:
        check_start(config)  # before a directory is made that a corrected configuration would not fit
    directory = (out or Path("runs") / config.name).resolve()
    launched = "RANK" in os.environ  # by torchrun or accelerate launch: this is one of several processes already
    if os.environ.get("RANK", "0") == "0":
        claim(config, directory)
    if launched or config.processes == 1:
        _work(config, directory)
    else:
        launch = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=config.processes,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
        )
        try:
            elastic_launch(launch, _work)(config, directory)
        except (KeyboardInterrupt, SignalException):
            # The launcher passes the signal on; its processes have saved and said so.
            return directory
    return directory


def claim(config: TrainConfig, directory: Path) -> None:
    """Make a run directory for a configuration, or check that the one there was made for it.

    Raises:
        WorkbenchError: If the directory holds files of something else, or a run with another configuration.
    """
    stored = directory / "config.yaml"
    if stored.exists():
        before = load_config(stored)
        changed = [
            name
            for name in config.__dataclass_fields__
            if getattr(before, name) != getattr(config, name) and name not in EXTENDABLE
        ]
        if changed:
            raise WorkbenchError(
                f"Cannot go on with the run in {directory.name}/.",
                f"it was made with another configuration: {', '.join(changed)} differ",
                "name another directory with --out, or use the run's own config.yaml",
            )
    elif directory.exists() and any(directory.iterdir()):
        raise WorkbenchError(
            f"Cannot train into {directory.name}/.",
            "it is not empty and holds no run",
            "name another directory with --out",
        )
    directory.mkdir(parents=True, exist_ok=True)
    save_config(config, stored)


def _work(config: TrainConfig, directory: Path) -> None:
    """Train in this process; as one of several when the launcher started it."""
    # Small matrices: one thread a process does more than two threads together, and keeps sums in one order.
    torch.set_num_threads(1)
    if "RANK" in os.environ and not torch.cuda.is_available():  # on GPUs accelerate chooses how they talk
        dist.init_process_group("gloo")
    try:
        if os.environ.get("RANK", "0") != "0":
            train(config, directory)
        else:
            _train_and_show(config, directory)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _train_and_show(config: TrainConfig, directory: Path) -> None:
    console = Console(stderr=True)
    for note in notes(config):
        console.print(note, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(config.name, total=config.steps)

        def show(record: dict) -> None:
            bar.update(task, completed=record["step"])
            if "loss" in record:
                bar.console.print(
                    _line(record),
                    highlight=False,
                )
                for sample in record.get("samples", []):
                    bar.console.print(f"    {sample}", highlight=False, style="dim")

        state = train(config, directory, show)
    if state.step < config.steps:
        console.print(f"Stopped at step {state.step} of {config.steps}; the same command goes on from here.")
    else:
        console.print(
            f"Finished. Look at it: workbench evaluate {directory.name} PROBLEMS, or choose it in the explorer."
        )


def _line(record: dict) -> str:
    """Return what an evaluation found, in one line."""
    said = [f"stage {record['thoughts']}"]
    said += [f"edges {record['edges']}"] if "edges" in record else []
    said.append(f"loss {record['loss']:.3f}")
    said += [f"exact answers {record['accuracy']:.3f}"] if "accuracy" in record else []  # none while sharded
    if "mass" in record:
        said.append(f"frontier mass of thoughts 1.. {' '.join(f'{m:.2f}' for m in record['mass'])}")
    return f"step {record['step']}: {', '.join(said)}"
