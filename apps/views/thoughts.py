"""The page *Thoughts*: one problem, and what a model thinks about it, thought by thought."""

from collections.abc import Sequence

import streamlit as st

from apps import cache, links
from apps.components import header, picture, stepper, tabs
from apps.errors import in_words
from apps.sidebar_model import choose_beside, choose_readout, choose_run, choose_thoughts, open_another
from apps.sidebar_problem import choose_problem, say_what_to_do
from apps.state import Reading, Run, View
from workbench.measure.scores import Readout, node_scores
from workbench.problems.problem import Problem


def draw() -> None:
    """Draw the page."""
    with in_words():
        view = _choose()
        if view is None:
            st.markdown("## Your own problem")
            say_what_to_do()
            return
        readings = [_read(run, view.problem, view.readout) for run in (view.run, view.beside) if run is not None]
        note = st.container()
        header.draw(view, readings)
        st.fragment(_moving)(view, readings)
        links.footnote(view.source.unlinked)
        with note:
            links.say_what_was_left_out()


def _choose() -> View | None:
    with st.sidebar:
        models, problem, reading = st.container(), st.container(), st.container()
        with models:
            run = choose_run()
            beside = choose_beside(run)
            open_another()
        # The problem's filters need the number of thoughts: that box is drawn first and shown last.
        with reading:
            readout = choose_readout()
            run, beside = choose_thoughts(run, beside)
        with problem:
            chosen = choose_problem(run)
    return View(run, beside, *chosen, readout) if chosen else None


def _read(run: Run, problem: Problem, readout: Readout) -> Reading:
    trace = cache.trace(run.path, problem, run.thoughts)
    # The LM head reads thoughts: where there is none, what the model would say is all there is to read.
    shown = readout if run.thoughts else "forced_language"
    answer = cache.answer(run.path, problem, run.thoughts, run.says)
    return Reading(run, trace, node_scores(trace, shown), answer)


def _moving(view: View, readings: Sequence[Reading]) -> None:
    """Draw what moves with the thoughts: the browser moves the picture, and this follows with tables and code."""
    with in_words():
        leader = max(readings, key=lambda reading: len(reading.scores.depths)).scores
        others = {
            f"{name}-{reading.run.name}": [picture.depths_of(readings, depth)[place] for depth in leader.depths]
            for place, reading in enumerate(readings)
            for name in ("strip", "curve")
            if len(readings) > 1
        }
        version = (view.problem.id, view.readout, *(cache.run_key(one.run, view.problem) for one in readings))
        steps = stepper.choose(leader.depths, stepper.labels(leader), hash(version), others)
        concept = picture.draw(view, readings, steps)
        tabs.draw(view, readings, picture.depths_of(readings, steps.here), concept)
        steps.finish()
