"""The training loop: draw a batch, run it packed, average the gradients, step, and move the curriculum on.

Every random draw of step s in process r comes from the seed (run seed, r, s), so that a run resumed from its newest
checkpoint repeats to the last digit what it would have done.
"""

import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from workbench.batches import GraphBatch, question_batch
from workbench.curriculum import Stage, advance, draw_edges
from workbench.from_scratch import build_model
from workbench.objective import Result, packed_loss
from workbench.optim import build_optimizer
from workbench.packed import Weights
from workbench.train_config import TrainConfig


@dataclass
class State:
    """All that changes while training: what a checkpoint holds."""

    step: int
    stage: Stage
    model: PreTrainedModel
    optimizers: list[torch.optim.Optimizer]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the factor on every learning rate: linear warm-up, constant, linear decay to zero."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    left = (config.steps - step) / max(config.steps - config.decay_from, 1)
    return warm * min(1.0, max(left, 0.0))


def draw_batch(config: TrainConfig, stage: Stage, step: int, rank: int) -> GraphBatch:
    """Draw the batch of one step and process."""
    plan = config.curriculum
    rng = np.random.default_rng([config.seed, rank, step])
    # The shape of a batch is drawn from the step alone, so that no process waits for another's larger one.
    shared = np.random.default_rng([config.seed, 1 << 20, step])
    widening = stage.thoughts == plan.thoughts
    share = plan.walk_share if step < config.decay_from else plan.walk_share_late
    walks = plan.walks if not widening or shared.random() < share else 0
    edges = draw_edges(stage, plan, shared)
    return question_batch(
        rng,
        graphs=config.graphs,
        questions=config.questions,
        edges=edges,
        thoughts=stage.thoughts,
        hop_weights=plan.hop_weights if widening else {h: 1.0 + 0.3 * h for h in range(1, 7)},
        special=plan.special if edges >= 16 and not walks else 0.0,
        walks=walks,
    )


def average_gradients(parameters: list[Tensor]) -> None:
    """Replace every process's gradients by their mean, in one message."""
    if not dist.is_initialized():
        return
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 0
    for p in parameters:
        if p.grad is not None:
            p.grad.copy_(flat[start : start + p.numel()].view_as(p))
            start += p.numel()


def train_step(config: TrainConfig, state: State, rank: int) -> Result:
    """Take one step: forward, backward, average, clip, update."""
    batch = draw_batch(config, state.stage, state.step, rank)
    generator = torch.Generator().manual_seed(hash((config.seed, rank, state.step)) % (1 << 62))
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    result = packed_loss(Weights.of(state.model, dtype), batch, state.stage.thoughts, generator, chain_graphs=config.curriculum.chain_graphs)
    result.loss.backward()
    parameters = [p for p in state.model.parameters() if p.requires_grad]
    average_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, config.clip)
    factor = learning_rate(config, state.step)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return result


