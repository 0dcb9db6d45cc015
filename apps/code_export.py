"""The script that reproduces what is on a page: `import workbench as wb`, and nothing deeper."""

from collections.abc import Sequence
from pathlib import Path

from apps.state import Reading, Run, Source, View, comparable
from workbench import catalog
from workbench.interventions.plan import Plan
from workbench.interventions.text import to_code

CAPTION = "This script computes the numbers on this page and opens its pictures."
IMPORT = "import workbench as wb"


def thoughts(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> str:
    """Return the script of the page Thoughts.

    Args:
        view: What is chosen.
        readings: What was read for it, one or two.
        depths: After how many thoughts, of each.
        concept: The concept chosen.
    """
    first, depth = readings[0], depths[0]
    count, readout = first.run.thoughts, first.scores.readout
    lines, compare = [IMPORT, "", view.source.code, f"node = {concept!r}", "", *_trace(first, "")], ""
    for reading, other in zip(readings[1:], depths[1:], strict=True):
        if reading.fixed is not None:
            compare = f", compare={other}"
            continue
        graph = f'trace_beside.graph({other}, "{reading.scores.readout}", node=node).show()'
        lines += ["", *_trace(reading, "_beside"), graph]
        if comparable(readings, depths):
            compare = ", compare=trace_beside"
    return "\n".join([
        *lines,
        "",
        f'trace.graph({depth}, "{readout}", node=node{compare}).show()',
        f'trace.strip("{readout}").show()',
        f'trace.curve(node, "{readout}").show()',
        f"model.search_tree(problem, thoughts={count}).show()",
        *([f"model.lens_layers(problem, thoughts={count}).show()"] if count else []),
        f'print(trace.frame("{readout}"))',
        f"print(trace.arrays.continuations[{depth}])",
        f'print(model.answer(problem, thoughts={count}, says="{first.run.says}")[0])',
    ])  # fmt: skip


def population(reading: str, run: Run, source: Source, controls: Sequence[str]) -> str:
    """Return the script of the page Population: a reading of a whole set, with its controls, by their names."""
    return "\n".join([
        IMPORT,
        "",
        source.code,
        f"result = wb.read({reading!r}, {catalog.shown(run.path)!r}, problems, {list(controls)!r}, "
        f"thoughts={run.thoughts})",
        "result.show()",
        "print(result.frame)",
    ])  # fmt: skip


def training(home: Path, count: int, source: Source, readout: str) -> str:
    """Return the script of the page Training: one problem at every checkpoint of a run.

    Args:
        home: The run directory.
        count: Number of thoughts.
        source: Where the problem comes from.
        readout: What is read.
    """
    return "\n".join([
        IMPORT,
        "",
        source.code,
        f'result = wb.read_checkpoints({catalog.shown(home)!r}, problem, "{readout}", thoughts={count})',
        "result.show()",
        "print(result.frame)",
    ])  # fmt: skip


def steps(run: Run, item: str, file: str, others: int) -> str:
    """Return the script of the page Steps: one problem without a graph.

    Args:
        run: The run chosen.
        item: Id of the problem.
        file: The set that it is of, as it is shown.
        others: How many other problems a chain in words is read beside.
    """
    head = [
        IMPORT,
        "",
        f"problems = wb.load_problems({file!r})",
        f"problem = next(one for one in problems if one.id == {item!r})",
        f"model = wb.load({catalog.shown(run.path)!r})",
    ]
    spoken = [
        f"others = [one for one in problems if one.id != problem.id][:{others}]",
        f"chain = wb.said_chain(model.checkpoint, problem, others, thoughts={run.thoughts})",
        "print(chain.frame)  # its steps in words, each beside the solution's, with probability and chance",
        "print(chain.answer, chain.right, chain.forced)",
    ]
    thought = [
        f"trace = model.trace(problem, thoughts={run.thoughts})",
        "for number, tokens in enumerate(trace.arrays.top_tokens, 1):",
        "    print(number, tokens[:5])",
        "print(trace.arrays.values)  # [thought, step]: probability of each step's value; None without values",
        f"print(model.answer(problem, thoughts={run.thoughts})[0])",
    ]
    says = run.checkpoint.says == "chain"
    return "\n".join([*head, *(spoken if says else []), *(thought if run.thoughts or not says else [])])


def interventions(view: View, plan: Plan, control: str | None, depth: int, file: Path | None) -> str:
    """Return the script of the page Interventions.

    Args:
        view: What is chosen.
        plan: What is done.
        control: The control beside it.
        depth: After how many thoughts the graphs are drawn.
        file: Of the set that the problem is of, which sources and means are taken from.
    """
    others = ""
    codes = any(getattr(one, "space", "") == "codes" for one in plan.interventions)
    if plan.needs_set or codes or set(plan.sources) - {"twin"}:
        path = catalog.shown(file) if file else "YOUR FILE.json"
        others = f", others=wb.load_problems({path!r})"
    return "\n".join([
        to_code(plan).replace(f"{IMPORT}\n", f"{IMPORT}\n\n{view.source.code}", 1),
        f"model = wb.load({catalog.shown(view.run.path)!r})",
        "",
        f"result = model.intervene(problem, plan, {control!r}, thoughts={view.run.thoughts}{others})",
        "for trace in (result.before, result.after):",
        f'    trace.graph({depth}, "{view.readout}").show()',
        "result.show()",
        "print(result.answers)",
    ])  # fmt: skip


def _trace(reading: Reading, suffix: str) -> list[str]:
    asked = repr(reading.problem.question) if reading.told else "problem"
    return [
        f"model{suffix} = wb.load({catalog.shown(reading.run.path)!r})",
        f"trace{suffix} = model{suffix}.trace({asked}, thoughts={reading.run.thoughts})",
    ]
