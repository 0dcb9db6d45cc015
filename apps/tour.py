"""The guided tour: a question, the user's guess, and what happened, which is computed and never typed in."""

import polars as pl
import streamlit as st

from apps import navigation, stack
from apps.tour_stops import STOPS, Stop
from apps.words import plain, plural
from workbench.interventions.controls import BEFORE, CONTROL, INTERVENED
from workbench.problems.problem import Problem

KEY = "tour"
ARRIVED = "tour arrived"
"""Whether, in the session, the link has been followed."""
ELSE, UNSEEN = "something else", "no guess, show me"


def arrive() -> None:
    """Follow a link that names a stop and nothing of it, before any box is drawn: to the link that says all of it."""
    named = st.query_params.get(KEY)
    if ARRIVED not in st.session_state:
        st.session_state[ARRIVED] = True
        if named in STOPS and stack.ADDRESS not in st.query_params:
            said = {name: st.query_params.get_all(name) for name in st.query_params}
            laid = {name: str(value) for name, value in _laid(STOPS[named]).items()}
            st.switch_page(navigation.pages()["Surgery"], query_params=said | laid)


def choose() -> Stop | None:
    """Draw the row of stops and return the one chosen."""
    title = st.pills(
        "Guided tour: five surgeries, each with a question", list(STOPS), key=KEY, bind="query-params",
        on_change=_changed, help="Each opens a bundled problem and does one surgery on it, by the run that is open.",
    )  # fmt: skip
    return STOPS.get(title or "")


def ask(stop: Stop, problem: Problem) -> str | None:
    """Draw the question and the guesses and return the guess; None while there is none."""
    root, target, negative = (problem.names[n] for n in (problem.root, problem.target, problem.negative))
    st.markdown(f"**{stop.title[2:]}** · {stop.question.format(root=root, target=target, negative=negative)}")
    return st.pills(
        "Your guess", (f"{target} (target)", f"{negative} (negative)", ELSE, UNSEEN), key=f"guess {stop.title}"
    )  # fmt: skip


def offer_the_way_back(stop: Stop) -> None:
    """Say that the plan or the problem is another one now, and draw the way back."""
    st.caption(f"**{stop.title[2:]}**: this is no longer the surgery of that stop, so what is below is your own.")
    st.button("Back to this stop", key="back to stop", on_click=_set_out, args=(stop,), icon=":material/undo:")


def tell(stop: Stop, problem: Problem, guess: str, table: pl.DataFrame, control: str) -> None:
    """Say what happened, in sentences that follow the numbers of the table."""
    before, after = (table.filter(series=name).row(0, named=True) for name in (BEFORE, INTERVENED))
    beside = table.filter(series=CONTROL)
    lines = [
        f"**What happened**: it answers **{_name(after)}** ({_kind(after)}), and {_name(before)} without the surgery. "
        f"Probability of {problem.names[problem.target]}, the target: {before['target']:.3f} before, "
        f"**{after['target']:.3f}** after; of {problem.names[problem.negative]}: {before['negative']:.3f} before, "
        f"**{after['negative']:.3f}** after (chance between the two: 0.5)."
    ]
    if beside.height:
        kept = beside.filter(pl.col("answer") == before["answer"]).height
        low, mean, high = (getattr(beside["target"], name)() for name in ("min", "mean", "max"))
        lines.append(
            f"**The control** ({control}): {kept} of {plural(beside.height, 'draw')} keep the answer; probability of "
            f"the target {mean:.3f} on average, {low:.3f} to {high:.3f}."
        )
    lines.append(_judged(before, after, beside))
    lines.append(f"{stop.why} One problem, picked by hand, is an anecdote: the tab *How often*, below, asks many.")
    if guess != UNSEEN:
        right = guess.split(" (")[0] == (after["answer"].strip() if _kind(after) != ELSE else ELSE)
        lines.append(f"Your guess, {guess}, was {':green[right]' if right else ':red[wrong]'}.")
    st.markdown("\n\n".join(lines))


def _judged(before: dict, after: dict, beside: pl.DataFrame) -> str:
    """Say what the numbers allow to be said."""
    changed = after["answer"] != before["answer"]
    if not beside.height:
        return "There is no control of the same dose for this surgery, so the change alone says little."
    lost = beside.filter(pl.col("answer") != before["answer"]).height
    if not changed:
        return f"The answer stays; {lost or 'none'} of the {beside.height} controls change it."
    if not lost:
        return "The answer changes under the surgery and under none of its controls: it is not the dose alone."
    return f"The answer changes, but it does under {lost} of {beside.height} controls too: the dose alone may do it."


def _kind(row: dict) -> str:
    return "the target" if row["right"] else "the negative" if row["valid"] else ELSE


def _name(row: dict) -> str:
    return plain(str(row["answer"]).strip() or "nothing")


def _changed() -> None:
    if st.session_state.get(KEY) in STOPS:
        _set_out(STOPS[st.session_state[KEY]])


def _set_out(stop: Stop) -> None:
    """Open the problem of a stop and lay its plan out."""
    for name in ("hops", "outcome", "resistant", f"guess {stop.title}"):
        st.session_state.pop(name, None)
    past = st.session_state.setdefault(stack.PAST, [])
    past.append(str(st.session_state.get(stack.ADDRESS) or ""))
    for name, value in _laid(stop).items():
        st.session_state[name] = value


def _laid(stop: Stop) -> dict[str, str | int]:
    return {
        "set": stop.set, "problem": stop.problem, "after": stop.after, stack.ADDRESS: stop.plan,
        "against": stop.control,
    }  # fmt: skip
