"""Recordings that the explorer makes once and keeps: of one problem for its attention, of a set for its readings.

As in `caches`, everything is keyed by content. What has been recorded stays when somebody stops in the middle.
"""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import caches
from apps.view import Run
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import MODEL, RUN
from workbench.problems.problem import Problem
from workbench.readings.base import Reading

BATCH = 25
"""Problems between two moves of the progress bar; it can be stopped at each."""
MOST_SETS, MOST_TABLES, MOST_FIGURES = 24, 192, 64
"""Recordings of sets (some 40 MB for 500 problems), tables of one series, and lists of figures that are kept."""

Key = tuple[Any, ...]


def of_problem(run: Run, problem: Problem) -> Recording:
    """Return the recording of one problem, with all its thoughts."""
    return _one(caches.fingerprint(run.path), caches.problem_key(problem), run.thoughts, run, problem)


def of_set(
    run: Run, items: tuple[Problem, ...], controls: Sequence[str], on_progress: Callable[[str, int], None]
) -> list[Recording]:
    """Return the recording of a problem set and those of its controls.

    Args:
        run: What to run.
        items: The problems.
        controls: Of `series.CONTROLS`.
        on_progress: Told the series that is being recorded and how many of its problems are done; not called for what
            is known already.
    """
    own = _kept(run, items, MODEL, on_progress, lambda told: record(
        run.checkpoint, items, run.thoughts, batch_size=BATCH, on_progress=told
    ))  # fmt: skip
    return [own, *(
        _kept(run, items, name, on_progress, lambda told, name=name: record_controls(
            own, [name], batch_size=BATCH, on_progress=told
        )[0])
        for name in controls
    )]  # fmt: skip


def known(run: Run, items: tuple[Problem, ...], controls: Sequence[str]) -> bool:
    """Return whether all that is asked for has been recorded."""
    return all(_set_key(run, items, label) in _sets() for label in (MODEL, *controls))


def frame_and_figures(
    reading: Reading,
    run: Run,
    items: tuple[Problem, ...],
    recordings: Sequence[Recording],
    on_progress: Callable[[str], None],
) -> tuple[pl.DataFrame, list[go.Figure]]:
    """Return a reading's table and its figures, made once; a control that is added leaves the others as they are.

    Args:
        reading: What is asked.
        run: What was run.
        items: The problems.
        recordings: The model's own first.
        on_progress: Told the series that is being read; not called for what is known already.
    """
    parts, own, figures = [], recordings[0], _figures()
    for recording in recordings:
        key, tables = (reading.name, reading.schema, *_set_key(run, items, recording.label)), _tables()
        if key not in tables:
            on_progress(recording.label)
            table = reading.frame([own] if recording is own else [own, recording])
            _put(tables, MOST_TABLES, key, table.filter(pl.col(RUN) == recording.label))
        parts.append(tables[key])
    key = (reading.name, reading.schema, *(_set_key(run, items, recording.label) for recording in recordings))
    frame = pl.concat(parts)
    if key not in figures:
        on_progress("")
        _put(figures, MOST_FIGURES, key, reading.figures(frame))
    return frame, [go.Figure(figure) for figure in figures[key]]  # the page takes their titles out


def _kept(
    run: Run,
    items: tuple[Problem, ...],
    label: str,
    on_progress: Callable[[str, int], None],
    make: Callable[[Callable[[int], None]], Recording],
) -> Recording:
    key, sets = _set_key(run, items, label), _sets()
    if key not in sets:
        done = 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            on_progress(label, done)

        on_progress(label, 0)
        _put(sets, MOST_SETS, key, make(told))
    return sets[key]


def _set_key(run: Run, items: tuple[Problem, ...], label: str) -> Key:
    return (caches.fingerprint(run.path), caches.set_key(items), run.thoughts, label)


def _put(store: dict[Key, Any], most: int, key: Key, value: object) -> None:
    while len(store) >= most:
        store.pop(next(iter(store)))
    store[key] = value


@st.cache_resource(max_entries=64, show_spinner="TransformerLens is reading the attention ...")
def _one(content: str, key: Key, thoughts: int, _run: Run, _problem: Problem) -> Recording:
    return record(_run.checkpoint, [_problem], thoughts)


@st.cache_resource(show_spinner=False)
def _sets() -> dict[Key, Recording]:
    return {}


@st.cache_resource(show_spinner=False)
def _tables() -> dict[Key, pl.DataFrame]:
    return {}


@st.cache_resource(show_spinner=False)
def _figures() -> dict[Key, list[go.Figure]]:
    return {}
