"""The card of an audit: sentences that figures decide, drawings, tables; and the cards of several models side by side.

Each sentence stands for one figure, and a threshold decides how it reads. The texts are in `card.yaml`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import plotly.graph_objects as go
import polars as pl

from workbench.catalog import FORMER_METHODS
from workbench.errors import WorkbenchError
from workbench.figures.interventions import in_a_column, over_places
from workbench.files import write_whole
from workbench.measure.statistics import Estimate
from workbench.measure.verdicts import FEWEST, Check, Verdict, judge_page
from workbench.settings import build, read_settings
from workbench.studies.audit.base import MEASURES, NOT_APPLICABLE, NOT_MEASURED, ONE_GUESS, SCHEMA
from workbench.studies.audit.run import MANIFEST, TABLE, Inputs, read_inputs, read_table
from workbench.studies.pages import NONE, Column, Section, Table, drawings, link, render, strong, write_html
from workbench.train.methods import METHODS

PAGE, MARKDOWN, SIDE_BY_SIDE = "index.html", "card.md", "README.md"

TITLES: dict[str, str] = {
    "needed": "1. Needed?",
    "content": "2. Right content?",
    "search": "3. Search?",
    "shortcuts": "4. Shortcuts?",
    "where": "5. Where?",
    "further": "6. Further?",
}
"""The batteries on the card, by name."""
_ESTIMATES = (
    ("value", "low", "high", "graphs"),
    ("control_value", "control_low", "control_high", "control_graphs"),
    ("difference", "difference_low", "difference_high", "control_graphs"),
)
"""Columns of the three estimates of a row: value, ends, graphs behind it."""
_FULL = ("question", "condition", "measure", "value [95 %]", "control", "chance", "n", "p, corrected")

Rule = Literal[
    "at least",
    "at most",
    "at least, above control",
    "at most, below control",
    "control at most, below value",
    "below control by",
    "above control by",
    "equal to control within",
]
"""What of a figure is held against the threshold; its whole interval decides (`measure.verdicts`). "below control by",
"above control by": the paired difference of the two is larger than the threshold. "equal to control within": it is
smaller on either side. "at least, above control": the value at least the threshold, and more than `APART` above its
control; what the control does as well says nothing. "control at most, below value": the same with the control's value
at most the threshold. "at most, below control": the value at most the threshold, and the difference below 0; a model
that is no better than chance to begin with does not need what it is held to."""
APART = 0.1
"""By how much value and control must differ where a rule asks for a threshold and for a difference."""
NO_BETTER = "its exact answers are not shown to be better than chance"
AIMED = ("reference", "reference_asked")
"""The models that the aims are for; their cards alone say whether an aim is met."""
MARKS: dict[Verdict, str] = {"holds": "●", "does not hold": "○", "undecided": "◐"}
"""Before a sentence; a dash where nothing can be said."""


@dataclass(frozen=True)
class Sentence:
    """A sentence with two readings, and what decides between them."""

    battery: str
    question: str
    condition: str
    measure: str
    """The four name the figure; thought and strength are null in its row but for what is said below."""
    rule: Rule
    """How figure and threshold are compared."""
    threshold: float
    holds: str
    """The sentence where the comparison holds."""
    fails: str
    """The sentence where it does not."""
    short: str
    """A few words for the figure, at the head of a column where models stand side by side."""
    also: str = ""
    """Another measure of the same question and condition, of which the rule must hold too: the forced choice beside
    exact answers, since a broken format is no lost ability."""
    thought: int | None = None
    strength: float | None = None
    ability: bool = False
    """Whether it says what the model can do. All others ask how it does it: of a model that is no better than chance,
    whatever it gets right it got right by luck, and they are not judged."""
    aim: bool = False
    """Whether it is one of the aims for the bundled reference models (`AIMED`)."""

    @property
    def condition_in_words(self) -> str:
        """What decides the sentence."""
        what = f"{self.question}, {self.condition}"
        what += "" if self.thought is None else f", thought {self.thought}"
        measures = f"{self.measure} and {self.also}" if self.also else self.measure
        if self.rule == "control at most, below value":
            return f"{what}: its control at most {self.threshold:g}, and {measures} by {APART:g} above it"
        if self.rule == "at least, above control":
            return f"{what}: {measures} at least {self.threshold:g}, and by {APART:g} above its control"
        if self.rule == "at most, below control":
            return f"{what}: {measures} at most {self.threshold:g} and below its control"
        return f"{what}: {measures} {self.rule.replace('control', 'its control')} {self.threshold:g}"

    def checks(self, rows: Sequence[dict]) -> tuple[Check, ...]:
        """Return what must hold of its rows for the sentence to hold; what they lack was not measured."""
        return tuple(check for row in rows for check in self._checks(row))

    def _checks(self, row: dict) -> tuple[Check, ...]:
        value, control, less = (_estimate(row, *names) for names in _ESTIMATES)
        limit = self.threshold
        at_least, at_most = Check("value", value, at_least=limit), Check("value", value, at_most=limit)
        apart, lower = (Check("value less control", less, **bound) for bound in ({"at_least": APART}, {"at_most": 0.0}))
        return {
            "at least": (at_least,),
            "at least, above control": (at_least, apart),
            "at most": (at_most,),
            "at most, below control": (at_most, lower),
            "control at most, below value": (Check("control", control, at_most=limit), apart),
            "below control by": (Check("value less control", less, at_most=-limit),),
            "above control by": (Check("value less control", less, at_least=limit),),
            "equal to control within": (Check("value less control", less, -limit, limit),),
        }[self.rule]


def _estimate(row: dict, value: str, low: str, high: str, graphs: str) -> Estimate:
    numbers = [math.nan if row[name] is None else float(row[name]) for name in (value, low, high)]
    behind = row["graphs"] if row[graphs] is None else row[graphs]  # an audit of before does not tell them apart
    return Estimate(numbers[0], numbers[1], numbers[2], row["n"], graphs=behind)


@dataclass(frozen=True)
class Drawing:
    """Which rows are drawn, and how."""

    battery: str
    question: str
    measure: str
    title: str
    subtitle: str
    by: Literal["", "thought", "strength"] = ""
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
    """A sentence that has been judged among those of its card."""

    sentence: Sentence
    verdict: Verdict
    figure: str
    """The figure with its interval, control, chance and n."""

    @property
    def text(self) -> str:
        """The sentence as the verdict has it, or why there is none."""
        texts = {"holds": self.sentence.holds, "does not hold": self.sentence.fails}
        open_ = {"undecided": "Undecided whether this holds", "too few": "Too little data to say whether this holds"}
        return texts.get(self.verdict) or f"{open_.get(self.verdict, 'Not measured')}: {self.sentence.holds}"

    @property
    def mark(self) -> str:
        """One character for the verdict."""
        return MARKS.get(self.verdict, NONE)

    @property
    def aim(self) -> str:
        """Whether an aim is met, in words; empty where it is none."""
        known = {
            "holds": "aim met",
            "does not hold": "aim not met",
            "too few": "too little data to say whether the aim is met",
        }
        return known.get(self.verdict, f"aim {self.verdict}") if self.sentence.aim else ""


ABILITY = (
    ("shortcuts", "accuracy", "the model"),
    ("needed", "all thoughts", "own"),
    ("needed", "all thoughts", "none"),
)
"""Where the model's own accuracy stands in the table: battery, question, condition; the first that is there."""


