"""What is to be known about a run's method before its picture is believed: formatting only."""

import streamlit as st

from apps.words import plural
from workbench.model.checkpoint import Checkpoint
from workbench.train.methods import METHODS

PAUSE = "a pause token is fed here, not the thought"
PAUSE_HELP = (
    "In every slot the same token's embedding is fed. What is shown as thought k is the hidden state before slot k: "
    "what Coconut would have fed, and this model never sees again."
)
SPEAKS_HELP = "Trained to say the chain of steps in words, with the answer at its end."
NO_THOUGHTS_HELP = "Trained without thoughts: there is nothing to move through, only what it says."


def title(checkpoint: Checkpoint) -> str:
    """Return the method's name as tables call it; empty where the checkpoint names none that is known."""
    method = METHODS.get(str(checkpoint.meta.get("method", "")))
    return method.title if method else ""


def badges(checkpoint: Checkpoint) -> None:
    """Draw the method's name, and what sets it apart from Coconut, into a row."""
    method = METHODS.get(str(checkpoint.meta.get("method", "")))
    if method:
        st.badge(method.title, icon=":material/school:", color="blue", help=method.summary)
    if checkpoint.thoughts == 0:
        st.badge("no thoughts", icon=":material/block:", color="gray", help=NO_THOUGHTS_HELP)
    elif checkpoint.fed == "pause":
        st.badge(PAUSE, icon=":material/pause:", color="orange", help=PAUSE_HELP)
    if checkpoint.thoughts_per_step > 1:
        st.badge(f"{plural(checkpoint.thoughts_per_step, 'thought')} per step", color="gray")
    if checkpoint.says == "chain":
        st.badge("answers at the end of its chain", icon=":material/format_quote:", color="gray", help=SPEAKS_HELP)
