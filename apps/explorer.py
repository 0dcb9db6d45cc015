"""The explorer (`make explore`): this file starts it and lists the pages; the page that is open draws itself."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apps import demo, links

# One problem on a small model: a second thread gains nothing, and on a busy machine the two wait for each other (1 to
# 11 seconds a problem instead of 0.1). PyTorch reads this when it is imported; a value set in the shell stays.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Streamlit shows every text that stands alone in this file: what constants mean is said in comments.

# The browser would fetch an icon given by name from the network.
ICON = Path(__file__).with_name("icon.svg").read_text()
# Both take some seconds to import, once per server.
LOADING = "Starting: loading PyTorch and transformers ..."
# Less empty space at the top than Streamlit leaves, and digits of one width.
STYLE = """
<style>
  [data-testid="stMainBlockContainer"] { padding: 3.8rem 2.5rem 3rem; max-width: 1900px; }
  [data-testid="stSidebarHeader"] { height: 2.2rem; margin-bottom: 0; }
  [data-testid="stMainBlockContainer"] h2 { padding: 0; letter-spacing: -0.01em; }
  [data-testid="stMetricValue"] { font-size: 1.4rem; font-variant-numeric: tabular-nums; }
  [class*="st-key-steps-"] { position: relative; gap: 0; overflow-x: auto; }
  [class*="st-key-at-"][class*="graph-"] { min-width: 480px; gap: 0.3rem; }
  .st-key-steps-graph-only { margin-top: -0.7rem; }
  @media (max-width: 1350px) {
    [class*="st-key-picture"] [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) { flex-wrap: wrap; }
    [class*="st-key-picture"] [data-testid="stColumn"] { flex: 1 1 480px; min-width: min(480px, 100%); }
    [class*="st-key-picture"] [data-testid="stColumn"] [data-testid="stColumn"] { flex: 1 1 0; min-width: 0; }
  }
  /* Two runs side by side: what stands beside each other begins at one height, whatever stands above it. */
  @media (min-width: 1351px) {
    .st-key-pictures > * > [data-testid="stHorizontalBlock"] {
      display: grid; grid-template-columns: 1fr 1fr; grid-template-rows: repeat(12, auto); row-gap: 0;
    }
    .st-key-pictures > * > * > [data-testid="stColumn"],
    .st-key-pictures > * > * > [data-testid="stColumn"] > [data-testid="stVerticalBlock"] {
      display: grid; grid-template-rows: subgrid; grid-row: 1 / -1; row-gap: 0;
      width: auto; min-width: 0; align-content: start;
    }
    .st-key-pictures > * > * > [data-testid="stColumn"] > [data-testid="stVerticalBlock"] > * { margin-bottom: 1rem; }
  }
  .says { font-size: 1.06rem; line-height: 1.45; margin: 0; }
  .says .sure { opacity: 0.8; font-size: 0.9rem; }
  .numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.4rem, 1fr)); gap: 0.6rem 1rem; }
  .numbers span { display: block; line-height: 1.3; }
  .numbers .what, .numbers .beside { font-size: 0.84rem; }
  .numbers .beside { opacity: 0.8; }
  .numbers .value { font-size: 1.4rem; font-variant-numeric: tabular-nums; }
  .card { border: 1px solid rgba(128, 134, 146, 0.35); border-radius: 0.5rem; padding: 0.8rem 1rem; }
  .card p { margin: 0.5rem 0; }
  .card small { font-size: 0.84rem; opacity: 0.85; }
  .chip { font-size: 0.84rem; border-radius: 0.25rem; padding: 0.1rem 0.4rem; background: rgba(128, 134, 146, 0.16); }
  .chip.green, .true { color: var(--good); } .chip.red, .false { color: var(--bad); }
  .chip.orange { color: var(--doubtful); } .chip.blue { color: var(--fine); }
  :root { --good: light-dark(#0b6b43, #5fd3a0); --bad: light-dark(#b3261e, #ff9a93);
    --doubtful: light-dark(#8f4700, #ffb868); --fine: light-dark(#1d4ed8, #93c5fd); }
  /* Streamlit writes figures in a grey of 3.7 : 1 on white; texts with a colour of their own keep theirs. */
  .js-plotly-plot text[style*="rgb(128, 132, 149)"] { fill: var(--ink) !important; }
  .js-plotly-plot text[style*="rgb(213, 94, 0)"] { fill: var(--doubtful) !important; }
  .js-plotly-plot .legend .traces[style*="opacity: 0.5"] { opacity: 0.75 !important; }
  [data-testid="stCaptionContainer"] { opacity: 0.75; }
  [data-testid="stCaptionContainer"] code { color: inherit; }
  [data-testid="stMain"] ::placeholder, [data-testid="stSidebar"] ::placeholder { color: var(--ink); opacity: 0.8; }
  [class*="st-key-step-told"], .st-key-loads-plotly { display: none; }
  :root { --ink: light-dark(#1f2733, #c3c8d2); }
  .legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.4rem; font-size: 0.84rem; justify-content: center; }
  .legend i { display: inline-block; width: 1.6rem; vertical-align: middle; }
  .figure-head { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 0 1rem; }
  .figure-head .legend { gap: 0.1rem 0.9rem; font-size: 0.8rem; }
  .figure-title { font-weight: 600; font-size: 1.02rem; }
  .figure-note { font-size: 0.82rem; line-height: 1.35; opacity: 0.72; margin-top: 0.1rem; }
</style>
"""
# Title to module and icon; the first is at the root, where links of reports point.
PAGES = {
    "Thoughts": ("thoughts", ":material/psychology:"),
    "Interventions": ("interventions.page", ":material/content_cut:"),
    "Steps": ("steps", ":material/format_list_numbered:"),
    "Population": ("population", ":material/scatter_plot:"),
    "Training": ("training", ":material/trending_up:"),
    "Runs": ("runs", ":material/table_rows:"),
}
# Paths in the address that differ from the title: links written before must open.
PATHS = {"Interventions": "surgery"}


def _page(module: str) -> Callable[[], None]:
    def draw() -> None:
        early = st.empty()
        if "transformers" not in sys.modules:
            # Meanwhile the browser loads what it draws figures with, five megabytes.
            with early.container(key="loads-plotly"):
                st.plotly_chart(go.Figure(), key="empty figure")
        with st.spinner(LOADING):
            page = import_module(f"apps.views.{module}")
        page.draw()

    draw.__name__ = module.partition(".")[0]
    return draw


def _room(title: str) -> DeltaGenerator:
    """Return where a page is drawn: each has its place, so that the page before is gone at once and not at the end."""
    rooms = {name: st.container() if name == title else st.empty() for name in PAGES}
    return rooms[title]


def _draw() -> None:
    """Draw the navigation and the page chosen.

    The page is drawn by this script and not by `page.run()`: a box of several pages is then one box to Streamlit. Run
    apart, each page would begin with the box's default, and only its second run would show what was chosen before
    (Streamlit 1.67), while the address forgets it.
    """
    draws = {title: _page(module) for title, (module, _) in PAGES.items()}
    pages = {
        title: st.Page(
            draws[title], title=title, icon=icon, default=title == links.HOME,
            url_path=None if title == links.HOME else PATHS.get(title, title.lower()),
        )
        for title, (_, icon) in PAGES.items()
    }  # fmt: skip
    page = st.navigation(list(pages.values()), position="top")
    demo.admit()
    if "transformers" in sys.modules:
        import_module("apps.cache").leave_out_imports(len(sys.modules) // 100)
    links.remember_what_was_asked()
    links.follow(pages)
    links.keep_over_pages(page.url_path)
    with _room(page.title):
        draws[page.title]()


st.set_page_config("Coconut Workbench", ICON, layout="wide", menu_items={"About": "Coconut Workbench"})
st.html(STYLE)
_draw()
