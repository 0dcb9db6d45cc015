"""The page of a comparison, as HTML with figures and as Markdown for the documentation; both show the same tables."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from workbench import figures
from workbench.files import write_whole
from workbench.measure.provenance import provenance
from workbench.studies.compare.claims import CLAIMS, Judgement, judge
from workbench.studies.compare.gather import SetReport, TaskReport
from workbench.studies.compare.outcome import MEANINGS, MEASURES, spread
from workbench.studies.compare.published import TITLES, load_published, published_task
from workbench.studies.compare.suite import Suite
from workbench.studies.compare.tables import (
    Table,
    behaviour_table,
    claims_table,
    control_table,
    main_table,
    settings_table,
    thoughts_table,
)
from workbench.studies.pages import drawing
from workbench.train.methods import METHODS

COMPARISON_SCHEMA = 1
"""Version of comparison.json."""


@dataclass(frozen=True)
class Section:
    """One task on the page."""

    title: str
    intro: tuple[str, ...]
    tables: tuple[Table, ...]
    drawings: tuple[go.Figure, ...]


def write_comparison(suite: Suite, tasks: Sequence[TaskReport], directory: Path, command: str) -> Path:
    """Write index.html, comparison.md and comparison.json, and return the page.

    Args:
        suite: What was run.
        tasks: What came of it.
        directory: Of the report; made if it is not there.
        command: As the user typed it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    judged = [judgement for task in tasks for judgement in judgements(task)]
    context = {
        "suite": suite.name,
        "command": command,
        "claims": claims_table(judged),
        "meanings": [(m.title, MEANINGS[m.name]) for m in MEASURES],
        "origin": asdict(provenance(0)),
    }
    sections = [_section(task) for task in tasks]
    loader = PrefixLoader(
        {"": PackageLoader("workbench.studies.compare"), "report": PackageLoader("workbench.studies")}
    )
    html = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    drawn = [[drawing(made) for made in section.drawings] for section in sections]
    page = html.get_template("/page.html.jinja").render(**context, sections=list(zip(sections, drawn, strict=True)))
    # Markdown is read as text: quoting it for HTML would show the quotes.
    text = Environment(loader=loader, autoescape=False, undefined=StrictUndefined, trim_blocks=True)
    text.filters["cell"] = lambda value: str(value).replace("|", "\\|")
    written = text.get_template("/page.md.jinja").render(**context, sections=sections)
    write_whole(directory / "plotly.min.js", get_plotlyjs())
    write_whole(directory / "comparison.md", written)
    write_whole(directory / "comparison.json", json.dumps(_as_dict(suite, tasks, judged), indent=1) + "\n")
    write_whole(directory / "index.html", page)
    return directory / "index.html"


def judgements(task: TaskReport) -> list[Judgement]:
    """Judge the claims about a task, on its first problem set or, where it is there, the official one."""
    ours = published_task(task.config.task)
    chosen = next((one for one in task.sets if one.name == "official"), next(iter(task.sets), None))
    return [judge(claim, chosen.outcomes) for claim in CLAIMS if claim.task == ours] if chosen else []


def _section(task: TaskReport) -> Section:
    names = {run.key: METHODS[run.method.name].title for run, _ in task.runs}
    beside = TITLES[published_task(task.config.task)]
    intro = [f"Task {task.config.task}, base configuration {task.base}. The papers' numbers are those of {beside}."]
    intro += [f"The problem set {name} is not there and was left out." for name in task.absent]
    intro += [f"{names[key]} ({key}) failed: {error}" for key, error in task.failed.items()]
    waiting = [run.key for run, at in task.runs if not at.finished and run.key not in task.failed]
    if waiting:
        intro.append(f"Not finished: {', '.join(waiting)}.")
    tables: list[Table] = []
    for one in task.sets:
        made = (main_table(task, one), control_table(task, one), thoughts_table(task, one), behaviour_table(task, one))
        tables += [table for table in made if table is not None]
        for outcome in one.outcomes:
            if outcome.same_passes:
                same = outcome.same_passes
                intro.append(
                    f"{METHODS[outcome.method].title}, seed {outcome.seed}, on {one.name}: pauses read one a pass and "
                    f"all in one pass begin the same answer on {same['same']} of {same['problems']} problems; largest "
                    f"difference of a logit {same['max_difference']:.1e}."
                )
    tables.append(settings_table(task))
    return Section(task.task.name, tuple(intro), tuple(tables), tuple(_drawings(task)))


