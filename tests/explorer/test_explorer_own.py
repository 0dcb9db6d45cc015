"""The explorer without a browser: problems of one's own, errors in words, the code that reproduces the view."""

from pathlib import Path

import pytest

from apps import code_export
from apps.links import PARAMETERS
from apps.sidebar_problem import EXAMPLE, LONGEST_IN_LINK
from apps.widgets import marked
from tests.explorer.page import Open, charts, fine, ran, text


def test_a_pasted_question_is_read_and_drawn(opened: Open) -> None:
    app = opened(set="pasted")
    assert "Paste a ProsQA question" in text(app)
    app.text_area(key="question").set_value(EXAMPLE).run()

    assert fine(app)
    assert "Is Tom a yumpus or felpus?" in text(app)
    assert "copy it" in text(app)

    app.text_area(key="question").set_value(EXAMPLE + " " * LONGEST_IN_LINK).run()
    assert fine(app)
    assert "too long for a link" in text(app)


def test_a_wrong_question_names_the_sentence_and_stays_typed(opened: Open) -> None:
    app = opened(set="pasted")
    for typed, said in (
        ("Tom is a terpus. Every terpus is lempus. Is Tom a terpus or lempus?", "sentence 2"),
        ("Tom is a a. Every a is a b. Every b is a a. Every c is a d. Is Tom a b or d?", "circle"),
        ("   .  ", "must ask"),
        ("x" * 5000, "must ask"),
    ):
        app.text_area(key="question").set_value(typed).run()

        assert not app.exception
        assert app.error
        assert said in text(app)
        assert app.text_area(key="question").value == typed


def test_a_bad_file_names_item_and_field_and_not_where_the_server_put_it(opened: Open) -> None:
    for page in ("", "population", "training"):
        app = opened(page, set="uploaded")
        assert page or "Drop a file" in text(app)
        app.file_uploader(key="file").set_value(("mine.json", b'[{"question": 1}]', "application/json")).run()

        assert not app.exception
        assert "mine" in app.error[0].value
        assert "item 0" in text(app)
        assert "tmp" not in text(app)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<b>0.9</b><br>a", "<b>0.9</b><br>a"),
        ("<span style='font-size:10px'>a</span>", "<span style='font-size:10px'>a</span>"),
        ("<img src='http://example.org/x.png'>", "&lt;img src=&#x27;http://example.org/x.png&#x27;&gt;"),
        ("<span style='background:url(//x)'>a</span>", "&lt;span style=&#x27;background:url(//x)&#x27;&gt;a</span>"),
        ("a &lt; b & c", "a &lt; b &amp; c"),
    ],
)
def test_titles_of_figures_keep_plotlys_marks_and_no_other_html(written: str, shown: str) -> None:
    assert marked(written) == shown


def test_an_uploaded_file_opens_and_says_that_a_link_cannot_hold_it(opened: Open, folder: Path) -> None:
    app = opened(set="uploaded")
    content = (folder / "problems" / "released.json").read_bytes()
    app.file_uploader(key="file").set_value((f"{'ü' * 300}.json", content, "application/json")).run()

    assert fine(app)
    assert "does not hold this problem" in text(app)


def test_a_random_problem_comes_back_by_its_seed(opened: Open) -> None:
    first, again, other = (opened(set="random", seed=seed, far="5") for seed in ("7", "7", "8"))

    assert fine(first)
    assert charts(first)[0] == charts(again)[0]
    assert charts(first)[0] != charts(other)[0]


# Errors and code


def test_an_unexpected_error_is_words_without_a_traceback(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> str:
        raise RuntimeError("boom")

    monkeypatch.setattr(code_export, "thoughts", fail)
    app = opened(below="Code")

    assert not app.exception
    assert "should not have" in app.error[0].value
    assert "RuntimeError: boom" in app.code[0].value
    assert "Traceback" not in text(app)


@pytest.mark.parametrize("chosen", [{}, {"set": "random"}, {"set": "pasted", "question": EXAMPLE}])
def test_the_code_reproduces_the_view(opened: Open, chosen: dict[str, str]) -> None:
    app = opened(below="Code", **chosen)
    code = app.code[0].value
    names = ran(code)

    assert code.startswith("import workbench as wb\n")
    assert code.count("import") == 1
    assert names["trace"].problem.question
    assert names["trace"].answer in text(app)


def test_links_know_every_box(opened: Open) -> None:
    app = opened(beside="second")
    keys = {
        widget.key
        for kind in ("selectbox", "number_input", "select_slider", "segmented_control")
        for widget in app.get(kind)
    }

    assert {key for key in keys if key} <= set(PARAMETERS)
