"""The table of claims as Markdown for the documentation."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.files import write_whole
from workbench.measure.provenance import provenance
from workbench.studies.claims import Claim, Finding
from workbench.studies.reproduce.material import Material

Judged = Mapping[str, Sequence[tuple[Claim, Finding]]]
"""By heading: claims and what came of them."""


def judge(
    claims: Mapping[str, Sequence[Claim]], material: Material, on_claim: Callable[[Claim, Finding], None] | None = None
) -> Judged:
    """Measure claims, by heading.

    Args:
        claims: By heading.
        material: What they are measured on.
        on_claim: Called after each.

    Raises:
        WorkbenchError: A run that a claim is about is not there.
    """
    found: dict[str, list[tuple[Claim, Finding]]] = {}
    for heading, group in claims.items():
        for claim in group:
            finding = claim.measure(material)
            found.setdefault(heading, []).append((claim, finding))
            if on_claim:
                on_claim(claim, finding)
    return found


def write_page(judged: Judged, path: Path, command: str, seed: int) -> None:
    """Write the page; the file is written whole or not.

    Args:
        judged: What to write.
        path: Of the Markdown file.
        command: As the user typed it.
        seed: Of controls and intervals.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = Environment(
        loader=PackageLoader("workbench.studies.reproduce", "."), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    environment.filters["cell"] = _cell
    verdicts = Counter(finding.verdict for group in judged.values() for _, finding in group)
    page = environment.get_template("page.md.jinja").render(
        judged=judged, command=command, verdicts=verdicts.most_common(), total=verdicts.total(), origin=provenance(seed)
    )
    write_whole(path, page)


def _cell(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
