"""The boxes of the model: the run, a second one beside it, the number of thoughts and the readout."""

from dataclasses import replace
from pathlib import Path

import streamlit as st

from apps import cache, demo, links, widgets
from apps.components.header import PAUSE, apart, method_title
from apps.state import OTHER_TARGET, THOUGHT, TWIN, Run
from apps.text import plain
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.measure.scores import READOUT_TITLES, READOUTS, Readout
from workbench.model.checkpoint import find

LONGER = 2
"""Thoughts may be tried up to so many times the trained number."""

AS_TRAINED, AT_ONCE, IN_WORDS = "trained", "answer", "words"
SAYS = {AT_ONCE: "answer", IN_WORDS: "chain"}
THEN_HELP = (
    "What follows the thoughts. **trained**: what the model was trained to say. **answer**: the answer's opening is "
    "forced at once. **words**: the model says what steps it likes, and its answer at the end counts: so many "
    "thoughts, then language."
)

READOUT_HELP = (
    "**LM head**: softmax of the LM head applied to thought k, read as a statement about hop k.  \n"
    "**forced language**: after k thoughts the next step's opening is forced, and the probability of each name after "
    "it is read; hop k again, and hop 1 for k = 0."
)


def choose_run(*, words: bool = False) -> Run:
    """Draw the box of runs and load the one chosen.

    Args:
        words: Whether a run will do that reads words alone, without a graph.

    Raises:
        WorkbenchError: There is no run, it cannot be loaded, or it reads words alone.
    """
    st.markdown("### Coconut Workbench")
    runs = _runs()
    if not runs:
        open_another()
        raise WorkbenchError(
            "There is no trained model here yet.",
            f"No run was found in {' or '.join(catalog.shown(folder) for folder in catalog.RUN_FOLDERS)}.",
            "Train one with `workbench train configs/first.yaml`, or set "
            f"{catalog.RUNS_VARIABLE} to a folder that holds runs.",
        )
    _accept_former_name("run", runs)
    if "open next" in st.session_state:
        st.session_state["run"] = st.session_state.pop("open next")
    name = st.selectbox(
        "Run", list(runs), key="run", bind="query-params", help="A trained model, or one of its checkpoints."
    )
    return _load(name, runs, words)


BESIDE_HELP = (
    f"Another run or checkpoint on the same problem. Or the same run: on **{TWIN}** (the graph stays, another entity "
    f"is asked about, so that the other option is right), with **{OTHER_TARGET}** (the graph and the entity stay), or "
    "after a fixed number of thoughts."
)


def choose_beside(run: Run) -> tuple[Run | None, str]:
    """Draw the box of what to compare with; return the run chosen, loaded, or in words what else it is.

    Raises:
        WorkbenchError: It cannot be loaded.
    """
    runs = _runs()
    thoughts = [f"{THOUGHT} {k}" for k in range(1, run.checkpoint.thoughts + 1)] if run.checkpoint.thoughts > 1 else []
    same = [TWIN, OTHER_TARGET, *thoughts]
    others = [*same, *(other for other in runs if other not in (run.name, *same))]
    _accept_former_name("beside", runs)
    if st.session_state.get("beside") not in (None, *others):
        st.session_state["beside"] = None
    beside = st.selectbox(
        "Compare with", others, index=None, key="beside", bind="query-params",
        placeholder="Nothing", help=BESIDE_HELP,
    )  # fmt: skip
    if beside in same:
        return None, beside
    return (_load(beside, runs) if beside in runs else None), ""


def choose_count(run: Run) -> Run:
    """Draw the box of the number of thoughts alone and return the run with it set."""
    return replace(run, thoughts=_thoughts("Number of thoughts", "thoughts", run))


