"""The page *Population*: a reading of a whole problem set, with its controls; every point leads to its problem."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import cache, code_export, links, widgets
from apps.components.header import method_badges
from apps.errors import in_words
from apps.sidebar_model import choose_count, choose_run, open_another
from apps.sidebar_problem import choose_set, say_what_to_do
from apps.state import Run, Source
from apps.text import no_thoughts, plural
from workbench.measure.recording import Recording
from workbench.measure.run_labels import CONTROLS, MODEL, OTHER_TARGET, title
from workbench.measure.verdicts import FEWEST
from workbench.problems.problem import Problem
from workbench.readings import READINGS
from workbench.readings.base import Reading
from workbench.readings.sentences import past_target, sentence

USUAL_CONTROLS = ("untrained", "shuffled")
WIDTH = 1150
"""Pixels of a figure: wider, and lines over six thoughts are hard to read."""
RULE = (
    "Holds: the whole 95 % interval of each difference, over graphs, is above zero; does not hold: one is below; "
    f"undecided: zero lies in one; too few: under {FEWEST} graphs. Mean over the thoughts of a problem, then problems."
)
OVER_THOUGHTS = ("breadth", "parallelism", "superposition")
"""Readings of a frontier, which thoughts past the target have not."""
CONTROL_TITLES = {control.name: control.title for control in CONTROLS.values()}
CONTROLS_HELP = "Runs that should not show what the model shows, in the same axes:\n\n" + "\n\n".join(
    f"**{control.title}**: {control.what}" for control in CONTROLS.values()
)


def draw() -> None:
    """Draw the page."""
    with in_words():
        with st.sidebar:
            run = choose_run()
            open_another()
            chosen = choose_set()
            run = choose_count(run)
            links.accept_names("controls", CONTROL_TITLES)
            links.accept_names("reading", {reading.name: reading.title for reading in READINGS.values()})
            controls = st.multiselect(
                "Controls", list(CONTROLS), default=list(USUAL_CONTROLS), format_func=CONTROL_TITLES.__getitem__,
                key="controls", bind="query-params", help=CONTROLS_HELP, placeholder="None: the model alone",
            )  # fmt: skip
            reading = READINGS[st.selectbox(
                "Reading", list(READINGS), format_func=lambda name: READINGS[name].title, key="reading",
                bind="query-params", help="What is asked of the thoughts of the whole set.",
            )]  # fmt: skip
        note = st.container()
        st.markdown(f"## {reading.title}")
        st.markdown(reading.question)
        method_badges(run.checkpoint)
        st.caption(f"**Source** {reading.source}  \n**Chance** {reading.chance}")
        if chosen is None:
            say_what_to_do()
        elif not run.thoughts:
            more = "; what this one says is on the page *Thoughts*"
            st.info(no_thoughts(run.name, "there are none to read", more), icon=":material/block:")
        else:
            items, source = chosen
            show = partial(_show, reading, run, items, source=source)
            if recordings := _record(run, items, controls, show):
                show(recordings)
        with note:
            links.say_what_was_left_out()


def _record(
    run: Run, items: tuple[Problem, ...], controls: Sequence[str], show: Callable[[Sequence[Recording]], None]
) -> list[Recording]:
    """Return what was recorded, recording it where that has not been done; nothing where it was stopped.

    The model is shown as soon as it is recorded, before its controls are.
    """
    asked = (run.name, run.thoughts, len(items), *controls)
    if cache.recorded(run, items, controls):
        return cache.set_recordings(run, items, controls, lambda label, done: None)
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
    labels, first = [MODEL, *controls], (time.monotonic(), 0.0)

    def told(label: str, done: int) -> None:
        nonlocal first
        share = min((labels.index(label) + done / len(items)) / len(labels), 1.0)
        if not done and not first[1]:
            first = time.monotonic(), share  # what was known before took no time
        spent, made = time.monotonic() - first[0], share - first[1]
        left = f", about {spent * (1 - share) / made:.0f} s left" if made > 0 else ""
        bar.progress(share, f"{title(label)}: {done} of {len(items)} problems{left}")

    recordings = cache.set_recordings(run, items, (), told)
    if controls:
        with st.container():
            st.caption("The model alone: its controls are being recorded, and join it then.")
            show(recordings)
        recordings = cache.set_recordings(run, items, controls, told)
    box.empty()
    links.keep_what_was_left_out()
    st.rerun()
    return recordings


def _stop(asked: tuple[object, ...]) -> None:
    st.session_state["stopped"] = asked


def _show(
    reading: Reading, run: Run, items: tuple[Problem, ...], recordings: Sequence[Recording], *, source: Source
) -> None:
    bar, labels = st.empty(), [recording.label for recording in recordings]

    def told(label: str) -> None:
        what = f"Reading: {title(label)}" if label else "Drawing"
        share = labels.index(label) / len(labels) if label else 0.95
        bar.progress(share, f"{what} (done once; lenses, probes and knock-outs take the longest)")

    frame, figures = cache.frame_and_figures(reading, run, items, recordings, told)
    bar.empty()
    ids = {problem.id for problem in items}
    name = f"{reading.name}-{run.name.replace('/', '-')}-{len(items)}"
    widgets.caption_figures(f"{reading.question} Model {run.name}, {plural(len(items), 'problem')}.")
    _say(reading, run, frame)
    for place, figure in enumerate(figures):
        _figure(figure, f"{name}-{place}", f"population-{reading.name}-{place}", ids)
    if reading.name in OVER_THOUGHTS:
        _say_past_the_target(run, items, recordings[0])
    _open_by_name(ids)
    for one in recordings:
        if one.label == OTHER_TARGET:
            st.caption(
                f"{title(OTHER_TARGET)}: {len(one.problems)} of {plural(len(items), 'problem')} have another leaf that "
                f"the root reaches; in {int(one.as_far.sum())} of them it is as far away as the target."
            )
    below = st.tabs(["Table", "Code"], key="under", bind="query-params", on_change="rerun")
    if below[0].open:
        with below[0]:
            st.caption(
                f"{plural(frame.height, 'row')}, version {reading.schema} of its columns. `run` names the series: the "
                "model's own or a control."
            )
            filled = [column for column in frame.columns if frame[column].null_count() < frame.height]
            widgets.table(frame.select(filled), name, "population table", widgets.numbers(frame), height=360)
    if below[1].open:
        with below[1]:
            st.caption(code_export.CAPTION)
            st.code(code_export.population(reading.name, run, source, labels[1:]), language="python")
    click = ""
    if any(_opens(figure, ids) for figure in figures):
        click = " A click on a point that stands for one problem opens it."
    if source.unlinked:
        links.footnote(source.unlinked, kind="set")
    else:
        st.caption(f"The address bar holds the whole view.{click}")


def _say(reading: Reading, run: Run, frame: pl.DataFrame) -> None:
    """Draw what the reading says of this run and how sure that is, before its figures."""
    found = sentence(reading.name, frame)
    if found is None:
        st.caption(
            "No verdict: this reading has no claim of one number. Its figures stand beside chance and the controls."
        )
        return
    colour = {"holds": "green", "does not hold": "red", "undecided": "orange"}.get(found.verdict, "gray")
    st.html(
        f'<p class="says"><span class="chip {colour}">{found.verdict}</span> For {escape(run.name)}: '
        f'{escape(found.text)}.</p><p class="figure-note">{RULE}</p>'
    )


def _say_past_the_target(run: Run, items: tuple[Problem, ...], own: Recording) -> None:
    """Draw what the model does in thoughts for hops beyond the target, where there is no frontier to read."""
    key = (cache.fingerprint(run.path), cache.set_key(items), run.thoughts)
    rows = cache.kept("past target", key, lambda: past_target(own.traces))
    for row in rows.iter_rows(named=True):
        interval = f"[{row['low']:.0%}, {row['high']:.0%}]" if row["low"] == row["low"] else "(no interval: one graph)"
        masses = (
            f"{row['target']:.0%} of the probability is on the target, {row['negative']:.0%} on the other option, "
            f"{row['reachable']:.0%} on other nodes that the root reaches, {row['unreachable']:.0%} on those that it "
            f"does not, {row['outside']:.0%} on all else (spread evenly, {row['chance']:.0%} on each concept)"
        )
        st.html(
            f'<p class="says">After {plural(row["thought"], "thought")}, past the target of '
            f"{plural(row['n'], 'problem')}: {masses}. Asked for the answer then, <b>{row['right']:.0%}</b> "
            f"{interval} are right; after as many thoughts as the target is hops away, "
            f"{row['at_target']:.0%}.</p>"
        )
    if rows.height:
        st.html(
            '<p class="figure-note">Of the model alone; intervals of 95 % over graphs. A description, no verdict.</p>'
        )


def _figure(figure: go.Figure, name: str, key: str, ids: set[str]) -> None:
    def clicked() -> None:
        for first, *_ in widgets.clicked(key):
            if isinstance(first, str) and first in ids:
                links.open_problem(first)

    with st.container(width=WIDTH):
        # The page takes the title out of what it draws.
        widgets.figure(lambda: go.Figure(figure), key, name, clicked, "Figure as HTML")


def _opens(figure: go.Figure, ids: set[str]) -> bool:
    """Return whether points of a figure stand for problems: then their first datum is an id."""
    traces: Any = figure.data
    data = [trace.customdata for trace in traces if trace.type in ("scatter", "scattergl")]
    firsts = [rows[0] for rows in data if rows is not None and len(rows)]
    return any(
        str(first if isinstance(first, str) or not hasattr(first, "__len__") else first[0]) in ids for first in firsts
    )


def _open_by_name(ids: set[str]) -> None:
    """Offer every problem by its id: the way without a mouse."""
    with st.container(horizontal=True, vertical_alignment="bottom", width=460):
        chosen = st.selectbox(
            "Open a problem", sorted(ids, key=lambda one: (len(one), one)), key="to open", index=None,
            placeholder="Type to search the ids", help="On the page Thoughts.",
        )  # fmt: skip
        st.button("Open", disabled=chosen is None, on_click=links.open_problem, args=(chosen,))
