"""The training loop: draw a batch, run it, average the gradients, step, and go on to the next stage.

Every random draw of step s in process r comes from the seed (run seed, r, s), so that a run resumed from its newest
checkpoint repeats to the last digit what it would have done. What is measured on the way is measured on the same
problems every time.
"""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import nn

from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.measure.statistics import wilson
from workbench.measure.trace import answers
from workbench.problems.problem import Item, Problem
from workbench.train.batch import TrainBatch, draw_seed
from workbench.train.config import Stage, TrainConfig, method_of
from workbench.train.distributed import check_sharding, deal, is_sharded, prepare
from workbench.train.objective import Result, batch_loss, open_pass
from workbench.train.policy import RewardData
from workbench.train.state import (
    State,
    as_checkpoint,
    averaged,
    export,
    load_state,
    save_state,
    update_average,
)
from workbench.train.text import TextData


class ValidationMonitor:
    """What is measured at every evaluation, always on the same problems.

    Args:
        state: What is trained; its data gives the problems.
        problems: To be answered; by default those of the run.
    """

    def __init__(self, state: State, problems: Sequence[Problem | Item] | None = None) -> None:
        self.problems = state.data.validation if problems is None else problems

    def measure(self, state: State) -> tuple[dict, list[str]]:
        """Return what is recorded, and what the model says to the first two problems.

        Recorded are the loss of the evaluation batch, the frontier mass of its slots where there is any, and accuracy,
        all of the average of the weights where there is one.
        """
        state.model.eval()
        with averaged(state):
            result = self.loss(state)
            found = list(answers(as_checkpoint(state), self.problems))
            rewarded = state.data.measure() if isinstance(state.data, RewardData) else {}
        state.model.train()
        mass = [round(m, 4) for m in result.mass.tolist()]
        share = {name: [getattr(answer, name) for answer in found] for name in ("right", "valid", "tokens")}
        twins = [
            one.right and other.right for one, other in pairwise(found) if other.problem.id == f"{one.problem.id}-swap"
        ]
        measured = ({"mass": mass} if mass else {}) | {
            "evaluation_loss": round(float(result.loss), 4),
            "accuracy": round(float(np.mean(share["right"])), 4),
            "valid": round(float(np.mean(share["valid"])), 4),
            "tokens": round(float(np.mean(share["tokens"])), 2),
            **({"pairs": round(float(np.mean(twins)), 4)} if twins else {}),
            **rewarded,
        }
        said = []
        for answer in found[:2]:
            mark = "right" if answer.right else f"wrong, {answer.problem.answer}"
            said.append(f"{answer.problem.question.rsplit('. ', 1)[-1]} -> {answer.said} ({mark})")
        return measured, said

    @torch.no_grad()
    def loss(self, state: State) -> Result:
        """Return loss and mass of the evaluation batch in fp32, on the model's device."""
        batch = state.data.evaluation(state.stage).to(state.model.device)
        return batch_loss(open_pass(state.model, batch, torch.float32), batch)


LOOK_UP_MASS = 0.3
"""Frontier mass of thought 1 above which the look-up is being learned (docs/training.md)."""


def guessing(problems: Sequence[Problem | Item]) -> float:
    """Return the share of right answers that guessing gets: between the options, else always the commonest answer."""
    if all(isinstance(problem, Problem) or problem.options for problem in problems):
        return float(np.mean([1 / len(problem.options) for problem in problems]))
    return Counter(problem.answer for problem in problems).most_common(1)[0][1] / len(problems)


def plateau(record: dict, chance: float, n: int) -> str:
    """Return a sentence where an evaluation shows no sign that a run has left its plateau.

    Such signs are more right answers than guessing gets, and a frontier mass of thought 1 that shows the look-up.

    Args:
        record: The evaluation.
        chance: Share of right answers that guessing gets.
        n: Number of problems answered.

    Returns:
        The sentence; empty where there is a sign, or nothing was measured.
    """
    right = wilson(round(record["accuracy"] * n), n) if "accuracy" in record else None
    first = record.get("mass", [0.0])[0]
    if right is None or right.low > chance or first >= LOOK_UP_MASS:
        return ""
    mass = f", and thought 1 has {first:.2f} of its mass on the frontier" if "mass" in record else ""
    return f"Still on the plateau: {right} of {n} answers are right, guessing gets {chance:.2f}{mass}."


