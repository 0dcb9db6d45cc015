"""The training loop: draw a batch, run it packed, average the gradients, step, and move the curriculum on.

Every random draw of step s in process r comes from the seed (run seed, r, s), so that a run resumed from its newest
checkpoint repeats to the last digit what it would have done.
"""

import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from workbench.batches import GraphBatch, question_batch
from workbench.curriculum import Stage, advance, draw_edges
from workbench.objective import Result, packed_loss
from workbench.packed import Weights
from workbench.problem import Problem
from workbench.train_config import TrainConfig
from workbench.training_metrics import evaluate, evaluation_batch, samples, trim
from workbench.training_state import State, export, load_state, save_state


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
    share = plan.walk_share if step < plan.late_from else plan.walk_share_late
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


def average_gradients(parameters: Sequence[Tensor]) -> None:
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
    result = packed_loss(
        Weights.of(state.model, dtype),
        batch,
        state.stage.thoughts,
        generator,
        chain_graphs=config.curriculum.chain_graphs,
    )
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


def train(
    config: TrainConfig,
    directory: Path,
    on_progress: Callable[[dict], None] | None = None,
    sample_problems: list[Problem] | None = None,
) -> State:
    """Train until the last step, or until interrupted; resume from the newest state if there is one.

    Runs in every process of a group; process 0 writes. An interrupt (Ctrl-C, SIGTERM) ends after the step under way
    and saves; a kill loses the time since the last save (`checkpoint_seconds`).

    Args:
        config: What to train.
        directory: The run directory.
        on_progress: Called in process 0 with `step`, `steps` and `eta` (seconds) every few seconds, and with the whole
            record at each evaluation.
        sample_problems: Problems to answer at each evaluation, for the eye.
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    state = load_state(config, directory)
    stop = {"asked": False}
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: stop.update(asked=True))
    writer = Writer(config, directory, state.step, on_progress, sample_problems or []) if rank == 0 else None
    saved_at = time.monotonic()
    while state.step < config.steps:
        result = train_step(config, state, rank)
        due = time.monotonic() - saved_at > config.checkpoint_seconds
        loss, mass, asked, due = agree(
            [float(result.loss.detach()), mean_mass(result), float(stop["asked"]), float(due)]
        )
        stage = state.stage
        state.stage = advance(stage, config.curriculum, state.step, mass)
        state.step += 1
        if writer:
            writer.after_step(state, stage, loss)
            if due or asked:
                save_state(state, directory)
        if due:
            saved_at = time.monotonic()
        if asked:
            break
    if writer:
        if state.step == config.steps:
            save_state(state, directory)
        export(state, config, directory / "model")
    for number, handler in before.items():
        signal.signal(number, handler)
    return state


def mean_mass(result: Result) -> float:
    """Return the mean frontier mass over the thoughts for which the batch has a frontier."""
    return float(result.mass[result.mass_count > 0].mean())


def agree(values: list[float]) -> list[float]:
    """Return the mean over processes, so that all of them take the same decisions."""
    tensor = torch.tensor(values)
    if dist.is_initialized():
        dist.all_reduce(tensor)
        tensor /= dist.get_world_size()
    return tensor.tolist()


class Writer:
    """What process 0 writes and shows beside the training itself."""

    def __init__(
        self,
        config: TrainConfig,
        directory: Path,
        step: int,
        on_progress: Callable[[dict], None] | None,
        problems: list[Problem],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config, self.directory, self.first, self.problems = config, directory, step, problems
        self.on_progress = on_progress or (lambda record: None)
        self.batch = evaluation_batch(config)
        self.began = self.shown = time.monotonic()
        self.path = directory / "metrics.jsonl"
        trim(self.path, step)

    def after_step(self, state: State, stage: Stage, loss: float) -> None:
        """Evaluate, keep a stage that has just ended, and report, each when it is time."""
        config, now = self.config, time.monotonic()
        eta = (now - self.began) / (state.step - self.first) * (config.steps - state.step)
        record: dict = {"step": state.step, "steps": config.steps, "eta": eta}
        if state.step % config.evaluate_every == 0 or state.step == config.steps:
            measured = {
                "step": state.step,
                "thoughts": state.stage.thoughts,
                "edges": state.stage.edges,
                "loss": loss,
                "batch_mass": state.stage.mass,
                "learning_rate": config.learning_rate * learning_rate(config, state.step - 1),
                **evaluate(config, state, self.batch),
            }
            with self.path.open("a") as file:
                file.write(json.dumps(measured) + "\n")
            record |= measured | {"samples": samples(config, state, self.problems)}
        ended = state.stage.thoughts != stage.thoughts or state.step % config.keep_every == 0
        if ended or state.step == config.steps:
            export(state, config, self.directory / "checkpoints" / f"step{state.step:06d}-{stage.name}")
        if "loss" in record or now - self.shown > 2:
            self.shown = now
            self.on_progress(record)
