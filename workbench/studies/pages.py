"""The page of a report: read from its tables alone, so that it can be made again without running anything."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import plotly.graph_objects as go
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from workbench import figures
from workbench.files import write_whole
from workbench.measure.evaluate import Evaluation, evaluation_of, save_evaluation
from workbench.measure.provenance import Provenance
from workbench.measure.scores import READOUTS

MOST_IN_FIGURES = 10_000
"""Problems that figures and intervals are made from; of a larger set a sample drawn by the seed."""
MOST_IN_TABLE = 5_000
"""Rows of the page's problem table; the Parquet file has all of them."""


def write_page(
    directory: Path,
    checkpoint: str,
    run: str,
    problems: Path,
    origin: Provenance,
    explorer: str,
    *,
    readings: bool = False,
) -> Path:
    """Write index.html, plotly.min.js and evaluation.json beside the tables, and return the page.

    Args:
        directory: Of the report, its tables complete.
        checkpoint: Name of what was run.
        run: The checkpoint as the user named it.
        problems: The file the problems came from.
        origin: Of the tables.
        explorer: Address of the explorer.
        readings: Whether to link to the page of the readings.
    """
    tables = _Tables(directory, origin.seed)
    evaluation = evaluation_of(checkpoint, tables.read("problems"), origin.seed)
    save_evaluation(evaluation, directory / "evaluation.json")
    rows = _rows(tables.first("problems", MOST_IN_TABLE), checkpoint, problems.stem, explorer)
    environment = Environment(
        loader=PackageLoader("workbench.studies"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    html = environment.get_template("page.html.jinja").render(
        title=f"{checkpoint} on {problems.name}",
        run=run or checkpoint,
        problems=str(problems),
        evaluation=evaluation,
        figures=_headline(evaluation),
        drawn=[drawing(made) for made in _drawn(tables, evaluation.thoughts, origin.seed)],
        rows=rows,
        thoughts=evaluation.thoughts,
        total=tables.total,
        sampled=len(tables.kept) if tables.kept is not None else None,
        origin=asdict(origin),
        explorer=explorer,
        readings=readings,
    )
    write_whole(directory / "plotly.min.js", get_plotlyjs())
    write_whole(directory / "index.html", html)
    return directory / "index.html"


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
        return found.select(columns or pl.all()).collect()

    def first(self, name: str, rows: int) -> pl.DataFrame:
        """Return the first rows of a table."""
        return pl.scan_parquet(self.directory / f"{name}.parquet").head(rows).collect()


def _drawn(tables: _Tables, thoughts: int, seed: int) -> list[go.Figure]:
    def statistic(name: str) -> go.Figure:
        columns = ["readout", "thought", name, f"{name}_chance"]
        return figures.mass_by_thought(tables.read("statistics", columns), name, seed=seed)

    answers = tables.read("traces", ["thought", "right", "valid", "behaviour"]).rename({"right": "correct"})
    by_hop = tables.read("problems", ["steps", "right"]).with_columns(correct=pl.col("right").list.last())
    made = [
        statistic("candidate_mass"),
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


def _headline(evaluation: Evaluation) -> list[dict[str, object]]:
    """Return the rows of the overall table; figures that are drawn per hop and thought are left to the drawings."""
    return [
        {
            "name": figure.name,
            "title": figure.title,
            "value": figure.shown,
            "chance": figure.shown_chance,
            "baseline": figure.baseline,
            "n": figure.estimate.n,
        }
        for figure in evaluation.figures
        if not figure.name.startswith("accuracy_by_")
    ]


def _rows(results: pl.DataFrame, checkpoint: str, problem_set: str, explorer: str) -> list[dict[str, object]]:
    """Return the rows of the problem table, each with the link to its view in the explorer."""
    rows = []
    for row in results.iter_rows(named=True):
        query = urlencode({"run": checkpoint, "set": problem_set, "problem": row["problem"]})
        rows.append(
            {
                **row,
                "link": f"{explorer.rstrip('/')}/?{query}",
                "right": row["right"][-1],
                "right_without": row["right"][0],
                "preference": _share(row["target"][-1], row["negative"][-1]),
                "mass": (row["candidate_mass"] + [None] * 3)[:3],
                "resistant": row["nearest_source"] < 1,
            }
        )
    return rows


def _share(target: float, negative: float) -> float | None:
    return target / (target + negative) if target + negative > 0 else None


def drawing(made: go.Figure) -> dict[str, str]:
    """Return a figure's HTML with title and subtitle beside it: a page breaks their lines, a figure does not."""
    layout: Any = made.layout
    lines = max([note.text.count("<br>") for note in layout.annotations if note.text], default=0)  # of panels' titles
    bare = go.Figure(made).update_layout(title=None, margin_t=20 + 15 * lines, height=(layout.height or 360) - 60)
    bare.for_each_xaxis(lambda axis: axis.update(tickangle=0 if axis.tickangle is None else axis.tickangle))
    html = bare.update_xaxes(tickfont_size=10).to_html(
        full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True}
    )
    title, subtitle = (_plain(text) for text in (layout.title.text, layout.title.subtitle.text))
    return {"title": title, "subtitle": subtitle, "alt": layout.meta["alt"], "html": html}


def _plain(text: str) -> str:
    """Return text without tags; what a line break parts, a semicolon does."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"\s*;?\s*<br>\s*", "; ", text))
