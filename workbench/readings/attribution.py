"""Which head does it: direct logit attribution of thoughts and answer, and attention to the frontier's edges.

Thought k is made at column k - 1 of a recording, from edges that leave hop k - 1 (with several thoughts to a step, the
hop before the one that the thought stands for): there the question is which part of the residual stream lifts the nodes
at hop k over the problem's other concepts. At the answer's column it is which part
lifts the target over the negative. Direct attribution says what a part writes itself, not what others make of it.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from workbench.figures.attention import attribution_figures
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure
from workbench.readings.base import Reading
from workbench.readings.direct_attribution import Attribution, attribute


def frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought or answer, part).

    Columns: run, problem, steps, thought (the one that is made; null where the answer is named), part ("L1H3", "L1
    MLP", "fed" for what stands in the column: the thought before, or the prompt's last token), layer, head (null where
    the part has none), attribution (logits; the parts of a place sum to the whole logit difference),
    attribution_control (the same parts read for a random set of as many concepts, or a random other pair of leaves),
    attention (share of a head's attention to edges that is on those which leave hop k - 1), attention_raw (all its
    attention to those), attention_chance (their share among the edges). null where undefined: no node at hop k, no
    other pair of leaves, parts that are no heads.
    """
    return pl.concat([_of(recording, seed) for recording in recordings])


def leading_head(recording: Recording, seed: int = 0) -> tuple[int, int]:
    """Return layer and head that write most towards the frontier, averaged over thoughts and problems."""
    found = attribute(recording, seed=seed)
    mean = np.nanmean(found.thoughts, axis=(0, 1))
    heads = [(mean[i], part.layer, part.head) for i, part in enumerate(found.parts) if part.head is not None]
    _, layer, head = max(heads)
    return int(layer or 0), int(head or 0)


def _of(recording: Recording, seed: int) -> pl.DataFrame:
    found, n, count = attribute(recording, seed=seed), len(recording.problems), recording.count
    parts, places = len(found.parts), count + 1
    raw, share, chance = _attention(recording, found)
    thoughts = pl.Series([*range(1, count + 1), None], dtype=pl.Int16)
    ids, steps = [p.id for p in recording.problems], [structure(p).length for p in recording.problems]
    made = pl.DataFrame(
        {
            RUN: pl.Series([recording.label] * (n * places * parts), dtype=pl.String),
            "problem": pl.Series(np.repeat(np.array(ids, object), places * parts), dtype=pl.String),
            "steps": pl.Series(np.repeat(steps, places * parts), dtype=pl.Int16),
            "thought": thoughts.gather(np.tile(np.repeat(np.arange(places), parts), n)),
            "part": pl.Series([part.name for part in found.parts] * (n * places), dtype=pl.String),
            "layer": pl.Series([part.layer for part in found.parts] * (n * places), dtype=pl.Int16),
            "head": pl.Series([part.head for part in found.parts] * (n * places), dtype=pl.Int16),
            "attribution": np.concatenate([found.thoughts, found.answer[:, None]], 1).ravel(),
            "attribution_control": np.concatenate([found.thoughts_control, found.answer_control[:, None]], 1).ravel(),
            "attention": share.ravel(),
            "attention_raw": raw.ravel(),
            "attention_chance": chance.ravel(),
        }
    )
    return made.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))


def _attention(recording: Recording, found: Attribution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return attention to the edges that leave hop k - 1, [n, K + 1, parts]: raw, as a share, and by chance."""
    n, count = len(recording.problems), recording.count
    filled = np.full((3, n, count + 1, len(found.parts)), np.nan, np.float32)
    rows, source = np.arange(n)[:, None], np.maximum(recording.edges[..., 0], 0)
    hop = np.where(recording.is_edge, recording.hops[rows, source], -2)
    for k in range(1, count + 1):
        leaves = hop == recording.traces[0].hop(k) - 1
        chance = np.where(leaves.any(1), leaves.sum(1) / recording.is_edge.sum(1), np.nan)
        for number, part in enumerate(found.parts):
            if part.head is None:
                continue
            seen = recording.attention[:, k - 1, part.layer, part.head]
            on, total = np.where(leaves, seen, 0).sum(1), np.nansum(seen, 1)
            filled[0, :, k - 1, number] = np.where(leaves.any(1), on, np.nan)
            filled[1, :, k - 1, number] = np.where(leaves.any(1), on / np.maximum(total, 1e-9), np.nan)
            filled[2, :, k - 1, number] = chance
    return filled[0], filled[1], filled[2]


READING = Reading(
    name="attribution",
    title="Which head does it",
    question="Which heads and MLPs lift the frontier in a thought, and the target over the negative in the answer?",
    source="Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; TransformerLens",
    chance="Attribution: a random set of as many concepts, a random other pair of leaves (0 in the mean). Attention: "
    "the share of edges that leave the frontier.",
    schema=1,
    frame=frame,
    figures=attribution_figures,
)
