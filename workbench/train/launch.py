"""`workbench train`: one process or several, progress on the terminal, a checkpoint that everything else can open."""

import json
import multiprocessing
import os
import signal
import socket
import time
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, start_processes
from torch.utils.benchmark import Timer

from workbench.catalog import current
from workbench.errors import WorkbenchError
from workbench.files import is_unfinished, only_writer
from workbench.train.config import TrainConfig, load_config, notes, save_config
from workbench.train.init import check_start
from workbench.train.loop import train

EXTENDABLE = ("steps", "decay_from", "evaluate_every", "keep_every", "checkpoint_seconds", "watched")
"""Keys of a configuration that a run may change when it is resumed."""
COSTS = "costs.jsonl"
"""In a run directory: a line for each time that the training was at work, with its seconds on the clock and of
processors, those of all its processes together; the same of audits, by the name of the command."""
SLOWER = 1.5
"""How much longer a product in bf16 must take than one in fp32 before a user is told."""


def train_command(config_path: Path, out: Path | None = None) -> Path:
    """Train as a configuration says, or go on with a run that was interrupted.

    Args:
        config_path: A YAML file (`train_config.TrainConfig`).
        out: The run directory; `runs/<name>` by default.

    Returns:
        The run directory: `config.yaml`, `model/`, `metrics.jsonl`, `costs.jsonl`, `checkpoints/` of the stages,
        `latest/`.

    Raises:
        WorkbenchError: If the configuration is wrong or the directory holds another run.
    """
    config = load_config(config_path)
    if config.start:  # before a directory is made that a corrected configuration would not fit
        _require_earlier_part(config.start, config_path)
        check_start(config)
    directory = (out or Path("runs") / config.name).resolve()
    launched = "RANK" in os.environ  # by torchrun or accelerate launch: this is one of several processes already
    first = os.environ.get("RANK", "0") == "0"
    with only_writer(directory) if first else nullcontext():
        if first:
            claim(config, directory)
        if launched or config.processes == 1:
            _work(config, directory)
        else:
            _side_by_side(config, directory)
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
    elif directory.exists() and not all(map(is_unfinished, directory.iterdir())):
        raise WorkbenchError(
            f"Cannot train into {directory.name}/.",
            "it is not empty and holds no run",
            "name another directory with --out",
        )
    directory.mkdir(parents=True, exist_ok=True)
    save_config(config, stored)


def _require_earlier_part(start: str, config_path: Path) -> None:
    """Name the configuration that makes the run to begin with, where that run is not here and there is one beside.

    Raises:
        WorkbenchError: The run is not here, and a configuration in the folder of this one has its name.
    """
    makes = config_path.parent / f"{Path(start).name}.yaml"
    if not os.path.exists(current(Path(start))) and makes.is_file() and makes.resolve() != config_path.resolve():
        raise WorkbenchError(
            f"The run begins with {start}, which is not here.",
            f"{makes} makes it, and has to be trained first.",
            f"Type: workbench train {makes} --out {start}",
        )


