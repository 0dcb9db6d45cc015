"""The boxes of the next intervention: what is done, to which nodes, in the thought that is shown or from it on."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from apps.operated import TWIN, Patient
from apps.operations import OPERATIONS, Operation
from apps.stack import add
from workbench.interventions.base import SPACES
from workbench.interventions.nodes import SETS, node_name
from workbench.interventions.plan import Plan
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap

HERE, ON, ALL = "this thought", "from it on", "every thought"
OTHER, OWN = "another problem", "another thought of its own"
NODES, TO = "op nodes", "op to"
SETS_HELP = "Nodes by name (or click one in a graph), or a set, meant anew for every thought k:\n\n" + "\n\n".join(
    f"**{name}**: {what}" for name, what in SETS.items()
)
SPACE_HELP = "Where a node's direction is read: its row of the input embedding, or of the LM head."


def draw(who: Patient, plan: Plan, depth: int) -> None:
    """Draw the boxes and the button; `depth` is the number of thoughts shown."""
    k, count = max(depth, 1), who.run.thoughts
    with st.container(border=True, gap="small"):
        title = st.pills(
            f"Operate on thought {k}", list(OPERATIONS), default=next(iter(OPERATIONS)), required=True, key="operation",
            help="\n\n".join(f"**{one.title}**: {one.what}" for one in OPERATIONS.values()),
        )  # fmt: skip
        chosen = OPERATIONS[title or next(iter(OPERATIONS))]
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            fields = {name: BOXES[name](who, chosen) for name in chosen.fields}
            where = st.segmented_control("Where", (HERE, ON, ALL), default=HERE, required=True, key="op where")
            at = {HERE: (k,), ON: tuple(range(k, count + 1)), ALL: ()}[where or HERE]
            lacks = next((name for name, value in fields.items() if value in ((), None)), "")
            done = None if lacks else chosen.make(fields | {"at": at})
            st.button(
                chosen.button, type="primary", icon=":material/content_cut:", key="operate", on_click=add,
                args=(done, plan), disabled=done is None,
                help="Choose a node first" if lacks else "Done after what is in the list already",
            )  # fmt: skip


def clicked(chart: str, problem: Problem) -> Callable[[], None]:
    """Return what to do when a node of a graph is clicked: choose it; for a superposition, add it or take it out."""

    def choose_it() -> None:
        event = st.session_state.get(chart)
        for point in event["selection"]["points"] if event else ():
            data = point.get("customdata") or [-1]
            node = int(data[0])
            if not 0 <= node < len(problem.names):
                continue
            name, before = node_name(problem, node), list(st.session_state.get(NODES) or ())
            if st.session_state.get("operation") == "Superpose":
                kept = [one for one in before if one not in (name, *SETS)]
                st.session_state[NODES] = kept if name in before else [*kept, name]
            else:
                st.session_state[NODES] = [name]
            st.session_state["concept"] = problem.names[node]

    return choose_it


def _names(problem: Problem) -> list[str]:
    return sorted(node_name(problem, node) for node in range(len(problem.names)))


def _nodes(who: Patient, operation: Operation) -> tuple[str, ...]:
    options = [*_names(who.problem), *SETS]
    _forget(NODES, options)
    label = "From" if "to" in operation.fields else "Nodes"
    chosen = st.multiselect(
        label, options, key=NODES, format_func=_shown, placeholder="Click a node", help=SETS_HELP, width=210
    )
    return tuple(chosen)


def _to(who: Patient, operation: Operation) -> tuple[str, ...]:
    options = [*_names(who.problem), *SETS]
    _forget(TO, options)
    chosen = st.multiselect(
        "To", options, key=TO, format_func=_shown, placeholder="A node or set", help=SETS_HELP, width=210
    )  # fmt: skip
    return tuple(chosen)


def _donor(who: Patient, operation: Operation) -> tuple[str, int] | None:
    kinds = [
        *([TWIN] if entity_swap(who.problem) else []),
        *([OTHER] if who.others else []),
        *([OWN] if who.run.thoughts > 1 else []),
    ]
    if not kinds:
        st.caption("There is no donor: the problem has no twin and stands alone.")
        return None
    _forget("op donor", kinds)
    kind = st.selectbox(
        "Whose", kinds, key="op donor", width=220,
        help="The twin is the same question about another entity, for which the other option is right.",
    )  # fmt: skip
    if kind == OTHER:
        ids = [one.id for one in who.others]
        _forget("op other", ids)
        return str(st.selectbox("Problem", ids, key="op other", width=180, help="Type to search the ids.")), 0
    if kind == OWN:
        return "own", int(st.number_input("Thought", 1, who.run.thoughts, 1, key="op thought", width=110))
    return TWIN, 0


def _weights(who: Patient, operation: Operation) -> str:
    return st.segmented_control(
        "Weights", ("even", "value"), default="even", required=True, key="op weights",
        help="All nodes alike, or each by its LM-head value in the thought without the surgery.",
    ) or "even"  # fmt: skip


def _rest(who: Patient, operation: Operation) -> bool:
    return st.toggle(
        "Keep the rest", key="op rest",
        help="Only the part of the thought along the problem's concepts gives way; all else that it carries stays.",
    )  # fmt: skip


def _space(who: Patient, operation: Operation) -> str:
    return st.segmented_control(
        "Direction", SPACES, default=SPACES[0], required=True, key="op space", help=SPACE_HELP
    ) or SPACES[0]  # fmt: skip


def _seed(who: Patient, operation: Operation) -> int:
    return int(st.number_input("Seed", 0, 2**31 - 1, 0, key="op seed", width=130, help="Same seed, same noise."))


def _dose(who: Patient, operation: Operation) -> float:
    key = f"op dose {operation.most:g}"  # a box of its own for each range
    return float(
        st.slider("Dose", 0.0, operation.most, 1.0, 0.05, key=key, width=130, help="0 changes nothing."),
    )  # fmt: skip


def _shown(name: str) -> str:
    return f"set: {name}" if name in SETS else name


def _forget(key: str, options: list[str]) -> None:
    """Forget what another problem or run had and this one has not."""
    held = st.session_state.get(key)
    several = set(held) if isinstance(held, list) else {held} - {None}
    if not several <= set(options):
        del st.session_state[key]


BOXES: dict[str, Callable[[Patient, Operation], Any]] = {
    "nodes": _nodes,
    "to": _to,
    "donor": _donor,
    "weights": _weights,
    "rest": _rest,
    "space": _space,
    "seed": _seed,
    "dose": _dose,
}
"""What draws the box of each field and returns what it holds."""
