"""The explorer without a browser: the first screen, links, moving through the thoughts, two runs, filters."""

import gc
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from apps.cache import leave_out_imports, outcome_key
from apps.links import PARAMETERS
from apps.outcomes import shipped
from apps.state import Run
from tests.conftest import chain
from tests.explorer.page import Open, charts, fine, go, here, html, link, markdown, node_values, text
from workbench import catalog
from workbench.measure.trace import answers, run
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems

# The first screen


def test_the_first_screen_needs_no_typing(opened: Open) -> None:
    app = opened()

    assert fine(app)
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))  # for those who do not see the figures
    assert app.selectbox(key="run").value == "reference"
    assert app.selectbox(key="set").value == "released"
    assert len(charts(app)) == 3  # graph, mass by thought, concept over thoughts
    assert "Made to speak after 1 thought" in text(app)
    assert link(app) == {}  # defaults are left out
    numbers = next(part for part in html(app) if part.startswith("Mass on hop 1"))
    assert re.sub(r"[\d.]+", "x", numbers) == (
        "Mass on hop x x chance x Without the target – no other node at hop x Effective nodes x of x at hop x "
        "Rank of a path node x of x chance x"
    )


def test_what_is_imported_is_left_out_of_the_garbage_collection_after_every_run(opened: Open) -> None:
    gc.unfreeze()  # what the tests have left out themselves
    leave_out_imports.cache_clear()
    assert fine(opened())
    assert gc.get_freeze_count() > 100_000


def test_the_sentence_says_mass_and_chance_of_the_thought_shown(opened: Open) -> None:
    app = opened(problem="chain-3")
    (ran,) = run(load_checkpoint(catalog.runs()["reference"]), [chain(3, 4)])
    for depth in (1, 2, 3):
        go(app, depth)
        (said,) = [part for part in html(app) if "This is one problem" in part]
        mass = ran.lm_head[depth - 1, 1 + depth]  # a chain: the nodes 2, 3, ... follow the root

        assert fine(app)
        assert said.startswith(f"After {depth} thought")
        assert f"{mass:.0%} of the probability of all tokens is on the one node {depth} hop" in said
        assert "(chance 20%)" in said  # five concepts


def test_without_a_run_the_page_says_what_to_do(opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(catalog.RUNS_VARIABLE, str(tmp_path))
    app = opened()

    assert not app.exception
    assert "There is no trained model here yet." in app.error[0].value
    assert "workbench train configs/first.yaml" in text(app)


# Links


def test_a_link_opens_the_same_view(opened: Open) -> None:
    asked = {"problem": "chain-3", "after": "2", "concept": "brimpus", "readout": "forced language", "thoughts": "4"}
    app = opened(**asked)

    assert fine(app)
    assert app.selectbox(key="problem").value == "chain-3"
    assert here(app) == 2
    assert app.selectbox(key="concept").value == "brimpus"
    assert "<br>hop 4" in json.dumps(charts(app))
    assert link(app) == asked


def test_nonsense_in_a_link_falls_back_and_says_so(opened: Open, folder: Path) -> None:
    nonsense = {
        "run": str(folder / "runs" / "second"),  # only listed runs can be named
        "set": "/etc/passwd", "problem": "none", "after": "99", "thoughts": "x",
        "readout": "tea leaves", "concept": "<b>", "hops": "-1", "outcome": "maybe", "what": "is this",
    }  # fmt: skip
    app = opened(**nonsense)

    assert fine(app)
    assert len(charts(app)) == 3
    assert app.selectbox(key="run").value == "reference"
    assert all(f"{name}=" in app.info[0].value for name in nonsense)


EVIL = "` ![x](http://example.org/x.png)"
"""Ends a piece of code and shows a picture, which the browser would fetch."""


@pytest.mark.parametrize("page", ["", "surgery", "population", "training"])
def test_nothing_in_a_link_becomes_markdown(opened: Open, page: str) -> None:
    for asked in ({}, {"set": "pasted"}):
        app = opened(page, **dict.fromkeys((*PARAMETERS, EVIL), EVIL) | asked)

        assert not app.exception
        tokens = [token for said in markdown(app) for token in MarkdownIt().parse(said) if token.children]
        inside = [one.type for token in tokens for one in token.children or ()]
        assert not {"image", "link_open"} & set(inside)


# Moving through the thoughts


@pytest.mark.usefixtures("all_thoughts")
def test_the_keys_move_through_the_thoughts_and_values_and_link_move_too(opened: Open) -> None:
    app = opened()
    before, drawn = node_values(app), [str(chart.proto.spec) for chart in app.get("plotly_chart")]
    go(app, 2)

    assert here(app) == 2
    assert node_values(app) != before
    assert any(json.loads(spec)["data"] == charts(app)[0]["data"] for spec in drawn)  # the browser had it before
    app.button(key="on").click().run()
    assert fine(app)
    assert link(app) == {"problem": app.selectbox(key="problem").options[1], "after": "2"}


def test_forced_language_starts_before_the_first_thought(opened: Open) -> None:
    app = opened(readout="forced language")

    assert here(app) == 0
    assert any(part.startswith("Mass on hop 1 ") for part in html(app))


def test_more_thoughts_than_trained_are_marked_and_a_smaller_number_takes_the_slider_along(opened: Open) -> None:
    app = opened(thoughts="5", after="5", below="Raw LM head")
    assert fine(app)
    assert "beyond its training" in text(app)
    assert len(charts(app)) == 4  # the table of tokens with the three of the first screen
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))

    app.number_input(key="thoughts").set_value(2).run()
    assert fine(app)
    assert here(app) == 2


