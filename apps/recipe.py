"""The code that reproduces the view."""

from apps import shelf
from apps.view import Reading, View


def script(view: View, readings: list[Reading], depths: list[int], concept: str) -> str:
    """Return a script that computes the numbers on the page and opens the picture.

    Args:
        view: What is chosen.
        readings: What was read for it, one or two.
        depths: After how many thoughts, of each.
        concept: The concept chosen.
    """
    imports = {
        "from workbench.checkpoint import load_checkpoint",
        "from workbench.figures import node_curve, problem_graph, thought_strip",
        "from workbench.scores import node_scores",
        "from workbench.trace import answers, run",
        *view.source.imports,
    }
    order = sorted(imports, key=lambda line: (line.split()[1].startswith("workbench"), line))
    lines = [*order, "", view.source.code, f'node = problem.names.index("{concept}")', "", *_read(readings[0], "")]
    compare = ""
    depth, others = depths[0], readings[1:]
    for reading, other in zip(others, depths[1:], strict=True):
        lines += ["", *_read(reading, "_beside"), f"problem_graph(scores_beside, {other}, selected=node).show()"]
        if comparable(readings, depths):
            compare = ", compare=scores_beside"
    lines += [
        "",
        f"problem_graph(scores, {depth}, selected=node{compare}).show()",
        f"thought_strip(scores, depth={depth}).show()",
        f"node_curve(scores, node, depth={depth}).show()",
        "print(scores.to_frame())",
        f"print(trace.continuations[{depth}])",
        f"print(next(answers(checkpoint, [problem], {readings[0].run.thoughts}, says={readings[0].run.says!r})))",
    ]
    return "\n".join(lines)


def comparable(readings: list[Reading], depths: list[int]) -> bool:
    """Say whether the difference of two readings is one of like with like."""
    return len({(reading.scores.readout, depth) for reading, depth in zip(readings, depths, strict=True)}) == 1


def _read(reading: Reading, suffix: str) -> list[str]:
    run = reading.run
    return [
        f"checkpoint{suffix} = load_checkpoint({shelf.shown(run.path)!r})",
        f"trace{suffix} = next(run(checkpoint{suffix}, [problem], thoughts={run.thoughts}))",
        f'scores{suffix} = node_scores(trace{suffix}, "{reading.scores.readout}")',
    ]
