"""Two processes through accelerate: the same gradients as one with the joined batch, replicated and sharded.

And whole runs, cut off and resumed, whose saved files are the same either way.
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import PartialState
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.tensor import DTensor

from tests.conftest import chain, tiny
from tests.train.test_training import TINY
from workbench.errors import WorkbenchError
from workbench.model.adapters import merged_state
from workbench.model.checkpoint import load_checkpoint, save_checkpoint
from workbench.model.recurrence import Recurrence
from workbench.problems.files import save_problems
from workbench.train.batch import TrainBatch
from workbench.train.config import Curriculum, LoraConfig, RowsConfig, Stage, TrainConfig, save_config
from workbench.train.distributed import check_sharding
from workbench.train.graphs import GraphData
from workbench.train.init import build_optimizer
from workbench.train.launch import train_command
from workbench.train.loop import read_metrics, train
from workbench.train.objective import TrainStep
from workbench.train.state import averaged, load_state
from workbench.train.text import TextData

CONFIG = TrainConfig(
    task="prosqa",
    mixing="packed",  # rows of every stage: the two processes learn different numbers of tokens
    rows=RowsConfig(batch=4, steps_per_stage=10),
    curriculum=Curriculum(thoughts=3, walk_share=0.0),
    graphs=2,
    questions=2,
    precision="fp32",
)
TASKS = ("edges", "prosqa")
STAGE, STEP = Stage(3), 99
FAMILIES = {"ddp": "qwen2", "fsdp": "llama"}
RUN = replace(
    CONFIG,
    mixing="none",
    rows=RowsConfig(batch=4, steps_per_stage=2),
    curriculum=Curriculum(thoughts=2),  # chains of three steps: the last stage is the third
    learning_rate=1e-3,
    warmup_steps=1,
    steps=8,
    decay_from=6,
    evaluate_every=4,
    watched=2,
    average_from=3,
)
LORA = replace(RUN, lora=LoraConfig(rank=2, alpha=4.0), recurrence=Recurrence("projection", skip=True))
"""As configs/smollm2-prosqa.yaml: at stage 0 no thought is made, so that nothing asks the thought head."""


@dataclass
class Learned:
    """What one step found."""

    loss: float
    gradients: dict[str, Tensor]
    wrapper: str = ""
    shards: Sequence[str] = ()
    """Weights of which each process holds a part."""


def make(family: str, task: Any) -> tuple[TrainStep, TextData | GraphData]:
    config, checkpoint = replace(CONFIG, task=task), tiny(family, markers=True)
    items = [chain(number, 1 + number % 3) for number in range(8)]
    data = GraphData(config) if task == "edges" else TextData(config, checkpoint, items)
    return TrainStep(checkpoint.model.train(), "fp32"), data


def joined(halves: Sequence[TrainBatch]) -> TrainBatch:
    """Lay the questions of both processes side by side in one batch."""

    def stack(tensors: Sequence[Tensor], left: bool = False) -> Tensor:
        widths = [tensor.shape[-1] for tensor in tensors]
        sides = [(max(widths) - width, 0) if left else (0, max(widths) - width) for width in widths]
        return torch.cat([torch.nn.functional.pad(t, side) for t, side in zip(tensors, sides, strict=True)])

    def labels(parts: Sequence[Any], shapes: Sequence[torch.Size], width: int) -> Any:
        """Count the places through rows of `width` columns, those of the second process after the first's."""
        rows = [0, shapes[0][:-1].numel()]
        at = [
            p.at + (row + p.at // s[-1]) * width - p.at // s[-1] * s[-1]
            for p, row, s in zip(parts, rows, shapes, strict=True)
        ]
        moved = {name: torch.cat([getattr(part, name) for part in parts]) for name in ("token", "weight")}
        return replace(parts[0], at=torch.cat(at), total=sum(part.total for part in parts), **moved)

    width = max(half.question.shape[-1] for half in halves)
    later = [width - half.question.shape[-1] for half in halves]
    pads = [half.pads + more for half, more in zip(halves, later, strict=True) if half.pads is not None]
    words = []
    for parts in zip(*(half.words for half in halves), strict=True):
        ids = stack([part.ids for part in parts])
        after = torch.cat([part.after + more for part, more in zip(parts, later, strict=True)])
        shapes = [part.ids.shape for part in parts]
        words.append(
            replace(parts[0], ids=ids, after=after, labels=labels([p.labels for p in parts], shapes, ids.shape[-1]))
        )
    slots = halves[0].frontier.shape[2]
    return replace(
        halves[0],
        prefix=torch.cat([half.prefix for half in halves]),
        question=stack([half.question for half in halves], left=True),
        pads=torch.cat(pads) if pads else None,
        heads=labels([half.heads for half in halves], [half.frontier.shape[:3] for half in halves], slots),
        frontier=stack([half.frontier for half in halves]),
        words=tuple(words),
    )


def alone(family: str, task: str) -> Learned:
    step, data = make(family, task)
    loss = step(joined([data.draw(STAGE, STEP, rank) for rank in (0, 1)]), 0).loss
    loss.backward()
    return Learned(
        float(loss.detach()), {key: p.grad for key, p in step.model.named_parameters() if p.grad is not None}
    )


def placed(config: TrainConfig, directory: Path) -> TrainConfig:
    """Return a run that begins with the model of a directory and trains on its problems."""
    items = str(directory / "items")
    return replace(config, start=str(directory / "start"), rows=replace(config.rows, problems=items, validation=items))


def work(directory: Path) -> None:
    """Take one step and a run replicated, then both sharded, in one of two processes; process 0 writes."""
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    config, lora = placed(RUN, directory), placed(LORA, directory)
    # The other process has a folder of its own until the run is cut off: what it wrote would be there.
    train(lora, directory / ("lora-run" if accelerator.is_main_process else "lora-other"), interrupt)
    train(lora, directory / "lora-run")
    for name, family in FAMILIES.items():
        if name == "fsdp":
            # Accelerate reads no FSDP plugin where the processes have no GPU; what it does with one works there too.
            plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")
            accelerator.state.distributed_type, accelerator.state.fsdp_plugin = DistributedType.FSDP, plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        for task in TASKS:
            module, data = make(family, task)
            wrapped, *_ = accelerator.prepare(module, *build_optimizer(module.model, CONFIG))  # as the loop does
            step: Any = accelerator.unwrap_model(wrapped)
            loss = wrapped(data.draw(STAGE, STEP, accelerator.process_index), 0).loss
            accelerator.backward(loss)
            mean = accelerator.reduce(loss.detach(), "mean")
            gradients = {key: p.grad for key, p in step.model.named_parameters()}
            halves = [key for key, g in gradients.items() if isinstance(g, DTensor) and g.to_local().shape != g.shape]
            whole = {key: g.full_tensor() if isinstance(g, DTensor) else g for key, g in gradients.items()}
            if accelerator.is_main_process:
                learned = Learned(float(cast(Tensor, mean)), whole, type(wrapped).__name__, halves)
                torch.save(learned, directory / f"{name}-{task}")
        train(config, directory / f"{name}-run", interrupt if name == "fsdp" else None)
    train(config, directory / "fsdp-run")
    dist.destroy_process_group()


def interrupt(record: dict) -> None:
    """Ask for a stop during the report of step 4: the run saves and ends after step 5."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two processes once, for all tests: starting them takes most of the time."""
    directory = tmp_path_factory.mktemp("together")
    save_checkpoint(tiny("llama", markers=True), directory / "start")
    save_problems([chain(number, 1 + number % 3) for number in range(8)], directory / "items")
    multiprocessing.set_forkserver_preload(["tests.train.test_accelerate"])  # all that they import, once
    launch = LaunchConfig(
        1,
        1,
        2,
        run_id="test",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="forkserver",
    )
    elastic_launch(launch, work)(directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_two_processes_learn_what_one_does_from_the_joined_batch(
    name: str, family: str, task: str, together: Path
) -> None:
    one = alone(family, task)
    got: Learned = torch.load(together / f"{name}-{task}", weights_only=False)
    assert got.loss == pytest.approx(one.loss, rel=1e-5)
    assert got.gradients.keys() == one.gradients.keys()
    for key, gradient in one.gradients.items():
        torch.testing.assert_close(got.gradients[key], gradient, atol=2e-5, rtol=1e-3, msg=key)


@pytest.mark.slow
def test_every_weight_of_a_sharded_model_is_sharded(together: Path) -> None:
    replicated, sharded = (torch.load(together / f"{name}-edges", weights_only=False) for name in ("ddp", "fsdp"))
    assert replicated.wrapper == "DistributedDataParallel"
    assert replicated.shards == []
    assert sharded.wrapper == "FSDPTrainStep"
    assert sharded.shards == list(sharded.gradients)


@pytest.mark.slow
def test_a_sharded_run_that_was_cut_off_saves_what_a_replicated_one_does(together: Path) -> None:
    for name in ("model.safetensors", "optimizer.safetensors", "average.safetensors"):
        whole, ours = (load_file(together / run / "latest" / name) for run in ("ddp-run", "fsdp-run"))
        assert ours.keys() == whole.keys()
        for key, tensor in whole.items():
            torch.testing.assert_close(ours[key], tensor, atol=2e-5, rtol=1e-3, msg=key)


@pytest.mark.slow
def test_a_sharded_run_exports_its_whole_model_at_every_stage(together: Path) -> None:
    stages = ["step000002-thoughts0-edges08", "step000004-thoughts1-edges08", "step000006-thoughts2-edges08"]
    for name in ("ddp-run", "fsdp-run"):
        found = sorted(path.name for path in (together / name / "checkpoints").iterdir())
        assert found == [*stages, "step000008-thoughts3-edges08"]
    for place in ("model", f"checkpoints/{stages[0]}"):
        whole, ours = (load_checkpoint(together / run / place) for run in ("ddp-run", "fsdp-run"))
        assert ours.meta == whole.meta
        for (key, tensor), (_, other) in zip(
            ours.model.named_parameters(), whole.model.named_parameters(), strict=True
        ):
            torch.testing.assert_close(tensor, other, atol=2e-4, rtol=1e-2, msg=key)  # both were rounded to bf16
    trained = load_file(together / "fsdp-run" / "latest" / "average.safetensors")
    for key, tensor in load_checkpoint(together / "fsdp-run").model.named_parameters():
        assert torch.equal(tensor, trained[key].bfloat16().float()), key


@pytest.mark.slow
def test_a_sharded_run_records_its_loss_and_says_that_it_measured_nothing_else(together: Path) -> None:
    whole, ours = (read_metrics(together / run) for run in ("ddp-run", "fsdp-run"))
    assert [record["step"] for record in ours] == [4, 8]
    assert [record["thoughts"] for record in ours] == [record["thoughts"] for record in whole] == [2, 3]
    assert [record["loss"] for record in ours] == pytest.approx([record["loss"] for record in whole], rel=1e-4)
    assert all("sharded" in record["unmeasured"] and "accuracy" not in record for record in ours)
    assert all("accuracy" in record for record in whole)
    assert json.loads((together / "fsdp-run" / "latest" / "state.json").read_text())["step"] == RUN.steps


@pytest.mark.slow
def test_two_processes_train_the_adapters_that_one_does(together: Path, tmp_path: Path) -> None:
    """One process adds up two batches in place of the two; the two were cut off after step 5 and resumed."""
    train(replace(placed(LORA, together), accumulate=2), tmp_path / "one")
    for name in ("model.safetensors", "optimizer.safetensors", "average.safetensors"):
        one, two = (load_file(run / "latest" / name) for run in (tmp_path / "one", together / "lora-run"))
        assert two.keys() == one.keys()
        for key, tensor in one.items():
            torch.testing.assert_close(two[key], tensor, atol=2e-5, rtol=1e-3, msg=key)
    held = load_file(together / "lora-run" / "latest" / "model.safetensors")
    for part in ("lora_A", "lora_B", "norm", "token_rows", "thought_head"):
        assert [key for key in held if part in key], part
    assert not any("base_layer" in key for key in held)
    assert [record["loss"] for record in read_metrics(together / "lora-run")] == pytest.approx(
        [record["loss"] for record in read_metrics(tmp_path / "one")], rel=1e-4
    )


@pytest.mark.slow
def test_of_two_processes_that_train_adapters_one_writes_and_it_writes_them_merged(together: Path) -> None:
    assert not (together / "lora-other").exists()
    assert [record["step"] for record in read_metrics(together / "lora-run")] == [4, 8]
    state = load_state(placed(LORA, together), together / "lora-run")
    with averaged(state):
        merged = {name: weight.clone() for name, weight in merged_state(state.model).items()}
    exported, start = (load_checkpoint(together / name).model.state_dict() for name in ("lora-run", "start"))
    assert exported.keys() == merged.keys()
    for name, weight in exported.items():
        assert torch.equal(weight, merged[name]), name
    inside = [n for n in start if n.endswith("proj.weight")]
    assert inside
    assert all(not torch.equal(exported[name], start[name]) for name in inside)


def as_a_group(place: Path) -> None:
    """Train as a command of a shell does: in a group of processes of its own."""
    os.setsid()
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    train_command(place / "config.yaml", place / "cut")


@pytest.mark.slow
def test_two_processes_are_killed_go_on_and_are_stopped(tmp_path: Path) -> None:
    """Kill -9 of the whole group, the same command again, Ctrl-C. That a resumed run ends as a whole one is above."""
    plan = replace(TINY.curriculum, largest_edges=12, typical_edges=12)
    config = replace(
        TINY, processes=2, curriculum=plan, steps=60, decay_from=30, evaluate_every=5, checkpoint_seconds=0.2
    )
    save_config(config, tmp_path / "config.yaml")
    metrics = tmp_path / "cut" / "metrics.jsonl"

    def begin_until(step: int) -> BaseProcess:
        run = multiprocessing.get_context("forkserver").Process(target=as_a_group, args=(tmp_path,))
        run.start()
        end = time.monotonic() + 120
        while time.monotonic() < end and not (metrics.exists() and f'"step": {step},' in metrics.read_text()):
            time.sleep(0.05)
        return run

    killed = begin_until(5)
    assert killed.pid
    os.killpg(killed.pid, signal.SIGKILL)
    killed.join()
    reached = load_state(config, tmp_path / "cut").step
    assert reached < 20
    kept = [line for line in metrics.read_text().splitlines(True) if json.loads(line)["step"] <= reached]
    asked = begin_until(25)
    assert asked.pid
    os.killpg(asked.pid, signal.SIGINT)  # Ctrl-C: processes that wait for their launcher would take 30 seconds to end
    asked.join(25)
    assert asked.exitcode == 0
    assert reached < load_state(config, tmp_path / "cut").step < config.steps
    assert metrics.read_text().startswith("".join(kept))
    steps = [record["step"] for record in read_metrics(tmp_path / "cut")]
    assert steps == list(range(5, steps[-1] + 1, 5)), "no record is left out or repeated"


@pytest.mark.parametrize(
    ("changes", "plugin", "why"),
    [
        ({"optimizer": "muon"}, {}, "Muon"),
        ({"lora": LoraConfig(rank=2)}, {}, "low-rank"),
        ({}, {"activation_checkpointing": True}, "forget the question"),
        ({}, {"fsdp_version": 1}, "FSDP 2 alone"),
    ],
)
def test_what_cannot_be_sharded_is_said_before_it_trains(
    monkeypatch: pytest.MonkeyPatch, changes: dict, plugin: dict, why: str
) -> None:
    accelerator = Accelerator(cpu=True)
    settings: dict[str, Any] = {"fsdp_version": 2} | plugin
    made = FullyShardedDataParallelPlugin(**settings)
    monkeypatch.setitem(accelerator.state._shared_state, "distributed_type", DistributedType.FSDP)
    monkeypatch.setitem(accelerator.state._shared_state, "fsdp_plugin", made)
    with pytest.raises(WorkbenchError, match=why):
        check_sharding(replace(CONFIG, **changes), accelerator)


def test_sharding_that_accelerate_would_leave_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = Accelerator(cpu=True)
    check_sharding(CONFIG, accelerator)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(WorkbenchError, match="over GPUs only"):
        check_sharding(CONFIG, accelerator)
