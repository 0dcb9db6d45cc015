"""What the explorer computes once and keeps: one bounded store of models, problem sets, traces, recordings, tables.

Everything is keyed by content (the hash of the weights, the text of a problem), never by an object's identity.
"""

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps.outcomes import shipped
from apps.state import Run
from workbench.measure.chains import SaidChain, said_chain
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.trace import Answer, Trace, answers, run
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.model.reader import load_reader
from workbench.problems.files import load_items, load_problems
from workbench.problems.graph import structure
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import shortcut_resistant
from workbench.readings.arithmetic import values_beside_others
from workbench.readings.base import Reading
from workbench.readings.second_model import steps_read

Value = TypeVar("Value")

USUAL = 64
MOST = {
    "checkpoint": 4, "uploaded": 4, "problems": 16, "facts": 16, "tuned lens": 16, "emergence": 16,
    "set recording": 24, "reading table": 192, "fingerprint": 256, "tree": 256, "tree controls": 256,
    "intervened": 256, "control answers": 256, "figure": 256, "trace": 512, "answer": 512,
}  # fmt: skip
"""How many values of a kind are kept, where it is not the usual number; a set of 500 recorded is some 40 MB."""

OUTCOME_BATCH = 32
"""Problems answered between two moves of the progress bar; four batches are read ahead."""
BATCH = 25
"""Problems recorded between two moves of the progress bar; it can be stopped at each."""


@cache
def leave_out_imports(hundreds_of_modules: int) -> None:
    """Leave what is here out of later garbage collections, once for every hundred of modules that are imported.

    Streamlit collects garbage after every run of the page. Going through all objects of PyTorch and transformers, which
    stay for good, took twice as long as the run itself.
    """
    gc.collect()
    gc.freeze()


class Store:
    """Values by kind and key. Where a kind is full, the value that was not used for longest goes."""

    def __init__(self) -> None:
        """Start empty."""
        self._kinds: dict[str, OrderedDict[Hashable, Any]] = {}
        self._lock = Lock()

    def get(self, kind: str, key: Hashable) -> Any:
        """Return a value, None if it is not here."""
        with self._lock:
            held = self._kinds.setdefault(kind, OrderedDict())
            if key in held:
                held.move_to_end(key)
            return held.get(key)

    def put(self, kind: str, key: Hashable, value: object) -> None:
        """Keep a value."""
        with self._lock:
            held = self._kinds.setdefault(kind, OrderedDict())
            held[key] = value
            while len(held) > MOST.get(kind, USUAL):
                held.popitem(last=False)


@st.cache_resource(show_spinner=False)
def _store() -> Store:
    return Store()


def kept(kind: str, key: Hashable, make: Callable[[], Value], spinner: str = "") -> Value:
    """Return a value from the store, made and kept where it is not there.

    Args:
        kind: What it is; each kind has room for its own number of values.
        key: What it was made of, by content.
        make: Makes it. Where it raises or is stopped, nothing is kept.
        spinner: What the page says in the meantime.
    """
    store = _store()
    found = store.get(kind, key)
    if found is None:
        with st.spinner(spinner) if spinner else nullcontext():
            found = make()
        store.put(kind, key, found)
    return found


def known(kind: str, key: Hashable) -> Any:
    """Return a value from the store, None where it has not been made."""
    return _store().get(kind, key)


# Models and problems


def fingerprint(path: Path) -> str:
    """Return a hash of a checkpoint's files; it is taken again when one of them changes."""
    folder = path / "model" if (path / "model").is_dir() else path
    files = sorted(file for file in folder.glob("*") if file.is_file())
    about = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return kept("fingerprint", about, lambda: _hash(files))


def _hash(files: Sequence[Path]) -> str:
    digest = sha256()
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def checkpoint(path: Path) -> Checkpoint:
    """Return a loaded checkpoint; a few are kept in memory."""
    return kept("checkpoint", (str(path), fingerprint(path)), lambda: load_checkpoint(path), "Loading the model ...")