def _drawings(task: TaskReport) -> list[go.Figure]:
    drawn = []
    titled = pl.col("method").replace_strict({name: method.title for name, method in METHODS.items()})
    coin = None if task.config.task == "arithmetic" else 0.5
    if not task.metrics.is_empty():
        drawn.append(figures.accuracy_in_training(task.metrics.with_columns(titled), coin))
    for one in task.sets[:1]:
        swept = _swept(one)
        if not swept.is_empty():
            drawn.append(figures.accuracy_after_thoughts(swept, coin))
        first = {o.method: o for o in reversed(one.outcomes)}  # the first seed is the last to be set
        for outcome in (first[name] for name in METHODS if name in first):
            if not outcome.behaviours.is_empty():
                made = figures.behaviour_shares(outcome.behaviours.rename({"thoughts": "thought"}))
                title = METHODS[outcome.method].title
                alt = f"{title}: {made.layout.meta['alt']}"  # type: ignore[index]
                drawn.append(
                    made.update_layout(title_text=f"{title}: what it says after k thoughts", meta={"alt": alt})
                )
    return drawn


def _swept(one: SetReport) -> pl.DataFrame:
    """Return accuracy after every number of thoughts of each method with slots."""
    rows = []
    for name, method in METHODS.items():
        runs = [outcome for outcome in one.outcomes if outcome.method == name]
        if not runs or len(runs[0].by_thoughts) < 2:
            continue
        for k in runs[0].by_thoughts:
            made = spread([run.by_thoughts[k] for run in runs if k in run.by_thoughts])
            trained = k == max(runs[0].by_thoughts) // 2
            rows.append((method.title, k, made.value, made.low, made.high, trained))
    columns = ("method", "thoughts", "accuracy", "low", "high", "trained")
    return pl.DataFrame(rows, schema=columns, orient="row")


def _as_dict(suite: Suite, tasks: Sequence[TaskReport], judged: Sequence[Judgement]) -> dict[str, object]:
    """Return all figures for programs; published numbers under a key of their own."""
    found: dict[str, object] = {}
    for task in tasks:
        sets = {}
        for one in task.sets:
            runs = []
            for outcome in one.outcomes:
                values = {m.name: spread([outcome.values[m.name]], share=m.share) for m in MEASURES}
                runs.append(
                    {
                        "method": outcome.method, "seed": outcome.seed, "step": outcome.step,
                        "finished": outcome.finished,
                        **{k: {**v.as_dict(), "n": v.n} for k, v in values.items() if not np.isnan(v.value)},
                        "by_thoughts": {k: float(v.mean()) for k, v in outcome.by_thoughts.items()},
                        "passes": outcome.same_passes,
                    }
                )  # fmt: skip
            sets[one.name] = {"n": len(one.problems), "runs": runs}
        found[task.task.name] = {
            "sets": sets,
            "timings": [asdict(timing) for timing in task.timings],
            "core_minutes": task.core_minutes,
            "failed": task.failed,
        }
    claims = [
        {
            "claim": j.claim.text,
            "task": j.claim.task,
            "verdict": j.verdict,
            "published": j.claim.published,
            "ours": j.ours,
        }
        for j in judged
    ]
    about = {"schema": COMPARISON_SCHEMA, "suite": suite.name, **asdict(provenance(0))}
    return {**about, "tasks": found, "claims": claims, "published": load_published().numbers}
