"""The page *Thoughts*: one problem, and what a model thinks about it, thought by thought."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from apps import cache, links
from apps.components import header, picture, stepper, tabs
from apps.errors import in_words
from apps.sidebar_model import (
    choose_beside,
    choose_readout,
    choose_run,
    choose_thoughts,
    open_another,
)
from apps.sidebar_problem import choose_problem, say_what_to_do
from apps.state import OTHER_TARGET, TWIN, Reading, Run, View, comparable
from apps.text import plural
from workbench.measure.scores import Readout, node_scores
from workbench.problems.problem import Problem

NO_OTHER = {
    TWIN: "There is nothing to compare with: no entity of this graph has the other option as its answer.",
    OTHER_TARGET: "There is nothing to compare with: the entity asked about reaches no other end of a chain.",
}


def draw() -> None:
    """Draw the page."""
    with in_words():
        view = _choose()
        if view is None:
            st.markdown("## Your own problem")
            say_what_to_do()
            return
        readings = _readings(view)
        note = st.container()
        header.draw(view, readings)
        st.fragment(_moving)(view, readings)
        stepper.listen()  # below the figures, where its fragment leaves a gap that nobody sees
        links.footnote(view.source.unlinked)
        with note:
            links.say_what_was_left_out()


def _choose() -> View | None:
    with st.sidebar:
        models, problem, reading = st.container(), st.container(), st.container()
        with models:
            run = choose_run()
            beside, against = choose_beside(run)
            open_another()
        # The problem's filters need the number of thoughts: that box is drawn first and shown last.
        with reading:
            readout = choose_readout()
            run, beside = choose_thoughts(run, beside)
        with problem:
            chosen = choose_problem(run)
    return View(run, beside, against, *chosen, readout) if chosen else None


def _readings(view: View) -> list[Reading]:
    """Return what the run reads in the problem, and what that is compared with, where there is such a thing."""
    own = _read(view.run, view.problem, view.readout)
    if view.beside is not None:
        return [own, _read(view.beside, view.problem, view.readout)]
    if not view.against:
        return [own]
    if (thought := view.thought) is not None:
        if not view.run.thoughts:
            return [own]
        thought = min(thought, own.scores.depths[-1])
        return [own, replace(own, told=f"after {plural(thought, 'thought')}", fixed=thought)]
    other = view.other_question(view.problem)
    if other is None:
        st.caption(f":orange[{NO_OTHER[view.against]}]")
        return [own]
    asked = f"asked about {other.names[other.root]} and {other.names[other.target]}"
    return [own, replace(_read(view.run, other, view.readout), told=asked)]


def _read(run: Run, problem: Problem, readout: Readout) -> Reading:
    trace = cache.trace(run.path, problem, run.thoughts)
    # The LM head reads thoughts: where there is none, what the model would say is all there is to read.
    shown = readout if run.thoughts else "forced_language"
    answer = cache.answer(run.path, problem, run.thoughts, run.says)
    return Reading(run, trace, node_scores(trace, shown), answer)


def _moving(view: View, readings: Sequence[Reading]) -> None:
    """Draw the picture, which the browser moves from thought to thought, and the tabs, which follow."""
    with in_words():
        leader = max(readings, key=lambda reading: len(reading.scores.depths)).scores
        others = {
            f"{name}-{reading.name}": [picture.depths_of(readings, depth)[place] for depth in leader.depths]
            for place, reading in enumerate(readings)
            for name in ("strip", "curve")
            if len(readings) > 1
        }
        version = (view.readout, *((one.fixed, *cache.run_key(one.run, one.problem)) for one in readings))
        steps = stepper.choose(leader.depths, stepper.labels(leader), hash(version), others, by_parts=True)
        concept, alike = picture.draw(view, readings, steps), _are_alike(readings, steps.here)
        st.fragment(_following)(view, readings, steps, concept, alike)
        steps.finish()


def _following(view: View, readings: Sequence[Reading], steps: stepper.Steps, concept: str, alike: bool) -> None:
    """Draw the tabs: alone again after each step, so that nothing of the picture is sent twice."""
    here = steps.follow(tabs.depends())
    if (st.session_state["concept"], _are_alike(readings, here)) != (concept, alike):
        st.rerun()  # the picture must follow too: a concept was clicked in a table, or no difference can be drawn here
    with in_words():
        tabs.draw(view, readings, picture.depths_of(readings, here), concept)


def _are_alike(readings: Sequence[Reading], depth: int) -> bool:
    return comparable(readings, picture.depths_of(readings, depth))
