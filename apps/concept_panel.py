"""One concept over the thoughts: chosen in a box, by a click in the graph or in the token table."""

from collections.abc import Callable

import polars as pl
import streamlit as st

from apps import charts, tables
from apps.view import Reading
from workbench.figures import node_curve
from workbench.problems.problem import Problem


def choose(problem: Problem) -> str:
    """Draw the box and return the name chosen; the target until something else is."""
    names = [
        problem.names[problem.target],
        *sorted(name for n, name in enumerate(problem.names) if n != problem.target),
    ]
    if st.session_state.get("concept") not in names:
        st.session_state.pop("concept", None)
    return st.selectbox(
        "Concept",
        names,
        key="concept",
        bind="query-params",
        help="Or click a node of the graph, or a token of the table.",
    )


def clicked(chart: str, problem: Problem, place: int = 0) -> Callable[[], None]:
    """Return what to do when a point of a chart is clicked: choose the node that its customdata names at a place."""

    def choose_it() -> None:
        event = st.session_state.get(chart)
        for point in event["selection"]["points"] if event else ():
            data = point.get("customdata") or ()
            node = int(data[place]) if len(data) > place else -1
            if 0 <= node < len(problem.names):
                st.session_state["concept"] = problem.names[node]

    return choose_it


def draw(reading: Reading, name: str, depth: int, key: str) -> None:
    """Draw the concept's values over the thoughts, as a curve and in numbers."""
    node = reading.trace.problem.names.index(name)
    charts.show(node_curve(reading.scores, node, depth=depth), f"curve-{key}")
    _numbers(reading, name, f"numbers-{key}")


def _numbers(reading: Reading, name: str, key: str) -> None:
    """Draw the concept's numbers at every thought, and the tokens that spell it."""
    problem, checkpoint = reading.trace.problem, reading.run.checkpoint
    (prompt,) = checkpoint.format.prompts([problem])
    ids = prompt.nodes[problem.names.index(name)]
    spelled = " ".join(f"`{checkpoint.tokenizer.decode([number])}`" for number in ids)
    read = "one token" if len(ids) == 1 else f"the product of {len(ids)} tokens"
    st.caption(f"{name} is read from {read}: {spelled}. Chance of each value: {reading.scores.chance_value:.3f}.")
    frame = reading.scores.to_frame().filter(pl.col("name") == name)
    widths = {"thought": 68, "hop_read": 74, "class": 124, "rank": 50}
    narrow = {column: st.column_config.Column(width=width) for column, width in widths.items()}
    shown = frame.select("thought", "hop_read", "class", "raw", "value", "rank")
    tables.show(shown, f"{name}-{problem.id}", key, NUMBERS | narrow)


NUMBERS: dict[str, tables.Column] = {
    name: st.column_config.NumberColumn(format="%.3f", width=66, help=text)
    for name, text in {
        "raw": "Probability among all tokens.",
        "value": "Normalised over the concepts in the problem.",
        "chance": "Value under a uniform distribution over the concepts in the problem.",
    }.items()
}
"""Column settings of tables with values."""
