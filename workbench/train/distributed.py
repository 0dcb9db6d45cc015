"""Weights sharded over processes (FSDP2, through accelerate): what a training loop has to do otherwise then.

No process holds the whole model. What needs it, saving and exporting, is done by all processes together: they gather
one tensor after the other, and process 0 keeps them. What a run writes is the same either way, so that it may go on
with another number of processes, sharded or not.
"""

import os
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig

_DO = (
    "Change this, or launch without FSDP (torchrun); see the page "
    '"Several processes, several GPUs, sharded models" of the documentation.'
)


def is_sharded(module: nn.Module) -> bool:
    """Say whether each process holds a part of a module's weights."""
    return isinstance(module, FSDPModule)


def check_sharding(config: TrainConfig, accelerator: Accelerator) -> None:
    """Refuse what would train something else than it says, or wait forever.

    Raises:
        WorkbenchError: Sharding is asked for where accelerate replicates, or what is trained cannot be sharded.
    """
    if accelerator.distributed_type != DistributedType.FSDP:
        if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
            raise WorkbenchError(
                "The weights would not be sharded.",
                "Accelerate was launched with FSDP, but shards over GPUs only: here every process would hold them all.",
                "Launch on GPUs, or without FSDP (torchrun).",
            )
        return
    plugin = cast(FullyShardedDataParallelPlugin, accelerator.state.fsdp_plugin)
    faults = {
        "Muon needs whole matrices.": config.optimizer == "muon",
        "An export adds low-rank updates to whole matrices.": config.lora.rank > 0,
        "Answers are sampled from a whole model.": config.objective != "supervised",
        "FSDP 1 makes one long row of them; saving and resuming know FSDP 2 alone.": plugin.fsdp_version != 2,
        "With activation checkpointing every pass after the first would forget the question.": bool(
            plugin.activation_checkpointing
        ),
    }
    for why, holds in faults.items():
        if holds:
            raise WorkbenchError("This is not trained with sharded weights.", why, _DO)


def prepare(
    accelerator: Accelerator, module: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    """Let accelerate wrap a step and its optimizers; their moments are sharded like the weights.

    Accelerate gives the optimizers other parameters when it shards, and forgets the moments of those they had.

    Args:
        accelerator: Knows the processes.
        module: The step; it holds the model.
        optimizers: Of the model's parameters, with the moments of an earlier step or none.
    """
    if accelerator.distributed_type != DistributedType.FSDP:
        step, *prepared = accelerator.prepare(module, *optimizers)
        return step, prepared
    held = [optimizer.state_dict()["state"] for optimizer in optimizers]
    for optimizer in optimizers:
        optimizer.state.clear()  # else accelerate would move whole moments to every GPU
    step, *prepared = accelerator.prepare(module, *optimizers)
    for optimizer, moments in zip(prepared, held, strict=True):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        dealt = {
            number: {key: deal(value, parameters[number]) for key, value in values.items()}
            for number, values in moments.items()
        }
        optimizer.load_state_dict({**optimizer.state_dict(), "state": dealt})
    return step, prepared


def gather(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """Return whole copies of tensors on the CPU; where one is sharded, every process must call this.

    Args:
        tensors: By name, in the same order in every process.
        keep: Whether this process wants them; else it only helps the others, and gets none.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        whole = tensor.detach()
        if isinstance(whole, DTensor):
            # Weights that rest on the CPU are gathered where the processes talk to each other.
            whole = cast(DTensor, whole.to(whole.device_mesh.device_type)).full_tensor()
        if keep:
            kept[name] = whole.to("cpu", copy=True).contiguous()
    return kept


def deal(value: Tensor, parameter: Tensor) -> Tensor:
    """Return this process's part of what belongs to a parameter, such as a moment; a count of steps stays whole."""
    if isinstance(parameter, DTensor) and value.shape == parameter.shape:
        return distribute_tensor(value, parameter.device_mesh, parameter.placements)
    return value
