"""The page *Training*: what a run measured while it trained, and one problem scrubbed over its checkpoints."""

from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import caches, charts, concept_panel, emergence, links, method, playback, recipe, tables
from apps.apology import in_words
from apps.model_choice import choose_count, choose_readout, choose_run, open_another, reads_words
from apps.problem_choice import choose_problem
from apps.view import Run, Source
from apps.words import plural
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.figures import problem_graph, thought_strip
from workbench.figures.training import mass_over_checkpoints, training_curves
from workbench.measure.scores import NodeScores, node_scores, statistics_frame
from workbench.problems.problem import Problem
from workbench.train.loop import read_metrics
from workbench.train.state import StageCheckpoint, stage_checkpoints

MOST_OFFERED = 3
"""Runs with checkpoints that are offered where the one chosen has none."""


def draw() -> None:
    """Draw the page."""
    links.remember_what_was_asked()
    with in_words():
        with st.sidebar:
            st.markdown("### Coconut Workbench")
            run = choose_run(words=True)
            open_another()
            problems = st.container()
            readout = choose_readout()
            run = choose_count(run)
            with problems:
                chosen = None if reads_words(run) else choose_problem(run)
        home, note = catalog.home(run.path), st.container()
        st.markdown(f"## Training of {home.name}")
        with st.container(horizontal=True, gap="small"):
            method.badges(run.checkpoint)
        stages = _stages(home)
        step = _choose_step(list(stages))
        _measured(home, step)
        if step is not None and chosen is not None:
            _problem(run, *chosen, stages, step, readout if run.thoughts else "forced_language")
        elif reads_words(run):
            st.info(
                f"**{run.name} reads words, not graphs**: no problem is scrubbed over its checkpoints here.",
                icon=":material/block:",
            )
        elif step is not None:
            st.info(st.session_state.pop("to do", "Choose a problem at the left."), icon=":material/arrow_back:")
        st.caption("The address bar holds the whole view: copy it, and it opens again just so. Keys: ← → P.")
        with note:
            links.say_what_was_left_out()


def _stages(home: Path) -> dict[int, StageCheckpoint]:
    try:
        return {checkpoint.step: checkpoint for checkpoint in stage_checkpoints(home)}
    except WorkbenchError as error:
        st.info(
            f"**There is nothing to scrub over**: {error.why[0].lower()}{error.why[1:]} Below is what was measured on "
            "the way. `keep_every` in a configuration says how often a checkpoint is kept.",
            icon=":material/history_toggle_off:",
        )
        kept = list(dict.fromkeys(name.partition("/")[0] for name in catalog.runs() if "/" in name))
        with st.container(horizontal=True):
            for name in kept[:MOST_OFFERED]:
                st.button(f"Open {name}, which kept its checkpoints", key=f"open {name}", on_click=_open, args=(name,))
        with st.sidebar:
            st.caption("Problem, readout and number of thoughts are for runs that kept checkpoints.")
        return {}


def _open(name: str) -> None:
    st.session_state["open next"] = name


def _choose_step(steps: list[int]) -> int | None:
    """Draw the slider over checkpoints; None where there are none."""
    if not steps:
        return None
    if st.session_state.get("step", steps[-1]) not in steps:  # of another run
        del st.session_state["step"]
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
    figures = training_curves(metrics, step=step)
    for place, (column, figure) in enumerate(zip(st.columns(len(figures), gap="medium"), figures, strict=True)):
        with column:
            _figure(
                lambda place=place: training_curves(metrics, step=step)[place], f"measured-{place}", home.name, figure
            )
    chosen = "" if step is None else "; orange: the checkpoint chosen"
    st.caption(f"Numbers above: so many thoughts from there on, as the curriculum went{chosen}.")


def _problem(
    run: Run, problem: Problem, source: Source, stages: dict[int, StageCheckpoint], step: int, readout: str
) -> None:
    bar, scores = st.empty(), {}
    for place, (number, checkpoint) in enumerate(stages.items()):
        bar.progress(place / len(stages), f"Reading the checkpoint of step {number}")
        scores[number] = node_scores(caches.trace(checkpoint.path, problem, run.thoughts), readout)
    bar.empty()
    st.markdown(f"### {problem.question.rpartition('. ')[2].strip()}")
    st.fragment(_moving, run_every=playback.period())(problem, scores, step, stages[step].stage)
    frame = _statistics(scores)
    tabs = st.tabs(["Numbers", "A whole set", "Code"], key="beneath", bind="query-params", on_change="rerun")
    if tabs[0].open:
        with tabs[0]:
            columns = ["step", "thought", "hop_read", "candidate_mass", "candidate_mass_chance", "breadth", "target"]
            numbers = {name: st.column_config.NumberColumn(format="%.4f") for name in columns[3:]}
            tables.show(frame.select(columns), f"training-{problem.id}", "training table", numbers, height=360)
    if tabs[1].open:
        with tabs[1]:
            emergence.draw(catalog.home(run.path), run.thoughts, len(stages))
    if tabs[2].open:
        with tabs[2]:
            st.caption("This script computes the numbers of this problem and opens their picture.")
            st.code(recipe.training(catalog.home(run.path), run.thoughts, source, readout), language="python")


def _moving(problem: Problem, scores: dict[int, NodeScores], step: int, stage: str) -> None:
    with in_words():
        depth = playback.choose_depth(scores[step].depths)
        left, right = st.columns([1.3, 1], gap="medium")
        with right:
            concept = concept_panel.choose(problem)
            frame = _statistics(scores)
            _figure(lambda: mass_over_checkpoints(frame, step=step), "over", problem.id)
            _figure(lambda: thought_strip(scores[step], depth=depth), "strip", f"{problem.id}-{step}")
        with left:
            st.caption(f"The checkpoint of step **{step}** ({stage})")
            node = problem.names.index(concept)
            key = "training-graph"
            charts.show(
                problem_graph(scores[step], depth, selected=node), key, concept_panel.clicked(key, problem)
            )  # fmt: skip
            charts.download(
                lambda: problem_graph(scores[step], depth, selected=node), f"graph-{problem.id}-{step}", f"save-{key}"
            )


def _figure(make: Callable[[], go.Figure], key: str, name: str, made: go.Figure | None = None) -> None:
    charts.show(made or make(), f"training-{key}")
    charts.download(make, f"training-{key}-{name}", f"save-training-{key}")


def _statistics(scores: dict[int, NodeScores]) -> pl.DataFrame:
    return pl.concat(statistics_frame([one]).with_columns(step=pl.lit(step)) for step, one in scores.items())