def trim(path: Path, step: int) -> None:
    """Drop records after a step (and a line cut off by a kill), so that a resumed run repeats none."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        record = _record(line)
        if record is not None and record["step"] <= step:
            kept.append(line)
    write_whole(path, "".join(f"{line}\n" for line in kept))


def read_metrics(directory: Path) -> list[dict]:
    """Return the metrics of a run, one record per evaluation, oldest first.

    A last line that is cut off, as a kill leaves it, is left out.

    Raises:
        WorkbenchError: If the directory holds none, or they are damaged.
    """
    path = directory / "metrics.jsonl"
    if not path.exists():
        raise WorkbenchError(f"{directory.name}/ has no metrics.", "there is no metrics.jsonl", "name a run directory")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkbenchError(f"The metrics of {directory.name}/ cannot be read.", str(error), "copy the run") from error
    records = [_record(line) for line in lines]
    if records and records[-1] is None:
        records.pop()
    if None in records:
        why = f"line {records.index(None) + 1} of metrics.jsonl is no record of a step"
        raise WorkbenchError(f"The metrics of {directory.name}/ are damaged.", why, "copy the run again")
    return [record for record in records if record is not None]


def _record(line: str) -> dict | None:
    """Return a line of metrics.jsonl, None where it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def learning_rate(config: TrainConfig, step: int, fresh: int = 0) -> float:
    """Return the factor on every learning rate: linear warm-up, constant, linear decay to zero.

    It is multiplied by `rate_factor` after each `rate_every` steps since the moments were last cleared.

    Args:
        config: The run.
        step: Of the run.
        fresh: Step before which the optimizers' moments were last cleared.
    """
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    left = (config.steps - step) / max(config.steps - (config.decay_from or config.steps // 2), 1)
    stepped = config.rate_factor ** ((step - fresh) // config.rate_every) if config.rate_every else 1.0
    return warm * min(1.0, max(left, 0.0)) * stepped


def forget(config: TrainConfig, state: State, stage: Stage) -> None:
    """Clear the optimizers' moments where the next step begins a stage, or a pass over the problems, that asks for it.

    Args:
        config: The run.
        state: After a step.
        stage: Of that step.
    """
    due = config.reset_optimizer and state.stage.thoughts != stage.thoughts
    if config.reset_optimizer == "epoch":
        due |= state.step - state.fresh == cast(TextData, state.data).epoch_steps
    if due:
        state.fresh = state.step
        for optimizer in state.optimizers:
            optimizer.state.clear()


def train_step(config: TrainConfig, state: State, step: nn.Module, accelerator: Accelerator) -> Result:
    """Take one step: draw, then forward, backward (gradients are averaged over processes), clip, update.

    With a reward the drawn answers are learned from `reward.updates` times.

    Args:
        config: The run.
        state: What changes.
        step: Its `TrainStep` as accelerate wrapped it; one call is one loss.
        accelerator: Knows the processes.

    Returns:
        Of the first update.

    Raises:
        WorkbenchError: The gradient is not finite; the weights are left as they are.
    """
    # Batches that are added up take the place of as many processes, in what is drawn and in what they count.
    ranks = [accelerator.process_index + more * accelerator.num_processes for more in range(config.accumulate)]
    batches = [state.data.draw(state.stage, state.step, rank) for rank in ranks]
    totals = (
        np.mean([cast(TrainBatch, batch).totals for batch in batches], 0).tolist() if config.accumulate > 1 else None
    )
    factor, results = learning_rate(config, state.step, state.fresh), []
    for _ in range(config.reward.updates):
        parts = []
        for rank, batch in zip(ranks, batches, strict=True):
            seed = draw_seed(config, state.step, rank)
            parts.append(step(batch, seed) if totals is None else step(batch, seed, totals))
            accelerator.backward(parts[-1].loss / len(ranks))
        results.append(parts[0] if totals is None else mean_result(parts))
        norm = accelerator.clip_grad_norm_(state.model.parameters(), config.clip)
        if norm is not None and not torch.isfinite(norm):
            raise WorkbenchError(
                f"The gradient of step {state.step} is not finite.",
                "A loss or a weight has become too large, so the step was not taken.",
                "The run directory holds the model as last saved; train again with a lower learning rate.",
            )
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return results[0]


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
    # Where no thought is made, as before the first stage, nothing asks the head that makes them: DDP must look for it.
    ddp = DistributedDataParallelKwargs(find_unused_parameters=config.recurrence.has_head)
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[ddp])
    check_sharding(config, accelerator)
    state = load_state(config, directory)
    step, state.optimizers = prepare(accelerator, state.step_module, state.optimizers)
    parameters = dict(state.model.named_parameters())
    state.average = {n: deal(value.to(state.model.device), parameters[n]) for n, value in state.average.items()}
    stop = {"asked": False}
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: stop.update(asked=True))
    writes = accelerator.is_main_process
    writer = Writer(config, directory, state, on_progress) if writes else None
    saved_at = time.monotonic()
    while state.step < config.steps:
        result = train_step(config, state, step, accelerator)
        due = time.monotonic() - saved_at > config.checkpoint_seconds
        loss, mass, asked, due = agree(
            [
                float(result.loss.detach()),
                progress(config, result, state.stage.thoughts),
                float(stop["asked"]),
                float(due),
            ],
            accelerator,
        )
        stage = state.stage
        state.step += 1
        update_average(state, config)
        state.stage = state.data.schedule.after(stage, state.step, mass)
        record = writer.measure(state, loss, result.measured) if writer else {}
        forget(config, state, stage)
        stop["asked"] |= bool(record.get("collapsed"))
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


def mean_result(parts: Sequence[Result]) -> Result:
    """Return the mean of the results of batches that are one step's; of a mass, that of the batches that have any."""
    count = torch.stack([part.mass_count for part in parts])
    mass = (torch.stack([part.mass for part in parts]) * count).sum(0) / count.sum(0).clamp(min=1)
    measured = {name: float(np.mean([part.measured[name] for part in parts])) for name in parts[0].measured}
    loss = torch.stack([part.loss.detach() for part in parts]).mean()
    return Result(loss, mass, count.sum(0), measured)


def progress(config: TrainConfig, result: Result, thoughts: int) -> float:
    """Return what a curriculum may go by: the share of rows that are right, or the frontier mass."""
    by_accuracy = config.curriculum.by == "accuracy"
    return result.measured["rows_right"] if by_accuracy else mean_mass(result, thoughts)


def mean_mass(result: Result, thoughts: int) -> float:
    """Return the mean frontier mass over the first thoughts, those for which the batch has a frontier."""
    measured = result.mass[:thoughts][result.mass_count[:thoughts] > 0]
    return float(measured.mean()) if len(measured) else 0.0


def agree(values: list[float], accelerator: Accelerator) -> list[float]:
    """Return the mean over processes, so that all of them take the same decisions."""
    return accelerator.reduce(torch.tensor(values, device=accelerator.device), "mean").tolist()  # type: ignore[union-attr]


class Writer:
    """What process 0 writes and shows beside the training itself."""

    def __init__(
        self,
        config: TrainConfig,
        directory: Path,
        state: State,
        on_progress: Callable[[dict], None] | None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config, self.directory, self.first = config, directory, state.step
        self.on_progress = on_progress or (lambda record: None)
        self.monitor = ValidationMonitor(state)
        self.began = self.shown = time.monotonic()
        self.path = directory / "metrics.jsonl"
        trim(self.path, state.step)
        # Where only sampled walks are learned, in words, no answer is ever asked for.
        plan, walks = config.curriculum, config.task == "edges" and method_of(config).said == "all"
        self.answers = not walks or min(plan.walk_share, plan.walk_share_late) < 1
        self.answers &= config.objective == "supervised"

    def measure(self, state: State, loss: float, batch: dict[str, float]) -> dict:
        """Return what there is to report after a step, with an evaluation, which is kept, when it is time for one.

        Args:
            state: After the step.
            loss: Of the step.
            batch: What else was measured of its batch.
        """
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
            **batch,
            "learning_rate": config.learning_rate * learning_rate(config, state.step - 1, state.fresh),
        }
        if is_sharded(state.step_module):
            # This process holds a part of the model, and the others have gone on: it cannot ask it anything alone.
            more, said = {"unmeasured": "sharded weights answer nothing while they train"}, []
        else:
            more, said = self.monitor.measure(state)
        measured |= more
        collapsed = self._judge(state, float(more["reward"])) if "reward" in more else ""
        with self.path.open("a") as file:
            file.write(json.dumps(measured) + "\n")
        judged = self.answers and state.step > config.evaluate_every
        stuck = plateau(measured, guessing(self.monitor.problems), len(self.monitor.problems)) if judged else ""
        return record | measured | {"samples": said, "plateau": stuck, "collapsed": collapsed}

    def _judge(self, state: State, reward: float) -> str:
        """Keep the model where its reward is the best so far; return a sentence where it has collapsed."""
        earlier = [record["reward"] for record in read_metrics(self.directory)] if self.path.exists() else []
        if reward >= max(earlier, default=0.0):
            export(state, self.directory / "best")
        elif reward < self.config.reward.collapse * max(earlier):
            return f"The reward fell from {max(earlier):.3f} to {reward:.3f}: stopped. best/ holds the better model."
        return ""

    def report(self, record: dict) -> None:
        """Show a record: every evaluation, and every few seconds how far the run is."""
        now = time.monotonic()
        if "loss" in record or now - self.shown > 2:
            self.shown = now
            self.on_progress(record)
