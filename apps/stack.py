"""The plan under way: a list that grows, shrinks, and can be undone; its text is what the link holds."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apps.words import plain
from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan
from workbench.interventions.text import MOST_ADDRESS, from_address, to_address

ADDRESS, PAST, KEPT = "surgery", "surgeries before", "surgery kept"
"""Where in the session the address of the plan stands, those before it, and what other pages leave of it."""
MOST_PAST = 100
LOOP, FROZEN = "in the loop", "frozen"
LATER_HELP = (
    "**in the loop**: the thoughts after one that was changed are thought anew, and change with it.  \n"
    "**frozen**: every later thought is fed as it was without the surgery, so that only what reads the changed thought "
    "itself can differ."
)
WRITTEN_HELP = "The surgery as the link holds it. It can be edited by hand: data alone, nothing in it is ever run."


def come_back() -> None:
    """Take up, before any box is drawn, the plan that was under way when another page was opened."""
    kept, context = st.session_state.get(KEPT), get_script_run_ctx()
    if not kept or context is None or ADDRESS in st.query_params:
        return
    with context.session_state.query_params() as parameters:
        if parameters.is_bound(ADDRESS):  # the page was not left
            return
    st.session_state.pop(ADDRESS, None)
    st.query_params[ADDRESS] = kept
    # A box takes its first value from the address as the browser sent it (Streamlit 1.67): told of the change.
    with context.session_state.query_params() as parameters:
        parameters.set_initial_query_params_from_current()


def write() -> None:
    """Draw the box with the plan's text, which binds it to the link; before anything reads the plan."""
    if len(str(st.session_state.get(ADDRESS) or "")) > MOST_ADDRESS:
        del st.session_state[ADDRESS]
    with st.popover("As text", icon=":material/edit:", type="tertiary"):
        st.text_input(
            "Surgery", key=ADDRESS, bind="query-params", max_chars=MOST_ADDRESS, help=WRITTEN_HELP,
            placeholder="project:nodes=on_path;at=2",
        )  # fmt: skip
    st.session_state[KEPT] = st.session_state.get(ADDRESS)


def read() -> Plan:
    """Return the plan that the text says.

    Raises:
        WorkbenchError: It says none.
    """
    return from_address(str(st.session_state.get(ADDRESS) or "").strip())


def change(plan: Plan) -> None:
    """Replace the plan, in a callback; the one before can be had back."""
    past = st.session_state.setdefault(PAST, [])
    past.append(str(st.session_state.get(ADDRESS) or ""))
    del past[:-MOST_PAST]
    st.session_state[ADDRESS] = to_address(plan)


def add(one: Intervention, plan: Plan) -> None:
    """Do one thing more, in a callback."""
    try:
        change(Plan((*plan.interventions, one), plan.freeze))
    except WorkbenchError as error:
        st.session_state["refused"] = error


def listed(plan: Plan, thoughts: int) -> None:
    """Draw what is done, one after the other; each can be taken back."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for place, one in enumerate(plan.interventions):
            st.button(
                f"{place + 1}. {plain(one.described(thoughts))}", key=f"drop-{place}", icon=":material/close:",
                type="tertiary", on_click=_drop, args=(plan, place), help="Take this one back",
            )  # fmt: skip
        if not plan.interventions:
            st.caption("Nothing is operated on yet: both graphs show the same run.")


def switches(plan: Plan) -> None:
    """Draw what holds for the whole plan: in the loop or frozen, undo, reset."""
    st.session_state["loop or frozen"] = FROZEN if plan.freeze else LOOP
    st.segmented_control(
        "Later thoughts", (LOOP, FROZEN), required=True, key="loop or frozen", on_change=_freeze, args=(plan,),
        help=LATER_HELP,
    )  # fmt: skip
    st.button(
        "Undo", icon=":material/undo:", disabled=not st.session_state.get(PAST), on_click=undo, key="undo",
        help="Back to the surgery before the last change",
    )  # fmt: skip
    st.button(
        "Reset", icon=":material/restart_alt:", disabled=not st.session_state.get(ADDRESS), on_click=change,
        args=(Plan(),), key="reset", help="No surgery; Undo brings it back",
    )  # fmt: skip


def undo() -> None:
    """Take the last change back, in a callback."""
    if past := st.session_state.get(PAST):
        st.session_state[ADDRESS] = past.pop()


def _drop(plan: Plan, place: int) -> None:
    kept = plan.interventions[:place] + plan.interventions[place + 1 :]
    change(Plan(kept, plan.freeze and bool(kept)))


def _freeze(plan: Plan) -> None:
    change(Plan(plan.interventions, st.session_state["loop or frozen"] == FROZEN))
