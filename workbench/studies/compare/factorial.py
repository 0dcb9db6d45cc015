"""What makes the superposition? A factorial of start, loss and seed: its cells, the verdicts on them, and the page.

The start is what a run begins from, the loss what a thought's LM head and the words are asked for. A cell is a start
and a loss; its numbers are means over its seeds, and their intervals hold seeds and graphs (`across_seeds`).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
from jaxtyping import Float

from workbench.figures.suites import mass_by_cell
from workbench.files import write_whole
from workbench.measure.provenance import provenance
from workbench.measure.statistics import Estimate, across_seeds
from workbench.measure.verdicts import FEWEST, Check, Ruling, Verdict, judge_page
from workbench.problems.files import load_any
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import RULES, floor
from workbench.studies.compare.measure import is_measured, read_measured
from workbench.studies.compare.suite import (
    PlannedRun,
    Standing,
    Suite,
    SuiteTask,
    chosen_runs,
    plan_starts,
    present_sets,
    standing,
)
from workbench.studies.pages import NONE, Column, Table, drawings, render, write_html
from workbench.train.methods import METHODS, Method

FACTORIAL_SCHEMA = 1
"""Version of superposition.json."""
SEEDS = 3
"""Seeds below which a cell, or a difference of cells, is undecided whatever its interval."""
ABOVE = 0.10
"""A thought holds its hop if its mass there, target excluded, exceeds chance by so much."""
SPREAD = 0.25
"""It holds several of its nodes if of the others than one so many count, in effective number."""
HOPS = (2, 3)
"""Thoughts, and the hops they are about, that a cell is judged by: hop 1 is a look-up, hop 4 is the target's."""
WHERE = {"none": "from scratch", "words": "after one sampled child in words", "walks24": "after 24 sampled walks"}
"""How a sentence calls the starts of the suite that ships, by their names."""

NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0)
"""Of a cell without a run."""
Values = Float[np.ndarray, "seeds problems"]


@dataclass(frozen=True, eq=False)
class Cell:
    """A start and a loss, with the runs of it that are finished and measured."""

    start: str
    method: Method
    planned: int
    """Seeds that the suite names."""
    seeds: tuple[int, ...]
    """Those that are there."""
    under_way: tuple[tuple[int, int], ...]
    """Seed and step of those that have begun."""
    tables: tuple[pl.DataFrame, ...]
    """`thoughts_frame` of each seed."""

    @property
    def loss(self) -> str:
        """What its loss asks for."""
        return self.method.asked

    @property
    def name(self) -> str:
        """In tables: "words, next node asked"."""
        return f"{self.start}, {self.loss}"

    @cached_property
    def graphs(self) -> np.ndarray:
        """Name of each problem's graph, [problems]."""
        return self._at(self.tables[0], 1)["graph"].to_numpy()

    def values(self, expression: str | pl.Expr, thought: int = 1) -> Values:
        """Return a column of the thoughts table at one thought; nan where it is undefined or there is no such one."""
        number = (pl.col(expression) if isinstance(expression, str) else expression).cast(pl.Float64)
        found = np.full((len(self.tables), len(self.graphs)), np.nan)
        for row, table in zip(found, self.tables, strict=True):
            if not (part := self._at(table, thought)).is_empty():
                row[:] = part.select(number.fill_null(float("nan"))).to_series().to_numpy()
        return found

    def estimate(self, expression: str | pl.Expr, thought: int = 1) -> Estimate:
        """Estimate the mean of a column at one thought; nan where the cell has no run."""
        if not self.seeds:
            return NOTHING
        return across_seeds(self.values(expression, thought), self.graphs)

    def share(self, above: str | pl.Expr, below: str | pl.Expr, thought: int) -> Estimate:
        """Estimate the sum of one column over the sum of another, linearised about it (Cochran 1977, section 2.11)."""
        if not self.seeds:
            return NOTHING
        over, under = self.values(above, thought), self.values(below, thought)
        there = ~np.isnan(over) & ~np.isnan(under)
        over, under = np.where(there, over, 0), np.where(there, under, 0)
        total = under.sum(1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):  # nan where nothing is counted
            ratio = over.sum(1, keepdims=True) / total
            about = ratio + (over - ratio * under) / (total / there.sum(1, keepdims=True))
        return across_seeds(np.where(there, about, np.nan), self.graphs)

    @staticmethod
    def _at(table: pl.DataFrame, thought: int) -> pl.DataFrame:
        return table.filter(pl.col("thought") == thought)


