"""The claims of the literature measured one by one, and the table of them as Markdown for the documentation."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.files import write_whole
from workbench.measure.provenance import provenance
from workbench.studies import claims
from workbench.studies.claims import Claim, literature
from workbench.studies.pages import render
from workbench.studies.reproduce import methods, superposition, values
from workbench.studies.reproduce.material import Finding, Material

Verdict = Literal["reproduced", "not reproduced", "undecided", "not comparable", "not measured"]


@dataclass(frozen=True)
class Judged:
    """A claim and what came of it."""

    claim: Claim
    finding: Finding

    @property
    def verdict(self) -> Verdict:
        """Reproduced if every check holds, not reproduced if one fails, else undecided."""
        if not self.claim.comparable:
            return "not comparable" if self.finding.checks else "not measured"
        found = claims.judge(self.finding.checks)
        return {"holds": "reproduced", "fails": "not reproduced"}.get(found, found)  # type: ignore[return-value]

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
    """Measure claims, by heading.

    Args:
        groups: By heading.
        material: What they are measured on.
        on_claim: Called after each.

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
    return found


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
        origin=provenance(seed),
    )
    write_whole(path, page)