def ability(table: pl.DataFrame) -> Check | None:
    """Return whether the model is better than guessing between the options, else than rules that do not reason.

    None where its accuracy was not measured.
    """
    for battery, question, condition in ABILITY:
        names = {"battery": battery, "question": question, "condition": condition, "measure": "right"}
        rows = table.filter(*(pl.col(name) == value for name, value in names.items()))
        if len(rows):
            row = rows.row(0, named=True)
            level = ONE_GUESS if row["chance"] is None else row["chance"]
            return Check("accuracy", _estimate(row, *_ESTIMATES[0]), at_least=level)
    return None


def said(table: pl.DataFrame, sentences: Sequence[Sentence], *, gate: bool = True) -> list[Said]:
    """Judge every sentence whose figure the table has, corrected for their number (`verdicts.judge_page`).

    What does not apply to the model is left out.

    Args:
        table: Rows of `base.SCHEMA`.
        sentences: What may be said.
        gate: Whether those that ask how the model does it are not judged where it is no better than chance.
    """
    able = ability(table)
    # Where even the accuracy rests on too few problems, so does every figure.
    unable = gate and able is not None and able.verdict in ("does not hold", "undecided")
    found = {sentence: rows for sentence in sentences if (rows := _rows(table, sentence))}
    judged = [sentence for sentence in found if sentence.ability or not unable]
    rulings = judge_page([sentence.checks(found[sentence]) for sentence in judged])
    verdicts: dict[Sentence, Verdict] = {one: ruling.verdict for one, ruling in zip(judged, rulings, strict=True)}
    return [
        Said(one, verdicts.get(one, "not measured"), figure if one in verdicts else f"{NO_BETTER}; {figure}")
        for one, rows in found.items()
        for figure in ["; ".join(_named(one, row) for row in rows)]
    ]


