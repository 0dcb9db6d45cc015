"""Attention on the edges of the graph: the switch, the layer, the head, and where the rest of it goes."""

from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from apps.view import Reading
from workbench.figures.graph import EdgeAttention

Option = TypeVar("Option", int, str)

ALL_HEADS = "all"
FEW = 8
"""So many layers or heads stand side by side; more are in a list."""
HELP = (
    "Draws on every edge how much the slot of thought k attends to its sentence: that is where thought k is fed, and "
    "what is read there makes thought k + 1 (after the last thought, the answer). TransformerLens reads it; the first "
    "time takes some seconds."
)


@dataclass(frozen=True)
class Choice:
    """What is to be drawn; both are counted from 0."""

    layer: int
    head: int | None
    """None for all heads together."""


def choose(readings: list[Reading]) -> Choice | None:
    """Draw the switch and, where it is on, the boxes for layer and head; None where it is off.

    Where two runs differ in size there are as many layers and heads as both have.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if not st.toggle("Attention", key="attention", bind="query-params", help=HELP):
            return None
        sizes = [reading.run.checkpoint.model.config for reading in readings]
        layers = min(int(size.num_hidden_layers) for size in sizes)
        heads = min(int(size.num_attention_heads) for size in sizes)
        layer = _box("Layer", list(range(layers)), layers - 1, "layer")
        head = _box("Head", [ALL_HEADS, *map(str, range(heads))], ALL_HEADS, "head")
    return Choice(layer, None if head == ALL_HEADS else int(head))


def read(reading: Reading, depth: int, choice: Choice | None) -> EdgeAttention | None:
    """Return what is to be drawn on the edges of a reading's graph."""
    if choice is None:
        return None
    from apps import recordings
    from workbench.readings.attention import attention_arrows

    recording = recordings.of_problem(reading.run, reading.trace.problem)
    return attention_arrows(recording, depth, choice.layer, choice.head)


def say(attention: EdgeAttention | None) -> None:
    """Say where all of the attention goes, so that wide arrows cannot hide that most of it goes elsewhere."""
    if attention is not None:
        st.caption(
            f"Where the {attention.title} goes, as shares of all of it: {attention.shares}. "
            f"Spread evenly over the {len(attention.weights)} edges, each would get {attention.chance:.3f} of "
            f"{attention.total}; layers and heads count from 0."
        )


def _box(label: str, options: list[Option], usual: Option, key: str) -> Option:
    if key in st.session_state and st.session_state[key] not in options:  # of a larger model
        del st.session_state[key]
    if len(options) <= FEW:
        chosen = st.segmented_control(
            label, options, default=usual, required=True, key=key, bind="query-params", width="content"
        )
        return usual if chosen is None else chosen
    return st.selectbox(label, options, index=options.index(usual), key=key, bind="query-params", width=120)