def choose_thoughts(run: Run, beside: Run | None) -> tuple[Run, Run | None]:
    """Draw the boxes of thinking and return the runs with them set.

    One number of thoughts for both runs; two where they were trained with different numbers.
    """
    counts = [_thoughts("Number of thoughts", "thoughts", run)] * 2
    if beside is not None and beside.checkpoint.thoughts != run.checkpoint.thoughts:
        counts[1] = _thoughts(f"Thoughts of {plain(beside.name)}", "thoughts_beside", beside)
    then = widgets.segments("After the thoughts", (AS_TRAINED, *SAYS), "then", THEN_HELP, wide=True)
    first, second = (
        replace(one, thoughts=count, says=SAYS.get(then, one.checkpoint.says)) if one else None
        for one, count in zip((run, beside), counts, strict=True)
    )
    assert first is not None
    return first, second


def _thoughts(label: str, key: str, run: Run) -> int:
    trained = run.checkpoint.thoughts
    if trained == 0:
        st.caption(f"{plain(run.name)} was trained without thoughts: it is asked without any.")
        return 0
    most = LONGER * trained
    if st.session_state.get(key, 0) > most:  # of a run that was trained with more
        st.session_state[key] = trained
    thoughts = st.number_input(
        label, 0, most, trained, key=key, bind="query-params",
        help=f"How many continuous thoughts the model thinks, up to twice the {trained} it was trained with.",
    )  # fmt: skip
    if thoughts > trained:
        st.caption(f":orange[Trained with {trained}: thought {trained + 1} and later are beyond its training.]")
    return int(thoughts)


def choose_readout() -> Readout:
    """Draw the choice of readout."""
    titles: dict[str, Readout] = {READOUT_TITLES[readout]: readout for readout in READOUTS}
    return titles[widgets.segments("Readout", list(titles), "readout", READOUT_HELP, wide=True)]


def reads_words(run: Run) -> bool:
    """Return whether a run was trained on a task whose problems are words without a graph."""
    return run.checkpoint.format.name == "words"


def open_another() -> None:
    """Let the user name a folder or a hub model. Only what is typed here is opened, never what a link says.

    A demo opens nothing.
    """
    if demo.on():
        return
    added = _added()
    with st.popover("Open another run …", width="stretch", type="tertiary"):
        source = st.text_input("Folder or hub name", placeholder="runs/mine or organisation/model", key="another run")
        if st.button("Open", disabled=not source.strip()):
            with st.spinner("Fetching …"):
                folder, name = find(source.strip())
            added[name] = folder
            st.session_state["open next"] = name
            st.rerun()
        st.caption("It joins the list for this session. A link to it works only where the list has it too.")


def _accept_former_name(key: str, runs: dict[str, Path]) -> None:
    """Let a link written before a run was renamed open it."""
    given = str(st.query_params.get(key, ""))
    if given not in runs and (name := catalog.run_name(given, runs)) in runs:
        links.accept_names(key, {given: name})


def _runs() -> dict[str, Path]:
    return catalog.runs() | _added()


def _added() -> dict[str, Path]:
    return st.session_state.setdefault("added runs", {})


def _load(name: str, runs: dict[str, Path], words: bool = False) -> Run:
    """Load a run and say below its box which method was chosen in it."""
    run = Run(name, runs[name], cache.checkpoint(runs[name]))
    about = [method_title(run.checkpoint), f"supervision: **{run.checkpoint.supervision}**"]
    if run.checkpoint.fed == "pause" and run.checkpoint.thoughts:
        about.append(f":orange[{PAUSE}]")
    elif apart(run.checkpoint):
        about.append(f":orange[fed: {plain(run.checkpoint.recurrence)}; read: the hidden state before it]")
    if said := "; ".join(part for part in about if part):
        st.caption(said)
    if reads_words(run) and not words:
        raise WorkbenchError(
            f"{run.name} reads no graphs.",
            f"It was trained on {run.checkpoint.meta.get('task', 'a task')}, whose problems are words alone, and this "
            "page draws the nodes of a graph.",
            "See its problems on the page Steps, or choose another run. How it was trained is on the page Training.",
        )
    return run
