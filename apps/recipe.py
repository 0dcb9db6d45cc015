"""The code that reproduces what is on a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from apps.view import Reading, Run, Source, View
from workbench import catalog


def script(view: View, readings: list[Reading], depths: list[int], concept: str) -> str:
    """Return a script that computes the numbers on the page and opens the picture.

    Args:
        view: What is chosen.
        readings: What was read for it, one or two.
        depths: After how many thoughts, of each.
        concept: The concept chosen.
    """
    imports = {
        "from workbench.model.checkpoint import load_checkpoint",
        "from workbench.figures import node_curve, problem_graph, thought_strip",
        "from workbench.figures.layers import problem_lens",
        "from workbench.figures.thoughts import search_tree",
        "from workbench.readings.lenses import RAW, read_lenses",
        "from workbench.measure.recording import record",
        "from workbench.measure.scores import node_scores",
        "from workbench.measure.search_tree import search_tree_frame, spell",
        "from workbench.measure.trace import answers, run",
        *view.source.imports,
    }
    lines = [
        *_sorted(imports),
        "",
        view.source.code,
        f'node = problem.names.index("{concept}")',
        "",
        *_read(readings[0], ""),
    ]
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
        f"search_tree(search_tree_frame(problem, spell(checkpoint, problem, {readings[0].run.thoughts}))).show()",
        f"lenses = read_lenses(record(checkpoint, [problem], {readings[0].run.thoughts}), [])",
        "problem_lens(lenses, problem.id, RAW).show()",
        "print(scores.to_frame())",
        f"print(trace.continuations[{depth}])",
        f"print(next(answers(checkpoint, [problem], {readings[0].run.thoughts}, says={readings[0].run.says!r})))",
    ]
    return "\n".join(lines)


def population(reading: str, run: Run, source: Source, controls: Sequence[str]) -> str:
    """Return a script that reads a whole set and opens the figures.

    Args:
        reading: Name of the reading.
        run: What is run.
        source: Where the problems come from.
        controls: Names of the controls.
    """
    imports = {
        "from workbench.model.checkpoint import load_checkpoint",
        "from workbench.readings import find_reading",
        "from workbench.measure.recording import record",
        *source.imports,
    }
    if controls:
        imports.add("from workbench.measure.recording import record_controls")
    lines = [
        *_sorted(imports),
        "",
        source.code,
        f"own = record(load_checkpoint({catalog.shown(run.path)!r}), problems, {run.thoughts})",
        f"recordings = [own, *record_controls(own, {list(controls)!r})]" if controls else "recordings = [own]",
        "",
        f"reading = find_reading({reading!r})",
        "frame = reading.frame(recordings)",
        "for figure in reading.figures(frame):",
        "    figure.show()",
        "print(frame)",
    ]
    return "\n".join(lines)


def training(home: Path, thoughts: int, source: Source, readout: str) -> str:
    """Return a script that reads one problem at every checkpoint of a run and opens the figure.

    Args:
        home: The run directory.
        thoughts: Number of thoughts.
        source: Where the problem comes from.
        readout: What is read.
    """
    imports = {
        "import polars as pl",
        "from workbench.model.checkpoint import load_checkpoint",
        "from workbench.figures.training import mass_over_checkpoints",
        "from workbench.measure.scores import statistics_frame",
        "from workbench.measure.scores import node_scores",
        "from workbench.train.state import stage_checkpoints",
        "from workbench.measure.trace import run",
        *source.imports,
    }
    lines = [
        *_sorted(imports),
        "",
        source.code,
        "tables = []",
        f"for kept in stage_checkpoints({catalog.shown(home)!r}):",
        f"    trace = next(run(load_checkpoint(kept.path), [problem], thoughts={thoughts}))",
        f'    table = statistics_frame([node_scores(trace, "{readout}")])',
        "    tables.append(table.with_columns(step=pl.lit(kept.step)))",
        "mass_over_checkpoints(pl.concat(tables)).show()",
    ]
    return "\n".join(lines)


def comparable(readings: list[Reading], depths: list[int]) -> bool:
    """Say whether the difference of two readings is one of like with like."""
    return len({(reading.scores.readout, depth) for reading, depth in zip(readings, depths, strict=True)}) == 1


def _sorted(imports: Iterable[str]) -> list[str]:
    return sorted(imports, key=lambda line: (line.split()[1].startswith("workbench"), line))


def _read(reading: Reading, suffix: str) -> list[str]:
    run = reading.run
    return [
        f"checkpoint{suffix} = load_checkpoint({catalog.shown(run.path)!r})",
        f"trace{suffix} = next(run(checkpoint{suffix}, [problem], thoughts={run.thoughts}))",
        f'scores{suffix} = node_scores(trace{suffix}, "{reading.scores.readout}")',
    ]
