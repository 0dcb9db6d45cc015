"""The picture of one problem after k thoughts: its graph with attention, the concept chosen, what is said.

What depends on the number of thoughts is drawn for each of them (`stepper.Steps`); the browser shows one.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Literal, TypeVar

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from apps import cache, widgets
from apps.components.header import method_badges
from apps.components.layers import attention_button
from apps.components.stepper import Steps
from apps.state import Reading, View, comparable
from apps.text import code, plain, plural
from workbench.figures import node_curve, problem_graph, thought_strip
from workbench.figures.graph import EdgeAttention
from workbench.measure.behaviour import Behaviour, classify, parse_continuation
from workbench.measure.scores import NOISE_MASS, NodeScores, statistics
from workbench.measure.trace import Trace
from workbench.problems.english import is_a
from workbench.problems.problem import Problem

Option = TypeVar("Option", int, str)

SIDE, DIFFERENCE = "side by side", "difference"
ALL_HEADS = "all"
TARGET_BEFORE = "target before"
"""Key in the session of the target of the problem that was shown before."""
FEW = 8
"""So many layers or heads stand side by side; more are in a list."""
ATTENTION_HELP = (
    "Draws on every edge how much the slot of thought k attends to its sentence: that is where thought k is fed, and "
    "what is read there makes thought k + 1 (after the last thought, the answer). TransformerLens reads it; the first "
    "time takes some seconds."
)

Colour = Literal["green", "blue", "orange", "red", "gray"]
COLOURS: dict[Behaviour, Colour] = {
    Behaviour.CORRECT_PATH: "green",
    Behaviour.LONGER_PATH: "blue",
    Behaviour.CORRECT_LABEL: "green",
    Behaviour.WRONG_TARGET: "orange",
    Behaviour.INCORRECT_LABEL: "orange",
    Behaviour.HALLUCINATION: "red",
    Behaviour.INVALID_FORMAT: "gray",
}
MEANINGS = {
    Behaviour.CORRECT_PATH: "A shortest path to the target, or the rest of one, and the right answer.",
    Behaviour.LONGER_PATH: "A valid path to the target that is not a shortest one, and the right answer.",
    Behaviour.CORRECT_LABEL: "An answer alone, without steps: the right one.",
    Behaviour.WRONG_TARGET: "A valid path, but it or the answer after it ends somewhere other than the target.",
    Behaviour.INCORRECT_LABEL: "An answer alone, without steps: a wrong one.",
    Behaviour.HALLUCINATION: "A step that is no edge, steps that do not join, or a beginning that no path reaches.",
    Behaviour.INVALID_FORMAT: "Neither steps nor an answer of the right form.",
}
"""Coconut (arXiv 2412.06769, v3), section 4; shown as help."""


def draw(view: View, readings: Sequence[Reading], steps: Steps) -> str:
    """Draw the picture of one run or two after each number of thoughts; return the concept chosen."""
    for reading in readings:
        if reading.scores.readout != view.readout:
            st.caption(
                f":orange[{plain(reading.run.name)} thinks no thoughts here, so the LM head has none to read: its "
                "forced language is shown, what it would name in its first step.]"
            )
    return _two(view, readings, steps) if len(readings) > 1 else _one(view, readings[0], steps)


def depths_of(readings: Sequence[Reading], depth: int) -> list[int]:
    """Return how many of its own thoughts to show of each reading beside `depth` of the one with the most."""
    leader = max(readings, key=lambda reading: len(reading.scores.depths))
    return [reading.depth_beside(leader, depth) for reading in readings]


def _one(view: View, reading: Reading, steps: Steps) -> str:
    steps.text(lambda depth: sentence(reading, depth))
    left, right = st.container(key="picture").columns([1.3, 1], gap="medium")  # one below the other where it is narrow
    with right:
        steps.text(lambda depth: numbers(reading, depth))
        steps.text(lambda depth: continuation(reading, depth))
        concept = choose_concept(view.problem)
        steps.later(partial(_concept, reading, concept, "only"))
    with left:
        _graph([reading], 0, steps, concept, "only", drawn=_choose_attention([reading]))
        steps.later(partial(_strip, reading, "only"))
    return concept


def _two(view: View, readings: Sequence[Reading], steps: Steps) -> str:
    top = st.columns([1, 1], vertical_alignment="bottom", gap="medium")
    with top[0]:
        concept = choose_concept(view.problem)
    with top[1]:
        picture = _choose_picture(readings, depths_of(readings, steps.here))
    drawn = None if picture == DIFFERENCE else _choose_attention(readings)
    if picture == DIFFERENCE:
        _graph(readings, 0, steps, concept, "difference", less=True)
    widgets.level_figures()
    if picture != DIFFERENCE:
        widgets.one_legend()
    columns = st.container(key="pictures").columns(2, gap="medium")
    for column, (place, reading) in zip(columns, enumerate(readings), strict=True):
        with column:
            key = reading.name

            def own(depth: int, place: int = place) -> int:
                return depths_of(readings, depth)[place]

            st.markdown(f"#### {plain(key)}")
            method_badges(reading.run.checkpoint)
            steps.text(lambda depth, reading=reading, own=own: sentence(reading, own(depth)))
            steps.text(lambda depth, reading=reading, own=own: numbers(reading, own(depth)))
            if picture != DIFFERENCE:
                _graph(readings, place, steps, concept, key, drawn=drawn)
            steps.text(lambda depth, reading=reading, own=own: continuation(reading, own(depth)))
            steps.later(partial(_concept, reading, concept, key, [other.scores for other in readings]))
            steps.later(partial(_strip, reading, key))
    return concept


def _choose_picture(readings: Sequence[Reading], depths: Sequence[int]) -> str:
    if not comparable(readings, depths):
        st.session_state.pop("picture", None)
        st.caption(
            "Side by side only: here the two are read after different numbers of thoughts, or by another readout."
        )
        return SIDE
    first, second = (plain(reading.name) for reading in readings)
    return choose_picture(f"difference: values of {first} less those of {second}.")


def choose_picture(about: str) -> str:
    """Draw the choice between two graphs side by side and their difference."""
    widgets.settle("picture", (SIDE, DIFFERENCE))
    return widgets.segments("Graph", (SIDE, DIFFERENCE), "picture", about)


def _graph(
    readings: Sequence[Reading],
    place: int,
    steps: Steps,
    concept: str,
    key: str,
    drawn: "Attention | None" = None,
    less: bool = False,
) -> None:
    reading = readings[place]
    problem, node = reading.problem, reading.problem.names.index(concept)
    about = tuple(
        (cache.run_key(one.run, one.problem), one.scores.readout) for one in (readings if less else [reading])
    )

    def make(depth: int) -> go.Figure:
        depths, arrows = depths_of(readings, depth), None
        own = depths[place]
        if drawn:
            arrows = _read_attention(reading, own, drawn)
        compare = readings[1].scores if less else None
        other = depths[1] if less else None
        return problem_graph(reading.scores, own, selected=node, compare=compare, compare_depth=other, attention=arrows)

    def draw_one(depth: int) -> None:
        chart = f"graph-{key}-{depth}"
        made = kept_figure((*about, node, *depths_of(readings, depth), drawn), lambda: make(depth))
        paired = len(readings) > 1 and not less
        widgets.chart(widgets.without_legend(made) if paired else made, chart, clicked(chart, problem), graph=True)
        if drawn:
            own = depths_of(readings, depth)[place]
            arrows = _read_attention(reading, own, drawn)
            # Wide arrows must not hide that most of the attention goes elsewhere.
            st.caption(
                f"Where the {arrows.title} goes, as shares of all of it: {arrows.shares}. "
                f"Spread evenly over the {len(arrows.weights)} edges, each would get {arrows.chance:.3f} of "
                f"{arrows.total}; layers and heads count from 0."
            )
            attention_button(reading, own, concept, drawn.layer, drawn.head, f"{key}-{depth}")
        widgets.download_figure(lambda: make(depth), f"graph-{problem.id}-{depth}", f"save-{chart}", "Graph as HTML")

    steps.draw(f"graph-{key}", draw_one)


def kept_figure(key: Hashable, make: Callable[[], go.Figure]) -> go.Figure:
    """Return a figure, drawn once; a copy, since the page takes the title out."""
    return go.Figure(cache.kept("figure", key, make))


def _strip(reading: Reading, key: str) -> None:
    first = reading.scores.depths[0]  # the browser moves the mark
    widgets.chart(thought_strip(reading.scores, depth=first), f"strip-{key}")


# What is said of one number of thoughts, as HTML


def sentence(reading: Reading, depth: int) -> str:
    """Return what the picture says, in a sentence with its chance level: one problem, so no verdict."""
    scores, row = reading.scores, reading.scores.row(depth)
    problem, hop, about = scores.problem, scores.hops_read[row], scores.structure
    size, mass, after = int(scores.frontier_size[row]), scores.candidate_mass[row], f"After {plural(depth, 'thought')}"
    if not size:
        roles = {problem.target: ", the target", problem.negative: ", the other option"}
        led = " and ".join(
            f"<b>{_share(scores.value[row, node])}</b> on {escape(problem.names[node])}{roles.get(node, '')}"
            for node in scores.likeliest(depth, 2)
        )
        said = (
            f"{after} there is no frontier: no node is {plural(hop, 'hop')} away, the target is {about.length}. "
            f"Of the mass on the problem's concepts, {led} (chance {scores.chance_value:.0%} each)."
        )
    else:
        chance = scores.even_mass(scores.on_frontier)[row]
        nodes = "the one node" if size == 1 else f"the {size} nodes"
        said = (
            f"{after}, <b>{_share(mass)}</b> of the probability of all tokens is on {nodes} {plural(hop, 'hop')} away "
            f"(chance {chance:.0%})."
        )
        if mass < NOISE_MASS:
            said += f" <b>This readout hardly speaks of hop {hop} here: the values in the graph are mostly noise.</b>"
        elif hop > about.length:
            said += f" The target, {plural(about.length, 'hop')} away, is behind it."
    return f'<p class="says">{said} <span class="sure">This is one problem; the page Population has many.</span></p>'


def _share(value: float) -> str:
    """Return a fraction in per cent; "over 99%" where it would be rounded to all of it."""
    return "over 99%" if 0.995 <= value < 1 else "under 1%" if 0 < value < 0.005 else f"{value:.0%}"


def numbers(reading: Reading, depth: int) -> str:
    """Return the numbers without which the picture means nothing: mass and breadth, beside chance."""
    row = reading.scores.row(depth)
    hop, about = reading.scores.hops_read[row], statistics(reading.scores)
    cells, target = [], reading.problem.target
    for name, label, form in (
        ("candidate_mass", f"Mass on hop {hop}", ".3f"), ("mass_without_target", "Without the target", ".3f"),
        ("breadth", "Effective nodes", ".2f"), ("path_rank", "Rank of a path node", ".0f"),
    ):  # fmt: skip
        one = about[name]
        value, chance = _number(float(one.values[row]), form), float(one.chance[row])
        beside = f"of {_number(chance, '.0f')} at hop {hop}" if name == "breadth" else f"chance {_number(chance, form)}"
        if name == "path_rank" and value != "–":
            value += f" <small>of {int(reading.scores.structure.concepts.sum())}</small>"
        if name == "mass_without_target" and value != "–" and not reading.scores.on_frontier[row, target]:
            beside = f"the same: the target is not at hop {hop}"
        about_it = escape(f"{one.title}. Unit: {one.unit}. Chance: {one.baseline}.", quote=True)
        if value == "–":
            other = "other " if reading.scores.frontier_size[row] else ""
            beside = f"no {other}node at hop {hop}"
        cells.append(
            f'<div title="{about_it}"><span class="what">{label}</span><span class="value">{value}</span>'
            f'<span class="beside">{beside}</span></div>'
        )
    return f'<div class="numbers">{"".join(cells)}</div>'


def _number(value: float, form: str) -> str:
    return "–" if value != value else format(value, form)


def continuation(reading: Reading, depth: int) -> str:
    """Return what the model says when it is made to go on in language, with its behaviour category."""
    trace = reading.trace
    category = classify(trace.graph_problem, trace.continuations[depth], trace.hop(depth))
    spoken = " ".join(
        escape(text) if true else f'<span class="false">✗ {escape(text)}</span>'
        for text, true in _sentences(trace, depth)
    )
    false = "✗: not true in this graph. " if "✗" in spoken else ""
    right = bool(trace.answer_right[depth])
    target, negative = (trace.answers[depth][n] for n in (trace.graph_problem.target, trace.graph_problem.negative))
    answer = escape(trace.answer_texts[depth].strip() or "nothing")
    return (
        f'<div class="card"><b>Made to speak after {plural(depth, "thought")}</b> '
        f'<span class="chip {COLOURS[category]}" title="{escape(MEANINGS[category], quote=True)}">{category}</span>'
        f"<p>{spoken}</p><small>{false}Asked for the answer at this point: {answer} "
        f'(<span class="{"true" if right else "false"}">{"right" if right else "wrong"}</span>), probability of the '
        f"target {target:.3f}, of the negative {negative:.3f}.</small></div>"
    )


# The concept chosen: in a box, by a click in the graph or in the token table


def choose_concept(problem: Problem) -> str:
    """Draw the box and return the name chosen; the target until something else is."""
    target = problem.names[problem.target]
    names = [target, *sorted(name for name in problem.names if name != target)]
    # What nobody chose follows the problem: the address holds no target, and would open another picture.
    before, st.session_state[TARGET_BEFORE] = st.session_state.get(TARGET_BEFORE), target
    if before != target and st.session_state.get("concept") == before:
        st.session_state["concept"] = target
    widgets.settle("concept", names)
    return st.selectbox(
        "Concept", names, key="concept", bind="query-params",
        help="Or click a node of the graph, or a token of the table.",
    )  # fmt: skip


def clicked(chart: str, problem: Problem, place: int = 0) -> Callable[[], None]:
    """Return the callback of a figure: choose the node that the customdata of the point clicked names at a place."""

    def choose_it() -> None:
        for node in clicked_nodes(chart, problem, place):
            st.session_state["concept"] = problem.names[node]

    return choose_it


def clicked_nodes(chart: str, problem: Problem, place: int = 0) -> list[int]:
    """Return, in the callback of a figure, the nodes clicked; their number stands at a place of the customdata."""
    nodes = [int(data[place]) for data in widgets.clicked(chart) if len(data) > place]
    return [node for node in nodes if 0 <= node < len(problem.names)]


def _concept(reading: Reading, name: str, key: str, beside: Sequence[NodeScores] = ()) -> None:
    """Draw the concept's values over the thoughts, as a curve and in numbers, and the tokens that spell it."""
    problem, checkpoint = reading.trace.graph_problem, reading.run.checkpoint
    node, first = problem.names.index(name), reading.scores.depths[0]  # the browser moves the mark
    widgets.chart(node_curve(reading.scores, node, depth=first, beside=beside), f"curve-{key}")
    (prompt,) = checkpoint.format.prompts([problem])
    ids = prompt.nodes[node]
    spelled = " ".join(code(checkpoint.tokenizer.decode([number])) for number in ids)
    read = "one token" if len(ids) == 1 else f"the product of {len(ids)} tokens"
    st.caption(
        f"{plain(name)} is read from {read}: {spelled}. Chance of each value: {reading.scores.chance_value:.3f}."
    )
    frame = reading.scores.to_frame().filter(pl.col("name") == name)
    widths = {"thought": 68, "hop_read": 74, "class": 124, "rank": 50}
    narrow = {column: st.column_config.Column(width=width) for column, width in widths.items()}
    shown = frame.select("thought", "hop_read", "class", "raw", "value", "rank")
    widgets.table(shown, f"{name}-{problem.id}", f"numbers-{key}", VALUES | narrow)


