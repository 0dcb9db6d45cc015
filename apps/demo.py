"""A public demo (`workbench explore --demo`): nothing is uploaded or opened by path, sizes and rates are bounded."""

import os
import time
from collections import deque

import streamlit as st

VARIABLE = "WORKBENCH_DEMO"
"""Environment variable that switches it on, set to 1."""
LONGEST_QUESTION = 4000
"""Characters of a question that is pasted; a link may hold as many."""
MOST_PROBLEMS = 100
"""Problems that are answered or recorded at a time."""
SECONDS = 60.0
A_SESSION, ALL_SESSIONS = 60, 600
"""Runs of the page in so many seconds. Steps from thought to thought are made in the browser and run no page."""


def on() -> bool:
    """Return whether this explorer is a public demo."""
    return os.environ.get(VARIABLE) == "1"


@st.cache_resource(show_spinner=False)
def _runs() -> deque[float]:
    return deque()


def admit() -> None:
    """Count a run of the page, and stop it where there have been too many; outside a demo do nothing."""
    if not on():
        return
    now = time.monotonic()
    both = (st.session_state.setdefault("demo runs", deque()), A_SESSION), (_runs(), ALL_SESSIONS)
    for times, most in both:
        while times and times[0] < now - SECONDS:
            times.popleft()
        if len(times) >= most:
            st.warning("This demo is asked for more than it can draw. Wait a minute, then reload the page.")
            st.stop()
    for times, _ in both:
        times.append(now)
