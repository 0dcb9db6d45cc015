"""Effects of an intervention plan: on the answers to many problems, and on the later thoughts of one.

`on_each` and `shares`: how often the right answer stays, beside a control of the same strength on each problem.
`downstream`: two traces of one problem compared thought by thought.
`class_differences`: two readings of many problems compared by classes of nodes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from workbench.errors import WorkbenchError
from workbench.interventions.base import Control
from workbench.interventions.controls import BEFORE, CONTROL, INTERVENED, answered
from workbench.interventions.plan import AffectedRegion, Plan
from workbench.interventions.run import Sources
from workbench.measure.arrays import Trace
from workbench.measure.scores import MASS_CLASSES, NodeScores
from workbench.measure.statistics import Estimate, PairedComparison, difference, graphs_of, mcnemar, resample
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import forced_choice


def on_each(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    plan: Plan,
    thoughts: int,
    control: Control | None = None,
    *,
    sources_of: Callable[[Problem], Sources | None] = lambda problem: None,
    on_progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Answer each problem without a plan, under it, and under one draw of its control.

    Args:
        checkpoint: What runs.
        problems: The problems, one after the other: each has its own control.
        plan: The plan; its nodes are named by sets, since a name stands for another node in each problem.
        thoughts: Number of thoughts, K.
        control: Which kind of control; none for none.
        sources_of: The sources of a problem.
        on_progress: Told how many problems are done.

    Returns:
        A row per problem: problem, graph, done (whether it could be intervened on), right (without the plan), kept
        (right under it), other (the other option under it), control_kept (right under the control, null where there is
        none), choice (forced choice under the plan: 1 where the target is likelier than the negative, 0.5 tied) and
        control_choice.

    Raises:
        WorkbenchError: The plan can be done on none of the problems; that of the last one.
    """
    rows, last = [], None
    for number, problem in enumerate(problems):
        row: dict[str, object] = {"problem": problem.id, "graph": problem.graph, "done": False}
        try:
            table = answered(checkpoint, problem, plan, thoughts, control, 1, sources=sources_of(problem), seed=number)
        except WorkbenchError as error:
            last = error
        else:
            before, after = (table.filter(series=name).row(0, named=True) for name in (BEFORE, INTERVENED))
            beside = next(table.filter(series=CONTROL).iter_rows(named=True), None)
            row |= {
                "done": True, "right": before["right"], "kept": after["right"],
                "other": after["valid"] and not after["right"], "choice": _choice(after),
                "control_kept": beside["right"] if beside else None,
                "control_choice": _choice(beside) if beside else None,
            }  # fmt: skip
        rows.append(row)
        if on_progress:
            on_progress(number + 1)
    if last and not any(row["done"] for row in rows):
        raise last
    flags = ("done", "right", "kept", "other", "control_kept")
    kinds = {pl.String: ("problem", "graph"), pl.Boolean: flags, pl.Float64: ("choice", "control_choice")}
    schema: dict[str, type[pl.DataType]] = {name: kind for kind, names in kinds.items() for name in names}
    return pl.DataFrame(rows, schema=schema)


def _choice(row: Mapping[str, Any]) -> float:
    return float(forced_choice(row["target"], row["negative"]))


def shares(table: pl.DataFrame, seed: int = 0) -> tuple[dict[str, Estimate], PairedComparison | None]:
    """Return how often the answers that were right without the plan stay right, or become the other option.

    A plan that breaks the format loses exact answers but no ability: the forced choice tells the two apart.

    Args:
        table: `on_each`.
        seed: Of the bootstrap over graphs.

    Returns:
        "kept", "other", "choice" and, where there was a control, "control_kept" and "control_choice", each with its
        interval and n; and the paired test of kept against control_kept on the problems that have both.
    """
    counted = table.filter(pl.col("right"))
    beside = counted.drop_nulls("control_kept")

    def share(table: pl.DataFrame, name: str) -> Estimate:
        return resample(table[name].cast(float), clusters=graphs_of(table), seed=seed)

    found = {name: share(counted, name) for name in ("kept", "other", "choice")}
    if beside.is_empty():
        return found, None
    found |= {name: share(beside, name) for name in ("control_kept", "control_choice")}
    return found, mcnemar(beside["kept"], beside["control_kept"], clusters=graphs_of(beside), seed=seed)


