"""The page Surgery without a browser: operating, stacking, undoing, links, the cone, controls, doses, the tour."""

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from apps import shelf, stack
from apps.operations import OPERATIONS, said
from apps.parameters import PARAMETERS
from apps.tour_stops import STOPS, Stop
from tests.explorer.page import Open, charts, fine, link, text
from workbench.blind import shortcut_resistant
from workbench.interventions.matching import controls_of
from workbench.interventions.surgery import Surgery
from workbench.interventions.written import KINDS, from_address
from workbench.prosqa import load_problems
from workbench.variants import entity_swap

PAGE = "surgery"
TWO = "project:at=2;nodes=brimpus"
"""Of the problem chain-3."""


def values(app: AppTest, number: int) -> list[float]:
    """What the nodes of a graph hold."""
    (nodes,) = [trace for trace in charts(app)[number]["data"] if trace.get("name") == "nodes"]
    return nodes["marker"]["color"]


def operate(app: AppTest, title: str, *nodes: str) -> AppTest:
    """Choose an operation and its nodes, and do it."""
    app.pills(key="operation").set_value(title)
    app.run()
    if nodes:
        app.multiselect(key="op nodes").set_value(list(nodes))
        app.run()
    app.button(key="operate").click()
    return app.run()


def test_without_a_surgery_both_graphs_show_the_same_run(opened: Open) -> None:
    app = opened(PAGE)

    assert fine(app)
    assert values(app, 0) == values(app, 1)
    assert "unchanged, to the last bit" in text(app)
    assert "Nothing is operated on yet" in text(app)
    assert link(app) == {}
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_a_link_opens_problem_surgery_and_view(opened: Open) -> None:
    asked = {"surgery": f"frozen~{TWO}~noise:at=3;dose=0.5", "problem": "chain-3", "after": "2", "results": "Numbers"}
    app = opened(PAGE, **asked)

    assert fine(app)
    assert not app.info
    assert link(app) == asked
    assert [button.label for button in app.button if str(button.key).startswith("drop-")] == [
        "1. remove brimpus out of thought 2", "2. noise (seed 0) in thought 3, dose 0.5",
    ]  # fmt: skip
    assert app.segmented_control(key="loop or frozen").value == "frozen"


def test_before_the_thought_operated_on_nothing_has_changed_and_after_it_all_has(opened: Open) -> None:
    app = opened(PAGE, surgery=TWO, problem="chain-3", after="1", results="Numbers")
    assert fine(app)
    assert values(app, 0) == values(app, 1)
    assert "unchanged, to the last bit" in text(app)

    app.button(key="later").click()
    app.run()
    assert values(app, 0) != values(app, 1)
    assert "of the probability went elsewhere" in text(app)
    table = app.dataframe[-1].value
    assert list(table["can_change"]) == [False, True, True, *[False, False, True, True] * 2]
    assert list(table["same"]) == [not can for can in table["can_change"]]


def test_frozen_leaves_the_later_thoughts_as_they_were(opened: Open) -> None:
    app = opened(PAGE, surgery=TWO, problem="chain-3", after="3")
    assert values(app, 0) != values(app, 1)
    app.segmented_control(key="loop or frozen").set_value("frozen")
    app.run()

    assert fine(app)
    assert link(app)["surgery"] == f"frozen~{TWO}"
    assert values(app, 0) == values(app, 1)


@pytest.mark.parametrize("title", OPERATIONS)
def test_every_operation_can_be_done_and_is_in_the_link(opened: Open, title: str) -> None:
    app = opened(PAGE, problem="chain-3", after="2", set="released")
    if "to" in OPERATIONS[title].fields:
        app.pills(key="operation").set_value(title)
        app.run()
        app.multiselect(key="op to").set_value(["scrompus"])
        app.run()
    operate(app, title, *(["brimpus"] if "nodes" in OPERATIONS[title].fields else []))

    assert fine(app)
    (one,) = from_address(link(app)["surgery"]).interventions
    assert one.at == (2,)
    assert said(one, 3) in next(button.label for button in app.button if button.key == "drop-0")
    assert "Right is" in text(app)


