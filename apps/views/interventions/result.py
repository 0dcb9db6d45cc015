"""What came of a plan: what changed, the answer beside its control, strengths, many problems, words, code."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import polars as pl
import streamlit as st

from apps import code_export, widgets
from apps.components.picture import continuation, continuation_table
from apps.state import Reading, View
from apps.text import plain, plural, said
from apps.views.interventions.subject import Subject
from workbench.figures.interventions import answer_options, downstream_map, strength_curve_figure
from workbench.interventions.base import Control
from workbench.interventions.controls import BEFORE, CONTROL, INTERVENED, with_strength
from workbench.interventions.nodes import SETS, set_of
from workbench.interventions.plan import Plan
from workbench.interventions.text import to_yaml
from workbench.measure.effects import STEP, THOUGHT, shares
from workbench.measure.scores import node_scores
from workbench.measure.trace import Answer, Trace
from workbench.problems.graph import hop_read
from workbench.problems.shortcuts import floor

CONTROL_WORDS: dict[str | None, str] = {
    None: "",
    "other nodes": "as many other concepts, at the same hops as far as these have others",
    "random direction": "a step as long in a random direction",
}
CONTROL_HELP = (
    "What the same strength does that should not matter.  \n"
    "**other nodes**: in place of each node named another one at the same hop, drawn at random; never the root or one "
    "of the two options. Where a hop has no other left, any other concept.  \n"
    "**random direction**: each thought moved as far as the plan moves it, in a random direction."
)
TABS = ("Strength", "How often", "In words", "Numbers", "Link, code, YAML")
FORMER_TABS = {"Dose": "Strength"}
"""Titles that tabs had in older links."""
COUNTS = (20, 50, 100)
"""How many problems of the set may be asked."""
SHARES = {
    "kept": "Right answer kept",
    "other": "The other option instead",
    "choice": "Forced choice right",
    "control_kept": "Right answer kept, control",
    "control_choice": "Forced choice, control",
}


def badge(table: pl.DataFrame, readout: str, depth: int) -> None:
    """Draw what became of the thought that is shown."""
    row = table.filter(what=THOUGHT if readout == "lm_head" else STEP, k=depth).row(0, named=True)
    if row["same"]:
        st.badge(
            "unchanged, to the last bit", icon=":material/check:", color="gray",
            help="Outside the affected region: no intervention comes before it."
            if not row["can_change"] else "It can have changed, but every number has the same bits.",
        )  # fmt: skip
    elif not row["can_change"]:
        st.badge(
            "outside the affected region: rounding alone", color="gray",
            help="The numbers are the same but for the order of their sums: the run has another number of columns.",
        )  # fmt: skip
    else:
        st.badge(
            f"changed: {row['moved']:.3f} of the probability went elsewhere", icon=":material/content_cut:",
            color="orange", help="Total variation distance, over the problem's nodes and all else; 0 to 1.",
        )  # fmt: skip


def choose_control(plan: Plan) -> None:
    """Draw the choice of the control, before anything is compared with it."""
    widgets.settle("against", plan.controls)
    if plan.controls:
        widgets.segments("Control", plan.controls, "against", CONTROL_HELP)
    elif plan.interventions:
        st.caption("There is no control of the same strength for what is left out or done inside the layers.")


def control_of(plan: Plan) -> Control | None:
    """Return the control chosen, the closest one where none was; None where there is none."""
    chosen = st.session_state.get("against")
    there: list[Control] = [one for one in plan.controls if one == chosen] or list(plan.controls)
    return there[0] if there else None


def metrics(subject: Subject, plan: Plan) -> None:
    """Draw the answer and its two options' probabilities, before and after, beside the control."""
    control, names = control_of(plan), subject.problem.names
    found = subject.answers(plan, control)
    before, after = (found.filter(series=name).row(0, named=True) for name in (BEFORE, INTERVENED))
    beside = found.filter(series=CONTROL)
    shown = [
        ("Answer with the plan", said(after["answer"]), f"without: {said(before['answer'])}",
         "The greedy answer after all thoughts: the likeliest of all tokens, so it may be neither option."),
        *((f"p({plain(names[node])}), {role}", f"{after[role]:.3f}", f"without: {before[role]:.3f}",
           f"Raw probability of the {role} as the answer.")
          for role, node in (("target", subject.problem.target), ("negative", subject.problem.negative))),
    ]  # fmt: skip
    if beside.height:
        low, mean, high = (getattr(beside["target"], name)() for name in ("min", "mean", "max"))
        note = f"{low:.3f} to {high:.3f}, {plural(beside.height, 'draw')}"
        shown.append(("p(target), control", f"{mean:.3f}", note, f"Control: {CONTROL_WORDS[control]}."))
    widgets.metrics(shown, 2)


