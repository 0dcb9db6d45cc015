"""The page *Thoughts*: one problem, and what a model thinks about it, thought by thought."""

import streamlit as st

from apps import caches, header, links, navigation, picture
from apps.apology import in_words
from apps.model_choice import choose_beside, choose_readout, choose_run, choose_thoughts, open_another
from apps.problem_choice import choose_problem
from apps.view import Reading, Run, View
from workbench.measure.scores import Readout, node_scores
from workbench.problems.problem import Problem


def draw() -> None:
    """Draw the page."""
    links.remember_what_was_asked()
    navigation.follow()
    with in_words():
        view = _choose()
        if view is None:
            st.markdown("## Your own problem")
            st.info(st.session_state.pop("to do", "Choose a problem at the left."), icon=":material/arrow_back:")
            return
        readings = [_read(run, view.problem, view.readout) for run in (view.run, view.beside) if run is not None]
        note = st.container()
        header.draw(view, readings)
        picture.draw(view, readings)
        links.footnote(view)
        with note:
            links.say_what_was_left_out()


def _choose() -> View | None:
    with st.sidebar:
        st.markdown("### Coconut Workbench")
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
    if chosen is None:
        return None
    return View(run, beside, *chosen, readout)


def _read(run: Run, problem: Problem, readout: Readout) -> Reading:
    trace = caches.trace(run.path, problem, run.thoughts)
    # The LM head reads thoughts: where there is none, what the model would say is all there is to read.
    shown = readout if run.thoughts else "forced_language"
    answer = caches.answer(run.path, problem, run.thoughts, run.says)
    return Reading(run, trace, node_scores(trace, shown), answer)
