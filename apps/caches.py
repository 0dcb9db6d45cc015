"""What the explorer computes once and keeps: models, problem sets, traces, and who got what right.

Everything is keyed by content (the hash of the weights, the text of a problem), never by an object's identity.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import streamlit as st

from workbench.measure.trace import Answer, Trace, answers, run
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.files import load_problems
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import shortcut_resistant

OUTCOME_BATCH = 32
"""Problems answered between two moves of the progress bar; four batches are read ahead."""


def checkpoint(path: Path) -> Checkpoint:
    """Return a loaded checkpoint; a few are kept in memory."""
    return _checkpoint(str(path), fingerprint(path))


def fingerprint(path: Path) -> str:
    """Return a hash of a checkpoint's files; it is taken again when one of them changes."""
    folder = path / "model" if (path / "model").is_dir() else path
    files = sorted(file for file in folder.glob("*") if file.is_file())
    return _hash(tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))


def problems(path: Path) -> tuple[Problem, ...]:
    """Return the problems of a set."""
    about = path.stat()
    return _problems(str(path), about.st_size, about.st_mtime_ns)


def trace(path: Path, problem: Problem, thoughts: int) -> Trace:
    """Return what a checkpoint thinks about one problem; only this problem is run."""
    return _trace(fingerprint(path), problem_key(problem), thoughts, path, problem)


def answer(path: Path, problem: Problem, thoughts: int, says: str) -> Answer:
    """Return what a checkpoint answers to one problem after so many thoughts, at once or at the end of its words."""
    return _answer(fingerprint(path), problem_key(problem), thoughts, says, checkpoint(path), problem)


def facts(items: tuple[Problem, ...]) -> list[dict[str, object]]:
    """Return what the problem table and the filters need to know of each problem, whatever the model."""
    return _facts(set_key(items), items)


def outcomes(
    path: Path, items: tuple[Problem, ...], thoughts: int, says: str, on_progress: Callable[[int, int], None]
) -> dict[str, bool]:
    """Return for each problem's id whether the answer after `thoughts` thoughts is right.

    Args:
        path: The checkpoint.
        items: The whole set.
        thoughts: Number of thoughts.
        says: "answer" at once, or at the end of the "chain".
        on_progress: Told how many of how many are done; not called when the answer is known already.
    """
    known = _outcome_store()
    key = (fingerprint(path), set_key(items), thoughts, says)
    if key not in known:
        found: dict[str, bool] = {}
        on_progress(0, len(items))
        for said in answers(checkpoint(path), items, thoughts, batch_size=OUTCOME_BATCH, says=says):
            found[said.problem.id] = said.right
            if len(found) % OUTCOME_BATCH == 0:
                on_progress(len(found), len(items))
        while len(known) >= 64:
            known.pop(next(iter(known)))
        known[key] = found
    return known[key]


def known_outcomes(path: Path, items: tuple[Problem, ...], thoughts: int, says: str) -> dict[str, bool]:
    """Return the outcomes if they have been computed already, else nothing."""
    return _outcome_store().get((fingerprint(path), set_key(items), thoughts, says), {})


@st.cache_resource(max_entries=4, show_spinner="Loading the model ...")
def _checkpoint(path: str, content: str) -> Checkpoint:
    return load_checkpoint(path)


@st.cache_data(max_entries=256, show_spinner=False)
def _hash(files: tuple[tuple[str, int, int], ...]) -> str:
    digest = sha256()
    for name, _, _ in files:
        digest.update(Path(name).name.encode())
        with open(name, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@st.cache_resource(max_entries=16, show_spinner="Reading the problems ...")
def _problems(path: str, size: int, modified: int) -> tuple[Problem, ...]:
    return tuple(load_problems(Path(path)))


@st.cache_data(max_entries=512, show_spinner="The model is thinking ...")
def _trace(content: str, key: tuple[str, ...], thoughts: int, _path: Path, _problem: Problem) -> Trace:
    return next(run(checkpoint(_path), [_problem], thoughts))  # loaded only where it is not known


@st.cache_data(max_entries=512, show_spinner="The model is answering ...")
def _answer(
    content: str, key: tuple[str, ...], thoughts: int, says: str, _checkpoint: Checkpoint, _problem: Problem
) -> Answer:
    return next(answers(_checkpoint, [_problem], thoughts, says=says))


@st.cache_data(max_entries=16, show_spinner=False)
def _facts(key: str, _items: tuple[Problem, ...]) -> list[dict[str, object]]:
    return [
        {
            "problem": problem.id,
            "hops": structure(problem).length,
            "asked": problem.question.rpartition(". ")[2],
            "nodes": len(problem.names),
            "edges": len(problem.edges),
            "shortcut-resistant": shortcut_resistant(problem),
        }
        for problem in _items
    ]


@st.cache_resource(show_spinner=False)
def _outcome_store() -> dict[tuple[str, str, int, str], dict[str, bool]]:
    return {}


def problem_key(problem: Problem) -> tuple[str, ...]:
    """Return what a problem is known by."""
    return (problem.id, problem.question, *problem.names)


def set_key(items: tuple[Problem, ...]) -> str:
    """Return what a problem set is known by."""
    return sha256("\n".join(f"{problem.id} {problem.question}" for problem in items).encode()).hexdigest()
