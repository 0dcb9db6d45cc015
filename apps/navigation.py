"""The pages, and the way from one to another."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from apps.parameters import PARAMETERS

LOADING = "Starting: loading PyTorch and transformers ..."
"""Both take some seconds to import, once per server: the page says so instead of staying white."""

HERE = "page"
"""Where in the session the page drawn last stands, by its path."""
WAY = "way"
"""Where in the session a click leaves the page that is to be opened, and its parameters."""


def _thoughts() -> None:
    with st.spinner(LOADING):
        from apps import thoughts
    thoughts.draw()


def _population() -> None:
    with st.spinner(LOADING):
        from apps import population
    population.draw()


def _training() -> None:
    with st.spinner(LOADING):
        from apps import training
    training.draw()


def _surgery() -> None:
    with st.spinner(LOADING):
        from apps import surgery
    surgery.draw()


def pages() -> dict[str, StreamlitPage]:
    """Return the pages by name; the first is at the root, where links of reports point."""
    return {
        "Thoughts": st.Page(_thoughts, title="Thoughts", icon=":material/psychology:", default=True),
        "Surgery": st.Page(_surgery, title="Surgery", icon=":material/content_cut:", url_path="surgery"),
        "Population": st.Page(
            _population, title="Population", icon=":material/scatter_plot:", url_path="population"
        ),
        "Training": st.Page(_training, title="Training", icon=":material/trending_up:", url_path="training"),
    }  # fmt: skip


def draw() -> None:
    """Draw the navigation and the page chosen.

    The page is drawn by this script and not by `page.run()`: a box of several pages is then one box to Streamlit. Run
    apart, each page would begin with the box's default, and only its second run would show what was chosen before
    (Streamlit 1.67), while the address forgets it.
    """
    page = st.navigation(list(pages().values()), position="top")
    if st.session_state.get(HERE, page.url_path) != page.url_path:
        # On the way the address lost its parameters: a value that is set is written into it again.
        for name in PARAMETERS:
            if name in st.session_state and name not in st.query_params:
                st.session_state[name] = st.session_state[name]
    st.session_state[HERE] = page.url_path
    {"surgery": _surgery, "population": _population, "training": _training}.get(page.url_path, _thoughts)()


def leave_for(problem: str) -> None:
    """Note, in a callback, that a problem is to be opened on the page of thoughts."""
    st.session_state["open problem"] = problem
    st.session_state[WAY] = "Thoughts", {"problem": problem}


def leave_for_reading(name: str) -> None:
    """Note, in a callback, that a reading of the whole set is to be opened."""
    st.session_state["reading"] = name
    st.session_state[WAY] = "Population", {}


def follow() -> None:
    """Go where a click leads, if one does; at the top of a page, since later its boxes hold on to the address."""
    if WAY in st.session_state:
        page, parameters = st.session_state.pop(WAY)
        st.switch_page(pages()[page], query_params=parameters)


def deeper(label: str, reading: str, about: str) -> None:
    """Draw the button that leads from one problem to a reading of the whole set."""
    st.button(
        label, type="tertiary", icon=":material/scatter_plot:", help=about, on_click=leave_for_reading, args=(reading,)
    )
    if WAY in st.session_state:  # the click ran again only the part of the page that moves
        st.rerun()
