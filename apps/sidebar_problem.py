"""The boxes of the problem: from a set, by filters, or of one's own: pasted, uploaded or drawn at random.

What was typed stays, whatever is wrong with it.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from apps import cache, demo, widgets
from apps.state import Run, Source
from apps.text import plural
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.problems.files import load_items, load_problems
from workbench.problems.graph import structure
from workbench.problems.problem import Item, Problem
from workbench.problems.prosqa import parse_question
from workbench.problems.sets import MOST_HOPS, generate
from workbench.problems.uploads import Sound

FIRST = {"released": "released-194"}
"""Problem set to the id of the problem that is open first, picked by hand: the reference model is right, the best
query-blind rule is not, and hops 1 to 3 have three, four and five nodes."""
FEWEST_HOPS, FEWEST_ON_FRONTIER = 4, 2
"""Where none was picked for a set: the first problem with so many hops, and so many nodes on each frontier before the
target."""
OUTCOMES = ("any", "right", "wrong")
COUNTS, ALL = (100, 200, 500), "all"
"""How many problems of a set may be taken; the first is usual."""
UNLINKED = (
    "An uploaded file lives in this session only. Put it into a folder that "
    f"{catalog.PROBLEMS_VARIABLE} names, and links will hold it."
)
NO_FILE = "YOUR FILE.json"

PASTED, UPLOADED, RANDOM = "pasted", "uploaded", "random"
OWN = (PASTED, UPLOADED, RANDOM)
"""The entries of the problem-set box that are no files."""
LONGEST_IN_LINK = 4000
"""Characters of a question that a link may hold; ProsQA questions have up to 1,376."""
LONGEST_QUESTION = 100_000
LARGEST_UPLOAD_MB = 20
EXAMPLE = (
    "Tom is a terpus. Every terpus is a brimpus. Tom is a lempus. Every lempus is a rompus. Every rompus is a wumpus. "
    "Every brimpus is a zumpus. Every zumpus is a yumpus. Sally is a gorpus. Every gorpus is a scrompus. "
    "Every scrompus is a felpus. Every wumpus is a jelpus. Is Tom a yumpus or felpus?"
)


def choose_problem(run: Run) -> tuple[Problem, Source] | None:
    """Draw the problem boxes; None where something has to be typed or uploaded first.

    Raises:
        WorkbenchError: A set, a file or a question cannot be read.
    """
    name = _choose_set("A bundled set, or a problem of your own: paste a question, upload a file, or draw one.")
    if name == PASTED:
        return _pasted()
    if name == RANDOM:
        return _random()
    if name == UPLOADED:
        items = upload()
        return _from_set(items, run, None) if items else None
    file = catalog.problem_sets()[name]
    return _from_set(_telling_first(name, cache.problems(file)), run, file)


def choose_set() -> tuple[tuple[Problem, ...], Source] | None:
    """Draw the boxes of a whole set, its first problems or all; None where it has to be uploaded first.

    Raises:
        WorkbenchError: A set or a file cannot be read, or one problem was chosen where many are needed.
    """
    name = _choose_set("A bundled set, or a file of your own.")
    if name in (PASTED, RANDOM):
        raise WorkbenchError(
            "One problem is no population.",
            f'The problem set is "{name}": a single problem.',
            "Choose a set at the left, or go to the page Thoughts for this problem.",
        )
    file = None if name == UPLOADED else catalog.problem_sets()[name]
    items = upload() if file is None else cache.problems(file)
    if not items:
        return None
    counts = [*(str(count) for count in COUNTS if count < len(items)), ALL]
    if demo.on() and len(items) > demo.MOST_PROBLEMS:
        counts = [str(demo.MOST_PROBLEMS)]
    widgets.settle("count", counts)  # of a larger set
    count = widgets.segments(
        f"Problems, of {len(items)}", counts, "count", "The first of the file, in its order.", wide=True
    )
    many = "" if count == ALL else f", {count}"
    source = Source(f"problems = wb.load_problems({_shown(file)!r}{many})", "" if file else UNLINKED)
    return items if count == ALL else items[: int(count)], source


def open_set() -> Path | None:
    """Return the file of the set that the box shows, None where it is no file."""
    return catalog.problem_sets().get(str(st.session_state.get("set")))


def say_what_to_do() -> None:
    """Say what has to be typed or uploaded where there is no problem yet."""
    st.info(st.session_state.pop("to do", "Choose a problem at the left."), icon=":material/arrow_back:")


def _choose_set(about: str) -> str:
    return st.selectbox(
        "Problem set", [*catalog.problem_sets(), *(own for own in OWN if own != UPLOADED or not demo.on())],
        key="set", bind="query-params", help=about,
    )  # fmt: skip


def _shown(file: Path | None) -> str:
    return NO_FILE if file is None else catalog.shown(file)


def _telling_first(name: str, items: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems with one that shows much in front, the others in their order."""
    picked = next((problem for problem in items if problem.id == FIRST.get(name)), None)
    first = picked or next((problem for problem in items if _telling(problem)), items[0])
    return (first, *(problem for problem in items if problem.id != first.id))


