"""From the answers of runs to their figures: per problem first, so that methods can be compared pair by pair."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from workbench.measure.statistics import (
    GRAPH,
    Estimate,
    PairedComparison,
    across_seeds,
    graphs_of,
    holm,
    mcnemar,
    resample,
)
from workbench.problems.files import load_any
from workbench.problems.problem import Item, Problem
from workbench.studies.compare.jobs import minutes_of
from workbench.studies.compare.measure import Timing, is_measured, measure_key, read_measured, timed
from workbench.studies.compare.suite import PlannedRun, Standing, Suite, SuiteTask, present_sets, standing, timing_file
from workbench.train.config import TrainConfig, load_config
from workbench.train.loop import read_metrics
from workbench.train.methods import METHODS

PerProblem = Float[np.ndarray, "problems"]
"""A number per problem of the set, in the order of the file; nan where it is undefined."""


@dataclass(frozen=True)
class Measure:
    """One column of the main table."""

    name: str
    """Key in JSON and in the published numbers."""
    title: str
    meaning: str
    guessed: float | None = None
    """What guessing between the two options scores on ProsQA, None where that is no number."""
    share: bool = True
    """In 0..1; else a number of tokens."""


MEASURES = (
    Measure("accuracy", "accuracy", "The whole answer is exactly right, as the method was trained to answer.", 0.5),
    Measure(
        "choice", "forced choice",
        "The target is a likelier answer than the other option; only where the answer follows at once.", 0.5,
    ),
    Measure("valid", "valid format", "The answer has the right form, right or wrong."),
    Measure(
        "tokens", "tokens",
        "Thoughts and generated tokens, mean; what is forced and the end token are not counted.", share=False,
    ),
    Measure(
        "pair", "swap pairs",
        "A problem and its entity-swapped twin, both right; rules that never read the queried entity score 0.", 0.25,
    ),
    Measure(
        "rewrite", "edge rewrites", "Of the problems answered right: one edge rewritten, the answer follows.", 0.5
    ),
    Measure("resistant", "a simple rule fails", "Accuracy where the nearest-source rule is wrong or tied.", 0.5),
    Measure(
        "removed", "thoughts removed",
        "Accuracy after no thoughts (k = 0), the rest as trained; only methods with slots.", 0.5,
    ),
    Measure(
        "noise", "noise for thoughts",
        "Accuracy with random vectors of the same length in the slots; only methods with slots.", 0.5,
    ),
    Measure("choice_removed", "forced choice, thoughts removed", "The forced choice after no thoughts.", 0.5),
    Measure("choice_noise", "forced choice, noise for thoughts", "The forced choice with that noise.", 0.5),
)  # fmt: skip
"""In the order of columns."""


CONVERGED = 0.01
"""A run has converged if its validation accuracy moved by less over the last third of its steps."""


def moved(records: Sequence[Mapping[str, Any]], steps: int) -> float | None:
    """Return how much validation accuracy moved over the last third of training.

    It is the mean accuracy of the last sixth of the steps less that of the sixth before: single evaluations are noisy.

    Args:
        records: Of `metrics.jsonl`, oldest first.
        steps: Of the whole training.

    Returns:
        The difference; None where either sixth has fewer than two evaluations.

    Examples:
        >>> rising = [{"step": step, "accuracy": step / 1200} for step in range(100, 1201, 100)]
        >>> round(moved(rising, 1200), 3)
        0.167
    """
    ends = (4 / 6 * steps, 5 / 6 * steps, steps)
    sixths = [
        [record["accuracy"] for record in records if "accuracy" in record and low < record["step"] <= high]
        for low, high in pairwise(ends)
    ]
    if min(map(len, sixths)) < 2:
        return None
    before, after = (float(np.mean(one)) for one in sixths)
    return after - before


@dataclass(frozen=True)
class RunOutcome:
    """What one run answered on one problem set."""

    method: str
    seed: int
    step: int
    """Of the model that was asked."""
    finished: bool
    problems: tuple[str, ...]
    """Ids, in the order of the file."""
    values: dict[str, PerProblem]
    """By name of the measure."""
    by_thoughts: dict[int, PerProblem]
    """Right or not after k thoughts, in the own form."""
    behaviours: pl.DataFrame
    """A row per problem and k: thoughts, behaviour."""
    same_passes: dict[str, float] | None = None
    """Pause tokens read one a pass and all in one: problems, same, max_difference."""
    graphs: tuple[str, ...] | None = None
    """Of the problems, which are resampled by them; None: each problem is one."""
    moved: float | None = None
    """What its validation accuracy gained at the end of training (`moved`); None where too little was measured."""

    @property
    def converged(self) -> bool:
        """Whether it is trained to the end and its validation accuracy had stopped moving."""
        return self.finished and self.moved is not None and abs(self.moved) < CONVERGED


def run_outcome(
    method: str, seed: int, rows: pl.DataFrame, about: dict[str, object], *, finished: bool = True,
    gained: float | None = None,
) -> RunOutcome:  # fmt: skip
    """Derive what a run is judged by from its rows.

    Args:
        method: Of the run.
        seed: Of the run.
        rows: `measure.answers_frame`.
        about: What they were made from; `step` and, for pause tokens, `passes` are read.
        finished: Whether the model is the run's last.
        gained: What its validation accuracy moved at the end of training.
    """
    names = rows["problem"].unique(maintain_order=True)
    order = pl.DataFrame({"problem": names})
    plain = rows.filter((pl.col("variant") == "itself") & (pl.col("edit") == "none"))
    own = plain.filter("own")
    says, thoughts = own["says"][0], int(own["thoughts"][0])

    def column(part: pl.DataFrame, name: str = "right") -> PerProblem:
        return _aligned(order, part, name)

    right, blind = column(own), column(own, "nearest_source")
    rewrite, swap = (column(rows.filter(pl.col("variant") == variant)) for variant in ("rewrite", "swap"))
    first = own.with_columns(first=pl.col("pair").is_first_distinct() & pl.col("pair").is_not_null())
    both = np.where(column(first, "first") > 0, right * swap, np.nan)
    without = plain.filter((pl.col("thoughts") == 0) & (pl.col("says") == says))
    noise = rows.filter(pl.col("edit") == "noise")
    undefined = np.full(len(names), np.nan)
    values = {
        "accuracy": right,
        "choice": column(own, "choice"),
        "valid": column(own, "valid"),
        "tokens": column(own, "tokens"),
        "pair": both,
        "rewrite": np.where(right > 0, rewrite, np.nan),
        "resistant": np.where(blind < 1, right, np.nan),
        "removed": column(without) if thoughts else undefined,
        "noise": column(noise),
        "choice_removed": column(without, "choice") if thoughts else undefined,
        "choice_noise": column(noise, "choice"),
    }
    depths = sorted(plain.filter(pl.col("says") == says)["thoughts"].unique().to_list())
    sweep = {k: column(plain.filter((pl.col("thoughts") == k) & (pl.col("says") == says))) for k in depths}
    return RunOutcome(
        method, seed, int(str(about["step"])), finished, tuple(names), values, sweep, _behaviours(plain),
        about.get("passes"), tuple(graphs_of(own).to_list()), gained,  # type: ignore[arg-type, union-attr]
    )  # fmt: skip


def spread(
    arrays: Sequence[PerProblem], graphs: Sequence[str] | None = None, *, seed: int = 0, share: bool = True
) -> Estimate:
    """Summarise one measure of a method, with an interval over graphs and, where there are several, over seeds.

    Args:
        arrays: One per training seed.
        graphs: Of the problems (`RunOutcome.graphs`).
        seed: Of the bootstrap.
        share: Whether the values are shares, of which all ones leaves a doubt; a number of tokens that is always 1 not.
    """
    known = np.concatenate(arrays)
    known = known[~np.isnan(known)]
    if not share and len(known) and (known == known[0]).all():
        return Estimate(float(known[0]), float(known[0]), float(known[0]), len(known))
    if len(arrays) == 1:
        return resample(arrays[0], clusters=graphs, seed=seed)
    return across_seeds(np.stack(arrays), graphs)


def _aligned(order: pl.DataFrame, part: pl.DataFrame, name: str) -> PerProblem:
    """Return a column in the order of the problems, nan for those that have no row."""
    joined = order.join(
        part.select("problem", pl.col(name).cast(pl.Float64)), on="problem", how="left", maintain_order="left"
    )
    return joined[name].fill_null(float("nan")).to_numpy().copy()


def _behaviours(plain: pl.DataFrame) -> pl.DataFrame:
    """Return the category after every k: of chains where there are any, of the own answers of other methods."""
    told = plain.filter(pl.col("behaviour").is_not_null())
    chains = told.filter(pl.col("says") == "chain")
    return (told if chains.is_empty() else chains).select("thoughts", pl.col("behaviour").cast(pl.String))


REFERENCE = "coconut_words"
"""The method that the others are compared with: that of the paper."""


def against(outcomes: Sequence[RunOutcome], reference: str = REFERENCE) -> dict[str, tuple[PairedComparison, float]]:
    """Compare each method with the reference, first shared seed with first shared seed.

    Several seeds are not pooled: answers of one problem by two seeds are no two independent problems.

    Args:
        outcomes: Of one task and problem set.
        reference: A method.

    Returns:
        For each other method the comparison (first: the method, second: the reference) and its p-value after Holm's
        correction over all of them.
    """
    runs = {(outcome.method, outcome.seed): outcome for outcome in outcomes}
    methods = dict.fromkeys(outcome.method for outcome in outcomes if outcome.method != reference)
    found: dict[str, PairedComparison] = {}
    for method in methods:
        shared = [seed for one, seed in sorted(runs) if one == method and (reference, seed) in runs]
        if shared:
            ours, theirs = runs[method, shared[0]], runs[reference, shared[0]]
            if ours.problems == theirs.problems:
                right = (one.values["accuracy"] > 0 for one in (ours, theirs))
                found[method] = mcnemar(*right, clusters=None if ours.graphs is None else np.array(ours.graphs))
    corrected = holm({method: comparison.p_value for method, comparison in found.items()})
    return {method: (comparison, corrected[method]) for method, comparison in found.items()}


# All that is there of a suite


@dataclass(frozen=True)
class SetReport:
    """One problem set of a task and what every run answered."""

    name: str
    file: str
    problems: Sequence[Problem | Item]
    outcomes: tuple[RunOutcome, ...]
    with_published: bool
    """Whether published numbers stand beside it: the set that claims are judged on, and the official one."""


@dataclass(frozen=True)
class TaskReport:
    """All that is known of one task of a suite."""

    task: SuiteTask
    base: str
    """Name of the base configuration's file."""
    config: TrainConfig
    """The base configuration."""
    runs: tuple[tuple[PlannedRun, Standing], ...]
    sets: tuple[SetReport, ...]
    absent: tuple[str, ...]
    """Optional problem sets whose file is not there."""
    timings: tuple[Timing, ...]
    core_minutes: dict[str, float]
    """Spent on training, by key of the run, as far as recorded."""
    failed: dict[str, str]
    """Last error line by key of the run."""
    metrics: pl.DataFrame
    """A row per evaluation in training: method (key), seed, step, accuracy, stage."""


