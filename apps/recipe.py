"""The code that reproduces the view."""

from apps import shelf
from apps.view import Run, View


def script(view: View, depth: int, concept: str) -> str:
    """Return a script that computes the numbers on the page and opens the picture.

    Args:
        view: What is chosen.
        depth: After how many thoughts.
        concept: The concept chosen.
    """
    imports = {
        "from workbench.checkpoint import load_checkpoint",
        "from workbench.figures import node_curve, problem_graph, thought_strip",
        "from workbench.scores import node_scores",
        "from workbench.trace import run",
        *view.source.imports,
    }
    order = sorted(imports, key=lambda line: (line.split()[1].startswith("workbench"), line))
    lines = [*order, "", view.source.code, f'node = problem.names.index("{concept}")', "", *_read(view.run, "", view)]
    compare = ""
    if view.beside is not None:
        lines += ["", *_read(view.beside, "_beside", view)]
        compare = ", compare=scores_beside"
    lines += [
        "",
        f"problem_graph(scores, {depth}, selected=node{compare}).show()",
        f"thought_strip(scores, depth={depth}).show()",
        f"node_curve(scores, node, depth={depth}).show()",
        "print(scores.to_frame())",
        f"print(trace.continuations[{depth}])",
    ]
    return "\n".join(lines)


def _read(run: Run, suffix: str, view: View) -> list[str]:
    return [
        f"checkpoint{suffix} = load_checkpoint({shelf.shown(run.path)!r})",
        f"trace{suffix} = next(run(checkpoint{suffix}, [problem], thoughts={view.thoughts}))",
        f'scores{suffix} = node_scores(trace{suffix}, "{view.readout}")',
    ]
