"""The page of a comparison, as HTML with figures and as Markdown for the documentation; both show the same tables."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench import figures
from workbench.files import write_whole
from workbench.measure.behaviour import Behaviour
from workbench.measure.provenance import provenance
from workbench.measure.statistics import Estimate
from workbench.measure.verdicts import FEWEST
from workbench.model.supervision import Supervision
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import blind_score, nearest_source, shortcut_accuracies
from workbench.studies.compare.cards import cards_of, cards_section
from workbench.studies.compare.claims import (
    TITLES,
    Judgement,
    claims_about,
    judge_together,
    load_published,
    measure_pair,
    printed,
    published_task,
    worths,
)
from workbench.studies.compare.emerging import emergence_section
from workbench.studies.compare.extras import EXTRAS
from workbench.studies.compare.jobs import minutes_of
from workbench.studies.compare.outcome import (
    CONVERGED,
    MEASURES,
    REFERENCE,
    Measure,
    RunOutcome,
    SetReport,
    TaskReport,
    against,
    gather,
    spread,
)
from workbench.studies.compare.suite import PlannedRun, Suite, asked_in_training, chosen_runs, plan_starts
from workbench.studies.pages import NONE, Column, Section, Table, drawings, render, write_html
from workbench.train.methods import METHODS

COMPARISON_SCHEMA = 1
"""Version of comparison.json."""


def report(suite: Suite, out: Path, only: Sequence[str], failed: dict[str, str], command: str) -> Path:
    """Write the report of what is there of a suite (index.html, comparison.md, comparison.json); return the page.

    Args:
        suite: What was run.
        out: The suite's directory; the report goes to `report/`.
        only: Methods; none for all.
        failed: Last error line by key of the run.
        command: As the user typed it; the page names it.
    """
    runs = chosen_runs(suite, out, only)
    tasks, directory = gather(suite, runs, out, failed), out / "report"
    found, beside = judgements(tasks), [_extras(suite, task, directory) for task in tasks]
    sections = [section for task, more in zip(tasks, beside, strict=True) for section in (_section(task), *more[0])]
    context = {
        "suite": suite.name,
        "command": command,
        "note": suite.note.strip(),
        "costs": spent(suite, runs, out),
        "claims": claims_table(found),
        "meanings": [(measure.title, measure.meaning) for measure in MEASURES],
        "origin": asdict(provenance(0)),
    }
    told = _as_dict(suite, tasks, found)
    for task, (_, more) in zip(tasks, beside, strict=True):
        told["tasks"][task.task.name] |= more
    write_whole(directory / "comparison.md", render("comparison.md", **context, sections=sections))
    write_whole(directory / "comparison.json", json.dumps(told, indent=1) + "\n")
    drawn = [(section, drawings(section.figures)) for section in sections]
    return write_html(directory / "index.html", "comparison.html", **context, sections=drawn)


def _extras(suite: Suite, task: TaskReport, directory: Path) -> tuple[list[Section], dict[str, object]]:
    """Return the sections of a task beside its answers, as far as the suite asks for them, and their numbers."""
    sections, told = list[Section](), dict[str, object]()
    if suite.audit:
        cards = cards_of(task, suite.audit, directory)
        sections.append(cards_section(task, suite.audit, cards))
        told["audit"] = {one.key: one.verdicts for one in cards}
    if suite.emergence:
        section, told["emergence"] = emergence_section(task, suite.emergence)
        sections.append(section)
    return sections, told


def spent(suite: Suite, runs: Sequence[PlannedRun], out: Path) -> str:
    """Say what all commands of a suite took, as far as it was recorded."""
    starts = plan_starts(suite, out)
    trained = minutes_of(out, [*starts, *runs])
    extras = {extra: made for extra in EXTRAS if (made := minutes_of(out, runs, extra))}
    if not trained and not extras:
        return "What it cost was not recorded."
    count = f"{len(trained)} of {len(starts) + len(runs)} runs{', starts among them' if starts else ''}"
    all_ = sum(trained.values()) + sum(sum(made.values()) for made in extras.values())
    said = [f"training {sum(trained.values()):.1f} core-minutes ({count})"]
    said += [f"{name} {sum(made.values()):.1f} ({len(made)} runs)" for name, made in extras.items()]
    return f"Recorded cost: {all_ / 60:.3g} core-hours in all; {'; '.join(said)}."


def judgements(tasks: Sequence[TaskReport]) -> list[Judgement]:
    """Judge the claims about all tasks, each on its first problem set or, where it is there, the official one."""
    found: list[Judgement] = []
    for task in tasks:
        chosen = next((one for one in task.sets if one.name == "official"), next(iter(task.sets), None))
        about = claims_about(published_task(task.config.task)) if chosen else []
        found += [measure_pair(claim, chosen.outcomes) for claim in about if chosen]
    return judge_together(found)


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
                    f"{METHODS[outcome.method].title}, seed {outcome.seed}, on {one.name}: feeding the pauses one "
                    f"after another and feeding all in one pass give the same first token of the answer on "
                    f"{same['same']} of {same['problems']} problems; the logits differ by at most "
                    f"{same['max_difference']:.1e}."
                )
    tables.append(settings_table(task))
    return Section(task.task.name, tuple(intro), tuple(tables), tuple(_figures(task)))


def _figures(task: TaskReport) -> list[go.Figure]:
    drawn = []
    titled = pl.col("method").replace_strict({name: method.title for name, method in METHODS.items()})
    chance = None if task.config.task == "arithmetic" else 0.5
    if not task.metrics.is_empty():
        drawn.append(figures.accuracy_in_training(task.metrics.with_columns(titled), chance))
    worth = [(one.name, *row) for one in task.sets for row in worths(one.outcomes)]
    if worth:
        drawn.append(figures.worth_of_parts(pl.DataFrame(worth, ("set", "part", "value", "low", "high"), orient="row")))
    for one in task.sets[:1]:
        if any(outcome.method in task_minutes(task) for outcome in one.outcomes):
            drawn.append(figures.accuracy_by_cost(_costs(task, one)))
        swept = _swept(one)
        if not swept.is_empty():
            drawn.append(figures.accuracy_after_thoughts(swept, chance))
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


def task_minutes(task: TaskReport) -> dict[str, float]:
    """Return the mean core-minutes of training a run of each method, where all of its finished runs were recorded."""
    spent: dict[str, list[float]] = {}
    for run, at in task.runs:
        if at.finished:
            spent.setdefault(run.method.name, []).append(task.core_minutes.get(run.key, np.nan))
    return {name: float(np.mean(each)) for name, each in spent.items() if not np.isnan(each).any()}


def _costs(task: TaskReport, one: SetReport) -> pl.DataFrame:
    """Return accuracy and core-minutes of each method whose training was recorded."""
    rows, minutes = [], task_minutes(task)
    for method, runs in _by_method(one.outcomes):
        if method in minutes:
            made = spread([run.values["accuracy"] for run in runs], runs[0].graphs)
            converged = all(run.converged for run in runs)
            rows.append((METHODS[method].title, minutes[method], made.value, made.low, made.high, converged))
    columns = ("method", "minutes", "accuracy", "low", "high", "converged")
    return pl.DataFrame(rows, schema=columns, orient="row")


def _swept(one: SetReport) -> pl.DataFrame:
    """Return accuracy after every number of thoughts of each method with slots."""
    rows = []
    for name, method in METHODS.items():
        runs = [outcome for outcome in one.outcomes if outcome.method == name]
        if not runs or len(runs[0].by_thoughts) < 2:
            continue
        for k in runs[0].by_thoughts:
            made = spread([run.by_thoughts[k] for run in runs if k in run.by_thoughts], runs[0].graphs)
            trained = k == max(runs[0].by_thoughts) // 2
            rows.append((method.title, k, made.value, made.low, made.high, trained))
    columns = ("method", "thoughts", "accuracy", "low", "high", "trained")
    return pl.DataFrame(rows, schema=columns, orient="row")


def _as_dict(suite: Suite, tasks: Sequence[TaskReport], judged: Sequence[Judgement]) -> dict[str, Any]:
    """Return all figures for programs; published numbers under a key of their own."""
    found: dict[str, object] = {}
    for task in tasks:
        sets = {}
        for one in task.sets:
            runs = []
            for outcome in one.outcomes:
                values = {m.name: spread([outcome.values[m.name]], outcome.graphs, share=m.share) for m in MEASURES}
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
        {"claim": one.claim.statement, "task": one.claim.pair[0], "verdict": one.verdict}
        | {"published": one.claim.published, "ours": one.ours}
        for one in judged
    ]
    about = {"schema": COMPARISON_SCHEMA, "suite": suite.name, **asdict(provenance(0))}
    return {**about, "tasks": found, "claims": claims, "published": load_published().numbers}


# Tables


def main_table(task: TaskReport, judged: SetReport) -> Table:
    """Lay out accuracy, format, tokens, time and the test against Coconut; published numbers apart, at the right."""
    measures = [m for m in MEASURES if m.name in ("accuracy", "choice", "valid", "tokens")]
    tested = against(judged.outcomes)
    ours = published_task(task.config.task)
    columns = load_published().columns_for(ours) if judged.with_published else []
    sources = load_published().sources
    rows = []
    for label, cells in baselines(judged.problems, measures):
        rows.append((label, NONE, NONE, NONE, *cells, *[NONE] * 3, *[NONE] * len(columns)))
    for method, runs in _by_method(judged.outcomes):
        timing = next((one for one in task.timings if one.method == method), None)
        alone = _time(timing.alone, timing.alone_ratio) if timing else NONE
        batched = _time(timing.batched, timing.batched_ratio) if timing else NONE
        test = NONE
        if method in tested:
            comparison, corrected = tested[method]
            test = f"{_signed(comparison.difference)}, p {_p(comparison.p_value)}, Holm {_p(corrected)}"
        theirs = [printed(load_published().number(column, ours, method), column.measure) for column in columns]
        cells, named = [_cell(runs, m) for m in measures], (_label(task, method, runs), _supervision(task, method))
        rows.append((*named, str(len(runs)), _converged(runs), *cells, alone, batched, test, *theirs))
    heads = [
        Column("method", "text"), Column("supervision of thoughts", "text"), Column("seeds"), Column("converged"),
        *[Column(m.title) for m in measures],
        Column("seconds, batch 1 (× CoT)"), Column("seconds, batch 64 (× CoT)"),
        Column(f"accuracy less that of {METHODS[REFERENCE].title}, McNemar"),
    ]  # fmt: skip
    heads += [Column(f"{c.measure}, {sources[c.source].short}, {c.section}", "published") for c in columns]
    notes = [
        "Ours: [low, high] is a 95 % interval over graphs and, where a method has several seeds, over seeds as well; "
        "with one seed it does not say what another would give. Tokens: thoughts and pauses count.",
        "Seconds: medians in one process, every method in turn; wall time on a shared machine, so read the ratio.",
        f"Converged: seeds whose validation accuracy moved by less than {CONVERGED:.0%} between the last two sixths of "
        "training, and by how much the one moved that moved most. A method with a seed that has not gets no verdict.",
        f"McNemar's exact test on the same problems, first shared seed; Holm over {len(tested)} methods.",
    ]
    if columns:
        about = dict.fromkeys(f"{sources[c.source].title}: {sources[c.source].about}" for c in columns)
        notes.append(
            "Published numbers are other models on other data and are no part of our columns. "
            + "; ".join(about)
            + ". The paper counts thoughts among tokens, and pause tokens not; ours counts both. "
            "All of the paper's methods learn words alone: its Coconut stands beside ours of words only, its pause as "
            "thought beside ours of words only (`pause_words`)."
        )
    base = len(rows) - len(_by_method(judged.outcomes))
    return Table(f"{judged.name}: {len(judged.problems)} problems", tuple(heads), tuple(rows), tuple(notes), base)


def control_table(task: TaskReport, judged: SetReport) -> Table:
    """Lay out what accuracy alone does not say: pairs, rewrites, the hard subset, thoughts removed or random."""
    measures = [m for m in MEASURES if m.name not in ("choice", "valid", "tokens")]
    defined = [m for m in measures if any(not np.isnan(o.values[m.name]).all() for o in judged.outcomes)]
    rows = [(label, *cells) for label, cells in baselines(judged.problems, defined)]
    base = len(rows)
    for method, runs in _by_method(judged.outcomes):
        cells = [_cell(runs, m) for m in defined]
        rows.append((_label(task, method, runs), *cells))
    heads = (Column("method", "text"), *[Column(m.title) for m in defined])
    note = (
        "Exact answers, but for the forced choice. With its thoughts removed a model may name neither option and fall "
        "below chance, which says that it was never asked so early; noise of matched norm often keeps the form of "
        "the answer, and the forced choice does not depend on it."
    )
    return Table(f"{judged.name}: controls", heads, tuple(rows), (note,), base)


def thoughts_table(task: TaskReport, judged: SetReport) -> Table | None:
    """Lay out accuracy after every number of thoughts; None where no method has slots."""
    found = [(method, runs) for method, runs in _by_method(judged.outcomes) if len(runs[0].by_thoughts) > 1]
    if not found:
        return None
    depths = sorted({k for _, runs in found for k in runs[0].by_thoughts})
    rows = []
    for method, runs in found:
        known = [k for k in depths if all(k in run.by_thoughts for run in runs)]
        cells = {k: f"{np.mean([run.by_thoughts[k].mean() for run in runs]):.3f}" for k in known}
        rows.append((_label(task, method, runs), *[cells.get(k, NONE) for k in depths]))
    heads = (Column("method", "text"), *[Column(f"k = {k}") for k in depths])
    return Table(f"{judged.name}: accuracy after k thoughts", heads, tuple(rows), ("Mean over seeds.",))


def behaviour_table(task: TaskReport, judged: SetReport) -> Table | None:
    """Lay out the categories of what is said after every forced k, first seed; None where the task has no graph."""
    rows = []
    for method, runs in _by_method(judged.outcomes):
        frame = runs[0].behaviours
        for k in sorted(frame["thoughts"].unique().to_list()):
            said = frame.filter(frame["thoughts"] == k)["behaviour"].to_list()
            shares = [f"{said.count(behaviour.value) / len(said):.3f}" for behaviour in Behaviour]
            rows.append((_label(task, method, runs), str(k), *shares))
    if not rows:
        return None
    heads = (Column("method", "text"), Column("k"), *[Column(behaviour.value) for behaviour in Behaviour])
    note = (
        "A chain is begun after k thoughts; methods that never saw a chain give their own answer. First seed. "
        "k slots stand for k steps, with two thoughts a step for k / 2."
    )
    return Table(f"{judged.name}: behaviour for every forced k", heads, tuple(rows), (note,))


def settings_table(task: TaskReport) -> Table:
    """Lay out what each method was given: settings tried, budget, and every setting in which methods differ."""
    found = {run.method.name: run.config for run, _ in task.runs}
    configs = {name: found[name] for name in METHODS if name in found}
    flat = {method: _flat(asdict(config)) for method, config in configs.items()}
    keys = [
        key
        for key in next(iter(flat.values()))
        if key not in ("name", "seed", "method") and len({repr(values[key]) for values in flat.values()}) > 1
    ]
    rows = []
    for method, config in configs.items():
        runs = [run for run, _ in task.runs if run.method.name == method]
        minutes = [task.core_minutes[run.key] for run in runs if run.key in task.core_minutes]
        rows.append(
            (
                METHODS[method].title, str(task.task.tried_for(method)), str(len(runs)), f"{config.steps:,}",
                f"{asked_in_training(config):,}", ", ".join(f"{m:.1f}" for m in minutes) or NONE,
                *[str(flat[method][key]) for key in keys],
            )
        )  # fmt: skip
    heads = ("settings tried", "seeds planned", "steps", "questions", "core-minutes", *keys)
    tried = {task.task.tried_for(method) for method in configs}
    notes = [
        "The same number of settings was tried for each method."
        if len(tried) == 1
        else "Not the same number of settings was tried for each method: read the table with that in mind.",
        f"No setting but the method differs from {task.base}."
        if not keys
        else f"Settings beside the method that differ: {', '.join(keys)}; all others are those of {task.base}.",
        "Questions: those drawn in training; at packed stage mixing each is asked at every open stage. Core-minutes: "
        "of the training commands of each run, as far as recorded.",
    ]
    return Table("Settings and budget", (Column("method", "text"), *map(Column, heads)), tuple(rows), tuple(notes))


def claims_table(judgements: Sequence[Judgement]) -> Table:
    """Lay out what agrees with the papers and what does not."""
    rows = [
        (
            one.verdict, one.claim.statement, one.claim.published, one.claim.source, one.ours,
            _signed(one.check.estimate) if one.check else NONE,
        )
        for one in judgements
    ]  # fmt: skip
    heads = (
        Column("verdict", "text"), Column("claim", "text"), Column("printed", "published"),
        Column("where", "published"), Column("ours", "text"), Column("difference, all shared seeds"),
    )  # fmt: skip
    note = (
        "The whole 95 % interval of the paired difference over the same problems decides, with a margin of two points "
        "where a claim is about equality; all seeds that both methods have are inside it. Verdicts are corrected for "
        "all claims of the page (Benjamini and Hochberg, 5 % false ones expected among those given); below "
        f"{FEWEST} graphs nothing is said. A model without its thoughts may name neither option: the controls show "
        "noise in their place as well."
    )
    return Table("Agreement with the papers", heads, tuple(rows), (note,))


def baselines(problems: Sequence[Problem | Item], measures: Iterable[Measure]) -> list[tuple[str, list[str]]]:
    """Return the rows of guessing and of the best query-blind rule, measured on the same problems."""
    graphs = [problem for problem in problems if isinstance(problem, Problem)]
    if not graphs:
        return [
            (label, [f"{score:.3f}" if m.name == "accuracy" else NONE for m in measures])
            for label, score in _item_baselines([problem for problem in problems if isinstance(problem, Item)])
        ]
    scores = np.array([blind_score(problem, nearest_source) for problem in graphs])
    rule = {"accuracy": scores.mean(), "pair": 0.0}
    if (scores < 1).any():
        rule["resistant"] = scores[scores < 1].mean()
    without = ("removed", "noise")
    guessed = [f"{m.guessed:.3f}" if m.guessed is not None and m.name not in without else NONE for m in measures]
    blind = [f"{rule[m.name]:.3f}" if m.name in rule else NONE for m in measures]
    return [("guessing between the options", guessed), ("query-blind rule: nearest source", blind)]


def _item_baselines(items: Sequence[Item]) -> list[tuple[str, float]]:
    """Return guessing, where there are two options, and the best rule that does not reason."""
    rules = shortcut_accuracies(items)
    best = max(rules, key=lambda name: rules[name])
    guessed = [("guessing between the options", 0.5)] if {len(item.options) for item in items} == {2} else []
    return [*guessed, (f"best rule that does not reason: {best}", rules[best])]


def _by_method(outcomes: Sequence[RunOutcome]) -> list[tuple[str, list[RunOutcome]]]:
    names = [name for name in METHODS if any(outcome.method == name for outcome in outcomes)]
    return [(name, sorted((o for o in outcomes if o.method == name), key=lambda o: o.seed)) for name in names]


def _label(task: TaskReport, method: str, runs: Sequence[RunOutcome]) -> str:
    steps = sorted({run.step for run in runs if not run.finished})
    total = next(run.config.steps for run, _ in task.runs if run.method.name == method)
    partly = f" (step {', '.join(f'{step:,}' for step in steps)} of {total:,})" if steps else ""
    return METHODS[method].title + partly


def _supervision(task: TaskReport, method: str) -> str:
    config = next(run.config for run, _ in task.runs if run.method.name == method)
    return str(Supervision.of_config(METHODS[method].asked, asdict(config)))


def _cell(runs: Sequence[RunOutcome], measure: Measure) -> str:
    estimate = spread([run.values[measure.name] for run in runs], runs[0].graphs, share=measure.share)
    if np.isnan(estimate.value):
        return NONE
    digits = 3 if measure.share else 1
    value, low, high = (f"{number:.{digits}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _converged(runs: Sequence[RunOutcome]) -> str:
    """Return "2 of 3 (+0.031)": converged seeds, and the largest movement of any."""
    known = [run.moved for run in runs if run.moved is not None]
    if not known:
        return NONE
    return f"{sum(run.converged for run in runs)} of {len(runs)} ({max(known, key=abs):+.3f})"


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _time(seconds: float, ratio: float | None) -> str:
    return f"{seconds:.4f}" + (f" (× {ratio:.2f})" if ratio is not None else "")


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        part = isinstance(value, dict) and all(isinstance(inner, str) for inner in value)  # hop_weights is one value
        flat |= _flat(value, f"{prefix}{key}.") if part else {f"{prefix}{key}": value}
    return flat
