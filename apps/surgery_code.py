"""The code that reproduces a plan."""

from apps.operated import OTHERS, TWIN, Patient
from apps.view import Source
from workbench import catalog
from workbench.interventions.plan import Plan
from workbench.interventions.text import to_code


def script(who: Patient, source: Source, plan: Plan, control: str | None, readout: str, depth: int) -> str:
    """Return a script that does the plan and opens the pictures of the page."""
    *imports, made = to_code(plan).partition("\n\n")
    lines = {
        *imports[0].split("\n"),
        "from workbench.model.checkpoint import load_checkpoint",
        "from workbench.measure.effects import downstream",
        "from workbench.figures import problem_graph",
        "from workbench.figures.interventions import answer_options, downstream_map",
        "from workbench.interventions.plan import affected_region",
        "from workbench.interventions.controls import answered",
        "from workbench.measure.scores import node_scores",
        "from workbench.measure.trace import run",
        *source.imports,
    }
    donors = []
    for name in plan.sources:
        if name == TWIN:
            lines.add("from workbench.problems.variants import entity_swap")
            donors.append('"twin": [entity_swap(problem)]')
        else:
            lines |= {"from pathlib import Path", "from workbench.problems.files import load_problems"}
            donors.append(f"{name!r}: [p for p in load_problems(Path({_file(who)!r})) if p.id == {name!r}]")
    given, before = "", []
    if donors:
        before.append(f"sources = {{{', '.join(donors)}}}")
        given += ", sources=sources"
    if plan.needs_set:
        lines |= {
            "from pathlib import Path",
            "from workbench.problems.files import load_problems",
            "from workbench.interventions.run import think_about",
        }
        before += [
            f"others = [p for p in load_problems(Path({_file(who)!r})) if p.id != problem.id][:{OTHERS - 1}]",
            f"set_thoughts = think_about(checkpoint, [problem, *others], {who.run.thoughts})",
        ]
        given += ", set_thoughts=set_thoughts"
    beside = "" if control is None else f", {control!r}"
    pause = ", pause=True" if who.run.checkpoint.pause is not None else ""
    return "\n".join(
        [
            *sorted(lines, key=lambda line: (line.split()[1].startswith("workbench"), line)),
            "",
            source.code,
            f"checkpoint = load_checkpoint({catalog.shown(who.run.path)!r})",
            made,
            *before,
            "",
            f"before = next(run(checkpoint, [problem], {who.run.thoughts}))",
            f"after = next(run(checkpoint, [problem], {who.run.thoughts}, interventions=plan{given}))",
            "for trace in (before, after):",
            f'    problem_graph(node_scores(trace, "{readout}"), {depth}).show()',
            f"downstream_map(downstream(before, after, affected_region(plan, {who.run.thoughts}{pause}))).show()",
            f"table = answered(checkpoint, problem, plan, {who.run.thoughts}{beside}{given})",
            "answer_options(table, problem).show()",
            "print(table)",
        ]
    )


def _file(who: Patient) -> str:
    return "YOUR FILE.json" if who.set is None else catalog.shown(who.set)
