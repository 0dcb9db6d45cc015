"""Boxes of the texts in a problem's graph, measured with Pillow's own font, and which of them overlap or are cut.

Over all bundled problems: `python -m tests.figures.label_boxes`, some 15 minutes; a number takes every so many-th.
"""

import re
import sys
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import ImageFont

from tests.measure.test_scores import trace
from workbench.figures import problem_graph
from workbench.figures.labels import NARROWEST
from workbench.measure.scores import node_scores
from workbench.problems.files import load_problems
from workbench.problems.problem import Problem

WINDOWS = (900, 1100, 1440, 1920, 2560)
SETS = sorted((Path(__file__).resolve().parents[2] / "fixtures" / "problems").glob("*.json"))
ANCHORS = {"left": 0.0, "center": 0.5, "right": 1.0, "top": 0.0, "middle": 0.5, "bottom": 1.0}
Box = tuple[str, float, float, float, float]
"""Text, left, top, right, bottom; in pixels from the plot's upper left corner."""


def picture_widths(window: int) -> tuple[float, ...]:
    """Pixels of one picture, and of each of two; up to 1,350 pixels nothing is beside them. The sidebar is open."""
    page = min(window - 300, 1900) - 80
    shares = (1.0,) if window <= 1350 else (1.3 / 2.3, 0.5)
    return tuple(max(float(NARROWEST), (page - 32 * (share < 1)) * share) for share in shares)


@lru_cache(maxsize=4096)
def _measured(text: str, size: float) -> float:
    return ImageFont.load_default(size=size).getlength(text)


def _size(text: str, size: float) -> tuple[float, float]:
    """Width and height of a text with tags; bold letters are taken as 6 % wider."""
    widths, heights = [], []
    for line in text.split("<br>"):
        wide, tall, letters, bold = 0.0, 0.0, size, 1.0
        for part in re.split(r"(<[^>]*>)", line):
            if found := re.search(r"font-size:([\d.]+)", part):
                letters = float(found[1])
            elif part == "</span>":
                letters = size
            elif part in ("<b>", "</b>"):
                bold = 1.06 if part == "<b>" else 1.0
            elif part:
                wide, tall = wide + _measured(part, letters) * bold, max(tall, letters)
        widths.append(wide)
        heights.append(tall)
    return max(widths), sum(heights) + 0.3 * size * (len(heights) - 1)


def boxes(figure: go.Figure, width: float) -> tuple[list[Box], Box]:
    """Return the boxes of names and annotations at a width of the figure, and the box of the figure itself."""
    layout: Any = figure.layout
    margin = layout.margin
    wide, tall = width - margin.l - margin.r, layout.height - margin.t - margin.b
    (left, right), (foot, top) = layout.xaxis.range, layout.yaxis.range
    found: list[Box] = []

    def put(text: str, size: float, x: float, y: float, across: str, down: str) -> None:
        w, h = _size(text, size)
        x, y = x - ANCHORS[across] * w, y - ANCHORS[down] * h
        found.append((text, x, y, x + w, y + h))

    traces: Any = figure.data
    for trace_ in traces:
        if trace_.mode == "text":
            sizes = np.broadcast_to(trace_.textfont.size, len(trace_.x))
            for x, y, text, size in zip(trace_.x, trace_.y, trace_.text, sizes.tolist(), strict=True):
                at = (x - left) / (right - left) * wide, (y - top) / (foot - top) * tall
                put(text, size, *at, "center", "middle")
    for note in layout.annotations:
        x = note.x * wide if note.xref == "paper" else (note.x - left) / (right - left) * wide
        y = (1 - note.y) * tall if note.yref == "paper" else (note.y - top) / (foot - top) * tall
        at = x + (note.xshift or 0), y - (note.yshift or 0)
        put(note.text, note.font.size or 12, *at, note.xanchor or "center", note.yanchor or "middle")
    return found, ("figure", -margin.l, -margin.t, wide + margin.r, tall + margin.b)


def faults(figure: go.Figure, width: float) -> list[str]:
    """Return which texts overlap and which are cut."""
    found, (_, *edge) = boxes(figure, width)
    pairs = combinations(found, 2)
    said = [f"{a[0]} on {b[0]}" for a, b in pairs if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]]
    left, top, right, foot = edge
    return said + [f"{a[0]} is cut" for a in found if a[1] < left or a[2] < top or a[3] > right or a[4] > foot]


def graph(problem: Problem, values: np.ndarray | None = None) -> go.Figure:
    """The graph of a problem after one thought, of a made-up trace; all values of its nodes at will."""
    scores = node_scores(trace(problem), "lm_head")
    return problem_graph(scores if values is None else replace(scores, raw=np.tile(values, (len(scores.raw), 1))), 1)


if __name__ == "__main__":
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    totals, problems = dict.fromkeys(WINDOWS, 0), 0
    for file in SETS:
        for one in load_problems(file)[::every]:
            drawn, problems = graph(one), problems + 1
            for window in WINDOWS:
                totals[window] += sum(len(faults(drawn, width)) for width in picture_widths(window))
        print(file.stem, problems, totals, flush=True)
