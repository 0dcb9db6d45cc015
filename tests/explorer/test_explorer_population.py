"""The page Population without a browser: readings with their controls, stopping, the way to a problem."""

import json

import pytest

from apps import cache, links
from tests.explorer.page import Open, charts, fine, link, ran, text
from workbench.errors import WorkbenchError
from workbench.measure.run_labels import CONTROLS, title
from workbench.readings import READINGS

FIRST, SECOND, *_ = READINGS.values()


def test_the_first_reading_is_drawn_with_its_question_source_chance_and_controls(opened: Open) -> None:
    app = opened("population")

    assert fine(app)
    assert FIRST.title in text(app)
    assert all(part in text(app) for part in (FIRST.question, FIRST.source, FIRST.chance))
    names = json.dumps(charts(app))
    assert all(title(run) in names for run in ("untrained", "shuffled"))
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))
    assert link(app) == {}


@pytest.mark.parametrize("name", READINGS)
def test_every_reading_opens_or_says_in_words_why_not(opened: Open, name: str) -> None:
    app = opened("population", run="second", reading=name, controls="shuffled", thoughts="2")

    assert not app.exception
    assert "should not have" not in text(app)


def test_the_link_holds_the_choices(opened: Open) -> None:
    asked = {"set": "pairs", "controls": title("noise"), "thoughts": "2", "reading": SECOND.title}
    asked["run"] = "pause_as_thought"
    app = opened("population", **asked)

    assert fine(app)
    assert app.multiselect(key="controls").value == ["noise"]
    assert not app.info
    assert link(app) == asked
    assert title("noise") in json.dumps(charts(app))


def test_a_set_is_recorded_once(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened("population", controls="shuffled")

    def fail(*arguments: object, **more: object) -> None:
        raise AssertionError("recorded again")

    monkeypatch.setattr(cache, "record", fail)
    monkeypatch.setattr(cache, "record_controls", fail)
    assert fine(opened("population", controls="shuffled"))


def test_the_model_is_drawn_before_its_controls_are_recorded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise WorkbenchError("No controls.", "Not yet.", "Wait.")

    monkeypatch.setattr(cache, "record_controls", fail)
    app = opened("population", controls="noise", thoughts="1")

    assert "No controls." in text(app)
    assert "The model alone" in text(app)
    drawn = json.dumps(charts(app))
    assert title("model") in drawn
    assert title("noise") not in drawn


def test_stopping_leaves_the_way_to_go_on(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "recorded", lambda *arguments: False)
    app = opened("population", run="cot")  # nothing to record: the page stands before it
    app.session_state["stopped"] = ("reference", 3, 5, *("untrained", "shuffled"))
    app.selectbox(key="run").select("reference").run()

    assert fine(app)
    assert "Stopped" in text(app)
    assert not charts(app)
    assert any(button.label == "Go on" for button in app.button)


def test_a_run_without_thoughts_says_so(opened: Open) -> None:
    app = opened("population", run="cot")

    assert fine(app)
    assert "thinks no thoughts here" in text(app)
    assert not charts(app)
    assert app.multiselect(key="controls").options == [control.title for control in CONTROLS.values()]


def test_what_the_model_does_past_the_target_is_said(opened: Open) -> None:
    said = text(opened("population", controls="shuffled", reading="breadth"))

    # The targets of chain-0 to chain-4 are 1 to 5 hops away; the model thinks three thoughts.
    assert "After 2 thoughts, past the target of 1 problem" in said
    assert "After 3 thoughts, past the target of 2 problems" in said
    assert "After 1 thought, past" not in said


def test_one_problem_is_no_population(opened: Open) -> None:
    for kind in ("pasted", "random"):
        app = opened("population", set=kind)
        assert not app.exception
        assert "no population" in text(app)


def test_nonsense_in_a_link_falls_back_and_says_so(opened: Open) -> None:
    nonsense = {"run": "../../etc", "reading": "tea leaves", "controls": "sugar", "count": "-3", "under": "stairs"}
    app = opened("population", **nonsense)

    assert fine(app)
    assert charts(app)
    assert all(f"{name}=" in app.info[0].value for name in nonsense)


def test_a_problem_chosen_by_name_opens_on_the_page_of_thoughts(opened: Open) -> None:
    app = opened("population", run="second", controls="shuffled", thoughts="2")
    app.selectbox(key="to open").select("chain-3").run()
    next(button for button in app.button if button.label == "Open").click()
    app.run()

    assert fine(app)
    assert app.selectbox(key="problem").value == "chain-3"
    assert app.selectbox(key="run").value == "second"
    assert link(app)["problem"] == "chain-3"

    app = opened("population", run="second", controls="shuffled", thoughts="2")
    app.session_state["open problem"] = "chain-4"  # another is open already
    app.session_state[links.WAY] = "Thoughts", {"problem": "chain-4"}  # what a click leaves
    app.run()
    assert app.selectbox(key="problem").value == "chain-4"


def test_the_code_reproduces_the_figures(opened: Open) -> None:
    app = opened("population", under="Code", controls="shuffled", thoughts="2")
    names = ran(app.code[0].value)

    assert len(names["result"].figures) == len(charts(app))
    assert names["result"].frame["run"].unique(maintain_order=True).to_list() == ["model", "shuffled"]
