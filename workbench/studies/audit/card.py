"""The card of an audit, one page as HTML and as Markdown, and the cards of several models side by side."""

from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError
from workbench.figures.interventions import in_a_column, over_places
from workbench.files import write_whole
from workbench.studies.audit.base import MEASURES
from workbench.studies.audit.run import MANIFEST, TABLE, Inputs, read_inputs
from workbench.studies.audit.sentences import Drawing, Said, Sentence, card_texts, said
from workbench.studies.pages import NONE, Column, Section, Table, drawings, render, write_html
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
_FULL = ("question", "condition", "measure", "value [95 %]", "control", "chance", "n", "p, corrected")


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
    context = {
        "inputs": read_inputs(directory), "command": command, "summary": said(table, card_texts().sentences),
        "measures": {name: measure.meaning for name, measure in MEASURES.items()}, "files": (TABLE, MANIFEST),
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
    elif wanted.by == "dose":
        rows = rows.filter(pl.col("dose").is_not_null(), pl.col("thought").is_null())
    else:
        rows = rows.filter(pl.col("thought").is_null(), pl.col("dose").is_null() | (pl.col("dose") == 1))
    if rows.is_empty() or (wanted.by and rows[wanted.by].n_unique() < 2):
        return None
    unit = MEASURES[wanted.measure].unit
    if wanted.by:
        return over_places(rows, wanted.title, wanted.subtitle, unit, wanted.by)
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
    condition = row["condition"] if row["dose"] is None else f"{row['condition']}, dose {row['dose']:g}"
    if row["value"] is None:
        return row["question"], condition, row["measure"] or NONE, row["note"], NONE, NONE, NONE, NONE
    beside = NONE if row["control_value"] is None else f"{row['control']} {row['control_value']:.3f}"
    condition += f" ({row['note']})" if row["note"] else ""
    value = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    p = row["p_corrected"]
    tested = "< .001" if p is not None and p < 0.001 else _number(p)
    return row["question"], condition, row["measure"], value, beside, _number(row["chance"]), str(row["n"]), tested


def _by_thought(question: str, measure: str, rows: pl.DataFrame) -> Table:
    """Lay out conditions by thought, a cell each, and the control in the line below where it is not always the same."""
    thoughts = sorted(rows["thought"].unique().to_list())
    columns = (Column("condition", "text"), *(Column(f"thought {k}") for k in thoughts), Column("n"))
    lines: dict[tuple[str, ...], None] = {}
    for (condition, dose), group in rows.group_by("condition", "dose", maintain_order=True):
        name = f"{condition}" if dose is None or dose == 1 else f"{condition}, dose {dose:g}"
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

    @property
    def title(self) -> str:
        """Name, linked to the card, and the name of the method."""
        method = METHODS.get(str(self.inputs.get("method", "")))
        return f"[{self.name}]({self.name}/{MARKDOWN})" + (f", {method.title}" if method else "")


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
    found = []
    for folder in folders:
        decided = {one.sentence: one for one in said(pl.read_parquet(folder / TABLE), card_texts().sentences)}
        found.append(Card(folder.name, read_inputs(folder), decided))
    return found


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
    columns = (Column("model", "text"), *(Column(sentence.short) for sentence in sentences))
    rows = tuple((card.title, *(_mark(card.decided.get(sentence)) for sentence in sentences)) for card in cards)
    notes = tuple(f"**{one.short}**: {one.condition_in_words}{'; an aim' if one.aim else ''}." for one in sentences)
    return Table("", columns, rows, notes)


def _mark(one: Said | None) -> str:
    if one is None:
        return NONE
    return one.figure if one.holds is None else f"{'●' if one.holds else '○'} {one.figure}"
