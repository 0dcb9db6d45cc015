"""What a surgery changed downstream: two traces of one problem, thought by thought."""

import numpy as np
import polars as pl
from jaxtyping import Float

from workbench.errors import WorkbenchError
from workbench.interventions.cone import Cone
from workbench.trace_arrays import Trace

THOUGHT, STEP, ANSWER = "thought", "next step", "answer"
WHAT: dict[str, str] = {
    THOUGHT: "thought k, read by the LM head",
    STEP: "the next step said after k thoughts",
    ANSWER: "the answer said after k thoughts",
}
"""What is compared, by name."""


def downstream(before: Trace, after: Trace, around: Cone) -> pl.DataFrame:
    """Return what can have changed, what did, and how much.

    Args:
        before: The run without the surgery.
        after: The run under it, with as many thoughts.
        around: The cone of the surgery.

    Returns:
        One row per (what, k), k from 1 for thoughts and from 0 for the others: operated (an intervention acts at
        thought k), can_change, same (every number, of thoughts the whole vector, has the same bits), moved (total
        variation distance of the two distributions over the problem's nodes and all else: the share of the probability
        that went elsewhere, 0 to 1), step (of thoughts: length of the difference, in lengths of the thought before).

    Raises:
        WorkbenchError: The traces are of other problems, or of other numbers of thoughts.
    """
    if before.problem != after.problem or before.thoughts.shape != after.thoughts.shape:
        raise WorkbenchError(
            "These two runs cannot be compared thought by thought.",
            f"One is of problem {before.problem.id} with {len(before.thoughts)} thoughts, the other of "
            f"{after.problem.id} with {len(after.thoughts)}.",
            "Compare runs of one problem with the same number of thoughts.",
        )
    operated = np.append(False, around.operated)
    rows = []
    for what, one, two, can, first in (
        (THOUGHT, before.lm_head, after.lm_head, around.thoughts, 1),
        (STEP, before.forced_language, after.forced_language, around.said, 0),
        (ANSWER, before.answers, after.answers, around.said, 0),
    ):
        moved = total_variation(one, two)
        for row, k in enumerate(range(first, first + len(one))):
            pair = (before.thoughts[row], after.thoughts[row]) if what == THOUGHT else (one[row], two[row])
            rows.append(
                {
                    "what": what,
                    "k": k,
                    "operated": bool(operated[k]),
                    "can_change": bool(can[row]),
                    "same": bool(np.array_equal(*pair)),
                    "moved": float(moved[row]),
                    "step": float(np.linalg.norm(pair[1] - pair[0]) / np.linalg.norm(pair[0]))
                    if what == THOUGHT
                    else None,
                }
            )
    return pl.DataFrame(rows, schema_overrides={"step": pl.Float64})


def total_variation(
    one: Float[np.ndarray, "rows nodes"], two: Float[np.ndarray, "rows nodes"]
) -> Float[np.ndarray, " rows"]:
    """Return the total variation distance of raw values, what no node has counted as one more."""
    first, second = one.astype(np.float64), two.astype(np.float64)
    rest = second.sum(1) - first.sum(1)
    return (np.abs(second - first).sum(1) + np.abs(rest)) / 2
