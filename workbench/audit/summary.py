"""What a card says in words: every sentence stands for one figure and the threshold that decides how it reads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from workbench.audit.rows import NOT_APPLICABLE


@dataclass(frozen=True)
class Sentence:
    """A sentence with two readings, and what decides between them."""

    battery: str
    question: str
    condition: str
    measure: str
    """The four name the figure; thought and dose are null in its row but for what is said below."""
    over: Literal["at least", "at most", "less than control by", "differs from control"]
    """How figure and threshold are compared. "less than control by": the control's value less the figure's is at least
    the threshold. "differs from control": the corrected p-value is below the threshold."""
    threshold: float
    holds: str
    """The sentence where the comparison holds."""
    fails: str
    """The sentence where it does not."""
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


SENTENCES: tuple[Sentence, ...] = (
    Sentence(
        "needed", "all thoughts", "noise", "right", "at most", 0.6, dose=1.0, aim=True,
        holds="With noise of their length in place of its thoughts the model is near a coin: they are needed.",
        fails="With noise in place of all thoughts the model still answers: what it says does not rest on them.",
    ),
    Sentence(
        "needed", "all thoughts", "swap", "right", "at most", 0.6,
        holds="Thoughts about another problem do as badly as noise: a thought serves the problem it is about.",
        fails="Thoughts about another problem serve as well: whatever they hold, it is not about this problem.",
    ),
    Sentence(
        "needed", "all thoughts", "permute", "changed", "at least", 0.1,
        holds="Their order matters: the same thoughts in another order change answers.",
        fails="Their order hardly matters: the same thoughts in another order leave the answers.",
    ),
    Sentence(
        "needed", "all steps in words", "remove", "right", "less than control by", 0.1,
        holds="Without the steps that it says in words the model loses answers: it needs them.",
        fails="The model answers as well without the steps that it says in words.",
    ),
    Sentence(
        "content", "twin", "both of a pair", "right", "at least", 0.5,
        holds="Asked about the other entity it gives the other answer: it reads the question.",
        fails="Asked about the other entity it mostly fails one of the two: its accuracy is no sign of a search.",
    ),
    Sentence(
        "content", "interchange", "twin", "follows", "at least", 0.99, aim=True,
        holds="The answer follows the thoughts: with all thoughts of the twin it is the twin's answer.",
        fails="The answer does not always follow the thoughts: with all thoughts of the twin some answers stay.",
    ),
    Sentence(
        "content", "interchange", "same answer: reordered", "follows", "at most", 0.02, aim=True,
        holds="Thoughts of a donor with the same answer leave the answer: the surgery itself breaks nothing.",
        fails="Even thoughts of a donor with the same answer turn answers: the surgery itself breaks something.",
    ),
    Sentence(
        "content", "interchange of steps in words", "twin", "follows", "at least", 0.9,
        holds="The answer follows the steps in words: with the twin's chain it is the twin's answer.",
        fails="The answer does not always follow the steps in words: with the twin's chain some answers stay.",
    ),
    Sentence(
        "content", "rewrite in both", "single edge", "follows", "at least", 0.9,
        holds="When one edge of the graph is moved the answer moves with it.",
        fails="When one edge of the graph is moved the answer often stays: the graph is not followed edge by edge.",
    ),
    Sentence(
        "content", "thoughts against prompt", "the answer follows the thoughts", "follows", "at least", 0.5,
        holds="Where thoughts and prompt disagree about an edge, the thoughts win.",
        fails="Where thoughts and prompt disagree about an edge, the prompt wins.",
    ),
)  # fmt: skip
"""All thresholds of an audit, in the order of the card."""


def said(table: pl.DataFrame, sentences: Sequence[Sentence] = SENTENCES) -> list[Said]:
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
    if sentence.over == "less than control by":
        return f"{what}: {sentence.measure} below its control by {sentence.threshold:g} or more"
    if sentence.over == "differs from control":
        return f"{what}: corrected p below {sentence.threshold:g}"
    return f"{what}: {sentence.measure} {sentence.over} {sentence.threshold:g}"


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
    holds = {
        "at least": value >= sentence.threshold,
        "at most": value <= sentence.threshold,
        "less than control by": other is not None and other - value >= sentence.threshold,
        "differs from control": row["p_corrected"] is not None and row["p_corrected"] < sentence.threshold,
    }[sentence.over]
    return Said(sentence, sentence.holds if holds else sentence.fails, bool(holds), shown(row))
