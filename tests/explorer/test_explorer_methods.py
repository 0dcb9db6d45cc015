"""The explorer without a browser: checkpoints of every method, alone and side by side, and the number of thoughts."""

import re
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from apps import widgets
from apps.components import header, tabs
from tests.conftest import tiny_model
from tests.explorer.conftest import KINDS
from tests.explorer.page import Open, charts, fine, go, here, html, link, ran, text
from workbench import catalog
from workbench.measure.scores import MASS_CLASSES
from workbench.model.checkpoint import make_checkpoint, save_checkpoint
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.methods import METHODS


def test_every_kind_of_run_opens_and_says_what_it_is(opened: Open) -> None:
    app = opened()
    for name in KINDS:
        app.selectbox(key="run").select(name).run()

        assert fine(app), name
        assert METHODS[name].title.removesuffix(f", {METHODS[name].asked}") in text(app)
        assert f"supervision: {METHODS[name].asked}" in text(app)
        assert len(charts(app)) == 3
        assert (header.PAUSE in text(app)) == (name == "pause_as_thought")
        assert ("trained without thoughts" in text(app)) == (name in ("cot", "no_cot"))


@pytest.mark.parametrize("page", ["", "surgery", "training"])
def test_every_page_says_how_the_thoughts_were_supervised(opened: Open, page: str) -> None:
    app = opened(page, run="coconut_two", **({} if page else {"beside": "reference"}))

    badges = [part.value for part in app.markdown if "next node asked" in str(part.value)]
    assert fine(app)
    assert any("its start is not known" in badge for badge in badges)
    assert "**next node asked; its start is not known**" in text(app)  # below the box of runs
    assert any("not known" in str(part.value) for part in app.markdown if "start" not in str(part.value)) == (not page)


def test_a_run_whose_thoughts_are_fed_as_another_vector_says_what_is_fed_and_what_is_read(
    opened: Open, folder: Path
) -> None:
    model = tiny_model("qwen2", 3, max_position_embeddings=256)
    meta = {"version": 1, "format": "edges", "thoughts": 2, "recurrence": {"kind": "mixture", "top": 10}}
    save_checkpoint(make_checkpoint(model, edges_tokenizer(), meta, "soft"), folder / "runs" / "soft" / "model")
    app = opened(run="soft")

    assert fine(app)
    fed = "fed: the mean embedding of the 10 likeliest tokens"
    assert f"{fed}; read: the hidden state before it" in text(app)  # below the box of runs
    assert text(app).count(fed) == 2  # and in a badge
    assert "fed: " not in text(opened(run="reference"))


def test_a_link_with_the_former_name_of_a_run_opens_it(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "FORMER_RUNS", {"older": "second", "oldest": "reference"})
    app = opened(run="older", beside="oldest/stage1")

    assert fine(app)
    assert (app.selectbox(key="run").value, app.selectbox(key="beside").value) == ("second", "reference/stage1")
    assert "older" not in text(app)  # nothing is said to be left out
    assert link(app)["run"] == "second"


def test_every_tab_of_a_run_without_thoughts_opens(opened: Open) -> None:
    app = opened(run="cot")
    for below in tabs.TABS:
        app.session_state["below"] = below
        app.run()

        assert fine(app), below
        assert "No thoughts to move through" in text(app)
        said = text(app).replace("**", "")
        assert ("thinks no thoughts here, so there is no column" in said) == (below == "Lens over layers")
        assert "forced language is shown" in text(app)


def test_a_run_without_thoughts_beside_one_with_twelve(opened: Open) -> None:
    app = opened(run="cot", beside="coconut_two", thoughts_beside="12", after="5", below="Node by node")

    assert fine(app)
    assert {"After 0 thoughts", "After 5 thoughts"} <= {part[:16] for part in html(app)}
    assert here(go(app, 12)) == 12
    assert "Side by side only" in text(app)


@pytest.mark.parametrize("below", tabs.TABS)
def test_every_tab_opens_for_a_run_beside_itself_on_another_question(opened: Open, below: str) -> None:
    assert fine(opened(set="pairs", beside="the swapped question", below=below))


