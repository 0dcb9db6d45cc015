"""Figures of made-up traces: what they show, that nothing moves, that nothing overlaps, that any theme fits."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly.colors import sample_colorscale

from tests.measure.test_scores import trace
from workbench import figures
from workbench.errors import WorkbenchError
from workbench.figures.layout import crossings, layout
from workbench.figures.style import DIFFERENCE_SCALE, VALUE_SCALE, readable_on
from workbench.measure.behaviour import Behaviour
from workbench.measure.scores import READOUTS, NodeScores, node_scores, scores_frame, statistics_frame
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem, parse_question
from workbench.problems.random_graphs import Graphs, ask, grow
from workbench.problems.variants import other_target
from workbench.problems.vocabulary import CONCEPTS, ENTITIES


def generated(seed: int, slots: int = 24) -> Problem:
    """A problem of the released family."""
    rng = np.random.default_rng(seed)
    graphs = grow("released", 40, slots, rng)
    questions = ask(graphs, 1, rng, {2: 0.01, 3: 1.0, 4: 1.0, 5: 1.0})
    graph, root = int(questions.graph[0]), int(questions.root[0])
    return _written(graphs, graph, root, int(questions.target[0]), int(questions.negative[0]))


def _written(graphs: Graphs, graph: int, root: int, target: int, negative: int) -> Problem:
    adjacency, present = graphs.adjacency[graph], np.flatnonzero(graphs.present[graph])
    entities, concepts = iter(ENTITIES), iter([*CONCEPTS, *(f"{name}x" for name in CONCEPTS)])
    names = [next(entities) if not adjacency[:, node].any() else next(concepts) for node in present]
    number = {int(node): index for index, node in enumerate(present)}
    edges = [(number[int(a)], number[int(b)]) for a, b in np.argwhere(adjacency)]
    return make_problem("made", names, edges, number[root], number[target], number[negative], True)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return generated(0)


@pytest.fixture(scope="module")
def scores(problem) -> NodeScores:
    return node_scores(trace(problem), "lm_head")


@pytest.fixture(scope="module")
def several() -> list[NodeScores]:
    return [node_scores(trace(generated(seed), seed), readout) for seed in range(6) for readout in READOUTS]


def parts(figure: go.Figure) -> list[Any]:
    """The figure's traces; plotly's own types know nothing of them."""
    return list(figure.data)


def part(figure: go.Figure, name: str) -> Any:
    return next(trace for trace in parts(figure) if trace.name == name)


def look(figure: go.Figure) -> Any:
    return figure.layout


def every_figure(scores: NodeScores, several: list[NodeScores]) -> dict[str, go.Figure]:
    problem, rng = scores.problem, np.random.default_rng(0)
    results = pl.DataFrame(
        {
            "thought": np.repeat(np.arange(3), 40),
            "steps": np.tile([3, 4, 5, 6], 30),
            "correct": rng.random(120) < 0.7,
            "valid": rng.random(120) < 0.9,
            "behaviour": [list(Behaviour)[i].value for i in rng.integers(0, 7, 120)],
        }
    )
    wide = statistics_frame(several)
    return {
        "graph": figures.problem_graph(scores, 2, selected=problem.target),
        "difference": figures.problem_graph(scores, 2, compare=node_scores(trace(problem, 1), "lm_head")),
        "strip": figures.thought_strip(scores, depth=2),
        "curve": figures.node_curve(scores, problem.target, depth=2),
        "tokens": figures.token_table(trace(problem), 2),
        "mass": figures.mass_by_thought(wide),
        "breadth": figures.mass_by_thought(wide, "breadth"),
        "hops": figures.accuracy_by_hop(results.filter(thought=2)),
        "thoughts": figures.accuracy_by_thoughts(results),
        "behaviour": figures.behaviour_shares(results),
        "values": figures.value_histogram(scores_frame(several), 2),
        "ranks": figures.path_ranks(wide),
    }


def nodes(figure: go.Figure) -> dict:
    return next(t for t in json.loads(figure.to_json())["data"] if t["name"] == "nodes")  # type: ignore[arg-type]


def positions(figure: go.Figure) -> np.ndarray:
    found = part(figure, "nodes")
    return np.array([found.x, found.y])


def text_of(figure: go.Figure) -> str:
    return json.dumps(json.loads(figure.to_json()), ensure_ascii=False)  # type: ignore[arg-type]


def test_every_figure_has_title_unit_alt_text_and_no_ink_or_paper_of_its_own(scores, several):
    for name, figure in every_figure(scores, several).items():
        layout_ = look(figure)
        assert layout_.title.text, name
        assert layout_.title.subtitle.text, name
        assert len(layout_.meta["alt"]) > 40, name
        assert layout_.paper_bgcolor is None, name
        assert layout_.font.color is None, name
        assert layout_.template.layout.paper_bgcolor == "rgba(0,0,0,0)", name
        assert not re.search(r'"(#fff(fff)?|#000(000)?|white|black)"', text_of(figure), re.IGNORECASE), name


def test_every_figure_is_a_function_of_its_arguments(scores, several):
    first, second = every_figure(scores, several), every_figure(scores, several)
    assert [figure.to_json() for figure in first.values()] == [figure.to_json() for figure in second.values()]


@pytest.mark.parametrize("readout", READOUTS)
def test_nothing_moves_with_the_thoughts(problem, readout):
    scores = node_scores(trace(problem), readout)
    first = positions(figures.problem_graph(scores, scores.depths[0]))
    for depth in scores.depths:
        drawn = figures.problem_graph(scores, depth)
        assert (positions(drawn) == first).all()
        assert look(drawn).xaxis.range == look(figures.problem_graph(scores, scores.depths[0])).xaxis.range
        assert look(drawn).height == look(figures.problem_graph(scores, scores.depths[0])).height


def test_rows_are_hops_and_points_are_nodes(problem, scores):
    drawn = nodes(figures.problem_graph(scores, 2))
    about = structure(problem)
    assert [point[0] for point in drawn["customdata"]] == list(range(len(problem.names)))
    assert (
        np.array(positions(figures.problem_graph(scores, 2))[1])[about.reachable].tolist()
        == about.hops[about.reachable].tolist()
    )
    expected = np.sqrt(np.nan_to_num(scores.value[1]))
    assert positions(figures.problem_graph(scores, 2)).shape == (2, len(problem.names))
    colours = part(figures.problem_graph(scores, 2), "nodes").marker.color
    assert np.array(colours) == pytest.approx(expected)


def test_root_target_and_negative_are_marked_by_shape_and_in_words(problem, scores):
    figure = figures.problem_graph(scores, 1)
    symbol = part(figure, "nodes").marker.symbol
    shapes = {symbol[problem.root], symbol[problem.target], symbol[problem.negative]}
    assert len(shapes | {"circle"}) == 4
    said = " ".join(text for t in parts(figure) if t.name == "names" for text in t.text)
    for node, role in ((problem.root, "ROOT"), (problem.target, "TARGET"), (problem.negative, "NEGATIVE")):
        assert re.search(rf"{problem.names[node]}</b> <span[^>]*>{role}<", said)


def test_every_edge_is_drawn_once(problem, scores):
    figure = figures.problem_graph(scores, 1)
    lines = [t for t in parts(figure) if t.mode == "lines+markers"]
    assert sum(list(t.x).count(None) for t in lines) == len(problem.edges)


def test_hover_says_value_rank_hop_heights_and_class(problem, scores):
    hover = nodes(figures.problem_graph(scores, 2))["hovertext"][problem.target]
    for part in ("value", "chance", "rank", "raw probability", "hop", "longest", "shortest", "class", "target"):
        assert part in hover


def contrast(one: str, two: str) -> float:
    """WCAG 2.2, of colours as "#rrggbb" or "rgb(r, g, b)"."""

    def light(colour: str) -> float:
        found = re.findall(r"[0-9A-Fa-f]{2}", colour) if colour[0] == "#" else re.findall(r"\d+", colour)
        parts = [int(level, 16 if colour[0] == "#" else 10) / 255 for level in found]
        parts = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(one), light(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("share", [0.0499, 0.0501, 0.5, 0.9, 0.996, 1.0])
def test_a_value_of_a_twentieth_and_twice_chance_stands_in_its_node(problem, share):
    """The one value given, the others share the rest evenly."""
    concepts = structure(problem).concepts
    rest = (1 - share) / (concepts.sum() - 1)
    values = np.where(np.arange(len(concepts)) == problem.target, share, rest * concepts)
    drawn = figures.problem_graph(node_scores(trace(problem, lm_head=np.tile(values, (4, 1))), "lm_head"), 1)
    numbers = part(drawn, "numbers")
    chance = 1 / concepts.sum()
    shown = {0.0501: ".05", 0.5: ".50", 0.9: ".90", 0.996: ">.99", 1.0: "1"}.get(share)
    assert list(numbers.text) == ([shown] if shown and share >= max(0.05, 2 * chance) else [])
    assert [*zip(numbers.x, numbers.y, strict=True)] in ([], [tuple(positions(drawn)[:, problem.target])])


@pytest.mark.parametrize("signed", [False, True])
def test_numbers_are_read_on_every_colour_of_their_nodes(problem, scores, signed):
    """Nodes of a value each, over the whole scale; plotly interpolates the same way."""
    values = np.linspace(-1 if signed else 0.05, 1, 301)
    values = values[np.abs(values) >= 0.1] if signed else values
    scale = DIFFERENCE_SCALE if signed else VALUE_SCALE
    places = [(np.sign(v) * abs(v) ** 0.5 + 1) / 2 if signed else v**0.5 for v in values]
    for colour in map(str, sample_colorscale(scale, places)):
        assert contrast(readable_on(colour), colour) >= 4.5
    drawn = figures.problem_graph(scores, 2, compare=node_scores(trace(problem, 1), "lm_head") if signed else None)
    mark, numbers = part(drawn, "nodes").marker, part(drawn, "numbers")
    assert len(numbers.text)
    shown = [value for value in np.sign(mark.color) * np.square(mark.color) if abs(value) >= (0.1 if signed else 0.09)]
    assert [float(text.replace("−", "-")) for text in numbers.text] == pytest.approx(shown, abs=0.0051)


def test_difference_is_antisymmetric_and_needs_the_same_problem(problem, scores):
    other = node_scores(trace(problem, 1), "lm_head")
    one = part(figures.problem_graph(scores, 2, compare=other), "nodes")
    two = part(figures.problem_graph(other, 2, compare=scores), "nodes")
    assert np.array(one.marker.color) == pytest.approx(-np.array(two.marker.color))
    with pytest.raises(WorkbenchError, match="cannot be compared node by node"):
        figures.problem_graph(scores, 2, compare=node_scores(trace(generated(1)), "lm_head"))


def test_a_thought_is_compared_with_an_earlier_one_on_the_same_nodes(problem, scores):
    drawn = figures.problem_graph(scores, 2, compare=scores, compare_depth=1)
    shades = np.array(part(drawn, "nodes").marker.color)
    first, second = (np.nan_to_num(scores.value[scores.row(k)]) for k in (1, 2))

    assert np.sign(shades) * shades**2 == pytest.approx(second - first)
    mass = scores.raw[scores.row(1), structure(problem).hops == 2].sum()
    assert "2 thoughts less 1 thought" in drawn.layout.title.text
    assert f"{mass:.3f}</b> (1 thought)" in drawn.layout.title.subtitle.text


def test_another_question_on_the_graph_is_compared_by_the_names_of_the_nodes(problem, scores):
    asked = other_target(problem, 0)
    assert asked is not None
    last = len(problem.names) - 1
    swapped = make_problem(
        "other", problem.names[::-1], [(last - source, last - target) for source, target in problem.edges],
        last - asked.root, last - asked.target, last - asked.negative, True,
        entities=[last - node for node in problem.entities],
    )  # fmt: skip
    other = node_scores(trace(swapped, lm_head=scores.raw[:, ::-1]), "lm_head")
    drawn = figures.problem_graph(scores, 2, compare=other)

    assert part(drawn, "nodes").marker.color == pytest.approx(0, abs=1e-6)
    for one in (problem, swapped):
        assert f"{one.names[one.root]} to {one.names[one.target]}" in drawn.layout.title.text


def test_rows_of_a_difference_show_differences_and_its_subtitle_both_masses(problem, scores):
    other, about = node_scores(trace(problem, 1), "lm_head"), structure(problem)
    on_row, (one, two) = about.hops == 2, (s.raw[s.row(2)] for s in (scores, other))
    shares = [raw[on_row & about.concepts].sum() / raw[about.concepts].sum() for raw in (one, two)]
    drawn = look(figures.problem_graph(scores, 2, compare=other))
    (label,) = [note.text for note in drawn.annotations if "hop 2<" in note.text]
    assert float(label.split("value ")[1].split("<")[0].replace("−", "-")) == pytest.approx(
        shares[0] - shares[1], abs=6e-3
    )
    assert all(f"{raw[on_row].sum():.3f}" in drawn.title.subtitle.text for raw in (one, two))


def test_near_zero_candidate_mass_is_called_noise(problem, scores):
    faint = node_scores(trace(problem, lm_head=scores.raw * 1e-4), "lm_head")
    assert "noise" in look(figures.problem_graph(faint, 2)).title.subtitle.text
    assert "noise" in look(figures.thought_strip(faint)).title.subtitle.text
    strong = np.where(scores.on_frontier, 0.3, 0.001)
    assert "noise" not in text_of(figures.thought_strip(node_scores(trace(problem, lm_head=strong), "lm_head")))


def test_bars_of_the_strip_add_up_and_chance_stands_beside(scores):
    figure = figures.thought_strip(scores)
    wide = [t for t in parts(figure) if t.type == "bar" and not t.name.startswith("chance")]
    slim = [t for t in parts(figure) if t.type == "bar" and t.name.startswith("chance")]
    assert np.sum([t.y for t in wide], axis=0) == pytest.approx(1)
    assert np.sum([t.y for t in slim], axis=0) == pytest.approx(1)
    assert [t.name for t in wide][:2] == ["frontier, on a shortest path", "frontier, off the path"]


def test_strip_and_graph_say_the_mass_without_the_target_where_it_stands():
    text = "Tom is a lempus. Tom is a rompus. Every lempus is a wumpus. Every rompus is a zumpus. Bo is a yumpus. "
    near = parse_question(f"{text}Is Tom a zumpus or yumpus?")  # hop 2: wumpus, and the target
    scores = node_scores(trace(near), "lm_head")
    left = scores.raw[1, near.names.index("wumpus")]
    assert part(figures.thought_strip(scores), "candidate mass without the target").y[1] == pytest.approx(left)
    said = look(figures.problem_graph(scores, 2)).title.subtitle.text
    assert f"without the target: <b>{left:.3f}</b>, chance {1 / 5:.3f}" in said
    assert "without the target" not in look(figures.problem_graph(scores, 1)).title.subtitle.text


def test_curve_shows_the_node_beside_target_negative_and_chance(problem, scores):
    names = {t.name for t in parts(figures.node_curve(scores, problem.target))}
    target, negative = problem.names[problem.target], problem.names[problem.negative]
    assert names == {f"{target} (target)", f"{negative} (negative)", "chance"}
    assert "entity" in text_of(figures.node_curve(scores, problem.root))


def test_curves_side_by_side_have_one_axis(problem, scores):
    flat = replace(scores, raw=np.full_like(scores.raw, 0.01))
    peaked = replace(flat, raw=np.where(np.arange(flat.raw.shape[1]) == problem.target, 0.9, flat.raw))
    curves = [figures.node_curve(one, problem.target, beside=(peaked, flat)) for one in (peaked, flat)]
    assert curves[0].layout.yaxis.range == curves[1].layout.yaxis.range  # type: ignore[attr-defined]
    alone = figures.node_curve(flat, problem.target).layout.yaxis.range  # type: ignore[attr-defined]
    assert alone != curves[1].layout.yaxis.range  # type: ignore[attr-defined]


def test_token_table_knows_which_tokens_name_a_node(problem):
    frame = figures.token_frame(trace(problem))
    assert frame.columns == ["thought", "rank", "token", "probability", "node", "class", "hop"]
    assert frame.filter(token="|")["node"].is_null().all()
    named = frame.filter(rank=1)
    assert [problem.names[node] for node in named["node"]] == named["token"].to_list()
    cells = part(figures.token_table(trace(problem)), "tokens")
    assert [tuple(cell) for cell in cells.customdata] == [
        (-1 if node is None else node, k) for node, k in frame.select("node", "thought").iter_rows()
    ]


def test_nothing_to_draw_and_unknown_statistics_are_said(several):
    with pytest.raises(WorkbenchError, match="nothing to draw"):
        figures.value_histogram(scores_frame(several), 99)
    with pytest.raises(WorkbenchError, match='There is no statistic "beauty"'):
        figures.mass_by_thought(statistics_frame(several), "beauty")


def test_with_ink_changes_a_copy_alone(scores):
    figure = figures.thought_strip(scores)
    before = figure.to_json()
    dark = figures.with_ink(figure, "dark")
    assert figure.to_json() == before
    assert look(dark).template.layout.font.color == "#E4E7EC"


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), slots=st.sampled_from([12, 24, 50]))
def test_layout_keeps_nodes_apart(seed, slots):
    problem = generated(seed, slots)
    made, about = layout(problem), structure(problem)
    points = np.array([made.x, made.y]).T
    gaps = np.abs(points[:, None] - points[None, :])
    apart = (gaps[..., 0] >= 1 - 1e-9) | (gaps[..., 1] >= 0.74)
    assert (apart | np.eye(len(points), dtype=bool)).all()
    assert (made.y[about.reachable] == about.hops[about.reachable]).all()
    if made.band is not None:
        assert made.x[~about.reachable].min() > made.band[0] > made.x[about.reachable].max()


def crossed(problem: Problem) -> int:
    """Pairs of edges from one hop row to the next that cross."""
    made, about, total = layout(problem), structure(problem), 0
    for hop in range(made.rows - 1):
        upper, lower = (np.flatnonzero(about.hops == k) for k in (hop, hop + 1))
        upper, lower = upper[np.argsort(made.x[upper])], lower[np.argsort(made.x[lower])]
        total += crossings(problem.adjacency[np.ix_(upper, lower)])
    return total


def test_layout_has_few_crossings():
    assert np.mean([crossed(generated(seed)) for seed in range(30)]) < 4
