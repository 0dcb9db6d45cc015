"""What is measured while a model trains: on one fixed batch, as hard as the released problems."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from workbench import row_start
from workbench.batches import GraphBatch, question_batch
from workbench.errors import WorkbenchError
from workbench.objective import packed_loss
from workbench.packed import Weights
from workbench.problem import Problem
from workbench.problem_sets import RELEASED_HOPS, generate
from workbench.tasks.item import Item
from workbench.trace import answers
from workbench.train_config import TrainConfig
from workbench.training_state import State, as_checkpoint


class Watch:
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
