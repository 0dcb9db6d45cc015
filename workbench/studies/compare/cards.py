"""The audit cards of a suite side by side: a column for each method, its seeds together, and every figure behind."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.studies.audit.card import MARKDOWN, MARKS, PAGE, TITLES, Card, card_texts, read_card, side_by_side
from workbench.studies.compare.extras import is_made, place_of
from workbench.studies.compare.outcome import TaskReport
from workbench.studies.compare.suite import SuiteAudit
from workbench.studies.pages import NONE, Column, Section, Table
from workbench.train.methods import METHODS


@dataclass(frozen=True)
class RunCard:
    """The card of a run."""

    key: str
    """Of the run."""
    method: str
    card: Card

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict of each sentence that applies, by the sentence as it reads where it holds."""
        return {sentence.holds: said.verdict for sentence, said in self.card.decided.items()}


def cards_of(task: TaskReport, how: SuiteAudit, page: Path) -> list[RunCard]:
    """Return the cards of all audited runs of a task, by method and seed.

    Args:
        task: What is there of it.
        how: As the suite says.
        page: Directory of the page that links to the cards.
    """
    found = []
    for run, at in task.runs:
        if not (task.sets and at.finished):
            continue
        name, file = task.sets[0].name, Path(task.sets[0].file)
        if is_made(run.directory, "audit", name, file, how):
            place = place_of(run.directory, "audit", name)
            card = place / (PAGE if (place / PAGE).exists() else MARKDOWN)  # kept results have the latter alone
            found.append(RunCard(run.key, run.method.name, read_card(place, run.key, os.path.relpath(card, page))))
    return found


def cards_section(task: TaskReport, how: SuiteAudit, cards: Sequence[RunCard]) -> Section:
    """Return the section of a page about the cards of a task; every figure with its interval is in its details."""
    title = f"{task.task.name}: audit cards, side by side"
    missing = [run.key for run, _ in task.runs if run.key not in {one.key for one in cards}]
    said = [f"Not audited, or not as the suite says: {', '.join(missing)}."] if missing else []
    if not cards:
        return Section(title, tuple(said), (), ())
    count, where = cards[0].card.inputs["count"], task.sets[0].name
    intro = (
        f"Each run asked whether it thinks, on the first {count} problems of the set {where}, as workbench audit asks. "
        "A verdict is about one run, corrected for all sentences of its card; the table counts the verdicts of a "
        f"method's runs. {NONE}: the sentence does not apply, as of a model without thoughts or problems without a "
        "graph. Not measured: the battery was left out, or the model's answers are not shown to be better than chance.",
        *said,
    )
    details = tuple(
        replace(table, title=head)
        for battery, head in TITLES.items()
        if (table := side_by_side([one.card for one in cards], battery)) is not None
    )
    return Section(title, intro, (verdicts_table(cards),), (), details)


def verdicts_table(cards: Sequence[RunCard]) -> Table:
    """Lay out the verdicts: a row for each sentence that applies to any run, a column for each method."""
    methods = [name for name in METHODS if any(one.method == name for one in cards)]
    rows = []
    for sentence in card_texts().sentences:
        cells = []
        for method in methods:
            said = [one.card.decided.get(sentence) for one in cards if one.method == method]
            verdicts = Counter(one.verdict for one in said if one is not None)
            several = f" ({{}}\u00a0of\u00a0{len(said)})" if len(said) > 1 else ""
            cells.append("; ".join(f"{verdict}{several.format(n)}" for verdict, n in verdicts.most_common()) or NONE)
        if any(cell != NONE for cell in cells):
            rows.append((TITLES[sentence.battery], sentence.holds, *cells))
    heads = ("question", "sentence", *(METHODS[method].title for method in methods))
    note = (
        "What decides each sentence, and its figures, stand on the cards and in the tables of every battery "
        f"({', '.join(f'{mark} {verdict}' for verdict, mark in MARKS.items())})."
    )
    return Table("Does it hold?", tuple(Column(head, "text") for head in heads), tuple(rows), (note,))
