"""The operations where the graph is: what a click on a node offers, and the list of what is done."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from apps.components.picture import choose_concept, clicked_nodes
from apps.text import plain
from apps.views.interventions import plan as editing
from apps.views.interventions.subject import Subject
from workbench.interventions.base import Intervention
from workbench.interventions.nodes import node_name
from workbench.interventions.plan import Plan
from workbench.interventions.thoughts import Add, Move, Project, Swap
from workbench.problems.problem import Problem

PENDING = "pending node"
"""Key in the session of what waits for a second node: a kind, the first node, the number of the thought."""
SECOND = "second node"
DIRECTIONS = "directions"
DIRECTIONS_HELP = (
    "Which vector stands for a node.  \n"
    "**embedding**, **unembedding**: its row of the model's input embedding or LM head.  \n"
    "**codes**: the linear node dictionary, one vector per node and thought, learned by ridge regression from what "
    "this model thinks about generated problems on other graphs. Learned once, which takes some seconds."
)


def node_card(subject: Subject, plan: Plan, depth: int) -> None:
    """Draw what can be done with the node that was clicked, at the thought that is shown."""
    problem, k = subject.problem, max(depth, 1)
    pending = st.session_state.get(PENDING)
    if pending and pending[1] not in problem.names:
        st.session_state.pop(PENDING)
        pending = None
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            node = choose_concept(problem)
            st.segmented_control(
                "Directions", editing.DIRECTIONS, default=editing.DIRECTIONS[0], required=True, key=DIRECTIONS,
                help=DIRECTIONS_HELP,
            )  # fmt: skip
        if pending:
            kind, first, at = pending
            others = sorted(name for name in problem.names if name != first)
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                st.selectbox(
                    f"{kind} {plain(first)} of thought {at} {'to' if kind == 'Move' else 'with'}: click a node, or",
                    others, index=None, key=SECOND, placeholder="Choose it here", on_change=_second,
                    args=(problem, plan),
                )  # fmt: skip
                st.button("Cancel", key="no second", type="tertiary", on_click=lambda: st.session_state.pop(PENDING))
            return
        with st.container(horizontal=True, gap="small"):
            name = node_name(problem, problem.names.index(node))
            for title, about in (
                ("Remove", f"Take {node} out of thought {k}"), ("Add", f"Add {node} to thought {k}"),
                ("Move", f"What thought {k} has of {node} goes to the node that is clicked next"),
                ("Swap", f"{node} and the node that is clicked next change places in thought {k}"),
            ):  # fmt: skip
                if title in ("Remove", "Add"):
                    act: tuple[Callable[..., None], tuple] = editing.add, (_made(title, name, "", k), plan)
                else:
                    act = _wait, (title, node, k)
                st.button(f"{title} …" if act[0] is _wait else title, key=f"do-{title}", help=plain(about),
                          on_click=act[0], args=act[1])  # fmt: skip


def clicked(chart: str, problem: Problem, plan: Plan) -> Callable[[], None]:
    """Return the callback of a graph: choose the node, or complete what waits for a second one."""
    choose = editing.clicked(chart, problem)

    def act() -> None:
        for node in clicked_nodes(chart, problem)[:1]:
            if PENDING in st.session_state:
                _complete(problem, plan, problem.names[node])
                return
        choose()

    return act


def _wait(kind: str, node: str, k: int) -> None:
    st.session_state[PENDING] = (kind, node, k)
    st.session_state.pop(SECOND, None)


def _second(problem: Problem, plan: Plan) -> None:
    if chosen := st.session_state.get(SECOND):
        _complete(problem, plan, str(chosen))


def _complete(problem: Problem, plan: Plan, second: str) -> None:
    kind, first, k = st.session_state.pop(PENDING)
    if first != second:
        one, other = (node_name(problem, problem.names.index(name)) for name in (first, second))
        editing.add(_made(kind, one, other, k), plan)


def _made(kind: str, node: str, other: str, k: int) -> Intervention:
    space = str(st.session_state.get(DIRECTIONS) or editing.DIRECTIONS[0])
    match kind:
        case "Remove":
            return Project((node,), space=space, at=(k,))
        case "Add":
            return Add((node,), space=space, at=(k,))
        case "Move":
            return Move((node,), (other,), space=space, at=(k,))
    return Swap((node,), (other,), space=space, at=(k,))


# The list

HELPS = {"up": "One place earlier", "edit": "Edit", "drop": "Take it back"}


def listed(plan: Plan, thoughts: int, depth: int) -> None:
    """Draw the operations in their order: each can be switched off, edited, moved, made stronger, taken back."""
    if not plan.interventions:
        st.caption("There is no intervention yet: click a node in the graph, then one of the buttons above.")
    off = editing.switched_off()
    for place, one in enumerate(plan.interventions):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"operation-{place}"):
            key, label = f"on-{place}", f"{place + 1}. {plain(replace_strength(one).described(thoughts))}"
            st.session_state[key] = place not in off
            st.toggle(label, key=key, on_change=_switch, args=(plan, place))
            # These stay together: where the name is long, all of them go below it.
            with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
                _dials(plan, place, one, max(depth, 1))


def _dials(plan: Plan, place: int, one: Intervention, k: int) -> None:
    """Draw an operation's strength and its buttons."""
    if hasattr(one, "strength"):
        _strength(plan, place, one)
    for icon, name, act, args, disabled in (
        ("arrow_upward", "up", _exchange, (plan, place, place - 1), place == 0),
        ("edit", "edit", editing.edit, (place, one, k), not editing.can_edit(one)),
        ("close", "drop", _drop, (plan, place), False),
    ):
        if name == "up" and len(plan.interventions) == 1:
            continue
        st.button(
            "", key=f"{name}-{place}", icon=f":material/{icon}:", type="tertiary", on_click=act, args=args,
            disabled=disabled, help=HELPS[name],
        )  # fmt: skip


def replace_strength(one: Intervention) -> Intervention:
    """Return an operation at full strength: its slider says how strong it is."""
    full: dict[str, Any] = {"strength": 1.0}
    return replace(one, **full) if hasattr(one, "strength") else one


def _strength(plan: Plan, place: int, one: Intervention) -> None:
    key, now = f"strength-{place}", float(getattr(one, "strength", 1.0))
    least, most = min(0.0, now), max(float(one.most), now)
    st.session_state[key] = now
    st.slider(
        "Strength", least, most, step=0.05, key=key, on_change=_set_strength, args=(plan, place), width=96,
        label_visibility="collapsed", help=f"Strength: {one.unit or 'share'}",
    )  # fmt: skip


def _set_strength(plan: Plan, place: int) -> None:
    made = list(plan.interventions)
    made[place] = made[place].at_strength(round(float(st.session_state[f"strength-{place}"]), 2))
    editing.change(Plan(tuple(made), plan.freeze), editing.switched_off())


def _switch(plan: Plan, place: int) -> None:
    editing.change(plan, editing.switched_off() ^ {place})


def _drop(plan: Plan, place: int) -> None:
    kept = plan.interventions[:place] + plan.interventions[place + 1 :]
    off = {one - (one > place) for one in editing.switched_off() if one != place}
    editing.change(Plan(kept, plan.freeze and bool(kept)), off)


def _exchange(plan: Plan, place: int, other: int) -> None:
    made, there = list(plan.interventions), {place: other, other: place}
    made[place], made[other] = made[other], made[place]
    editing.change(Plan(tuple(made), plan.freeze), {there.get(one, one) for one in editing.switched_off()})
