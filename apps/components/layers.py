"""From a picture of the layers to the page *Interventions*: what was clicked is cut, set to zero or patched there."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from apps import links, widgets
from apps.state import KEPT, Reading
from apps.text import plain, plural
from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.layers import Ablate, Knockout, PatchLayer
from workbench.interventions.plan import Plan
from workbench.interventions.text import from_address, to_address
from workbench.problems.variants import entity_swap

CELL = "lens cell"
"""Key in the session of the column and layer clicked in a lens."""
SUBLAYERS = {"attention": "attention", "MLP": "mlp", "residual stream": "residual"}
CELL_HELP = (
    "What layer and thought of the cell are to be changed: what the attention or the MLP adds, one head of the "
    "attention, or the residual stream after the layer. Layers count from 0: row 1 of the map is what layer 0 has "
    "written. Outlined in the map: the cell, and the cells that can change."
)


def cell_clicked(chart: str) -> Callable[[], None]:
    """Return the callback of a lens: keep the column and layer of the cell clicked; none where a click frees it."""

    def keep() -> None:
        found = [data for data in widgets.clicked(chart) if len(data) == 2]
        st.session_state[CELL] = (int(found[0][0]), int(found[0][1])) if found else None

    return keep


def chosen_cell(reading: Reading) -> tuple[int, int] | None:
    """Return the cell that was clicked; None where the run has no such one."""
    column, layer = st.session_state.get(CELL) or (0, 0)
    layers = int(reading.run.checkpoint.model.config.num_hidden_layers)
    return (column, layer) if 1 <= column <= reading.run.thoughts and 1 <= layer <= layers else None


def cell_buttons(reading: Reading, key: str) -> None:
    """Draw what can be done to the cell that was clicked, or how to choose one."""
    cell = chosen_cell(reading)
    if cell is None:
        st.caption("Click a cell of a thought above row *fed*: its layer can be ablated or patched there.")
        return
    k, layer = cell
    heads = int(reading.run.checkpoint.model.config.num_attention_heads)
    parts = [*SUBLAYERS, *(f"head {number}" for number in range(heads))]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        said = str(st.selectbox(f"Thought {k}, layer {layer - 1}", parts, key=f"part {key}", width=190, help=CELL_HELP))
        part = SUBLAYERS.get(said, "heads")
        own = (int(said.removeprefix("head ")),) if part == "heads" else ()
        given: dict[str, Any] = {"part": part, "heads": own, "layers": (layer - 1,), "at": (k,)}
        _button("Set to zero", Ablate(**given), f"zero {key}")
        _button("Set to its mean", Ablate(**given, to="mean"), f"mean {key}")
        if entity_swap(reading.problem) is not None:
            _button("Patch from the swapped question", PatchLayer(**given), f"patch {key}")


def attention_button(reading: Reading, k: int, concept: str, layer: int, head: int | None, key: str) -> None:
    """Draw the button that cuts thought k's attention to the edges that end in a concept."""
    if not 1 <= k <= reading.run.thoughts:
        return
    node = reading.problem.names.index(concept)
    edges = [number for number, (_, end) in enumerate(reading.problem.edges) if end == node]
    if not edges:
        st.caption(f"No edge ends in {plain(concept)}: choose another node to cut the attention to its edges.")
        return
    one = Knockout(
        to=tuple(f"edge-{number}" for number in edges), heads=() if head is None else (head,), layers=(layer,), at=(k,)
    )
    _button(f"Cut this attention to the {plural(len(edges), 'edge')} into {plain(concept)}", one, f"cut {key}")


def _button(label: str, one: Intervention, key: str) -> None:
    """Draw a button that adds an intervention to the plan and opens the page Interventions."""
    st.button(
        label, key=key, icon=":material/content_cut:", on_click=_leave, args=(one,),
        help="Added to the plan on the page Interventions, which opens",
    )  # fmt: skip
    if links.WAY in st.session_state:  # the click ran again only the part of the page that moves
        st.rerun()


def _leave(one: Intervention) -> None:
    text, off = st.session_state.get(KEPT) or ("", "")
    try:
        before = from_address(text.strip())
    except WorkbenchError:  # a text that says no plan is replaced
        before, off = Plan(), ""
    st.session_state[KEPT] = (to_address(Plan((*before.interventions, one), before.freeze)), off)
    links.leave_for("Interventions")
