"""What is measured while a model trains: on one fixed batch, as hard as the released problems.

The training loop: draw a batch, run it, average the gradients, step, and move the curriculum on.

Every random draw of step s in process r comes from the seed (run seed, r, s), so that a run resumed from its newest
checkpoint repeats to the last digit what it would have done.
"""

import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from workbench.errors import WorkbenchError
from workbench.measure.trace import answers
from workbench.problems.problem import Item, Problem
from workbench.problems.sets import RELEASED_HOPS, generate
from workbench.train import data as row_start
from workbench.train.config import Stage, TrainConfig, advance, by_clock
from workbench.train.data import GraphBatch, question_batch
from workbench.train.distributed import check_sharding, is_sharded, prepare
from workbench.train.objective import PackedStep, Result, RowStep, packed_loss
from workbench.train.packed import Weights
from workbench.train.state import State, as_checkpoint, export, load_state, save_state


class ValidationMonitor:
    """What is measured at every evaluation, always on the same problems.

    Args:
        config: The run's configuration.
        problems: To be answered; by default freshly generated.
    """

    def __init__(self, config: TrainConfig, problems: Sequence[Problem | Item] | None = None) -> None:
        self.config = config
        self.batch = evaluation_batch(config) if config.task == "edges" else None
        self.problems = draw_validation(config, config.watched) if problems is None else problems

    @torch.no_grad()
    def measure(self, state: State) -> dict:
        """Answer problems as the method does, and measure the frontier mass of every slot where there are any."""
        state.model.eval()
        measured: dict = {}
        if self.batch is not None:
            ask = replace(state.step_module.ask(state.stage), stage=self.config.curriculum.thoughts)
            generator = torch.Generator().manual_seed(0)
            result = packed_loss(Weights.of(state.model, torch.float32), self.batch, ask, generator)
            if ask.method.fed != "nothing":
                measured["mass"] = [round(m, 4) for m in result.mass.tolist()]
            measured["evaluation_loss"] = round(float(result.loss), 4)
        found = list(answers(as_checkpoint(state), self.problems))
        state.model.train()
        share = {name: [getattr(answer, name) for answer in found] for name in ("right", "valid", "tokens")}
        return measured | {
            "accuracy": round(float(np.mean(share["right"])), 4),
            "valid": round(float(np.mean(share["valid"])), 4),
            "tokens": round(float(np.mean(share["tokens"])), 2),
        }


def draw_validation(config: TrainConfig, count: int) -> Sequence[Problem | Item]:
    """Return problems that no training step draws."""
    if config.task == "edges":
        plan = config.curriculum
        nodes = round(0.6 * plan.typical_edges) + 6  # 28 slots for 36 edges, as in the released files
        return generate("released", count, config.seed + (1 << 30), _asked_hops(plan.thoughts), nodes)
    return row_start.draw_validation(config, count)


def evaluation_batch(config: TrainConfig) -> GraphBatch:
    """Draw the fixed batch: the released distribution of hops, special roots, a typical number of edges."""
    return question_batch(
        np.random.default_rng([config.seed, 1 << 21]),
        graphs=64,
        questions=4,
        edges=config.curriculum.typical_edges,
        thoughts=max(config.curriculum.thoughts, *RELEASED_HOPS),
        hop_weights=_asked_hops(config.curriculum.thoughts),
        special=1.0,
    )


def _asked_hops(thoughts: int) -> dict[int, float]:
    """Return the released weights of the distances that so many thoughts can reach."""
    return {hop: weight for hop, weight in RELEASED_HOPS.items() if hop <= thoughts} or {thoughts: 1.0}


def samples(state: State, problems: Sequence[Problem | Item]) -> list[str]:
    """Return what the model now says on a few problems."""
    state.model.eval()
    said = []
    for answer in answers(as_checkpoint(state), problems):
        question = answer.problem.question.rsplit(". ", 1)[-1]
        mark = "right" if answer.right else f"wrong, {answer.problem.answer}"
        said.append(f"{question} -> {answer.said} ({mark})")
    state.model.train()
    return said


