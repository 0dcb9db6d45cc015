"""Seconds per problem: every method in turn on the same problems in one process, beside CoT in the same round.

Wall time on a shared machine: the ratio to CoT is the number to read, since what slows one slows the other.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.problem import Item, Problem

BATCH = 64
ROUNDS = 3
REFERENCE = "cot"


@dataclass(frozen=True)
class Timing:
    """What one problem takes one method, from question to answer, prompt included."""

    method: str
    alone: float
    """Median seconds at batch 1, over problems and rounds."""
    batched: float
    """Median over rounds of seconds per problem at batch 64."""
    alone_ratio: float | None
    """To CoT: median over rounds of the ratio of medians; None where CoT is not there."""
    batched_ratio: float | None
    problems: int
    """How many were timed at batch 1; at batch 64 they are repeated to fill it."""


def time_methods(
    checkpoints: dict[str, Checkpoint], problems: Sequence[Problem | Item], rounds: int = ROUNDS
) -> list[Timing]:
    """Time methods, each once a round, after a round that does not count.

    Args:
        checkpoints: By method.
        problems: A few; the same for all.
        rounds: That count.
    """
    many = [problems[i % len(problems)] for i in range(BATCH)]
    alone: dict[str, list[np.ndarray]] = {method: [] for method in checkpoints}
    batched: dict[str, list[float]] = {method: [] for method in checkpoints}
    for number in range(rounds + 1):
        for method, checkpoint in checkpoints.items():
            one = np.array([_seconds(checkpoint, [problem]) for problem in problems])
            all_ = _seconds(checkpoint, many) / BATCH
            if number:
                alone[method].append(one)
                batched[method].append(all_)
    return [
        Timing(
            method,
            float(np.median(np.concatenate(alone[method]))),
            float(np.median(batched[method])),
            _ratio([float(np.median(one)) for one in alone[method]], alone.get(REFERENCE)),
            _ratio(batched[method], batched.get(REFERENCE)),
            len(problems),
        )
        for method in checkpoints
    ]


def timed(
    models: dict[str, Path], problems: Sequence[Problem | Item], cache: Path, key: str, rounds: int = ROUNDS
) -> list[Timing]:
    """Return timings from a file, or time the methods and write them there.

    Args:
        models: Saved models by method.
        problems: A few.
        cache: A JSON file.
        key: Digest of models and problems.
        rounds: As `time_methods`.
    """
    if cache.exists():
        stored = json.loads(cache.read_text())
        if stored["key"] == key:
            return [Timing(**one) for one in stored["timings"]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = time_methods({method: load_checkpoint(path) for method, path in models.items()}, problems, rounds)
    finally:
        torch.set_num_threads(threads)
    cache.write_text(json.dumps({"key": key, "timings": [asdict(one) for one in found]}, indent=1) + "\n")
    return found


def _seconds(checkpoint: Checkpoint, problems: Sequence[Problem | Item]) -> float:
    began = time.perf_counter()
    list(answers(checkpoint, problems, batch_size=BATCH))
    return time.perf_counter() - began


def _ratio(own: list[float], reference: Sequence[float] | Sequence[np.ndarray] | None) -> float | None:
    if not reference:
        return None
    return float(np.median([a / float(np.median(b)) for a, b in zip(own, reference, strict=True)]))
