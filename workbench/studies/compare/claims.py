"""What the papers print and claim of methods: published numbers, and a verdict on each claim from our own problems.

Published numbers (`published.yaml`) stand beside ours and never among them. A verdict is about our runs: small models
from scratch on generated problems, at the budget named beside the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from workbench.measure.statistics import Estimate, across_seeds, difference, resample
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
    unconverged: tuple[str, ...] = ()
    """Methods with a run whose accuracy was still moving: what it would come to is not known."""

    @property
    def verdict(self) -> str:
        """The verdict of `measure.verdicts` in the words of this page."""
        found = self.ruling.verdict if self.ruling else "not measured"
        if self.unconverged and found != "not comparable":
            return "not converged"
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
    comparable = [one for one in measured if one.claim.comparable and not one.unconverged]
    rulings = iter(judge_page([[one.check] if one.check else [] for one in comparable]))
    other = Ruling("not comparable")
    return [
        replace(one, ruling=other if not one.claim.comparable else None if one.unconverged else next(rulings))
        for one in measured
    ]


def measure_pair(claim: Claim, outcomes: Sequence[RunOutcome]) -> Judgement:
    """Measure the paired difference that a claim is about, with every seed that both sides have inside its interval.

    Args:
        claim: With a pair.
        outcomes: Of one task and problem set.
    """
    (one, of_one), (two, of_two) = sides(claim)
    shared = shared_seeds(one, two, outcomes)
    if not shared:
        known = {outcome.method for outcome in outcomes}
        missing = [method for method in dict.fromkeys((one, two)) if method not in known]
        return Judgement(claim, None, f"no run of {' and '.join(missing)}" if missing else "no seed in common")
    made = paired(shared, of_one, of_two)
    means = [(np.nanmean(a.values[of_one]), np.nanmean(b.values[of_two])) for a, b in shared]
    said = "; ".join(f"{first:.3f} and {second:.3f}" for first, second in means)
    within = bounds(claim.pair[2], MARGIN if of_one != "tokens" else 0.0)  # type: ignore[arg-type]
    waiting = dict.fromkeys(run.method for both in shared for run in both if not run.converged)
    return Judgement(claim, Check("difference", made, **within), said, unconverged=tuple(waiting))


def shared_seeds(one: str, two: str, outcomes: Sequence[RunOutcome]) -> list[tuple[RunOutcome, RunOutcome]]:
    """Return the outcomes of two methods, seed by seed, of the seeds that both have."""
    runs = {(outcome.method, outcome.seed): outcome for outcome in outcomes}
    return [
        (runs[one, seed], runs[two, seed]) for method, seed in sorted(runs) if method == one and (two, seed) in runs
    ]


def paired(shared: Sequence[tuple[RunOutcome, RunOutcome]], of_one: str, of_two: str) -> Estimate:
    """Return the mean difference of two measures over the same problems, with all seeds inside its interval.

    Args:
        shared: `shared_seeds`, one or more.
        of_one: Of `MEASURES`, of the first outcome of each pair.
        of_two: The same of the second.
    """
    first, second = (np.stack([both[place].values[of] for both in shared]) for place, of in ((0, of_one), (1, of_two)))
    graphs = shared[0][0].graphs
    if len(shared) == 1:
        return resample(first[0], second[0], statistic=difference, clusters=graphs)
    return across_seeds(first - second, graphs)


PARTS = (
    ("the chain in words", "cot", "no_cot"),
    ("the curriculum", "coconut_words", "coconut_without_curriculum"),
    ("a thought where the step was", "coconut_words", "coconut_without_thought"),
    ("what the thought holds, a pause in its place", "coconut_words", "pause_words"),
    ("the next node as a label", "coconut_next_node", "coconut_words"),
    ("the frontier as a label", "coconut_frontier", "coconut_words"),
    ("a second thought for each step", "coconut_two", "coconut_next_node"),
)
"""Parts of the methods: what it is, the method with it, and the one without."""


def worths(outcomes: Sequence[RunOutcome]) -> list[tuple[str, float, float, float]]:
    """Return what each part of a method adds to accuracy: its name, the paired difference and its 95 % interval.

    Args:
        outcomes: Of one task and problem set; parts of which a side is missing are left out.
    """
    found = []
    for part, one, two in PARTS:
        if shared := shared_seeds(one, two, outcomes):
            made = paired(shared, "accuracy", "accuracy")
            found.append((part, made.value, made.low, made.high))
    return found


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
