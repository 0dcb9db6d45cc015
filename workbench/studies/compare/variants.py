"""Variants of a training (a reward, a recipe) beside what they are compared with, the verdicts, and the page.

A row is a variant with its seeds. Claims are written in the suite's file before anything is measured.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from jaxtyping import Float

from workbench.figures.lines import Look, lines
from workbench.figures.style import SERIES
from workbench.figures.suites import worth_of_parts
from workbench.files import write_whole
from workbench.measure.provenance import provenance
from workbench.measure.statistics import Estimate, across_seeds
from workbench.measure.verdicts import FEWEST, MARGIN, Check, Ruling, bounds, judge_page
from workbench.problems.files import load_any
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.studies.compare.jobs import minutes_of
from workbench.studies.compare.measure import is_measured, read_measured
from workbench.studies.compare.samples import SAMPLES
from workbench.studies.compare.suite import (
    Contrast,
    PlannedRun,
    Suite,
    SuiteTask,
    Variant,
    asked_in_training,
    chosen_runs,
    plan_starts,
    present_sets,
    standing,
)
from workbench.studies.pages import NONE, Column, Section, Table, drawings, render, write_html
from workbench.train.config import TrainConfig, method_of
from workbench.train.loop import guessing, read_metrics
from workbench.train.methods import METHODS

VARIANTS_SCHEMA = 1
"""Version of the JSON file beside the page."""
RELATIONS = {
    "more": "is above",
    "not less": "is not below",
    "not more": "is not above",
    "equal": "is within two points of",
}
NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0)
Values = Float[np.ndarray, "seeds problems"]
RIGHT = pl.col("right")
"""Whether the greedy answer is right."""
PASS_ONE = pl.col("sampled_right") / SAMPLES
"""Share of a problem's sampled answers that are right."""
PASS_ANY = pl.col("sampled_right") > 0
"""Whether one of them is."""
NOISE = pl.col("noise_right")


@dataclass(frozen=True, eq=False)
class Row:
    """A variant, with the runs of it that are finished and measured."""

    name: str
    variant: Variant
    config: TrainConfig
    start: str
    """What it begins from, by the suite's name for it."""
    planned: int
    """Seeds that the suite names."""
    seeds: tuple[int, ...]
    """Those that are there."""
    tables: tuple[pl.DataFrame, ...]
    """`samples_frame` of each."""
    metrics: tuple[list[dict[str, Any]], ...]
    """Records of each one's evaluations."""
    minutes: tuple[float, ...] = ()
    """Processor minutes of each one's training."""

    @property
    def graphs(self) -> np.ndarray:
        """Name of each problem's graph, [problems]."""
        return self.tables[0]["graph"].to_numpy()

    def values(self, expression: pl.Expr) -> Values:
        """Return a column of the samples table by seed; nan where it is undefined."""
        number = expression.cast(pl.Float64).fill_null(float("nan"))
        return np.stack([table.select(number).to_series().to_numpy() for table in self.tables])

    def estimate(self, expression: pl.Expr) -> Estimate:
        """Estimate the mean of a column; nan where no run is there."""
        return across_seeds(self.values(expression), self.graphs) if self.seeds else NOTHING

    def last(self, name: str) -> float | None:
        """Return a number of the last evaluation, a mean over seeds; None where it was not measured."""
        found = [value for records in self.metrics if records and (value := records[-1].get(name)) is not None]
        return float(np.mean(found)) if found else None


def gain(one: Row, other: Row, expression: pl.Expr = RIGHT) -> Estimate:
    """Estimate what one variant has more than another, paired by problem and by seed.

    A variant of one seed, as a start that is not trained, stands beside every seed of the other.
    """
    if not (one.seeds and other.seeds):
        return NOTHING
    first, second = one.values(expression), other.values(expression)
    if len(one.seeds) > 1 and len(other.seeds) > 1:
        shared = sorted({*one.seeds} & {*other.seeds})
        first, second = (
            values[[row.seeds.index(seed) for seed in shared]] for values, row in ((first, one), (second, other))
        )
    return across_seeds(first - second, one.graphs)


