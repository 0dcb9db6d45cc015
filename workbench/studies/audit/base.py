"""What every battery of an audit works with: the subject that it asks, and the rows that it fills.

A battery is a function of both: it runs the subject under plans and adds a row for each figure, with its control on
the same problems, its chance level, an interval and a paired test.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan
from workbench.interventions.run import Outcome, Sources, run_intervened
from workbench.measure.statistics import Estimate, difference, exact_p, holm, resample
from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint
from workbench.model.session import Batch, in_batches
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import floor

Result = TypeVar("Result")

ONE_GUESS, TWO_GUESSES = 0.5, 0.25
"""What guessing between the options gets right of one problem, and of a pair of problems."""
NOT_APPLICABLE, NOT_MEASURED = "not applicable", "not measured"
"""How the note of a row begins that has no figure."""


@dataclass(frozen=True)
class Measure:
    """What the value of a row is."""

    meaning: str
    unit: str
    """The same in two words, for an axis."""
    chance: float | None = ONE_GUESS
    """Value of a reader without knowledge; None where that is no number."""


MEASURES: dict[str, Measure] = {
    "right": Measure("share of problems answered exactly right", "accuracy"),
    "chosen": Measure("share of problems whose target is likelier than the other option, ties a half", "forced choice"),
    "valid": Measure("share of answers that are one of the two options and nothing else", "valid answers", None),
    "changed": Measure("share of problems whose answer becomes another", "answers changed", None),
    "kept": Measure("share of right answers that stay right", "right answers kept"),
    "lost": Measure("share of right answers that are right no more", "right answers lost"),
    "turned": Measure("share of right answers that become the other option", "right answers turned"),
    "follows": Measure("share of problems whose answer becomes that of the source", "answers that follow"),
    "agrees": Measure("share of problems on which the answer is that of the rule", "answers that agree"),
}
"""By the name in the table."""

AUDIT_SCHEMA = 3
"""Version of the columns of `SCHEMA`; raised when one changes its name, type or meaning."""
SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "battery": pl.String,
    "question": pl.String,
    "condition": pl.String,
    "measure": pl.String,
    "thought": pl.Int16,
    "strength": pl.Float64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int32,
    "graphs": pl.Int32,
    "chance": pl.Float64,
    "control": pl.String,
    "control_value": pl.Float64,
    "control_low": pl.Float64,
    "control_high": pl.Float64,
    "control_graphs": pl.Int32,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "p": pl.Float64,
    "p_corrected": pl.Float64,
    "note": pl.String,
}
"""Columns of an audit's table, described in the data dictionary (`measure.columns`, table "audit")."""


