"""A problem of one's own: pasted, uploaded or drawn at random. What was typed stays, whatever is wrong with it."""

import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from apps.view import Source
from workbench.errors import WorkbenchError
from workbench.problems.files import load_items, load_problems
from workbench.problems.problem import Problem
from workbench.problems.prosqa import parse_question
from workbench.problems.sets import MOST_HOPS, generate
from workbench.problems.vocabulary import NAMES

PASTED, UPLOADED, RANDOM = "pasted", "uploaded", "random"
KINDS = (PASTED, UPLOADED, RANDOM)
"""The entries of the problem-set box that are no files; what is shown for each."""

LONGEST_IN_LINK = 4000
"""Characters of a question that a link may hold; ProsQA questions have up to 1,376."""
LONGEST_QUESTION = 100_000
LARGEST_UPLOAD_MB = 20

EXAMPLE = (
    "Tom is a terpus. Every terpus is a brimpus. Tom is a lempus. Every lempus is a rompus. Every rompus is a wumpus. "
    "Every brimpus is a zumpus. Every zumpus is a yumpus. Sally is a gorpus. Every gorpus is a scrompus. "
    "Every scrompus is a felpus. Every wumpus is a jelpus. Is Tom a yumpus or felpus?"
)


def pasted() -> tuple[Problem, Source] | None:
    """Draw the box for a question and read it; None while it is empty."""
    typed = st.session_state.get("question") or ""
    short = len(typed) <= LONGEST_IN_LINK
    text = st.text_area(
        "Question",
        height=260,
        key="question",
        bind="query-params" if short else None,
        persist_state="session",
        max_chars=LONGEST_QUESTION,
        placeholder=EXAMPLE,
        help="One sentence per edge, the question last. The graph is read from the sentences; "
        "target and negative follow from it.",
    ) or ""  # fmt: skip
    st.button("Use an example", on_click=_use_example, type="tertiary")
    if not text.strip():
        st.session_state["to do"] = (
            "**Paste a ProsQA question** into the box at the left and leave the box (Ctrl + Enter)."
        )
        return None
    problem = parse_question(text)
    unlinked = "" if short else f"The question has more than {LONGEST_IN_LINK} characters: too long for a link."
    return problem, Source(
        f"problem = parse_question({text!r})", ("from workbench.problems.prosqa import parse_question",), unlinked
    )


def uploaded() -> tuple[Problem, ...] | None:
    """Draw the upload box and read the file; None while there is none.

    Raises:
        WorkbenchError: The file is no JSON, too large, or one of its problems is faulty.
    """
    file = st.file_uploader(
        "JSON file", type="json", max_upload_size=LARGEST_UPLOAD_MB, key="file",
        help="A list of problems in the official ProsQA format; every one is checked.",
    )  # fmt: skip
    if file is None:
        st.session_state["to do"] = (
            "**Drop a JSON file** with problems in the official ProsQA format into the box at the left."
        )
        return None
    return _read(re.sub(r"[^\w.-]", "_", Path(file.name).name) or "upload.json", file.getvalue())


@st.cache_data(max_entries=4, show_spinner="Checking every problem ...")
def _read(name: str, content: bytes) -> tuple[Problem, ...]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return tuple(load_problems(path))
        except WorkbenchError as error:
            _refuse_words(name, path)
            # The user knows the file by its name, not by where the server put it for a moment.
            parts = (part.replace(f"{folder}/", "") for part in (error.what, error.why, error.do))
            raise WorkbenchError(*parts) from None


def _refuse_words(name: str, path: Path) -> None:
    """Raise WorkbenchError if a file that is no ProsQA holds problems of another task."""
    count = 0
    with suppress(WorkbenchError):
        count = len(load_items(path))
    if count:
        raise WorkbenchError(
            f"{name} holds no graphs.",
            f"Its {count} problems are words alone, as those of ProntoQA and arithmetic are, and the explorer draws "
            "the nodes of a graph.",
            "Upload problems in the official ProsQA format; `workbench evaluate RUN FILE` reads these.",
        )


def random_one() -> tuple[Problem, Source]:
    """Draw the boxes for a random problem and generate it."""
    seed = int(
        st.number_input("Seed", 0, 2**31 - 1, 0, key="seed", bind="query-params", help="Same seed, same problem.")
    )
    hops = int(st.slider("Hops from root to target", 2, MOST_HOPS, 4, key="far", bind="query-params"))
    family = st.selectbox(
        "Kind of graph", ("released", "balanced", "algorithm1"), key="family", bind="query-params",
        help="released: as in the released files. balanced: asked from both roots, so that no query-blind rule helps. "
        "algorithm1: as printed in the paper.",
    )  # fmt: skip
    return _generated(family, seed, hops), Source(
        f"(problem,) = generate({family!r}, 1, seed={seed}, hop_weights={{{hops}: 1.0}})",
        ("from workbench.problems.sets import generate",),
    )


@st.cache_data(max_entries=64, show_spinner="Drawing a problem ...")
def _generated(family: str, seed: int, hops: int) -> Problem:
    (problem,) = generate(family, 1, seed, {hops: 1.0})
    return problem


def _use_example() -> None:
    st.session_state["question"] = EXAMPLE


def strange_names(problem: Problem) -> tuple[str, ...]:
    """Return the problem's names that the bundled vocabulary lacks."""
    return tuple(name for name in problem.names if name not in NAMES)
