"""The tabs below the picture: words, raw LM head, search tree, lens, node by node, the code, downloads."""

from collections.abc import Callable, Sequence
from functools import partial

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import cache, code_export, links, widgets
from apps.components.layers import cell_buttons, cell_clicked, chosen_cell
from apps.components.picture import VALUES, clicked, continuation_table
from apps.errors import in_words
from apps.state import OTHER_TARGET, TWIN, Reading, Run, View
from apps.text import no_thoughts, plain, plural
from workbench.figures import node_curve, thought_strip, token_frame, token_table
from workbench.figures.layers import problem_lens
from workbench.figures.thoughts import search_tree
from workbench.measure import trace
from workbench.measure.arrays import Trace
from workbench.measure.effects import class_differences
from workbench.measure.recording import control
from workbench.measure.run_labels import CONTROLS, MODEL, title
from workbench.measure.scores import node_scores, node_values
from workbench.measure.search_tree import search_tree_frame, spell
from workbench.measure.splits import others
from workbench.model.lens import residual_streams
from workbench.problems.networks import GraphFormat, graph_bytes
from workbench.problems.problem import Problem
from workbench.readings.lenses import RAW, TUNED, Fitted, TunedLens, fit_lens, for_all, read_lenses

TREE = "Search tree"
STEP_BY_STEP, AT_ONCE = "as many thoughts as its depth", "the thoughts chosen above"
TREE_HELP = (
    "The published figures read each layer of the tree after as many thoughts as stand for its depth. Read after the "
    "same number, the layers show where the whole of the value is at one moment."
)
OF_ONE_PROBLEM = ("untrained", "pause", "noise")
"""Controls that need no other problem."""
CONTROLS_HELP = "Runs that should not show what the model shows, in the hover and in the table:\n\n" + "\n\n".join(
    f"**{CONTROLS[name].title}**: {CONTROLS[name].what}" for name in OF_ONE_PROBLEM
)
GRAPH_FILES: dict[GraphFormat, tuple[str, str]] = {
    "graphml": ("GraphML", "application/xml"),
    "json": ("Node-link JSON", "application/json"),
}
"""Formats of the graph: label and media type."""
LENSES = {"logit lens": RAW, "tuned lens": TUNED}
LENS_HELP = (
    "**logit lens**: the final norm and the LM head applied to the residual stream at each layer, as it is.  \n"
    "**tuned lens**: an affine translator for each layer comes first, fitted so that the layer says what the last one "
    "says; on other graphs than this one. It is fitted on the spot the first time, which takes some seconds."
)


