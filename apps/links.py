"""The view is in the link: Streamlit binds every box to a parameter; here is what it cannot say by itself."""

import streamlit as st

from apps.view import View

PARAMETERS = (
    "run", "beside", "readout", "thoughts", "thoughts_beside", "then",
    "set", "hops", "outcome", "resistant", "problem", "question", "seed", "far",
    "family", "after", "concept", "picture", "below",
)  # fmt: skip
"""Every parameter of a link; each is the key of a box on the page."""


def remember_what_was_asked() -> None:
    """Keep the link's parameters before any box takes or drops its own."""
    if "asked" not in st.session_state:
        st.session_state["asked"] = {name: st.query_params.get_all(name) for name in st.query_params}


def say_what_was_left_out() -> None:
    """Say, once, which parts of the link could not be followed; the page shows its usual choice instead."""
    asked = st.session_state["asked"]
    st.session_state["asked"] = {}
    ignored = [name for name in asked if not _followed(name, asked[name])]
    if ignored:
        st.info(
            "This link asks for something that is not here, so the page shows its usual choice instead of: "
            + ", ".join(f"`{name}={' '.join(asked[name])[:60]}`" for name in ignored).replace("\n", " "),
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