VALUES: dict[str, widgets.Column] = {
    name: st.column_config.NumberColumn(format="%.3f", width=66, help=text)
    for name, text in {
        "raw": "Probability among all tokens.",
        "value": "Normalised over the concepts in the problem.",
        "chance": "Value under a uniform distribution over the concepts in the problem.",
    }.items()
}
"""Column settings of tables with values."""


# What the model says when it is made to go on in language after k thoughts


def continuation_table(reading: Reading, key: str) -> None:
    """Draw the continuations and answers after every number of thoughts."""
    trace = reading.trace
    frame = pl.DataFrame(
        {
            "thoughts": depth,
            "continuation": " ".join(text for text, _ in _sentences(trace, depth)),
            "behaviour": str(classify(trace.graph_problem, trace.continuations[depth], trace.hop(depth))),
            "answer": trace.answer_texts[depth].strip() or "(nothing)",
            "right": bool(trace.answer_right[depth]),
            "target": float(trace.answers[depth][trace.graph_problem.target]),
            "negative": float(trace.answers[depth][trace.graph_problem.negative]),
        }
        for depth in range(len(trace.continuations))
    )
    columns = st.column_config
    meanings = "\n\n".join(f"**{category}**: {meaning}" for category, meaning in MEANINGS.items())
    shares = {
        name: columns.ProgressColumn(
            f"p({name})", min_value=0, max_value=1, format="%.3f",
            help="Raw probability as the answer; chance between the two: 0.5.",
        )
        for name in ("target", "negative")
    }  # fmt: skip
    shown = {
        "thoughts": columns.NumberColumn(width="small"),
        "continuation": columns.TextColumn(width="large", help="The step's opening is forced, the rest is greedy."),
        "behaviour": columns.TextColumn(help=meanings),
        "answer": columns.TextColumn(help="The greedy answer when the answer is forced at once."),
    }
    widgets.table(frame, f"continuations-{trace.graph_problem.id}", key, shown | shares)