LESS_CHANCE = pl.col("mass_without_target") - pl.col("mass_without_target_chance")
NOT_TARGETS = (pl.col("frontier_size") > 1) & (pl.col("steps") != pl.col("hop_read"))
"""Where a thought could hold several nodes, and the target is none of them."""
MORE_COUNTED = pl.when(NOT_TARGETS).then(pl.col("breadth") - 1)
MORE_THERE = pl.when(NOT_TARGETS).then(pl.col("frontier_size") - 1)


def checks_of(cell: Cell) -> list[Check]:
    """Return what must hold of a cell for its thoughts to be a superposition of the nodes at their hops."""
    found = []
    for k in HOPS:
        found.append(Check(f"mass at hop {k} less chance", cell.estimate(LESS_CHANCE, k), at_least=ABOVE))
        found.append(Check(f"others counted at hop {k}", cell.share(MORE_COUNTED, MORE_THERE, k), at_least=SPREAD))
    return found


@dataclass(frozen=True)
class Effect:
    """What one level of a factor adds to another, averaged over the other factor."""

    name: str
    estimate: Estimate
    seeds: int
    cells: int
    """Pairs of cells that it is the mean of; those where one is not trained are left out."""


def effects(cells: Sequence[Cell]) -> list[Effect]:
    """Return what each start adds to the first one and each loss to the one before it, in mass at hops 2 and 3.

    Both cells of a pair answer the same problems, seed by seed from the same draws of training: the differences are
    paired.
    """
    starts = list(dict.fromkeys(cell.start for cell in cells))
    losses = sorted({cell.method.name for cell in cells}, key=_place_of_loss)
    by = {(cell.start, cell.method.name): cell for cell in cells}
    base = "none" if "none" in starts else starts[-1]
    pairs = [
        (f"start {one} less {base}", [(by.get((one, loss)), by.get((base, loss))) for loss in losses])
        for one in starts
        if one != base
    ]
    pairs += [
        (
            f"{METHODS[two].asked} less {METHODS[one].asked}",
            [(by.get((start, two)), by.get((start, one))) for start in starts],
        )
        for one, two in pairwise(losses)
    ]
    return [_effect(name, [(one, two) for one, two in both if one and two]) for name, both in pairs]


def _effect(name: str, pairs: Sequence[tuple[Cell, Cell]]) -> Effect:
    pairs = [(one, two) for one, two in pairs if one.seeds and two.seeds]
    seeds = sorted(set.intersection(*({*cell.seeds} for pair in pairs for cell in pair))) if pairs else []
    if not seeds:
        return Effect(name, NOTHING, 0, 0)
    differences = [
        cells[0].values("mass_without_target", k)[_rows(cells[0], seeds)]
        - cells[1].values("mass_without_target", k)[_rows(cells[1], seeds)]
        for cells in pairs
        for k in HOPS
    ]
    # A problem where one of the hops holds nothing but the target counts with the others.
    with np.errstate(invalid="ignore"):
        summed = np.nansum(differences, 0) / np.maximum((~np.isnan(differences)).sum(0), 1)
    there = ~np.isnan(differences).all(0)
    return Effect(name, across_seeds(np.where(there, summed, np.nan), pairs[0][0].graphs), len(seeds), len(pairs))


def _rows(cell: Cell, seeds: Sequence[int]) -> list[int]:
    return [cell.seeds.index(seed) for seed in seeds]


