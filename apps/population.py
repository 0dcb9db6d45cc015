"""The page *Population*: a reading of a whole problem set, with its controls; every point leads to its problem."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import charts, links, method, navigation, recipe, recordings, tables
from apps.apology import in_words
from apps.model_choice import choose_count, choose_run, open_another
from apps.problem_choice import choose_set
from apps.view import Run, Source
from apps.words import plural
from workbench.measure.run_labels import CONTROLS, title
from workbench.problems.problem import Problem
from workbench.readings import READINGS
from workbench.readings.base import Reading

USUAL_CONTROLS = ("untrained", "shuffled")
WIDTH = 1150
"""Pixels of a figure: wider, and lines over six thoughts are hard to read."""
CONTROLS_HELP = "Runs that should not show what the model shows, in the same axes:\n\n" + "\n\n".join(
    f"**{control.title}**: {control.what}" for control in CONTROLS.values()
)


def draw() -> None:
    """Draw the page."""
    links.remember_what_was_asked()
    navigation.follow()
    with in_words():
        with st.sidebar:
            st.markdown("### Coconut Workbench")
            run = choose_run()
            open_another()
            chosen = choose_set()
            run = choose_count(run)
            links.accept_names("controls", {control.name: control.title for control in CONTROLS.values()})
            links.accept_names("reading", {reading.name: reading.title for reading in READINGS.values()})
            controls = _controls()
            reading = _reading()
        note = st.container()
        _head(reading, run)
        if chosen is None:
            st.info(st.session_state.pop("to do"), icon=":material/arrow_back:")
        elif not run.thoughts:
            st.info(
                f"**{run.name} thinks no thoughts here**, so there are none to read. Choose a run that was trained "
                "with thoughts, or more than 0 of them; what this one says is on the page *Thoughts*.",
                icon=":material/block:",
            )
        else:
            items, source = chosen
            made = _record(run, items, controls)
            if made:
                _show(reading, run, items, made, source)
        with note:
            links.say_what_was_left_out()


def _controls() -> list[str]:
    titles = {control.name: control.title for control in CONTROLS.values()}
    return st.multiselect(
        "Controls", list(CONTROLS), default=list(USUAL_CONTROLS), format_func=titles.__getitem__, key="controls",
        bind="query-params", help=CONTROLS_HELP, placeholder="None: the model alone",
    )  # fmt: skip


def _reading() -> Reading:
    name = st.selectbox(
        "Reading", list(READINGS), format_func=lambda name: READINGS[name].title, key="reading", bind="query-params",
        help="What is asked of the thoughts of the whole set.",
    )  # fmt: skip
    return READINGS[name]


def _head(reading: Reading, run: Run) -> None:
    st.markdown(f"## {reading.title}")
    st.markdown(reading.question)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        method.badges(run.checkpoint)
    st.caption(f"**Source** {reading.source}  \n**Chance** {reading.chance}")


def _record(run: Run, items: tuple[Problem, ...], controls: Sequence[str]) -> list[recordings.Recording]:
    """Return what was recorded, recording it where that has not been done; nothing where it was stopped."""
    asked = (run.name, run.thoughts, len(items), *controls)
    if recordings.known(run, items, controls):
        return recordings.of_set(run, items, controls, lambda label, done: None)
    if st.session_state.get("stopped") == asked:
        st.info("**Stopped.** What was done is kept.", icon=":material/pause:")
        st.button("Go on", type="primary", on_click=lambda: st.session_state.pop("stopped"))
        return []
    box = st.empty()
    with box.container(border=True):
        bar = st.progress(0.0, "Loading TransformerLens ...")
        st.caption(
            f"{plural(len(items), 'problem')}, {plural(1 + len(controls), 'run')}: done once, and kept while the "
            "server runs. Each begins with the thoughts alone, without a move of the bar."
        )
        st.button("Stop", key="stop", icon=":material/stop:", on_click=_stop, args=(asked,))
    series = ["model", *controls]

    def told(label: str, done: int) -> None:
        share = (series.index(label) + done / len(items)) / len(series)
        bar.progress(min(share, 1.0), f"{title(label)}: {done} of {len(items)} problems")

    made = recordings.of_set(run, items, controls, told)
    box.empty()
    links.keep_what_was_left_out()
    st.rerun()
    return made


def _stop(asked: tuple[object, ...]) -> None:
    st.session_state["stopped"] = asked


def _show(
    reading: Reading, run: Run, items: tuple[Problem, ...], made: Sequence[recordings.Recording], source: Source
) -> None:
    bar, labels = st.empty(), [recording.label for recording in made]

    def told(label: str) -> None:
        what = f"Reading: {title(label)}" if label else "Drawing"
        share = labels.index(label) / len(labels) if label else 0.95
        bar.progress(share, f"{what} (done once; lenses, probes and knock-outs take the longest)")

    frame, figures = recordings.frame_and_figures(reading, run, items, made, told)
    bar.empty()
    ids = {problem.id for problem in items}
    name = f"{reading.name}-{run.name.replace('/', '-')}-{len(items)}"
    for place, figure in enumerate(figures):
        _figure(figure, f"{name}-{place}", f"population-{reading.name}-{place}", ids)
    _open_by_name(list(ids))
    below = st.tabs(["Table", "Code"], key="under", bind="query-params", on_change="rerun")
    if below[0].open:
        with below[0]:
            st.caption(
                f"{plural(frame.height, 'row')}, version {reading.schema} of its columns. `run` names the series: the "
                "model's own or a control."
            )
            filled = [column for column in frame.columns if frame[column].null_count() < frame.height]
            tables.show(frame.select(filled), name, "population table", _columns(frame), height=360)
    if below[1].open:
        with below[1]:
            st.caption("This script computes the numbers on this page and opens its pictures.")
            st.code(recipe.population(reading.name, run, source, [one.label for one in made[1:]]), language="python")
    if source.unlinked:
        st.caption(f":orange[The link in the address bar does not hold this set.] {source.unlinked}")
    else:
        click = (
            " A click on a point that stands for one problem opens it."
            if any(_opens(figure, ids) for figure in figures)
            else ""
        )
        st.caption(f"The address bar holds the whole view.{click}")


def _figure(figure: go.Figure, name: str, key: str, ids: set[str]) -> None:
    def clicked() -> None:
        event = st.session_state.get(key)
        for point in event["selection"]["points"] if event else ():
            data = point.get("customdata")
            first = data[0] if isinstance(data, list) and data else data
            if isinstance(first, str) and first in ids:
                navigation.leave_for(first)

    with st.container(width=WIDTH):
        saved = go.Figure(figure)  # with its title, which the page takes out
        charts.show(figure, key, clicked)
        charts.download(lambda: saved, name, f"save-{key}", "Figure as HTML")


def _opens(figure: go.Figure, ids: set[str]) -> bool:
    """Return whether points of a figure stand for problems: then their first datum is an id."""
    traces: Any = figure.data
    data = [trace.customdata for trace in traces if trace.type in ("scatter", "scattergl")]
    firsts = [rows[0] for rows in data if rows is not None and len(rows)]
    return any(
        str(first if isinstance(first, str) or not hasattr(first, "__len__") else first[0]) in ids for first in firsts
    )


def _open_by_name(ids: list[str]) -> None:
    """Offer every problem by its id: the way without a mouse."""
    with st.container(horizontal=True, vertical_alignment="bottom", width=460):
        chosen = st.selectbox(
            "Open a problem", sorted(ids, key=lambda one: (len(one), one)), key="to open", index=None,
            placeholder="Type to search the ids", help="On the page Thoughts.",
        )  # fmt: skip
        st.button("Open", disabled=chosen is None, on_click=navigation.leave_for, args=(chosen,))


def _columns(frame: pl.DataFrame) -> dict[str, tables.Column]:
    numbers = [name for name, kind in frame.schema.items() if kind.is_float()]
    return {name: st.column_config.NumberColumn(format="%.4f") for name in numbers}
