"""Arithmetic: the intermediate values read from each thought (Coconut, arXiv 2412.06769, v3, figure 9; v1, figure 4).

In the paper the first thought about 3 * 3 * 60 decodes to "180" and "9". Here every step's value is looked for in
every thought, over a whole set, beside the same value in the thoughts about another item: numbers that are frequent
anyway are then as likely in both.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.interventions.base import Context, composed
from workbench.interventions.thoughts import exchanged
from workbench.measure.recording import control
from workbench.measure.run_labels import MODEL, RUN
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import lm_head
from workbench.model.session import Session
from workbench.problems.problem import Item

SCHEMA = 1


def arithmetic_frame(
    checkpoint: Checkpoint,
    items: Sequence[Item],
    thoughts: int | None = None,
    *,
    controls: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Return one row per (run, item, thought, step).

    Columns: run, problem (the item's id), thought, step (from 1), steps (of the item), value (the step's, in words),
    raw (probability of the value's first token under the LM head of the thought), rank (its rank among all tokens, 1
    for the likeliest), top (whether it is the likeliest), other (the same probability in the thought of the same number
    about another item: the chance level).

    Args:
        checkpoint: What to run.
        items: With `values`, one for each step.
        thoughts: Number of thoughts; by default as many as the model was trained with.
        controls: Of `series.CONTROLS`.
        seed: Of the controls, and of which other item.
        batch_size: Items run at a time.
        on_progress: Called with the number of items done since the last call.

    Raises:
        WorkbenchError: There are fewer than two items, or one has no values to look for.
    """
    blank = [item.id for item in items if not item.values]
    if len(items) < 2 or blank:
        raise WorkbenchError(
            "There are no values to look for in thoughts.",
            f"Item {blank[0]} says no value of its steps." if blank else "A reading beside other items needs two.",
            "Give two or more items whose steps say a value, such as those of the task arithmetic.",
        )
    count = checkpoint.thoughts if thoughts is None else thoughts
    told = on_progress or (lambda _: None)
    own = _thoughts(checkpoint, items, count, (), None, batch_size, told)
    parts = [_rows(MODEL, checkpoint, items, own, seed)]
    for name in controls:
        ran, interventions = control(checkpoint, name, seed)
        fed = _thoughts(ran, items, count, interventions, own, batch_size, told)
        parts.append(_rows(name, ran, items, fed, seed))
    return pl.concat(parts)


@torch.inference_mode()
def _thoughts(
    checkpoint: Checkpoint,
    items: Sequence[Item],
    count: int,
    interventions: Sequence,
    bank: Tensor | None,
    batch_size: int,
    told: Callable[[int], None],
) -> Float[Tensor, "n K d"]:
    form, found = checkpoint.format, []
    prompts = form.prompts(items)
    for start in range(0, len(items), batch_size):
        batch = prompts[start : start + batch_size]
        session = Session(checkpoint.model, [prompt.ids for prompt in batch], pad=form.pad, more=count)
        context = Context(checkpoint, tuple(batch), tuple(range(start, start + len(batch))), bank)
        found.append(session.think(count, composed(interventions, context), checkpoint.pause))
        told(len(batch))
    return torch.cat(found)


@torch.inference_mode()
def _rows(
    label: str, checkpoint: Checkpoint, items: Sequence[Item], thoughts: Float[Tensor, "n K d"], seed: int
) -> pl.DataFrame:
    shares = lm_head(checkpoint.model, thoughts).softmax(-1).cpu().numpy()
    donors, rows = exchanged(len(items), seed), []
    for number, item in enumerate(items):
        for step, value in enumerate(item.values, 1):
            token = _first_token(checkpoint, value)
            for k in range(1, thoughts.shape[1] + 1):
                share = shares[number, k - 1]
                rank = int((share > share[token]).sum()) + 1
                rows.append(
                    {
                        RUN: label,
                        "problem": item.id,
                        "thought": k,
                        "step": step,
                        "steps": len(item.values),
                        "value": value,
                        "raw": float(share[token]),
                        "rank": rank,
                        "top": rank == 1,
                        "other": float(shares[donors[number], k - 1, token]),
                    }
                )
    types = {"thought": pl.Int16, "step": pl.Int16, "steps": pl.Int16, "rank": pl.Int32}
    return pl.DataFrame(rows, schema_overrides=types)


def _first_token(checkpoint: Checkpoint, value: str) -> int:
    """Return the token that a value begins with, after a space where the tokenizer joins spaces to words."""
    text = value if checkpoint.format.name == "words" else f" {value}"
    ids = np.ravel(checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"])
    return int(ids[0])
