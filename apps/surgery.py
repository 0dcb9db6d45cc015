"""The page *Plan*: a thought of one problem is operated on, and what comes of it stands beside what was."""

from dataclasses import replace

import streamlit as st

from apps import (
    caches,
    charts,
    header,
    links,
    operated,
    operating,
    playback,
    stack,
    style,
    surgery_results,
    tour,
)
from apps.apology import in_words, show
from apps.model_choice import choose_count, choose_readout, choose_run, open_another
from apps.operated import Patient
from apps.picture import DIFFERENCE, SIDE
from apps.problem_choice import choose_problem
from apps.tour_stops import Stop
from apps.view import Reading, Source, View
from workbench.errors import WorkbenchError
from workbench.figures import problem_graph
from workbench.interventions.plan import Plan
from workbench.interventions.text import from_address
from workbench.measure.scores import NodeScores, node_scores


def draw() -> None:
    """Draw the page."""
    links.remember_what_was_asked()
    tour.arrive()
    stack.come_back()
    with in_words():
        with st.sidebar:
            st.markdown("### Coconut Workbench")
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
            st.info(st.session_state.pop("to do", "Choose a problem at the left."), icon=":material/arrow_back:")
            return
        problem, source = chosen
        if run.thoughts:
            before = caches.trace(run.path, problem, run.thoughts)
            answer = caches.answer(run.path, problem, run.thoughts, "answer")
            view = View(run, None, problem, source, readout)
            header.draw(view, [Reading(run, before, node_scores(before, readout), answer)])
            st.fragment(_moving, run_every=playback.period())(operated.patient(run, problem), view, stop)
        else:
            st.info(
                f"**{run.name} thinks no thoughts here**, so there is none to operate on. Choose a run that was "
                "trained with thoughts, or more than 0 of them.",
                icon=":material/block:",
            )
        with note:
            links.say_what_was_left_out()


def _moving(who: Patient, view: View, stop: Stop | None) -> None:
    with in_words():
        card = st.container(border=True) if stop else None
        boxes = st.container()
        done, row = st.container(), st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
        first, second, third = (
            row.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content") for _ in range(3)
        )
        with third:
            stack.write()
        plan, faulty = _read()
        here = stop is not None and who.problem.id == stop.problem and plan == from_address(stop.plan)
        guess = None
        if card and stop:
            with card:
                guess = tour.ask(stop, who.problem) if here else None
                if not here:
                    tour.offer_the_way_back(stop)
        hidden = here and guess is None
        before = node_scores(caches.trace(who.run.path, who.problem, who.run.thoughts), view.readout)
        with done:
            stack.listed(plan, who.run.thoughts)
        with first:
            stack.switches(plan)
        depth = playback.choose_depth(before.depths)
        with boxes:
            if not hidden:
                operating.draw(who, plan, depth)
            if "refused" in st.session_state:
                show(st.session_state.pop("refused"))
        if faulty:
            show(faulty)
        if hidden:
            st.info("Guess first, and see then: here is the run without the surgery.", icon=":material/help:")
            _graph(before, depth, who, "before")
            return
        with second:
            picture = _choose_picture()
            surgery_results.choose_control(plan)
        _come_of_it(who, view, plan, depth, picture)
        if card and stop and guess:
            table, control = surgery_results.answers(who, plan)
            with card:
                tour.tell(stop, who.problem, guess, table, control)


def _read() -> tuple[Plan, WorkbenchError | None]:
    """Return the plan; where its text says none, none at all and why."""
    try:
        return stack.read(), None
    except WorkbenchError as error:
        return Plan(), error


def _choose_picture() -> str:
    return st.segmented_control(
        "Graph", (SIDE, DIFFERENCE), default=SIDE, required=True, key="picture", bind="query-params",
        help="difference: values under the surgery less those without it.",
    ) or SIDE  # fmt: skip


def _come_of_it(who: Patient, view: View, plan: Plan, depth: int, picture: str) -> None:
    before, after, table = operated.pair(who, plan)
    old, new = node_scores(before, view.readout), node_scores(after, view.readout)
    surgery_results.metrics(who, plan)
    if picture == DIFFERENCE:
        surgery_results.badge(table, view.readout, depth)
        named = replace(new, checkpoint="under the surgery"), replace(old, checkpoint="without it")
        _graph(named[0], depth, who, "difference", named[1])
    else:
        style.level_figures()
        for column, scores, name in zip(st.columns(2, gap="medium"), (old, new), ("before", "after"), strict=True):
            with column:
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    st.markdown("**Without the surgery**" if name == "before" else "**Under the surgery**")
                    if name == "before":
                        st.badge("the run as it is", icon=":material/psychology:", color="gray")
                    else:
                        surgery_results.badge(table, view.readout, depth)
                _graph(scores, depth, who, name)
    surgery_results.draw(who, view, plan, depth, table, before, after)
    _footnote(view.source)


def _graph(scores: NodeScores, depth: int, who: Patient, name: str, less: NodeScores | None = None) -> None:
    chart, problem = f"surgery-{name}", who.problem
    marked = st.session_state.get("concept")
    node = problem.names.index(marked) if marked in problem.names else None
    drawn = problem_graph(scores, depth, selected=node, compare=less)
    drawn.update_layout(legend={"xref": "container", "x": 0.01, "font": {"size": 10}, "entrywidth": 140})
    charts.show(drawn, chart, operating.clicked(chart, problem))
    charts.download(
        lambda: problem_graph(scores, depth, selected=node, compare=less), f"surgery-{name}-{problem.id}-{depth}",
        f"save-{chart}", "Graph as HTML",
    )  # fmt: skip


def _footnote(source: Source) -> None:
    if source.unlinked:
        st.caption(f":orange[The link in the address bar does not hold this problem.] {source.unlinked}")
    else:
        st.caption("The address bar holds problem, surgery and view: copy it, and it opens again just so. Keys: ← → P.")
