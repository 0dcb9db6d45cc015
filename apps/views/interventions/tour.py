"""The guided tour: a question, the user's guess, and what happened, which is computed and never typed in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st
import yaml

from apps import links
from apps.text import plain, plural, said
from apps.views.interventions.plan import ADDRESS, set_text
from workbench.interventions.base import Control
from workbench.interventions.controls import BEFORE, CONTROL, INTERVENED
from workbench.interventions.plan import Plan
from workbench.interventions.text import from_address
from workbench.problems.problem import Problem
from workbench.settings import build

KEY = "tour"
ARRIVED = "tour arrived"
"""Whether, in the session, the link has been followed."""
ELSE, UNSEEN = "something else", "no guess, show me"


@dataclass(frozen=True)
class Stop:
    """A plan with a question."""

    title: str
    problem: str
    """Id in the set `set`."""
    plan: str
    """Its text."""
    after: int
    """Number of thoughts shown first."""
    control: Control
    question: str
    """`{root}`, `{target}` and `{negative}` are the problem's."""
    why: str
    """What an answer would speak for or against, whichever it is."""
    set: str = "released"

    @property
    def name(self) -> str:
        """The title without its number."""
        return self.title.partition(" ")[2]

    def is_open(self, problem: Problem, plan: Plan) -> bool:
        """Return whether the page shows the problem and the plan of this stop."""
        return problem.id == self.problem and plan == from_address(self.plan)

    def parameters(self) -> dict[str, Any]:
        """Return what the address holds when the stop is open."""
        return {
            "set": self.set, "problem": self.problem, "after": self.after, ADDRESS: self.plan,
            "against": self.control,
        }  # fmt: skip


STOPS: dict[str, Stop] = {
    raw["title"]: build(Stop, raw, "tour.yaml")
    for raw in yaml.safe_load(Path(__file__).with_name("tour.yaml").read_text())
}
"""By title, in order."""


def arrive() -> None:
    """Follow a link that names a stop and nothing of it, before any box is drawn: to the link that says all of it."""
    named = st.query_params.get(KEY)
    if ARRIVED not in st.session_state:
        st.session_state[ARRIVED] = True
        if named in STOPS and ADDRESS not in st.query_params:
            links.leave_for("Interventions", st.query_params.to_dict() | STOPS[named].parameters())
            st.rerun()


def choose() -> Stop | None:
    """Draw the row of stops and return the one chosen."""
    title = st.pills(
        "Guided tour: five plans, each with a question", list(STOPS), key=KEY, bind="query-params",
        on_change=_changed, help="Each opens a bundled problem and makes one plan on it, in the run that is open.",
    )  # fmt: skip
    return STOPS.get(title or "")


def ask(stop: Stop, problem: Problem) -> str | None:
    """Draw the question and the guesses and return the guess; None while there is none."""
    root, target, negative = (problem.names[n] for n in (problem.root, problem.target, problem.negative))
    question = stop.question.format(root=plain(root), target=plain(target), negative=plain(negative))
    st.markdown(f"**{stop.name}** · {question}")
    return st.pills(
        "Your guess", (f"{target} (target)", f"{negative} (negative)", ELSE, UNSEEN), key=f"guess {stop.title}"
    )  # fmt: skip


def offer_the_way_back(stop: Stop) -> None:
    """Say that the plan or the problem is another one now, and draw the way back."""
    st.caption(f"**{stop.name}**: this is no longer the plan of that stop, so what is below is your own.")
    st.button("Back to this stop", key="back to stop", on_click=_open, args=(stop,), icon=":material/undo:")


def tell(stop: Stop, problem: Problem, guess: str, table: pl.DataFrame, control: str) -> None:
    """Say what happened, in sentences that follow the numbers of the table."""
    before, after = (table.filter(series=name).row(0, named=True) for name in (BEFORE, INTERVENED))
    beside = table.filter(series=CONTROL)
    target, negative = (plain(problem.names[node]) for node in (problem.target, problem.negative))
    kind = "the target" if after["right"] else "the negative" if after["valid"] else ELSE
    lines = [
        f"**What happened**: it answers **{said(after['answer'])}** ({kind}), and {said(before['answer'])} without "
        f"interventions. Probability of {target}, the target: {before['target']:.3f} before, "
        f"**{after['target']:.3f}** after; of {negative}: {before['negative']:.3f} before, "
        f"**{after['negative']:.3f}** after (chance between the two: 0.5)."
    ]
    if beside.height:
        kept = beside.filter(pl.col("answer") == before["answer"]).height
        low, mean, high = (getattr(beside["target"], name)() for name in ("min", "mean", "max"))
        lines.append(
            f"**The control** ({control}): {kept} of {plural(beside.height, 'draw')} keep the answer; probability of "
            f"the target {mean:.3f} on average, {low:.3f} to {high:.3f}."
        )
    lines.append(_judged(before["answer"], after["answer"], beside["answer"].to_list()))
    lines.append(f"{stop.why} This is one problem, chosen by hand; the tab *How often*, below, asks many.")
    if guess != UNSEEN:
        right = guess.split(" (")[0] == (after["answer"].strip() if kind != ELSE else ELSE)
        lines.append(f"Your guess, {plain(guess)}, was {':green[right]' if right else ':red[wrong]'}.")
    st.markdown("\n\n".join(lines))


def _judged(before: str, after: str, controls: list[str]) -> str:
    """Say what the numbers allow to be said."""
    if not controls:
        return "There is no control of the same strength for this plan, so the change alone says little."
    lost, count = sum(answer != before for answer in controls), len(controls)
    if after == before:
        return f"The answer stays; {lost or 'none'} of the {count} controls change it."
    if not lost:
        return "The answer changes with the plan and under none of its controls: it is not the strength alone."
    return f"The answer changes, but it does under {lost} of {count} controls too: the strength alone may do it."


def _changed() -> None:
    if st.session_state.get(KEY) in STOPS:
        _open(STOPS[st.session_state[KEY]])


def _open(stop: Stop) -> None:
    """Open the problem of a stop and its plan."""
    for name in ("hops", "outcome", "resistant", f"guess {stop.title}"):
        st.session_state.pop(name, None)
    parameters = stop.parameters()
    set_text(parameters.pop(ADDRESS))
    for name, value in parameters.items():
        st.session_state[name] = value
