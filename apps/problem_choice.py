"""Choosing a problem: from a set, by filters, or one's own."""

from pathlib import Path

import streamlit as st

from apps import caches, own_problem
from apps.first_screen import worth_seeing_first
from apps.view import Run, Source
from apps.words import plural
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.problems.problem import Problem

OUTCOMES = ("any", "right", "wrong")
COUNTS, ALL = (100, 200, 500), "all"
"""How many problems of a set may be taken; the first is usual."""
UNLINKED = (
    "An uploaded file lives in this session only. Put it into a folder that "
    f"{catalog.PROBLEMS_VARIABLE} names, and links will hold it."
)


def choose_problem(run: Run) -> tuple[Problem, Source] | None:
    """Draw the problem boxes; None where something has to be typed or uploaded first.

    Raises:
        WorkbenchError: A set, a file or a question cannot be read.
    """
    name = _choose_set("A bundled set, or a problem of your own: paste a question, upload a file, or draw one.")
    if name == own_problem.PASTED:
        return own_problem.pasted()
    if name == own_problem.RANDOM:
        return own_problem.random_one()
    if name == own_problem.UPLOADED:
        items = own_problem.uploaded()
        return _from_set(items, run, None) if items else None
    file = catalog.problem_sets()[name]
    return _from_set(worth_seeing_first(name, caches.problems(file)), run, file)


def choose_set() -> tuple[tuple[Problem, ...], Source] | None:
    """Draw the boxes of a whole set, its first problems or all; None where it has to be uploaded first.

    Raises:
        WorkbenchError: A set or a file cannot be read, or one problem was chosen where many are needed.
    """
    name = _choose_set("A bundled set, or a file of your own.")
    if name in (own_problem.PASTED, own_problem.RANDOM):
        raise WorkbenchError(
            "One problem is no population.",
            f'The problem set is "{name}": a single problem.',
            "Choose a set at the left, or go to the page Thoughts for this problem.",
        )
    file = None if name == own_problem.UPLOADED else catalog.problem_sets()[name]
    items = own_problem.uploaded() if file is None else caches.problems(file)
    if not items:
        return None
    counts = [*(str(count) for count in COUNTS if count < len(items)), ALL]
    if st.session_state.get("count", ALL) not in counts:  # of a larger set
        del st.session_state["count"]
    count = st.segmented_control(
        f"Problems, of {len(items)}", counts, default=counts[0], required=True, key="count", bind="query-params",
        width="stretch", help="The first of the file, in its order.",
    )  # fmt: skip
    part = "" if count in (ALL, None) else f"[:{count}]"
    path = "YOUR FILE.json" if file is None else catalog.shown(file)
    return items if not part else items[: int(str(count))], Source(
        f"problems = list(load_problems(Path({path!r}))){part}",
        ("from pathlib import Path", "from workbench.problems.files import load_problems"),
        UNLINKED if file is None else "",
    )


def _choose_set(about: str) -> str:
    options = [*catalog.problem_sets(), *own_problem.KINDS]
    return st.selectbox("Problem set", options, key="set", bind="query-params", help=about)


def _from_set(items: tuple[Problem, ...], run: Run, file: Path | None) -> tuple[Problem, Source] | None:
    kept = _filtered(items, run)
    if not kept:
        st.info("No problem of this set passes the filters. Take one of them back.", icon=":material/filter_list_off:")
        return None
    if "open problem" in st.session_state:
        st.session_state["problem"] = st.session_state.pop("open problem")
    if "problem" in st.session_state and st.session_state["problem"] not in kept:
        del st.session_state["problem"]
    st.selectbox(
        f"Problem ({len(kept)} of {len(items)})" if len(kept) < len(items) else f"Problem ({len(items)})",
        kept,
        key="problem",
        bind="query-params",
        help="Type to search the ids. The first one was picked by hand, as worth seeing; the others are as they come.",
    )
    back, browse, on = st.columns([1, 2, 1], gap="small")
    back.button("←", key="back", on_click=_move, args=(kept, -1), help="Previous problem", width="stretch")
    on.button("→", key="on", on_click=_move, args=(kept, 1), help="Next problem", width="stretch")
    if browse.button("Browse", width="stretch", help="All problems of the set in a table"):
        _browse(items, set(kept), caches.known_outcomes(run.path, items, run.thoughts, run.says))
    chosen = st.session_state["problem"]
    problem = next(problem for problem in items if problem.id == chosen)
    if file is None:
        return problem, Source(
            f'problem = next(p for p in load_problems(Path("YOUR FILE.json")) if p.id == {problem.id!r})',
            ("from pathlib import Path", "from workbench.problems.files import load_problems"),
            UNLINKED,
            items,
        )
    return problem, Source(
        f"problem = next(p for p in load_problems(Path({catalog.shown(file)!r})) if p.id == {problem.id!r})",
        ("from pathlib import Path", "from workbench.problems.files import load_problems"),
        problems=items,
    )


def _filtered(items: tuple[Problem, ...], run: Run) -> list[str]:
    about = caches.facts(items)
    lengths = sorted({int(str(row["hops"])) for row in about})
    with st.expander("Filter", icon=":material/filter_list:", key="filter"):
        hops = st.pills(
            "Hops from root to target", lengths, selection_mode="multi", key="hops", bind="query-params",
            help="None chosen means all.",
        )  # fmt: skip
        outcome = st.segmented_control(
            f"Answer after {plural(run.thoughts, 'thought')}", OUTCOMES, default="any", required=True, key="outcome",
            bind="query-params", width="stretch",
            help="The first time, the whole set is answered; that takes some seconds.",
        )  # fmt: skip
        resistant = st.toggle(
            "Shortcut-resistant", key="resistant", bind="query-params",
            help="Only problems where the best query-blind rule (the option farther from its nearest source) "
            "is wrong or cannot tell.",
        )  # fmt: skip
        right: dict[str, bool] = {}
        if outcome in ("right", "wrong"):
            bar = st.empty()
            right = caches.outcomes(
                run.path, items, run.thoughts, run.says,
                lambda done, of: bar.progress(done / of, f"Answering the set: {done} of {of}") and None,
            )  # fmt: skip
            bar.empty()
    return [
        str(row["problem"])
        for row in about
        if (not hops or row["hops"] in hops)
        and (not resistant or row["shortcut-resistant"])
        and (not right or right[str(row["problem"])] == (outcome == "right"))
    ]


def _move(kept: list[str], by: int) -> None:
    here = st.session_state.get("problem")
    place = kept.index(here) if here in kept else 0
    st.session_state["problem"] = kept[(place + by) % len(kept)]


@st.dialog("Problems", width="large")
def _browse(items: tuple[Problem, ...], kept: set[str], right: dict[str, bool]) -> None:
    rows = [row for row in caches.facts(items) if row["problem"] in kept]
    if right:
        rows = [row | {"right": right[str(row["problem"])]} for row in rows]
    more = "" if right else " Filter by right or wrong once, and this table shows which is which."
    st.caption(f"Click the box before a row to open it, a column's head to sort.{more}")
    chosen = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", height=460)
    picked = chosen["selection"]["rows"]
    if picked:
        st.session_state["open problem"] = rows[picked[0]]["problem"]
        st.rerun()
