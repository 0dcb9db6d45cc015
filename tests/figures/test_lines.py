"""Summaries as lines, bars and maps: what is drawn, beside which chance, and what is said of it."""

from typing import Any

import polars as pl
import pytest

from workbench.figures.lines import lines, maps, run_looks
from workbench.figures.style import RUN_COLOURS, figure, fit_legend

MEANS = pl.DataFrame(
    [(run, part, k, 0.1 * k, 0.05 * k, 0.2 * k, 9, 0.3) for run in ("model", "noise") for part in "ab" for k in (1, 2)],
    schema=["run", "part", "thought", "value", "low", "high", "n", "chance"], orient="row",
)  # fmt: skip


def drawn(summary: pl.DataFrame = MEANS, panel: str | None = "part", **more: Any) -> Any:
    return lines(summary, "Mass", "over problems", "share", panel=panel, **more)


def test_a_line_per_run_and_panel_with_its_interval_and_controls_dotted() -> None:
    made = drawn()
    model, noise, _ = [one for one in made.data if one.xaxis == "x"]

    assert [one.name for one in made.data] == ["model", "noise of matched norm", "chance"] * 2
    assert (model.line.dash, noise.line.dash) == ("solid", "dot")
    assert noise.line.color == RUN_COLOURS["noise"]
    assert list(model.error_y.array) == pytest.approx([0.1, 0.2])
    assert list(model.error_y.arrayminus) == pytest.approx([0.05, 0.1])
    assert model.customdata[1][:3] == pytest.approx((0.1, 0.4, 9))
    assert [one.showlegend for one in made.data] == [True] * 3 + [False] * 3
    assert [note.text for note in made.layout.annotations] == ["a", "b"]
    assert made.layout.meta["alt"] == "Mass. Share. a, model: 0.10 at 1, 0.20 at 2; b, model: 0.10 at 1, 0.20 at 2."


def test_chance_goes_from_end_to_end_where_it_is_the_same_and_is_read_where_it_is_not() -> None:
    same = drawn(panel=None, by="part", looks=run_looks("ab")).data[-1]
    assert (list(same.x), list(same.y), same.line.dash) == (pytest.approx([0.6, 2.4]), [0.3, 0.3], "dash")

    changing = MEANS.with_columns(chance=0.1 * pl.col("thought"))
    model, *_, level = [one for one in drawn(changing).data if one.xaxis == "x"]
    assert list(level.y) == pytest.approx([0.1, 0.2])
    assert model.customdata[1][3] == pytest.approx(0.2)
    assert "chance %{customdata[3]:.3f}" in model.hovertemplate
    each = drawn(changing, panel=None, by="run", each=True)
    assert [one.name for one in each.data if one.name.startswith("chance")] == [
        "chance, model", "chance, noise of matched norm",
    ]  # fmt: skip
    assert not [one for one in drawn(MEANS.drop("chance")).data if one.name == "chance"]


def test_bars_have_a_short_line_where_chance_differs_and_names_keep_their_order() -> None:
    table = MEANS.with_columns(place=pl.when(pl.col("thought") == 1).then(pl.lit("z")).otherwise(pl.lit("c")))
    bars = drawn(table.with_columns(chance=pl.col("value")), x="place", bars=True)
    first, level = bars.data[0], bars.data[2]

    assert (first.type, list(first.x)) == ("bar", ["z", "c"])
    assert (level.mode, level.marker.symbol) == ("markers", "line-ew-open")


def test_a_panel_without_a_row_is_left_out_or_says_why() -> None:
    assert len(drawn(panels={"a": "a", "c": "c"}).layout.annotations) == 1
    made = drawn(panels={"a": "a", "c": "c"}, empty="too few")
    assert [note.text for note in made.layout.annotations] == ["a", "c", "too few"]
    assert "c: too few" in made.layout.meta["alt"]
    assert "Undefined" in drawn(MEANS.clear()).layout.meta["alt"]


def test_a_map_has_a_cell_for_each_mean_and_says_where_it_is_highest() -> None:
    made: Any = maps(
        MEANS, "Mass", "s", "share", x="thought", y="part", axes=("thought", "part"), text="chance",
        panels={"model": "model", "shuffled": "others"},
    )  # fmt: skip
    (heat, _) = made.data

    assert list(heat.text) == [".10<br>(.30)", ".20<br>(.30)"] * 2
    assert heat.customdata[1] == pytest.approx((0.1, 0.4, 9, 0.3, ""))
    assert made.layout.meta["alt"] == "Mass. model at most 0.20 (thought 2, part a); others undefined."


def test_a_map_without_any_value_still_has_its_words() -> None:
    cells = MEANS.filter(run="model", part="a").with_columns(value=pl.lit(None, pl.Float64), text=pl.lit("word"))
    made: Any = maps(cells, "Mass", "s", "share", x="thought", y="part", axes=("thought", "part"), text="text")
    assert list(made.data[0].text) == ["word", "word"]


def test_titles_and_legends_have_room() -> None:
    low: Any = figure("t", "one line").layout
    tall: Any = figure("t", "a line " * 30).layout
    assert "<br>" in tall.title.subtitle.text
    assert tall.margin.t - low.margin.t == tall.title.pad.b - low.title.pad.b >= 17
    assert tall.height - low.height == tall.margin.t - low.margin.t
    few, many = figure("t", "s"), figure("t", "s")
    for made, count in ((few, 2), (many, 12)):
        for index in range(count):
            made.add_scatter(x=[0], y=[0], name=f"a rather long name {index}")
    assert fit_legend(many).layout.margin.b > fit_legend(few).layout.margin.b == figure("t", "s").layout.margin.b  # type: ignore[attr-defined]
