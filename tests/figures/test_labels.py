"""Names in a problem's graph: none touches another or is cut, in windows of 900 to 2,560 pixels."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.figures.label_boxes import SETS, WINDOWS, boxes, faults, graph, picture_widths
from tests.figures.test_figures import part
from workbench.figures.labels import NARROWEST, shortened, text_width
from workbench.figures.layout import layout
from workbench.problems.files import load_problems
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem

CROWDED = {"released": ("released-118", "released-194"), "far": ("far-65",)}
"""Rows that need a third level, and the problem that is open first; of the other sets the first problem."""


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    """Some problems of each bundled set; a whole set takes seconds to read."""
    found = []
    for file in SETS:
        items, wanted = json.loads(file.read_text()), CROWDED.get(file.stem, ())
        few = tmp_path_factory.mktemp("few") / file.name
        few.write_text(json.dumps([one for one in items if one["id"] in wanted] or items[:1]))
        found += load_problems(few)
    return found


def test_no_text_of_a_bundled_problem_overlaps_or_is_cut(bundled):
    widths = {NARROWEST, *(width for window in WINDOWS for width in picture_widths(window))}
    for problem in bundled:
        drawn = graph(problem)
        assert not {(width, text) for width in widths for text in faults(drawn, width)}, problem.id


def test_numbers_stand_in_their_nodes_and_touch_no_name(bundled):
    for problem in bundled:
        made, concepts = layout(problem), structure(problem).concepts
        crowd = [np.isclose(made.y, level, atol=1e-3).sum() for level in made.y]
        # As many as can have a number, of the fullest rows: half of the concepts, and fewer than twenty.
        few = min((concepts.sum() - 1) // 2, 19)
        numbered = np.lexsort((made.x, -np.array(crowd) * concepts))[:few]
        drawn = graph(problem, np.isin(np.arange(len(concepts)), numbered).astype(float))
        assert list(part(drawn, "numbers").text) == [f"{1 / few:.2f}"[1:] if few > 1 else "1"] * few, problem.id
        for width in (NARROWEST, picture_widths(1440)[0]):
            assert not faults(drawn, width), (problem.id, width)
            assert not outside(drawn, width), (problem.id, width)


def outside(figure: go.Figure, width: float) -> list[str]:
    """Numbers that reach out of their node: of a circle's or a square's height, and width half-way to its rim."""
    scale = {"diamond": 1.3, "triangle-down": 1.0}
    marks, numbers = part(figure, "nodes"), part(figure, "numbers")
    at = {(x, y): n for n, (x, y) in enumerate(zip(marks.x, marks.y, strict=True))}
    found = [box for box in boxes(figure, width)[0] if box[0] in numbers.text]
    said = []
    for (text, left, top, right, foot), x, y in zip(found, numbers.x, numbers.y, strict=True):
        node = at[x, y]
        across = marks.marker.size[node] * scale.get(marks.marker.symbol[node], 1.0)
        if right - left > across or foot - top > across + 4:  # a font is higher than its digits
            said.append(f"{text} in {across:.1f}")
    return said


def test_the_faults_are_found(bundled):
    drawn = graph(bundled[0])
    assert faults(drawn, 240)  # half as wide as pages draw it
    drawn.for_each_trace(lambda names: names.update(x=np.zeros(len(names.x))), selector={"name": "names"})
    assert faults(drawn, NARROWEST)


def wide_problem(names: list[str]) -> Problem:
    """A root with a row of nodes, the first of them the target."""
    edges = [(0, node) for node in range(2, len(names))] + [(1, 2)]
    return make_problem("wide", names, edges, 0, 3, 2, True)


def test_names_that_find_no_room_are_shortened_and_stay_whole_on_hover():
    names = ["Tom", "Sally", *(f"{letter}{'umble' * 4}pus" for letter in "abcdefghijklmnop")]
    drawn = graph(wide_problem(names))
    written = {text for text, *_ in boxes(drawn, NARROWEST)[0]}
    assert not faults(drawn, NARROWEST)
    assert any("…" in text for text in written)
    hovered = next(trace.hovertext for trace in drawn.data if trace.name == "nodes")  # type: ignore[attr-defined]
    assert all(any(f"<b>{name}</b>" in text for text in hovered) for name in names)


@pytest.mark.parametrize("text", ["gwompus", "SCROMPUS", "Wren 42", "日本語"])
def test_a_text_is_measured_and_shortened_to_the_room_there_is(text):
    assert text_width(text, 23.0) == pytest.approx(2 * text_width(text, 11.5))
    for room in (20.0, 35.0, 50.0):
        short = shortened(text, room)
        assert short == text or (short.endswith("…") and text.startswith(short[:-1]))
        assert text_width(short) <= room or len(short) == 2
