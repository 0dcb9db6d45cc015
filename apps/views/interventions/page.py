"""The page *Interventions*: a thought of one problem is changed, and what comes of it stands beside what was."""

from dataclasses import replace

import plotly.graph_objects as go
import streamlit as st

from apps import cache, links, widgets
from apps.components import header, stepper
from apps.components.picture import DIFFERENCE, SIDE, kept_figure
from apps.components.stepper import Steps
from apps.errors import in_words, show
from apps.sidebar_model import choose_count, choose_readout, choose_run, open_another
from apps.sidebar_problem import choose_problem, open_set, say_what_to_do
from apps.state import Reading, View
from apps.text import no_thoughts
from apps.views.interventions import operations, result, tour
from apps.views.interventions import plan as editing
from apps.views.interventions.subject import Subject
from workbench.figures import problem_graph
from workbench.figures.graph import sum_graph
from workbench.interventions.plan import Plan
from workbench.measure.scores import NodeScores, node_scores

AFTER, SUM = "with the plan", "sum of nodes"
"""The picture that is usual: one graph, beside it what is done and what comes of it; and the thoughts as sums."""


def draw() -> None:
    """Draw the page."""
    tour.arrive()
    editing.come_back()
    links.accept_names("results", result.FORMER_TABS)
    with in_words():
        with st.sidebar:
            run = choose_run()
            open_another()
            problems = st.container()
            readout = choose_readout()
            run = choose_count(run)
            with problems:
                chosen = choose_problem(run)
        note, stop = st.container(), tour.choose()
        if chosen is None:
            st.markdown("## Your own problem")
            say_what_to_do()
            return
        problem, source = chosen
        if run.thoughts:
            before = cache.trace(run.path, problem, run.thoughts)
            answer = cache.answer(run.path, problem, run.thoughts, "answer")
            view = View(run, None, "", problem, source, readout)
            header.draw(view, [Reading(run, before, node_scores(before, readout), answer)])
            st.fragment(_moving)(Subject(run, problem, open_set()), view, stop)
            stepper.listen()  # below the figures, where its fragment leaves a gap that nobody sees
        else:
            st.info(no_thoughts(run.name, "there is none to change"), icon=":material/block:")
        with note:
            links.say_what_was_left_out()


def _moving(subject: Subject, view: View, stop: tour.Stop | None) -> None:
    with in_words():
        card = st.container(border=True) if stop else None
        moves, beside = st.container(), st.session_state.get("picture") == SIDE
        if beside:
            right, left = st.container(), st.container()
        else:
            left, right = st.container(key="picture-plan").columns([1.25, 1], gap="medium")
        with right:
            nodes, done, results = st.container(), st.container(), st.container()
            row = st.container(horizontal=True, vertical_alignment="bottom")
            boxes = st.container()
        with row:
            editing.write()
        whole, faulty = editing.read()
        plan = editing.acting(whole)
        here = stop is not None and stop.is_open(subject.problem, plan)
        guess = None
        if card and stop:
            with card:
                guess = tour.ask(stop, subject.problem) if here else tour.offer_the_way_back(stop)
        hidden = here and guess is None
        before = node_scores(cache.trace(view.run.path, view.problem, view.run.thoughts), view.readout)
        with moves:
            version = (subject.problem.id, subject.run.name, view.readout, plan)
            steps = stepper.choose(before.depths, stepper.labels(before), hash(version))
            steps.follow()
        with done:
            operations.listed(whole, subject.run.thoughts, steps.here)
        with row:
            editing.switches(whole)
        if not hidden:
            with nodes:
                operations.node_card(subject, whole, steps.here)
            with boxes:
                editing.editor(subject, whole, steps.here)
        with right:
            if "refused" in st.session_state:
                show(st.session_state.pop("refused"))
            if faulty:
                show(faulty)
        if hidden:
            with left:
                st.info("Guess first, and see then: here is the run without interventions.", icon=":material/help:")
                _graph(before, steps, subject, whole, Plan(), "before")
            steps.finish()
            return
        with left:
            picture = _choose_picture()
            drawn = st.container()
        with results:
            numbers = st.container()
            result.choose_control(plan)
            with numbers:
                result.metrics(subject, plan)
            result.many(subject, plan)
        with drawn:
            _graphs(subject, view, whole, plan, steps, picture)
        result.draw(subject, view, plan, steps.here)
        links.footnote(view.source.unlinked, "problem, plan and view")
        if card and stop and guess:
            control = result.control_of(plan)
            with card:
                tour.tell(stop, subject.problem, guess, subject.answers(plan, control), result.CONTROL_WORDS[control])
        steps.finish()


