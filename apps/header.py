"""The head of the page: the question, and what to know about it before believing a picture of it."""

import streamlit as st

from apps import method
from apps.own_problem import strange_names
from apps.view import Reading, View
from apps.words import plural
from workbench.problems.graph import structure
from workbench.problems.shortcuts import shortcut_resistant

RESISTANT_HELP = (
    "The best query-blind rule, the option farther from its nearest source, is wrong or cannot tell here. "
    "It chooses right in 91 % of the released test problems."
)
SHORTCUT_HELP = (
    "The option farther from its nearest source is the target here: a model could answer without reading who is "
    "asked about. A right answer alone proves no search."
)


def draw(view: View, readings: list[Reading]) -> None:
    """Draw the question, its badges and the answers of the runs."""
    problem, about = view.problem, structure(view.problem)
    asked = problem.question.rpartition(". ")[2].strip()
    st.markdown(f"## {asked}")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if len(readings) == 1:
            method.badges(view.run.checkpoint)
        for reading in readings:
            right, said = reading.answer.right, reading.answer.text.strip() or "nothing"
            who = f"{reading.run.name}: " if len(readings) > 1 else ""
            after = f"after {plural(reading.run.thoughts, 'thought')}"
            spoken = reading.run.says == "chain"
            st.badge(
                f"{who}{'says' if spoken else 'answers'} {said}, {'right' if right else 'wrong'}",
                icon=":material/check:" if right else ":material/close:",
                color="green" if right else "red",
                help=f"The answer at the end of what it says {after}: {reading.answer.said}"
                if spoken
                else f"The greedy answer {after}. Chance between the two: 0.5.",
            )
        st.badge(
            plural(about.length, "hop"), icon=":material/route:", color="gray", help="From the root to the target."
        )
        size = f"{plural(len(problem.names), 'node')}, {plural(len(problem.edges), 'edge')}"
        st.badge(size, icon=":material/hub:", color="gray")
        if shortcut_resistant(problem):
            st.badge("shortcut-resistant", icon=":material/shield:", color="blue", help=RESISTANT_HELP)
        else:
            st.badge(
                "a query-blind rule gets it too", icon=":material/visibility_off:", color="orange", help=SHORTCUT_HELP
            )
        with st.popover("Whole question", type="tertiary", icon=":material/notes:"):
            st.caption(f"Problem {problem.id}")
            st.write(problem.question)
            st.markdown("**Steps**  \n" + "  \n".join(problem.steps))
            st.markdown(f"**Answer**  \n{problem.answer}")
    if strange_names(problem) and view.run.checkpoint.format.name == "edges":
        strange = strange_names(problem)
        st.caption(
            f"Not in the model's vocabulary: {', '.join(strange[:8])}{' …' if len(strange) > 8 else ''}. "
            "It reads free names of its own instead; the page shows yours."
        )
