"""The claims of the literature measured one by one, and the table of them as Markdown for the documentation."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.files import write_whole
from workbench.measure.provenance import provenance
from workbench.measure.verdicts import Check, Ruling, Verdict, judge_page
from workbench.studies.claims import Claim, literature
from workbench.studies.pages import render, strong
from workbench.studies.reproduce import superposition, values
from workbench.studies.reproduce.bounds import Plan, commit, digest, frozen
from workbench.studies.reproduce.material import Finding, Material, NoRunError

TAGS = ("functional", "representational", "causal")


@dataclass(frozen=True)
class Measured:
    """A claim and what our runs say of it."""

    claim: Claim
    plan: Plan | None = None
    """None where nothing can be measured."""
    bundled: Finding | None = None
    """On the bundled problems; None where the run is not there."""
    fresh: Finding | None = None
    """On the fresh ones."""
    beside: Mapping[str, Finding] = field(default_factory=dict)
    """By run, on the bundled problems; never judged."""


@dataclass(frozen=True)
class Judged:
    """A measured claim and its verdict on either set, each among those of the page."""

    measured: Measured
    bundled: Ruling
    fresh: Ruling

    @property
    def verdict(self) -> Verdict:
        """What both sets say; undecided where they differ."""
        if not self.measured.claim.comparable:
            return "not comparable"
        return self.bundled.verdict if self.bundled.verdict == self.fresh.verdict else "undecided"


def checks(plan: Plan | None, finding: Finding | None) -> list[Check]:
    """Return the checks of a claim on one set, in the order of the bounds; none where it was not measured.

    Raises:
        KeyError: A statistic that has a bound was not measured.
    """
    if plan is None or finding is None:
        return []
    return [
        Check(name, finding.statistics[name], bound.at_least, bound.at_most)
        for bound in plan.checks
        for name in bound.statistics
    ]


def function_of(plan: Plan) -> Callable[..., Finding]:
    """Return the function that measures a claim."""
    name = plan.measure[0]
    return next(getattr(one, name) for one in (values, superposition) if hasattr(one, name))


def measure(claim: Claim, bundled: Material, fresh: Material) -> Measured:
    """Measure a claim on both sets, and the runs beside on the bundled one; runs that are not there are left out."""
    plan = frozen().claims.get(claim.key)
    if plan is None:
        return Measured(claim)

    def found(material: Material, run: str) -> Finding | None:
        try:
            return function_of(plan)(material, run, *plan.measure[1:])
        except NoRunError:
            return None

    beside = {run: one for run in plan.beside if (one := found(bundled, run))}
    # What is not comparable gets no verdict, so one set of numbers is enough.
    return Measured(claim, plan, found(bundled, plan.run), found(fresh, plan.run) if claim.comparable else None, beside)


def judge(measured: Sequence[Measured]) -> list[Judged]:
    """Judge the claims of a page, on each set all that are comparable together (`judge_page`)."""
    tested = [one for one in measured if one.claim.comparable]
    bundled = iter(judge_page([checks(one.plan, one.bundled) for one in tested]))
    fresh = iter(judge_page([checks(one.plan, one.fresh) for one in tested]))
    none = Ruling("not comparable")
    return [
        Judged(one, next(bundled), next(fresh)) if one.claim.comparable else Judged(one, none, none) for one in measured
    ]


@dataclass(frozen=True)
class Row:
    """A line of the table, as text."""

    claim: Claim
    ours: tuple[str, ...]
    verdict: Verdict
    apart: str
    """What each set says where they differ."""


def row(judged: Judged) -> Row:
    """Put a judged claim into words."""
    one, lines = judged.measured, []
    plan, bundled = one.plan, one.bundled
    if plan is not None and bundled is not None:
        names = [name for bound in plan.checks for name in bound.statistics] or list(bundled.statistics)
        lines.append(strong(plan.run, f", {frozen().set_of(plan.run)}" + (" / fresh" if one.fresh else "")))
        for name in names:
            fresh = f" / {shown(one.fresh.statistics[name])}" if one.fresh else ""
            lines.append(f"{name}: {shown(bundled.statistics[name])}{fresh}")
        lines += [bundled.beside] * bool(bundled.beside)
        for run, finding in one.beside.items():
            numbers = ", ".join(shown(f"{finding.statistics[name].value:.3f}") for name in names)
            lines.append(f"beside, {run}, {frozen().set_of(run)}: {numbers}")
    elif plan is not None:
        lines.append(f"{plan.run}, {frozen().set_of(plan.run)}: not measured")
    apart = (
        ""
        if judged.bundled.verdict == judged.fresh.verdict
        else (f"bundled: {judged.bundled.verdict}, fresh: {judged.fresh.verdict}")
    )
    return Row(one.claim, tuple(lines), judged.verdict, apart)


def shown(number: object) -> str:
    """Return an estimate or a number without the zero before its point: ".944 [.924, .964]"."""
    return re.sub(r"\b0\.", ".", str(number))


def supervision(material: Material, run: str) -> str:
    """Say how the thoughts of a run were supervised in training."""
    try:
        return str(material.checkpoint(run).supervision)
    except NoRunError:
        return "not bundled"


def write_page(
    judged: Mapping[str, Sequence[Judged]], path: Path, command: str, material: Mapping[str, Material], seed: int
) -> None:
    """Write the page, whole or not at all.

    Args:
        judged: What to write, by heading.
        path: Of the Markdown file.
        command: As the user typed it.
        material: "bundled" and "fresh".
        seed: Of controls and intervals.
    """
    every = [one for group in judged.values() for one in group]
    counts = Counter((one.verdict, one.measured.claim.tag) for one in every)
    runs = dict.fromkeys(run for plan in frozen().claims.values() for run in (plan.run, *plan.beside))
    verdicts = sorted({one.verdict for one in every}, key=lambda verdict: -sum(counts[verdict, tag] for tag in TAGS))
    page = render(
        "reproduction.md",
        rows={heading: [row(one) for one in group] for heading, group in judged.items()},
        command=command,
        tags=TAGS,
        counts=[(verdict, [counts[verdict, tag] for tag in TAGS]) for verdict in verdicts],
        total=len(every),
        measured=any(one.measured.bundled for one in every),
        runs={run: supervision(material["bundled"], run) for run in runs},
        judged=[one for one in every if one.measured.plan and one.measured.claim.comparable],
        bounds=frozen(),
        digest=digest(),
        commit=commit() or "unknown",
        sets={name: {kind: one.size(name) for kind, one in material.items()} for name in frozen().sets},
        assumptions=literature().assumptions,
        origin=provenance(seed),
    )
    write_whole(path, page)
