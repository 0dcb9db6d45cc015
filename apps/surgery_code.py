"""The code that reproduces a surgery."""

from apps import shelf
from apps.operated import OTHERS, TWIN, Patient
from apps.view import Source
from workbench.interventions.layers import Patch
from workbench.interventions.surgery import Surgery
from workbench.interventions.transplanting import Interpolate, Transplant
from workbench.interventions.written import to_code


def script(who: Patient, source: Source, surgery: Surgery, control: str | None, readout: str, depth: int) -> str:
    """Return a script that does the surgery and opens the pictures of the page."""
    *imports, made = to_code(surgery).partition("\n\n")
    lines = {
        *imports[0].split("\n"),
        "from workbench.checkpoint import load_checkpoint",
        "from workbench.downstream import downstream",
        "from workbench.figures import problem_graph",
        "from workbench.figures.answer_options import answer_options",
        "from workbench.figures.downstream import downstream_map",
        "from workbench.interventions.cone import cone",
        "from workbench.interventions.dosing import answered",
        "from workbench.scores import node_scores",
        "from workbench.trace import run",
        *source.imports,
    }
    names = sorted(
        {one.donor for one in surgery.interventions if isinstance(one, Transplant | Interpolate | Patch)} - {"own"}
    )
    donors = []
    for name in names:
        if name == TWIN:
            lines.add("from workbench.variants import entity_swap")
            donors.append('"twin": [entity_swap(problem)]')
        else:
            lines |= {"from pathlib import Path", "from workbench.prosqa import load_problems"}
            donors.append(f"{name!r}: [p for p in load_problems(Path({_file(who)!r})) if p.id == {name!r}]")
    given, before = "", []
    if donors:
        before.append(f"donors = {{{', '.join(donors)}}}")
        given += ", donors=donors"
    if any(one.whole_set for one in surgery.interventions):
        lines |= {
            "from pathlib import Path",
            "from workbench.prosqa import load_problems",
            "from workbench.interventions.theatre import think_about",
        }
        before += [
            f"others = [p for p in load_problems(Path({_file(who)!r})) if p.id != problem.id][:{OTHERS - 1}]",
            f"bank = think_about(checkpoint, [problem, *others], {who.run.thoughts})",
        ]
        given += ", bank=bank"
    beside = "" if control is None else f", {control!r}"
    pause = ", pause=True" if who.run.checkpoint.pause is not None else ""
    return "\n".join(
        [
            *sorted(lines, key=lambda line: (line.split()[1].startswith("workbench"), line)),
            "",
            source.code,
            f"checkpoint = load_checkpoint({shelf.shown(who.run.path)!r})",
            made,
            *before,
            "",
            f"before = next(run(checkpoint, [problem], {who.run.thoughts}))",
            f"after = next(run(checkpoint, [problem], {who.run.thoughts}, interventions=surgery{given}))",
            "for trace in (before, after):",
            f'    problem_graph(node_scores(trace, "{readout}"), {depth}).show()',
            f"downstream_map(downstream(before, after, cone(surgery, {who.run.thoughts}{pause}))).show()",
            f"table = answered(checkpoint, problem, surgery, {who.run.thoughts}{beside}{given})",
            "answer_options(table, problem).show()",
            "print(table)",
        ]
    )


def _file(who: Patient) -> str:
    return "YOUR FILE.json" if who.set is None else shelf.shown(who.set)