@dataclass
class Rows:
    """Collects the rows of one battery."""

    battery: str
    seed: int = 0
    """Of the bootstrap."""
    problems: Sequence[Problem | Item] = ()
    """Those that are audited; without them every value stands for a graph of its own."""
    _rows: list[dict[str, object]] = field(default_factory=list)

    def add(
        self,
        question: str,
        condition: str,
        measure: str,
        values: ArrayLike,
        *,
        thought: int | None = None,
        strength: float | None = None,
        chance: float | None = None,
        control: str = "",
        control_values: ArrayLike | None = None,
        note: str = "",
        problems: Sequence[Problem | Item] | None = None,
    ) -> None:
        """Add a figure; a forced choice does not apply where no problem has options to choose from.

        Args:
            question: What is asked, a short name.
            condition: What was done.
            measure: Of `MEASURES`.
            values: One number per problem, 0 or 1; nan leaves the problem out.
            thought: The only thought that is changed; None for all of them or none.
            strength: Strength of the intervention; None where it has none.
            chance: Value of a reader without knowledge; by default that of the measure.
            control: Name of the control.
            control_values: One number per problem, in the same order; the control counts on the problems of `values`.
            note: What to keep in mind.
            problems: What the values are about, if not the audited problems.
        """
        numbers = np.asarray(values, dtype=np.float64)
        about = self.problems if problems is None else problems
        if measure == "chosen" and about and all(isinstance(one, Item) and not one.options for one in about):
            if thought is None:
                self._say(question, condition, f"{NOT_APPLICABLE}: the problems have no options", measure, strength)
            return
        graphs = np.array([one.graph for one in about]) if about else None
        estimate, p = resample(numbers, clusters=graphs, seed=self.seed), None
        found: dict[str, object] = {**estimate.as_dict(), "graphs": estimate.independent} if estimate.n else {}
        if control_values is not None:
            other = np.asarray(control_values, dtype=np.float64)
            both = ~np.isnan(numbers) & ~np.isnan(other)
            if both.any():
                of = None if graphs is None else graphs[both]
                found |= _ends("control", resample(other[both], clusters=of, seed=self.seed), "control_value")
                less = resample(numbers[both], other[both], statistic=difference, clusters=of, seed=self.seed)
                found |= _ends("difference", less, "difference") | {"control_graphs": less.independent}
                p = exact_p(numbers[both] - other[both], of)
        self._rows.append(
            found
            | {"battery": self.battery, "question": question, "condition": condition, "measure": measure}
            | {"thought": thought, "strength": strength, "n": estimate.n, "control": control, "p": p}
            | {"chance": self._chance(measure, about) if chance is None else chance}
            | {"note": note or ("" if estimate.n else "no problem defines it")}
        )

    @staticmethod
    def _chance(measure: str, about: Sequence[Problem | Item]) -> float | None:
        """Return the chance of a measure: of guessing, or of rules that do not reason where there are no options."""
        level = MEASURES[measure].chance
        if level is None or not about or any(not isinstance(one, Item) or one.options for one in about):
            return level
        return float(floor(about)[1].mean()) if measure == "right" else None

    def not_applicable(self, question: str, why: str, condition: str = "none") -> None:
        """Add a row without a figure: the question makes no sense for this model or these problems."""
        self._say(question, condition, f"{NOT_APPLICABLE}: {why}")

    def not_measured(self, question: str, why: str, condition: str = "none", measure: str = "") -> None:
        """Add a row without a figure: the question makes sense and could not be answered.

        With the measure of a sentence, the card says so in the sentence's place.
        """
        self._say(question, condition, f"{NOT_MEASURED}: {why}", measure)

    def _say(self, question: str, condition: str, note: str, measure: str = "", strength: float | None = None) -> None:
        about = {"battery": self.battery, "question": question, "condition": condition, "measure": measure}
        self._rows.append({**about, "strength": strength, "note": note, "n": 0})

    def frame(self) -> pl.DataFrame:
        """Return all rows, their p-values corrected for their number (Holm 1979)."""
        corrected = holm({str(place): row["p"] for place, row in enumerate(self._rows) if row.get("p") is not None})  # type: ignore[misc]
        empty = dict.fromkeys(SCHEMA) | dict.fromkeys(("control", "note", "measure"), "")
        rows = [empty | row | {"p_corrected": corrected.get(str(place))} for place, row in enumerate(self._rows)]
        return pl.DataFrame(rows, schema=dict(SCHEMA))


def _ends(name: str, made: Estimate, value: str) -> dict[str, object]:
    return {value: made.value, f"{name}_low": made.low, f"{name}_high": made.high}


def where(values: ArrayLike, counts: ArrayLike) -> np.ndarray:
    """Return values as numbers, nan where a problem does not count."""
    return np.where(np.asarray(counts, dtype=bool), np.asarray(values, dtype=np.float64), np.nan)


Advance = Callable[[int], None]
"""Called with the number of answers given since the last call."""


@dataclass(frozen=True)
class AuditOptions:
    """How a checkpoint is audited."""

    seed: int = 0
    """Of noise, exchanges, drawn rewrites, generated problems and the bootstrap."""
    batch_size: int = 64
    """Problems run at a time."""
    fit: int = 600
    """Problems generated to learn codes and the query-blind classifier from; on other graphs than the audited ones."""
    further: int = 200
    """Problems generated for each kind of larger graphs."""


