"""The claims of the literature measured one by one, and the table of them as Markdown for the documentation."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from workbench.files import write_whole
from workbench.measure.provenance import provenance
from workbench.measure.verdicts import FEWEST, Ruling, judge_page
from workbench.measure.verdicts import judge as rule
from workbench.studies.claims import Claim, literature
from workbench.studies.pages import render
from workbench.studies.reproduce import methods, superposition, values
from workbench.studies.reproduce.material import Finding, Material

Verdict = Literal["reproduced", "not reproduced", "undecided", "too few", "not comparable", "not measured"]


@dataclass(frozen=True)
class Judged:
    """A claim and what came of it."""

    claim: Claim
    finding: Finding
    ruling: Ruling | None = None
    """Of the claim among those of its page; None before all are measured."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of `measure.verdicts` in the words of this page: a claim that holds is reproduced."""
        if not self.claim.comparable:
            return "not comparable" if self.finding.checks else "not measured"
        found = rule(self.finding.checks) if self.ruling is None else self.ruling.verdict
        return {"holds": "reproduced", "does not hold": "not reproduced"}.get(found, found)  # type: ignore[return-value]

    @property
    def remark(self) -> str:
        """What to keep in mind: why it was not measured, or what a difference may come from."""
        return self.claim.remark or (self.claim.if_not if self.verdict != "reproduced" else "")


def chosen() -> dict[str, list[Claim]]:
    """Return the claims of the literature that are measured here, by heading."""
    return {heading: [one for one in group if one.only != "comparison"] for heading, group in literature().items()}


def measure(claim: Claim, material: Material) -> Finding:
    """Measure a claim by the function that it names, or as a pair of methods; without either there is no number."""
    if claim.measure:
        name, *arguments = claim.measure
        module = next(one for one in (methods, values, superposition) if hasattr(one, name))
        return getattr(module, name)(material, *arguments)
    return methods.pair(material, claim) if claim.pair and claim.comparable else Finding("–")


def judge(
    groups: Mapping[str, Sequence[Claim]], material: Material, on_claim: Callable[[Judged], None] | None = None
) -> dict[str, list[Judged]]:
    """Measure claims, by heading, and judge all that are comparable together (`judge_page`).

    Args:
        groups: By heading.
        material: What they are measured on.
        on_claim: Called after each, before the correction for their number.

    Raises:
        WorkbenchError: A run that a claim is about is not there.
    """
    found: dict[str, list[Judged]] = {}
    for heading, group in groups.items():
        for claim in group:
            judged = Judged(claim, measure(claim, material))
            found.setdefault(heading, []).append(judged)
            if on_claim:
                on_claim(judged)
    tested = [one for group in found.values() for one in group if one.claim.comparable]
    rulings = iter(judge_page([one.finding.checks for one in tested]))
    return {
        heading: [replace(one, ruling=next(rulings)) if one.claim.comparable else one for one in group]
        for heading, group in found.items()
    }


def write_page(judged: Mapping[str, Sequence[Judged]], path: Path, command: str, seed: int) -> None:
    """Write the page, whole or not at all.

    Args:
        judged: What to write.
        path: Of the Markdown file.
        command: As the user typed it.
        seed: Of controls and intervals.
    """
    verdicts = Counter(one.verdict for group in judged.values() for one in group)
    page = render(
        "reproduction.md",
        judged=judged,
        command=command,
        verdicts=verdicts.most_common(),
        total=verdicts.total(),
        tested=sum(one.ruling is not None and one.ruling.p is not None for group in judged.values() for one in group),
        fewest=FEWEST,
        origin=provenance(seed),
    )
    write_whole(path, page)
