"""Figures, tables and the controls of playback on the page."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape, unescape
from io import BytesIO
from typing import Any, cast

import plotly.graph_objects as go
import polars as pl
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig as Column

from workbench.figures.style import BLUE, GREEN, GREY, INK, PURPLE, with_ink
from workbench.measure.provenance import provenance

CONFIG = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False}
MARKS = re.compile(r"(</?(?:b|i|br|sub|sup|span)(?: style='[\w:;.#% -]*')?>)")
"""Tags that titles of figures hold."""
HEAD_ROOM, PANEL_ROOM = 12, 30
"""Pixels left above a figure whose title has been set as text of the page; more where its panels have titles."""

BAR_ROOM = 58
"""Pixels under a graph for its bar of colours alone."""
SQUARE = f"width: 0.65rem; height: 0.65rem; border: 2px solid {GREEN}"
RING = f"width: 0.8rem; height: 0.8rem; border: 2px solid {BLUE}; border-radius: 50%"
TRIANGLE = "polygon(evenodd, 0 0, 100% 0, 50% 100%, 0 0, 26% 16%, 74% 16%, 50% 64%, 26% 16%)"
LEGEND = (
    (f'<i style="{SQUARE}"></i>', "root"), (f'<i style="{SQUARE}; transform: rotate(45deg)"></i>', "target"),
    (f'<i style="width: 0.8rem; height: 0.7rem; background: {PURPLE}; clip-path: {TRIANGLE}"></i>', "negative"),
    (f'<i style="border-top: 3px solid {GREEN}"></i>', "on a shortest path"),
    (f'<i style="{RING}"></i>', "chosen"),
    (f'<i style="border-top: 2px solid {GREY}"></i>', "edge to the next hop"),
    (f'<i style="border-top: 2px dashed {GREY}"></i>', "edge to any other row"),
    (f'<i style="border-top: 1px solid {GREY}"></i>', "among unreachable nodes"),
)  # fmt: skip
"""What stands in the one legend of several graphs: a mark and its meaning."""
ABOVE = 5
"""So many of them stand beside the title of a graph, where they are seen before one scrolls."""

CAPTION = "figure caption"
"""Key in the session of what is written under saved figures."""
SAVED = """<style>body {{ background: {ground}; color: {ink}; font: 15px/1.5 sans-serif; margin: 1.5rem; }}
figcaption {{ max-width: 60rem; margin: 1rem 0; }} @media print {{ .save {{ display: none; }} }}</style>
<figcaption>{caption}</figcaption>
<div class="save"><button onclick="Plotly.downloadImage({name}, {{format: 'png', scale: 3, filename: {name}}})">PNG
</button> <button onclick="Plotly.downloadImage({name}, {{format: 'svg', filename: {name}}})">SVG</button>
<button onclick="print()">PDF, by the browser's print</button></div>
"""
"""What stands under a saved figure: its caption, and buttons that make files of it in the browser."""


def level_figures() -> None:
    """Give every figure's note room for two lines, so that figures side by side stand level."""
    st.html("<style>.figure-note { min-height: 2.7em; }</style>")


# Figures


def one_legend() -> None:
    """Draw the legend of graphs that stand side by side and have none of their own (`without_legend`)."""
    st.html(_legend(LEGEND))


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    return f'<div class="legend">{"".join(f"<span>{mark} {text}</span>" for mark, text in entries)}</div>'


def without_legend(figure: go.Figure) -> go.Figure:
    """Take the legend out of a graph, and the room for it."""
    layout: Any = figure["layout"]
    foot = min(layout["margin"]["b"], BAR_ROOM)
    return figure.update_layout(
        showlegend=False, margin_b=foot, height=layout["height"] - layout["margin"]["b"] + foot
    )  # fmt: skip


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


def chart(figure: go.Figure, key: str, on_click: Callable[[], None] | None = None, *, graph: bool = False) -> None:
    """Draw a figure with its alt text; its title becomes text of the page, which wraps where it is narrow.

    Args:
        figure: What to draw.
        key: Unique on the page.
        on_click: What a click on a point does.
        graph: Whether it is a problem's graph: the first entries of its legend then stand beside the title.
    """
    words, layout = _alt(figure), cast("Any", figure["layout"])
    _heading(figure, LEGEND[:ABOVE] if graph and layout["showlegend"] is not False else ())
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
    theme, about = st.context.theme.type or "light", str(st.session_state.get(CAPTION, ""))
    help_text = "The figure as one HTML file that opens offline, with a caption and buttons for PNG, SVG and PDF"
    download(label, lambda: _page(make(), name, theme, about).encode(), f"{name}.html", "text/html", key, help_text)


