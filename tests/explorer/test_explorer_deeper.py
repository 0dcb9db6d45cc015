"""Search tree and lens of one problem on the page Thoughts, without a browser."""

import json

import pytest

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


def test_the_tree_has_prefix_tokens_and_product_on_hover_and_in_the_table(opened: Open) -> None:
    app = opened(problem="chain-3", below=TREE)

    assert fine(app)
    tree = json.dumps(charts(app)[-1])
    assert "forced:" in tree
    assert "chance" in tree
    table = app.dataframe[-1].value
    assert {"layer", "prefix", "tokens", "probabilities", "value", "chance"} <= set(table.columns)
    assert not {title("untrained"), title("noise")} & set(table.columns)


def test_the_tree_stands_beside_its_controls_when_asked(opened: Open) -> None:
    asked = {"below": TREE, "tree": "the thoughts chosen above", "tree_controls": "true", "after": "2"}
    app = opened(**asked)

    assert fine(app)
    assert not app.info
    assert link(app) == asked
    assert {title("untrained"), title("pause"), title("noise")} <= set(app.dataframe[-1].value.columns)
    assert set(app.dataframe[-1].value["thoughts"]) == {2}


@pytest.mark.parametrize("tab", [TREE, LENS])
def test_both_open_for_every_kind_of_run_or_say_why_not(opened: Open, tab: str) -> None:
    app = opened(beside="second", below=tab, tree_controls="true")
    for run in ("cot", "no_cot", "pause_as_thought", "coconut_two"):
        app.selectbox(key="run").select(run)
        app.run()

        assert fine(app), run
        assert ("thinks no thoughts here, so there is no column" in text(app).replace("**", "")) == (
            run in ("cot", "no_cot") and tab == LENS
        )
        assert len(app.dataframe[-1].value)


def test_the_tuned_lens_is_fitted_once_and_on_other_graphs(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(below=LENS, lens="tuned lens", problem="chain-3")
    assert fine(first)
    assert any("What each layer says · tuned lens" in str(html.proto.body) for html in first.get("html"))
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


@pytest.mark.parametrize(("tab", "reading"), [(TREE, "Heights in the whole set"), (LENS, "The whole set")])
def test_one_click_leads_to_the_whole_set(opened: Open, tab: str, reading: str) -> None:
    app = opened(below=tab, run="second", controls="shuffled")
    next(button for button in app.button if button.label == reading).click()
    app.run()

    assert fine(app), [*app.exception, *app.error, text(app)]
    assert app.selectbox(key="reading").value == ("height" if tab == TREE else "lens_layers")
    assert app.selectbox(key="run").value == "second"


def test_nonsense_in_a_link_falls_back_and_says_so(opened: Open) -> None:
    for nonsense in ({"below": TREE, "tree": "oak", "tree_controls": "perhaps"}, {"below": LENS, "lens": "contact"}):
        app = opened(**nonsense)

        assert fine(app)
        assert all((f"{name}=" in app.info[0].value) == (name != "below") for name in nonsense)
