"""The view is in the link: Streamlit binds every box to a parameter; here is what it cannot say by itself."""

from collections.abc import Mapping

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apps.parameters import PARAMETERS
from apps.view import View


def remember_what_was_asked() -> None:
    """Keep the link's parameters before any box takes or drops its own."""
    if "asked" not in st.session_state:
        st.session_state["asked"] = {name: st.query_params.get_all(name) for name in st.query_params}


def accept_names(key: str, titles: Mapping[str, str]) -> None:
    """Put titles, which a box shows and writes into the address, in place of names there; before the box is drawn.

    Args:
        key: Of the box.
        titles: Of its options, by name.
    """
    given, context = st.query_params.get_all(key), get_script_run_ctx()
    if context is None or not given or not set(given) <= titles.keys():
        return
    st.query_params[key] = [titles[name] for name in given]
    # A box takes its first value from the address as the browser sent it (Streamlit 1.67): told of the change.
    with context.session_state.query_params() as parameters:
        parameters.set_initial_query_params_from_current()
    st.session_state["asked"].pop(key, None)


def keep_what_was_left_out() -> None:
    """Keep, before the page is run again, which parts of the link the boxes drawn so far could not follow.

    In the second run the address is once more as the browser sent it.
    """
    asked = st.session_state["asked"]
    drawn = {name: asked.pop(name) for name in list(asked) if name in st.session_state}
    st.session_state["left out"] = {name: drawn[name] for name in drawn if not _followed(name, drawn[name])}


def say_what_was_left_out() -> None:
    """Say, once, which parts of the link could not be followed; the page shows its usual choice instead."""
    asked = st.session_state["asked"]
    st.session_state["asked"] = {}
    ignored = st.session_state.pop("left out", {})
    ignored |= {name: asked[name] for name in asked if not _followed(name, asked[name])}
    if ignored:
        st.info(
            "This link asks for something that is not here, so the page shows its usual choice instead of: "
            + ", ".join(f"`{name}={' '.join(values)[:60]}`" for name, values in ignored.items()).replace("\n", " "),
            icon=":material/link_off:",
        )


def footnote(view: View) -> None:
    """Say how to pass the view on, or why that cannot be done."""
    if view.source.unlinked:
        st.caption(f":orange[The link in the address bar does not hold this problem.] {view.source.unlinked}")
    else:
        st.caption("The address bar holds the whole view: copy it, and it opens again just so. Keys: ← → P.")


def _followed(name: str, values: list[str]) -> bool:
    if name not in PARAMETERS:
        return False
    # A value that is the default anyway is taken out of the address: then the box itself tells.
    value = st.session_state.get(name)
    shown = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return st.query_params.get_all(name) == values or [one.lower() for one in shown] == [one.lower() for one in values]
