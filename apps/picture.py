"""The part that moves with the thoughts: graph at the left, linked panels at the right."""

import plotly.graph_objects as go
import streamlit as st

from apps import attention, charts, concept_panel, details, method, playback, recipe, saying, style
from apps.apology import in_words
from apps.view import Reading, View
from workbench.figures import problem_graph, thought_strip
from workbench.measure.scores import NOISE_MASS, statistics

SIDE, DIFFERENCE = "side by side", "difference"


def draw(view: View, readings: list[Reading]) -> None:
    """Draw the moving part; while it is playing it draws itself again and again."""
    st.fragment(_moving, run_every=playback.period())(view, readings)


def _moving(view: View, readings: list[Reading]) -> None:
    with in_words():
        leader = max(readings, key=lambda reading: len(reading.scores.depths))
        depth = playback.choose_depth(leader.scores.depths)
        depths = [reading.depth_beside(leader, depth) for reading in readings]
        for reading in readings:
            _unread(view, reading)
        concept = _two(view, readings, depths) if len(readings) > 1 else _one(view, readings[0], depth)
        details.draw(view, readings, depths, concept)


def _unread(view: View, reading: Reading) -> None:
    """Say where another readout than the one chosen is shown, since there is no thought to read."""
    if reading.scores.readout != view.readout:
        st.caption(
            f":orange[{reading.run.name} thinks no thoughts here, so the LM head has none to read: its forced language "
            "is shown, what it would name in its first step.]"
        )


def _one(view: View, reading: Reading, depth: int) -> str:
    left, right = st.columns([1.3, 1], gap="medium")
    with right:
        _mass(reading, depth)
        _doubt(reading, depth)
        saying.card(reading, depth)
        concept = concept_panel.choose(view.problem)
        concept_panel.draw(reading, concept, depth, "only")
    with left:
        _graph(reading, depth, concept, "only", drawn=attention.choose([reading]))
        _strip(reading, depth, "only")
    return concept


def _two(view: View, readings: list[Reading], depths: list[int]) -> str:
    top = st.columns([1, 1], vertical_alignment="bottom", gap="medium")
    with top[0]:
        concept = concept_panel.choose(view.problem)
    with top[1]:
        picture = _choose_picture(readings, depths)
    drawn = None if picture == DIFFERENCE else attention.choose(readings)
    if picture == DIFFERENCE:
        _graph(readings[0], depths[0], concept, "difference", readings[1])
    style.level_figures()
    for column, reading, depth in zip(st.columns(2, gap="medium"), readings, depths, strict=True):
        with column:
            key = reading.run.name
            st.markdown(f"#### {key}")
            with st.container(horizontal=True, gap="small"):
                method.badges(reading.run.checkpoint)
            _mass(reading, depth)
            if picture != DIFFERENCE:
                _graph(reading, depth, concept, key, drawn=drawn)
            _doubt(reading, depth)
            saying.card(reading, depth)
            concept_panel.draw(reading, concept, depth, key)
            _strip(reading, depth, key)
    return concept


def _choose_picture(readings: list[Reading], depths: list[int]) -> str:
    if not recipe.comparable(readings, depths):
        st.session_state.pop("picture", None)
        st.caption(
            "Side by side only: here the two are read after different numbers of thoughts, or by another readout."
        )
        return SIDE
    return st.segmented_control(
        "Graph", (SIDE, DIFFERENCE), default=SIDE, required=True, key="picture", bind="query-params",
        help=f"difference: values of {readings[0].run.name} less those of {readings[1].run.name}.",
    ) or SIDE  # fmt: skip


def _graph(
    reading: Reading,
    depth: int,
    concept: str,
    key: str,
    other: Reading | None = None,
    drawn: attention.Choice | None = None,
) -> None:
    problem, chart = reading.trace.problem, f"graph-{key}"
    arrows = attention.read(reading, depth, drawn)

    def make() -> go.Figure:
        node, compare = problem.names.index(concept), other.scores if other else None
        return problem_graph(reading.scores, depth, selected=node, compare=compare, attention=arrows)

    charts.show(make(), chart, concept_panel.clicked(chart, problem))
    attention.say(arrows)
    charts.download(make, f"graph-{problem.id}-{depth}", f"save-{chart}", "Graph as HTML")


def _strip(reading: Reading, depth: int, key: str) -> None:
    charts.show(thought_strip(reading.scores, depth=depth), f"strip-{key}")


def _mass(reading: Reading, depth: int) -> None:
    """Draw the numbers without which the picture means nothing: candidate mass and breadth, beside chance."""
    row = reading.scores.row(depth)
    hop = reading.scores.hops_read[row]
    about = statistics(reading.scores)
    mass, breadth, path = (about[name] for name in ("candidate_mass", "breadth", "path_rank"))
    for column, statistic, label, form in zip(
        st.columns(3),
        (mass, breadth, path),
        (f"Mass on hop {hop}", "Breadth", "On-path rank"),
        (".3f", ".2f", ".0f"),
        strict=True,
    ):
        value, chance = float(statistic.values[row]), float(statistic.chance[row])
        column.metric(
            label,
            _number(value, form),
            f"chance {_number(chance, form)}"
            if statistic.name != "breadth"
            else f"of {_number(chance, '.0f')} on the frontier",
            delta_color="off",
            delta_arrow="off",
            help=f"Unit: {statistic.unit}. Chance: {statistic.baseline}.",
        )


def _doubt(reading: Reading, depth: int) -> None:
    """Say where the picture shows mostly noise; below it, so that two pictures stand level."""
    row = reading.scores.row(depth)
    hop, mass = reading.scores.hops_read[row], statistics(reading.scores)["candidate_mass"]
    if mass.values[row] < NOISE_MASS:
        st.warning(
            f"Candidate mass is {mass.values[row]:.3f}: this readout hardly speaks of hop {hop} here. "
            "The normalised values in the graph are then mostly noise.",
            icon=":material/warning:",
        )


def _number(value: float, form: str) -> str:
    return "none" if value != value else format(value, form)
