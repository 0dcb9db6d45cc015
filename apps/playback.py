"""Moving through the thoughts: slider, arrow keys, play."""

import time
from collections.abc import Sequence

import streamlit as st

SECONDS = 1.4
"""How long a thought stays while playing."""


def period() -> float | None:
    """Return how often the picture must draw itself again: never, unless it is playing."""
    return SECONDS if st.session_state.get("playing") else None


def choose_depth(depths: Sequence[int]) -> int:
    """Draw the controls and return how many thoughts have been thought.

    Args:
        depths: The numbers of thoughts that there is a reading for, ascending.
    """
    if len(depths) == 1:
        st.session_state["playing"] = False
        st.caption("No thoughts to move through.")
        return depths[0]
    if "after" in st.session_state and st.session_state["after"] not in depths:
        st.session_state["after"] = min(depths, key=lambda depth: abs(depth - int(st.session_state["after"])))
    _advance(depths)
    buttons, slide = st.columns([1, 2.6], vertical_alignment="center", gap="medium")
    with slide:  # first, so that the buttons know what a link asked for
        here = st.select_slider(
            "After how many thoughts", depths, key="after", bind="query-params", on_change=_pause,
            label_visibility="collapsed",
        )  # fmt: skip
    playing = bool(st.session_state.get("playing"))
    with buttons.container(horizontal=True, gap="small"):
        st.button(
            "Back", key="earlier", shortcut="Left", on_click=_step, args=(depths, -1), disabled=here == depths[0],
            help="One thought back (left arrow key)",
        )  # fmt: skip
        st.button(
            "Next", key="later", shortcut="Right", on_click=_step, args=(depths, 1), disabled=here == depths[-1],
            help="One thought on (right arrow key)",
        )  # fmt: skip
        if st.button(
            "Stop" if playing else "Play", icon=":material/stop:" if playing else ":material/play_arrow:", key="play",
            shortcut="P", on_click=_toggle, args=(depths,), type="primary", help="Run through the thoughts (key P)",
        ):  # fmt: skip
            st.rerun()  # the page sets the clock of the part that redraws itself
    return here


def _step(depths: Sequence[int], by: int) -> None:
    place = depths.index(st.session_state["after"]) + by
    st.session_state["after"] = depths[min(max(place, 0), len(depths) - 1)]
    _pause()


def _pause() -> None:
    st.session_state["playing"] = False


def _toggle(depths: Sequence[int]) -> None:
    start = not st.session_state.get("playing")
    st.session_state["playing"] = start
    if start and st.session_state["after"] == depths[-1]:
        st.session_state["after"] = depths[0]
    st.session_state["moved"] = time.monotonic()


def _advance(depths: Sequence[int]) -> None:
    """Take the next thought if it is playing and the last one has been shown long enough."""
    if not st.session_state.get("playing") or time.monotonic() - st.session_state["moved"] < 0.8 * SECONDS:
        return
    place = depths.index(st.session_state["after"]) + 1
    if place >= len(depths):
        _pause()
        st.rerun()
    st.session_state["after"] = depths[place]
    st.session_state["moved"] = time.monotonic()