def draw(subject: Subject, view: View, plan: Plan, depth: int) -> None:
    """Draw everything below the graphs."""
    before, after, table = subject.traces(plan)
    control = control_of(plan)
    found, words = subject.answers(plan, control), CONTROL_WORDS[control]
    left, right = st.columns(2, gap="medium")
    with left:
        widgets.figure(lambda: downstream_map(table, depth=depth), "downstream", f"downstream-{subject.problem.id}")
        st.caption(
            "A pass sees only what stands before it: the prompt and all thoughts before the first one changed keep "
            "their last bit."
        )
    with right:
        widgets.figure(
            lambda: answer_options(found, subject.problem, words), "answers", f"answer-{subject.problem.id}"
        )  # fmt: skip
        _told(subject, found, words)
    opened = st.tabs(list(TABS), key="results", bind="query-params", on_change="rerun")
    draws = (
        lambda: _strength(subject, plan),
        lambda: _how_often(subject, plan, control),
        lambda: _words(subject, view, depth, before, after),
        lambda: _numbers(subject, table, found),
        lambda: _code(subject, view, plan, depth),
    )
    for tab, draw_one in zip(opened, draws, strict=True):
        if tab.open:
            with tab:
                draw_one()


def _told(subject: Subject, found: pl.DataFrame, words: str) -> None:
    answers = {}
    for series in (BEFORE, INTERVENED, CONTROL):
        part = found.filter(series=series)
        counts = part["answer"].value_counts(sort=True).iter_rows()
        answers[series] = ", ".join(
            f"{said(answer)}{f' ({count} of {part.height})' if part.height > 1 else ''}" for answer, count in counts
        )
    beside = f"; under the control, {words}, **{answers[CONTROL]}**" if answers[CONTROL] else ""
    st.markdown(
        f"It answers **{answers[BEFORE]}** without interventions, **{answers[INTERVENED]}** with them{beside}. "
        f"Right is {plain(subject.problem.names[subject.problem.target])}. Forced to choose between the two options: "
        f"{_chosen(subject, found, BEFORE)} without, {_chosen(subject, found, INTERVENED)} with them."
    )


def _chosen(subject: Subject, found: pl.DataFrame, series: str) -> str:
    row, problem = found.filter(series=series).row(0, named=True), subject.problem
    if row["target"] == row["negative"]:
        return "neither"
    return f"**{plain(problem.names[problem.target if row['target'] > row['negative'] else problem.negative])}**"


def _strength(subject: Subject, plan: Plan) -> None:
    places = with_strength(plan)
    if not places:
        st.caption("Nothing in this plan has a strength: add something that has, and its curve stands here.")
        return
    thoughts = subject.run.thoughts
    titles = {place: f"{place + 1}. {plan.interventions[place].described(thoughts)}" for place in places}
    widgets.settle("strength of", places, places[-1])
    place = places[-1]
    if len(places) > 1:
        place = int(st.selectbox(
            "Strength of", places, index=len(places) - 1, format_func=titles.__getitem__, key="strength of"
        ))  # fmt: skip
    one, control = plan.interventions[place], control_of(plan)
    present = float(getattr(one, "strength", 1.0))
    table = subject.by_strength(plan, place, max(one.most, present), control)
    with st.container(width=900):
        widgets.figure(
            lambda: strength_curve_figure(
                table, subject.problem, unit=one.unit or "share", control=CONTROL_WORDS[control], strength=present
            ),
            "strengths", f"strength-{subject.problem.id}",
        )  # fmt: skip
    st.caption(f"Strength of {plain(titles[place])}; all else as it is. At each strength the control gets the same.")


