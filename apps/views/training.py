"""The page *Training*: what a run measured while it trained, and one problem, or a set, at each of its checkpoints."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import cache, code_export, links, widgets
from apps.components import stepper
from apps.components.header import asked, method_badges
from apps.components.picture import choose_concept, clicked, kept_figure
from apps.errors import in_words
from apps.sidebar_model import choose_count, choose_readout, choose_run, open_another, reads_words
from apps.sidebar_problem import choose_problem, open_set, say_what_to_do
from apps.state import Run, Source
from apps.text import plain, plural
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.figures import problem_graph, thought_strip
from workbench.figures.training import emergence_figures, mass_over_checkpoints, training_curves
from workbench.measure.scores import NodeScores, node_scores, statistics_frame
from workbench.problems.problem import Problem
from workbench.readings.emergence import CONTROLS_BESIDE, emergence
from workbench.train.loop import read_metrics
from workbench.train.state import StageCheckpoint, stage_checkpoints

MOST_OFFERED = 3
"""Runs with checkpoints that are offered where the one chosen has none."""
MOST_READ = 64
"""Problems of a set that are read: every checkpoint reads them anew, and so do its controls."""


def draw() -> None:
    """Draw the page."""
    with in_words():
        with st.sidebar:
            run = choose_run(words=True)
            open_another()
            problems = st.container()
            readout = choose_readout()
            run = choose_count(run)
            with problems:
                chosen = None if reads_words(run) else choose_problem(run)
        home, note = catalog.home(run.path), st.container()
        st.markdown(f"## Training of {plain(home.name)}")
        method_badges(run.checkpoint)
        stages = _stages(home)
        step = _choose_step(list(stages))
        _measured(home, step)
        if step is not None and chosen is not None:
            _problem(run, *chosen, stages, step, readout if run.thoughts else "forced_language")
        elif reads_words(run):
            st.info(
                f"**{plain(run.name)} reads words, not graphs**: no problem is scrubbed over its checkpoints here.",
                icon=":material/block:",
            )
        elif step is not None:
            say_what_to_do()
        links.footnote("")
        with note:
            links.say_what_was_left_out()


def _stages(home: Path) -> dict[int, StageCheckpoint]:
    try:
        return {checkpoint.step: checkpoint for checkpoint in stage_checkpoints(home)}
    except WorkbenchError as error:
        st.info(
            f"**There is nothing to scrub over**: {plain(error.why[0].lower() + error.why[1:])} Below is what was "
            "measured on the way. `keep_every` in a configuration says how often a checkpoint is kept.",
            icon=":material/history_toggle_off:",
        )
        kept = list(dict.fromkeys(name.partition("/")[0] for name in catalog.runs() if "/" in name))
        with st.container(horizontal=True):
            for name in kept[:MOST_OFFERED]:
                label = f"Open {plain(name)}, which kept its checkpoints"
                st.button(label, key=f"open {name}", on_click=_open, args=(name,))
        with st.sidebar:
            st.caption("Problem, readout and number of thoughts are for runs that kept checkpoints.")
        return {}


def _open(name: str) -> None:
    st.session_state["open next"] = name


def _choose_step(steps: list[int]) -> int | None:
    """Draw the slider over checkpoints; None where there are none."""
    if not steps:
        return None
    widgets.settle("step", steps, steps[-1])  # of another run
    return st.select_slider(
        f"Step of training ({plural(len(steps), 'checkpoint')})", steps, steps[-1], key="step", bind="query-params",
        help="Step 0 is what the run started from, where that is here; the last is the model that it ended with.",
    )  # fmt: skip


def _measured(home: Path, step: int | None) -> None:
    """Draw what `metrics.jsonl` holds."""
    try:
        metrics = read_metrics(home)
    except WorkbenchError:
        st.info("This model came without `metrics.jsonl`: nothing was written down of its training.")
        return
    count = len(training_curves(metrics, step=step))
    for first in range(0, count, 3):
        for place, column in enumerate(st.columns(min(3, count - first), gap="medium"), first):
            with column:
                _figure(lambda place=place: training_curves(metrics, step=step)[place], f"measured-{place}", home.name)
    chosen = "" if step is None else "; orange: the checkpoint chosen"
    st.caption(f"Numbers above: so many thoughts from there on, as the curriculum went{chosen}.")


def _problem(
    run: Run, problem: Problem, source: Source, stages: dict[int, StageCheckpoint], step: int, readout: str
) -> None:
    bar, scores, home = st.empty(), {}, catalog.home(run.path)
    for place, (number, checkpoint) in enumerate(stages.items()):
        bar.progress(place / len(stages), f"Reading the checkpoint of step {number}")
        scores[number] = node_scores(cache.trace(checkpoint.path, problem, run.thoughts), readout)
    bar.empty()
    st.markdown(f"### {plain(asked(problem))}")
    st.fragment(_moving)(replace(run, path=stages[step].path), problem, scores, step, stages[step].stage)
    stepper.listen()
    frame = _statistics(scores)
    tabs = st.tabs(["Numbers", "A whole set", "Code"], key="beneath", bind="query-params", on_change="rerun")
    if tabs[0].open:
        with tabs[0]:
            columns = ["step", "thought", "hop_read", "breadth", "target"]
            masses = ["candidate_mass", "mass_without_target"]
            columns[3:3] = [column for name in masses for column in (name, f"{name}_chance")]
            numbers = {name: st.column_config.NumberColumn(format="%.4f") for name in columns[3:]}
            widgets.table(frame.select(columns), f"training-{problem.id}", "training table", numbers, height=360)
    if tabs[1].open:
        with tabs[1]:
            _emergence(home, run.thoughts, len(stages))
    if tabs[2].open:
        with tabs[2]:
            st.caption("This script computes the numbers of this problem and opens their picture.")
            st.code(code_export.training(home, run.thoughts, source, readout), language="python")


def _moving(checkpoint: Run, problem: Problem, scores: dict[int, NodeScores], step: int, stage: str) -> None:
    with in_words():
        now = scores[step]
        steps = stepper.choose(now.depths, stepper.labels(now), hash((problem.id, now.checkpoint, step, now.readout)))
        left, right = st.columns([1.3, 1], gap="medium")
        with right:
            node = problem.names.index(choose_concept(problem))
            frame = _statistics(scores)
            _figure(lambda: mass_over_checkpoints(frame, step=step), "over", problem.id)
            without = "mass_without_target"
            if frame[without].is_not_null().any():
                _figure(lambda: mass_over_checkpoints(frame, without, step=step), without, problem.id)
            _figure(lambda: thought_strip(now, depth=now.depths[0]), "strip", f"{problem.id}-{step}")
        with left:
            st.caption(f"The checkpoint of step **{step}** ({plain(stage)})")

            def graph(depth: int) -> None:
                key = f"training-graph-{depth}"
                about = (*cache.run_key(checkpoint, problem), now.readout, node, depth)
                made = kept_figure(about, lambda: problem_graph(now, depth, selected=node))
                widgets.chart(made, key, clicked(key, problem), graph=True)
                widgets.download_figure(
                    lambda: problem_graph(now, depth, selected=node), f"graph-{problem.id}-{step}-{depth}",
                    f"save-{key}",
                )  # fmt: skip

            steps.draw("training-graph", graph)
        steps.finish()


def _figure(make: Callable[[], go.Figure], key: str, name: str) -> None:
    widgets.figure(make, f"training-{key}", f"training-{key}-{name}")


def _statistics(scores: dict[int, NodeScores]) -> pl.DataFrame:
    return pl.concat(statistics_frame([one]).with_columns(step=pl.lit(step)) for step, one in scores.items())


def _emergence(home: Path, thoughts: int, checkpoints: int) -> None:
    """Draw when the frontier appears: the first problems of the set chosen, read at every checkpoint when asked for.

    Args:
        home: The run directory.
        thoughts: Number of thoughts.
        checkpoints: How many checkpoints it has.
    """
    file = open_set()
    if file is None or not thoughts:
        st.info("Choose a problem set at the left, and a run with thoughts.", icon=":material/arrow_back:")
        return
    items = cache.problems(file)[:MOST_READ]
    key = (str(home), cache.fingerprint(home), checkpoints, cache.set_key(items), thoughts)
    if cache.known("emergence", key) is None:
        st.caption(
            f"Reads the first {plural(len(items), 'problem')} of the set at each of the {checkpoints} checkpoints, "
            f"with the controls {' and '.join(CONTROLS_BESIDE)}: some seconds for each checkpoint."
        )
        if not st.button("Read them", type="primary", key="read checkpoints"):
            return
    total = len(items) * (1 + len(CONTROLS_BESIDE)) * checkpoints
    table = cache.kept("emergence", key, lambda: _read(home, items, thoughts, total))
    for place in range(len(emergence_figures(table))):
        name = f"emergence-{place}"
        widgets.figure(lambda place=place: emergence_figures(table)[place], name, f"{home.name}-{name}")
    widgets.download_table(table, f"{home.name}-emergence", "save-emergence")


def _read(home: Path, items: tuple[Problem, ...], thoughts: int, total: int) -> pl.DataFrame:
    bar = st.progress(0.0, "Loading TransformerLens ...")

    def told(_: str, done: int) -> None:
        bar.progress(min(done / total, 1.0), f"{done} of {total}" if done else "Loading TransformerLens ...")

    table = emergence(home, items, thoughts=thoughts, on_progress=cache.counting("", told))
    bar.empty()
    return table