def save_state(state: State, directory: Path) -> None:
    """Write the newest state, all of it or nothing: a kill while writing leaves the one before."""
    new, old = directory / "latest.new", directory / "latest"
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
    aside = directory / "latest.old"
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def load_state(config: TrainConfig, directory: Path) -> State:
    """Return the newest saved state of a run, or a fresh one."""
    model = build_model(config.model, config.seed)
    state = State(0, Stage(edges=config.curriculum.small_edges), model, build_optimizer(model, config))
    saved = directory / "latest"
    if not saved.exists() and (directory / "latest.old").exists():  # killed between the two renames
        saved = directory / "latest.old"
    if not saved.exists():
        return state
    weights = load_file(saved / "model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    moments = load_file(saved / "optimizer.safetensors")
    for index, optimizer in enumerate(state.optimizers):
        held = optimizer.state_dict()
        for key, value in moments.items():
            owner, parameter, name = key.split(".", 2)
            if int(owner) == index:
                held["state"].setdefault(int(parameter), {})[name] = value
        optimizer.load_state_dict(held)
    saved_state = json.loads((saved / "state.json").read_text())
    state.step, state.stage = saved_state["step"], Stage(**saved_state["stage"])
    return state


def train(config: TrainConfig, directory: Path, on_progress: Callable[[dict], None] | None = None) -> State:
    """Train until the last step, or until interrupted; resume from the newest state if there is one.

    Runs in every process of a group; process 0 writes. An interrupt (Ctrl-C, SIGTERM) ends after the step under way
    and saves; a kill loses the time since the last save (`checkpoint_seconds`).
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    state = load_state(config, directory)
    stop = {"asked": False}
    if rank == 0:
        directory.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.update(asked=True))
    evaluation = evaluation_batch(config)
    saved_at = began = time.monotonic()
    first = state.step
    metrics = (directory / "metrics.jsonl").open("a") if rank == 0 else None
    while state.step < config.steps:
        result = train_step(config, state, rank)
        seen = result.mass_count > 0
        flags = torch.tensor(
            [
                float(result.loss.detach()),
                float(result.mass[seen].mean()),
                float(result.answered.nan_to_num(-1.0)),
                float(stop["asked"]),
                float(time.monotonic() - saved_at > config.checkpoint_seconds),
            ]
        )
        if dist.is_initialized():
            dist.all_reduce(flags)
            flags /= dist.get_world_size()
        loss, mass, answered, asked, due = flags.tolist()
        before = state.stage
        state.stage = advance(before, config.curriculum, state.step, mass)
        state.step += 1
        done = state.step == config.steps
        if rank == 0:
            if state.step % config.evaluate_every == 0 or done:
                record = {
                    "step": state.step,
                    "thoughts": state.stage.thoughts,
                    "edges": state.stage.edges,
                    "loss": loss,
                    "batch_mass": state.stage.mass,
                    "learning_rate": config.learning_rate * learning_rate(config, state.step - 1),
                    **evaluate(config, state, evaluation),
                }
                metrics.write(json.dumps(record) + "\n")
                metrics.flush()
                if on_progress:
                    spent = time.monotonic() - began
                    eta = spent / (state.step - first) * (config.steps - state.step)
                    on_progress({**record, "steps": config.steps, "seconds": spent, "eta": eta})
            if before.thoughts != state.stage.thoughts or (done or state.step % 2000 == 0):
                save_stage(state, directory / "checkpoints" / f"step{state.step:06d}-{before.name}")
            if due or asked or done:
                save_state(state, directory)
        if due:
            saved_at = time.monotonic()
        if asked:
            break
    if metrics:
        metrics.close()
    return state


def evaluation_batch(config: TrainConfig) -> GraphBatch:
    """Draw the fixed batch that metrics are measured on: questions as hard as the released ones."""
    return question_batch(
        np.random.default_rng([config.seed, 1 << 21]),
        graphs=64,
        questions=4,
        edges=config.curriculum.typical_edges,
        thoughts=config.curriculum.thoughts,
        hop_weights={3: 0.41, 4: 0.44, 5: 0.13, 6: 0.02},
        special=1.0,
    )


@torch.no_grad()
def evaluate(config: TrainConfig, state: State, batch: GraphBatch) -> dict:
    """Measure frontier mass per thought and exact answers on a fixed batch."""
    generator = torch.Generator().manual_seed(0)
    result = packed_loss(
        Weights.of(state.model, torch.float32), batch, config.curriculum.thoughts, generator, chain_graphs=len(batch.prefix)
    )
    return {
        "mass": [round(m, 4) for m in result.mass.tolist()],
        "accuracy": round(float(result.answered), 4),
        "evaluation_loss": round(float(result.loss), 4),
    }


def save_stage(state: State, directory: Path) -> None:
    """Keep the weights of a stage for later scrubbing, in bf16."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(
        {n: p.detach().to(torch.bfloat16).contiguous() for n, p in state.model.named_parameters()},
        directory / "model.safetensors",
    )
