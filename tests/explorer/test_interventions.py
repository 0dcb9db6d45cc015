"""The page Interventions without a browser: operating, stacking, undoing, links, the cone, what cannot be done."""

from base64 import b64decode

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import workbench as wb
from apps.links import PARAMETERS
from apps.sidebar_problem import FIRST
from apps.text import plain
from apps.views.interventions.plan import ADDRESS, OFFERED
from apps.views.interventions.tour import STOPS
from tests.explorer.page import Open, charts, fine, go, link, markdown, text
from workbench.interventions.plan import Plan
from workbench.interventions.text import from_address
from workbench.problems.shortcuts import floor
from workbench.readings import node_vectors

PAGE = "surgery"
TWO = "project:at=2;nodes=brimpus"
"""Of the problem chain-3."""


def values(app: AppTest, number: int) -> list[float]:
    """What the nodes of a graph hold."""
    (nodes,) = [trace for trace in charts(app)[number]["data"] if trace.get("name") == "nodes"]
    return nodes["marker"]["color"]


def operate(app: AppTest, title: str, *nodes: str) -> AppTest:
    """Choose an operation and its nodes, and do it."""
    app.pills(key="operation").set_value(title).run()
    if nodes:
        app.multiselect(key="op nodes").set_value(list(nodes)).run()
    return app.button(key="operate").click().run()


def test_without_a_plan_both_graphs_show_the_same_run(opened: Open) -> None:
    app = opened(PAGE, picture="side by side")

    assert fine(app)
    assert values(app, 0) == values(app, 1)
    assert "unchanged, to the last bit" in text(app)
    assert "There is no intervention yet" in text(app)
    assert link(app) == {"picture": "side by side"}
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_a_link_opens_problem_plan_and_view(opened: Open) -> None:
    asked = {"surgery": f"frozen~{TWO}~noise:at=3;dose=0.5", "problem": "chain-3", "after": "2", "results": "Numbers"}
    app = opened(PAGE, **asked)

    assert fine(app)
    assert not app.info
    assert link(app) == asked
    assert [app.toggle(key=f"on-{place}").label for place in range(2)] == [
        "1. remove brimpus out of thought 2", "2. noise \\(seed 0\\) in thought 3",
    ]  # fmt: skip
    assert [app.slider(key=f"strength-{place}").value for place in range(2)] == [1.0, 0.5]
    assert app.segmented_control(key="later thoughts").value == "freeze"


def test_before_the_thought_intervened_on_nothing_has_changed_and_after_it_all_has(opened: Open) -> None:
    app = opened(PAGE, surgery=TWO, problem="chain-3", after="1", results="Numbers", picture="side by side")
    assert fine(app)
    assert values(app, 0) == values(app, 1)
    assert "unchanged, to the last bit" in text(app)

    go(app, 2)
    assert values(app, 0) != values(app, 1)
    assert "of the probability went elsewhere" in text(app)
    table = app.dataframe[-1].value
    assert list(table["can_change"]) == [False, True, True, *[False, False, True, True] * 2]
    assert list(table["same"]) == [not can for can in table["can_change"]]

    # Frozen, the later thoughts are as they were.
    go(app, 3)
    assert values(app, 0) != values(app, 1)
    app.segmented_control(key="later thoughts").set_value("freeze").run()

    assert fine(app)
    assert link(app)["surgery"] == f"freeze~{TWO}"
    assert values(app, 0) == values(app, 1)


def test_every_kind_offered_can_be_added_and_is_in_the_link(opened: Open) -> None:
    app = opened(PAGE, problem="chain-3", after="2", set="released", results="Numbers")
    for title, kind in OFFERED.items():
        app.pills(key="operation").set_value(title).run()
        for field, node in zip(kind.node_fields, ("brimpus", "scrompus"), strict=False):
            app.multiselect(key=f"op {field}").set_value([node])
        if kind.node_fields:
            assert app.button(key="operate").disabled
            app.run()
        app.button(key="operate").click().run()

        assert fine(app)
        (one,) = from_address(link(app)["surgery"]).interventions
        assert (one.kind, one.at) == (kind.kind, (2,))
        assert plain(one.described(3)) in app.toggle(key="on-0").label
        assert "Right is" in text(app)
        app.button(key="reset").click()
        for field in kind.node_fields:
            app.multiselect(key=f"op {field}").set_value([])


def test_interventions_go_on_stack_and_are_undone_dropped_and_reset(opened: Open) -> None:
    app = opened(PAGE, problem="chain-3", after="2", results="Numbers")
    for where, at in (("from it on", (2, 3)), ("every thought", ())):
        app.segmented_control(key="op where").set_value(where)
        operate(app, "Noise")
        assert from_address(link(app)["surgery"]).interventions[-1].at == at
    app.button(key="reset").click()
    app.segmented_control(key="op where").set_value("this thought")
    operate(app, "Remove node", "brimpus")
    operate(app, "Zero")
    both = link(app)["surgery"]
    assert [one.kind for one in from_address(both).interventions] == ["project", "zero"]

    for key, left in (("drop-0", "zero:at=2"), ("undo", both), ("reset", None), ("undo", both)):
        app.button(key=key).click().run()
        assert link(app).get("surgery") == left
    for _ in range(5):
        app.button(key="undo").click().run()
    assert fine(app)
    assert "surgery" not in link(app)
    assert app.button(key="undo").disabled


