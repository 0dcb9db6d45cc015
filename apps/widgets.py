"""Figures, tables and the controls of playback on the page."""

import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import plotly.graph_objects as go
import polars as pl
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig as Column

from workbench.figures.style import with_ink

CONFIG = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False}
HEAD_ROOM, PANEL_ROOM = 12, 30
"""Pixels left above a figure whose title has been set as text of the page; more where its panels have titles."""
SECONDS = 1.4
"""How long a thought stays while playing."""


def level_figures() -> None:
    """Give every figure's note room for two lines, so that figures side by side stand level."""
    st.html("<style>.figure-note { min-height: 2.7em; }</style>")


# Figures


def figure(
    make: Callable[[], go.Figure],
    key: str,
    name: str,
    on_click: Callable[[], None] | None = None,
    label: str = "HTML",
) -> None:
    """Draw a figure and offer it as a file.

    Args:
        make: Makes the figure; again for the file, since the page takes the title out.
        key: Unique on the page.
        name: Of the file, without suffix.
        on_click: What a click on a point does.
        label: Of the button.
    """
    chart(make(), key, on_click)
    download_figure(make, name, f"save-{key}", label)


def chart(figure: go.Figure, key: str, on_click: Callable[[], None] | None = None) -> None:
    """Draw a figure with its alt text; its title becomes text of the page, which wraps where it is narrow."""
    words = _alt(figure)
    _heading(figure)
    st.plotly_chart(
        figure, key=key, on_select=on_click or "ignore", selection_mode="points", config=CONFIG, alt=words
    )  # fmt: skip


def clicked(chart: str) -> list[list[Any]]:
    """Return, in the callback of a figure, the data of the points clicked."""
    event = st.session_state.get(chart)
    found = [point.get("customdata") for point in event["selection"]["points"]] if event else []
    return [data if isinstance(data, list) else [data] for data in found if data is not None]


def download_figure(make: Callable[[], go.Figure], name: str, key: str, label: str = "HTML") -> None:
    """Offer a figure as one HTML file that opens without a network; it is drawn when asked for."""
    theme = st.context.theme.type or "light"
    download(label, lambda: _page(make(), name, theme).encode(), f"{name}.html", "text/html", key,
              "The figure as one HTML file that opens offline")  # fmt: skip


def _alt(figure: go.Figure) -> str:
    layout: Any = figure["layout"]
    meta = layout["meta"]
    return str(meta["alt"]) if isinstance(meta, dict) and "alt" in meta else str(layout["title"]["text"] or "figure")


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


# Tables


def table(
    frame: pl.DataFrame, name: str, key: str, columns: Mapping[str, Column], *, height: int | None = None
) -> None:
    """Draw a table, and offer exactly what is shown as CSV and Parquet.

    Args:
        frame: What to show.
        name: File name without suffix.
        key: Unique on the page.
        columns: How columns are shown, by name.
        height: In pixels; by default as much as the rows need.
    """
    st.dataframe(frame, hide_index=True, height=height or "auto", column_config=dict(columns), key=key)
    with st.container(horizontal=True):
        download_table(frame, name, key)


def numbers(frame: pl.DataFrame, form: str = "%.4f") -> dict[str, Column]:
    """Return columns settings that show the fractions of a table in one form."""
    names = [name for name, kind in frame.schema.items() if kind.is_float()]
    return {name: st.column_config.NumberColumn(format=form) for name in names}


def download_table(frame: pl.DataFrame, name: str, key: str) -> None:
    """Offer a table as CSV and as Parquet."""
    download("CSV", lambda: frame.write_csv().encode(), f"{name}.csv", "text/csv", f"{key}-CSV")
    download("Parquet", lambda: _parquet(frame), f"{name}.parquet", "application/vnd.apache.parquet", f"{key}-Parquet")


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def download(label: str, make: Callable[[], bytes], file: str, mime: str, key: str, about: str | None = None) -> None:
    """Offer a file, made when it is asked for."""
    st.download_button(
        label, make, file, mime, key=key, icon=":material/download:", on_click="ignore", type="tertiary", help=about
    )


# Boxes


def forget(key: str, options: Sequence[object]) -> None:
    """Forget what a box holds of another problem, run or set where it is not among its options now."""
    held = st.session_state.get(key)
    if not (set(held) if isinstance(held, list) else {held} - {None}) <= set(options):
        del st.session_state[key]


def segments(
    label: str, options: Sequence[str], key: str, about: str, *, linked: bool = True, wide: bool = False
) -> str:
    """Draw a row of options, the first chosen at first, and return the one chosen."""
    return st.segmented_control(
        label, options, default=options[0], required=True, key=key, bind="query-params" if linked else None,
        width="stretch" if wide else "content", help=about,
    ) or options[0]  # fmt: skip


def metrics(shown: Sequence[tuple[str, str, str, str]], columns: int = 0) -> None:
    """Draw numbers side by side: label, value, what stands below it, and help of each."""
    for column, (label, value, note, about) in zip(st.columns(columns or len(shown)), shown, strict=False):
        column.metric(label, value, note, delta_color="off", delta_arrow="off", help=about)


# Moving through the thoughts: slider, arrow keys, play


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
