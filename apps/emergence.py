"""A whole problem set read at every checkpoint of a run: when the frontier appears."""

from pathlib import Path

import polars as pl
import streamlit as st

from apps import caches, charts, tables
from apps.words import plural
from workbench import catalog
from workbench.figures.training import emergence_figures
from workbench.problems.problem import Problem
from workbench.readings.emergence import CONTROLS_BESIDE, emergence

MOST = 64
"""Problems read: every checkpoint reads them anew, and so do its controls."""
KEPT = 16
"""Tables that are kept."""


def draw(home: Path, thoughts: int, checkpoints: int) -> None:
    """Draw the figures of the first problems of the set chosen, once they have been read.

    Args:
        home: The run directory.
        thoughts: Number of thoughts.
        checkpoints: How many checkpoints it has.
    """
    file = catalog.problem_sets().get(st.session_state.get("set", ""))
    if file is None or not thoughts:
        st.info("Choose a problem set at the left, and a run with thoughts.", icon=":material/arrow_back:")
        return
    items = caches.problems(file)[:MOST]
    key = (str(home), caches.fingerprint(home), checkpoints, caches.set_key(items), thoughts)
    tables_kept = _tables()
    if key not in tables_kept:
        runs = 1 + len(CONTROLS_BESIDE)
        st.caption(
            f"Reads the first {plural(len(items), 'problem')} of the set at each of the {checkpoints} checkpoints, "
            f"with the controls {' and '.join(CONTROLS_BESIDE)}: some seconds for each checkpoint."
        )
        if not st.button("Read them", type="primary", key="read checkpoints"):
            return
        _put(tables_kept, key, _read(home, items, thoughts, len(items) * runs * checkpoints))
    table = tables_kept[key]
    for place, figure in enumerate(emergence_figures(table)):
        key = f"emergence-{place}"
        charts.show(figure, key)
        charts.download(lambda place=place: emergence_figures(table)[place], f"{home.name}-{key}", f"save-{key}")
    tables.download(table, f"{home.name}-emergence", "save-emergence")


def _read(home: Path, items: tuple[Problem, ...], thoughts: int, total: int) -> pl.DataFrame:
    bar, done = st.progress(0.0, "Loading TransformerLens ..."), 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        bar.progress(min(done / total, 1.0), f"{done} of {total}")

    made = emergence(home, items, thoughts=thoughts, on_progress=told)
    bar.empty()
    return made


def _put(store: dict[tuple, pl.DataFrame], key: tuple, table: pl.DataFrame) -> None:
    while len(store) >= KEPT:
        store.pop(next(iter(store)))
    store[key] = table


@st.cache_resource(show_spinner=False)
def _tables() -> dict[tuple, pl.DataFrame]:
    return {}