def _telling(problem: Problem) -> bool:
    about = structure(problem)
    frontiers = [list(about.hops).count(hop) for hop in range(1, about.length)]
    return about.length >= FEWEST_HOPS and min(frontiers) >= FEWEST_ON_FRONTIER


# One of a set


def _from_set(items: tuple[Problem, ...], run: Run, file: Path | None) -> tuple[Problem, Source] | None:
    ids = _filtered(items, run)
    if not ids:
        st.info("No problem of this set passes the filters. Take one of them back.", icon=":material/filter_list_off:")
        return None
    if "open problem" in st.session_state:
        st.session_state["problem"] = st.session_state.pop("open problem")
    widgets.settle("problem", ids)
    st.selectbox(
        f"Problem ({len(ids)} of {len(items)})" if len(ids) < len(items) else f"Problem ({len(items)})",
        ids, key="problem", bind="query-params",
        help="Type to search the ids. The first one was picked by hand, as worth seeing; the others are as they come.",
    )  # fmt: skip
    back, browse, on = st.columns([1, 2, 1], gap="small")
    back.button("←", key="back", on_click=_move, args=(ids, -1), help="Previous problem", width="stretch")
    on.button("→", key="on", on_click=_move, args=(ids, 1), help="Next problem", width="stretch")
    if browse.button("Browse", width="stretch", help="All problems of the set in a table"):
        _browse(items, set(ids), cache.known_outcomes(run, items))
    chosen = st.session_state["problem"]
    problem = next(problem for problem in items if problem.id == chosen)
    code = f"problem = next(one for one in wb.load_problems({_shown(file)!r}) if one.id == {problem.id!r})"
    return problem, Source(code, "" if file else UNLINKED, items)


def _filtered(items: tuple[Problem, ...], run: Run) -> list[str]:
    about = cache.facts(items)
    lengths = sorted({int(str(row["hops"])) for row in about})
    with st.expander("Filter", icon=":material/filter_list:", key="filter"):
        hops = st.pills(
            "Hops from root to target", lengths, selection_mode="multi", key="hops", bind="query-params",
            help="None chosen means all.",
        )  # fmt: skip
        outcome = "any" if demo.on() and len(items) > demo.MOST_PROBLEMS else widgets.segments(
            f"Answer after {plural(run.thoughts, 'thought')}", OUTCOMES, "outcome",
            "Bundled runs: known on released and small. Else the set is answered: some seconds.", wide=True,
        )  # fmt: skip
        resistant = st.toggle(
            "A simple rule fails", key="resistant", bind="query-params",
            help="Only problems where a query-blind rule (the option farther from its nearest source) "
            "is wrong or cannot tell.",
        )  # fmt: skip
        right: dict[str, bool] = {}
        if outcome != "any":
            bar = st.empty()

            def tell(done: int, of: int) -> None:
                bar.progress(done / of, f"Answering the set: {done} of {of}")

            right = cache.outcomes(run, items, tell)
            bar.empty()
    return [
        str(row["problem"])
        for row in about
        if (not hops or row["hops"] in hops)
        and (not resistant or row["shortcut-resistant"])
        and (not right or right[str(row["problem"])] == (outcome == "right"))
    ]