def _choose_picture() -> str:
    options = (AFTER, DIFFERENCE, SIDE, SUM)
    widgets.settle("picture", options)
    return widgets.segments(
        "Graph", options, "picture",
        "difference: values with the plan less those without it. side by side: both, without and with the plan. "
        "sum of nodes: each thought as a sum of node codes, vectors learned from generated problems on other graphs.",
    )  # fmt: skip


def _graphs(subject: Subject, view: View, whole: Plan, plan: Plan, steps: Steps, picture: str) -> None:
    before, after, table = subject.traces(plan)
    old, new = node_scores(before, view.readout), node_scores(after, view.readout)
    if picture == DIFFERENCE:
        steps.draw("badge", lambda depth: result.badge(table, view.readout, depth))
        named = replace(new, checkpoint="with the plan"), replace(old, checkpoint="without it")
        _graph(named[0], steps, subject, whole, plan, "difference", named[1])
        return
    if picture == AFTER:
        steps.draw("badge", lambda depth: result.badge(table, view.readout, depth))
        _graph(new, steps, subject, whole, plan, "after")
        return
    if picture == SUM:
        _graph(new, steps, subject, whole, plan, "sum")
        return
    widgets.one_legend()
    widgets.level_figures()
    columns = st.container(key="pictures").columns(2, gap="medium")
    for column, scores, name in zip(columns, (old, new), ("before", "after"), strict=True):
        with column:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown("**Without interventions**" if name == "before" else "**With the plan**")
                if name == "before":
                    st.badge("the run as it is", icon=":material/psychology:", color="gray")
                else:
                    steps.draw("badge", lambda depth: result.badge(table, view.readout, depth))
            _graph(scores, steps, subject, whole, plan, name, paired=True)


def _graph(
    scores: NodeScores, steps: Steps, subject: Subject, whole: Plan, plan: Plan, name: str,
    less: NodeScores | None = None, paired: bool = False,
) -> None:  # fmt: skip
    problem, marked = subject.problem, st.session_state.get("concept")
    node = problem.names.index(marked) if marked in problem.names else None
    about = (*subject.key(plan), scores.readout, name, node)

    def make(depth: int) -> go.Figure:
        if name != "sum":
            return problem_graph(scores, depth, selected=node, compare=less)
        weights, shares, chance = subject.as_sum(plan)
        k = max(depth, 1)
        return sum_graph(scores, k, weights, float(shares[k - 1]), float(chance[k - 1]), selected=node)

    def draw_one(depth: int) -> None:
        key = f"plan-{name}-{depth}"
        drawn = kept_figure((*about, depth), lambda: make(depth))
        drawn.update_layout(legend={"xref": "container", "x": 0.01, "font": {"size": 10}, "entrywidth": 140})
        drawn = widgets.without_legend(drawn) if paired else drawn
        widgets.chart(drawn, key, operations.clicked(key, problem, whole), graph=True)

    steps.draw(f"graph-plan-{name}", draw_one)  # of the least width of all graphs
    widgets.download_figure(
        lambda: make(steps.here),
        f"plan-{name}-{problem.id}-{steps.here}", f"save-plan-{name}", "Graph as HTML",
    )  # fmt: skip
