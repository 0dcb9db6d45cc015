"""The card of an audit, one page as HTML and as Markdown: sentences, figures, and all numbers below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from workbench.figures.interventions import in_a_column, over_places
from workbench.files import write_whole
from workbench.studies.audit.build import MANIFEST, TABLE, read_inputs
from workbench.studies.audit.card_tables import tables_of
from workbench.studies.audit.rows import MEASURES, UNITS
from workbench.studies.audit.sentences import SENTENCES
from workbench.studies.audit.summary import Said, rule, said
from workbench.studies.compare.tables import Table
from workbench.studies.pages import drawing

PAGE, MARKDOWN = "index.html", "card.md"

TITLES: dict[str, str] = {
    "needed": "1. Needed?",
    "content": "2. Right content?",
    "search": "3. Search?",
    "shortcuts": "4. Shortcuts?",
    "where": "5. Where?",
    "further": "6. Further?",
}
"""The batteries on the card, by name."""


@dataclass(frozen=True)
class Drawing:
    """Which rows are drawn, and how."""

    battery: str
    question: str
    measure: str
    by: str
    """"thought", "dose", or "" for a row for each condition."""
    title: str
    subtitle: str
    only: str = ""
    """How conditions end that are drawn; all by default."""


DRAWINGS: tuple[Drawing, ...] = (
    Drawing(
        "needed", "all thoughts", "right", "", "Without the thoughts, and with others in their place",
        "Accuracy, its interval, the model's own accuracy and a coin",
    ),
    Drawing(
        "needed", "all thoughts", "right", "dose", "More and more noise",
        "Accuracy over the share of noise in all thoughts",
    ),
    Drawing(
        "needed", "each thought", "right", "thought", "One thought at a time",
        "Accuracy where one thought alone is changed",
    ),
    Drawing(
        "needed", "each step in words", "right", "thought", "One step at a time",
        "Accuracy where one step in words alone is changed",
    ),
    Drawing(
        "content", "interchange", "follows", "thought", "Does the answer follow the donor?",
        "Pairs answered right; one thought alone from the twin",
    ),
    Drawing(
        "search", "taken out", "lost", "dose", "Nodes taken out of the thoughts",
        "Right answers lost over the share of the nodes' codes taken out; the target's name stays. A coin loses half",
    ),
    Drawing(
        "search", "other side put in", "turned", "thought", "Nodes of the other side put in",
        "Right answers that turn to the other option; dose 1 is what a node of the frontier gives",
    ),
    Drawing(
        "search", "replaced", "kept", "thought", "A thought replaced by what it should be",
        "Right answers kept where one thought alone is a sum of learned codes; targets beyond its hop", "codes",
    ),
    Drawing(
        "search", "replaced, top node off the path", "kept", "thought", "The same, where its best node is on no path",
        "Is the breadth used, or only the best node?", "codes",
    ),
    Drawing(
        "shortcuts", "accuracy", "right", "", "Beside readers who do not know the question",
        "Accuracy of the model and of query-blind readers",
    ),
    Drawing(
        "where", "attention cut at the answer", "lost", "", "What the answer looks at",
        "Right answers lost where what is said is blind to a part",
    ),
    Drawing(
        "where", "attention cut at all thoughts", "lost", "", "What the thoughts look at",
        "Right answers lost where the thoughts are blind to a part",
    ),
    Drawing(
        "where", "patched from the twin", "follows", "", "Parts that carry the answer",
        "Answers that become the twin's with its activations at all thoughts",
    ),
    Drawing(
        "where", "ablated to the mean at all thoughts", "lost", "", "Parts that are needed",
        "Right answers lost with the mean in the place of a part",
    ),
    Drawing(
        "further", "after k thoughts", "right", "thought", "More thoughts and fewer",
        "Accuracy after other numbers of thoughts than trained",
    ),
    Drawing(
        "further", "farther targets", "right", "", "Farther targets",
        "Accuracy with as many thoughts as hops; control: the trained number",
    ),
)  # fmt: skip
"""The figures of a card, in their order."""


@dataclass(frozen=True)
class Section:
    """One battery on the page."""

    title: str
    summary: tuple[Said, ...]
    tables: tuple[Table, ...]
    drawings: tuple[go.Figure, ...]


def write_card(directory: Path, table: pl.DataFrame, command: str) -> Path:
    """Write index.html, plotly.min.js and card.md beside an audit's table, and return the page.

    Args:
        directory: Of the audit.
        table: All of its rows.
        command: As the user typed it.
    """
    inputs, decided = read_inputs(directory), said(table, SENTENCES)
    sections = [_section(name, table, decided) for name in TITLES if name in table["battery"].to_list()]
    context = {
        "inputs": inputs, "command": command, "measures": MEASURES, "rule": rule,
        "summary": decided, "files": (TABLE, MANIFEST),
    }  # fmt: skip
    loader = PrefixLoader({"": PackageLoader("workbench.studies.audit"), "report": PackageLoader("workbench.studies")})
    html = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    drawn = [[drawing(made) for made in section.drawings] for section in sections]
    page = html.get_template("/card.html.jinja").render(**context, sections=list(zip(sections, drawn, strict=True)))
    # Markdown is read as text: quoting it for HTML would show the quotes.
    text = Environment(loader=loader, autoescape=False, undefined=StrictUndefined, trim_blocks=True)
    text.filters["cell"] = lambda value: str(value).replace("|", "\\|")
    write_whole(directory / MARKDOWN, text.get_template("/card.md.jinja").render(**context, sections=sections))
    write_whole(directory / "plotly.min.js", get_plotlyjs())
    write_whole(directory / PAGE, page)
    return directory / PAGE


def _section(name: str, table: pl.DataFrame, decided: Sequence[Said]) -> Section:
    part = table.filter(pl.col("battery") == name)
    own = tuple(one for one in decided if one.sentence.battery == name)
    made = [_drawn(part, one) for one in DRAWINGS if one.battery == name]
    return Section(TITLES[name], own, tuple(tables_of(part)), tuple(one for one in made if one is not None))


def _drawn(part: pl.DataFrame, wanted: Drawing) -> go.Figure | None:
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
    unit = UNITS[wanted.measure]
    if wanted.by:
        return over_places(rows, wanted.title, wanted.subtitle, unit, wanted.by)
    return in_a_column(rows, wanted.title, wanted.subtitle, unit)