def _side_by_side(config: TrainConfig, directory: Path) -> None:
    """Train in several processes of this machine. An interrupt is passed on to them: they save, and end.

    torch's elastic launcher waits 30 seconds after an interrupt, since its processes wait for it in turn.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meant = (config, directory, port)
    multiprocessing.set_forkserver_preload([__name__])  # PyTorch is imported once for all of them
    children = cast(
        ProcessContext,
        start_processes(_one_of_several, meant, config.processes, join=False, start_method="forkserver"),
    )
    asked = False

    def pass_on(*_: object) -> None:
        nonlocal asked
        asked = True
        for child in children.processes:
            child.terminate()

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not children.join():
            pass
    except ProcessExitedException:
        if not asked:  # else it was stopped before it began to train
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _one_of_several(rank: int, config: TrainConfig, directory: Path, port: int) -> None:
    """Train as one of the processes that meet at a port of this machine."""
    about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": config.processes, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in about.items()} | {"MASTER_ADDR": "localhost"}
    _work(config, directory)


def _work(config: TrainConfig, directory: Path) -> None:
    """Train in this process; as one of several when the launcher started it."""
    # Small matrices: one thread a process does more than two threads together, and keeps sums in one order.
    torch.set_num_threads(1)
    if "RANK" in os.environ and not torch.cuda.is_available():  # on GPUs accelerate chooses how they talk
        dist.init_process_group("gloo")
    began, used = time.monotonic(), time.process_time()
    try:
        if os.environ.get("RANK", "0") != "0":
            train(config, directory)
        else:
            _train_and_show(config, directory)
    finally:
        if os.environ.get("RANK", "0") == "0":
            record_cost(directory, time.monotonic() - began, time.process_time() - used)
        if dist.is_initialized():
            dist.destroy_process_group()


def record_cost(directory: Path, seconds: float, cpu_seconds: float, command: str = "train") -> None:
    """Add a line to the costs of a run; the processes of one training do the same work.

    Args:
        directory: Of the run.
        seconds: On the clock.
        cpu_seconds: Of this process.
        command: What took them.
    """
    cpu_seconds *= int(os.environ.get("WORLD_SIZE", "1"))
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with (directory / COSTS).open("a") as costs:
        line = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu_seconds, 2), "at": ended, "command": command}
        costs.write(json.dumps(line) + "\n")


def slow_products(precision: str) -> list[str]:
    """Return a sentence if matrix products of this precision are slower on this processor than those of fp32.

    Processors without bf16 instructions compute them one number at a time. Asking for the instructions would not do:
    some libraries have fast products without them.
    """
    if precision != "bf16" or torch.cuda.is_available():
        return []
    seconds = [_seconds_of_a_product(dtype) for dtype in (torch.float32, torch.bfloat16)]
    if (times := seconds[1] / seconds[0]) < SLOWER:
        return []
    return [
        f"In bf16 a matrix product takes {times:.0f} times as long as in fp32 on this processor. With "
        "`precision: fp32` training should be faster; it needs a new run directory."
    ]


def _seconds_of_a_product(dtype: torch.dtype) -> float:
    left, right = torch.ones(256, 192, dtype=dtype), torch.ones(192, 512, dtype=dtype)
    timer = Timer("left @ right", globals={"left": left, "right": right}, num_threads=1)
    return timer.blocked_autorange(min_run_time=0.05).median


def _train_and_show(config: TrainConfig, directory: Path) -> None:
    console, stuck, collapsed = Console(stderr=True), [""], [""]
    for note in (*notes(config), *slow_products(config.precision)):
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
                stuck.append(record.get("plateau", ""))
                collapsed.append(record.get("collapsed", ""))
                if stuck[-1]:
                    bar.console.print(stuck[-1], highlight=False, style="yellow")

        state = train(config, directory, show)
    if collapsed[-1]:
        console.print(collapsed[-1])
        return
    if state.step < config.steps:
        console.print(f"Stopped at step {state.step} of {config.steps}; the same command goes on from here.")
        return
    if stuck[-1]:
        console.print("Finished on the plateau: it answers no better than by guessing. What to try: more steps,")
        console.print("smaller graphs or fewer thoughts first, or a start that has learned to look up. See the page")
        console.print('"Training, and the two reference models" of the documentation.')
    run = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    problems = config.rows.validation or _PROBLEMS[config.task]
    console.print(f"Finished. What it can do: workbench evaluate {run} {problems}", highlight=False, soft_wrap=True)
    console.print(f"To see its thoughts, choose {directory.name}: workbench explore", highlight=False, soft_wrap=True)


_PROBLEMS = {"edges": "released", "prosqa": "released", "prontoqa": "prontoqa", "arithmetic": "arithmetic"}
"""The bundled set of each task, by its name (`catalog`)."""


def _line(record: dict) -> str:
    """Return what an evaluation found, in one line."""
    said = [f"stage {record['thoughts']}"]
    said += [f"edges {record['edges']}"] if "edges" in record else []
    said.append(f"loss {record['loss']:.3f}")
    said += [f"exact answers {record['accuracy']:.3f}"] if "accuracy" in record else []  # none while sharded
    if "reward" in record:
        tries = next(name for name in record if name.startswith("pass@") and name != "pass@1")
        names = ("reward", "pass@1", tries, "kl", "alike")
        said += [f"{name} {record[name]:.3f}" for name in names]
    if "mass" in record:
        said.append(f"frontier mass of thoughts 1.. {' '.join(f'{m:.2f}' for m in record['mass'])}")
    return f"step {record['step']}: {', '.join(said)}"
