"""Two processes through accelerate: the same gradients as one with the joined batch, replicated and sharded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin
from torch import Tensor
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.tensor import DTensor

from tests.conftest import chain, tiny
from workbench.batches import IGNORE
from workbench.curriculum import Stage
from workbench.optim import build_optimizer
from workbench.row_step import RowBatch, RowStep
from workbench.train_config import Curriculum, RowsConfig, TrainConfig

CONFIG = TrainConfig(
    task="prosqa",
    mixing="packed",  # rows of every stage: the two processes learn different numbers of tokens
    rows=RowsConfig(batch=4, steps_per_stage=10),
    curriculum=Curriculum(thoughts=3),
    precision="fp32",
)
STEP = 99


@dataclass
class Learned:
    """What one step found."""

    loss: float
    gradients: dict[str, Tensor]
    wrapper: str = ""
    shards: Sequence[str] = ()
    """Weights of which each process holds a part."""


def make(family: str) -> RowStep:
    return RowStep(tiny(family, markers=True), CONFIG, [chain(number, 1 + number % 3) for number in range(8)])


def joined(step: RowStep) -> RowBatch:
    """Lay the rows of both processes side by side in one batch."""
    halves = [step.draw(Stage(), STEP, rank) for rank in (0, 1)]
    before = [int(half.rows.is_thought.any(0).nonzero()[0]) for half in halves]
    after = [half.labels.shape[1] - begin for half, begin in zip(halves, before, strict=True)]

    def pad(tensors: list[Tensor], value: int) -> Tensor:
        sides = [(max(before) - b, max(after) - a) for b, a in zip(before, after, strict=True)]
        return torch.cat([torch.nn.functional.pad(t, s, value=value) for t, s in zip(tensors, sides, strict=True)])

    rows = type(halves[0].rows)(
        pad([half.rows.ids for half in halves], step.format.pad),
        pad([half.rows.is_thought for half in halves], 0),
        pad([half.rows.mask for half in halves], 0),
    )
    return RowBatch(rows, pad([half.labels for half in halves], IGNORE))


def alone(family: str) -> Learned:
    step = make(family)
    loss = step(joined(step), Stage(), torch.Generator()).loss
    loss.backward()
    return Learned(
        float(loss.detach()), {key: p.grad for key, p in step.model.named_parameters() if p.grad is not None}
    )


def work(directory: Path) -> None:
    """Take one step replicated and one sharded, in one of two processes; process 0 writes what was learned."""
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    for name, family in (("ddp", "qwen2"), ("fsdp", "llama")):
        if name == "fsdp":
            # Accelerate reads no FSDP plugin where the processes have no GPU; what it does with one works there too.
            plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")
            accelerator.state.distributed_type, accelerator.state.fsdp_plugin = DistributedType.FSDP, plugin
        module = make(family)
        wrapped, *_ = accelerator.prepare(module, *build_optimizer(module.model, CONFIG))  # as the training loop does
        step = accelerator.unwrap_model(wrapped)
        loss = wrapped(step.draw(Stage(), STEP, accelerator.process_index), Stage(), torch.Generator()).loss
        accelerator.backward(loss)
        mean = accelerator.reduce(loss.detach(), "mean")
        gradients = {key: p.grad for key, p in step.model.named_parameters()}
        halves = [key for key, g in gradients.items() if isinstance(g, DTensor) and g.to_local().shape != g.shape]
        whole = {key: g.full_tensor() if isinstance(g, DTensor) else g for key, g in gradients.items()}
        if accelerator.is_main_process:
            torch.save(Learned(float(cast(Tensor, mean)), whole, type(wrapped).__name__, halves), directory / name)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two processes once, for both tests: starting them takes most of the time."""
    directory = tmp_path_factory.mktemp("together")
    launch = LaunchConfig(1, 1, 2, run_id="test", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0)
    elastic_launch(launch, work)(directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize(("name", "family"), [("ddp", "qwen2"), ("fsdp", "llama")])
def test_two_processes_learn_what_one_does_from_the_joined_batch(name: str, family: str, together: Path) -> None:
    one: Learned = alone(family)
    got: Learned = torch.load(together / name, weights_only=False)
    assert got.loss == pytest.approx(one.loss, rel=1e-5)
    assert got.gradients.keys() == one.gradients.keys()
    for key, gradient in one.gradients.items():
        torch.testing.assert_close(got.gradients[key], gradient, atol=2e-5, rtol=1e-3, msg=key)


@pytest.mark.slow
def test_every_weight_of_a_sharded_model_is_sharded(together: Path) -> None:
    replicated, sharded = (torch.load(together / name, weights_only=False) for name in ("ddp", "fsdp"))
    assert replicated.wrapper == "DistributedDataParallel"
    assert replicated.shards == []
    assert sharded.wrapper == "FSDPRowStep"
    assert sharded.shards == list(sharded.gradients)
