"""The page Interventions, without a browser: the answer, strengths, many problems, code, other runs, the tour."""

import json
from dataclasses import replace

import pytest

from apps.views.interventions.tour import STOPS
from tests.explorer.page import Open, charts, fine, html, link, ran, text
from workbench import catalog
from workbench.interventions.text import from_address
from workbench.problems.files import load_problems
from workbench.problems.shortcuts import shortcut_resistant
from workbench.problems.variants import entity_swap

PAGE = "surgery"
TWO = "project:at=2;nodes=brimpus"
"""Of the problem chain-3."""


def test_the_answer_stands_beside_its_control_and_chance(opened: Open) -> None:
    app = opened(PAGE, surgery=TWO, problem="chain-3", against="random direction", results="Numbers")

    assert fine(app)
    assert [metric.label for metric in app.metric][-1] == "p(target), control"
    assert "8 draws" in app.metric[-1].delta
    assert "chance between the two" in json.dumps(charts(app)[2])


def test_the_strength_has_a_curve_with_its_control_in_the_same_axes(opened: Open) -> None:
    app = opened(PAGE, surgery=f"{TWO}~zero:at=3;dose=0.5", problem="chain-3")
    assert fine(app)
    curve = charts(app)[-1]
    names = [trace["name"] for trace in curve["data"]]
    assert sum("with interventions" in name for name in names) == sum(name.endswith("control") for name in names) == 2

    app.selectbox(key="strength of").select_index(0).run()
    assert fine(app)
    assert charts(app)[-1] != curve


@pytest.mark.parametrize("asked", [{"surgery": TWO, "problem": "chain-3"}, {"set": "pairs", "surgery": "transplant"}])
def test_the_code_reproduces_the_plan(opened: Open, asked: dict[str, str]) -> None:
    app = opened(PAGE, results="Link, code, YAML", **asked)
    assert fine(app)
    address, code, written = (block.value for block in app.code)
    names = ran(code)

    assert names["plan"] == from_address(asked["surgery"])
    assert f"surgery={asked['surgery']}" in address
    assert "interventions:" in written
    assert float(app.metric[1].value) == pytest.approx(names["result"].answers["target"][1], abs=6e-4)


@pytest.mark.parametrize(
    ("run", "tab"),
    [
        ("pause_as_thought", "Dose"), ("pause_as_thought", "Strength"), ("pause_as_thought", "In words"),
        ("coconut_two", "Link, code, YAML"),
    ],
)  # fmt: skip
def test_every_tab_opens_for_other_methods_too(opened: Open, run: str, tab: str) -> None:
    app = opened(PAGE, run=run, surgery="project:nodes=on_path;at=2", results=tab, readout="forced language")

    assert fine(app)


def test_a_run_without_thoughts_says_so(opened: Open) -> None:
    app = opened(PAGE, run="cot", surgery="zero")

    assert fine(app)
    assert "thinks no thoughts here" in text(app)
    assert not charts(app)


def test_the_difference_is_one_graph(opened: Open) -> None:
    app = opened(PAGE, surgery="zero:at=1", picture="difference", results="Numbers")

    assert fine(app)
    assert "with the plan less without it" in " ".join(html(app)).lower()


def test_many_problems_are_asked_when_wanted_with_interval_n_and_control(opened: Open) -> None:
    app = opened(PAGE, set="pairs", surgery="transplant:at=1", results="How often")
    assert fine(app)
    before = len(app.metric)
    app.button(key="ask set").click().run()

    assert fine(app)
    assert [metric.label for metric in app.metric[before:]][:2] == [
        "Right answer kept", "The other option instead",
    ]  # fmt: skip
    assert all("n = " in metric.delta for metric in app.metric[before:])
    assert "The plan fits 2 of 2 problems" in text(app)


def test_a_node_by_name_is_asked_of_many_problems_as_the_set_it_is_of(opened: Open) -> None:
    app = opened(PAGE, problem="chain-3", surgery=TWO, results="Numbers")
    app.button(key="ask many").click().run()

    assert fine(app)
    assert "On 5 problems, on_path in place of brimpus" in text(app)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"surgery": TWO.replace("2", "1"), "problem": "chain-3"}, "names nodes of this problem"),
        ({"surgery": ""}, "There is no intervention yet"),
        ({"surgery": "mean", "problem": "chain-3"}, "whole set at once"),
        ({"surgery": "zero", "set": "random"}, "of no bundled set"),
    ],
)
def test_what_cannot_be_asked_of_many_problems_says_why(opened: Open, asked: dict[str, str], why: str) -> None:
    app = opened(PAGE, results="How often", **asked)

    assert fine(app)
    assert why in text(app)


# The tour


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops on the problems that the tests have."""
    for title, stop in STOPS.items():
        plan = stop.plan.replace("at=6", "at=3")  # the tests' runs think three thoughts
        moved = replace(stop, set="pairs", problem="balanced-0", plan=plan, after=min(stop.after, 3))
        monkeypatch.setitem(STOPS, title, moved)


@pytest.mark.parametrize("title", STOPS)
def test_a_stop_asks_first_and_tells_then(opened: Open, bundled: None, title: str) -> None:
    app = opened(PAGE, results="Numbers", tour=title)  # a link may name a stop alone
    assert fine(app)
    assert link(app)["surgery"] == STOPS[title].plan
    assert "What happened" not in text(app)
    assert len(charts(app)) == 1  # what it did is not shown before the guess

    app.pills(key=f"guess {title}").set_value("something else").run()
    assert fine(app)
    assert len(charts(app)) >= 3
    answer = app.metric[0].value.replace("\\", "")
    assert f"it answers **{answer}**" in text(app)
    assert "Your guess, something else, was" in text(app)


def test_every_stop_is_a_plan_on_a_bundled_problem_that_no_query_blind_rule_gets() -> None:
    problems = {one.id: one for one in load_problems(catalog.ROOT / "fixtures" / "problems" / "released.json")}
    for stop in STOPS.values():
        problem = problems[stop.problem]
        assert stop.set == "released"
        assert shortcut_resistant(problem)
        assert stop.control in from_address(stop.plan).controls
        assert entity_swap(problem) is not None


def test_changing_the_plan_leaves_the_stop(opened: Open, bundled: None) -> None:
    app = opened(PAGE)
    app.pills(key="tour").set_value(next(iter(STOPS))).run()
    assert link(app)["surgery"] == next(iter(STOPS.values())).plan
    app.button(key="reset").click().run()

    assert fine(app)
    assert "no longer the plan of that stop" in text(app)
    assert len(charts(app)) >= 3
    app.button(key="back to stop").click().run()
    assert link(app)["surgery"] == next(iter(STOPS.values())).plan
    assert len(charts(app)) == 1
