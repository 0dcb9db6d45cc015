"""The same plan on many problems: how often, with interval, n, and a control of its own for each of them."""

import streamlit as st

from apps import caches, operated, tables
from apps.operated import Patient
from apps.words import plain, plural
from workbench.interventions.base import Control
from workbench.interventions.nodes import SETS
from workbench.interventions.plan import Plan
from workbench.measure.effects import shares

COUNTS = (20, 50, 100)
LABELS = {
    "kept": "Right answer kept, surgery",
    "other": "The other option instead, surgery",
    "control_kept": "Right answer kept, control",
}


def draw(who: Patient, plan: Plan, control: Control | None, words: str) -> None:
    """Draw the choice of how many, and what came of it."""
    if reason := _reason(who, plan):
        st.caption(reason)
        return
    total = len(caches.problems(who.set)) if who.set else 0
    counts = [str(count) for count in COUNTS if count < total] or [str(total)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.segmented_control(
            f"The first problems of the set, of {total}", counts, default=counts[0], required=True, key="how many",
            help="Each is answered without the surgery, under it, and under one draw of its control.",
        )  # fmt: skip
        count = int(chosen if chosen in counts else counts[0])
        known = operated.known_of_set(who, plan, control, count)
        asked = st.button("Ask them", key="ask set", icon=":material/play_arrow:", disabled=known is not None)
    if known is None and not asked:
        return
    bar = st.empty()
    table = operated.of_set(
        who, plan, control, count,
        lambda done: bar.progress(done / count, f"{done} of {count} problems") and None,
    )  # fmt: skip
    bar.empty()
    found, test = shares(table)
    for column, (name, estimate) in zip(st.columns(3), found.items(), strict=False):
        column.metric(
            LABELS[name], f"{estimate.value:.2f}" if estimate.n else "none",
            f"{estimate.low:.2f} to {estimate.high:.2f}, n = {estimate.n}" if estimate.n else "n = 0",
            delta_color="off", delta_arrow="off",
            help="Share of the problems answered rightly without the surgery; interval of 95 %, over problems. Chance "
            "between the two options: 0.5.",
        )  # fmt: skip
    done, right = table["done"].sum(), table["right"].sum()
    said = f"{done} of {plural(table.height, 'problem')} could be operated on; {right} were right without the surgery."
    if test is not None:
        said += (
            f" Control: {words}. Of them {test.only_second} kept the right answer under the control alone, "
            f"{test.only_first} under the surgery alone (exact McNemar test, p = {test.p_value:.2g})."
        )
    st.caption(said)
    tables.show(table, f"surgery-{who.set.stem if who.set else 'set'}-{count}", "set-table", {}, height=260)


def _reason(who: Patient, plan: Plan) -> str:
    """Return why a whole set cannot be asked, nothing if it can."""
    if not plan.interventions:
        return "Nothing is operated on yet."
    if who.set is None:
        return "This problem is of no bundled set: open one, and the same surgery can be done on many problems."
    named = {name for one in plan.interventions for field in ("nodes", "to") for name in getattr(one, field, ())}
    if plan.inside:
        named -= {name for one in plan.inside for name in getattr(one, "to", ())}
    if alone := sorted(named - set(SETS)):
        return (
            f"This surgery names nodes of this problem ({plain(', '.join(alone))}), and a name stands for another node "
            "in every problem. Choose sets of nodes (`set: on_path`, for one) to ask many problems."
        )
    if any(one.needs_set for one in plan.interventions):
        return "Means and exchanges need the whole set at once: `workbench.interventions.run` does them."
    return ""
