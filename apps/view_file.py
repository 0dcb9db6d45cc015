"""The view of the page Thoughts as one HTML file that opens offline, with a note: to keep, or to hand on."""

from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import urlencode

from plotly.offline import get_plotlyjs

from apps import code_export
from apps.components.picture import depths_of, sentence
from apps.state import Reading, View
from apps.text import plural
from workbench.figures import problem_graph, thought_strip
from workbench.measure.provenance import provenance
from workbench.measure.scores import READOUT_TITLES
from workbench.studies.pages import drawing, render


def view_file(
    view: View,
    readings: Sequence[Reading],
    depths: Sequence[int],
    concept: str,
    note: str = "",
    address: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return the page as UTF-8 HTML: every thought with its sentence and graph, the masses, the code and the link.

    Args:
        view: What is chosen.
        readings: What was read for it, one or two.
        depths: After how many thoughts the page stands, of each reading.
        concept: The concept chosen; it is marked in the graphs.
        note: What the user wrote beside it.
        address: Parameters of the view's link.
    """
    leader = max(readings, key=lambda reading: len(reading.scores.depths))
    parts = []
    for depth in leader.scores.depths:
        own = depths_of(readings, depth)
        parts.append({
            "title": f"After {plural(depth, 'thought')}",
            "said": [
                (one.name if len(readings) > 1 else "", sentence(one, k)) for one, k in zip(readings, own, strict=True)
            ],
            "drawn": [
                drawing(problem_graph(one.scores, k, selected=one.problem.names.index(concept)), f"{place}-{depth}")
                for place, (one, k) in enumerate(zip(readings, own, strict=True))
            ],
        })  # fmt: skip
    rows = [
        (one.name, str(one.run.checkpoint.supervision), one.answer.text, "right" if one.answer.right else "wrong")
        for one in readings
    ]
    return render(
        "view.html",
        question=view.problem.question,
        asked=view.problem.question.rpartition(". ")[2].strip(),
        problem=view.problem.id,
        readout=READOUT_TITLES[view.readout],
        note=note.strip(),
        rows=rows,
        parts=parts,
        strips=[drawing(thought_strip(one.scores), f"strip-{place}") for place, one in enumerate(readings)],
        code=code_export.thoughts(view, readings, depths, concept),
        link="?" + urlencode(address) if address else "",
        origin=asdict(provenance(0)),
        plotly=get_plotlyjs(),
    ).encode()
