"""The search tree of one problem with its values, below the picture of the page *Thoughts*."""

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import caches, charts, concept_panel, navigation, tables
from apps.view import Reading, Run, View
from workbench.figures.thoughts import search_tree
from workbench.measure import trace
from workbench.measure.arrays import Trace
from workbench.measure.recording import control
from workbench.measure.run_labels import CONTROLS, MODEL, title
from workbench.measure.search_tree import Spelling, search_tree_frame, spell
from workbench.problems.problem import Problem

STEP_BY_STEP, AT_ONCE = "as many thoughts as its depth", "the thoughts chosen above"
HELP = (
    "The published figures read each layer of the tree after as many thoughts as stand for its depth. Read after the "
    "same number, the layers show where the whole of the value is at one moment."
)
OF_ONE_PROBLEM = ("untrained", "pause", "noise")
"""Controls that need no other problem."""
CONTROLS_HELP = "Runs that should not show what the model shows, in the hover and in the table:\n\n" + "\n\n".join(
    f"**{CONTROLS[name].title}**: {CONTROLS[name].what}" for name in OF_ONE_PROBLEM
)


def draw(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    """Draw the tab: a tree for each run, with its numbers."""
    st.caption(
        "All paths from the root. After its thoughts the next step's opening is forced, and the value of a node is the "
        "product of the probabilities of its name's tokens: hover over a node for opening, tokens and product "
        "(Coconut v3, figures 5 and 7). A click chooses the concept."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        when = st.segmented_control(
            "Each layer is read after", (STEP_BY_STEP, AT_ONCE), default=STEP_BY_STEP, required=True, key="tree",
            bind="query-params", help=HELP,
        )  # fmt: skip
        beside = st.toggle("Controls", key="tree_controls", bind="query-params", help=CONTROLS_HELP)
        navigation.deeper("Heights in the whole set", "height", _DEEPER)
    for reading, depth in zip(readings, depths, strict=True):
        if len(readings) > 1:
            st.markdown(f"**{reading.run.name}**")
        _one(reading, depth if when == AT_ONCE else None, beside)


_DEEPER = "Height against value over many problems, both heights, with a rank correlation and its controls."


def _one(reading: Reading, thoughts: int | None, beside: bool) -> None:
    run, problem = reading.run, reading.trace.problem
    if not run.thoughts:
        st.caption(f":orange[{run.name} thinks no thoughts here: there is only what it would name in its first step.]")
    asked = (caches.fingerprint(run.path), caches.problem_key(problem), run.thoughts, run, problem)
    controls = _controls(*asked) if beside else {}
    frame = search_tree_frame(problem, _spelt(*asked), thoughts=thoughts, controls=controls)

    def make() -> go.Figure:
        return search_tree(frame)

    chart = f"tree-{run.name}"
    charts.show(make(), chart, concept_panel.clicked(chart, problem, place=1))
    charts.download(make, f"tree-{problem.id}", f"save-{chart}")
    tables.show(_numbers(frame), f"tree-{problem.id}", f"table-{chart}", _columns(frame), height=320)
    if beside and len(controls) < len(OF_ONE_PROBLEM):
        st.caption("Controls that would be the run itself are left out.")


def _numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the tree as a table: what was forced, each token's probability, the product, and the controls' values."""
    own = frame.filter((pl.col("run") == MODEL) & (pl.col("layer") > 0))
    shown = own.select(
        "layer", "node", "name", "role", "thoughts", "prefix", pl.col("tokens").list.join(" | "),
        pl.col("probabilities").list.eval(pl.element().round(4).cast(pl.String)).list.join(" × "),
        "value", "chance", "height_longest", "height_shortest", "reaches_target",
    )  # fmt: skip
    for name in frame.filter(pl.col("run") != MODEL)["run"].unique(maintain_order=True):
        other = frame.filter(pl.col("run") == name).select("layer", "node", pl.col("value").alias(title(name)))
        shown = shown.join(other, on=["layer", "node"], how="left")
    return shown.drop("node")


def _columns(frame: pl.DataFrame) -> dict[str, tables.Column]:
    names = ("value", "chance", *(title(name) for name in frame["run"].unique() if name != MODEL))
    return {name: st.column_config.NumberColumn(format="%.4f") for name in names}


@st.cache_data(max_entries=256, show_spinner="Spelling every node ...")
def _spelt(content: str, key: tuple[str, ...], thoughts: int, _run: Run, _problem: Problem) -> tuple[Spelling, ...]:
    return spell(_run.checkpoint, _problem, thoughts)


@st.cache_data(max_entries=256, show_spinner="Running the controls ...")
def _controls(content: str, key: tuple[str, ...], thoughts: int, _run: Run, _problem: Problem) -> dict[str, Trace]:
    found = {}
    for name in OF_ONE_PROBLEM:
        # Without thoughts nothing is fed, and a run of pauses is its own control.
        if name != "untrained" and (not thoughts or (name == "pause" and _run.checkpoint.fed == "pause")):
            continue
        ran, interventions = control(_run.checkpoint, name)
        found[name] = next(
            trace.run(ran, [_problem], thoughts, continuations=False, interventions=interventions)
        )  # fmt: skip
    return found
