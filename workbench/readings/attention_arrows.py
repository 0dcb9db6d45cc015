"""Attention of one thought to the edges of one problem, to be drawn on its graph (arXiv 2505.12514, section 5)."""

from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.figures.graph import EdgeAttention
from workbench.measure.recording import Recording


def attention_arrows(
    recording: Recording, thoughts: int, layer: int, head: int | None = None, *, problem: int = 0
) -> EdgeAttention:
    """Return what the slot where thought k was fed attends to; its last hidden state becomes thought k + 1.

    Args:
        recording: What a run left.
        thoughts: Number of thoughts, k: 0 is the end of the prompt, K the last thought.
        layer: Counted from 0, as TransformerLens does.
        head: Counted from 0; None sums over all heads of the layer.
        problem: Place of the problem in the recording.

    Raises:
        WorkbenchError: There is no such number of thoughts, layer or head.
    """
    _, columns, layers, heads, _ = recording.attention.shape
    for what, asked, low, high in (
        ("number of thoughts", thoughts, 0, columns - 2),
        ("layer", layer, 0, layers - 1),
        ("head", head or 0, 0, heads - 1),
    ):
        if not low <= asked <= high:
            raise WorkbenchError(
                f"There is no {what} {asked} here.", f"This recording has {low} to {high}.", "Choose one of these."
            )
    place = (problem, thoughts, layer)
    chosen = slice(None) if head is None else slice(head, head + 1)

    def summed(array: np.ndarray) -> Any:
        return array[place][chosen].sum(0)

    weights = summed(recording.attention)[: len(recording.problems[problem].edges)].astype(np.float64)
    total = heads if head is None else 1
    elsewhere = {
        "the two options": float(summed(recording.attention_options).sum()),
        "the root in the question": float(summed(recording.attention_root)),
        "thoughts": float(summed(recording.attention_thoughts).sum()),
    }
    fed = "thought" if recording.checkpoint.fed != "pause" else "pause"
    return EdgeAttention(
        f"{fed} {thoughts}" if thoughts else "the end of the prompt",
        layer,
        head,
        total,
        weights,
        elsewhere | {"the rest": total - float(weights.sum()) - sum(elsewhere.values())},
    )
