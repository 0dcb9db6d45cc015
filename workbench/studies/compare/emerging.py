"""How the breadth emerged: what the thoughts of every run show at each kept checkpoint, target excluded."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError
from workbench.figures import emergence_of_runs
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.statistics import summarise
from workbench.readings.emergence import appearance
from workbench.studies.compare.extras import CONTROL, NO_THOUGHTS, is_made, read_emergence, why_not
from workbench.studies.compare.outcome import TaskReport
from workbench.studies.compare.suite import SuiteEmergence
from workbench.studies.pages import NONE, Column, Section, Table
from workbench.train.methods import METHODS

ELSEWHERE = pl.col("mass") == pl.col("mass_without_target")
"""The target is not among the nodes at the hop."""


def emergence_section(task: TaskReport, how: SuiteEmergence) -> tuple[Section, list[dict[str, Any]]]:
    """Return the section of a page about a task, and the numbers of its table for programs.

    Args:
        task: What is there of it.
        how: As the suite says.
    """
    read, none, missing = dict[str, pl.DataFrame](), dict[str, list[str]](), []
    for run, at in task.runs:
        name, file = (task.sets[0].name, Path(task.sets[0].file)) if task.sets else ("", Path())
        if not (name and at.finished and is_made(run.directory, "emergence", name, file, how)):
            missing.append(run.key)
        elif why := why_not(run.directory, "emergence", name):
            told = METHODS[run.method.name].title if why == NO_THOUGHTS else run.key
            none.setdefault(why, []).append(told)
        else:
            labels = {"key": run.key, "method": METHODS[run.method.name].title, "seed": run.seed}
            read[run.key] = at_hops(read_emergence(run.directory, name)).with_columns(
                pl.lit(value).alias(label) for label, value in labels.items()
            )
    intro = [f"No curve of {', '.join(dict.fromkeys(runs))}: {why}." for why, runs in none.items()]
    intro += [f"Not read, or not as the suite says: {', '.join(missing)}."] if missing else []
    title = f"{task.task.name}: how the breadth emerged"
    if not read:
        return Section(title, tuple(intro), (), ()), []
    every = pl.concat(read.values())
    count = every["problem"].n_unique()
    intro.insert(
        0,
        f"The first {count} problems of the set {task.sets[0].name} at every checkpoint that a run kept. The question "
        "names the target, so what the LM head of a thought gives it may be copied: it is left out. Step 0: what the "
        "run began from, where that is another model. The lines are of the last thought about a hop.",
    )
    found = [row for table in read.values() for row in _appearances(table)]
    return Section(title, tuple(intro), (_table(found),), tuple(_figures(every))), found


def at_hops(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the last thought about each hop; with two thoughts a step the first is left out."""
    return table.filter(pl.col("thought") == pl.col("thought").max().over("hop_read"))


def _figures(every: pl.DataFrame) -> list[go.Figure]:
    found = []
    about = "Over problems whose target is at another hop. "
    for name, rows, told in (("mass_without_target", every, ""), ("breadth", every.filter(ELSEWHERE), about)):
        # One control for all: what a model of this size with random weights shows depends on no training.
        control = rows.filter(pl.col(RUN) == CONTROL).with_columns(method=pl.lit(CONTROL), seed=pl.lit(0))
        own = rows.filter(pl.col(RUN) == MODEL)
        parts = [own, control.with_columns(pl.col("seed").cast(own.schema["seed"]))]
        means = summarise(pl.concat(parts), name, ["method", "seed", "hop_read", "step"]).rename({"hop_read": "hop"})
        if len(means):
            found.append(emergence_of_runs(means, name, told))
    return found


def _appearances(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Return when the mass of a run appears, hop by hop, the control at the last step beside it."""
    try:
        found, other = appearance(table), appearance(table, run=CONTROL)
    except WorkbenchError:  # no problem has a node but the target at any hop
        return []
    ends = dict(other.select("thought", "last").iter_rows())
    hops = dict(table.select("thought", "hop_read").unique().iter_rows())
    about = table.select("key", "method", "seed").row(0, named=True)
    return [
        about | {"hop": hops[row["thought"]]} | row | {CONTROL: ends.get(row["thought"])}
        for row in found.iter_rows(named=True)
    ]


def _table(found: list[dict[str, Any]]) -> Table:
    def step(row: dict[str, Any], name: str) -> str:
        return NONE if row[name] is None else f"{row[name]:,}"

    rows = [
        (
            str(row["method"]), str(row["seed"]), str(row["hop"]), f"{row['chance']:.3f}", f"{row[CONTROL]:.3f}",
            f"{row['first']:.3f}", f"{row['last']:.3f} [{row['last_low']:.3f}, {row['last_high']:.3f}]",
            f"{row['rise']:+.3f} [{row['rise_low']:+.3f}, {row['rise_high']:+.3f}]",
            step(row, "above_chance_from"), step(row, "halfway"),
        )
        for row in found
    ]  # fmt: skip
    heads = (
        "seed", "hop", "chance", "untrained model", "first checkpoint", "last checkpoint", "rise",
        "above chance from step", "half of the rise by step",
    )  # fmt: skip
    note = (
        "Raw probability of the LM head on the nodes at the hop, target excluded; chance: uniform over the concepts in "
        "the problem. Above chance: the first checkpoint from which on the whole 95 % interval of mass less chance, "
        f"paired by problem, lies above zero; half of the rise where the rise does. {NONE}: it never does. Intervals "
        "are over graphs, of one run each, and not corrected for the number of rows."
    )
    return Table("When the mass appears", (Column("method", "text"), *map(Column, heads)), tuple(rows), (note,))
