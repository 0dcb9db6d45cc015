"""The explorer without a browser: checkpoints of every method, alone and side by side, and the dials of thinking."""

import json

import pytest

from apps import method
from tests.explorer.conftest import KINDS
from tests.explorer.page import Open, charts, fine, link, text
from workbench.train.methods import METHODS


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_run_opens_and_says_what_it_is(opened: Open, name: str) -> None:
    app = opened(run=name)

    assert fine(app)
    assert METHODS[name].title in text(app)
    assert len(charts(app)) == 3
    assert (method.PAUSE in text(app)) == (name == "pause_as_thought")
    assert ("trained without thoughts" in text(app)) == (name in ("cot", "no_cot"))


@pytest.mark.parametrize("below", ["After each thought, in words", "Raw LM head", "Node by node", "Code", "Downloads"])
def test_every_tab_of_a_run_without_thoughts_opens(opened: Open, below: str) -> None:
    app = opened(run="cot", below=below)

    assert fine(app)
    assert "No thoughts to move through" in text(app)
    assert "forced language is shown" in text(app)


def test_a_run_without_thoughts_beside_one_with_twelve(opened: Open) -> None:
    app = opened(run="cot", beside="coconut_two", thoughts_beside="12", after="5", below="Node by node")

    assert fine(app)
    assert app.select_slider(key="after").options[-1] == "12"
    graphs = json.dumps([str(html.proto.body) for html in app.get("html")])
    assert "After 0 thoughts" in graphs
    assert "After 5 thoughts" in graphs
    assert "Side by side only" in text(app)


def test_two_thoughts_per_step_stand_beside_one_by_the_hop_they_read(opened: Open) -> None:
    app = opened(run="reference", beside="coconut_two", after="2")
    assert fine(app)
    # The one with more thoughts leads: its second thought reads hop 1, as the other's first does.
    graphs = json.dumps([str(html.proto.body) for html in app.get("html")])
    assert "After 2 thoughts" in graphs
    assert "After 1 thought " in graphs
    assert [metric.label for metric in app.metric if "Mass" in metric.label] == ["Mass on hop 1"] * 2


def test_the_answer_may_be_given_at_once_or_in_words(opened: Open) -> None:
    trained, forced = opened(run="cot"), opened(run="cot", then="answer")

    assert fine(trained)
    assert fine(forced)
    assert "says " in text(trained)
    assert "answers " in text(forced)
    assert link(forced) == {"run": "cot", "then": "answer"}


@pytest.mark.parametrize("thoughts", ["0", "6"])
def test_thoughts_go_from_none_to_twice_the_trained_number(opened: Open, thoughts: str) -> None:
    app = opened(thoughts=thoughts)

    assert fine(app)
    assert app.number_input(key="thoughts").value == int(thoughts)
    assert ("LM head has none to read" in text(app)) == (thoughts == "0")


@pytest.mark.parametrize(
    "nonsense", [{"thoughts": "7"}, {"thoughts": "-1"}, {"thoughts_beside": "13"}, {"then": "tea"}]
)
def test_dials_beyond_their_range_fall_back_and_say_so(opened: Open, nonsense: dict[str, str]) -> None:
    app = opened(beside="coconut_two", **nonsense)

    assert fine(app)
    assert f"{next(iter(nonsense))}=" in app.info[0].value


def test_a_change_of_run_forgets_a_number_that_it_does_not_allow(opened: Open) -> None:
    app = opened(run="coconut_two", thoughts="11", after="11")
    app.selectbox(key="run").select("reference")
    app.run()

    assert fine(app)
    assert app.number_input(key="thoughts").value == 3
    app.selectbox(key="run").select("cot")
    app.run()
    assert fine(app)


@pytest.mark.parametrize("pair", [("cot", "no_cot"), ("pause_as_thought", "reference"), ("cot", "reference")])
def test_the_code_of_two_methods_runs(opened: Open, pair: tuple[str, str]) -> None:
    app = opened(run=pair[0], beside=pair[1], below="Code")
    assert fine(app)
    names: dict = {}
    exec(app.code[0].value.replace(".show()", "").replace("print(", "("), names)

    assert names["scores_beside"].problem is not None
