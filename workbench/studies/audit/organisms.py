"""An audit that is itself audited: organisms of which it is known what the card may say, and what it says of them.

Two organisms ship (`fixtures/organisms`): one whose answer is computed from its thoughts alone, one whose thoughts are
idle. Beside them stand untrained models. What is expected of each sentence is written in `organisms.yaml`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from workbench.catalog import ROOT
from workbench.files import write_whole
from workbench.measure.statistics import resample
from workbench.measure.verdicts import Verdict
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.settings import build, read_settings
from workbench.studies.audit.base import Advance, AuditOptions
from workbench.studies.audit.card import Said, Sentence, ability, card_texts, said
from workbench.studies.audit.run import BATTERIES, measure
from workbench.studies.pages import NONE, Column, Table, render
from workbench.train.config import load_config
from workbench.train.init import begin

Expected = Literal["holds", "does not hold", "not asserted", "open"]
"""What is known of a verdict before the audit. "not asserted": anything but "holds"; "open": nothing."""

FOLDER = ROOT / "fixtures" / "organisms"
CONFIGURATION, BASE = ROOT / "configs" / "organism-thoughts.yaml", ROOT / "configs" / "base.yaml"
"""Of the untrained models: those of the first organism, and of what it starts from, which has its sizes."""
UNTRAINED = "untrained"
HOPS, NODES = {1: 0.6, 2: 0.4}, 10
"""Of the problems: about ten edges, as in the organisms' training."""
SEEDS, FEWER = 10, 60
"""Untrained models whose wrongly asserted sentences are counted, on at most so many of the problems; the first is
audited in full."""
ALARMS = ("needed", "content", "search", "shortcuts")
"""Batteries of the others: what a model can do, whether it needs its thoughts, what they hold."""
PAGE = "organisms.md"


@dataclass(frozen=True)
class Organism:
    """A model, and what a right audit says of it."""

    title: str
    why: str
    """Why that is known."""
    expected: dict[str, Expected] = field(default_factory=dict)
    """By the short name of a sentence."""

    def expects(self, sentence: Sentence) -> Expected:
        """Return what is known of a sentence; where nothing is written, it must not be asserted."""
        return self.expected.get(sentence.short, "not asserted")


@dataclass(frozen=True)
class _Organisms:
    organisms: dict[str, Organism]


@cache
def organisms() -> Mapping[str, Organism]:
    """Return the organisms by name, as `organisms.yaml` has them."""
    return build(
        _Organisms, read_settings(Path(__file__).with_name("organisms.yaml"), "organisms"), "organisms"
    ).organisms


def problems(count: int, seed: int = 0) -> list[Problem]:
    """Return what organisms are asked: one and two hops, balanced, so that no query-blind rule gets more than half."""
    return generate("balanced", count, 70_000 + seed, HOPS, NODES)


def load(name: str, seed: int = 0) -> Checkpoint:
    """Return an organism; an untrained one is drawn with a seed.

    Raises:
        WorkbenchError: It is not there.
    """
    if name != UNTRAINED:
        return load_checkpoint(FOLDER / name)
    model, name = load_config(BASE).model, f"{UNTRAINED}-{seed}"
    return begin(replace(load_config(CONFIGURATION), start="", model=model, answer_reads="all", name=name, seed=seed))


def audit(
    checkpoint: Checkpoint,
    asked: Sequence[Problem],
    options: AuditOptions,
    advance: Advance = lambda count: None,
    batteries: Sequence[str] = tuple(BATTERIES),
) -> pl.DataFrame:
    """Run batteries of an audit, by default all, and return its table (`base.SCHEMA`)."""
    return pl.concat([measure(battery, checkpoint, asked, options, advance) for battery in batteries])


def right(expected: Expected, verdict: Verdict) -> bool | None:
    """Say whether a verdict is what is expected; None where nothing is, or where it was left undecided.

    Examples:
        >>> right("holds", "holds"), right("holds", "does not hold"), right("holds", "undecided")
        (True, False, None)
        >>> right("not asserted", "undecided"), right("not asserted", "holds"), right("open", "holds")
        (True, False, None)
    """
    if expected == "open":
        return None
    if expected == "not asserted":
        return verdict != "holds"
    return verdict == expected if verdict in ("holds", "does not hold") else None


def wrongly_asserted(table: pl.DataFrame, *, gate: bool = True) -> tuple[list[Said], int]:
    """Return the sentences that a card asserts of an untrained model and must not, and how many it could assert.

    Args:
        table: Of the audit of an untrained model.
        gate: Whether sentences that ask how a model does it are left out where it is no better than chance.
    """
    organism = organisms()[UNTRAINED]
    judged = said(table, card_texts().sentences, gate=gate)
    found = [one for one in judged if organism.expects(one.sentence) == "not asserted"]
    return [one for one in found if one.verdict == "holds"], len(found)


