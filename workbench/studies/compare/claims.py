"""What the papers print and claim of methods: published numbers, and a verdict on each claim from our own problems.

Published numbers (`published.yaml`) stand beside ours and never among them. A verdict is about our runs: small models
from scratch on generated problems, at the budget named beside the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from workbench.measure.statistics import across_seeds, difference, resample
from workbench.measure.verdicts import MARGIN, Check, Ruling, bounds, judge_page
from workbench.settings import build, read_settings
from workbench.studies.claims import Claim, literature
from workbench.studies.compare.outcome import RunOutcome
from workbench.train.methods import find_method


@dataclass(frozen=True)
class Judgement:
    """A claim with what our runs say."""

    claim: Claim
    check: Check | None
    """First less second over the problems, all shared seeds together; None where one is missing."""
    ours: str
    """Both numbers of every shared seed, or what is missing."""
    ruling: Ruling | None = None
    """Among the claims that it is judged with; None before."""

    @property
    def verdict(self) -> str:
        """The verdict of `measure.verdicts` in the words of this page."""
        found = self.ruling.verdict if self.ruling else "not measured"
        return {"holds": "agrees", "does not hold": "disagrees"}.get(found, found)


def claims_about(task: str) -> list[Claim]:
    """Return the claims about two numbers of methods on one of the papers' tasks."""
    return [claim for group in literature().claims.values() for claim in group if claim.pair[:1] == (task,)]


def sides(claim: Claim) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return method and measure (of `outcome.MEASURES`) of the two numbers that a claim is about."""
    _, first, _, second = claim.pair
    (one, _, of_one), (two, _, of_two) = first.partition("/"), second.partition("/")
    return (one, of_one or "accuracy"), (two, of_two or "accuracy")


def judge_together(measured: Sequence[Judgement]) -> list[Judgement]:
    """Judge all claims of a page, corrected for the number of those that are comparable (`verdicts.judge_page`)."""
    comparable = [one for one in measured if one.claim.comparable]
    rulings = iter(judge_page([[one.check] if one.check else [] for one in comparable]))
    other = Ruling("not comparable")
    return [replace(one, ruling=next(rulings) if one.claim.comparable else other) for one in measured]


def measure_pair(claim: Claim, outcomes: Sequence[RunOutcome]) -> Judgement:
    """Measure the paired difference that a claim is about, with every seed that both sides have inside its interval.

    Args:
        claim: With a pair.
        outcomes: Of one task and problem set.
    """
    runs = {(outcome.method, outcome.seed): outcome for outcome in outcomes}
    (one, of_one), (two, of_two) = sides(claim)
    seeds = sorted(seed for method, seed in runs if method == one and (two, seed) in runs)
    if not seeds:
        missing = [method for method in dict.fromkeys((one, two)) if not any(method == known for known, _ in runs)]
        return Judgement(claim, None, f"no run of {' and '.join(missing)}" if missing else "no seed in common")
    first, second = (
        np.stack([runs[method, seed].values[of] for seed in seeds]) for method, of in ((one, of_one), (two, of_two))
    )
    said = "; ".join(f"{np.nanmean(a):.3f} and {np.nanmean(b):.3f}" for a, b in zip(first, second, strict=True))
    graphs = runs[one, seeds[0]].graphs
    if len(seeds) == 1:
        made = resample(first[0], second[0], statistic=difference, clusters=graphs)
    else:
        made = across_seeds(first - second, graphs)
    within = bounds(claim.pair[2], MARGIN if of_one != "tokens" else 0.0)  # type: ignore[arg-type]
    return Judgement(claim, Check("difference", made, **within), said)


# Published numbers


GRAPH_TASKS = ("edges", "prosqa")
"""Tasks of the training configuration whose problems are ProsQA's."""
TITLES = {"prosqa": "ProsQA", "prontoqa": "ProntoQA", "gsm8k": "GSM8k"}


@dataclass(frozen=True)
class Source:
    """Where numbers come from."""

    short: str
    """In the heading of a column."""
    title: str
    about: str
    """Model, data and whatever else differs from ours."""


@dataclass(frozen=True)
class PublishedColumn:
    """One published column."""

    source: str
    section: str
    measure: str


@dataclass(frozen=True)
class Published:
    """All published numbers."""

    sources: dict[str, Source]
    columns: tuple[PublishedColumn, ...]
    numbers: dict[str, dict[str, dict[str, dict[str, tuple[float, ...]]]]] = field(default_factory=dict)
    """Source, measure, task, method: value, and spread over runs where one is printed."""

    def number(self, column: PublishedColumn, task: str, method: str) -> tuple[float, ...] | None:
        """Return value (and spread) as printed, None where nothing is."""
        return self.numbers.get(column.source, {}).get(column.measure, {}).get(task, {}).get(method)

    def columns_for(self, task: str) -> list[PublishedColumn]:
        """Return the columns that have a number for a task."""
        return [c for c in self.columns if self.numbers.get(c.source, {}).get(c.measure, {}).get(task)]


@cache
def load_published() -> Published:
    """Read the published numbers that ship."""
    file = Path(__file__).with_name("published.yaml")
    published = build(Published, read_settings(file, "published numbers"), "published numbers")
    for methods in (
        methods for one in published.numbers.values() for tasks in one.values() for methods in tasks.values()
    ):
        for method in methods:
            find_method(method)
    return published


def published_task(task: str) -> str:
    """Return the papers' task that one of ours stands beside: ours are generated in its likeness."""
    return {**dict.fromkeys(GRAPH_TASKS, "prosqa"), "arithmetic": "gsm8k"}.get(task, task)


def printed(number: tuple[float, ...] | None, measure: str) -> str:
    """Return a published number as printed: a share in percent with its spread, tokens and seconds as they are."""
    if number is None:
        return "–"
    scale, digits = (100, 1) if measure not in ("tokens", "seconds") else (1, 2 if measure == "seconds" else 1)
    value = f"{number[0] * scale:.{digits}f}"
    return f"{value} ± {number[1] * scale:.{digits}f}" if len(number) > 1 else value
