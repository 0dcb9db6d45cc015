"""Putting a table on the page, with CSV and Parquet of exactly what is shown."""

from collections.abc import Mapping
from io import BytesIO

import polars as pl
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig as Column


def show(frame: pl.DataFrame, name: str, key: str, columns: Mapping[str, Column], *, height: int | None = None) -> None:
    """Draw a table and its two downloads.

    Args:
        frame: What to show.
        name: File name without suffix.
        key: Unique on the page.
        columns: How columns are shown, by name.
        height: In pixels; by default as much as the rows need.
    """
    st.dataframe(frame, hide_index=True, height=height or "auto", column_config=dict(columns), key=key)
    with st.container(horizontal=True):
        download(frame, name, key)


def download(frame: pl.DataFrame, name: str, key: str) -> None:
    """Offer a table as CSV and as Parquet."""
    for kind, mime, write in (("CSV", "text/csv", _csv), ("Parquet", "application/vnd.apache.parquet", _parquet)):
        st.download_button(
            kind, lambda write=write: write(frame), f"{name}.{kind.lower()}", mime, key=f"{key}-{kind}",
            icon=":material/download:", on_click="ignore", type="tertiary",
        )  # fmt: skip


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