def caption_figures(text: str) -> None:
    """Say what stands under the figures that are saved from this page: model, question, how many problems."""
    st.session_state[CAPTION] = text


def _alt(figure: go.Figure) -> str:
    layout: Any = figure["layout"]
    meta = layout["meta"]
    return str(meta["alt"]) if isinstance(meta, dict) and "alt" in meta else str(layout["title"]["text"] or "figure")


def marked(text: str) -> str:
    """Return the text of a figure as HTML: what plotly sets in bold, small or on a new line, and nothing else.

    Names of nodes and runs stand in it, and a user may have written them.
    """
    return "".join(part if MARKS.fullmatch(part) else escape(unescape(part)) for part in MARKS.split(text))


def _heading(figure: go.Figure, entries: Sequence[tuple[str, str]] = ()) -> None:
    layout: Any = figure["layout"]
    for _, name in entries:
        figure.update_traces(showlegend=False, selector={"name": name})
    title, subtitle = layout["title"]["text"] or "", layout["title"]["subtitle"]["text"] or ""
    head = f'<div class="figure-title">{marked(title)}</div>{_legend(entries) if entries else ""}'
    st.html(f'<div class="figure-head">{head}</div><div class="figure-note">{marked(subtitle)}</div>')
    panels = any("paper" in str(note["yref"]) and abs((note["y"] or 0) - 1) < 1e-6 for note in layout["annotations"])
    room = PANEL_ROOM if panels else HEAD_ROOM
    figure.update_layout(title=None, margin_t=room, height=layout["height"] - layout["margin"]["t"] + room)


def _page(figure: go.Figure, name: str, theme: str, about: str = "") -> str:
    inked = with_ink(figure, theme)
    ground = "#ffffff" if theme == "light" else "#0e1117"
    inked.update_layout(paper_bgcolor=ground)
    page = inked.to_html(include_plotlyjs=True, full_html=True, config=CONFIG, div_id=name)
    commit = provenance(0).commit
    parts = (about, _alt(figure), f"Coconut Workbench{f', commit {commit[:12]}' if commit else ''}.")
    caption = escape(" ".join(part for part in parts if part))
    foot = SAVED.format(caption=caption, ground=ground, ink=INK[theme], name=escape(json.dumps(name), quote=True))
    head, _, tail = page.rpartition("</body>")
    return f"{head}{foot}</body>{tail}"


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


def settle(key: str, options: Sequence[Any], usual: Any = None) -> None:
    """Give a box its usual choice where it holds what is not among its options now: of another problem, run or set.

    What it holds is set, not deleted: only then does Streamlit tell the browser (1.67), which would go on showing the
    former choice.

    Args:
        key: Of the box.
        options: What can be chosen now.
        usual: What is chosen then; by default the first option. Of a box with several, those that still can be stay.
    """
    held = st.session_state.get(key)
    if held is None:
        return
    if not options:
        del st.session_state[key]
    elif isinstance(held, list):
        left = [one for one in held if one in options]
        if left != held:
            st.session_state[key] = left
    elif held not in options:
        st.session_state[key] = options[0] if usual is None else usual


def segments(
    label: str, options: Sequence[str], key: str, about: str, *, linked: bool = True, wide: bool = False
) -> str:
    """Draw a row of options, the first chosen at first, and return the one chosen."""
    return st.segmented_control(
        label, options, default=options[0], required=True, key=key, bind="query-params" if linked else None,
        width="stretch" if wide else "content", help=about,
    ) or options[0]  # fmt: skip


def metrics(shown: Sequence[tuple[str, str, str, str]], columns: int = 0) -> None:
    """Draw numbers in rows of so many, by default one row: label, value, what stands below it, and help of each."""
    across = columns or len(shown)
    for row in range(0, len(shown), across):
        for column, (label, value, note, about) in zip(st.columns(across), shown[row : row + across], strict=False):
            column.metric(label, value, note, delta_color="off", delta_arrow="off", help=about)
