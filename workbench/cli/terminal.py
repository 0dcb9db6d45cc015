"""What the commands show in a terminal: progress while they work, tables when they are done."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, isnan
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from workbench.measure.evaluate import Evaluation
from workbench.measure.scores import NodeScores, node_scores
from workbench.measure.trace import Trace
from workbench.model.checkpoint import Checkpoint
from workbench.model.reader import has_reader, load_reader
from workbench.problems.graph import structure
from workbench.problems.problem import Item, Problem
from workbench.readings.second_model import TRAINED, steps_read

Advance = Callable[[int], None]
"""Called with the number of problems done since the last call."""

AT_ONCE = 1.0
"""Seconds within which what is done was mostly done before, by a run that goes on: it says nothing of the time left."""
OTHERS = 12
"""Other problems whose thoughts a second model reads for the chance level."""
SHOWN = 4
"""Nodes shown per readout and thought."""


def bars(*columns: Any) -> Progress:
    """Return lines of progress on standard error: a title and a bar, then the given columns."""
    # The time left follows from all that was done: a batch may take longer than the 30 seconds that rich looks back.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=Console(stderr=True),
        speed_estimate_period=inf,
    )


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Show a bar with counts, time spent and time left on standard error.

    Args:
        title: What is going on, without a dot.
        total: Problems in all.
    """
    with bars(MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as bar:
        task, began = bar.add_task(title, total=total), time.monotonic()
        bar.advance(task, 0)  # the time left is known from the first batch on, and not from the second

        def advance(count: int) -> None:
            bar.advance(task, count)
            if time.monotonic() - began < AT_ONCE:
                bar.reset(task, completed=int(bar.tasks[0].completed))
                bar.advance(task, 0)

        yield advance


@contextmanager
def counting(names: Sequence[str]) -> Iterator[Callable[[str, int | None], None]]:
    """Show a line for each of several jobs, with the answers given so far and the time spent, on standard error.

    Yields:
        Called with a job's name and the number of answers since the last call, None once it is done.
    """
    with bars(TextColumn("{task.completed:,} answers"), TimeElapsedColumn()) as bar:
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


def table(title: str, caption: str = "", *columns: str | tuple[str, dict[str, Any]], **options: Any) -> Table:
    """Return an empty table, title and caption at the left.

    Args:
        title: Above it.
        caption: Below it.
        columns: Headings, or a heading with settings of the column.
        options: Of the table.
    """
    made = Table(title=title, caption=caption or None, title_justify="left", caption_justify="left", **options)
    for column in columns:
        heading, settings = (column, {}) if isinstance(column, str) else column
        made.add_column(heading, **settings)
    return made


RIGHT: dict[str, Any] = {"justify": "right"}


def show(*lines: Table | str) -> None:
    """Print tables, and lines of text as they are, on standard output."""
    console = Console()
    for line in lines:
        console.print(line, markup=False, highlight=False) if isinstance(line, str) else console.print(line)


def evaluation_table(evaluation: Evaluation) -> Table:
    """Lay out an evaluation: a row per figure with interval, chance level and number of problems."""
    origin = evaluation.provenance
    model = f"{evaluation.checkpoint} ({evaluation.supervision})"
    made = table(
        f"{model} on {evaluation.n} problems, {evaluation.thoughts} thoughts",
        f"95 % intervals over graphs; seed {origin.seed}; commit {(origin.commit or 'unknown')[:12]}\n"
        + ", ".join(f"{name} {number}" for name, number in origin.versions.items()),
        "figure", ("value and interval", {"no_wrap": True}), ("chance", RIGHT), ("chance is", {"style": "dim"}),
        ("n", RIGHT),
    )  # fmt: skip
    for figure in evaluation.figures:
        made.add_row(figure.title, figure.shown, figure.shown_chance, figure.baseline, str(figure.estimate.n))
    return made


def runs_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Lay out runs: name, number of thoughts, how they were supervised."""
    made = table("Trained models", "", ("run", {"no_wrap": True}), ("thoughts", RIGHT), "supervision of its thoughts")
    for row in rows:
        made.add_row(*row)
    return made


def trace_table(trace: Trace, supervision: str) -> Table:
    """Lay out one problem: a row per number of thoughts, both readouts beside their chance, and the answer.

    Args:
        trace: Of the problem.
        supervision: How the model's thoughts were supervised.
    """
    problem = trace.problem
    if isinstance(problem, Item):
        return _steps_table(trace, problem, supervision)
    names = problem.names
    headings = ("LM head: likeliest nodes", "mass", "forced language: likeliest nodes", "mass", "answer")
    made = table(
        f"{problem.id}: is {names[problem.root]} a {names[problem.options[0]]} or {names[problem.options[1]]}?",
        f"Model: {trace.checkpoint}; supervision of its thoughts: {supervision}.\n"
        f"Right answer: {names[problem.target]}, {structure(problem).length} hops from {names[problem.root]}. "
        "Value: probability normalised over the concepts in the problem; * = on the frontier of the hop read.\n"
        "Mass: raw probability on that frontier; where the target is on it, also the same without the target. In "
        "brackets the chance level." + _about_thoughts(trace),
        ("thoughts", RIGHT),
        *((heading, {"overflow": "fold"}) for heading in headings),
        show_lines=True,
    )
    heads, forced = node_scores(trace, "lm_head"), node_scores(trace, "forced_language")
    for k, (answer, right) in enumerate(zip(trace.answer_texts, trace.answer_right, strict=True)):
        mark = "[green]✓[/green]" if right else "[red]✗[/red]"
        first = (_likeliest(heads, k - 1), _mass(heads, k - 1)) if k else ("–", "–")
        made.add_row(str(k), *first, _likeliest(forced, k), _mass(forced, k), f"{mark} {answer}")
    return made


def _steps_table(trace: Trace, item: Item, supervision: str) -> Table:
    """Lay out one item: a row per number of thoughts, what each thought decodes to beside the steps' values."""
    made = table(
        f"{item.id} (task {item.task}): {item.question}",
        f"Model: {trace.checkpoint}; supervision of its thoughts: {supervision}.\n"
        f"Right answer: {item.answer}, after {len(item.steps)} steps. Values: probability of the first token of what "
        f"each step newly says, under the LM head.{_about_thoughts(trace)}",
        ("thoughts", RIGHT),
        *((heading, {"overflow": "fold"}) for heading in ("step", "likeliest tokens", "values of the steps", "answer")),
        show_lines=True,
    )
    for k, (answer, right) in enumerate(zip(trace.answer_texts, trace.answer_right, strict=True)):
        mark = "[green]✓[/green]" if right else "[red]✗[/red]"
        step = trace.hop(k)
        said = escape(item.steps[step - 1]) if 0 < step <= len(item.steps) else "–"
        tokens = "  ".join(f"{token} {share:.2f}" for token, share in trace.top_tokens[k - 1][:SHOWN]) if k else "–"
        shares = trace.values[k - 1].tolist() if k and trace.values is not None else []
        values = "  ".join(f"{value} {share:.2f}" for value, share in zip(item.values, shares, strict=False)) or "–"
        made.add_row(str(k), said, escape(tokens), escape(values), f"{mark} {escape(answer)}")
    return made


def second_model(
    path: str | Path, checkpoint: Checkpoint, trace: Trace, asked: Sequence[Problem] | Sequence[Item]
) -> list[str]:
    """Return what a second model says of the thoughts about an item, a line for each step; nothing where there is none.

    Args:
        path: Where the checkpoint lies.
        checkpoint: What was traced.
        trace: Of the item.
        asked: The problems of its file, whose thoughts give the chance level.
    """
    if not has_reader(checkpoint) or not isinstance(trace.problem, Item):
        return []
    others = [one for one in asked if isinstance(one, Item) and one.id != trace.problem.id][:OTHERS]
    marks = {True: "right", False: "wrong", None: "no solution to compare it with"}
    return [
        f"Second model, {TRAINED}: of thought {row['thoughts']} it says {row['says'] or '(nothing)'} "
        f"({marks[row['right']]}; "
        + (
            "no chance level)"
            if row["chance"] is None
            else f"chance {row['chance']:.2f}, {len(others)} other problems)"
        )
        for row in steps_read(checkpoint, load_reader(path, checkpoint), trace, others).iter_rows(named=True)
    ]


def _about_thoughts(trace: Trace) -> str:
    """Say what is told apart of thoughts that are fed as other vectors, or that a rule ends; nothing of the others."""
    apart = "\nWhat is fed as a thought is another vector than what its LM head reads; values are of what is read."
    ended = f"\nThe model's own rule ends its thoughts after {trace.stop}; rows below stand for as many."
    return (apart if trace.fed is not None else "") + (ended if trace.stop is not None else "")


def _likeliest(scores: NodeScores, row: int) -> str:
    names = scores.problem.names
    values = {node: float(v) for node, v in enumerate(scores.value[row]) if not isnan(v)}
    best = sorted(values, key=lambda node: -values[node])[:SHOWN]
    return "  ".join(f"{names[node]}{'*' if scores.on_frontier[row, node] else ''} {values[node]:.2f}" for node in best)


def _mass(scores: NodeScores, row: int) -> str:
    if not scores.frontier_size[row]:
        return "no frontier"
    shown = f"{scores.candidate_mass[row]:.2f} ({scores.even_mass(scores.on_frontier)[row]:.2f})"
    if not scores.on_frontier[row, scores.problem.target]:
        return shown
    other, chance = scores.mass_without_target[row], scores.even_mass(scores.without_target)[row]
    return f"{shown}\nwithout target: {'no node' if isnan(other) else f'{other:.2f} ({chance:.2f})'}"