def _move(ids: list[str], by: int) -> None:
    here = st.session_state.get("problem")
    place = ids.index(here) if here in ids else 0
    st.session_state["problem"] = ids[(place + by) % len(ids)]


@st.dialog("Problems", width="large")
def _browse(items: tuple[Problem, ...], ids: set[str], right: dict[str, bool]) -> None:
    rows = [row for row in cache.facts(items) if row["problem"] in ids]
    if right:
        rows = [row | {"right": right[str(row["problem"])]} for row in rows]
    more = "" if right else " Filter by right or wrong once, and this table shows which is which."
    st.caption(f"Click the box before a row to open it, a column's head to sort.{more}")
    chosen = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", height=460)
    picked = chosen["selection"]["rows"]
    if picked:
        st.session_state["open problem"] = rows[picked[0]]["problem"]
        st.rerun()


# One's own


def _pasted() -> tuple[Problem, Source] | None:
    """Draw the box for a question and read it; None while it is empty."""
    typed = st.session_state.get("question") or ""
    short = len(typed) <= LONGEST_IN_LINK
    text = st.text_area(
        "Question",
        height=260,
        key="question",
        bind="query-params" if short else None,
        persist_state="session",
        max_chars=demo.LONGEST_QUESTION if demo.on() else LONGEST_QUESTION,
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
    return problem, Source(f"(problem,) = wb.load_problems({text.strip()!r})", unlinked)


def _use_example() -> None:
    st.session_state["question"] = EXAMPLE


def upload() -> tuple[Problem, ...] | None:
    """Draw the upload box for problems with graphs and read the file; None while there is none.

    Raises:
        WorkbenchError: The file is no JSON, too large, or one of its problems is faulty.
    """
    return _upload(read_upload, ["json"], "problems in the official ProsQA format")


def upload_items() -> tuple[Item, ...] | None:
    """Draw the upload box for problems in words and read the file; None while there is none.

    Raises:
        WorkbenchError: The file is none of those that docs/tasks.md names, too large, or a problem is faulty.
    """
    kinds = "problems of ProntoQA, arithmetic, GSM8k or your own (question, steps, answer)"
    return _upload(lambda name, content: _read(name, content, load_items), ["json", "jsonl", "txt"], kinds)


def _upload(read: Callable[[str, bytes], tuple[Sound, ...]], types: list[str], holds: str) -> tuple[Sound, ...] | None:
    file = st.file_uploader(
        "File", type=types, max_upload_size=LARGEST_UPLOAD_MB, key="file",
        help=f"A list of {holds}; every one is checked.",
    )  # fmt: skip
    if file is None:
        st.session_state["to do"] = f"**Drop a file** with {holds} into the box at the left."
        return None
    # The end of a long name keeps its kind; no file system takes more than 255 bytes, and a letter is up to four.
    name, content = re.sub(r"[^\w.-]", "_", Path(file.name).name)[-60:] or "upload.json", file.getvalue()
    key = (*types, name, sha256(content).hexdigest())
    return cache.kept("uploaded", key, lambda: read(name, content), "Checking every problem ...")


def read_upload(name: str, content: bytes) -> tuple[Problem, ...]:
    """Return the problems of an uploaded file.

    Raises:
        WorkbenchError: It holds none, or a faulty one.
    """
    return _read(name, content, load_problems)


def _read(name: str, content: bytes, load: Callable[[Path], list[Sound]]) -> tuple[Sound, ...]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return tuple(load(path))
        except WorkbenchError as error:
            if load is load_problems:
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
            f"Its {count} problems are words alone, as those of ProntoQA and arithmetic are, and this page draws "
            "the nodes of a graph.",
            "Upload them on the page Steps, or problems in the official ProsQA format here.",
        )


def _random() -> tuple[Problem, Source]:
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
    (problem,) = cache.kept(
        "generated", (family, seed, hops), lambda: generate(family, 1, seed, {hops: 1.0}), "Drawing a problem ..."
    )
    code = f"(problem,) = wb.generate_problems({family!r}, 1, seed={seed}, hops={{{hops}: 1.0}})"
    return problem, Source(code)
