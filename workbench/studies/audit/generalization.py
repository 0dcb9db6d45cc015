"""Battery 6. How far does it reach? More thoughts and fewer, targets farther away, larger and sparser graphs."""

from collections.abc import Sequence

import numpy as np

from workbench.errors import WorkbenchError
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.sets import FAR_HOPS, MOST_HOPS, generate
from workbench.studies.audit.base import Rows, Subject, where
from workbench.studies.stopping import LONGER, think_through

SETS: dict[str, tuple[str, dict[int, float] | None, int | None]] = {
    "graphs of 36 slots": ("released", None, 36),
    "graphs of 44 slots": ("released", None, 44),
    "graphs of 18 slots, 3 and 4 hops": ("released", {3: 1.0, 4: 1.0}, 18),
    "sparser graphs": ("algorithm1", None, None),
}
"""Generated problems of other sizes and densities: family, weights of hops, node slots (28 as a rule)."""


def generalization(subject: Subject, rows: Rows) -> None:
    """Add accuracy after other numbers of thoughts, and on other problems than those trained on.

    A model that speaks in words answers at the end of its chain.
    """
    problems, options, trained = subject.graphs, subject.options, subject.thoughts
    try:
        right = _after(subject, problems, LONGER * trained)
    except WorkbenchError as error:
        right = _after(subject, problems, trained)
        rows.not_measured("more thoughts", error.why, "these problems")
    for k in range(right.shape[1]):
        rows.add(
            "after k thoughts", "these problems", "right", right[:, k], thought=k,
            control=f"the trained {trained}", control_values=right[:, trained],
        )  # fmt: skip
    if right.shape[1] > trained + 1:
        rows.add(
            "more thoughts", "twice as many as trained", "right", right[:, -1],
            control=f"the trained {trained}", control_values=right[:, trained],
        )  # fmt: skip
    _far(subject, rows)
    for name, (family, hops, nodes) in SETS.items():
        try:
            other = generate(family, options.further, options.seed + 7, hops, nodes)
            found = _after(subject, other, trained)[:, trained]
        except WorkbenchError as error:
            rows.not_measured("other graphs", error.why, name)
            continue
        rows.add("other graphs", name, "right", found, note=f"{trained} thoughts, as trained", problems=other)


def _far(subject: Subject, rows: Rows) -> None:
    """Ask about targets 7 to 12 hops away, with the trained thoughts and with as many as there are hops."""
    options, trained = subject.options, subject.thoughts
    count = subject.checkpoint.thoughts_per_step * MOST_HOPS if trained else 0
    try:
        problems = generate("balanced", options.further, options.seed + 7, FAR_HOPS)
        right = _after(subject, problems, max(count, trained))
    except WorkbenchError as error:
        rows.not_measured("farther targets", error.why, "7 to 12 hops")
        return
    hops = np.array([structure(problem).length for problem in problems])
    enough = right[np.arange(len(problems)), hops * subject.checkpoint.thoughts_per_step] if trained else right[:, 0]
    control = f"the trained {trained} thoughts"
    for condition, counts in (
        ("7 to 12 hops", hops > 0), *((f"{hop} hops", hops == hop) for hop in sorted(set(hops.tolist()))),
    ):  # fmt: skip
        rows.add(
            "farther targets", condition, "right", where(enough, counts),
            control=control if trained else "", control_values=right[:, trained] if trained else None,
            note="as many thoughts as hops" if trained else "", problems=problems,
        )  # fmt: skip


def _after(subject: Subject, problems: Sequence[Problem], thoughts: int) -> np.ndarray:
    """Return whether the answer after 0..K thoughts is right, problem by problem."""
    return think_through(
        subject.checkpoint, problems, thoughts, subject.options.batch_size, on_progress=subject.advance
    ).right