def _named(sentence: Sentence, row: dict) -> str:
    """Return a figure of a sentence in words, with the name of the measure where the sentence has two."""
    return f"{MEASURES[row['measure']].unit} {in_words(row)}" if sentence.also else in_words(row)


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


def _rows(table: pl.DataFrame, sentence: Sentence) -> list[dict]:
    """Return the rows of a sentence's figures, none where it does not apply.

    Thought and strength of a row are null where the sentence names none. An audit of before may lack the second
    measure, which was then not measured. Where the second does not apply, the first decides alone.
    """
    names = ("battery", "question", "condition", "thought", "strength")
    same = table.filter(*(pl.col(name).eq_missing(getattr(sentence, name)) for name in names))
    found = [same.filter(pl.col("measure") == one) for one in (sentence.measure, sentence.also) if one]
    if found[0].is_empty() or found[0]["note"][0].startswith(NOT_APPLICABLE):
        return []
    lacking: dict[str, Any] = dict.fromkeys(SCHEMA) | {"measure": sentence.also, "note": NOT_MEASURED, "n": 0}
    rows = [one.row(0, named=True) if len(one) else lacking for one in found]
    return [row for row in rows if not row["note"].startswith(NOT_APPLICABLE)]


# The page


def write_card(directory: Path, table: pl.DataFrame, command: str) -> Path:
    """Write index.html, plotly.min.js and card.md beside an audit's table, and return the page.

    Args:
        directory: Of the audit.
        table: All of its rows.
        command: As the user typed it.
    """
    sections = []
    for name in (name for name in TITLES if name in table["battery"].to_list()):
        part = table.filter(pl.col("battery") == name)
        made = [_figure(part, one) for one in card_texts().drawings if one.battery == name]
        figures = tuple(figure for figure in made if figure is not None)
        sections.append(Section(TITLES[name], (), tuple(tables_of(part)), figures))
    inputs = read_inputs(directory)
    context = {
        "inputs": inputs, "command": command, "summary": said(table, card_texts().sentences),
        "measures": {name: measure.meaning for name, measure in MEASURES.items()}, "files": (TABLE, MANIFEST),
        "fewest": FEWEST, "aims": inputs["checkpoint"] in AIMED,
    }  # fmt: skip
    write_whole(directory / MARKDOWN, render("card.md", **context, sections=sections))
    drawn = [(section, drawings(section.figures)) for section in sections]
    return write_html(directory / PAGE, "card.html", **context, sections=drawn)


