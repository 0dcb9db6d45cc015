"""Battery 4. Would shortcuts do as well? Readers who do not know which entity is asked about; and what order does."""

import numpy as np
import polars as pl

from workbench.errors import WorkbenchError
from workbench.measure.splits import alike
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import RULES, blind_score
from workbench.studies.audit.donors import options_exchanged, reordered
from workbench.studies.audit.guesses import fit_guesser
from workbench.studies.audit.rows import NOT_MEASURED, Rows, where
from workbench.studies.audit.subject import Advance, Options, Subject, quiet

BATTERY = "shortcuts"
COIN = 0.5
FITTED = "fitted query-blind classifier"


def shortcuts(
    checkpoint: Checkpoint, problems: list[Problem], options: Options, advance: Advance = quiet
) -> pl.DataFrame:
    """Return accuracy beside query-blind readers, where they fail, and under changes that should not matter.

    Args:
        checkpoint: What is audited.
        problems: What it is asked.
        options: See there.
        advance: Called with the number of answers given.
    """
    subject, rows = Subject(checkpoint, problems, options, advance), Rows(BATTERY, options.seed)
    own = subject.answered(problems)
    readers = {name: np.array([blind_score(one, rule) for one in problems]) for name, rule in RULES.items()}
    try:
        readers[FITTED] = fit_guesser(alike(problems, options.fit, options.seed + 1)).right(problems).astype(float)
    except WorkbenchError as error:
        rows.say("accuracy", FITTED, f"{NOT_MEASURED}: {error.why}")
    best = max(readers, key=lambda name: (readers[name] == 1).mean())  # a tie is no answer
    rows.add(
        "accuracy", "the model", "right", own.right,
        chance=COIN, control=f"best reader: {best}", control_values=readers[best] == 1,
    )  # fmt: skip
    for name, score in readers.items():
        rows.add("accuracy", name, "right", score, chance=COIN)
    for name, score in readers.items():
        rows.add("where it fails", name, "right", where(own.right, score < 1), chance=COIN)
        rows.add("where it is wrong", name, "agrees", where(own.wrong_option, score == 0), chance=COIN)
    _orders(subject, rows, own.right)
    _mentions(problems, rows, own.right)
    return rows.frame()


def _orders(subject: Subject, rows: Rows, right: np.ndarray) -> None:
    """Ask again with the options, then the sentences, in another order."""
    problems, seed = subject.problems, subject.options.seed
    exchanged = subject.answered([options_exchanged(problem) for problem in problems]).right
    first = np.array([problem.options[0] == problem.target for problem in problems])
    rows.add(
        "order", "target listed first", "right", np.where(first, right, exchanged),
        chance=COIN, control="the same problems, target listed second",
        control_values=np.where(first, exchanged, right),
    )  # fmt: skip
    mixed = subject.answered([reordered(problem, seed) for problem in problems]).right
    rows.add(
        "order", "sentences in another order", "right", mixed,
        chance=COIN, control="as they were", control_values=right,
    )  # fmt: skip


def _mentions(problems: list[Problem], rows: Rows, right: np.ndarray) -> None:
    """Split by how often, and how late, the target is mentioned; other problems, so no paired test."""
    parents = np.array([[one.adjacency[:, node].sum() for node in (one.target, one.negative)] for one in problems])
    late = np.array([_last_mention(one, one.target) - _last_mention(one, one.negative) for one in problems])
    for condition, counts in (
        ("target has fewer parents", parents[:, 0] < parents[:, 1]),
        ("target has more parents", parents[:, 0] > parents[:, 1]),
        ("target is mentioned later", late > 0),
        ("target is mentioned earlier", late < 0),
    ):
        rows.add("mentions", condition, "right", where(right, counts), chance=COIN)


def _last_mention(problem: Problem, node: int) -> int:
    return max((place for place, edge in enumerate(problem.edges) if node in edge), default=-1)
