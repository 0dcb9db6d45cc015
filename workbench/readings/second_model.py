"""What a second model says of the thoughts that it was trained to read (SIM-CoT), beside the LM head and a control."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch

from workbench.interventions.run import think_about
from workbench.measure.arrays import Trace
from workbench.measure.chains import judged
from workbench.model.checkpoint import Checkpoint
from workbench.model.reader import Reader, say_steps
from workbench.problems.problem import Item

TRAINED = "trained to read the thoughts"
"""What the readout is called wherever it is shown: it does not show what thoughts would hold without that training."""


def steps_read(checkpoint: Checkpoint, reader: Reader, trace: Trace, others: Sequence[Item] = ()) -> pl.DataFrame:
    """Return what the second model says of each step's thoughts about one item.

    Args:
        checkpoint: What was traced.
        reader: `model.reader.load_reader`.
        trace: Of an item.
        others: Problems of the same task, whose thoughts are read as the control.

    Returns:
        A row per step: step, thoughts (their numbers), lm_head (the likeliest token of each), says, solution, right
        (by value, else by words; null after the item's last step), chance (share of the others' thoughts of the same
        numbers from which it says a step that would be right here; null where there are none), why.
    """
    item, per_step, form = trace.problem, checkpoint.thoughts_per_step, checkpoint.format
    (own,) = say_steps(reader, checkpoint, torch.from_numpy(trace.as_fed)[None])
    count = len(trace.thoughts)
    strange = say_steps(reader, checkpoint, think_about(checkpoint, others, count)) if others and count else []
    rows = []
    for place, text in enumerate(own):
        first, solution = place * per_step, "".join(item.steps[place : place + 1])
        right, why = judged(form, text, solution) if solution else (None, "")
        alike = [judged(form, said[place], solution)[0] for said in strange] if solution else []
        heads = ", ".join(tokens[0][0].strip() for tokens in trace.top_tokens[first : first + per_step])
        numbers = f"{first + 1}" if per_step == 1 else f"{first + 1} to {first + per_step}"
        rows.append((place + 1, numbers, heads, text, solution, right, float(np.mean(alike)) if alike else None, why))
    kinds = (pl.Int16, pl.String, pl.String, pl.String, pl.String, pl.Boolean, pl.Float64, pl.String)
    names = ("step", "thoughts", "lm_head", "says", "solution", "right", "chance", "why")
    return pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")