def _figure(part: pl.DataFrame, wanted: Drawing) -> go.Figure | None:
    """Return a figure, None where the model has no such rows."""
    rows = part.filter(
        pl.col("question") == wanted.question, pl.col("measure") == wanted.measure, pl.col("value").is_not_null(),
        pl.col("condition").str.ends_with(wanted.only),
    )  # fmt: skip
    if wanted.by == "thought":
        rows = rows.filter(pl.col("thought").is_not_null())
    elif wanted.by == "strength":
        rows = rows.filter(pl.col("strength").is_not_null(), pl.col("thought").is_null())
    else:
        rows = rows.filter(pl.col("thought").is_null(), pl.col("strength").is_null() | (pl.col("strength") == 1))
    if rows.is_empty() or (wanted.by and rows[wanted.by].n_unique() < 2):
        return None
    unit = MEASURES[wanted.measure].unit
    if wanted.by:
        axis = _counted(wanted.question) if wanted.by == "thought" else ""
        return over_places(rows, wanted.title, wanted.subtitle, unit, wanted.by, axis)
    return in_a_column(rows, wanted.title, wanted.subtitle, unit)


# Tables


def tables_of(part: pl.DataFrame) -> list[Table]:
    """Return the tables of one battery: what is about all thoughts in full, what is about single ones by thought.

    Args:
        part: Rows of one battery.
    """
    whole = part.filter(pl.col("thought").is_null())
    columns = tuple(Column(name, "text" if name in _FULL[:3] else "ours") for name in _FULL)
    found = [Table("", columns, tuple(_cells(row) for row in whole.iter_rows(named=True)))]
    single = part.filter(pl.col("thought").is_not_null())
    for (question, measure), rows in single.group_by("question", "measure", maintain_order=True):
        found.append(_by_thought(str(question), str(measure), rows))
    return found


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _cells(row: dict) -> tuple[str, ...]:
    condition = row["condition"] if row["strength"] is None else f"{row['condition']}, strength {row['strength']:g}"
    if row["value"] is None:
        return row["question"], condition, row["measure"] or NONE, row["note"], NONE, NONE, NONE, NONE
    beside = NONE if row["control_value"] is None else f"{row['control']} {row['control_value']:.3f}"
    condition += f" ({row['note']})" if row["note"] else ""
    value = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    p = row["p_corrected"]
    tested = "< .001" if p is not None and p < 0.001 else _number(p)
    return row["question"], condition, row["measure"], value, beside, _number(row["chance"]), str(row["n"]), tested


def _counted(question: str) -> str:
    """Return what the column "thought" counts in the rows of a question: thoughts, or steps in words."""
    return "step" if question.endswith("in words") else "thought"


def _by_thought(question: str, measure: str, rows: pl.DataFrame) -> Table:
    """Lay out conditions by thought, a cell each, and the control in the line below where it is not always the same."""
    thoughts = sorted(rows["thought"].unique().to_list())
    columns = (Column("condition", "text"), *(Column(f"{_counted(question)} {k}") for k in thoughts), Column("n"))
    lines: dict[tuple[str, ...], None] = {}
    for (condition, strength), group in rows.group_by("condition", "strength", maintain_order=True):
        name = f"{condition}" if strength is None or strength == 1 else f"{condition}, strength {strength:g}"
        values = {row["thought"]: row for row in group.iter_rows(named=True)}
        counts = sorted({row["n"] for row in values.values()})
        n = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
        lines[name, *(_number(values[k]["value"]) if k in values else NONE for k in thoughts), n] = None
        controls = {k: row["control_value"] for k, row in values.items() if row["control_value"] is not None}
        if controls:
            lines[f"– control: {group['control'][0]}", *(_number(controls.get(k)) for k in thoughts), n] = None
    levels = sorted(rows["chance"].drop_nulls().unique().to_list())
    meaning = MEASURES[measure].meaning.capitalize() if measure else ""
    notes = [f"{meaning}; intervals and tests are in the Parquet table."] if measure else []
    if len(levels) == 1:
        notes.append(f"Chance: {levels[0]:.3f}.")
    return Table(question, columns, tuple(lines), (" ".join(notes),) if notes else ())