def test_a_concept_that_nobody_chose_follows_the_problem_and_one_that_was_chosen_stays(opened: Open) -> None:
    app = opened(problem="chain-1")
    assert app.selectbox(key="concept").value == "brimpus"  # the target
    for problem, chosen, shown in (("chain-3", None, "rempus"), ("chain-2", "scrompus", "scrompus")):
        if chosen:
            app.selectbox(key="concept").select(chosen).run()
        app.selectbox(key="problem").select(problem).run()
        assert app.selectbox(key="concept").value == shown


def test_the_concept_chosen_comes_with_its_numbers_and_the_tokens_that_spell_it(opened: Open) -> None:
    app = opened(concept="brimpus", problem="chain-3")
    table = app.dataframe[0].value

    assert list(table["thought"]) == [1, 2, 3]
    assert {"hop_read", "class", "raw", "value", "rank"} <= set(table.columns)
    assert "brimpus is read from one token: `brimpus`. Chance of each value" in text(app)


# Two runs


def test_two_runs_side_by_side_node_by_node(opened: Open) -> None:
    app = opened(beside="second", below="Node by node")
    assert fine(app)
    assert len(charts(app)) == 6
    table = app.dataframe[-1].value
    assert list(table.columns[-3:]) == ["reference", "second", "difference"]

    app.segmented_control(key="picture").set_value("difference").run()
    assert "less second" in text(app)


def test_a_cut_off_checkpoint_is_a_message_and_the_way_back_stays(opened: Open) -> None:
    app = opened(run="cut-off")

    assert not app.exception
    assert "model.safetensors" in text(app)
    app.selectbox(key="run").select("reference").run()
    assert fine(app)


# Problems


def test_a_box_whose_choice_is_filtered_out_tells_the_browser_what_it_shows_now(opened: Open) -> None:
    app = opened(problem="chain-3", concept="rempus")
    app.pills(key="hops").set_value([2]).run()

    assert fine(app)
    for key, shown in (("problem", "chain-1"), ("concept", "brimpus")):  # the one of two hops, and its target
        box = app.selectbox(key=key)
        assert box.value == shown
        assert box.proto.set_value, "the browser would go on showing the former choice"


def test_filters_narrow_the_list(opened: Open) -> None:
    app = opened(hops="4")
    assert list(app.selectbox(key="problem").options) == ["chain-3"]

    right, wrong = opened(outcome="right"), opened(outcome="wrong")
    counts = [sum(len(box.options) for box in found.selectbox if box.key == "problem") for found in (right, wrong)]
    assert fine(right)
    assert fine(wrong)
    assert sum(counts) == 5
    assert all(
        count or "passes the filters" in text(found) for count, found in zip(counts, (right, wrong), strict=True)
    )


def test_the_outcomes_that_ship_are_what_the_model_answers() -> None:
    path = catalog.runs()["reference"]
    checkpoint = load_checkpoint(path)
    own = Run("reference", path, checkpoint, checkpoint.thoughts, checkpoint.says)
    items = tuple(load_problems(catalog.problem_sets()["released"]))
    held = shipped(outcome_key(own, items), items)
    assert held is not None, "the file is not of these weights and problems: python -m tests.outcomes"
    first = items[:20]
    assert {one.problem.id: one.right for one in answers(checkpoint, first)} == {
        item.id: held[item.id] for item in first
    }
    assert shipped(outcome_key(own, items[::-1]), items[::-1]) == held  # the page has its own order
    assert shipped(outcome_key(own, first), first) is None
    assert shipped(outcome_key(replace(own, thoughts=1), items), items) is None