# The page


@dataclass(frozen=True)
class Audited:
    """An organism and what its card says."""

    organism: Organism
    said: Mapping[Sentence, Said]
    accuracy: str
    """Without interventions, with its interval."""

    @classmethod
    def of(cls, organism: Organism, table: pl.DataFrame) -> "Audited":
        """Judge an audit's table."""
        found, able = {one.sentence: one for one in said(table, card_texts().sentences)}, ability(table)
        return cls(organism, found, NONE if able is None else str(able.estimate))


def write_organisms(
    directory: Path, command: str, count: int, options: AuditOptions, advance: Callable[[str, int | None], None]
) -> Path:
    """Audit the organisms and untrained models, write organisms.md into a directory, and return it.

    Args:
        directory: Where to.
        command: As the user typed it.
        count: Problems that each is asked.
        options: Of the audits.
        advance: Called with the name of a model and the number of answers since the last call, None once it is done.

    Raises:
        WorkbenchError: An organism is not there.
    """
    asked, tables = problems(count, options.seed), dict[str, pl.DataFrame]()
    for name in model_names():
        kind, _, seed = name.partition(" ")
        these, which = (asked[:FEWER], ALARMS if int(seed) else tuple(BATTERIES)) if seed else (asked, tuple(BATTERIES))
        tables[name] = audit(load(kind, int(seed or 0)), these, options, partial(advance, name), which)
        advance(name, None)
    write_whole(directory / PAGE, page(tables, command, count, options))
    return directory / PAGE


def page(tables: Mapping[str, pl.DataFrame], command: str, count: int, options: AuditOptions) -> str:
    """Return the page of audits that were made: tables by the names of `model_names`, the rest as `write_organisms`."""
    alarms = [table for name, table in tables.items() if name.startswith(UNTRAINED)]
    shown = {**tables, UNTRAINED: alarms[0]}
    audited = [Audited.of(organism, shown[name]) for name, organism in organisms().items()]
    return render(
        "organisms.md", command=command, count=count, options=options, audited=audited,
        table=expected_and_found(audited), seeds=len(alarms), fewer=FEWER, batteries=ALARMS, alarms=alarm_table(alarms),
    )  # fmt: skip


def model_names() -> list[str]:
    """Return the names of all models that the page audits, in its order."""
    return [*(name for name in organisms() if name != UNTRAINED), *(f"{UNTRAINED} {seed}" for seed in range(SEEDS))]


def expected_and_found(audited: Sequence[Audited]) -> Table:
    """Lay out what is expected and found: a row for each sentence that applies, two columns for each organism."""
    heads = [Column(f"{one.organism.title}: {what}", "text") for one in audited for what in ("expected", "found")]
    rows = []
    for sentence in card_texts().sentences:
        if any(sentence in one.said for one in audited):
            rows.append((sentence.short, *(cell for one in audited for cell in _cells(one, sentence))))
    return Table("", (Column("sentence", "text"), *heads), tuple(rows))


def _cells(one: Audited, sentence: Sentence) -> tuple[str, str]:
    if sentence not in one.said:
        return NONE, NONE
    expected, found = one.organism.expects(sentence), one.said[sentence]
    return expected, f"{_MARKS[right(expected, found.verdict)]}{found.verdict}: {found.figure}"


_MARKS = {True: "✓ ", False: "✗ ", None: ""}


def alarm_table(tables: Sequence[pl.DataFrame]) -> Table:
    """Lay out how many sentences are wrongly asserted of untrained models, with and without the rule of ability."""
    rows = []
    for gate, name in ((True, "as on the card"), (False, "also where the model is no better than chance")):
        found = [wrongly_asserted(table, gate=gate) for table in tables]
        alarms = [[1.0] * len(wrongly) + [0.0] * (number - len(wrongly)) for wrongly, number in found]
        models = np.repeat(np.arange(len(found)), [len(one) for one in alarms])
        share = resample(np.concatenate(alarms), clusters=models)  # the sentences of one model are not independent
        which = Counter(one.sentence.short for wrongly, _ in found for one in wrongly)
        texts = ", ".join(f"{short} ({times})" for short, times in which.most_common()) or "none"
        rows.append((name, f"{sum(map(sum, alarms)):.0f} of {share.n}", str(share), texts))
    heads = ("sentences are judged", "wrongly asserted", "share", "which (of how many models)")
    return Table("", tuple(Column(head, "text") for head in heads), tuple(rows))