def problems(path: Path) -> tuple[Problem, ...]:
    """Return the problems of a set."""
    about = path.stat()
    key = (str(path), about.st_size, about.st_mtime_ns)
    return kept("problems", key, lambda: tuple(load_problems(path)), "Reading the problems ...")


def problem_key(problem: Problem | Item) -> tuple[str, ...]:
    """Return what a problem is known by."""
    return (problem.id, problem.question, *(problem.names if isinstance(problem, Problem) else ()))


def set_key(items: Sequence[Problem] | Sequence[Item]) -> str:
    """Return what a problem set is known by."""
    return sha256("\n".join(f"{problem.id} {problem.question}" for problem in items).encode()).hexdigest()


def run_key(run: Run, problem: Problem | Item) -> tuple[object, ...]:
    """Return what a run on one problem is known by."""
    return fingerprint(run.path), problem_key(problem), run.thoughts


def facts(items: tuple[Problem, ...]) -> list[dict[str, object]]:
    """Return what the problem table and the filters need to know of each problem, whatever the model."""
    return kept("facts", set_key(items), lambda: [
        {
            "problem": problem.id,
            "hops": structure(problem).length,
            "asked": problem.question.rpartition(". ")[2],
            "nodes": len(problem.names),
            "edges": len(problem.edges),
            "shortcut-resistant": shortcut_resistant(problem),
        }
        for problem in items
    ])  # fmt: skip


def items(path: Path) -> tuple[Item, ...]:
    """Return the problems of a set without graphs."""
    about = path.stat()
    key = (str(path), about.st_size, about.st_mtime_ns)
    return kept("items", key, lambda: tuple(load_items(path)), "Reading the problems ...")


# What a run thinks and answers


def trace(path: Path, problem: Problem | Item, thoughts: int) -> Trace:
    """Return what a checkpoint thinks about one problem; only this problem is run."""
    key = (fingerprint(path), problem_key(problem), thoughts)
    return kept("trace", key, lambda: next(run(checkpoint(path), [problem], thoughts)), "The model is thinking ...")


def answer(path: Path, problem: Problem | Item, thoughts: int, says: str) -> Answer:
    """Return the answer of a checkpoint to one problem after so many thoughts, at once or at the end of its words."""
    key = (fingerprint(path), problem_key(problem), thoughts, says)
    return kept(
        "answer", key, lambda: next(answers(checkpoint(path), [problem], thoughts, says=says)),
        "The model is answering ...",
    )  # fmt: skip


def values_beside(run: Run, item: Item, others: tuple[Item, ...]) -> pl.DataFrame:
    """Return the values of an item's steps in its thoughts, beside those in the thoughts about others (chance)."""
    own = trace(run.path, item, run.thoughts)
    return kept(
        "values", (run_key(run, item), set_key(others)), lambda: values_beside_others(run.checkpoint, own, others),
        "Reading other problems for the chance level ...",
    )  # fmt: skip


def chain(run: Run, item: Item, others: tuple[Item, ...]) -> SaidChain:
    """Return the chain that a run says in words about an item; other problems give the chance levels."""
    return kept(
        "chain", (run_key(run, item), set_key(others)),
        lambda: said_chain(run.checkpoint, item, others, run.thoughts),
        "The model is saying its steps, and other problems are read for the chance level ...",
    )  # fmt: skip


def second_model(run: Run, item: Item, others: tuple[Item, ...]) -> pl.DataFrame:
    """Return what the second model of a run says of its thoughts about an item, beside those about others."""
    own = trace(run.path, item, run.thoughts)
    return kept(
        "second model", (run_key(run, item), set_key(others)),
        lambda: steps_read(run.checkpoint, load_reader(run.path, run.checkpoint), own, others),
        "The second model is reading the thoughts ...",
    )  # fmt: skip