def trim(path: Path, step: int) -> None:
    """Drop records after a step (and a line cut off by a kill), so that a resumed run repeats none."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["step"] <= step:
            kept.append(line)
    path.write_text("".join(f"{line}\n" for line in kept))


def read_metrics(directory: Path) -> list[dict]:
    """Return the metrics of a run, one record per evaluation, oldest first.

    Raises:
        WorkbenchError: If the directory holds none.
    """
    path = directory / "metrics.jsonl"
    if not path.exists():
        raise WorkbenchError(f"{directory.name}/ has no metrics.", "there is no metrics.jsonl", "name a run directory")
    return [json.loads(line) for line in path.read_text().splitlines()]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the factor on every learning rate: linear warm-up, constant, linear decay to zero."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    left = (config.steps - step) / max(config.steps - config.decay_from, 1)
    return warm * min(1.0, max(left, 0.0))


def train_step(config: TrainConfig, state: State, step: nn.Module, accelerator: Accelerator) -> Result:
    """Take one step: forward, backward (gradients are averaged over processes), clip, update.

    Args:
        config: The run.
        state: What changes.
        step: Its `PackedStep` or `RowStep` as accelerate wrapped it; one call is one loss.
        accelerator: Knows the processes.
    """
    rank = accelerator.process_index
    batch = state.step_module.draw(state.stage, state.step, rank)
    seed = hash((config.seed, rank, state.step)) % (1 << 62)
    result = step(batch, state.stage, torch.Generator(accelerator.device).manual_seed(seed))
    accelerator.backward(result.loss)
    accelerator.clip_grad_norm_(state.model.parameters(), config.clip)
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
) -> State:
    """Train until the last step, or until interrupted; resume from the newest state if there is one.

    Runs in every process of a group; process 0 writes, and where the weights are sharded the others help it: all of
    them agree on what is due. An interrupt (Ctrl-C, SIGTERM) ends after the step under way
    and saves; a kill loses the time since the last save (`checkpoint_seconds`).

    Args:
        config: What to train.
        directory: The run directory.
        on_progress: Called in process 0 with `step`, `steps` and `eta` (seconds) every few seconds, and with the whole
            record at each evaluation.

    Raises:
        WorkbenchError: A saved state cannot be read, or what is trained cannot be sharded.
    """
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    check_sharding(config, accelerator)
    state = load_state(config, directory)
    step, state.optimizers = prepare(accelerator, state.step_module, state.optimizers)
    stop = {"asked": False}
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: stop.update(asked=True))
    writes = accelerator.is_main_process
    writer = Writer(config, directory, state.step, on_progress) if writes else None
    saved_at = time.monotonic()
    while state.step < config.steps:
        result = train_step(config, state, step, accelerator)
        due = time.monotonic() - saved_at > config.checkpoint_seconds
        loss, mass, asked, due = agree(
            [float(result.loss.detach()), mean_mass(result), float(stop["asked"]), float(due)], accelerator
        )
        stage = state.stage
        state.step += 1
        state.stage = next_stage(config, state.step_module, stage, state.step, mass)
        if config.reset_optimizer and state.stage.thoughts != stage.thoughts:
            for optimizer in state.optimizers:
                optimizer.state.clear()
        record = writer.measure(state, loss) if writer else {}
        ended = state.stage.thoughts != stage.thoughts or state.step % config.keep_every == 0
        if ended or state.step == config.steps:
            export(state, directory / "checkpoints" / f"step{state.step:06d}-{stage.name}", writes)
        if writer:
            writer.report(record)
        if due or asked:
            save_state(state, directory, writes)
        if due:
            saved_at = time.monotonic()
        if asked:
            break
    if state.step == config.steps:
        save_state(state, directory, writes)
    export(state, directory / "model", writes)
    for number, handler in before.items():
        signal.signal(number, handler)
    return state


def mean_mass(result: Result) -> float:
    """Return the mean frontier mass over the thoughts for which the batch has a frontier."""
    measured = result.mass[result.mass_count > 0]
    return float(measured.mean()) if len(measured) else 0.0


def next_stage(config: TrainConfig, module: PackedStep | RowStep, stage: Stage, step: int, mass: float) -> Stage:
    """Return the stage of the coming step, after one at `stage` whose mean frontier mass was `mass`."""
    plan = config.curriculum
    if isinstance(module, RowStep):
        return replace(stage, thoughts=module.stage_at(step))
    return by_clock(plan, step, mass) if plan.by == "clock" else advance(stage, plan, step - 1, mass)


def agree(values: list[float], accelerator: Accelerator) -> list[float]:
    """Return the mean over processes, so that all of them take the same decisions."""
    return accelerator.reduce(torch.tensor(values, device=accelerator.device), "mean").tolist()  # type: ignore[union-attr]


class Writer:
    """What process 0 writes and shows beside the training itself."""

    def __init__(
        self,
        config: TrainConfig,
        directory: Path,
        step: int,
        on_progress: Callable[[dict], None] | None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config, self.directory, self.first = config, directory, step
        self.on_progress = on_progress or (lambda record: None)
        self.watch = ValidationMonitor(config)
        self.began = self.shown = time.monotonic()
        self.path = directory / "metrics.jsonl"
        trim(self.path, step)

    def measure(self, state: State, loss: float) -> dict:
        """Return what there is to report after a step, with an evaluation, which is kept, when it is time for one."""
        config = self.config
        eta = (time.monotonic() - self.began) / (state.step - self.first) * (config.steps - state.step)
        record: dict = {"step": state.step, "steps": config.steps, "eta": eta}
        if state.step % config.evaluate_every and state.step != config.steps:
            return record
        measured = {
            "step": state.step,
            "thoughts": state.stage.thoughts,
            **({"edges": state.stage.edges, "batch_mass": state.stage.mass} if config.task == "edges" else {}),
            "loss": loss,
            "learning_rate": config.learning_rate * learning_rate(config, state.step - 1),
        }
        if is_sharded(state.step_module):
            # This process holds a part of the model, and the others have gone on: it cannot ask it anything alone.
            measured["unmeasured"] = "sharded weights answer nothing while they train"
            said = []
        else:
            measured |= self.watch.measure(state)
            said = samples(state, self.watch.problems[:2])
        with self.path.open("a") as file:
            file.write(json.dumps(measured) + "\n")
        return record | measured | {"samples": said}

    def report(self, record: dict) -> None:
        """Show a record: every evaluation, and every few seconds how far the run is."""
        now = time.monotonic()
        if "loss" in record or now - self.shown > 2:
            self.shown = now
            self.on_progress(record)
