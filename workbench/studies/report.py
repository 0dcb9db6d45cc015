"""A report: a problem set run in parts, its tables (Parquet), and a page made from the tables alone."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import plotly.graph_objects as go
import polars as pl
from pydantic_core import to_json

from workbench import figures
from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.measure.behaviour import Behaviour, classify
from workbench.measure.evaluate import RESULTS_SCHEMA, evaluation_of, results_frame, save_evaluation
from workbench.measure.provenance import Provenance, checkpoint_digest, problems_digest, provenance
from workbench.measure.run_labels import CONTROLS
from workbench.measure.scores import (
    MASSES,
    READOUTS,
    SCORES_SCHEMA,
    STATISTICS_SCHEMA,
    node_scores,
    scores_frame,
    statistics_frame,
)
from workbench.measure.statistics import about
from workbench.measure.trace import Trace, run_traced
from workbench.model.checkpoint import Checkpoint
from workbench.model.engines import counted
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import best_rule, item_floor
from workbench.studies.artefacts import Shards
from workbench.studies.pages import drawings, render, write_html

MANIFEST = "report.json"
READINGS_PAGE, READINGS_FOLDER = "readings.html", "readings"
"""Written by `report_readings` into the same directory."""
MOST_IN_FIGURES = 10_000
"""Problems that figures and intervals are made from; of a larger set a sample drawn by the seed."""
MOST_IN_TABLE = 1_000
"""Rows of the page's problem table that are shown at a time; the page loads others from files beside it."""
PARTS_FOLDER = "problems"
"""Where those files are."""
TRACES_SCHEMA = 2
"""Version of the columns of `traces_frame`; raised when a column changes its name, type or meaning."""
SCHEMAS = {
    "problems": RESULTS_SCHEMA,
    "traces": TRACES_SCHEMA,
    "scores": SCORES_SCHEMA,
    "statistics": STATISTICS_SCHEMA,
}
"""The tables by name, and the version of each one's columns."""


@dataclass(frozen=True)
class ReportOptions:
    """How a report is made."""

    run: str = ""
    """The checkpoint as the user named it; shown on the page."""
    problems: Path = Path("problems.json")
    """The file the problems came from; the explorer knows its set by the file's name."""
    thoughts: int | None = None
    """Number of thoughts; None for as many as the model was trained with."""
    seed: int = 0
    """Of the rewrites drawn and of the bootstrap."""
    shard: int = 128
    """Problems that are run and saved at a time: what an interruption can cost, and what memory holds."""
    batch_size: int = 64
    """Problems run at a time."""
    explorer: str = "http://localhost:8501"
    """Address of the explorer that the problem table and the points of a figure link to."""
    readings: tuple[str, ...] = ()
    """Readings on a page of their own (`report_readings.write_readings`), by their names in `readings.READINGS`."""
    controls: tuple[str, ...] = tuple(CONTROLS)
    """Of `run_labels.CONTROLS`, drawn in every figure of a reading."""
    most: int = 500
    """Problems read: of a larger set as many are drawn by the seed, since all their activations are held at once."""


