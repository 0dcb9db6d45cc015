"""Search tree, lens and attention of one problem on the page Thoughts, without a browser."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from apps.components import tabs
from tests.explorer.page import Open, charts, fine, link, text
from workbench.measure.run_labels import title

TREE, LENS = "Search tree", "Lens over layers"


def test_neither_is_computed_before_its_tab_is_opened(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr("apps.components.tabs.spell", fail)
    monkeypatch.setattr("apps.components.tabs.read_lenses", fail)

    assert fine(opened())


def test_the_tree_has_prefix_tokens_and_product_and_stands_beside_its_controls_when_asked(opened: Open) -> None:
    asked = {"problem": "chain-3", "below": TREE, "tree": "the thoughts chosen above", "after": "2"}
    app = opened(**asked)
    tree, table = json.dumps(charts(app)[-1]), app.dataframe[-1].value

    assert fine(app)
    assert "forced:" in tree
    assert "chance" in tree
    assert {"layer", "prefix", "tokens", "probabilities", "value", "chance"} <= set(table.columns)
    controls = {title("untrained"), title("pause"), title("noise")}
    assert not controls & set(table.columns)
    asked["tree_controls"] = "true"
    app = opened(**asked)
    assert fine(app)
    assert not app.info
    assert link(app) == asked
    assert controls <= set(app.dataframe[-1].value.columns)
    assert set(app.dataframe[-1].value["thoughts"]) == {2}


@pytest.mark.parametrize("tab", [TREE, LENS])
def test_both_open_for_every_kind_of_run(opened: Open, tab: str) -> None:
    app = opened(run="pause_as_thought", beside="coconut_two", below=tab, tree_controls="true")

    assert fine(app)
    assert len(app.dataframe[-1].value)


def test_the_tuned_lens_is_fitted_once_and_on_other_graphs(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(below=LENS, lens="tuned lens", problem="chain-3")
    assert fine(first)
    assert "What each layer says · tuned lens" in text(first)
    assert "Fitted on 4 problems on other graphs: other problems of the set" in text(first)  # too small to generate
    assert not first.info

    def fail(*arguments: object, **more: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(tabs, "fit_lens", fail)
    assert fine(opened(below=LENS, lens="tuned lens", problem="chain-3"))


def test_a_lens_that_cannot_be_fitted_says_why_and_the_rest_stays(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workbench.measure.splits.LARGEST", 0
    )  # a large model: parts of the set, and here is one problem
    app = opened(set="random", below=LENS, lens="tuned lens")

    assert not app.exception
    assert "Nothing is left to fit on" in app.error[0].value
    assert len(charts(app)) == 3


def test_one_click_leads_to_the_whole_set(opened: Open) -> None:
    for tab, label, reading in ((TREE, "Heights in the whole set", "height"), (LENS, "The whole set", "lens_layers")):
        app = opened(below=tab, run="second", controls="shuffled", thoughts="1")
        next(button for button in app.button if button.label == label).click()
        app.run()

        assert fine(app), [*app.exception, *app.error, text(app)]
        assert app.selectbox(key="reading").value == reading
        assert app.selectbox(key="run").value == "second"


def test_nonsense_in_a_link_falls_back_and_says_so(opened: Open) -> None:
    for nonsense in (
        {"below": TREE, "tree": "oak", "tree_controls": "perhaps", "layer": "7", "head": "x", "attention": "true"},
        {"below": LENS, "lens": "contact"},
    ):
        app = opened(**nonsense)

        assert fine(app)
        assert all((f"{name}=" in app.info[0].value) == (name not in ("below", "attention")) for name in nonsense)


# Attention on the graph


def graph(app: AppTest) -> str:
    return json.dumps(charts(app)[0])


def test_attention_is_drawn_when_asked_for_with_its_chance_and_where_the_rest_goes(opened: Open) -> None:
    app = opened(after="2", problem="chain-3")
    assert not app.toggle(key="attention").value
    assert "attention of" not in graph(app)

    app.toggle(key="attention").set_value(True).run()
    assert fine(app)
    assert "attention of thought 2, layer 1, all heads" in graph(app)
    assert "chance" in graph(app)
    assert "the two options" in text(app)
    assert "Spread evenly over the" in text(app)

    app.segmented_control(key="layer").set_value(0)
    app.segmented_control(key="head").set_value("1").run()
    assert fine(app)
    assert "layer 0, head 1" in graph(app)


@pytest.mark.parametrize(("name", "column"), [("cot", "the end of the prompt"), ("pause_as_thought", "pause 1")])
def test_what_attends_is_called_what_it_is(opened: Open, name: str, column: str) -> None:
    app = opened(run=name, attention="true")

    assert fine(app)
    assert f"attention of {column}" in graph(app)


def test_two_runs_show_theirs_side_by_side_and_none_in_the_difference(opened: Open) -> None:
    app = opened(beside="second", attention="true")
    assert fine(app)
    assert json.dumps(charts(app)).count("attention, in numbers") == 2

    app.segmented_control(key="picture").set_value("difference").run()
    assert fine(app)
    assert "attention of" not in json.dumps(charts(app))


def test_a_cell_of_the_lens_is_ablated_on_the_page_interventions(opened: Open) -> None:
    app = opened(below=LENS)
    assert "Click a cell" in text(app)

    app.session_state["lens cell"] = (2, 1)  # what a click leaves
    app.run()
    assert fine(app)
    marks = [shape for shape in charts(app)[-1]["layout"]["shapes"] if shape["type"] == "rect"]
    assert len(marks) == 6  # the cell, those above and those after it, in both maps
    app.session_state["lens cell"] = (3, 12)  # of a larger run: forgotten
    app.run()
    assert fine(app)
    assert "Click a cell" in text(app)
    app.session_state["lens cell"] = (2, 1)
    app.run()
    app.selectbox(key="part lens-reference").select("head 1").run()
    app.button(key="zero lens-reference").click().run()

    assert fine(app)
    assert link(app)["surgery"] == "ablate:at=2;layers=0;heads=1"
    assert "heads set to zero" in text(app)


def test_attention_to_the_edges_into_a_node_is_cut_on_the_page_interventions(opened: Open) -> None:
    app = opened(attention="true", after="2", layer="0", head="1")
    app.session_state["plan kept"] = ("zero:at=1", "")
    assert "layer 0, head 1" in graph(app)
    target = app.selectbox(key="concept").value
    button = app.button(key="cut only-2")
    assert button.label == f"Cut this attention to the 2 edges into {target}"
    button.click().run()

    assert fine(app)
    assert link(app)["surgery"].startswith("zero:at=1~knockout:")  # it joins the plan
    assert "no attention to" in text(app)
