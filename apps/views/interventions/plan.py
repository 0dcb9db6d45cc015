"""The plan being made: its text in the link, the list that can be undone, and the boxes of the next intervention.

The boxes follow from the fields of each kind of intervention, so that a new kind needs no line here.
"""

from collections.abc import Callable
from typing import Any, get_origin

import streamlit as st

from apps import links, widgets
from apps.components.picture import clicked_nodes
from apps.state import KEPT
from apps.text import plain
from apps.views.interventions.subject import Subject
from workbench.api import TWIN
from workbench.errors import WorkbenchError
from workbench.interventions.base import KINDS, SPACES, Intervention, Option
from workbench.interventions.nodes import SETS, node_name
from workbench.interventions.plan import Plan
from workbench.interventions.text import MOST_ADDRESS, from_address, to_address
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap

ADDRESS, OFF, PAST = "surgery", "off", "plans before"
"""Where in the session stand the text of the plan, what of it is switched off, and the pairs of both before."""
MOST_PAST = 100
MOST_OFF = 100
EDITED = "edited"
"""Key in the session of the place of the operation that the boxes edit."""
PROPAGATE, FREEZE = "propagate", "freeze"
LATER_HELP = (
    "**propagate**: the thoughts after one that was changed are thought anew, and change with it.  \n"
    "**freeze**: every later thought is fed as it was without interventions, so that only what reads the changed "
    "thought itself can differ."
)
WRITTEN_HELP = "The plan as the link holds it. It can be edited by hand: data alone, nothing in it is ever run."
OFFERED = {kind.title: kind for kind in sorted(KINDS.values(), key=lambda kind: not kind.node_fields) if kind.title}
"""The kinds that the page offers, by title, those on nodes first; all others can be written as text."""

HERE, ON, ALL = "this thought", "from it on", "every thought"
OTHER, OWN = "another problem", "this run itself"
DIRECTIONS = (*SPACES, "codes")
"""Spaces that the page offers."""
NODES = "op nodes"
"""Key of the box that a click on a node fills."""
SETS_HELP = "Nodes by name (or click one in a graph), or a set, meant anew for every thought k:\n\n" + "\n\n".join(
    f"**{name}**: {what}" for name, what in SETS.items()
)
LARGEST_SEED = 2**31 - 1


# The text in the link, and what was before


def come_back() -> None:
    """Take up, before any box is drawn, the plan that was being made when another page was opened."""
    kept = st.session_state.get(KEPT)
    if kept and kept[0] and ADDRESS not in st.query_params and not links.is_bound(ADDRESS):
        for key, text in zip((ADDRESS, OFF), kept, strict=True):
            st.session_state.pop(key, None)
            if text:
                links.put(key, text)


def write() -> None:
    """Draw the boxes with the plan's text, which bind it to the link; before anything reads the plan."""
    if len(_text()) > MOST_ADDRESS:
        del st.session_state[ADDRESS]
    with st.popover("As text", icon=":material/edit:", type="tertiary"):
        st.text_input(
            "Plan", key=ADDRESS, bind="query-params", max_chars=MOST_ADDRESS, help=WRITTEN_HELP,
            placeholder="project:nodes=on_path;at=2",
        )  # fmt: skip
        st.text_input(
            "Switched off", key=OFF, bind="query-params", max_chars=MOST_OFF, placeholder="2,3",
            help="Numbers of the operations of the plan that are left out for now.",
        )  # fmt: skip
    st.session_state[KEPT] = _both()


def read() -> tuple[Plan, WorkbenchError | None]:
    """Return the plan that the text says, with what is switched off; where it says none, an empty one and why."""
    try:
        return from_address(_text().strip()), None
    except WorkbenchError as error:
        return Plan(), error


def switched_off() -> set[int]:
    """Return the places of the operations that are switched off, from 0."""
    parts = str(st.session_state.get(OFF) or "").split(",")
    return {int(part) - 1 for part in parts if part.strip().isdecimal()}


def acting(plan: Plan) -> Plan:
    """Return a plan without what is switched off."""
    off = switched_off()
    kept = tuple(one for place, one in enumerate(plan.interventions) if place not in off)
    return Plan(kept, plan.freeze and bool(kept))


