"""Attention on the graph of the page Thoughts, without a browser."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from tests.explorer.page import Open, charts, fine, text


def graph(app: AppTest) -> str:
    return json.dumps(charts(app)[0])


def test_attention_is_drawn_when_asked_for_with_its_chance_and_where_the_rest_goes(opened: Open) -> None:
    app = opened(after="2")
    assert not app.toggle(key="attention").value
    assert "attention of" not in graph(app)

    app.toggle(key="attention").set_value(True)
    app.run()
    assert fine(app)
    assert "attention of thought 2, layer 1, all heads" in graph(app)
    assert "chance" in graph(app)
    assert "the two options" in text(app)
    assert "Spread evenly over the" in text(app)

    app.segmented_control(key="layer").set_value(0)
    app.segmented_control(key="head").set_value("1")
    app.run()
    assert fine(app)
    assert "layer 0, head 1" in graph(app)


def test_a_link_holds_layer_and_head_and_falls_back_where_they_are_not_there(opened: Open) -> None:
    app = opened(attention="true", layer="0", head="1")
    assert fine(app)
    assert "layer 0, head 1" in graph(app)
    assert not app.info

    app = opened(attention="true", layer="7", head="x")
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

    app.segmented_control(key="picture").set_value("difference")
    app.run()
    assert fine(app)
    assert "attention of" not in json.dumps(charts(app))
