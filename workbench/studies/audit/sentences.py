"""What a card says in words: each sentence stands for one figure, and a threshold decides how it reads (card.yaml)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import polars as pl

from workbench.settings import build, read_settings
from workbench.studies.audit.base import NOT_APPLICABLE
from workbench.studies.claims import Check, judge, point

Rule = Literal[
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
LEVEL = 0.05
"""Of the test in "at most, below control"."""


@dataclass(frozen=True)
class Sentence:
    """A sentence with two readings, and what decides between them."""

    battery: str
    question: str
    condition: str
    measure: str
    """The four name the figure; thought and dose are null in its row but for what is said below."""
    rule: Rule
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

    @property
    def condition_in_words(self) -> str:
        """What decides the sentence."""
        what = f"{self.question}, {self.condition}"
        what += "" if self.thought is None else f", thought {self.thought}"
        if self.rule == "below control by":
            return f"{what}: {self.measure} below its control by {self.threshold:g} or more"
        if self.rule == "control at most":
            return f"{what}: its control at most {self.threshold:g}"
        if self.rule in ("above control", "differs from control"):
            return f"{what}: {self.rule.replace('control', 'its control')}, corrected p below {self.threshold:g}"
        if self.rule == "at most, below control":
            return f"{what}: {self.measure} at most {self.threshold:g} and below its control, corrected p below {LEVEL}"
        return f"{what}: {self.measure} {self.rule} {self.threshold:g}"

    def checks(self, row: dict) -> tuple[Check, ...]:
        """Return what must hold of a row for the sentence to hold; a control or test that is missing holds nothing."""
        value, limit = row["value"], self.threshold
        other = math.nan if row["control_value"] is None else row["control_value"]
        p = math.nan if row["p_corrected"] is None else row["p_corrected"]
        at_most, below = (
            point("value", value, at_most=limit),
            point("control", other - value, at_least=0.0, strict=True),
        )
        return {
            "at least": (point("value", value, at_least=limit),),
            "at most": (at_most,),
            "at most, below control": (at_most, below, point("p", p, at_most=LEVEL, strict=True)),
            "control at most": (point("control", other, at_most=limit),),
            "below control by": (point("control less value", other - value, at_least=limit),),
            "above control": (
                point("value less control", value - other, at_least=0.0, strict=True),
                point("p", p, at_most=limit, strict=True),
            ),
            "differs from control": (point("p", p, at_most=limit, strict=True),),
        }[self.rule]


@dataclass(frozen=True)
class Drawing:
    """Which rows are drawn, and how."""

    battery: str
    question: str
    measure: str
    title: str
    subtitle: str
    by: Literal["", "thought", "dose"] = ""
    """The horizontal axis, or "" for a row for each condition."""
    only: str = ""
    """How conditions end that are drawn; all by default."""


@dataclass(frozen=True)
class CardTexts:
    """The content of card.yaml, in the order of the card."""

    sentences: tuple[Sentence, ...]
    drawings: tuple[Drawing, ...]


@cache
def card_texts() -> CardTexts:
    """Read the sentences and figures of a card."""
    return build(CardTexts, read_settings(Path(__file__).with_name("card.yaml"), "card"), "card")


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
        table: Rows of `base.SCHEMA`.
        sentences: What may be said.
    """
    found = []
    for sentence in sentences:
        row = _row(table, sentence)
        if row is None or row["note"].startswith(NOT_APPLICABLE):
            continue
        if row["value"] is None or math.isnan(row["value"]):
            found.append(Said(sentence, f"Not measured: {sentence.condition_in_words}.", None, row["note"]))
        else:
            holds = judge(sentence.checks(row)) == "holds"
            found.append(Said(sentence, sentence.holds if holds else sentence.fails, holds, in_words(row)))
    return found


def in_words(row: dict) -> str:
    """Return a figure in words: "0.466 [0.422, 0.510], own thoughts 0.944, chance 0.500, n = 500"."""
    if row["value"] is None:
        return row["note"]
    parts = [f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"]
    if row["control_value"] is not None:
        parts.append(f"{row['control']} {row['control_value']:.3f}")
    if row["chance"] is not None:
        parts.append(f"chance {row['chance']:.3f}")
    return ", ".join([*parts, f"n = {row['n']}"])


def _row(table: pl.DataFrame, sentence: Sentence) -> dict | None:
    """Return the row of a sentence's figure; thought and dose of the row are null where the sentence names none."""
    names = ("battery", "question", "condition", "measure", "thought", "dose")
    rows = table.filter(*(pl.col(name).eq_missing(getattr(sentence, name)) for name in names))
    return rows.row(0, named=True) if len(rows) else None
