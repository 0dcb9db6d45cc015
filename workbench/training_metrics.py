"""What is measured while a model trains: on one fixed batch, as hard as the released problems."""

import json
from pathlib import Path

import numpy as np
import torch

from workbench.batches import GraphBatch, question_batch
from workbench.errors import WorkbenchError
from workbench.objective import packed_loss
from workbench.packed import Weights
from workbench.problem import Problem
from workbench.trace import run
from workbench.train_config import TrainConfig
from workbench.training_state import State, as_checkpoint


def evaluation_batch(config: TrainConfig) -> GraphBatch:
    """Draw the fixed batch: the released distribution of hops, special roots, a typical number of edges."""
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
    """Measure frontier mass per thought and exact answers after all thoughts."""
    generator = torch.Generator().manual_seed(0)
    weights = Weights.of(state.model, torch.float32)
    result = packed_loss(weights, batch, config.curriculum.thoughts, generator, chain_graphs=len(batch.prefix))
    return {
        "mass": [round(m, 4) for m in result.mass.tolist()],
        "accuracy": round(float(result.answered), 4),
        "evaluation_loss": round(float(result.loss), 4),
    }


def samples(config: TrainConfig, state: State, problems: list[Problem]) -> list[str]:
    """Return what the model now says on a few problems: the best token of each thought, and its answer."""
    state.model.eval()
    said = []
    for trace in run(as_checkpoint(state, config), problems, continuations=False, top=1):
        thoughts = " ".join(best[0][0] for best in trace.top_tokens)
        question = trace.problem.question.rsplit(". ", 1)[-1]
        mark = "right" if trace.answer_right[-1] else f"wrong, {trace.problem.names[trace.problem.target]}"
        said.append(f"{question} thoughts: {thoughts} -> {trace.answer_texts[-1]} ({mark})")
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
