"""Putting a figure on the page: heading, alt text, size, and a download as a file that opens offline."""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from workbench.figures.style import with_ink

CONFIG = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False}
HEAD_ROOM, PANEL_ROOM = 12, 30
"""Pixels left above a figure whose title has been set as text of the page; more where its panels have titles."""


def show(figure: go.Figure, key: str, on_click: Callable[[], None] | None = None) -> None:
    """Draw a figure with its alt text; its title becomes text of the page, which wraps where it is narrow."""
    words = alt(figure)
    _heading(figure)
    st.plotly_chart(
        figure, key=key, on_select=on_click or "ignore", selection_mode="points", config=CONFIG, alt=words
    )  # fmt: skip


def alt(figure: go.Figure) -> str:
    """Return the figure in words."""
    layout: Any = figure["layout"]
    meta = layout["meta"]
    return str(meta["alt"]) if isinstance(meta, dict) and "alt" in meta else str(layout["title"]["text"] or "figure")


def download(make: Callable[[], go.Figure], name: str, key: str, label: str = "HTML") -> None:
    """Offer a figure as one HTML file that opens without a network; it is drawn when asked for."""
    theme = st.context.theme.type or "light"
    st.download_button(
        label,
        lambda: _page(make(), name, theme).encode(),
        f"{name}.html",
        "text/html",
        key=key,
        icon=":material/download:",
        on_click="ignore",
        type="tertiary",
        help="The figure as one HTML file that opens offline",
    )


def _heading(figure: go.Figure) -> None:
    layout: Any = figure["layout"]
    title, subtitle = layout["title"]["text"] or "", layout["title"]["subtitle"]["text"] or ""
    st.html(f'<div class="figure-title">{title}</div><div class="figure-note">{subtitle}</div>')
    panels = any("paper" in str(note["yref"]) and note["y"] == 1 for note in layout["annotations"])
    room = PANEL_ROOM if panels else HEAD_ROOM
    figure.update_layout(title=None, margin_t=room, height=layout["height"] - layout["margin"]["t"] + room)


def _page(figure: go.Figure, name: str, theme: str) -> str:
    inked = with_ink(figure, theme)
    inked.update_layout(paper_bgcolor="#ffffff" if theme == "light" else "#0e1117")
    return inked.to_html(include_plotlyjs=True, full_html=True, config=CONFIG, div_id=name)
