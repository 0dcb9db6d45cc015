"""What came of a plan, below its graphs: the affected region, the answer beside its control, doses, words, code."""

from urllib.parse import quote, urlencode

import polars as pl
import streamlit as st

from apps import charts, operated, saying, surgery_code, surgery_set, tables
from apps.operated import Patient
from apps.view import Reading, View
from apps.words import plain, plural
from workbench.figures.interventions import answer_options, dose_curve_figure, downstream_map
from workbench.interventions.base import Control
from workbench.interventions.controls import BEFORE, CONTROL, INTERVENED, with_strength
from workbench.interventions.plan import Plan
from workbench.interventions.text import to_yaml
from workbench.measure.effects import STEP, THOUGHT
from workbench.measure.scores import node_scores
from workbench.measure.trace import Answer, Trace

CONTROL_WORDS: dict[str, str] = {
    "other nodes": "as many other nodes at the same hops",
    "random direction": "a step as long in a random direction",
}
CONTROL_HELP = (
    "What the same dose does that should not matter.  \n"
    "**other nodes**: in place of each node named another one at the same hop, drawn at random; never the root or one "
    "of the two options. Where a hop has no other left, any other concept.  \n"
    "**random direction**: each thought moved as far as the surgery moves it, in a random direction."
)
TABS = ("Dose", "How often", "In words", "Numbers", "Link, code, YAML")


def badge(table: pl.DataFrame, readout: str, depth: int) -> None:
    """Draw what became of the thought that is shown."""
    row = table.filter(what=THOUGHT if readout == "lm_head" else STEP, k=depth).row(0, named=True)
    if row["same"]:
        st.badge(
            "unchanged, to the last bit", icon=":material/check:", color="gray",
            help="Outside the cone: nothing operated on comes before it."
            if not row["can_change"] else "It can have changed, but every number has the same bits.",
        )  # fmt: skip
    elif not row["can_change"]:
        st.badge(
            "outside the cone: rounding alone", color="gray",
            help="The numbers are the same but for the order of their sums: the run has another number of columns.",
        )  # fmt: skip
    else:
        st.badge(
            f"changed: {row['moved']:.3f} of the probability went elsewhere", icon=":material/content_cut:",
            color="orange", help="Total variation distance, over the problem's nodes and all else; 0 to 1.",
        )  # fmt: skip


def answers(who: Patient, plan: Plan) -> tuple[pl.DataFrame, str]:
    """Return the answers beside the control chosen, and what the control is."""
    control = _control(plan)
    return operated.answers(who, plan, control), CONTROL_WORDS.get(control or "", "")


def metrics(who: Patient, plan: Plan) -> None:
    """Draw the answer and its two options' probabilities, before and after, beside the control."""
    found, words = answers(who, plan)
    before, after = (found.filter(series=name).row(0, named=True) for name in (BEFORE, INTERVENED))
    beside, names = found.filter(series=CONTROL), who.problem.names
    shown = [
        ("Answer under the surgery", _plain(after), f"without: {_plain(before)}",
         "The greedy answer after all thoughts. Chance between the two options: 0.5."),
        (f"p({plain(names[who.problem.target])}), target", f"{after['target']:.3f}", f"without: {before['target']:.3f}",
         "Raw probability of the target as the answer."),
        (f"p({plain(names[who.problem.negative])}), negative", f"{after['negative']:.3f}",
         f"without: {before['negative']:.3f}", "Raw probability of the negative as the answer."),
    ]  # fmt: skip
    if beside.height:
        low, mean, high = (getattr(beside["target"], name)() for name in ("min", "mean", "max"))
        draws = plural(beside.height, "draw")
        shown.append(("p(target), control", f"{mean:.3f}", f"{low:.3f} to {high:.3f}, {draws}", f"Control: {words}."))
    for column, (label, value, note, text) in zip(st.columns(4), shown, strict=False):
        column.metric(label, value, note, delta_color="off", delta_arrow="off", help=text)


def draw(who: Patient, view: View, plan: Plan, depth: int, table: pl.DataFrame, before: Trace, after: Trace) -> None:
    """Draw everything below the graphs."""
    left, right = st.columns(2, gap="medium")
    with left:
        shown = downstream_map(table, depth=depth)
        charts.show(shown, "downstream")
        charts.download(lambda: downstream_map(table, depth=depth), f"downstream-{who.problem.id}", "save-downstream")
        st.caption(
            "A pass sees only what stands before it: the prompt and all thoughts before the first one operated on keep "
            "their last bit."
        )
    with right:
        found, words = answers(who, plan)
        charts.show(answer_options(found, who.problem, words), "answers")
        charts.download(
            lambda: answer_options(found, who.problem, words), f"answer-{who.problem.id}", "save-answers"
        )  # fmt: skip
        _told(who, found, words)
    opened = st.tabs(list(TABS), key="results", bind="query-params", on_change="rerun")
    for tab, name in zip(opened, TABS, strict=True):
        if not tab.open:
            continue
        with tab:
            if name == "Dose":
                _dose(who, plan)
            elif name == "How often":
                surgery_set.draw(who, plan, _control(plan), words)
            elif name == "In words":
                _words(who, view, depth, before, after)
            elif name == "Numbers":
                _numbers(who, table, found)
            else:
                _code(who, view, plan, depth)


