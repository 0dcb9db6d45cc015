"""The rows of an audit: one figure each, beside its control and its chance level, with interval and paired test."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from workbench.measure.statistics import bootstrap_mean, holm, mcnemar

AUDIT_SCHEMA = 1
"""Version of the columns of `SCHEMA`; raised when one changes its name, type or meaning."""

SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "battery": pl.String,
    "question": pl.String,
    "condition": pl.String,
    "measure": pl.String,
    "thought": pl.Int16,
    "dose": pl.Float64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int32,
    "chance": pl.Float64,
    "control": pl.String,
    "control_value": pl.Float64,
    "p": pl.Float64,
    "p_corrected": pl.Float64,
    "note": pl.String,
}
"""Columns of an audit's table.

battery, question, condition: which figure. measure: what `value` is, of `MEASURES`. thought: the only thought that is
changed, null for all of them or none. dose: of the intervention, null where it has none. value, low, high, n: mean over
problems with its 95 % interval. chance: value of a reader without knowledge, null where that is no number. control,
control_value: what stands beside it on the same problems. p: exact McNemar test of the two, null where there is no
control of the same problems; p_corrected: after Holm's correction over the battery. note: why there is no value, or
what to keep in mind.
"""

MEASURES: dict[str, str] = {
    "right": "share of problems answered exactly right",
    "valid": "share of answers that are one of the two options and nothing else",
    "changed": "share of problems whose answer becomes another",
    "kept": "share of right answers that stay right",
    "lost": "share of right answers that are right no more",
    "turned": "share of right answers that become the other option",
    "follows": "share of problems whose answer becomes the donor's",
    "agrees": "share of problems on which the answer is that of the rule",
}
"""What a value is, by name."""

UNITS: dict[str, str] = {
    "right": "accuracy",
    "valid": "valid answers",
    "changed": "answers changed",
    "kept": "right answers kept",
    "lost": "right answers lost",
    "turned": "right answers turned",
    "follows": "answers that follow",
    "agrees": "answers that agree",
}
"""The same in two words, for an axis."""

NOT_APPLICABLE = "not applicable"
NOT_MEASURED = "not measured"


@dataclass
class Rows:
    """Collects the rows of one battery."""

    battery: str
    seed: int = 0
    """Of the bootstrap."""
    _rows: list[dict[str, object]] = field(default_factory=list)

    def add(
        self,
        question: str,
        condition: str,
        measure: str,
        values: ArrayLike,
        *,
        thought: int | None = None,
        dose: float | None = None,
        chance: float | None = None,
        control: str = "",
        control_values: ArrayLike | None = None,
        note: str = "",
    ) -> None:
        """Add a figure.

        Args:
            question: What is asked, a short name.
            condition: What was done.
            measure: Of `MEASURES`.
            values: One number per problem, 0 or 1; nan leaves the problem out.
            thought: See `SCHEMA`, as all others.
            dose: As there.
            chance: As there.
            control: Name of the control.
            control_values: One number per problem, in the same order; the control counts on the problems of `values`.
            note: As there.
        """
        numbers = np.asarray(values, dtype=np.float64)
        estimate, beside, p = bootstrap_mean(numbers, seed=self.seed), None, None
        if control_values is not None:
            other = np.asarray(control_values, dtype=np.float64)
            both = ~np.isnan(numbers) & ~np.isnan(other)
            if both.any():
                beside = float(other[both].mean())
                p = mcnemar(numbers[both] > 0, other[both] > 0, seed=self.seed).p_value
        found = estimate.n > 0
        self._rows.append(
            {
                "battery": self.battery, "question": question, "condition": condition, "measure": measure,
                "thought": thought, "dose": dose, "value": estimate.value if found else None,
                "low": estimate.low if found else None, "high": estimate.high if found else None, "n": estimate.n,
                "chance": None if chance is None or np.isnan(chance) else float(chance), "control": control,
                "control_value": beside, "p": p, "note": note or ("" if found else "no problem defines it"),
            }
        )  # fmt: skip

    def say(self, question: str, condition: str, note: str) -> None:
        """Add a row without a figure that says why there is none."""
        self._rows.append({"battery": self.battery, "question": question, "condition": condition, "note": note, "n": 0})

    def frame(self) -> pl.DataFrame:
        """Return all rows, their p-values corrected for their number (Holm 1979)."""
        tested = {str(place): row["p"] for place, row in enumerate(self._rows) if row.get("p") is not None}
        corrected = holm(tested)  # type: ignore[arg-type]
        rows = [
            {name: row.get(name) for name in SCHEMA}
            | {"p_corrected": corrected.get(str(place)), "control": row.get("control", ""), "note": row.get("note", "")}
            | {"measure": row.get("measure", "")}
            for place, row in enumerate(self._rows)
        ]
        return pl.DataFrame(rows, schema=dict(SCHEMA))


def where(values: ArrayLike, counts: ArrayLike) -> np.ndarray:
    """Return values as numbers, nan where a problem does not count."""
    return np.where(np.asarray(counts, dtype=bool), np.asarray(values, dtype=np.float64), np.nan)
