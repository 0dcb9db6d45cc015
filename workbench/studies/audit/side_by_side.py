"""The cards of several models on one page: the figures behind their sentences, side by side."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.studies.audit.build import MANIFEST, TABLE, Inputs, read_inputs
from workbench.studies.audit.card import MARKDOWN, TITLES
from workbench.studies.audit.sentences import SENTENCES
from workbench.studies.audit.summary import Said, Sentence, rule, said
from workbench.studies.compare.tables import NONE, Column, Table
from workbench.train.methods import METHODS

PAGE = "README.md"


@dataclass(frozen=True)
class Card:
    """One audit that was found."""

    name: str
    """Of its directory."""
    inputs: Inputs
    decided: dict[Sentence, Said]

    @property
    def title(self) -> str:
        """Name, linked to the card where there is one, and what the method is called."""
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
        table = pl.read_parquet(folder / TABLE)
        found.append(Card(folder.name, read_inputs(folder), {one.sentence: one for one in said(table, SENTENCES)}))
    return found


def write_beside(directory: Path, command: str) -> Path:
    """Write README.md into a directory of audits, and return it.

    Args:
        directory: Whose folders are audits.
        command: As the user typed it.

    Raises:
        WorkbenchError: It holds no audit.
    """
    cards = find_cards(directory)
    environment = Environment(
        loader=PackageLoader("workbench.studies.audit"), autoescape=False, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["cell"] = lambda value: str(value).replace("|", "\\|")
    sections = [(title, table_of(cards, battery)) for battery, title in TITLES.items()]
    text = environment.get_template("beside.md.jinja").render(
        sections=[(title, table) for title, table in sections if table is not None],
        sets=sorted({(one.inputs["problems"], one.inputs["count"]) for one in cards}),
        command=command,
        commits=sorted({str(one.inputs["commit"] or "unknown") for one in cards}),
    )
    write_whole(directory / PAGE, text)
    return directory / PAGE


def table_of(cards: list[Card], battery: str) -> Table | None:
    """Lay out one battery: a row for each model, a column for each of its figures; None where no model has any."""
    sentences = [one for one in SENTENCES if one.battery == battery and any(one in card.decided for card in cards)]
    if not sentences:
        return None
    columns = (Column("model", "text"), *(Column(sentence.short) for sentence in sentences))
    rows = tuple((card.title, *(_cell(card.decided.get(sentence)) for sentence in sentences)) for card in cards)
    notes = tuple(f"**{one.short}**: {rule(one)}{'; an aim' if one.aim else ''}." for one in sentences)
    return Table("", columns, rows, notes)


def _cell(one: Said | None) -> str:
    if one is None:
        return NONE
    if one.holds is None:
        return one.figure
    return f"{'●' if one.holds else '○'} {one.figure}"
