"""The head of a page: the question, the answers, and what to know before believing a picture of them."""

from collections.abc import Sequence

import streamlit as st

from apps import widgets
from apps.state import Reading, View
from apps.text import plain, plural, said
from workbench.model.checkpoint import Checkpoint
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import shortcut_resistant
from workbench.problems.vocabulary import NAMES
from workbench.train.methods import METHODS

RESISTANT_HELP = (
    "A query-blind rule, the option farther from its nearest source, is wrong or cannot tell here. "
    "It chooses right in 91 % of the released test problems."
)
SHORTCUT_HELP = (
    "The option farther from its nearest source is the target here: a model could answer without reading who is "
    "asked about. A right answer alone proves no search."
)
PAUSE = "a pause token is fed here, not the thought"
PAUSE_HELP = (
    "In every slot the same token's embedding is fed. What is shown as thought k is the hidden state before slot k: "
    "what Coconut would have fed, and this model never sees again."
)
APART_HELP = (
    "What is fed as a thought is another vector than what is read. Read, and shown as thought k, is the hidden state "
    "before it, as it enters the LM head; what is fed is made of it, and interventions act on what is fed."
)
SPEAKS_HELP = "Trained to say the chain of steps in words, with the answer at its end."
STRANGE_SHOWN = 8


def method_title(checkpoint: Checkpoint) -> str:
    """Return the method's name without its supervision, which stands beside it; empty where it is not known."""
    method = METHODS.get(str(checkpoint.meta.get("method", "")))
    return method.title.removesuffix(f", {method.asked}") if method else ""


def apart(checkpoint: Checkpoint) -> bool:
    """Return whether thoughts are fed as another vector than the one that is read, and are no pauses."""
    return checkpoint.fed != "pause" and checkpoint.thoughts > 0 and checkpoint.recurrence.apart


def method_badges(checkpoint: Checkpoint) -> None:
    """Draw the method's name, and what sets it apart from Coconut, in a row."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _method_badges(checkpoint)


def _method_badges(checkpoint: Checkpoint) -> None:
    method = METHODS.get(str(checkpoint.meta.get("method", "")))
    if method:
        st.badge(method_title(checkpoint), icon=":material/school:", color="blue", help=method.summary)
    _supervision(checkpoint)
    if checkpoint.fed == "pause" and checkpoint.thoughts:
        st.badge(PAUSE, icon=":material/pause:", color="orange", help=PAUSE_HELP)
    if apart(checkpoint):
        st.badge(f"fed: {checkpoint.recurrence}", icon=":material/input:", color="orange", help=APART_HELP)
    if checkpoint.thoughts_per_step > 1:
        st.badge(f"{plural(checkpoint.thoughts_per_step, 'thought')} per step", color="gray")
    if checkpoint.says == "chain":
        st.badge("answers at the end of its chain", icon=":material/format_quote:", color="gray", help=SPEAKS_HELP)


def _supervision(checkpoint: Checkpoint) -> None:
    """Draw how the thoughts were supervised; in orange where nodes were labels at thoughts."""
    one = checkpoint.supervision
    color = (
        "orange" if one.is_asked else "green" if one.asked in ("words only", "answers alone", "rewarded") else "gray"
    )
    st.badge(
        f"supervision: {one}", icon=":material/label:", color=color, help=f"How its thoughts were trained. {one.help}"
    )


def draw(view: View, readings: Sequence[Reading]) -> None:
    """Draw the question, its badges and the answers of the runs."""
    problem = view.problem
    names = " and ".join(reading.name for reading in readings)
    widgets.caption_figures(f"{asked(problem)} Model {names}, problem {problem.id}, n = 1.")
    st.markdown(f"## {plain(asked(problem))}")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if len(readings) == 1:
            _method_badges(view.run.checkpoint)
        for reading in readings:
            if reading.fixed is None:
                _answer(reading, f"{plain(reading.name)}: " if len(readings) > 1 else "")
        hops = plural(structure(problem).length, "hop")
        st.badge(hops, icon=":material/route:", color="gray", help="From the root to the target.")
        count = len(problem.entities)
        entities = "1 entity" if count == 1 else f"{count} entities"
        concepts, edges = plural(len(problem.names) - count, "concept"), plural(len(problem.edges), "edge")
        st.badge(
            f"{concepts}, {edges}", icon=":material/hub:", color="gray", help=f"And {entities}: names of individuals."
        )
        if shortcut_resistant(problem):
            st.badge("a simple rule fails", icon=":material/shield:", color="blue", help=RESISTANT_HELP)
        else:
            st.badge("a simple rule gets it too", icon=":material/visibility_off:", color="orange", help=SHORTCUT_HELP)
        with st.popover("Whole question", type="tertiary", icon=":material/notes:"):
            st.caption(f"Problem {plain(problem.id)}")
            st.markdown(plain(problem.question))
            st.markdown("**Steps**  \n" + "  \n".join(map(plain, problem.steps)))
            st.markdown(f"**Answer**  \n{plain(problem.answer)}")
    strange = [name for name in problem.names if name not in NAMES]
    if strange and view.run.checkpoint.format.name == "edges":
        more = " …" if len(strange) > STRANGE_SHOWN else ""
        st.caption(
            f"Not in the model's vocabulary: {plain(', '.join(strange[:STRANGE_SHOWN]))}{more}. "
            "It reads free names of its own instead; the page shows yours."
        )


def asked(problem: Problem) -> str:
    """Return the sentence that asks."""
    return problem.question.rpartition(". ")[2].strip()


def _answer(reading: Reading, who: str) -> None:
    right, after = reading.answer.right, f"after {plural(reading.run.thoughts, 'thought')}"
    spoken, at = reading.run.says == "chain", f" {after}" if reading.run.thoughts else ""
    st.badge(
        f"{who}{'says' if spoken else 'answers'} {said(reading.answer.text)}{at}, {'right' if right else 'wrong'}",
        icon=":material/check:" if right else ":material/close:",
        color="green" if right else "red",
        help=f"The answer at the end of what it says {after}: {plain(reading.answer.said)}"
        if spoken
        else f"The greedy answer {after}, the likeliest of all tokens.",
    )
    problem, odds = reading.trace.graph_problem, reading.trace.answers[-1]
    target, negative = (float(odds[node]) for node in (problem.target, problem.negative))
    if right != (target > negative):  # the same word twice would say nothing
        st.badge(
            f"forced choice {'right' if target > negative else 'wrong'}", icon=":material/balance:",
            color="green" if target > negative else "red",
            help=f"Forced to choose between the two options alone, {after}: target {target:.3f}, other option "
            f"{negative:.3f} of the probability among all tokens.",
        )  # fmt: skip
