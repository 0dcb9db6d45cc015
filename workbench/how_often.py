"""A surgery on many problems: how often the right answer stays, beside a control of the same dose on each of them."""

from collections.abc import Callable, Sequence

import polars as pl

from workbench.checkpoint import Checkpoint
from workbench.errors import WorkbenchError
from workbench.interventions.dosing import BEFORE, CONTROL, OPERATED, answered
from workbench.interventions.matching import Control
from workbench.interventions.surgery import Surgery
from workbench.interventions.theatre import Donors
from workbench.problem import Problem
from workbench.statistics import Estimate, PairedComparison, bootstrap_mean, mcnemar


def on_each(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    surgery: Surgery,
    thoughts: int,
    control: Control | None = None,
    *,
    donors_of: Callable[[Problem], Donors | None] = lambda problem: None,
    on_progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Answer each problem without a surgery, under it, and under one draw of its control.

    Args:
        checkpoint: What is operated on.
        problems: The problems, one after the other: each has its own control.
        surgery: The surgery; its nodes are named by sets, since a name stands for another node in each problem.
        thoughts: Number of thoughts, K.
        control: Which kind of control; none for none.
        donors_of: The donors of a problem.
        on_progress: Told how many problems are done.

    Returns:
        A row per problem: problem, done (whether it could be operated on), right (without the surgery), kept (right
        under it), other (the other option under it), control_kept (right under the control, null where there is none).

    Raises:
        WorkbenchError: The surgery can be done on none of the problems; that of the last one.
    """
    rows, last = [], None
    for number, problem in enumerate(problems):
        row: dict[str, object] = {"problem": problem.id, "done": False}
        try:
            table = answered(
                checkpoint, problem, surgery, thoughts, control, 1, donors=donors_of(problem), seed=number
            )  # fmt: skip
        except WorkbenchError as error:
            last = error
        else:
            before, after = (table.filter(series=name).row(0, named=True) for name in (BEFORE, OPERATED))
            beside = table.filter(series=CONTROL)["right"].to_list()
            row |= {
                "done": True, "right": before["right"], "kept": after["right"],
                "other": after["valid"] and not after["right"], "control_kept": beside[0] if beside else None,
            }  # fmt: skip
        rows.append(row)
        if on_progress:
            on_progress(number + 1)
    if last and not any(row["done"] for row in rows):
        raise last
    flags = ("done", "right", "kept", "other", "control_kept")
    return pl.DataFrame(rows, schema={"problem": pl.String} | dict.fromkeys(flags, pl.Boolean))


def shares(table: pl.DataFrame, seed: int = 0) -> tuple[dict[str, Estimate], PairedComparison | None]:
    """Return what became of the answers that were right without the surgery.

    Args:
        table: What `on_each` returns.
        seed: Of the bootstrap over problems.

    Returns:
        "kept", "other" and, where there was one, "control_kept", each with its interval and n; and the paired test of
        kept against control_kept on the problems that have both.
    """
    counted = table.filter(pl.col("right"))
    beside = counted.drop_nulls("control_kept")
    found = {name: bootstrap_mean(counted[name].cast(float).to_list(), seed=seed) for name in ("kept", "other")}
    if beside.is_empty():
        return found, None
    found["control_kept"] = bootstrap_mean(beside["control_kept"].cast(float).to_list(), seed=seed)
    return found, mcnemar(beside["kept"].to_list(), beside["control_kept"].to_list(), seed=seed)
