"""The view is in the link: Streamlit binds every box to a parameter; here is what it does not do by itself."""

from collections.abc import Mapping

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apps.text import code

PARAMETERS = (
    "run", "beside", "readout", "thoughts", "thoughts_beside", "then",
    "set", "hops", "outcome", "resistant", "problem", "question", "seed", "far",
    "family", "after", "concept", "picture", "attention", "layer", "head", "below", "tree", "tree_controls", "lens",
    "count", "controls", "reading", "under", "step", "beneath",
    "task", "item", "surgery", "off", "tour", "against", "results", "kind", "find",
)  # fmt: skip
"""Every parameter of a link; each is the key of a box on one of the pages."""

HOME = "Thoughts"
"""Title of the page at the root."""
HERE, WAY = "page", "way"
"""Where in the session the path of the page drawn last stands, and the page that a click asked for."""
LONGEST_SHOWN = 60
"""Characters of a value of the address that are repeated on the page."""


# From page to page


def leave_for(page: str, parameters: Mapping[str, object] | None = None) -> None:
    """Note that a page is to be opened: its title and what its address is to hold."""
    st.session_state[WAY] = page, {name: str(value) for name, value in (parameters or {}).items()}


def open_problem(problem: str) -> None:
    """Note, in a callback, that a problem is to be opened on the page Thoughts."""
    st.session_state["open problem"] = problem
    leave_for(HOME, {"problem": problem})


def _open_reading(name: str) -> None:
    st.session_state["reading"] = name
    leave_for("Population")


def deeper(label: str, reading: str, about: str) -> None:
    """Draw the button that leads from one problem to a reading of the whole set."""
    st.button(
        label, type="tertiary", icon=":material/scatter_plot:", help=about, on_click=_open_reading, args=(reading,)
    )
    if WAY in st.session_state:  # the click ran again only the part of the page that moves
        st.rerun()


def follow(pages: Mapping[str, StreamlitPage]) -> None:
    """Open the page that a click asked for; before any box is drawn, since boxes hold on to the address."""
    if WAY in st.session_state:
        page, parameters = st.session_state.pop(WAY)
        st.switch_page(pages[page], query_params=parameters)


def keep_over_pages(path: str) -> None:
    """Write what was chosen into the address again where another page has been opened, which empties it."""
    if st.session_state.get(HERE, path) != path:
        for name in PARAMETERS:
            if name in st.session_state and name not in st.query_params:
                st.session_state[name] = st.session_state[name]
    st.session_state[HERE] = path


# What a link asks for


def remember_what_was_asked() -> None:
    """Keep the link's parameters before any box takes or drops its own."""
    if "asked" not in st.session_state:
        st.session_state["asked"] = {name: st.query_params.get_all(name) for name in st.query_params}


def put(key: str, values: str | list[str]) -> None:
    """Put values into the address before their box is drawn, as if the browser had sent them."""
    st.query_params[key] = values
    context = get_script_run_ctx()
    if context is not None:
        # A box takes its first value from the address as the browser sent it (Streamlit 1.67): told of the change.
        with context.session_state.query_params() as parameters:
            parameters.set_initial_query_params_from_current()


def is_bound(key: str) -> bool:
    """Return whether a box is bound to a parameter: then its page has not been left."""
    context = get_script_run_ctx()
    if context is None:
        return True
    with context.session_state.query_params() as parameters:
        return parameters.is_bound(key)


def accept_names(key: str, titles: Mapping[str, str]) -> None:
    """Put titles, which a box shows and writes into the address, in place of names there; before the box is drawn.

    Args:
        key: Of the box.
        titles: Of its options, by name.
    """
    given = st.query_params.get_all(key)
    if given and set(given) <= titles.keys():
        put(key, [titles[name] for name in given])
        st.session_state["asked"].pop(key, None)


def keep_what_was_left_out() -> None:
    """Keep, before the page is run again, which parts of the link the boxes drawn so far could not follow.

    In the second run the address is once more as the browser sent it.
    """
    asked: dict[str, list[str]] = st.session_state["asked"]
    drawn = {name: asked.pop(name) for name in list(asked) if name in st.session_state}
    st.session_state["left out"] = {name: drawn[name] for name in drawn if not _followed(name, drawn[name])}


def say_what_was_left_out() -> None:
    """Say, once, which parts of the link could not be followed; the page shows its usual choice instead."""
    asked = st.session_state["asked"]
    st.session_state["asked"] = {}
    ignored = st.session_state.pop("left out", {})
    ignored |= {name: asked[name] for name in asked if not _followed(name, asked[name])}
    if ignored:
        shown = (code(f"{name[:LONGEST_SHOWN]}={' '.join(given)[:LONGEST_SHOWN]}") for name, given in ignored.items())
        st.info(
            "This link asks for something that is not here, so the page shows its usual choice instead of: "
            + ", ".join(shown),
            icon=":material/link_off:",
        )


def footnote(unlinked: str, what: str = "the whole view", kind: str = "problem") -> None:
    """Say how to pass the view on, or why that cannot be done.

    Args:
        unlinked: Why the link cannot hold the problem or the set; empty if it can.
        what: What the link holds.
        kind: What it cannot hold, where it cannot.
    """
    if unlinked:
        st.caption(f":orange[The link in the address bar does not hold this {kind}.] {unlinked}")
    else:
        st.caption(f"The address bar holds {what}: copy it, and it opens again just so. Keys: ← → P.")


def _followed(name: str, values: list[str]) -> bool:
    if name not in PARAMETERS:
        return False
    # A value that is the default anyway is taken out of the address: then the box itself tells.
    value = st.session_state.get(name)
    shown = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return st.query_params.get_all(name) == values or [one.lower() for one in shown] == [one.lower() for one in values]