def draw(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    """Draw the tabs."""
    tabs = st.tabs(list(TABS), key="below", bind="query-params", on_change="rerun")
    for tab, draw_one in zip(tabs, TABS.values(), strict=True):
        if tab.open:  # what is not seen is not computed
            with tab, in_words():
                draw_one(view, readings, depths, concept)


def depends() -> bool:
    """Return whether the tab that is open depends on the number of thoughts."""

    def asked(box: str, usual: str) -> str:
        return st.session_state.get(box, st.query_params.get(box, usual))  # what is not drawn yet is in the address

    tab = asked("below", next(iter(TABS)))
    return tab not in THE_SAME and not (tab == TREE and asked("tree", STEP_BY_STEP) == STEP_BY_STEP)


def _each(
    readings: Sequence[Reading],
    depths: Sequence[int],
    draw_one: Callable[[Reading, int, str], None],
    moves: bool = False,
) -> None:
    """Draw something of each reading: told the reading, its number of thoughts and a key, under its name.

    What does not depend on the number of thoughts is drawn once of a run that is compared with itself.
    """
    pairs = [(one, depth) for one, depth in zip(readings, depths, strict=True) if moves or one.fixed is None]
    for reading, depth in pairs:
        if len(pairs) > 1:
            st.markdown(f"**{plain(reading.name)}**")
        draw_one(reading, depth, reading.name)


def _words(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    st.caption(
        "After k thoughts the next step's opening is forced and the model goes on greedily. A red ✗ marks a step "
        "that is no edge, and a wrong answer. Categories: Coconut (v3), section 4."
    )
    _each(readings, depths, lambda reading, depth, key: continuation_table(reading, f"words-{key}"))


def _head(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    _each(readings, depths, _tokens, moves=True)


def _tokens(reading: Reading, depth: int, key: str) -> None:
    chart, problem = f"tokens-{key}", reading.trace.graph_problem
    if not reading.trace.top_tokens:
        st.caption("There is no thought here that the LM head could read.")
        return
    widgets.chart(token_table(reading.trace, depth), chart, clicked(chart, problem))
    with st.container(horizontal=True):
        widgets.download_figure(lambda: token_table(reading.trace, depth), f"tokens-{problem.id}", f"save-{chart}")
        widgets.download_table(token_frame(reading.trace), f"tokens-{problem.id}", f"table-{chart}")


def _nodes(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    first, depth = readings[0], depths[0]
    columns = ["name", "role", "class", "hop", "height_longest", "height_shortest", "chance"]
    frame = first.scores.to_frame().filter(pl.col("thought") == depth)
    if len(readings) == 1:
        frame, sorted_by = frame.select([*columns, "raw", "value", "rank"]), "value"
    else:
        other = readings[1].scores.to_frame().filter(pl.col("thought") == depths[1]).select("node", "value")
        frame, sorted_by = frame.join(other, on="node", how="left", suffix=" beside").select(
            *columns,
            pl.col("value").alias(first.name),
            pl.col("value beside").alias(readings[1].name),
            (pl.col("value") - pl.col("value beside")).alias("difference"),
        ), "difference"  # fmt: skip
    frame = frame.sort(sorted_by, descending=True, nulls_last=True)
    settings = VALUES | {
        name: st.column_config.NumberColumn(format="%.4f") for name in (*(r.name for r in readings), "difference")
    }
    after = " and ".join(plural(one, "thought") for one in dict.fromkeys(depths))
    st.caption(f"Values after {after}, sorted; a column's head sorts otherwise.")
    widgets.table(frame, f"nodes-{view.problem.id}-{depth}", "nodes", settings, height=420)
    if len(readings) > 1 and len(view.source.problems) > 1:
        _on_set(view, readings, depths)


MANY = 100
"""Problems of the set over which two readings are compared."""


def _on_set(view: View, readings: Sequence[Reading], depths: Sequence[int]) -> None:
    """Draw the same comparison over many problems of the set, by classes of nodes, or the button that asks for it."""
    items = view.source.problems[:MANY]
    runs = [reading.run for reading in readings]
    key = (
        *((cache.fingerprint(run.path), run.thoughts) for run in runs), cache.set_key(items), view.against,
        *(reading.scores.readout for reading in readings), *depths,
    )  # fmt: skip
    frame = cache.known("differences", key)
    label = f"The same over {plural(len(items), 'problem')} of the set"
    if frame is None:
        if not st.button(label, key="differences", icon=":material/play_arrow:", help=DIFFERENCES_HELP):
            return
        if all(view.other_question(problem) is None for problem in items):
            st.caption("No problem of the set has such a question beside it.")
            return
        bar = st.progress(0.0, "Running the first reading ...")
        frame = cache.kept("differences", key, lambda: _differences(view, readings, depths, items, bar.progress))
        bar.empty()
    first, second = (plain(reading.name.split(", asked")[0]) for reading in readings)
    other = f"{second}, {view.against}" if view.against in (TWIN, OTHER_TARGET) else plain(readings[1].name)
    st.caption(
        f"Raw mass by class of nodes: {first} less {other}; paired by problem, intervals of 95 % over graphs; "
        f"{int(frame['problems'].max())} of {plural(len(items), 'problem')} have both."
    )
    names = {"first": first, "second": other}
    settings = {
        name: st.column_config.NumberColumn(names.get(name, name), format="%.3f")
        for name in ("first", "second", "difference", "low", "high", "chance")
    }
    widgets.table(frame, f"differences-{view.source.problems[0].id}", "differences-table", settings, height=220)


def _differences(
    view: View,
    readings: Sequence[Reading],
    depths: Sequence[int],
    items: Sequence[Problem],
    progress: Callable[[float, str], object],
) -> pl.DataFrame:
    """Return the differences over a set (`effects.class_differences`)."""
    asked = {problem.id: other for problem in items if (other := view.other_question(problem)) is not None}
    own = [problem for problem in items if problem.id in asked]
    sides = []
    for place, problems in enumerate((own, [asked[problem.id] for problem in own])):
        run = readings[place].run
        found = trace.run(run.checkpoint, problems, run.thoughts, continuations=False)
        scores = []
        for one in found:
            scores.append(node_scores(one, readings[place].scores.readout))
            done = (place * len(own) + len(scores)) / (2 * len(own))
            progress(done, f"{len(scores)} of {len(own)} problems, reading {place + 1} of 2")
        sides.append(scores)
    return class_differences([(one, depths[0], other, depths[1]) for one, other in zip(*sides, strict=True)])


DIFFERENCES_HELP = (
    "One problem has no interval. This asks the same of many problems of the set and gives the mean mass on each class "
    "of nodes at the hop, the difference, and its interval of 95 %."
)


def _code(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    st.caption(code_export.CAPTION)
    st.code(code_export.thoughts(view, readings, depths, concept), language="python")


def _downloads(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    from apps.view_file import view_file  # plotly's own code, which no other part of the page needs

    note = st.text_area(
        "Note", key="note", max_chars=LONGEST_NOTE, height=80,
        placeholder="What you see here, for whoever opens the file",
        help="It stands at the top of the file, and is kept nowhere else.",
    )  # fmt: skip
    address = [(name, value) for name in st.query_params for value in st.query_params.get_all(name)]
    widgets.download(
        "This view as one HTML file",
        lambda: view_file(view, readings, depths, concept, note or "", address),
        f"view-{view.problem.id}.html", "text/html", "save-view",
        "All thoughts with their graphs and sentences, your note, the code and the link; opens offline (5 MB)",
    )  # fmt: skip
    _each(readings, depths, lambda reading, depth, key: _save(reading, depth, concept, key))


def _save(reading: Reading, depth: int, concept: str, key: str) -> None:
    problem, scores = reading.trace.graph_problem, reading.scores
    node = problem.names.index(concept)
    with st.container(horizontal=True):
        widgets.download_figure(
            lambda: thought_strip(scores, depth=depth), f"mass-{problem.id}", f"save-strip-{key}", "Mass by thought"
        )
        widgets.download_figure(
            lambda: node_curve(scores, node, depth=depth), f"{concept}-{problem.id}", f"save-curve-{key}",
            "Concept over thoughts",
        )  # fmt: skip
        widgets.download_table(scores.to_frame(), f"scores-{problem.id}-{scores.readout}", f"save-scores-{key}")
        for form, (label, mime) in GRAPH_FILES.items():
            widgets.download(
                label, partial(lambda form: graph_bytes(problem, form, node_values(scores)), form),
                f"{problem.id}.{form}", mime, f"save-graph-{form}-{key}",
                "The problem's graph with all scores, for other tools",
            )  # fmt: skip
    st.caption("The table holds every node at every thought, with class, hop, heights, value, rank and chance.")


LONGEST_NOTE = 4000


# The search tree with its values


def _tree(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    st.caption(
        "All paths from the root. After its thoughts the next step's opening is forced, and the value of a node is the "
        "product of the probabilities of its name's tokens: hover over a node for opening, tokens and product "
        "(Coconut v3, figures 5 and 7). A click chooses the concept."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        when = widgets.segments("Each layer is read after", (STEP_BY_STEP, AT_ONCE), "tree", TREE_HELP)
        beside = st.toggle("Controls", key="tree_controls", bind="query-params", help=CONTROLS_HELP)
        links.deeper(
            "Heights in the whole set", "height",
            "Height against value over many problems, both heights, with a rank correlation and its controls.",
        )  # fmt: skip
    at_once = when == AT_ONCE
    _each(
        readings, depths,
        lambda reading, depth, key: _one_tree(reading, depth if at_once else None, beside, key), moves=at_once,
    )  # fmt: skip


def _one_tree(reading: Reading, thoughts: int | None, beside: bool, name: str) -> None:
    run, problem = reading.run, reading.problem
    if not run.thoughts:
        st.caption(
            f":orange[{plain(run.name)} thinks no thoughts here: there is only what it would name in its first step.]"
        )
    key = cache.run_key(run, problem)
    spelled = cache.kept(
        "tree", key, lambda: spell(run.checkpoint, problem, run.thoughts), "Spelling every node ..."
    )  # fmt: skip
    controls = {}
    if beside:
        controls = cache.kept("tree controls", key, lambda: _tree_controls(run, problem), "Running the controls ...")
    frame = search_tree_frame(problem, spelled, thoughts=thoughts, controls=controls)
    chart = f"tree-{name}"
    widgets.figure(lambda: search_tree(frame), chart, f"tree-{problem.id}", clicked(chart, problem, place=1))
    shown = _tree_numbers(frame)
    controls_shown = [title(name) for name in frame["run"].unique() if name != MODEL]
    columns = {
        name: st.column_config.NumberColumn(format="%.4f") for name in ("value", "chance", *controls_shown)
    }  # fmt: skip
    widgets.table(shown, f"tree-{problem.id}", f"table-{chart}", columns, height=320)
    if beside and len(controls) < len(OF_ONE_PROBLEM):
        st.caption("Controls that would be the run itself are left out.")


def _tree_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the tree as a table: what was forced, each token's probability, the product, and the controls' values."""
    shown = frame.filter((pl.col("run") == MODEL) & (pl.col("layer") > 0)).select(
        "layer", "node", "name", "role", "thoughts", "prefix", pl.col("tokens").list.join(" | "),
        pl.col("probabilities").list.eval(pl.element().round(4).cast(pl.String)).list.join(" × "),
        "value", "chance", "height_longest", "height_shortest", "reaches_target",
    )  # fmt: skip
    for name in frame.filter(pl.col("run") != MODEL)["run"].unique(maintain_order=True):
        other = frame.filter(pl.col("run") == name).select("layer", "node", pl.col("value").alias(title(name)))
        shown = shown.join(other, on=["layer", "node"], how="left")
    return shown.drop("node")


def _tree_controls(run: Run, problem: Problem) -> dict[str, Trace]:
    found = {}
    for name in OF_ONE_PROBLEM:
        # Without thoughts nothing is fed, and a run of pauses is its own control.
        if name != "untrained" and (not run.thoughts or (name == "pause" and run.checkpoint.fed == "pause")):
            continue
        ran, interventions = control(run.checkpoint, name)
        found[name] = next(
            trace.run(ran, [problem], run.thoughts, continuations=False, interventions=interventions)
        )  # fmt: skip
    return found


# The lens over layers


def _lens(view: View, readings: Sequence[Reading], depths: Sequence[int], concept: str) -> None:
    st.caption(
        "Column k is where thought k was fed, layer by layer upwards. Through the layers its mass moves from hop k, of "
        "which the thought speaks, to hop k + 1, of which the next one does. Read by TransformerLens; hover for chance."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        which = LENSES[widgets.segments("Lens", list(LENSES), "lens", LENS_HELP)]
        links.deeper("The whole set", "lens_layers", "Both lenses over many problems, with intervals and controls.")
    items = view.source.problems or (view.problem,)
    _each(readings, depths, lambda reading, depth, key: _one_lens(reading, items, which))


def _one_lens(reading: Reading, items: Sequence[Problem], lens: str) -> None:
    run, problem = reading.run, reading.problem
    if not run.thoughts:
        st.info(no_thoughts(run.name, "there is no column to read"), icon=":material/block:")
        return
    fitted, note = _fitted(run, problem, items) if lens == TUNED else ((), "")
    frame = read_lenses(cache.recording(run, problem), fitted).filter(pl.col("lens") == lens)
    key = f"lens-{reading.name}"

    def make() -> go.Figure:
        return problem_lens(frame, problem.id, lens, chosen=chosen_cell(reading))

    widgets.chart(make(), key, cell_clicked(key))
    cell_buttons(reading, key)
    if note:
        st.caption(note)
    widgets.download_figure(make, f"{lens.split()[0]}-lens-{problem.id}", f"save-{key}")
    shown = frame.drop("run", "lens")
    widgets.table(shown, f"lens-{problem.id}", f"table-{key}", widgets.numbers(frame), height=320)


def _fitted(run: Run, problem: Problem, items: Sequence[Problem]) -> tuple[Fitted, str]:
    """Return a tuned lens that may read the problem, fitting it where that has not been done, and what it rests on."""
    apart, source = others(run.checkpoint, items, problem)

    def make() -> TunedLens:
        bar = st.progress(0.0, "Fitting the tuned lens ...")

        def told(_: str, done: int) -> None:
            bar.progress(0.8 * done / len(apart), f"Fitting the tuned lens: {done} of {len(apart)} problems run")

        residual = residual_streams(run.checkpoint, apart, run.thoughts, on_progress=cache.counting("", told))
        bar.progress(0.8, "Fitting the tuned lens: the translators ...")
        lens = fit_lens(run.checkpoint, residual)
        bar.empty()
        return lens

    lens = cache.kept("tuned lens", (cache.fingerprint(run.path), run.thoughts, cache.set_key(apart)), make)
    return for_all(lens, 1), f"Fitted on {plural(len(apart), 'problem')} on other graphs: {source}."


TABS: dict[str, Callable[[View, Sequence[Reading], Sequence[int], str], None]] = {
    "After each thought, in words": _words,
    "Raw LM head": _head,
    TREE: _tree,
    "Lens over layers": _lens,
    "Node by node": _nodes,
    "Code": _code,
    "Downloads": _downloads,
}
"""The tabs by title, in order. Another figure about one problem is a function with this signature and a line here:
told the view, what was read for it (one run or two), after how many thoughts of each, and the concept chosen."""
THE_SAME = ("After each thought, in words", "Lens over layers")
"""Of these, the ones that show all thoughts at once."""
