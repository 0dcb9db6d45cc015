"""What the commands show in a terminal: progress while they work, tables when they are done."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from workbench.measure.evaluate import Evaluation
from workbench.measure.scores import NodeScores, node_scores
from workbench.measure.trace import Trace
from workbench.problems.graph import structure

Advance = Callable[[int], None]
"""Called with the number of problems done since the last call."""

SHOWN = 4
"""Nodes shown per readout and thought."""


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show a bar with counts, time spent and time left on standard error.

    Args:
        title: What is going on, without a dot.
        total: Problems in all.
        done: Problems done before, by a run that was interrupted.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda count: bar.advance(task, count)


@contextmanager
def counting(names: Sequence[str]) -> Iterator[Callable[[str, int | None], None]]:
    """Show a line for each of several jobs, with the answers given so far and the time spent, on standard error.

    Yields:
        Called with a job's name and the number of answers since the last call, None once it is done.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} answers"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=False) as bar:
        lines = {name: bar.add_task(name, total=None, start=False) for name in names}

        def count(name: str, more: int | None) -> None:
            bar.start_task(lines[name])
            if more is None:
                done = next(task.completed for task in bar.tasks if task.id == lines[name])
                bar.update(lines[name], total=done, completed=done)
                bar.stop_task(lines[name])
            else:
                bar.advance(lines[name], more)

        yield count


def evaluation_table(evaluation: Evaluation) -> Table:
    """Lay out an evaluation: a row per figure with interval, chance level and number of problems."""
    origin = evaluation.provenance
    table = Table(
        title=f"{evaluation.checkpoint} on {evaluation.n} problems, {evaluation.thoughts} thoughts",
        caption=f"95 % intervals over problems; seed {origin.seed}; commit {(origin.commit or 'unknown')[:12]}\n"
        + ", ".join(f"{name} {number}" for name, number in origin.versions.items()),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("figure")
    table.add_column("value and interval", no_wrap=True)
    table.add_column("chance", justify="right")
    table.add_column("chance is", style="dim")
    table.add_column("n", justify="right")
    for figure in evaluation.figures:
        table.add_row(figure.title, figure.shown, figure.shown_chance, figure.baseline, str(figure.estimate.n))
    return table


def trace_table(trace: Trace) -> Table:
    """Lay out one problem: a row per number of thoughts, both readouts beside their chance, and the answer."""
    problem = trace.problem
    names = problem.names
    table = Table(
        title=f"{problem.id}: is {names[problem.root]} a {names[problem.options[0]]} or {names[problem.options[1]]}?",
        caption=f"Right answer: {names[problem.target]}, {structure(problem).length} hops from {names[problem.root]}. "
        "Value: probability normalised over the concepts in the problem; * = on the frontier of the hop read.\n"
        "Mass: raw probability on that frontier; in brackets its chance level.",
        title_justify="left",
        caption_justify="left",
        show_lines=True,
    )
    table.add_column("thoughts", justify="right")
    for title in ("LM head: likeliest nodes", "mass", "forced language: likeliest nodes", "mass", "answer"):
        table.add_column(title, overflow="fold")
    heads, forced = node_scores(trace, "lm_head"), node_scores(trace, "forced_language")
    for k, (answer, right) in enumerate(zip(trace.answer_texts, trace.answer_right, strict=True)):
        mark = "[green]✓[/green]" if right else "[red]✗[/red]"
        first = (_likeliest(heads, k - 1), _mass(heads, k - 1)) if k else ("–", "–")
        table.add_row(str(k), *first, _likeliest(forced, k), _mass(forced, k), f"{mark} {answer}")
    return table


def _likeliest(scores: NodeScores, row: int) -> str:
    names = scores.problem.names
    values = {node: float(v) for node, v in enumerate(scores.value[row]) if not isnan(v)}
    best = sorted(values, key=lambda node: -values[node])[:SHOWN]
    return "  ".join(f"{names[node]}{'*' if scores.on_frontier[row, node] else ''} {values[node]:.2f}" for node in best)


def _mass(scores: NodeScores, row: int) -> str:
    mass = float(scores.candidate_mass[row])
    if isnan(mass):
        return "no frontier"
    return f"{mass:.2f} ({scores.frontier_size[row] / int(scores.structure.concepts.sum()):.2f})"