def _control(plan: Plan) -> Control | None:
    there = plan.controls
    chosen = st.session_state.get("against")
    found: list[Control] = [one for one in there if one == chosen] or list(there)
    return found[0] if found else None


def choose_control(plan: Plan) -> None:
    """Draw the choice of the control; before anything is held against it."""
    there = plan.controls
    if st.session_state.get("against") not in there:
        st.session_state.pop("against", None)
    if there:
        st.segmented_control(
            "Control", there, default=there[0], required=True, key="against", bind="query-params", help=CONTROL_HELP
        )  # fmt: skip
    elif plan.interventions:
        st.caption("There is no control of the same dose for what is left out or done inside the layers.")


def _told(who: Patient, found: pl.DataFrame, words: str) -> None:
    said_by = {
        series: ", ".join(
            f"{plain(str(answer).strip() or 'nothing')}{f' ({count} of {part.height})' if part.height > 1 else ''}"
            for answer, count in part["answer"].value_counts(sort=True).iter_rows()
        )
        for series, part in ((name, found.filter(series=name)) for name in ("without", "surgery", "control"))
        if part.height
    }
    beside = f"; under the control, {words}, **{said_by['control']}**" if "control" in said_by else ""
    st.markdown(
        f"It answers **{said_by['without']}** without the surgery, **{said_by['surgery']}** under it{beside}. "
        f"Right is {plain(who.problem.names[who.problem.target])}."
    )


def _plain(row: dict) -> str:
    return str(row["answer"]).strip() or "nothing"


def _dose(who: Patient, plan: Plan) -> None:
    places = with_strength(plan)
    if not places:
        st.caption("Nothing in this surgery has a dose: do something that has, and its curve stands here.")
        return
    titles = {place: f"{place + 1}. {plan.interventions[place].described(who.run.thoughts)}" for place in places}
    if st.session_state.get("dose of") not in places:
        st.session_state.pop("dose of", None)
    place = places[-1]
    if len(places) > 1:
        place = int(
            st.selectbox("Dose of", places, index=len(places) - 1, format_func=titles.__getitem__, key="dose of")
        )
    one, control = plan.interventions[place], _control(plan)
    present = float(getattr(one, "strength", 1.0))
    most = max(operated.most(one), present)
    table = operated.by_dose(who, plan, place, most, control)

    def make():
        return dose_curve_figure(
            table, who.problem, unit=one.unit or "share", control=CONTROL_WORDS.get(control or "", ""),
            dose=present,
        )  # fmt: skip

    with st.container(width=900):
        charts.show(make(), "doses")
        charts.download(make, f"dose-{who.problem.id}", "save-doses")
    st.caption(f"Dose of {plain(titles[place])}; all else as it is. At each dose the control gets the same dose.")


def _words(who: Patient, view: View, depth: int, before: Trace, after: Trace) -> None:
    for column, trace, title in zip(st.columns(2), (before, after), ("Without", "Under the surgery"), strict=True):
        with column:
            st.markdown(f"**{title}**")
            scores = node_scores(trace, view.readout)
            none = Answer(who.problem, trace.answer_texts[-1], False, False)
            saying.card(Reading(who.run, trace, scores, none), depth)
            saying.table(Reading(who.run, trace, scores, none), f"words-{title}")


def _numbers(who: Patient, table: pl.DataFrame, found: pl.DataFrame) -> None:
    number = st.column_config.NumberColumn
    st.caption("The answer after all thoughts, without the surgery, under it, and under each draw of the control.")
    tables.show(
        found, f"answers-{who.problem.id}", "answers-table",
        {name: number(format="%.4f") for name in ("target", "negative")},
    )  # fmt: skip
    st.caption("What changed downstream; `moved` is the total variation distance, `step` in lengths of the thought.")
    tables.show(
        table, f"downstream-{who.problem.id}", "downstream-table",
        {name: number(format="%.4g") for name in ("moved", "step")}, height=360,
    )  # fmt: skip


def _code(who: Patient, view: View, plan: Plan, depth: int) -> None:
    asked = urlencode({name: st.query_params[name] for name in st.query_params}, quote_via=quote, safe=":;,=~")
    st.caption("Link")
    st.code(f"{(st.context.url or '').split('?')[0]}?{asked}", language=None)
    st.caption("Code: this script does the surgery and opens its pictures.")
    st.code(
        surgery_code.script(who, view.source, plan, _control(plan), view.readout, depth), language="python"
    )  # fmt: skip
    st.caption("YAML, for `workbench.interventions.text.from_yaml`")
    st.code(to_yaml(plan), language="yaml")