THOUGHT, STEP, ANSWER = "thought", "next step", "answer"
WHAT: dict[str, str] = {
    THOUGHT: "thought k, read by the LM head",
    STEP: "the next step said after k thoughts",
    ANSWER: "the answer said after k thoughts",
}
"""What is compared, by name."""


def downstream(before: Trace, after: Trace, around: AffectedRegion) -> pl.DataFrame:
    """Return which thoughts and answers can have changed, which did, and how much.

    Args:
        before: The run without the plan.
        after: The run under it, with as many thoughts.
        around: The affected region of the plan.

    Returns:
        One row per (what, k), k from 1 for thoughts and from 0 for the others: intervened (whether an intervention acts
        at thought k), can_change, same (every number, of thoughts the whole vector, has the same bits), moved (total
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
    intervened = np.append(False, around.intervened)
    rows = []
    for what, one, two, can, first in (
        (THOUGHT, before.lm_head, after.lm_head, around.thoughts, 1),
        (STEP, before.forced_language, after.forced_language, around.said, 0),
        (ANSWER, before.answers, after.answers, around.said, 0),
    ):
        moved = total_variation(one, two)
        for row, k in enumerate(range(first, first + len(one))):
            pair = (before.thoughts[row], after.thoughts[row]) if what == THOUGHT else (one[row], two[row])
            step = float(np.linalg.norm(pair[1] - pair[0]) / np.linalg.norm(pair[0])) if what == THOUGHT else None
            rows.append(
                {
                    "what": what, "k": k, "intervened": bool(intervened[k]), "can_change": bool(can[row]),
                    "same": bool(np.array_equal(*pair)), "moved": float(moved[row]), "step": step,
                }
            )  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"step": pl.Float64})


def total_variation(
    one: Float[np.ndarray, "rows nodes"], two: Float[np.ndarray, "rows nodes"]
) -> Float[np.ndarray, " rows"]:
    """Return the total variation distance of raw values, with the probability of all else as one more outcome."""
    first, second = one.astype(np.float64), two.astype(np.float64)
    rest = second.sum(1) - first.sum(1)
    return (np.abs(second - first).sum(1) + np.abs(rest)) / 2


def class_differences(pairs: Sequence[tuple[NodeScores, int, NodeScores, int]]) -> pl.DataFrame:
    """Compare two readings of many problems: the mass on each class of nodes, and what one has more than the other.

    Args:
        pairs: For each problem one reading and its number of thoughts, and the other with its own. Both are read on
            the nodes at the first one's hop; where they ask about different roots, each at its own.

    Returns:
        One row per class: mean raw mass (probability) of both, the first less the second with its 95 % interval over
        graphs (paired by problem), the number of problems, and chance for the first (evenly over the concepts).
    """
    rows = []
    for one, depth, other, own in pairs:
        row, there = one.row(depth), other.row(own)
        masses = {name: float(mass[row]) for name, mass in one.mass_by_class.items()}
        beside = {name: float(mass[there]) for name, mass in other.mass_by_class.items()}
        if one.problem.root == other.problem.root:
            for code, name in enumerate(MASS_CLASSES[:-1]):
                beside[name] = float(other.raw[there, one.node_class[row] == code].sum())
        rows += [
            (one.problem.id, one.problem.graph, name, masses[name], beside[name], float(one.chance_by_class[name][row]))
            for name in MASS_CLASSES
        ]
    table = pl.DataFrame(rows, ["problem", "graph", "class", "first", "second", "chance"], orient="row")
    found = []
    for name in MASS_CLASSES:
        part = table.filter(pl.col("class") == name)
        made = resample(part["first"], part["second"], statistic=difference, clusters=graphs_of(part))
        means = [part[column].mean() for column in ("first", "second", "chance")]
        found.append((name, *means[:2], made.value, made.low, made.high, made.n, means[2]))
    return pl.DataFrame(
        found, ["class", "first", "second", "difference", "low", "high", "problems", "chance"], orient="row"
    )