# Several models


@dataclass(frozen=True)
class Card:
    """One audit that was found."""

    name: str
    """Of its directory."""
    inputs: Inputs
    decided: dict[Sentence, Said]
    page: str
    """Address of the card, from the page where the audits stand side by side."""

    @property
    def supervision(self) -> str:
        """How the thoughts were supervised, as the audit's inputs say it."""
        return str(self.inputs.get("supervision") or "not known")

    @property
    def title(self) -> str:
        """Name, linked to the card, and the name of the method."""
        name = str(self.inputs.get("method", ""))
        method = METHODS.get(FORMER_METHODS.get(name, name))
        return link(self.name, self.page, f", {method.title}" if method else "")


def find_cards(directory: Path) -> list[Card]:
    """Return the audits in the folders of a directory, by name.

    Raises:
        WorkbenchError: There is none.
    """
    folders = sorted(path.parent for path in directory.glob(f"*/{TABLE}") if (path.parent / MANIFEST).exists())
    if not folders:
        raise WorkbenchError(
            f"There is no audit in the folders of {directory}.",
            f"None of them holds {TABLE} and {MANIFEST}.",
            f"Make some: workbench audit RUN --out {directory}/NAME",
        )
    return [read_card(folder, folder.name, f"{folder.name}/{MARKDOWN}") for folder in folders]


def read_card(directory: Path, name: str, page: str) -> Card:
    """Return an audit for a page where several stand side by side.

    Args:
        directory: Of the audit.
        name: What it is called there.
        page: Address of its card from there.

    Raises:
        WorkbenchError: There is no audit.
    """
    decided = {one.sentence: one for one in said(read_table(directory), card_texts().sentences)}
    return Card(name, read_inputs(directory), decided, page)


def write_side_by_side(directory: Path, command: str) -> Path:
    """Write README.md into a directory of audits, the figures behind their sentences side by side, and return it.

    Args:
        directory: Whose folders are audits.
        command: As the user typed it.

    Raises:
        WorkbenchError: It holds no audit.
    """
    cards = find_cards(directory)
    tables = [(title, side_by_side(cards, battery)) for battery, title in TITLES.items()]
    text = render(
        "audits.md",
        sections=[(title, table) for title, table in tables if table is not None],
        sets=sorted({(one.inputs["problems"], one.inputs["count"]) for one in cards}),
        command=command,
        commits=sorted({str(one.inputs["commit"] or "unknown") for one in cards}),
    )
    write_whole(directory / SIDE_BY_SIDE, text)
    return directory / SIDE_BY_SIDE


def side_by_side(cards: list[Card], battery: str) -> Table | None:
    """Lay out one battery: a row for each model, a column for each of its figures; None where no model has any."""
    asked = {one for card in cards for one in card.decided if one.battery == battery}
    sentences = [one for one in card_texts().sentences if one in asked]
    if not sentences:
        return None
    columns = (
        Column("model", "text"),
        Column("supervision of thoughts", "text"),
        *(Column(s.short, "text") for s in sentences),
    )
    rows = tuple(
        (card.title, card.supervision, *(_mark(card.decided.get(sentence)) for sentence in sentences)) for card in cards
    )
    notes = tuple(
        strong(one.short, f": {one.condition_in_words}{'; an aim for the reference models' if one.aim else ''}.")
        for one in sentences
    )
    return Table("", columns, rows, notes)


def _mark(one: Said | None) -> str:
    if one is None:
        return NONE
    return f"{one.mark} {one.figure}" if one.mark != NONE else f"{one.verdict}: {one.figure}"
