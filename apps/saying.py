"""What the model says when it is made to go on in language after k thoughts."""

import polars as pl
import streamlit as st

from apps import tables, words
from apps.view import Reading


def card(reading: Reading, depth: int) -> None:
    """Draw the continuation after `depth` thoughts with its behaviour category."""
    trace = reading.trace
    category = words.behaviour(trace, depth)
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Made to speak after {words.plural(depth, 'thought')}**")
            st.badge(str(category), color=words.COLOURS[category], help=words.MEANINGS[category])
        st.markdown(" ".join(_marked(text, true) for text, true in words.sentences(trace, depth)))
        right = bool(trace.answer_right[depth])
        st.caption(
            f"Asked for the answer at once: {words.answer(trace, depth)} "
            f"({':green[right]' if right else ':red[wrong]'}), probability of the target "
            f"{trace.answers[depth][trace.problem.target]:.3f}, of the negative "
            f"{trace.answers[depth][trace.problem.negative]:.3f}."
        )


def table(reading: Reading, key: str) -> None:
    """Draw the continuations and answers after every number of thoughts."""
    trace = reading.trace
    frame = pl.DataFrame(
        {
            "thoughts": depth,
            "continuation": " ".join(text for text, _ in words.sentences(trace, depth)),
            "behaviour": str(words.behaviour(trace, depth)),
            "answer": words.answer(trace, depth),
            "right": bool(trace.answer_right[depth]),
            "target": float(trace.answers[depth][trace.problem.target]),
            "negative": float(trace.answers[depth][trace.problem.negative]),
        }
        for depth in range(len(trace.continuations))
    )
    columns = st.column_config
    meanings = "\n\n".join(f"**{category}**: {meaning}" for category, meaning in words.MEANINGS.items())
    shown = {
        "thoughts": columns.NumberColumn(width="small"),
        "continuation": columns.TextColumn(width="large", help="The step's opening is forced, the rest is greedy."),
        "behaviour": columns.TextColumn(help=meanings),
        "answer": columns.TextColumn(help="The greedy answer when the answer is forced at once."),
        "target": _share("p(target)"),
        "negative": _share("p(negative)"),
    }
    tables.show(frame, f"continuations-{trace.problem.id}", key, shown)


def _marked(text: str, true: bool) -> str:
    """Return a sentence, red and with a mark of its own where it is wrong."""
    safe = "".join(f"\\{mark}" if mark in "\\`*_[]<>|$#" else mark for mark in text)
    return safe if true else f":red[✗ {safe}]"


def _share(title: str) -> tables.Column:
    return st.column_config.ProgressColumn(
        title,
        min_value=0,
        max_value=1,
        format="%.3f",
        help="Raw probability as the answer; chance between the two: 0.5.",
    )