@dataclass(frozen=True)
class Answered:
    """Answers to n problems without interventions."""

    right: Bool[np.ndarray, " n"]
    """Whether each is exactly right."""
    wrong_option: Bool[np.ndarray, " n"]
    """Whether it is the other option and nothing else."""
    thoughts: Float[Tensor, "n K d"] | None
    """Thoughts 1..K, None where there are none."""


@dataclass(frozen=True)
class Subject:
    """A checkpoint, and the problems that it is asked."""

    checkpoint: Checkpoint
    problems: Sequence[Problem | Item]
    options: AuditOptions = field(default_factory=AuditOptions)
    advance: Advance = lambda count: None

    @property
    def thoughts(self) -> int:
        """Number of thoughts, K."""
        return self.checkpoint.thoughts

    @property
    def thinks(self) -> bool:
        """Whether what is fed between prompt and answer differs from problem to problem."""
        return self.thoughts > 0 and self.checkpoint.pause is None

    @property
    def says_steps(self) -> bool:
        """Whether it says its steps in words, and thinks no thoughts before."""
        return self.checkpoint.says == "chain" and not self.thoughts

    @property
    def graphs(self) -> list[Problem]:
        """The problems, if they have graphs; else none."""
        return [problem for problem in self.problems if isinstance(problem, Problem)]

    @property
    def why_not(self) -> str:
        """Why a model that does not think has nothing to exchange."""
        return "a pause is the same for every problem" if self.thoughts else "the model has no thoughts"

    def run(
        self,
        plans: Sequence[Plan | Sequence[Intervention]],
        problems: Sequence[Problem | Item] | None = None,
        *,
        sources: Sources | None = None,
        keep_thoughts: bool = False,
    ) -> list[Outcome]:
        """Answer problems under each of several plans (`run_intervened`).

        Raises:
            WorkbenchError: A plan lacks what it needs, or asks for what the model does not have.
        """
        asked = self.problems if problems is None else problems
        return run_intervened(
            self.checkpoint, asked, plans, sources=sources, keep_thoughts=keep_thoughts,
            batch_size=self.options.batch_size, on_progress=lambda count: self.advance(count * len(plans)),
        )  # fmt: skip

    def in_batches(self, problems: Sequence[Problem | Item], run: Callable[[Batch], Iterable[Result]]) -> list[Result]:
        """Run problems in batches, see `session.in_batches`."""
        return list(in_batches(self.checkpoint, problems, run, self.options.batch_size, self.advance))

    def answered(self, problems: Sequence[Problem | Item]) -> Answered:
        """Answer problems without interventions; without thoughts as trained: at once, or after a chain."""
        if self.thoughts:
            (own,) = self.run([[]], problems, keep_thoughts=True)
            return Answered(own.right, own.wrong_option, None if own.as_fed is None else torch.from_numpy(own.as_fed))
        found = list(answers(self.checkpoint, problems, batch_size=self.options.batch_size))
        self.advance(len(found))
        right = np.array([answer.right for answer in found], dtype=bool)
        wrong = np.array([answer.valid and not answer.right for answer in found], dtype=bool)
        return Answered(right, wrong, None)


NO_GRAPH = "the problems have no graph"
"""Why a battery about nodes and edges does not apply to items."""

Battery = Callable[[Subject, Rows], None]
"""Asks the subject and adds rows."""


def require_problems(problems: Sequence[Problem | Item]) -> None:
    """Refuse a set on which nothing can be exchanged.

    Raises:
        WorkbenchError: There are fewer than two problems.
    """
    if len(problems) < 2:
        raise WorkbenchError(
            "Nothing can be audited.",
            f"There {'is one problem' if problems else 'are no problems'}; thoughts are exchanged between problems.",
            "Give some hundred.",
        )