@pytest.mark.parametrize(("where", "at"), [("from it on", (2, 3)), ("every thought", ())])
def test_an_operation_may_go_on(opened: Open, where: str, at: tuple[int, ...]) -> None:
    app = opened(PAGE, problem="chain-3", after="2")
    app.segmented_control(key="op where").set_value(where)
    operate(app, "Noise")

    assert from_address(link(app)["surgery"]).interventions[0].at == at


def test_surgeries_stack_and_are_undone_dropped_and_reset(opened: Open) -> None:
    app = opened(PAGE, problem="chain-3", after="2")
    operate(app, "Remove node", "brimpus")
    operate(app, "Zero")
    both = link(app)["surgery"]
    assert [one.kind for one in from_address(both).interventions] == ["project", "zero"]

    app.button(key="drop-0").click()
    app.run()
    assert link(app)["surgery"] == "zero:at=2"
    app.button(key="undo").click()
    app.run()
    assert link(app)["surgery"] == both
    app.button(key="reset").click()
    app.run()
    assert "surgery" not in link(app)
    for _ in range(3):
        app.button(key="undo").click()
        app.run()
    assert fine(app)
    assert "surgery" not in link(app)
    assert app.button(key="undo").disabled


def test_a_list_without_end_is_refused_in_words(opened: Open) -> None:
    app = opened(PAGE, surgery="~".join(["zero:at=2"] * 32), after="2")
    operate(app, "Zero")

    assert not app.exception
    assert "cannot have 33 interventions" in text(app)
    assert len(from_address(link(app)["surgery"]).interventions) == 32


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("projct:nodes=a", "project"),
        ("project:nodes=nobody", "no node"),
        ("noise:at=9", "thought 9"),
        ("transplant:donor=stranger", "no donor"),
        ("x" * 5000, "no surgery"),
        ("knockout:layers=7", "layers"),
    ],
)
def test_a_surgery_that_cannot_be_done_says_why_and_can_be_reset(opened: Open, written: str, why: str) -> None:
    app = opened(PAGE, surgery=written)

    assert not app.exception
    assert "should not have" not in text(app)
    assert app.error
    assert why in text(app)
    app.button(key="reset").click()
    app.run()
    assert fine(app)


@pytest.mark.parametrize(
    "written",
    [
        "knockout:to=edges;at=2",
        "ablate:at=2;layers=0",
        "patch:donor=chain-1;at=1",
        "mean:at=1",
        "shuffle",
        "remove:at=1",
    ],
)
def test_what_is_written_by_hand_runs_too(opened: Open, written: str) -> None:
    app = opened(PAGE, surgery=written, problem="chain-3")

    assert fine(app)
    assert "Right is" in text(app)


def test_the_twin_lends_its_thought(opened: Open) -> None:
    app = opened(PAGE, set="pairs", surgery="transplant:at=1")

    assert fine(app)
    assert app.segmented_control(key="against").options == ["random direction"]


def test_a_problem_without_a_twin_says_so(opened: Open) -> None:
    app = opened(PAGE, problem="chain-3", surgery="transplant:at=1")

    assert not app.exception
    assert "entity\\-swapped twin" in text(app)


def test_the_answer_stands_beside_its_control_and_chance(opened: Open) -> None:
    app = opened(PAGE, surgery=TWO, problem="chain-3", against="random direction")

    assert fine(app)
    assert [metric.label for metric in app.metric][-1] == "p(target), control"
    assert "8 draws" in app.metric[-1].delta
    assert "chance between the two" in json.dumps(charts(app)[3])


def test_the_dose_has_a_curve_with_its_control_in_the_same_axes(opened: Open) -> None:
    app = opened(PAGE, surgery=f"{TWO}~zero:at=3;dose=0.5", problem="chain-3")
    assert fine(app)
    curve = charts(app)[-1]
    names = [trace["name"] for trace in curve["data"]]
    assert sum("surgery" in name for name in names) == sum(name.endswith("control") for name in names) == 2

    app.selectbox(key="dose of").select_index(0)
    app.run()
    assert fine(app)
    assert charts(app)[-1] != curve


