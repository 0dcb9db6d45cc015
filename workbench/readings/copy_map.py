"""The copy map: what the tokens of an edge attend to while the question is read.

In the construction of Reasoning by Superposition (arXiv 2505.12514, section 4) attention choosers of layer 1 copy
source and target of every edge onto its separator; only then can a thought find edges by their source in layer 2. The
paper shows one map of one problem, heads summed. Here every edge of every problem is counted, with the mean over heads.

Places, each token of the question in exactly one of them, seen from a token of an edge: itself; its own source and own
target (where they are another token that it can see); the previous edge (its three tokens); the same name elsewhere
(earlier, in no place before); the first token (`<eos>`, where attention rests that has nothing to do); anything else.

Thoughts come after the question, so that nothing done to thoughts changes it: of runs with the same weights only the
first is in the table.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int

from workbench.errors import WorkbenchError
from workbench.figures.attention import PLACES, TOKENS, copy_map_figures
from workbench.measure.recording import Recording
from workbench.measure.run_labels import MODEL, RUN
from workbench.model.checkpoint import Checkpoint
from workbench.model.lens import CoconutLens
from workbench.model.prompts import Prompt
from workbench.problems.problem import Problem
from workbench.readings.base import Reading


def place_codes(prompt: Prompt) -> Int[np.ndarray, "edges 3 columns"]:
    """Return where every column of a question in the edges format stands seen from each edge token.

    Values are indices into `PLACES`, -1 for columns that the token cannot see, because they come later.
    """
    ids, end = np.array(prompt.ids), 1 + 3 * len(prompt.graph.edges)
    column = np.arange(len(ids))
    token = np.arange(1, end)[:, None]  # one row for each edge token, source, target, separator in turn
    start = token - (token - 1) % 3
    conditions = [
        column > token, column == token, column == start, column == start + 1,
        (column >= start - 3) & (column < start) & (column > 0), column == 0,
        (ids == ids[token]) & ((token - 1) % 3 < 2),  # separators are all alike: the same sign is no name
    ]  # fmt: skip
    names = ("own source", "own target", "previous edge", "first token", "same name elsewhere")
    codes = [-1, PLACES.index("itself"), *map(PLACES.index, names)]
    return np.select(conditions, codes, PLACES.index("anything else")).reshape(-1, 3, len(ids))


@torch.inference_mode()
def copy_map(
    checkpoint: Checkpoint, problems: Sequence[Problem], *, label: str = MODEL, batch_size: int = 32
) -> pl.DataFrame:
    """Return how edge tokens attend, one row per (problem, layer, head, token of the edge, place).

    Args:
        checkpoint: In the edges format.
        problems: What to read.
        label: Of the run.
        batch_size: Problems run at a time.

    Returns:
        Columns run, problem, layer (from 0), head (from 0; null for the mean over heads), token (`TOKENS`), place
        (`PLACES`), attention (mean over the edges of the problem; the places of a token sum to 1), chance (the same
        spread evenly over all columns that the token can see). Rows whose place does not exist for a token are left
        out (a source cannot see its target).

    Raises:
        WorkbenchError: The checkpoint is not in the edges format.
    """
    if checkpoint.format.name != "edges":
        raise WorkbenchError(
            "The copy map needs the edges format.",
            f'{checkpoint.name} reads questions in the format "{checkpoint.format.name}", where an edge is a sentence '
            "without a separator of its own.",
            "Use a checkpoint in the edges format, or look at patterns with CoconutLens.",
        )
    lens, parts = CoconutLens(checkpoint), []
    layers = range(checkpoint.model.config.num_hidden_layers)
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]
    for start in range(0, len(problems), batch_size):
        batch = problems[start : start + batch_size]
        _, cache = lens.run_with_cache(lens.rows(batch, 0), names_filter=lambda name: name in names)
        patterns = torch.stack([cache[name] for name in names], 1).float().cpu().numpy()  # batch L H columns columns
        prompts = checkpoint.format.prompts(batch)
        parts += [_of(prompt, pattern) for prompt, pattern in zip(prompts, patterns, strict=True)]
    return pl.concat(parts).select(pl.lit(label).alias(RUN), pl.all())


def _of(prompt: Prompt, pattern: Float[np.ndarray, "L H columns columns"]) -> pl.DataFrame:
    pad, codes = pattern.shape[-1] - len(prompt.ids), place_codes(prompt)
    end = pad + 1 + 3 * len(codes)
    rows = pattern[:, :, pad + 1 : end, pad:].reshape(*pattern.shape[:2], *codes.shape)
    rows = np.concatenate([rows.mean(1, keepdims=True), rows], 1)
    inside = codes[None] == np.arange(len(PLACES))[:, None, None, None]  # places edges 3 columns
    by_token = np.moveaxis(rows, 3, 0).reshape(3, rows.shape[0] * rows.shape[1], -1)
    sums = by_token @ inside.transpose(2, 1, 3, 0).reshape(3, -1, len(PLACES)).astype(rows.dtype)
    attention = np.moveaxis(sums.reshape(3, *rows.shape[:2], -1), 0, 2) / len(codes)  # L heads 3 places
    visible = (codes >= 0).sum(2)
    chance = (inside.sum(3) / visible).mean(1).T  # 3 places
    layer, head, token, place = (axis.ravel() for axis in np.indices(attention.shape))
    table = pl.DataFrame(
        {
            "problem": pl.Series([prompt.problem.id] * len(layer), dtype=pl.String),
            "layer": pl.Series(layer, dtype=pl.Int16),
            "head": pl.Series(head - 1, dtype=pl.Int16).replace(-1, None),
            "token": pl.Series(np.array(TOKENS)[token], dtype=pl.Enum(TOKENS)),
            "place": pl.Series(np.array(PLACES)[place], dtype=pl.Enum(PLACES)),
            "attention": pl.Series(attention.ravel(), dtype=pl.Float32),
            "chance": pl.Series(np.broadcast_to(chance, attention.shape).ravel(), dtype=pl.Float32),
        }
    )
    return table.filter(pl.col("chance") > 0)


def frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return the copy map of each recording's checkpoint on its problems; of equal weights the first run only.

    Raises:
        WorkbenchError: A checkpoint is not in the edges format.
    """
    parts, seen = [], []
    for recording in recordings:
        if any(model is recording.checkpoint.model for model in seen):
            continue
        seen.append(recording.checkpoint.model)
        parts.append(copy_map(recording.checkpoint, recording.problems, label=recording.label))
    return pl.concat(parts)


READING = Reading(
    name="copy_map",
    title="Copy map",
    question="Do the tokens of an edge gather its source and its target before any thought is made?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 5 (the map of layer 1, heads summed)",
    chance="Attention spread evenly over all columns that a token can see.",
    schema=1,
    frame=frame,
    figures=copy_map_figures,
)