def outcomes(run: Run, items: tuple[Problem, ...], on_progress: Callable[[int, int], None]) -> dict[str, bool]:
    """Return for each problem's id whether the answer of a run is right.

    Args:
        run: What answers.
        items: The whole set.
        on_progress: Told how many of how many are done; not called when the answer is known already.
    """

    def make() -> dict[str, bool]:
        if (known_before := shipped(outcome_key(run, items), items)) is not None:
            return known_before
        found: dict[str, bool] = {}
        on_progress(0, len(items))
        for said in answers(run.checkpoint, items, run.thoughts, batch_size=OUTCOME_BATCH, says=run.says):
            found[said.problem.id] = said.right
            if len(found) % OUTCOME_BATCH == 0:
                on_progress(len(found), len(items))
        return found

    return kept("outcomes", outcome_key(run, items), make)


def known_outcomes(run: Run, items: tuple[Problem, ...]) -> dict[str, bool]:
    """Return the outcomes if they have been computed already, else nothing."""
    return known("outcomes", outcome_key(run, items)) or {}


def outcome_key(run: Run, items: tuple[Problem, ...]) -> Hashable:
    """Return what the answers of a run to a set are known by, in whatever order it is shown."""
    return fingerprint(run.path), set_key(sorted(items, key=lambda item: item.id)), run.thoughts, run.says


# Recordings: of one problem for its attention and lens, of a set for its readings


def recording(run: Run, problem: Problem) -> Recording:
    """Return the recording of one problem, with all its thoughts."""
    return kept(
        "recording", run_key(run, problem), lambda: record(run.checkpoint, [problem], run.thoughts),
        "TransformerLens is reading the attention ...",
    )  # fmt: skip


def set_recordings(
    run: Run, items: tuple[Problem, ...], controls: Sequence[str], on_progress: Callable[[str, int], None]
) -> list[Recording]:
    """Return the recording of a problem set and those of its controls. What is recorded stays when it is stopped.

    Args:
        run: What to run.
        items: The problems.
        controls: Names of `run_labels.CONTROLS`.
        on_progress: Told the run that is being recorded and how many of its problems are done; not called for what is
            known already.
    """

    def one(label: str, make: Callable[[Callable[[int], None]], Recording]) -> Recording:
        return kept("set recording", _recording_key(run, items, label), lambda: make(counting(label, on_progress)))

    own = one(MODEL, lambda told: record(run.checkpoint, items, run.thoughts, batch_size=BATCH, on_progress=told))
    others = (
        one(name, lambda told, name=name: record_controls(own, [name], batch_size=BATCH, on_progress=told)[0])
        for name in controls
    )
    return [own, *others]


def counting(label: str, on_progress: Callable[[str, int], None]) -> Callable[[int], None]:
    """Return what adds up the problems done in each step and tells their sum, none at first."""
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        on_progress(label, done)

    told(0)
    return told


def recorded(run: Run, items: tuple[Problem, ...], controls: Sequence[str]) -> bool:
    """Return whether a set and all controls asked for have been recorded."""
    keys = (_recording_key(run, items, label) for label in (MODEL, *controls))
    return all(known("set recording", key) is not None for key in keys)


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
        on_progress: Told the run that is being read, "" while figures are drawn; not called for what is known already.
    """
    own, about = recordings[0], (reading.name, reading.schema)
    keys = [_recording_key(run, items, recording.label) for recording in recordings]

    def table(recording: Recording) -> pl.DataFrame:
        on_progress(recording.label)
        read = reading.frame([own] if recording is own else [own, recording])
        return read.filter(pl.col(RUN) == recording.label)

    def figures() -> list[go.Figure]:
        on_progress("")
        return reading.figures(frame)

    frame = pl.concat(
        kept("reading table", (*about, *key), lambda recording=recording: table(recording))
        for key, recording in zip(keys, recordings, strict=True)
    )
    drawn = kept("reading figures", (*about, *keys), figures)
    return frame, [go.Figure(figure) for figure in drawn]  # the page takes their titles out


def _recording_key(run: Run, items: tuple[Problem, ...], label: str) -> tuple[Hashable, ...]:
    return fingerprint(run.path), set_key(items), run.thoughts, label