@pytest.mark.parametrize("asked", [{"surgery": TWO, "problem": "chain-3"}, {"set": "pairs", "surgery": "transplant"}])
def test_the_code_reproduces_the_surgery(opened: Open, asked: dict[str, str]) -> None:
    app = opened(PAGE, results="Link, code, YAML", **asked)
    assert fine(app)
    address, code, written = (block.value for block in app.code)
    names: dict = {}
    exec(code.replace(".show()", "").replace("print(", "("), names)

    assert names["surgery"] == from_address(asked["surgery"])
    assert f"surgery={asked['surgery']}" in address
    assert "interventions:" in written
    assert float(app.metric[1].value) == pytest.approx(names["table"]["target"][1], abs=6e-4)


@pytest.mark.parametrize(
    ("run", "tab"),
    [
        ("pause_as_thought", "Dose"), ("pause_as_thought", "In words"),
        ("coconut_two", "Numbers"), ("coconut_two", "Link, code, YAML"),
    ],
)  # fmt: skip
def test_every_tab_opens_for_other_methods_too(opened: Open, run: str, tab: str) -> None:
    app = opened(PAGE, run=run, surgery="project:nodes=on_path;at=2", results=tab, readout="forced language")

    assert fine(app)


@pytest.mark.parametrize("run", ["cot", "no_cot"])
def test_a_run_without_thoughts_says_so(opened: Open, run: str) -> None:
    app = opened(PAGE, run=run, surgery="zero")

    assert fine(app)
    assert "thinks no thoughts here" in text(app)
    assert not charts(app)


def test_the_difference_is_one_graph(opened: Open) -> None:
    app = opened(PAGE, surgery="zero:at=1", picture="difference")

    assert fine(app)
    assert "less" in json.dumps([str(html.proto.body) for html in app.get("html")])


# The tour


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops on the problems that the tests have."""
    for title, stop in STOPS.items():
        surgery = stop.surgery.replace("at=6", "at=3")  # the tests' runs think three thoughts
        moved = replace(stop, set="pairs", problem="balanced-0", surgery=surgery, after=min(stop.after, 3))
        monkeypatch.setitem(STOPS, title, moved)


@pytest.mark.parametrize("title", STOPS)
def test_a_stop_asks_first_and_tells_then(opened: Open, bundled: None, title: str) -> None:
    app = opened(PAGE)
    app.pills(key="tour").set_value(title)
    app.run()
    assert fine(app)
    assert link(app)["surgery"] == STOPS[title].surgery
    assert "What happened" not in text(app)
    assert len(charts(app)) == 1  # what it did is not shown before the guess

    app.pills(key=f"guess {title}").set_value("something else")
    app.run()
    assert fine(app)
    assert len(charts(app)) > 3
    answer = app.metric[0].value
    assert f"it answers **{answer}**" in text(app)
    assert "Your guess, something else, was" in text(app)


@pytest.mark.parametrize("stop", STOPS.values(), ids=lambda stop: stop.title)
def test_every_stop_is_a_surgery_on_a_bundled_problem_that_no_query_blind_rule_gets(stop: Stop) -> None:
    problems = load_problems(shelf.ROOT / "fixtures" / "problems" / f"{stop.set}.json")
    (problem,) = [one for one in problems if one.id == stop.problem]

    assert shortcut_resistant(problem)
    assert stop.control in controls_of(from_address(stop.surgery))
    assert entity_swap(problem) is not None


def test_a_link_may_name_a_stop_alone(opened: Open, bundled: None) -> None:
    title = next(iter(STOPS))
    app = opened(PAGE, tour=title)

    assert fine(app)
    assert link(app)["surgery"] == STOPS[title].surgery


def test_changing_the_surgery_leaves_the_stop(opened: Open, bundled: None) -> None:
    app = opened(PAGE, tour=next(iter(STOPS)))
    app.button(key="reset").click()
    app.run()

    assert fine(app)
    assert "no longer the surgery of that stop" in text(app)
    assert len(charts(app)) > 3
    app.button(key="back to stop").click()
    app.run()
    assert link(app)["surgery"] == next(iter(STOPS.values())).surgery
    assert len(charts(app)) == 1


def test_every_kind_has_words() -> None:
    for kind, made in KINDS.items():
        assert said(made(at=(2,)), 3).strip()
        assert kind in KINDS


def test_links_know_every_box_that_is_bound() -> None:
    assert {stack.ADDRESS, "tour", "against", "results"} <= set(PARAMETERS)
    assert Surgery() == from_address("")