def _sentences(trace: Trace, depth: int) -> list[tuple[str, bool]]:
    """Return the continuation after `depth` thoughts as sentences, each with whether it is right.

    A step is right if it is an edge, the answer if it is the target.
    The answer is the last one; a continuation of another form is one sentence as the model wrote it.
    """
    problem, text = trace.graph_problem, trace.continuations[depth]
    parsed = parse_continuation(text, problem)
    if not parsed.well_formed or parsed.answer is None:
        return [(text or "(nothing)", False)]
    edges = {(problem.names[source], problem.names[target]) for source, target in problem.edges}
    entities = {problem.names[node] for node in problem.entities}
    steps = [(is_a(*step, step[0] in entities), step in edges) for step in parsed.steps]
    root, answer = parsed.answer
    return [*steps, (f"So {is_a(root, answer, True)}", answer == problem.names[problem.target])]


# Attention on the edges


@dataclass(frozen=True)
class Attention:
    """Which attention is to be drawn; both numbers are counted from 0."""

    layer: int
    head: int | None
    """None for all heads together."""


def _choose_attention(readings: Sequence[Reading]) -> Attention | None:
    """Draw the switch and, where it is on, the boxes for layer and head; None where it is off.

    Where two runs differ in size there are as many layers and heads as both have.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if not st.toggle("Attention", key="attention", bind="query-params", help=ATTENTION_HELP):
            return None
        sizes = [reading.run.checkpoint.model.config for reading in readings]
        layers = min(int(size.num_hidden_layers) for size in sizes)
        heads = min(int(size.num_attention_heads) for size in sizes)
        layer = _attention_box("Layer", list(range(layers)), layers - 1, "layer")
        head = _attention_box("Head", [ALL_HEADS, *map(str, range(heads))], ALL_HEADS, "head")
    return Attention(layer, None if head == ALL_HEADS else int(head))


def _read_attention(reading: Reading, depth: int, chosen: Attention) -> EdgeAttention:
    from workbench.readings.attention import attention_arrows  # loads TransformerLens

    return attention_arrows(cache.recording(reading.run, reading.trace.graph_problem), depth, chosen.layer, chosen.head)


def _attention_box(label: str, options: list[Option], usual: Option, key: str) -> Option:
    widgets.settle(key, options, usual)  # of a larger model
    if len(options) <= FEW:
        chosen = st.segmented_control(
            label, options, default=usual, required=True, key=key, bind="query-params", width="content"
        )
        return usual if chosen is None else chosen
    return st.selectbox(label, options, index=options.index(usual), key=key, bind="query-params", width=120)