def _words(subject: Subject, view: View, depth: int, before: Trace, after: Trace) -> None:
    for column, trace, title in zip(st.columns(2), (before, after), ("Without", "With the plan"), strict=True):
        with column:
            st.markdown(f"**{title}**")
            none = Answer(subject.problem, trace.answer_texts[-1], False, False)
            reading = Reading(subject.run, trace, node_scores(trace, view.readout), none)
            st.html(continuation(reading, depth))
            continuation_table(reading, f"words-{title}")


def _numbers(subject: Subject, table: pl.DataFrame, found: pl.DataFrame) -> None:
    number, ident = st.column_config.NumberColumn, subject.problem.id
    st.caption("The answer after all thoughts, without interventions, with them, and under each draw of the control.")
    widgets.table(
        found, f"answers-{ident}", "answers-table", {name: number(format="%.4f") for name in ("target", "negative")}
    )
    st.caption("What changed downstream; `moved` is the total variation distance, `step` in lengths of the thought.")
    columns = {name: number(format="%.4g") for name in ("moved", "step")}
    widgets.table(table, f"downstream-{ident}", "downstream-table", columns, height=360)


def _code(subject: Subject, view: View, plan: Plan, depth: int) -> None:
    asked = urlencode({name: st.query_params[name] for name in st.query_params}, quote_via=quote, safe=":;,=~")
    st.caption("Link")
    st.code(f"{(st.context.url or '').split('?')[0]}?{asked}", language=None)
    st.caption("Code: this script makes the interventions and opens the pictures.")
    script = code_export.interventions(view, plan, control_of(plan), depth, subject.set)
    st.code(script, language="python")
    st.caption("YAML, for `workbench.interventions.text.from_yaml`")
    st.code(to_yaml(plan), language="yaml")


# The same plan on many problems


def in_sets(subject: Subject, plan: Plan) -> tuple[Plan, dict[str, str]]:
    """Return a plan with sets of nodes in place of names, and which set stands for which name.

    A name stands for another node in every problem. Where a node is of no set at a thought that is changed, its name
    stays.
    """
    names, made = subject.problem.names, []
    found: dict[str, str] = {}
    for one in plan.interventions:
        fields: dict[str, Any] = {}
        thoughts = [k for k in range(1, subject.run.thoughts + 1) if one.acts_on(k)]
        for field in one.node_fields:
            for name in getattr(one, field):
                node = names.index(name) if name in names else int(name) if name.isdecimal() else None
                if name not in SETS and node is not None and node < len(names):
                    hops = {hop_read(k, subject.run.checkpoint.thoughts_per_step) for k in thoughts}
                    sets = {set_of(subject.problem, node, hop) for hop in hops}
                    if len(sets) == 1 and (only := sets.pop()):
                        found[name] = only
                        name = only
                fields[field] = (*fields.get(field, ()), name)
        made.append(replace(one, **fields) if fields else one)
    return Plan(tuple(made), plan.freeze), found


def many(subject: Subject, plan: Plan) -> None:
    """Draw what the plan does on `MANY` problems beside the one: the shares with interval and control, or a button."""
    general, named = in_sets(subject, plan)
    if not plan.interventions or _reason(subject, general):
        return
    count, control = min(MANY, len(subject.items)), control_of(general)
    words = "".join(f", {set_} in place of {plain(name)}" for name, set_ in named.items())
    known = subject.known_on_set(general, control, count)
    if not known and not st.button(
        f"On {plural(count, 'problem')}", key="ask many", icon=":material/play_arrow:",
        help=f"The same plan on the first problems of the set{words}.",
    ):  # fmt: skip
        return
    found, _ = shares(_asked(subject, general, control, count))
    kept, beside = found["kept"], found.get("control_kept")
    said = f"**{kept.value:.0%}** [{kept.low:.0%}, {kept.high:.0%}] of {kept.n} right answers are kept" if kept.n else (
        "none was right without the plan"
    )  # fmt: skip
    if kept.n and beside and beside.n:
        said += f"; under the control {beside.value:.0%} [{beside.low:.0%}, {beside.high:.0%}]"
    st.markdown(f"On {plural(count, 'problem')}{words}: {said}. {WORTH}")


