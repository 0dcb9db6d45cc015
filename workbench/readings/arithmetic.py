"""Arithmetic: the intermediate values read from each thought (Coconut, arXiv 2412.06769, v3, figure 9; v1, figure 4).

In the paper the first thought about 3 * 3 * 60 decodes to "180" and "9". Here the value of every step is looked for in
every thought, over a whole set, beside the same value in the thoughts about another item: frequent numbers are as
likely in both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.figures.layers import step_values
from workbench.figures.style import plural
from workbench.interventions.base import Context, composed
from workbench.interventions.thoughts import exchanged
from workbench.measure.arrays import Trace
from workbench.measure.recording import control
from workbench.measure.run_labels import MODEL, RUN
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import lm_head
from workbench.model.recurrence import recurrence_of
from workbench.model.session import Batch, in_batches, thought_count
from workbench.problems.problem import Item, Problem
from workbench.readings.base import Reading

DO = 'Give two or more items with values of their steps: those of the task arithmetic, or your own with "values".'


@dataclass(frozen=True)
class ItemRecording:
    """The thoughts of one run about n items; beside `Recording`, which is about graphs."""

    label: str
    checkpoint: Checkpoint
    items: tuple[Item, ...]
    thoughts: Float[Tensor, "n K d"]
    """As the LM head reads them."""


def record_items(
    checkpoint: Checkpoint,
    items: Sequence[Item],
    thoughts: int | None = None,
    *,
    controls: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> list[ItemRecording]:
    """Run a checkpoint on items, then its controls (of `run_labels.CONTROLS`), and keep the thoughts."""
    count, found, set_thoughts = thought_count(checkpoint, thoughts), list[ItemRecording](), None
    for name in (MODEL, *controls):
        ran, interventions = (checkpoint, ()) if name == MODEL else control(checkpoint, name, seed)

        def think(batch: Batch, ran=ran, interventions=interventions, set_thoughts=set_thoughts) -> Tensor:
            session, context = batch.session(count), Context(ran, batch.prompts, batch.rows, set_thoughts)
            read = session.think(count, composed(interventions, context), ran.pause)
            # The controls put in what was fed; of a pause they take what Coconut would have fed.
            return torch.stack([read, session.vectors if recurrence_of(ran.model).apart else read], 1)

        read, fed = torch.stack(list(in_batches(ran, items, think, batch_size, on_progress))).unbind(1)
        set_thoughts = fed if set_thoughts is None else set_thoughts
        found.append(ItemRecording(name, ran, tuple(items), read))
    return found


@torch.inference_mode()
def arithmetic_frame(recordings: Sequence[ItemRecording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, item, thought, step).

    Columns: run, problem (the item's id), thought, step (from 1), steps (of the item), value (the step's, in words),
    raw (probability of the value's first token under the LM head of the thought), rank (its rank among all tokens, 1
    for the likeliest), top (whether it is the likeliest), other (the same probability in the thought of the same number
    about another item that has values, drawn by `seed`: the chance level), items (how many there are), left_out (how
    many of them have no values, and so no row).

    Raises:
        WorkbenchError: Fewer than two items have values to look for.
    """
    items, rows = recordings[0].items, []
    kept = [number for number, item in enumerate(items) if item.values]
    require_values(items)
    if len(kept) < 2:
        raise WorkbenchError(
            "There is no chance level for the values of steps.",
            f"Of {plural(len(items), 'item')} only {items[kept[0]].id} has values of its steps. The chance level is "
            "read in the thoughts about another item with values.",
            DO,
        )
    other = {row: kept[at] for row, at in zip(kept, exchanged(len(kept), seed), strict=True)}
    for one in recordings:
        shares = lm_head(one.checkpoint.model, one.thoughts).softmax(-1).cpu().numpy()
        for number in kept:
            item = items[number]
            for step, value in enumerate(item.values, 1):
                token = _first_token(one.checkpoint, value)
                raw = shares[number, :, token]
                rank = (shares[number] > raw[:, None]).sum(1) + 1
                for k, (own, place, beside) in enumerate(zip(raw, rank, shares[other[number], :, token], strict=True)):
                    about = (one.label, item.id, k + 1, step, len(item.values), value)
                    rows.append((*about, float(own), int(place), bool(place == 1), float(beside)))
    counts = {"thought": pl.Int16, "step": pl.Int16, "steps": pl.Int16, "rank": pl.Int32}
    names = [RUN, "problem", "thought", "step", "steps", "value", "raw", "rank", "top", "other"]
    table = pl.DataFrame(rows, schema=names, schema_overrides=counts, orient="row")
    of = {"items": len(items), "left_out": len(items) - len(kept)}
    return table.with_columns(pl.lit(count, pl.Int32).alias(name) for name, count in of.items())


def require_values(items: Sequence[Problem | Item]) -> None:
    """Refuse items of which none has values of its steps.

    Raises:
        WorkbenchError: None has.
    """
    if not any(isinstance(item, Item) and item.values for item in items):
        raise WorkbenchError(
            "There are no values to look for in thoughts.",
            f"The set has {plural(len(items), 'item')}, and none has values of its steps.",
            DO,
        )


@torch.inference_mode()
def values_beside_others(checkpoint: Checkpoint, trace: Trace, others: Sequence[Item]) -> pl.DataFrame:
    """Return the values of one item's steps in its thoughts, beside the same values in thoughts about other items.

    Args:
        checkpoint: What was traced.
        trace: Of an item whose steps say values.
        others: Items whose thoughts give the chance level.

    Returns:
        A row per thought and step: thought, step (from 1), value (in words), raw (probability of its first token under
        the LM head of the thought), chance (the mean of that probability in the thoughts of the same number about the
        others; null where there are none).

    Raises:
        WorkbenchError: The item's steps say no values.
    """
    item = trace.problem
    if trace.values is None or not isinstance(item, Item):
        raise WorkbenchError(
            "There are no values to look for in thoughts.", f"Item {item.id} says no value of its steps.",
            "Take an item whose steps say a value, such as those of the task arithmetic.",
        )  # fmt: skip
    count, tokens = len(trace.values), [_first_token(checkpoint, value) for value in item.values]
    chance = np.full(trace.values.shape, np.nan)
    if others:
        (read,) = record_items(checkpoint, others, count)
        chance = lm_head(checkpoint.model, read.thoughts).softmax(-1)[..., tokens].mean(0).cpu().numpy()
    rows = [
        (thought + 1, step + 1, value, float(trace.values[thought, step]), float(chance[thought, step]))
        for thought in range(count)
        for step, value in enumerate(item.values)
    ]
    names = ["thought", "step", "value", "raw", "chance"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("chance").fill_nan(None))


def _first_token(checkpoint: Checkpoint, value: str) -> int:
    """Return the token that a value begins with, after a space where the tokenizer joins spaces to words."""
    text = value if checkpoint.format.name == "words" else f" {value}"
    return int(np.ravel(checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"])[0])


ARITHMETIC = Reading(
    name="arithmetic",
    title="Values of steps",
    question="Does a thought hold the value of a step of the calculation?",
    source="Coconut, arXiv 2412.06769, v3, figure 9 (v1, figure 4)",
    chance="The same value in the thought of the same number about another item.",
    schema=2,
    frame=arithmetic_frame,
    figures=lambda table: [step_values(table)],
)
