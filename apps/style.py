"""The few rules of appearance that Streamlit's settings do not reach."""

import streamlit as st

STYLE = """
<style>
  [data-testid="stMainBlockContainer"] { padding: 3.8rem 2.5rem 3rem; max-width: 1900px; }
  [data-testid="stSidebarHeader"] { height: 2.2rem; margin-bottom: 0; }
  [data-testid="stMainBlockContainer"] h2 { padding: 0; letter-spacing: -0.01em; }
  [data-testid="stMetricValue"] { font-size: 1.4rem; font-variant-numeric: tabular-nums; }
  .figure-title { font-weight: 600; font-size: 1.02rem; }
  .figure-note { font-size: 0.82rem; line-height: 1.35; opacity: 0.72; margin-top: 0.1rem; }
</style>
"""
"""Less empty space at the top than Streamlit leaves, and figures that do not dance."""


def apply() -> None:
    """Put the rules on the page."""
    st.html(STYLE)


def level_figures() -> None:
    """Give every figure's note room for two lines, so that figures side by side stand level."""
    st.html("<style>.figure-note { min-height: 2.7em; }</style>")
