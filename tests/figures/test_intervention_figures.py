"""Figures of interventions: what they write, frame and mark, from tables made by hand."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from tests.conftest import chain
from workbench.errors import WorkbenchError
from workbench.figures.interventions import answer_options, downstream_map, strength_curve_figure

CHANGED = pl.DataFrame(
    [
        ("thought", 1, False, False, True, 0.0), ("thought", 2, True, True, False, 0.3),
        ("next step", 0, False, False, True, 0.0), ("next step", 1, False, False, False, 1e-7),
        ("next step", 2, True, True, False, 0.004), ("answer", 0, False, False, True, 0.0),
        ("answer", 1, False, False, True, 0.0), ("answer", 2, True, True, True, 0.0),
    ],
    schema=["what", "k", "intervened", "can_change", "same", "moved"], orient="row",
).with_columns(step=pl.lit(0.5))  # fmt: skip
ANSWERS = pl.DataFrame(
    [("without", 0, 0.9, 0.1), ("intervened", 0, 0.2, 0.7), ("control", 0, 0.8, 0.1), ("control", 1, 0.6, 0.1)],
    schema=["series", "draw", "target", "negative"], orient="row",
)  # fmt: skip


def test_the_affected_region_is_framed_and_what_is_the_same_says_so() -> None:
    figure: Any = downstream_map(CHANGED, depth=2)
    cells = {(x, y): text for one in figure.data[1:] for x, y, text in zip(one.x, one.y, one.text, strict=True)}

    assert cells == {
        (1, 0): "<b>=</b>", (2, 0): "0.30", (0, 1): "<b>=</b>", (1, 1): "<.01", (2, 1): "<.01",
        (0, 2): "<b>=</b>", (1, 2): "<b>=</b>", (2, 2): "<b>=</b>",
    }  # fmt: skip
    framed = [(shape.x0, shape.x1, shape.y0) for shape in figure.layout.shapes if shape.line.width]
    assert framed == [(1.51, 2.49, y - 0.49) for y in range(3)]
    assert [note.x for note in figure.layout.annotations] == [2]
    assert "Intervened on: thought 2. 5 of 8" in figure.layout.meta["alt"]
    words = "\n".join(text for one in figure.data[1:] for text in one.hovertext)
    assert "rounding alone" in words


def test_a_controls_bar_is_its_mean_and_its_whisker_its_range() -> None:
    figure: Any = answer_options(ANSWERS, chain(3, 4), "other nodes")
    without, plan, control = figure.data

    assert list(plan.x) == pytest.approx([0.2, 0.7, 0.1])
    assert list(control.x) == pytest.approx([0.7, 0.1, 0.2])
    assert (control.error_x.array[0], control.error_x.arrayminus[0]) == pytest.approx((0.1, 0.1))
    assert without.error_x.array is None


def test_both_options_have_a_line_with_the_controls_range_around_its_mean() -> None:
    table = pl.concat([ANSWERS.with_columns(strength=pl.lit(strength)) for strength in (0.0, 1.0)])
    figure: Any = strength_curve_figure(table, chain(3, 4), unit="share", control="other nodes", strength=1.0)
    by_name = {one.name: one for one in figure.data}

    assert list(by_name["rempus (target), with interventions"].y) == [0.2, 0.2]
    assert list(by_name["rempus (target), control"].y) == pytest.approx([0.7, 0.7])
    assert list(by_name["rempus (target), range"].y) == [0.8, 0.8, 0.6, 0.6]
    assert figure.layout.xaxis.title.text == "strength: share"


@pytest.mark.parametrize(
    "draw",
    [
        lambda table: downstream_map(table),
        lambda table: answer_options(table, chain(3, 4)),
        lambda table: strength_curve_figure(table, chain(3, 4), unit="share"),
    ],
)
def test_nothing_cannot_be_drawn(draw: Callable[[pl.DataFrame], object]) -> None:
    with pytest.raises(WorkbenchError, match="nothing to draw"):
        draw(pl.DataFrame())