def gather(suite: Suite, runs: Sequence[PlannedRun], out: Path, failed: dict[str, str]) -> list[TaskReport]:
    """Read what is there of every task that has a run; times the methods unless that was done before.

    Args:
        suite: What is compared.
        runs: Of the plan, all or some.
        out: The suite's directory.
        failed: Last error line by key of the run.
    """
    reports, order = [], list(METHODS)
    for task in suite.tasks:
        own = sorted(
            (run for run in runs if run.task.name == task.name), key=lambda r: (order.index(r.method.name), r.seed)
        )
        if not own:
            continue
        stood = tuple((run, standing(run)) for run in own)
        config = load_config(Path(task.base))
        files, absent = present_sets(task)
        problems = {name: load_any(file) for name, file in files.items()}
        sets = tuple(
            SetReport(
                name,
                str(file),
                problems[name],
                _outcomes(stood, name, file, problems[name]),
                place == 0 or name == "official",
            )
            for place, (name, file) in enumerate(files.items())
        )
        differs = {
            run.key: f"its directory holds a run with other settings ({', '.join(at.differs)}); remove it to train anew"
            for run, at in stood
            if at.differs
        }
        errors = {run.key: failed[run.key] for run in own if run.key in failed} | differs
        timings = _timings(suite, stood, next(iter(files.items()), None), problems, out, task)
        costs = minutes_of(out, own)
        name = Path(task.base).name
        reports.append(TaskReport(task, name, config, stood, sets, absent, timings, costs, errors, _metrics(stood)))
    return reports