def set_text(text: str, off: str = "") -> None:
    """Replace the plan's text, in a callback; the one before can be had back."""
    past = st.session_state.setdefault(PAST, [])
    past.append(_both())
    del past[:-MOST_PAST]
    st.session_state[ADDRESS], st.session_state[OFF] = text, off


def _text() -> str:
    return str(st.session_state.get(ADDRESS) or "")


def _both() -> tuple[str, str]:
    return _text(), str(st.session_state.get(OFF) or "")


def change(plan: Plan, off: set[int]) -> None:
    """Make another plan of the page's, in a callback; `off` holds the places that are switched off."""
    set_text(to_address(plan), ",".join(str(place + 1) for place in sorted(off)))


def undo() -> None:
    """Go back to the plan before the last change, in a callback."""
    if past := st.session_state.get(PAST):
        st.session_state[ADDRESS], st.session_state[OFF] = past.pop()


def freeze(plan: Plan) -> None:
    """Let later thoughts change, or freeze them, in the callback of that box."""
    change(Plan(plan.interventions, st.session_state["later thoughts"] == FREEZE), switched_off())


def add(one: Intervention, plan: Plan) -> None:
    """Add an operation, in a callback; or put it in the place of the one that is edited."""
    made, place = list(plan.interventions), st.session_state.pop(EDITED, None)
    if place is not None and place < len(made):
        made[place] = one
    else:
        made.append(one)
    try:
        change(Plan(tuple(made), plan.freeze), switched_off())
    except WorkbenchError as error:
        st.session_state["refused"] = error


def switches(plan: Plan) -> None:
    """Draw what holds for the whole plan: propagate or freeze, undo, reset."""
    st.session_state["later thoughts"] = FREEZE if plan.freeze else PROPAGATE
    st.segmented_control(
        "Later thoughts", (PROPAGATE, FREEZE), required=True, key="later thoughts", on_change=freeze, args=(plan,),
        help=LATER_HELP,
    )  # fmt: skip
    st.button(
        "Undo", icon=":material/undo:", disabled=not st.session_state.get(PAST), on_click=undo, key="undo",
        help="Back to the plan before the last change",
    )  # fmt: skip
    st.button(
        "Reset", icon=":material/restart_alt:", disabled=not _text(), on_click=set_text, args=("",), key="reset",
        help="No interventions; Undo brings them back",
    )  # fmt: skip


# The boxes of the next intervention


def editor(subject: Subject, plan: Plan, depth: int) -> None:
    """Draw the boxes and the button; `depth` is the number of thoughts shown."""
    k, count, edited = max(depth, 1), subject.run.thoughts, st.session_state.get(EDITED)
    title = "Any other operation" if edited is None else f"Edit operation {edited + 1}"
    with st.expander(title, icon=":material/tune:", expanded=edited is not None):
        kind = OFFERED[st.pills(
            f"Change thought {k}", list(OFFERED), default=next(iter(OFFERED)), required=True, key="operation",
            help="\n\n".join(f"**{plain(title)}**: {plain(kind.help())}" for title, kind in OFFERED.items()),
        ) or next(iter(OFFERED))]  # fmt: skip
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            fields = {option.name: _box(subject, kind, option) for option in kind.options()}
            where = st.segmented_control("Where", (HERE, ON, ALL), default=HERE, required=True, key="op where")
            at = {HERE: (k,), ON: tuple(range(k, count + 1)), ALL: ()}[where or HERE]
            lacks = any(
                fields[option.name] in ((), None) for option in kind.options() if option.nodes or _takes(option)
            )
            st.button(
                "Add to the plan" if edited is None else f"Put in place of {edited + 1}", type="primary",
                icon=":material/content_cut:", key="operate", on_click=add,
                args=(None if lacks else kind(**fields, at=at), plan), disabled=lacks,
                help="Choose a node first" if lacks else "Made after those in the list already",
            )  # fmt: skip
            if edited is not None:
                st.button("Cancel", key="no edit", type="tertiary", on_click=lambda: st.session_state.pop(EDITED, None))