def gather_rows(task: SuiteTask, out: Path, runs: Sequence[PlannedRun], name: str, file: Path) -> list[Row]:
    """Return the variants of a task with what is finished and measured of them.

    Args:
        task: With variants.
        out: The suite's directory.
        runs: Of the task.
        name: Of the problem set.
        file: Of the problem set.
    """
    rows = []
    for variant in task.variants:
        own = [run for run in runs if run.variant == variant]
        minutes = minutes_of(out, own)
        done = [run for run in own if standing(run).finished and is_measured(run.directory, name, file, "variants")]
        if own:
            rows.append(
                Row(
                    variant,
                    task.variants[variant],
                    own[0].config,
                    own[0].start or own[0].config.start or "random weights",
                    len(own),
                    tuple(run.seed for run in done),
                    tuple(read_measured(run.directory, name, "variants")[0] for run in done),
                    tuple(read_metrics(run.directory) for run in done),
                    tuple(minutes.get(run.key, 0.0) for run in done),
                )
            )
    return rows


def slots_of(config: TrainConfig) -> int:
    """Return how many thoughts or pause tokens a trained model takes before it answers."""
    method = method_of(config)
    return method.slots(config.curriculum.thoughts)


def judge_all(task: SuiteTask, rows: Sequence[Row]) -> list[tuple[Contrast, Check, Ruling]]:
    """Judge a task's claims on the shares of right greedy answers, corrected for their number."""
    by = {row.name: row for row in rows}
    checks = [
        Check(
            "difference",
            gain(by[one.first], by[one.second]) if one.first in by and one.second in by else NOTHING,
            **bounds(one.relation),
        )
        for one in task.contrasts
    ]
    rulings = judge_page([[check] for check in checks])
    return list(zip(task.contrasts, checks, rulings, strict=True))


def report(suite: Suite, out: Path, only: Sequence[str], failed: Mapping[str, str], command: str) -> Path:
    """Write the page about a suite of variants: index.html, and NAME.md and NAME.json by the suite's name.

    Args:
        suite: What was run.
        out: The suite's directory; the page goes to `report/`.
        only: Variants; none for all.
        failed: Last error line by key of the run.
        command: As the user typed it; the page names it.
    """
    directory, sections, told = out / "report", [], {}
    planned = chosen_runs(suite, out, only)
    for task in suite.tasks:
        name, file = next(iter(present_sets(task)[0].items()))
        runs = [run for run in planned if run.task is task]
        rows = gather_rows(task, out, runs, name, file)
        judged, problems = judge_all(task, rows), load_any(file)
        chance = chance_of([problem for problem in problems if isinstance(problem, Problem)], rows)
        chance_right = f"Guessing (an option, or always the commonest answer) is right in {guessing(problems):.3f}."
        intro = (f"{len(problems)} problems of the set {name}. {chance_right}", *_notes(suite, task, out, rows, failed))
        tables = tuple(table for table in (_claims(judged, rows), *tables_of(rows, chance)) if table.rows)
        sections.append(Section(task.name, intro, tables, tuple(figures_of(rows, chance))))
        told[task.name] = _as_dict(rows, judged)
    context = {
        "title": suite.title or suite.name,
        "name": suite.name,
        "command": command,
        "rule": _RULE,
        "sections": sections,
        "origin": asdict(provenance(0)),
    }
    about = {"schema": VARIANTS_SCHEMA, "suite": suite.name, **context["origin"]}
    with_pictures = context | {"sections": _pictures(suite.name, sections)}
    write_whole(directory / f"{suite.name}.md", render("variants.md", **with_pictures))
    write_whole(directory / f"{suite.name}.json", json.dumps(about | {"tasks": told}, indent=1) + "\n")
    drawn = [(section, drawings(section.figures)) for section in sections]
    return write_html(directory / "index.html", "variants.html", **context | {"sections": drawn})