def _place_of_loss(name: str) -> int:
    """Order losses by how much they say of a thought."""
    said = ("answers alone", "words only", "next node asked", "frontier asked")
    return said.index(METHODS[name].asked)


@dataclass(frozen=True)
class Judged:
    """The verdicts of a page, corrected for their number."""

    cells: dict[str, Ruling]
    """By name of the cell."""
    effects: dict[str, Ruling]


def judge_all(cells: Sequence[Cell], found: Sequence[Effect]) -> Judged:
    """Judge every cell and effect; those with fewer seeds than `SEEDS` are undecided, or not trained."""
    trained = [cell for cell in cells if len(cell.seeds) >= SEEDS]
    told = [one for one in found if one.seeds >= SEEDS]
    rulings = judge_page(
        [*(checks_of(cell) for cell in trained), *([Check(one.name, one.estimate, at_least=0.0)] for one in told)]
    )
    ruled = dict(zip([*(cell.name for cell in trained), *(one.name for one in told)], rulings, strict=True))
    few, none = Ruling("undecided"), Ruling("not measured")
    return Judged(
        {cell.name: ruled.get(cell.name, few if cell.seeds else none) for cell in cells},
        {one.name: ruled.get(one.name, few if one.seeds else none) for one in found},
    )


def conclusion(cells: Sequence[Cell], judged: Judged) -> str:
    """Return the one sentence that the verdicts say, whichever way they fall."""

    def of(*verdicts: Verdict) -> list[Cell]:
        return [cell for cell in cells if judged.cells[cell.name].verdict in verdicts]

    parts = [f"Shown {_where(of('holds'), cells)}"]
    told = {
        "not so": of("does not hold"),
        "undecided": [cell for cell in of("undecided", "too few") if len(cell.seeds) >= SEEDS],
        f"undecided (fewer than {SEEDS} seeds)": [cell for cell in of("undecided") if len(cell.seeds) < SEEDS],
        "not trained": of("not measured"),
    }
    parts += [f"{what} {_where(some, cells)}" for what, some in told.items() if some]
    more = [name for name, ruling in judged.effects.items() if ruling.verdict == "holds"]
    less = [name for name, ruling in judged.effects.items() if ruling.verdict == "does not hold"]
    parts += [f"more mass with {_and(more)}"] if more else []
    parts += [f"less mass with {_and(less)}"] if less else []
    claim = "thoughts 2 and 3 hold several nodes of their hop (LM head, target excluded)"
    return f"{'; '.join(parts)}. The claim: {claim}."