def edit(place: int, one: Intervention, k: int) -> None:
    """Fill the boxes with an operation, in a callback; adding puts another one in its place."""
    st.session_state[EDITED], st.session_state["operation"] = place, one.title
    st.session_state["op where"] = HERE if one.at == (k,) else ON if one.at and one.at[0] == k else ALL
    for option in one.options():
        value = getattr(one, option.name)
        key = f"op {option.name}" + (f" {one.most:g}" if option.name == "strength" else "")
        if option.nodes:
            st.session_state[key] = list(value)
        else:
            st.session_state[key] = " ".join(map(str, value)) if isinstance(value, tuple) else value


def can_edit(one: Intervention) -> bool:
    """Return whether the boxes can hold an operation."""
    usual = 0.0 <= getattr(one, "strength", 0.0) <= one.most
    return bool(one.title) and usual and not any(_takes(option) for option in one.options())


def clicked(chart: str, problem: Problem) -> Callable[[], None]:
    """Return the callback of a graph: choose the node; for a superposition add it or take it out."""

    def choose_it() -> None:
        for node in clicked_nodes(chart, problem):
            name, before = node_name(problem, node), list(st.session_state.get(NODES) or ())
            kind = OFFERED.get(str(st.session_state.get("operation")))
            if kind and kind.place == "in place of":
                kept = [one for one in before if one not in (name, *SETS)]
                st.session_state[NODES] = kept if name in before else [*kept, name]
            else:
                st.session_state[NODES] = [name]
            st.session_state["concept"] = problem.names[node]

    return choose_it


def _takes(option: Option) -> bool:
    """Return whether a field names the run that something is taken from."""
    return option.name == "source"


def _box(subject: Subject, kind: type[Intervention], option: Option) -> Any:
    """Draw the box of a field and return what it holds."""
    key, label, about = f"op {option.name}", option.name.capitalize(), plain(option.help) or None
    if option.nodes:
        return _nodes(subject.problem, "From" if option.name == "nodes" and "to" in kind.node_fields else label, key)
    if _takes(option):
        return _source(subject, key)
    if option.name == "strength":
        return st.slider("Strength", 0.0, kind.most, 1.0, 0.05, key=f"{key} {kind.most:g}", width=130, help=about)
    if choices := DIRECTIONS if option.name == "space" else option.choices:
        return widgets.segments(label, choices, key, about or "", linked=False)
    if option.type is bool:
        return st.toggle(label, option.default, key=key, help=about)
    if option.type is int:
        most = subject.run.thoughts if option.name == "thought" else LARGEST_SEED
        held = st.session_state.get(key, 0)
        if held > most:  # of a run with more thoughts
            st.session_state[key] = option.default
        return int(st.number_input(label, 0, most, option.default, key=key, width=130, help=about))
    if option.type is float:
        return float(st.number_input(label, value=float(option.default), step=0.1, key=key, width=130, help=about))
    text = st.text_input(label, key=key, help=about, width=210)
    if get_origin(option.type) is not tuple:
        return text or option.default
    return tuple(int(part) if part.isdecimal() else part for part in text.replace(",", " ").split()) or option.default


def _nodes(problem: Problem, label: str, key: str) -> tuple[str, ...]:
    options = [*sorted(node_name(problem, node) for node in range(len(problem.names))), *SETS]
    widgets.settle(key, options)
    return tuple(st.multiselect(
        label, options, key=key, format_func=lambda name: f"set: {name}" if name in SETS else name,
        placeholder="A node or set", help=SETS_HELP, width=210,
    ))  # fmt: skip


def _source(subject: Subject, key: str) -> str | None:
    kinds = [
        *([TWIN] if entity_swap(subject.problem) else []),
        *([OTHER] if subject.others else []),
        *([OWN] if subject.run.thoughts > 1 else []),
    ]
    if not kinds:
        st.caption("There is no source: the problem has no twin and stands alone.")
        return None
    widgets.settle(key, kinds)
    kind = st.selectbox(
        "Of", kinds, key=key, width=220,
        help="The twin is the same question about another entity, for which the other option is right.",
    )  # fmt: skip
    if kind != OTHER:
        return TWIN if kind == TWIN else "own"
    ids = [one.id for one in subject.others]
    widgets.settle(f"{key} problem", ids)
    return str(st.selectbox("Problem", ids, key=f"{key} problem", width=180, help="Type to search the ids."))
