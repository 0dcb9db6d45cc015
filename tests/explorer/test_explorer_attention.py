"""Attention on the graph of the page Thoughts, without a browser."""

import json

import pytest

from tests.explorer.page import Open, charts, fine, text


def graph(app: object) -> str:
    return json.dumps(charts(app)[0])  # type: ignore[arg-type]


def test_attention_is_off_until_it_is_asked_for(opened: Open) -> None:
    app = opened()

    assert not app.toggle(key="attention").value
    assert "attention of" not in graph(app)


def test_attention_says_its_chance_and_where_the_rest_goes(opened: Open) -> None:
    app = opened(attention="true", after="2")

    assert fine(app)
    assert "attention of thought 2, layer 1, all heads" in graph(app)
    assert "chance" in graph(app)
    assert "the two options" in text(app)
    assert "Spread evenly over the" in text(app)


def test_layer_and_head_are_in_the_link(opened: Open) -> None:
    app = opened(attention="true", layer="0", head="1")

    assert fine(app)
    assert "layer 0, head 1" in graph(app)
    assert not app.info


@pytest.mark.parametrize("nonsense", [{"layer": "7"}, {"head": "x"}, {"layer": "-1"}])
def test_a_layer_or_head_that_is_not_there_falls_back(opened: Open, nonsense: dict[str, str]) -> None:
    app = opened(attention="true", **nonsense)

    assert fine(app)
    assert "layer 1, all heads" in graph(app)


@pytest.mark.parametrize(("name", "column"), [("cot", "the end of the prompt"), ("pause_as_thought", "pause 1")])
def test_what_attends_is_called_what_it_is(opened: Open, name: str, column: str) -> None:
    app = opened(run=name, attention="true")

    assert fine(app)
    assert f"attention of {column}" in graph(app)


def test_two_runs_show_theirs_side_by_side_and_none_in_the_difference(opened: Open) -> None:
    app = opened(beside="second", attention="true")
    assert fine(app)
    assert json.dumps(charts(app)).count("attention, in numbers") == 2

    app = opened(beside="second", attention="true", picture="difference")
    assert fine(app)
    assert "attention of" not in json.dumps(charts(app))