def _asked(subject: Subject, plan: Plan, control: Control | None, count: int) -> pl.DataFrame:
    """Return what a plan does on the first problems of the set, with a bar while they are asked."""
    bar = st.empty()

    def tell(done: int) -> None:
        bar.progress(done / count, f"{done} of {count} problems")

    table = subject.on_set(plan, control, count, tell)
    bar.empty()
    return table


WORTH = "Intervals of 95 %, over graphs; more under *How often*."
MANY = 100
"""Problems that are asked beside the one."""


def _how_often(subject: Subject, plan: Plan, control: Control | None) -> None:
    """Draw the choice of how many, and what came of it: with interval, n, and a control drawn for each of them."""
    plan, named = in_sets(subject, plan)
    if reason := _reason(subject, plan):
        st.caption(reason)
        return
    if named:
        st.caption(
            f"Sets stand for nodes here: {plain('; '.join(f'{set_} for {name}' for name, set_ in named.items()))}."
        )
    total = len(subject.items)
    counts = [str(count) for count in COUNTS if count < total] or [str(total)]
    widgets.settle("how many", counts)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        count = int(widgets.segments(
            f"The first problems of the set, of {total}", counts, "how many",
            "Each is answered without the plan, with it, and under one draw of its control.", linked=False,
        ))  # fmt: skip
        known = subject.known_on_set(plan, control, count)
        asked = st.button("Ask them", key="ask set", icon=":material/play_arrow:", disabled=known)
    if not known and not asked:
        return
    table = _asked(subject, plan, control, count)
    found, test = shares(table)
    rule, level = floor(subject.items[:count])
    about = (
        "Share of the problems answered rightly without interventions; interval of 95 %, over graphs. Forced choice: "
        "the target is likelier than the other option. A plan that breaks the format loses answers and may keep it. "
        f"Floor: {rule}, a rule that does not read which entity is asked about, gets {level.mean():.2f} of them right."
    )
    widgets.metrics([
        (SHARES[name], f"{one.value:.2f}" if one.n else "none",
         f"{one.low:.2f} to {one.high:.2f}, n = {one.n}" if one.n else "n = 0", about)
        for name, one in found.items()
    ], 5)  # fmt: skip
    done, right = table["done"].sum(), table["right"].sum()
    told = f"The plan fits {done} of {plural(table.height, 'problem')}; {right} were right without interventions."
    if test is not None:
        told += (
            f" Control: {CONTROL_WORDS[control]}. Of them {test.only_second} kept the right answer under the control "
            f"alone, {test.only_first} with the plan alone (exact McNemar test, p = {test.p_value:.2g})."
        )
    st.caption(told)
    widgets.table(table, f"plan-{subject.set.stem if subject.set else 'set'}-{count}", "set-table", {}, height=260)


def _reason(subject: Subject, plan: Plan) -> str:
    """Return why a whole set cannot be asked, nothing if it can."""
    if not plan.interventions:
        return "There is no intervention yet."
    if subject.set is None:
        return "This problem is of no bundled set: open one, and the same plan can be made on many problems."
    named = {name for one in plan.interventions for field in one.node_fields for name in getattr(one, field)}
    if alone := sorted(named - set(SETS)):
        return (
            f"This plan names nodes of this problem ({plain(', '.join(alone))}), and a name stands for another node "
            "in every problem. Choose sets of nodes (`set: on_path`, for one) to ask many problems."
        )
    if plan.needs_set or any(getattr(one, "space", "") == "codes" for one in plan.interventions):
        return "Means, exchanges and codes need the whole set at once: `workbench.interventions.run` makes them."
    return ""