def _pictures(name: str, sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return the sections with the file names and texts of their figures, as docs/screenshot.py saves them."""
    number, found = 0, []
    for section in sections:
        pictures = []
        for made in section.figures:
            number += 1
            pictures.append((name if number == 1 else f"{name}-{number}", made.layout.meta["alt"]))  # type: ignore[index]
        found.append({"section": section, "pictures": pictures})
    return found


_RULE = (
    "Right: the likeliest words, compared exactly. Intervals are of 95 %, over graphs (or problems, where there are "
    "none) and seeds; a difference is paired by problem and seed. "
    f"Pass at {SAMPLES}: one of {SAMPLES} answers drawn at temperature 1 is right. "
    "Noise: random vectors of the thoughts' length in their places. A claim holds if its whole interval lies where it "
    f"says, with a margin of {MARGIN:.2f} for claims of no more, no less and equality, corrected for all claims of a "
    f"task; with fewer than {FEWEST} graphs nothing is said. A verdict on one seed is about that run alone: another "
    "may differ by more than its interval. Claims stand in the suite's file, written before the runs, except where it "
    "says otherwise."
)


def _notes(suite: Suite, task: SuiteTask, out: Path, rows: Sequence[Row], failed: Mapping[str, str]) -> list[str]:
    trained = {run.start: standing(run).step for run in plan_starts(suite, out) if run.task is task}
    notes = []
    for name, given in task.starts.items():
        made = f"trained by {Path(given).name}, {trained[name]:,} steps" if name in trained else given
        notes.append(f"Start {name}: {made or 'random weights'}.")
    done, all_ = sum(len(row.seeds) for row in rows), sum(row.planned for row in rows)
    notes.append(f"{done} of {all_} runs are finished and measured.")
    return notes + [f"{key} failed: {error}" for key, error in failed.items() if key.startswith(f"{task.name}/")]


# Tables and figures


def chance_of(problems: Sequence[Problem], rows: Sequence[Row]) -> list[float]:
    """Return the mass of each thought on its nodes, target excluded, if it were spread evenly; a mean over problems."""
    found = []
    for k in range(1, max((row.config.curriculum.thoughts for row in rows), default=0) + 1 if problems else 1):
        about = [structure(problem) for problem in problems]
        counts = [
            ((np.asarray(one.hops) == k) & (np.arange(len(one.hops)) != problem.target)).sum() / np.sum(one.concepts)
            for one, problem in zip(about, problems, strict=True)
        ]
        found.append(float(np.mean([count for count in counts if count])))
    return found


def tables_of(rows: Sequence[Row], chance: Sequence[float] = ()) -> list[Table]:
    """Lay out what is known of every variant: its answers, its runs, value heads, and thoughts.

    Args:
        rows: Of a task.
        chance: `chance_of` its problems.
    """
    by = {row.name: row for row in rows}

    def against(of: Callable[[Row, Row], Estimate]) -> Callable[[Row], str]:
        return lambda row: _told(of(row, by[row.variant.less]), sign=True) if row.variant.less in by else NONE

    answers = _table(
        "Answers", rows,
        {
            "right": lambda row: _told(row.estimate(RIGHT)),
            "compared with": lambda row: row.variant.less or NONE,
            "right, less those of it": against(gain),
            "pass at 1": lambda row: _told(row.estimate(PASS_ONE)),
            "pass at 1, less that of it": against(lambda row, other: gain(row, other, PASS_ONE)),
            f"pass at {SAMPLES}": lambda row: _told(row.estimate(PASS_ANY)),
            f"pass at {SAMPLES}, less that of it": against(lambda row, other: gain(row, other, PASS_ANY)),
            "right with noise for thoughts": lambda row: _told(row.estimate(NOISE)),
        },
        "Pass at 1: the mean share of the sampled answers that are right.",
    )  # fmt: skip
    trained = _table(
        "Training", [row for row in rows if row.config.objective == "supervised" and row.config.learning_rate],
        {
            "steps": lambda row: f"{row.config.steps:,}",
            "problems seen": lambda row: f"{asked_in_training(row.config):,}",
            "thoughts or pause tokens": lambda row: str(slots_of(row.config)),
            "processor minutes": _minutes,
            "loss, last evaluation": lambda row: _number(row.last("evaluation_loss")),
        },
        "A repeated problem counts every time that it is seen. Minutes: mean over seeds, on a machine that did other "
        "work as well.",
    )  # fmt: skip
    runs = _table(
        "Runs with a reward", [row for row in rows if row.config.objective != "supervised"],
        {
            "steps": lambda row: f"{row.config.steps:,}",
            "answers sampled": lambda row: f"{row.config.steps * row.config.rows.batch * row.config.reward.group:,}",
            "reward before": lambda row: _number(by.get(row.variant.less, row).last("reward")),
            "after": lambda row: _number(row.last("reward")),
            "processor minutes": _minutes,
            "groups without variance": lambda row: _number(row.last("alike")),
            "KL from the start, nats": lambda row: _number(row.last("kl")),
            "cosine of the thoughts with the start's": lambda row: _cosines(row),
        },
        "On the validation problems of the runs at the last evaluation, mean over seeds. Reward before: of the start's "
        "own run, whose validation problems may be others.",
    )  # fmt: skip
    heads = _table(
        "Value heads", [row for row in rows if row.config.objective == "latent_value"],
        {
            "AUC by thought, head trained": lambda row: _thoughts(row, "value_auc"),
            "AUC on training problems": lambda row: _thoughts(row, "practice_auc"),
            "F1 by thought": lambda row: _thoughts(row, "value_f1"),
            "value before": lambda row: _number(_at_move(row, "value")),
            "value after": lambda row: _number(row.last("value")),
            "pass at 1 before": lambda row: _number(_at_move(row, "pass@1")),
            "pass at 1 after": lambda row: _number(row.last("pass@1")),
        },
        "Before: at the first evaluation after the head's own training; where it has none, the model had already "
        "moved. On validation problems but where it says otherwise, mean over seeds.",
    )  # fmt: skip
    return [answers, trained, runs, heads, _masses(rows, by, chance)]


def _table(title: str, rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]], note: str) -> Table:
    heads = (Column("variant", "text"), Column("method", "text"), Column("begins from", "text"), Column("seeds"))
    made = tuple(
        (
            row.name, METHODS[row.config.method].title, row.start, str(len(row.seeds)) if row.seeds else "not trained",
            *([of(row) for of in columns.values()] if row.seeds else [NONE] * len(columns)),
        )
        for row in rows
    )  # fmt: skip
    return Table(title, (*heads, *map(Column, columns)), made, (note,))


def _with_masses(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.seeds and not row.tables[0]["masses"].is_null().all()]


def _mass(k: int) -> pl.Expr:
    return pl.col("masses").list.get(k, null_on_oob=True)


def _masses(rows: Sequence[Row], by: Mapping[str, Row], chance: Sequence[float]) -> Table:
    """Lay out the mass of the thoughts on the nodes at their hops, of tasks with a graph."""
    there = _with_masses(rows)

    def mass(row: Row, k: int) -> str:
        less = by.get(row.variant.less)
        change = f" ({_told(gain(row, less, _mass(k)), sign=True)})" if less in there else ""
        return _told(row.estimate(_mass(k))) + change

    return _table(
        "Mass of the thoughts on the nodes at their hops, target excluded", there,
        {f"thought {k + 1}": lambda row, k=k: mass(row, k) for k in range(len(chance) if there else 0)},
        "Raw probability under the LM head; in brackets less that of the variant it is compared with. Chance, evenly "
        f"over the concepts: {', '.join(f'{one:.3f}' for one in chance)}.",
    )  # fmt: skip


def _claims(judged: Sequence[tuple[Contrast, Check, Ruling]], rows: Sequence[Row]) -> Table:
    seeds = {row.name: len(row.seeds) for row in rows}
    heads = (
        Column("verdict", "text"), Column("claim", "text"), Column("wanted", "text"), Column("difference"),
        Column("seeds of both"),
    )  # fmt: skip
    told = []
    for one, check, ruling in judged:
        wanted = f"{one.first} {RELATIONS[one.relation]} {one.second}"
        both = f"{seeds.get(one.first, 0)} and {seeds.get(one.second, 0)}"
        told.append((ruling.verdict, one.says, wanted, _told(check.estimate, sign=True), both))
    return Table("Claims", heads, tuple(told))


def figures_of(rows: Sequence[Row], chance: Sequence[float] = ()) -> list[go.Figure]:
    """Draw what every variant gains, predictions of value heads beside true accuracy, and the masses of thoughts.

    Args:
        rows: Of a task.
        chance: `chance_of` its problems.
    """
    by, found = {row.name: row for row in rows}, []
    points = [
        (told, row.name, made.value, made.low, made.high)
        for row in rows
        if row.seeds and row.variant.less in by and by[row.variant.less].seeds
        for told, made in (
            ("right", gain(row, by[row.variant.less])),
            (f"pass at {SAMPLES}", gain(row, by[row.variant.less], PASS_ANY)),
        )
    ]
    if points:
        table = pl.DataFrame(points, ["set", "part", "value", "low", "high"], orient="row")
        what = "Share of problems, less that of the variant it is compared with"
        found.append(worth_of_parts(table, "What each variant gains", what))
    heads = [
        (row.name, record["step"], line, record[key])
        for row in rows if row.config.objective == "latent_value"
        for record in (row.metrics[0] if row.metrics else [])
        for line, key in (("value predicted", "value"), ("right, sampled", "pass@1"))
        if record.get(key) is not None
    ]  # fmt: skip
    if heads:
        table = pl.DataFrame(heads, ["variant", "step", "line", "value"], orient="row")
        looks = {name: Look(name, SERIES[place]) for name, place in (("value predicted", 1), ("right, sampled", 0))}
        found.append(
            lines(
                table, "Is a raised prediction a better model?",
                "First seed: what the value head predicts, beside the share of sampled answers that are right",
                "share", x="step", axis="steps of training", by="line", looks=looks, panel="variant", wide=2,
                limits=(-0.02, 1.04), chance="",
            )
        )  # fmt: skip
    masses = [
        (row.name, k + 1, made.value, made.low, made.high, made.n, even)
        for row in _with_masses(rows) for k, even in enumerate(chance)
        if not np.isnan((made := row.estimate(_mass(k))).value)
    ]  # fmt: skip
    if masses:
        table = pl.DataFrame(masses, ["variant", "thought", "value", "low", "high", "n", "chance"], orient="row")
        names = table["variant"].unique(maintain_order=True)
        looks = {name: Look(name, SERIES[place % len(SERIES)]) for place, name in enumerate(names)}
        found.append(
            lines(
                table, "What the thoughts hold, before and after",
                "Raw mass of the LM head on the nodes at the thought's hop, target excluded<br>"
                "Means with 95 % intervals; dashed: evenly over the concepts", "raw mass (probability)", by="variant",
                looks=looks, limits=(-0.02, 1.04),
            )
        )  # fmt: skip
    return found


def _at_move(row: Row, name: str) -> float | None:
    """Return a number of the first evaluation at which the head alone had learned, a mean over seeds."""
    first = row.config.reward.head.steps
    return _mean(
        next((record.get(name) for record in records if record["step"] >= first), None) for records in row.metrics
    )


def _thoughts(row: Row, name: str) -> str:
    """Return a number of each thought at that evaluation, a mean over seeds."""
    first = row.config.reward.head.steps
    found = [next((one.get(name) for one in records if one["step"] >= first), None) for records in row.metrics]
    return ", ".join(_number(_mean(one)) for one in zip(*filter(None, found), strict=True)) or NONE


def _minutes(row: Row) -> str:
    return f"{np.mean(row.minutes):.1f}" if any(row.minutes) else NONE


def _cosines(row: Row) -> str:
    found = [records[-1].get("cosine") or [] for records in row.metrics if records]
    return ", ".join(f"{one:.2f}" for one in np.mean(found, 0)) if found and found[0] else NONE


def _mean(values: Any) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _number(value: float | None) -> str:
    return NONE if value is None or np.isnan(value) else f"{value:.2f}"


def _told(one: Estimate, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    return NONE if np.isnan(one.value) else f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"


def _as_dict(rows: Sequence[Row], judged: Sequence[tuple[Contrast, Check, Ruling]]) -> dict[str, object]:
    """Return numbers and verdicts, for programs."""
    return {
        "variants": [
            {"name": row.name, "seeds": row.seeds, "right": row.estimate(RIGHT).as_dict()} for row in rows
        ],
        "claims": [
            asdict(one) | {"verdict": ruling.verdict, "difference": check.estimate.as_dict()}
            for one, check, ruling in judged
        ],
    }  # fmt: skip
