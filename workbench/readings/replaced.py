"""Is a sum enough? One thought replaced by what its graph alone predicts, and the answers that stay right.

A sum that names the target would hand over the answer: only problems whose target lies beyond the hop of the thought
count.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch

from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Transplant
from workbench.measure.recording import Recording
from workbench.measure.statistics import bootstrap_mean
from workbench.problems.graph import hop_read, structure
from workbench.readings.codes import predictions

NOISE = "noise"
OWN = "its own thought"


def kept_when_replaced(
    recording: Recording, thoughts: Sequence[int] = (1, 2, 3), seed: int = 0, batch_size: int = 64
) -> pl.DataFrame:
    """Return the share of right answers that is kept when one thought alone is replaced by a sum of vectors.

    Each sum is learned from problems on other graphs (`readings.codes.predictions`) and brought to the length of the
    thought it replaces; later thoughts change through the recurrence. Chance is what noise of that length keeps; a
    control is the sum over the frontier of another problem.

    Args:
        recording: Of the model's own run.
        thoughts: Which thoughts are replaced, one at a time.
        seed: Of the noise and of the bootstrap.
        batch_size: Problems run at a time.

    Returns:
        One row per (thought, in_its_place): kept, low, high, n (problems that were right and whose target lies beyond
        the hop of the thought). `in_its_place` is one of `readings.codes.SUMS`, `NOISE`, or `OWN`.

    Raises:
        WorkbenchError: All problems share one graph, or the recording has no such thought.
    """
    own = recording.thoughts
    length = np.linalg.norm(own, axis=-1, keepdims=True)
    noise = np.random.default_rng(seed).standard_normal(own.shape)
    given = predictions(recording).by_sum | {NOISE: noise, OWN: own}
    donors = {
        name: torch.from_numpy((one / np.linalg.norm(one, axis=-1, keepdims=True) * length).astype(np.float32))
        for name, one in given.items()
    }
    asked = [(k, name) for k in thoughts for name in donors]
    outcomes = run_intervened(
        recording.checkpoint, recording.problems,
        [[], *([Transplant(at=(k,), donor=name)] for k, name in asked)],
        recording.count, donors=donors, batch_size=batch_size,
    )  # fmt: skip
    right, per_step = outcomes[0].right, recording.checkpoint.thoughts_per_step
    steps, rows = np.array([structure(problem).length for problem in recording.problems]), []
    for (k, name), outcome in zip(asked, outcomes[1:], strict=True):
        counts = right & (steps > hop_read(k, per_step))
        kept = bootstrap_mean(outcome.right[counts].astype(float), seed=seed)
        rows.append((k, name, kept.value, kept.low, kept.high, kept.n))
    columns = ["thought", "in_its_place", "kept", "low", "high", "n"]
    return pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