def write_report(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    directory: Path,
    options: ReportOptions,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Path:
    """Write a report, or go on with one that was interrupted.

    The same checkpoint, problems, options, versions and number of threads give the same bytes in the tables, in one
    go or in several.

    Args:
        checkpoint: What to run.
        problems: What to ask it.
        directory: Where to; made if it is not there.
        options: How it is made.
        overwrite: Whether another report in the directory may be replaced.
        on_progress: Called with the number of problems done since the last call, after each batch: in the middle of a
            part from how much of it was run, and with the rest of it once it is saved.

    Returns:
        The page to open.

    Raises:
        WorkbenchError: There is no problem, or the directory holds something else.
    """
    if not problems:
        raise WorkbenchError("There is nothing to report on.", "The list of problems is empty.", "Give some problems.")
    if not options.explorer.startswith(("http://", "https://")):
        raise WorkbenchError(
            f'"{options.explorer}" is no address of an explorer.',
            "It does not begin with http:// or https://.",
            "Give the address that your browser shows, such as http://localhost:8501.",
        )
    thoughts = checkpoint.thoughts if options.thoughts is None else options.thoughts
    origin = provenance(options.seed)
    inputs = {
        "checkpoint": checkpoint.name,
        "weights": checkpoint_digest(checkpoint),
        "problems": problems_digest(problems),
        "thoughts": thoughts,
        "shard": options.shard,
        "batch size": options.batch_size,
        "schema versions": schemas_of(problems),
        **asdict(origin),
    }
    pages = (
        "index.html",
        "plotly.min.js",
        "evaluation.json",
        READINGS_PAGE,
        f"{READINGS_FOLDER}/*.parquet",
        PARTS_FOLDER,
    )
    shards = Shards(directory, MANIFEST, inputs, schemas_of(problems), pages, overwrite=overwrite)
    parts = range(0, len(problems), options.shard)
    if shards.complete:
        if on_progress:
            on_progress(len(problems))
    else:
        for number, start in enumerate(parts):
            # Copies: what a problem keeps of its graph goes with them.
            part = [replace(problem) for problem in problems[start : start + options.shard]]
            told = _Told(part, on_progress or (lambda _: None))
            shards.make(number, lambda part=part, told=told: _tables(checkpoint, part, thoughts, options, told))
            told.rest()
        shards.join(len(parts))
    about, readings = str(checkpoint.supervision), bool(options.readings) and thoughts > 0
    return write_page(directory, checkpoint.name, options, origin, readings=readings, supervision=about)


def schemas_of(problems: Sequence[Problem | Item]) -> dict[str, int]:
    """Return the tables of a report on problems, by name, and their versions: without graphs no node has a score."""
    return {name: SCHEMAS[name] for name in (SCHEMAS if isinstance(problems[0], Problem) else ("problems", "traces"))}


class _Told:
    """How many problems of a part are told to be done while its batches run.

    A part is two halves: its problems are traced, then their twins and rewrites (two of a graph, one of an item) are
    answered. The two take about as long.

    Args:
        problems: Of the part.
        tell: Called with the number of problems done since the last call.
    """

    def __init__(self, problems: Sequence[Problem | Item], tell: Callable[[int], None]) -> None:
        self.count, self.variants = len(problems), 2 if isinstance(problems[0], Problem) else 1
        self.tell, self.results, self.told = tell, 0, 0

    def __call__(self, results: int) -> None:
        """Count the results of a batch."""
        self.results += results
        traced = min(self.results, self.count)
        halves = traced * self.variants + self.results - traced
        done = min(halves // (2 * self.variants), self.count - 1)  # the last one is done when all is saved
        self._tell(done - self.told)

    def rest(self) -> None:
        """Tell that the part is done."""
        self._tell(self.count - self.told)

    def _tell(self, more: int) -> None:
        if more > 0:
            self.told += more
            self.tell(more)


def _tables(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    thoughts: int,
    options: ReportOptions,
    on_results: Callable[[int], None],
) -> dict[str, pl.DataFrame]:
    with counted(on_results):
        runs = list(run_traced(checkpoint, problems, thoughts, options.batch_size, seed=options.seed))
        results = results_frame(checkpoint, runs, options.seed, batch_size=options.batch_size)
    return {"problems": results, **_read([one.trace for one in runs])}


def _read(traces: Sequence[Trace]) -> dict[str, pl.DataFrame]:
    """Return the tables of what was read from traces, those of nodes where the problems have graphs."""
    if isinstance(traces[0].problem, Item):
        return {"traces": traces_frame(traces)}
    readouts = READOUTS if len(traces[0].thoughts) else READOUTS[-1:]  # without thoughts there is none to read
    scores = [node_scores(trace, readout) for trace in traces for readout in readouts]
    return {
        "traces": traces_frame(traces), "scores": scores_frame(scores), "statistics": statistics_frame(scores),
    }  # fmt: skip


def save_trace(trace: Trace, path: Path, supervision: str = "not known") -> None:
    """Write one trace as JSON, the rows of a report's tables; the file is written whole or not.

    Args:
        trace: Of `run`.
        path: The file.
        supervision: How the model's thoughts were supervised, in words.
    """
    problem = trace.problem
    about = {"id": problem.id, "question": problem.question, "answer": problem.answer, "steps": problem.steps}
    about |= {"values": problem.values} if isinstance(problem, Item) else {"names": problem.names}
    written: dict[str, object] = {"checkpoint": trace.checkpoint, "supervision": supervision, "problem": about}
    written["schema versions"] = schemas_of([problem])
    rows = {name: table.to_dicts() for name, table in _read([trace]).items()}
    write_whole(path, to_json(written | rows, indent=2, inf_nan_mode="null") + b"\n")


def traces_frame(traces: Sequence[Trace]) -> pl.DataFrame:
    """Return one row per problem and number of thoughts.

    Columns are described in the data dictionary (`measure.columns`, table "traces"); the node values of the two
    readouts are in `scores.scores_frame`.
    """
    schema = {
        "checkpoint": pl.String,
        "problem": pl.String,
        "graph": pl.String,
        "thought": pl.Int16,
        "vector": pl.List(pl.Float32),
        "answer": pl.String,
        "right": pl.Boolean,
        "valid": pl.Boolean,
        "choice": pl.Float64,
        "answer_values": pl.List(pl.Float32),
        "continuation": pl.String,
        "behaviour": pl.Enum([behaviour.value for behaviour in Behaviour]),
        "top_tokens": pl.List(pl.String),
        "top_probabilities": pl.List(pl.Float32),
        "step_values": pl.List(pl.Float32),
    }
    rows = []
    for trace in traces:
        choice = trace.choice
        for k, text in enumerate(trace.answer_texts):
            said = trace.continuations[k] if trace.continuations else None
            top = trace.top_tokens[k - 1] if k else None
            problem = trace.problem if said is not None and isinstance(trace.problem, Problem) else None
            values = None if trace.values is None or not k else pl.Series(trace.values[k - 1])
            rows.append(
                (
                    trace.checkpoint, trace.problem.id, trace.problem.graph, k,
                    pl.Series(trace.thoughts[k - 1]) if k else None, text,
                    bool(trace.answer_right[k]), bool(trace.answer_valid[k]), float(choice[k]),
                    pl.Series(trace.answers[k]),
                    said, problem and classify(problem, str(said), trace.hop(k)).value,
                    [token for token, _ in top] if top is not None else None,
                    [probability for _, probability in top] if top is not None else None, values,
                )
            )  # fmt: skip
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pl.DataFrame(
        [pl.Series(name, list(values), dtype=schema[name]) for name, values in zip(schema, columns, strict=True)]
    )


# The page


def write_page(
    directory: Path,
    checkpoint: str,
    options: ReportOptions,
    origin: Provenance,
    *,
    readings: bool = False,
    supervision: str = "not known",
) -> Path:
    """Write index.html, plotly.min.js and evaluation.json beside complete tables, and return the page.

    Of more than `MOST_IN_TABLE` problems the others' rows go into files of their own, which the page loads when asked.

    It reads the tables alone, so that it can be made again without running anything.

    Args:
        directory: Of the report.
        checkpoint: Name of what was run.
        options: Of the report.
        origin: Of the tables.
        readings: Whether to link to the page of the readings.
        supervision: How the thoughts were supervised, in words.
    """
    tables = _Tables(directory, origin.seed)
    evaluation = evaluation_of(checkpoint, tables.read("problems"), origin.seed, supervision)
    save_evaluation(evaluation, directory / "evaluation.json")
    drawn = _figures(tables, evaluation.thoughts, origin.seed)
    # Figures that are drawn per hop and thought are left to the drawings.
    headline = [figure for figure in evaluation.figures if "_by_" not in figure.name]
    parts = range(0, tables.total, MOST_IN_TABLE)

    def rows(start: int) -> list[dict[str, object]]:
        found = tables.part("problems", start, MOST_IN_TABLE)
        return _rows(found, checkpoint, options.problems.stem, options.explorer)

    for number, start in enumerate(parts[1:], 1):
        (directory / PARTS_FOLDER).mkdir(exist_ok=True)
        html = render("problem_rows.html", rows=rows(start))
        write_whole(directory / PARTS_FOLDER / f"{number:06d}.js", f'show("{number:06d}", {json.dumps(html)})\n')
    return write_html(
        directory / "index.html",
        "report.html",
        title=f"{checkpoint} on {options.problems.name}",
        run=options.run or checkpoint,
        problems=str(options.problems),
        figures=headline,
        drawn=drawings(drawn),
        rows=rows(0),
        parts=[(start + 1, min(start + MOST_IN_TABLE, tables.total)) for start in parts],
        tables=sorted(path.stem for path in directory.glob("*.parquet")),
        thoughts=evaluation.thoughts,
        supervision=supervision,
        total=tables.total,
        sampled=len(tables.kept) if tables.kept is not None else None,
        origin=asdict(origin),
        explorer=options.explorer,
        readings=readings,
    )


class _Tables:
    """The tables on disk; at most `MOST_IN_FIGURES` problems of them are ever held."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        names = pl.scan_parquet(directory / "problems.parquet").select("problem")
        self.total = int(names.select(pl.len()).collect().item())
        self.kept: pl.DataFrame | None = None
        if self.total > MOST_IN_FIGURES:
            drawn = np.random.default_rng(seed).choice(self.total, MOST_IN_FIGURES, replace=False)
            self.kept = names.collect()[np.sort(drawn)]

    def read(self, name: str, columns: list[str] | None = None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Return some columns and rows of a table."""
        found = pl.scan_parquet(self.directory / f"{name}.parquet")
        if self.kept is not None:
            found = found.join(self.kept.lazy(), on="problem", how="semi", maintain_order="left")
        if where is not None:
            found = found.filter(where)
        wanted = dict.fromkeys((*about(found.collect_schema()), *(columns or ())))
        return found.select(*wanted).collect() if columns else found.collect()

    def part(self, name: str, start: int, rows: int) -> pl.DataFrame:
        """Return so many rows of a table from a place on."""
        return pl.scan_parquet(self.directory / f"{name}.parquet").slice(start, rows).collect()


def _figures(tables: _Tables, thoughts: int, seed: int) -> list[go.Figure]:
    def statistic(name: str) -> go.Figure:
        columns = ["readout", "thought", name, f"{name}_chance"]
        return figures.mass_by_thought(tables.read("statistics", columns), name, seed=seed)

    scores = tables.read("problems", ["problem", "nearest_source", "task", "expected", "blind_scores"])
    graphs = scores["nearest_source"].is_not_null().all()
    each = np.array(scores["blind_scores"].to_list(), dtype=float).reshape(len(scores), -1)
    _, floors = best_rule(each) if graphs else item_floor(scores["expected"].to_list(), scores["task"][0], each)
    answers = tables.read("traces", ["problem", "thought", "right", "valid", "choice", "behaviour"]).join(
        scores.select("problem", floor=floors), on="problem", maintain_order="left"
    ).rename({"right": "correct"})  # fmt: skip
    by_hop = tables.read("problems", ["steps", "right"]).with_columns(correct=pl.col("right").list.last())
    if not graphs:
        by_thoughts = answers.drop("choice") if answers["choice"].is_nan().all() else answers
        return [
            figures.accuracy_by_thoughts(by_thoughts, seed=seed),
            figures.accuracy_by_hop(by_hop, seed=seed, of="step"),
        ]
    made = [
        *(statistic(name) for name in MASSES),
        figures.accuracy_by_thoughts(answers, seed=seed),
        figures.accuracy_by_hop(by_hop, seed=seed),
        statistic("on_path_share"),
        statistic("breadth"),
        statistic("top1_correct"),
    ]
    if answers["behaviour"].is_not_null().all():
        made.append(figures.behaviour_shares(answers))
    for readout in READOUTS if thoughts else ():
        ranks = tables.read("statistics", ["readout", "thought", "path_rank", "path_rank_chance"])
        made.append(figures.path_ranks(ranks, readout))
    for thought in range(1, min(thoughts, 3) + 1):
        wanted = (pl.col("readout") == "lm_head") & (pl.col("thought") == thought)
        values = tables.read("scores", ["readout", "thought", "class", "value", "chance"], wanted)
        made.append(figures.value_histogram(values, thought))
    return made


def _rows(results: pl.DataFrame, checkpoint: str, problem_set: str, explorer: str) -> list[dict[str, object]]:
    """Return the rows of the problem table, each with the link to its view in the explorer."""
    rows = []
    for row in results.iter_rows(named=True):
        query = urlencode({"run": checkpoint, "set": problem_set, "problem": row["problem"]})
        both = (row["target"][-1] + row["negative"][-1]) or math.nan
        rows.append(
            {
                **row,
                "link": f"{explorer.rstrip('/')}/?{query}",
                "right": row["right"][-1],
                "right_without": row["right"][0],
                "preference": None if math.isnan(both) else row["target"][-1] / both,
                "mass": [((row[name] or []) + [None] * 3)[k] for k in range(3) for name in MASSES],
                "resistant": row["nearest_source"] is not None and row["nearest_source"] < 1,
            }
        )
    return rows