def _where(some: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """Return cells in words, losses gathered by start: "from scratch with words only and frontier asked"."""
    if len(some) == len(cells):
        return "in every cell"
    said = []
    for start in dict.fromkeys(cell.start for cell in some):
        losses = [cell.loss for cell in some if cell.start == start]
        every = len(losses) == sum(cell.start == start for cell in cells)
        where = WHERE.get(start, f"from {start}")
        said.append(f"{where} with every loss" if every else f"{where} with {_and(losses)}")
    return _and(said) if said else "in no cell"


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


# What is there of a suite


def gather_cells(task: SuiteTask, runs: Iterable[PlannedRun], name: str, file: Path) -> list[Cell]:
    """Return the cells of a task in the order of its starts and of the losses, with what is finished and measured.

    Args:
        task: With starts.
        runs: Of it.
        name: Of the problem set.
        file: Of the problem set.
    """
    by: dict[tuple[str, str], list[tuple[PlannedRun, Standing]]] = {}
    for run in runs:
        by.setdefault((run.start, run.method.name), []).append((run, standing(run)))
    cells = []
    for start in task.starts:
        for method in sorted(task.methods, key=_place_of_loss):
            own = by.get((start, method), [])
            done = [(run, at) for run, at in own
                    if at.finished and is_measured(run.directory, name, file, "superposition")]  # fmt: skip
            tables = tuple(read_measured(run.directory, name, "superposition")[0] for run, _ in done)
            under_way = tuple((run.seed, at.step) for run, at in own if (run, at) not in done and at.step)
            seeds = tuple(run.seed for run, _ in done)
            cells.append(Cell(start, METHODS[method], task.seeds_of(method), seeds, under_way, tables))
    return cells


def report(suite: Suite, out: Path, only: Sequence[str], failed: Mapping[str, str], command: str) -> Path:
    """Write the page of what is there of a factorial (index.html, superposition.md, superposition.json); return it.

    Args:
        suite: What was run; its first task is shown, on its first problem set.
        out: The suite's directory; the page goes to `report/`.
        only: Methods; none for all.
        failed: Last error line by key of the run.
        command: As the user typed it; the page names it.
    """
    task, directory = suite.tasks[0], out / "report"
    name, file = next(iter(present_sets(task)[0].items()))
    runs = [run for run in chosen_runs(suite, out, only) if run.task is task]
    cells, problems = gather_cells(task, runs, name, file), load_any(file)
    found = effects(cells)
    judged = judge_all(cells, found)
    graphs = [problem for problem in problems if isinstance(problem, Problem)]
    context = {
        "suite": suite.name,
        "command": command,
        "conclusion": conclusion(cells, judged),
        "rule": _rule(name, len(graphs)),
        "notes": _notes(suite, task, out, runs, cells, failed),
        "tables": tables_of(cells, graphs, found, judged),
        "origin": asdict(provenance(0)),
    }
    drawn = [figure_of(cells)] if any(cell.seeds for cell in cells) else []
    alt = [one.layout.meta["alt"] for one in drawn]  # type: ignore[index]
    write_whole(directory / "superposition.md", render("superposition.md", **context, pictures=alt))
    write_whole(directory / "superposition.json", json.dumps(_as_dict(suite, cells, found, judged), indent=1) + "\n")
    return write_html(directory / "index.html", "superposition.html", **context, drawn=drawings(drawn))


def _rule(name: str, count: int) -> str:
    return (
        f"On the {count} problems of the set {name}. A cell (a start and a loss) holds a superposition on two "
        "conditions. The mass of thoughts 2 and 3 on the nodes at their hop, target excluded, exceeds chance by more "
        f"than {ABOVE:.2f}. And the effective number of these nodes less 1 is more than {SPREAD:.2f} of their number "
        "less 1, where the target is not at that hop. Whole 95 % intervals over seeds and graphs decide, corrected for "
        f"all verdicts of the page; with fewer than {SEEDS} seeds a cell is undecided, with fewer than {FEWEST} graphs "
        "nothing is said."
    )


def _notes(
    suite: Suite, task: SuiteTask, out: Path, runs: Sequence[PlannedRun], cells: Sequence[Cell],
    failed: Mapping[str, str],
) -> list[str]:  # fmt: skip
    """Return what has to be known of the runs: their starts, what differs, what is missing."""
    notes = [f"Start {start}: {_about_start(suite, out, start, task.starts[start])}." for start in task.starts]
    done = sum(len(cell.seeds) for cell in cells)
    notes.append(f"{done} of {sum(cell.planned for cell in cells)} runs are finished and measured.")
    for cell in cells:
        notes += [f"{cell.name}, seed {seed}: at step {step:,}, not counted." for seed, step in cell.under_way]
    for run in runs:
        if differs := standing(run).differs:
            notes.append(f"{run.key} holds a run with other settings ({', '.join(differs)}) and is not counted.")
        elif run.key in failed:
            notes.append(f"{run.key} failed: {failed[run.key]}")
    return notes


def _about_start(suite: Suite, out: Path, start: str, given: str) -> str:
    if not given:
        return "random weights"
    if not given.endswith(".yaml"):
        return f"the checkpoint {given}"
    trained = next(run for run in plan_starts(suite, out) if run.start == start)
    return f"trained by {Path(given).name}, {standing(trained).step:,} steps"


# The picture and the tables


def figure_of(cells: Sequence[Cell]) -> go.Figure:
    """Draw the mass of the judged thoughts by start and loss, every seed as a point beside the mean."""
    means, points = [], []
    for cell in cells:
        for k in HOPS if cell.seeds else ():
            made = cell.estimate("mass_without_target", k)
            if np.isnan(made.value):
                continue
            chance = cell.estimate("mass_without_target_chance", k).value
            means.append((cell.start, cell.loss, k, made.value, made.low, made.high, len(cell.seeds), chance))
            of_seeds = np.nanmean(cell.values("mass_without_target", k), 1).tolist()
            points += [(cell.start, cell.loss, k, seed, v) for seed, v in zip(cell.seeds, of_seeds, strict=True)]
    return mass_by_cell(
        pl.DataFrame(means, ["start", "loss", "hop", "value", "low", "high", "n", "chance"], orient="row"),
        pl.DataFrame(points, ["start", "loss", "hop", "seed", "value"], orient="row"),
        list(dict.fromkeys(cell.start for cell in cells)),
        list(dict.fromkeys(cell.loss for cell in cells)),
    )


def tables_of(
    cells: Sequence[Cell], problems: Sequence[Problem], found: Sequence[Effect], judged: Judged
) -> list[Table]:
    """Lay out all outcomes of all cells; a cell without a run is shown as not trained."""
    first = next((cell for cell in cells if cell.seeds), None)
    thoughts = sorted(first.tables[0]["thought"].unique()) if first else []
    best, scores = floor(problems)

    def by_thought(of: Callable[[Cell, int], Estimate], head: str = "thought {k}") -> dict[str, Outcome]:
        return {head.format(k=k): lambda cell, k=k: _told(of(cell, k)) for k in thoughts}

    def level(expression: str | pl.Expr) -> list[str]:
        return [f"{first.estimate(expression, k).value:.3f}" for k in thoughts] if first else []

    masses = _table(
        cells, "Mass on the nodes at the thought's hop, target excluded",
        {
            **by_thought(lambda cell, k: cell.estimate("mass_without_target", k)),
            "superposition": lambda cell: judged.cells[cell.name].verdict
            + (f" ({len(cell.seeds)} of {SEEDS} seeds)" if len(cell.seeds) < SEEDS else ""),
        },
        {"chance, uniform over the concepts": level("mass_without_target_chance")},
        "Raw probability under the LM head. The question names the target, so mass on it may be copied.",
    )  # fmt: skip
    elsewhere = _table(
        cells, "Mass with another target asked",
        {
            **by_thought(lambda cell, k: cell.estimate("mass_other_asked", k)),
            **by_thought(
                lambda cell, k: cell.estimate(pl.col("mass_other_asked") - pl.col("mass_of_others"), k),
                "less that with its own, thought {k}",
            ),
        },
        {"chance, uniform over the concepts": level("mass_of_others_chance")},
        "The same graph and root, another leaf in the question; on the nodes at the thought's hop that are neither of "
        "the two targets. A difference of zero would say that the thoughts do not depend on what is asked for.",
    )  # fmt: skip
    answers = _table(
        cells, "Answers, and whether the thoughts are needed",
        {
            "exact accuracy": lambda cell: _told(cell.estimate("right")),
            "forced choice": lambda cell: _told(cell.estimate("choice")),
            "forced choice, noise for thoughts": lambda cell: _told(cell.estimate("noise_choice")),
            "lost with noise": lambda cell: _told(cell.estimate(pl.col("choice") - pl.col("noise_choice"))),
        },
        {"guessing between the options": ["0.500"] * 3, f"query-blind rule: {best}": [f"{scores.mean():.3f}"] * 3},
        "Forced choice: the target is likelier than the other option as the answer, a tie counts a half. Noise: random "
        "vectors of the thoughts' length in their places, one draw; what is lost with it is paired over problems. The "
        f"floor is that of this set: the best of {len(RULES)} rules that never read the queried entity.",
    )  # fmt: skip
    support = _table(
        cells, "Effective number of nodes at the thought's hop",
        by_thought(lambda cell, k: cell.estimate(pl.when(NOT_TARGETS).then(pl.col("breadth")), k)),
        {"all nodes alike": level(pl.when(NOT_TARGETS).then(pl.col("frontier_size")))},
        "Two to the entropy of the mass over these nodes, whatever its amount; over problems with two such nodes or "
        "more and the target elsewhere.",
    )  # fmt: skip
    sums = [
        _table(
            cells, title, by_thought(lambda cell, k, error=error: _less(cell.share(error, "spread", k))), {},
            f"Share of a thought's variance that is explained (R²) {what}. Below zero: worse than the mean thought.",
        )
        for title, error, what in (
            ("A thought as a sum of learned vectors, one per node at its hop (codes)", "error_codes",
             "on graphs that the vectors were not learned from"),
            ("A thought as a sum of the nodes' embeddings", "error_embeddings",
             "with one factor per thought, fitted on other graphs"),
            ("The control: codes summed over the nodes of another problem", "error_other",
             "by a sum that knows nothing of the problem's graph"),
        )
    ]  # fmt: skip
    return [masses, _effects_table(found, judged), elsewhere, answers, support, *sums]


Outcome = Callable[[Cell], str]


def _table(
    cells: Sequence[Cell], title: str, columns: Mapping[str, Outcome], levels: Mapping[str, Sequence[str]], note: str
) -> Table:
    """Lay out outcomes of all cells, a row each, below the levels that they are compared with."""
    rows = []
    for cell in cells:
        made = [of(cell) for of in columns.values()] if cell.seeds else [NONE] * len(columns)
        rows.append((cell.start, cell.loss, str(len(cell.seeds)) if cell.seeds else "not trained", *made))
    beside = [(name, NONE, NONE, *values, *[NONE] * (len(columns) - len(values))) for name, values in levels.items()]
    heads = (Column("start", "text"), Column("loss", "text"), Column("seeds"), *map(Column, columns))
    return Table(title, heads, (*beside, *rows), (note,), len(beside))


def _effects_table(found: Sequence[Effect], judged: Judged) -> Table:
    heads = (
        Column("difference", "text"), Column("seeds"), Column("pairs of cells"), Column("mass"), Column("more mass"),
    )  # fmt: skip
    rows = tuple(
        (one.name, str(one.seeds), str(one.cells), _told(one.estimate), judged.effects[one.name].verdict)
        for one in found
    )
    note = "Paired over problems and seeds, averaged over the levels of the other factor where both cells are trained."
    return Table("What each factor adds: mass at hops 2 and 3, target excluded", heads, rows, (note,))


def _less(one: Estimate) -> Estimate:
    """Return one less an estimate."""
    return Estimate(1 - one.value, 1 - one.high, 1 - one.low, one.n, one.method, one.graphs)


def _told(one: Estimate) -> str:
    return NONE if np.isnan(one.value) else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _as_dict(suite: Suite, cells: Sequence[Cell], found: Sequence[Effect], judged: Judged) -> dict[str, object]:
    """Return verdicts and what they rest on, for programs."""
    about = {"schema": FACTORIAL_SCHEMA, "suite": suite.name, **asdict(provenance(0))}
    return {
        **about,
        "conclusion": conclusion(cells, judged),
        "cells": [
            {
                "start": cell.start, "loss": cell.loss, "method": cell.method.name, "seeds": cell.seeds,
                "superposition": judged.cells[cell.name].verdict,
                "checks": {check.what: check.estimate.as_dict() for check in (checks_of(cell) if cell.seeds else ())},
            }
            for cell in cells
        ],
        "effects": [
            {"name": one.name, "seeds": one.seeds, "verdict": judged.effects[one.name].verdict}
            | one.estimate.as_dict()
            for one in found
        ],
    }  # fmt: skip