@pytest.mark.parametrize(
    ("beside", "names", "less"),
    [
        ("the swapped question", "asked about", " to "),
        ("another target asked", "asked about", " to "),
        ("its thought 3", "after 3 thoughts", "2 thoughts less 3 thoughts"),
    ],
)
def test_a_run_is_compared_with_itself_on_another_question_or_after_another_thought(
    opened: Open, beside: str, names: str, less: str
) -> None:
    asked = {"set": "pairs", "beside": beside, "after": "2", "below": "Code"}
    app = opened(**asked)
    assert fine(app)
    assert f"reference, {names}" in text(app)
    assert len([part for part in html(app) if part.startswith("Mass on hop")]) == 2

    asked["picture"] = "difference"
    app = opened(**asked)
    (title,) = [part for part in html(app) if " less " in part]
    assert fine(app)
    assert less in title
    assert link(app) == asked
    ran(app.code[0].value)


@pytest.mark.parametrize("beside", ["second", "another target asked"])
def test_a_difference_over_the_set_has_an_interval(opened: Open, beside: str) -> None:
    app = opened(set="pairs", beside=beside, after="2", below="Node by node")
    app.button(key="differences").click().run()

    assert fine(app)
    table = next(part.value for part in app.dataframe if "difference" in part.value and "low" in part.value)
    assert table["class"].to_list() == list(MASS_CLASSES)
    assert (table["first"] - table["second"]).to_numpy() == pytest.approx(table["difference"].to_numpy())
    assert "intervals of 95 % over graphs" in text(app)


def test_a_view_is_saved_with_a_note_as_one_file(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {}
    monkeypatch.setattr(widgets, "download", lambda label, make, *rest: files.update({label: make}))
    app = opened(set="pairs", after="2", below="Downloads", beside="its thought 1")
    app.text_area(key="note").input("Look at <img src=//x> here").run()
    page = files["This view as one HTML file"]().decode()

    assert fine(app)
    assert "Look at &lt;img src=//x&gt; here" in page
    assert page.count("Plotly.newPlot(") == (3 + 1) * 2
    assert not re.search(r'src="(?!data:)', page.replace(get_plotlyjs(), ""))  # nothing is fetched
    assert "set=pairs" in page
    assert "wb.load" in page


def test_a_question_without_a_twin_has_nothing_beside_it_and_says_so(opened: Open) -> None:
    app = opened(set="released", beside="the swapped question")

    assert fine(app)
    assert "nothing to compare with" in text(app)
    assert len(charts(app)) == 3


def test_two_thoughts_per_step_stand_beside_one_by_the_hop_they_read(opened: Open) -> None:
    app = opened(run="reference", beside="coconut_two", after="2")
    assert fine(app)
    # The one with more thoughts leads: its second thought reads hop 1, as the other's first does.
    assert {"After 2 thoughts", "After 1 thought,"} <= {part[:16] for part in html(app)}
    assert [part[:14] for part in html(app) if part.startswith("Mass")] == ["Mass on hop 1 "] * 2


def test_the_answer_may_be_given_at_once_or_in_words(opened: Open) -> None:
    trained, forced = opened(run="cot"), opened(run="cot", then="answer")

    assert fine(trained)
    assert fine(forced)
    assert "says " in text(trained)
    assert "answers " in text(forced)
    assert link(forced) == {"run": "cot", "then": "answer"}


def test_thoughts_go_from_none_to_twice_the_trained_number(opened: Open) -> None:
    app = opened(thoughts="6")
    for thoughts in (6, 0):
        app.number_input(key="thoughts").set_value(thoughts).run()

        assert fine(app)
        assert ("LM head has none to read" in text(app)) == (thoughts == 0)


def test_numbers_beyond_their_range_fall_back_and_say_so(opened: Open) -> None:
    nonsense = {"thoughts": "7", "thoughts_beside": "13", "then": "tea"}
    app = opened(beside="coconut_two", **nonsense)

    assert fine(app)
    assert all(f"{name}=" in text(app) for name in nonsense)


def test_a_change_of_run_forgets_a_number_that_it_does_not_allow(opened: Open) -> None:
    app = opened(run="coconut_two", thoughts="11", after="11")
    app.selectbox(key="run").select("reference").run()

    assert fine(app)
    assert app.number_input(key="thoughts").value == 3
    app.selectbox(key="run").select("cot").run()
    assert fine(app)


def test_the_code_of_two_methods_runs(opened: Open) -> None:
    app = opened(run="cot", beside="reference", below="Code")
    assert fine(app)
    names = ran(app.code[0].value)

    assert names["trace_beside"].problem is not None
