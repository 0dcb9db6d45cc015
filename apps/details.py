"""Below the picture: every thought in words, the raw LM head, all numbers, two runs node by node, the code."""

from collections.abc import Callable

import polars as pl
import streamlit as st

from apps import charts, concept_panel, lenses, recipe, saying, search_tree, tables
from apps.apology import in_words
from apps.view import Reading, View
from apps.words import plural
from workbench.figures import node_curve, thought_strip, token_frame, token_table


def draw(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    """Draw the tabs."""
    tabs = st.tabs(list(TABS), key="below", bind="query-params", on_change="rerun")
    for tab, draw_one in zip(tabs, TABS.values(), strict=True):
        if tab.open:  # what is not seen is not computed
            with tab, in_words():
                draw_one(view, readings, depths, concept)


def _words(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    st.caption(
        "After k thoughts the next step's opening is forced and the model goes on greedily. A red ✗ marks a step "
        "that is no edge, and a wrong answer. Categories: Coconut (v3), section 4."
    )
    _each(readings, depths, lambda reading, depth, key: saying.table(reading, f"words-{key}"))


def _head(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    _each(readings, depths, _tokens)


def _code(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    st.caption("This script computes the numbers on this page and opens its pictures.")
    st.code(recipe.script(view, readings, depths, concept), language="python")


def _downloads(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    _each(readings, depths, lambda reading, depth, key: _save(reading, depth, concept, key))


def _each(readings: list[Reading], depths: list[int], draw_one: Callable[[Reading, int, str], None]) -> None:
    """Draw something of each run: told the reading, its number of thoughts and a key, under the run's name."""
    for reading, depth in zip(readings, depths, strict=True):
        if len(readings) > 1:
            st.markdown(f"**{reading.run.name}**")
        draw_one(reading, depth, reading.run.name)


def _tokens(reading: Reading, depth: int, key: str) -> None:
    chart = f"tokens-{key}"
    if not reading.trace.top_tokens:
        st.caption("There is no thought here that the LM head could read.")
        return
    charts.show(token_table(reading.trace, depth), chart, concept_panel.clicked(chart, reading.trace.problem))
    with st.container(horizontal=True):
        charts.download(
            lambda: token_table(reading.trace, depth), f"tokens-{reading.trace.problem.id}", f"save-{chart}"
        )
        tables.download(token_frame(reading.trace), f"tokens-{reading.trace.problem.id}", f"table-{chart}")


def _nodes(view: View, readings: list[Reading], depths: list[int], concept: str) -> None:
    first, depth = readings[0], depths[0]
    columns = ["name", "role", "class", "hop", "height_longest", "height_shortest", "chance"]
    frame = first.scores.to_frame().filter(pl.col("thought") == depth)
    if len(readings) == 1:
        frame = frame.select([*columns, "raw", "value", "rank"])
    else:
        other = readings[1].scores.to_frame().filter(pl.col("thought") == depths[1]).select("node", "value")
        frame = frame.join(other, on="node", how="left", suffix=" beside").select(
            *columns,
            pl.col("value").alias(first.run.name),
            pl.col("value beside").alias(readings[1].run.name),
            (pl.col("value") - pl.col("value beside")).alias("difference"),
        )
    frame = frame.sort(frame.columns[-1 if len(readings) > 1 else -2], descending=True, nulls_last=True)
    settings = concept_panel.NUMBERS | {
        name: st.column_config.NumberColumn(format="%.4f") for name in (*(r.run.name for r in readings), "difference")
    }
    after = " and ".join(plural(one, "thought") for one in dict.fromkeys(depths))
    st.caption(f"Values after {after}, sorted; a column's head sorts otherwise.")
    tables.show(frame, f"nodes-{view.problem.id}-{depth}", "nodes", settings, height=420)


def _save(reading: Reading, depth: int, concept: str, key: str) -> None:
    problem, scores = reading.trace.problem, reading.scores
    node = problem.names.index(concept)
    with st.container(horizontal=True):
        charts.download(
            lambda: thought_strip(scores, depth=depth), f"mass-{problem.id}", f"save-strip-{key}", "Mass by thought"
        )
        charts.download(
            lambda: node_curve(scores, node, depth=depth),
            f"{concept}-{problem.id}",
            f"save-curve-{key}",
            "Concept over thoughts",
        )
        tables.download(scores.to_frame(), f"scores-{problem.id}-{scores.readout}", f"save-scores-{key}")
    st.caption("The table holds every node at every thought, with class, hop, heights, value, rank and chance.")


TABS: dict[str, Callable[[View, list[Reading], list[int], str], None]] = {
    "After each thought, in words": _words,
    "Raw LM head": _head,
    "Search tree": search_tree.draw,
    "Lens over layers": lenses.draw,
    "Node by node": _nodes,
    "Code": _code,
    "Downloads": _downloads,
}
"""The tabs by title, in order. Another figure about one problem is a function with this signature and a line here:
told the view, what was read for it (one run or two), after how many thoughts of each, and the concept chosen."""