def _outcomes(
    stood: Sequence[tuple[PlannedRun, Standing]], name: str, file: Path, problems: Sequence[Problem | Item]
) -> tuple[RunOutcome, ...]:
    found, graphs = [], {problem.id: problem.graph for problem in problems}
    for run, at in stood:
        if not at.differs and is_measured(run.directory, name, file):
            rows, about = read_measured(run.directory, name)
            rows = rows.with_columns(pl.col("problem").replace_strict(graphs).alias(GRAPH))  # an older table has none
            gained = moved(read_metrics(run.directory), run.config.steps)
            found.append(run_outcome(run.method.name, run.seed, rows, about, finished=at.finished, gained=gained))
    return tuple(found)


def _timings(
    suite: Suite,
    stood: Sequence[tuple[PlannedRun, Standing]],
    judged: tuple[str, Path] | None,
    problems: dict[str, Sequence[Problem] | Sequence[Item]],
    out: Path,
    task: SuiteTask,
) -> tuple[Timing, ...]:
    """Time the first seed of every method on the first problems of the judged set."""
    models: dict[str, Path] = {}
    for run, at in stood:
        if at.model is not None and not at.differs:
            models.setdefault(run.method.name, at.model)
    if judged is None or not models:
        return ()
    keys = [f"{method} {measure_key(model, judged[1])}" for method, model in sorted(models.items())]
    key = hashlib.sha256(repr((keys, suite.timed)).encode()).hexdigest()
    return tuple(timed(models, problems[judged[0]][: suite.timed], timing_file(out, task), key))


def _metrics(stood: Sequence[tuple[PlannedRun, Standing]]) -> pl.DataFrame:
    schema = {"method": pl.String, "seed": pl.Int64, "step": pl.Int64, "accuracy": pl.Float64, "stage": pl.String}
    rows = []
    for run, at in stood:
        if at.differs or not (run.directory / "metrics.jsonl").exists():
            continue
        for record in read_metrics(run.directory):
            if "accuracy" in record:
                stage = f"stage {record['thoughts']}" if "thoughts" in record else ""
                edges = f", up to {record['edges']} edges" if run.config.task == "edges" and "edges" in record else ""
                rows.append((run.method.name, run.seed, record["step"], record["accuracy"], stage + edges))
    return pl.DataFrame(rows, schema=schema, orient="row")