def test_a_node_is_removed_added_moved_and_swapped_by_buttons(opened: Open) -> None:
    app = opened(PAGE, problem="chain-3", after="2", concept="brimpus", results="Numbers")
    for title, kind in (("Remove", "project"), ("Add", "add"), ("Move", "move"), ("Swap", "swap")):
        app.button(key=f"do-{title}").click().run()
        if title in ("Move", "Swap"):
            app.selectbox(key="second node").set_value("scrompus").run()
        assert fine(app)
        one = from_address(link(app)["surgery"]).interventions[-1]
        assert (one.kind, one.at, one.nodes) == (kind, (2,), ("brimpus",))  # type: ignore[attr-defined]
        assert getattr(one, "to", ("scrompus",)) == ("scrompus",)
    assert len(from_address(link(app)["surgery"]).interventions) == 4


def test_operations_are_switched_off_made_weaker_exchanged_and_edited(opened: Open) -> None:
    app = opened(PAGE, surgery=f"{TWO}~zero:at=3", problem="chain-3", after="2", results="Numbers")
    with_both = app.metric[1].value
    app.toggle(key="on-1").set_value(False).run()
    assert link(app)["off"] == "2"
    assert app.metric[1].value == opened(PAGE, surgery=TWO, problem="chain-3", results="Numbers").metric[1].value
    assert app.metric[1].value != with_both

    app.button(key="up-1").click().run()
    assert (link(app)["surgery"], link(app)["off"]) == (f"zero:at=3~{TWO}", "1")
    app.slider(key="strength-1").set_value(0.5).run()
    assert from_address(link(app)["surgery"]).interventions[1].strength == 0.5  # type: ignore[attr-defined]
    app.button(key="edit-1").click().run()
    app.multiselect(key="op nodes").set_value(["scrompus"]).run()
    app.button(key="operate").click().run()
    zero, edited = from_address(link(app)["surgery"]).interventions
    assert (zero.kind, edited.nodes, edited.strength) == ("zero", ("scrompus",), 0.5)  # type: ignore[attr-defined]
    app.button(key="drop-0").click().run()
    assert "off" not in link(app)
    for _ in range(4):
        app.button(key="undo").click().run()
    assert (link(app)["surgery"], link(app)["off"]) == (f"{TWO}~zero:at=3", "2")
    assert fine(app)


def test_codes_are_directions_too(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_vectors, "CODES_FROM", 24)
    shown = []
    for space in ("codes", "embedding"):
        app = opened(PAGE, set="pairs", surgery=f"project:nodes=on_path;space={space};at=1", results="Numbers")
        assert fine(app)
        shown.append(list(app.dataframe[-1].value["step"]))
    assert shown[0] != shown[1]


def test_a_thought_is_drawn_as_a_sum_of_node_codes_beside_random_directions(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_vectors, "CODES_FROM", 24)
    app = opened(PAGE, set="pairs", picture="sum of nodes", after="2", results="Numbers")

    assert fine(app)
    (weights,) = [trace["marker"]["color"] for trace in charts(app)[0]["data"] if trace.get("name") == "nodes"]
    assert (np.frombuffer(b64decode(weights["bdata"]), weights["dtype"]) ** 2).sum() == pytest.approx(1)
    assert "as a sum of node codes" in text(app)
    assert "random directions" in text(app)


def test_a_list_without_end_is_refused_in_words(opened: Open) -> None:
    app = opened(PAGE, surgery="~".join(["zero:at=2"] * 32), after="2", results="Numbers")
    operate(app, "Zero")

    assert not app.exception
    assert "cannot have 33 interventions" in text(app)
    assert len(from_address(link(app)["surgery"]).interventions) == 32


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("noise:at=9", "thought 9"),
        ("transplant:donor=stranger", "no source"),
        ("transplant:at=1", "entity-swapped twin"),
        ("x" * 5000, 'no intervention "x'),
        ("knockout:layers=7", "layers"),
        ("project:nodes=%21%5Bx%5D%28http%3A//example.org/x.png%29", "no node"),
    ],
)
def test_a_plan_that_cannot_be_done_says_why_and_can_be_reset(opened: Open, written: str, why: str) -> None:
    app = opened(PAGE, surgery=written)

    assert not app.exception
    assert "should not have" not in text(app)
    assert app.error
    assert why in text(app)
    assert all("![x](" not in said for said in markdown(app))  # what a link says is no markdown
    app.button(key="reset").click().run()
    assert fine(app)


def test_what_is_written_by_hand_runs_too(opened: Open) -> None:
    first = "knockout:to=edges;at=2~ablate:at=2;layers=0~patch:donor=chain-1;at=1"
    for written in (first, "mean:at=1~shuffle", "remove:at=1"):
        app = opened(PAGE, surgery=written, problem="chain-3", results="Numbers")

        assert fine(app), written
        assert "Right is" in text(app)


def test_the_twin_lends_its_thought(opened: Open) -> None:
    app = opened(PAGE, set="pairs", surgery="transplant:at=1")

    assert fine(app)
    assert app.segmented_control(key="against").options == ["random direction"]


def test_links_know_every_box_that_is_bound() -> None:
    assert {ADDRESS, "tour", "against", "results"} <= set(PARAMETERS)
    assert Plan() == from_address("")


def test_the_reference_answers_the_problems_of_the_tour_right_and_the_blind_rule_does_not() -> None:
    about = {one.id: one for one in wb.load_problems("released")}
    asked = [about[name] for name in dict.fromkeys([FIRST["released"], *(stop.problem for stop in STOPS.values())])]

    assert all(one.right for one in wb.load("reference").answer(asked))
    assert max(floor(list(about.values()))[1][[list(about).index(one.id) for one in asked]]) < 0.5
