"""What a card says in words: every sentence stands for one figure and the threshold that decides how it reads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from workbench.studies.audit.rows import NOT_APPLICABLE

Over = Literal[
    "at least",
    "at most",
    "at most, below control",
    "control at most",
    "below control by",
    "above control",
    "differs from control",
]
"""How a figure and its threshold are compared. "control at most": it is the control's value that is compared. "below
control by": the control's value less the figure's is at least the threshold. "above control": larger than the control,
with a corrected p-value below the threshold. "differs from control": that p-value alone. "at most, below control": at
most the threshold, and below the control with a corrected p-value below .05; a model that is no better than a coin to
begin with does not need what it is held to."""


@dataclass(frozen=True)
class Sentence:
    """A sentence with two readings, and what decides between them."""

    battery: str
    question: str
    condition: str
    measure: str
    """The four name the figure; thought and dose are null in its row but for what is said below."""
    over: Over
    """How figure and threshold are compared."""
    threshold: float
    holds: str
    """The sentence where the comparison holds."""
    fails: str
    """The sentence where it does not."""
    short: str
    """A few words for the figure, at the head of a column where models stand side by side."""
    thought: int | None = None
    dose: float | None = None
    aim: bool = False
    """Whether it is one of the aims for the bundled reference model."""


@dataclass(frozen=True)
class Said:
    """A sentence that has been decided."""

    sentence: Sentence
    text: str
    holds: bool | None
    """None where the figure was not measured."""
    figure: str
    """The figure with its interval, control, chance and n."""


def said(table: pl.DataFrame, sentences: Sequence[Sentence]) -> list[Said]:
    """Decide every sentence whose figure the table has; what does not apply to the model is left out.

    Args:
        table: Rows of `rows.SCHEMA`.
        sentences: What may be said.
    """
    found = []
    for sentence in sentences:
        row = _row(table, sentence)
        if row is not None and not row["note"].startswith(NOT_APPLICABLE):
            found.append(_decided(sentence, row))
    return found


def shown(row: dict) -> str:
    """Return a figure in words: "0.466 [0.422, 0.510], own thoughts 0.944, chance 0.500, n = 500"."""
    if row["value"] is None:
        return row["note"]
    parts = [f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"]
    if row["control_value"] is not None:
        parts.append(f"{row['control']} {row['control_value']:.3f}")
    if row["chance"] is not None:
        parts.append(f"chance {row['chance']:.3f}")
    return ", ".join([*parts, f"n = {row['n']}"])


def rule(sentence: Sentence) -> str:
    """Return in words what decides a sentence."""
    what = f"{sentence.question}, {sentence.condition}"
    what += "" if sentence.thought is None else f", thought {sentence.thought}"
    if sentence.over == "below control by":
        return f"{what}: {sentence.measure} below its control by {sentence.threshold:g} or more"
    if sentence.over == "control at most":
        return f"{what}: its control at most {sentence.threshold:g}"
    if sentence.over in ("above control", "differs from control"):
        return f"{what}: {sentence.over.replace('control', 'its control')}, corrected p below {sentence.threshold:g}"
    if sentence.over == "at most, below control":
        return (
            f"{what}: {sentence.measure} at most {sentence.threshold:g} and below its control, corrected p below 0.05"
        )
    return f"{what}: {sentence.measure} {sentence.over} {sentence.threshold:g}"


def _below(row: dict) -> bool:
    p, other = row["p_corrected"], row["control_value"]
    return p is not None and other is not None and p < 0.05 and row["value"] < other


def _row(table: pl.DataFrame, sentence: Sentence) -> dict | None:
    named = pl.lit(True)
    for column in ("battery", "question", "condition", "measure"):
        named &= pl.col(column) == getattr(sentence, column)
    for column in ("thought", "dose"):
        named &= pl.col(column).eq_missing(getattr(sentence, column))
    rows = table.filter(named)
    return rows.row(0, named=True) if len(rows) else None


def _decided(sentence: Sentence, row: dict) -> Said:
    value, other = row["value"], row["control_value"]
    if value is None or math.isnan(value):
        return Said(sentence, f"Not measured: {rule(sentence)}.", None, row["note"])
    unlike = row["p_corrected"] is not None and row["p_corrected"] < sentence.threshold
    holds = {
        "at least": value >= sentence.threshold,
        "at most": value <= sentence.threshold,
        "at most, below control": value <= sentence.threshold and _below(row),
        "control at most": other is not None and other <= sentence.threshold,
        "below control by": other is not None and other - value >= sentence.threshold,
        "above control": unlike and other is not None and value > other,
        "differs from control": unlike,
    }[sentence.over]
    return Said(sentence, sentence.holds if holds else sentence.fails, bool(holds), shown(row))
