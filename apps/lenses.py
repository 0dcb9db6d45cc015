"""What every layer says at every thought of one problem, below the picture of the page *Thoughts*."""

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import caches, charts, navigation, recordings, tables
from apps.view import Reading, Run, View
from apps.words import plural
from workbench.figures.layers import problem_lens
from workbench.measure.splits import others
from workbench.model.lens import residual_streams
from workbench.problems.problem import Problem
from workbench.readings.lenses import RAW, TUNED, Fitted, TunedLens, fit_lens, for_all, read_lenses

LENSES = {"logit lens": RAW, "tuned lens": TUNED}
HELP = (
    "**logit lens**: the final norm and the LM head applied to the residual stream at each layer, as it is.  \n"
    "**tuned lens**: an affine translator for each layer comes first, fitted so that the layer says what the last one "
    "says; on other graphs than this one. It is fitted on the spot the first time, which takes some seconds."
)
MOST = 16
"""Tuned lenses that are kept."""


def draw(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    """Draw the tab: a map of layers and thoughts for each run, with its numbers."""
    st.caption(
        "Column k is where thought k was fed, layer by layer upwards. Through the layers its mass moves from hop k, of "
        "which the thought speaks, to hop k + 1, of which the next one does. Read by TransformerLens; hover for chance."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        which = st.segmented_control(
            "Lens", list(LENSES), default="logit lens", required=True, key="lens", bind="query-params", help=HELP
        )
        navigation.deeper("The whole set", "lens_layers", _DEEPER)
    for reading in readings:
        if len(readings) > 1:
            st.markdown(f"**{reading.run.name}**")
        _one(view, reading, LENSES.get(which or "", RAW))


_DEEPER = "Both lenses over many problems, with intervals and controls."


def _one(view: View, reading: Reading, lens: str) -> None:
    run, problem = reading.run, view.problem
    if not run.thoughts:
        st.info(
            f"**{run.name} thinks no thoughts here**, so there is no column to read. Choose a run that was trained "
            "with thoughts, or more than 0 of them.",
            icon=":material/block:",
        )
        return
    fitted, note = _fitted(run, problem, view.source.problems or (problem,)) if lens == TUNED else ((), "")
    frame = read_lenses(recordings.of_problem(run, problem), fitted).filter(pl.col("lens") == lens)

    def make() -> go.Figure:
        return problem_lens(frame, problem.id, lens)

    key = f"lens-{run.name}"
    charts.show(make(), key)
    if note:
        st.caption(note)
    charts.download(make, f"{lens.split()[0]}-lens-{problem.id}", f"save-{key}")
    columns = [name for name, kind in frame.schema.items() if kind.is_float()]
    numbers = {name: st.column_config.NumberColumn(format="%.4f") for name in columns}
    tables.show(frame.drop("run", "lens"), f"lens-{problem.id}", f"table-{key}", numbers, height=320)


def _fitted(run: Run, problem: Problem, items: Sequence[Problem]) -> tuple[Fitted, str]:
    """Return a tuned lens that may read the problem, fitting it where that has not been done, and what it rests on."""
    apart, source = others(run.checkpoint, items, problem)
    key, kept = (caches.fingerprint(run.path), run.thoughts, caches.set_key(tuple(apart))), _lenses()
    if key not in kept:
        bar, done = st.progress(0.0, "Fitting the tuned lens ..."), 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            bar.progress(0.8 * done / len(apart), f"Fitting the tuned lens: {done} of {len(apart)} problems run")

        residual = residual_streams(run.checkpoint, apart, run.thoughts, on_progress=told)
        bar.progress(0.8, "Fitting the tuned lens: the translators ...")
        while len(kept) >= MOST:
            kept.pop(next(iter(kept)))
        kept[key] = fit_lens(run.checkpoint, residual)
        bar.empty()
    note = f"Fitted on {plural(len(apart), 'problem')} on other graphs: {source}."
    return for_all(kept[key], 1), note


@st.cache_resource(show_spinner=False)
def _lenses() -> dict[tuple, TunedLens]:
    return {}
