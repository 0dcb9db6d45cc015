"""A public demo: no uploads, no paths, bounded sizes and rates."""

from pathlib import Path

import pytest

from apps import demo, sidebar_problem
from tests.explorer.page import Open


def test_a_demo_opens_no_file_and_no_folder(opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = opened()
    assert sidebar_problem.UPLOADED in usual.selectbox(key="set").options
    assert [box.label for box in usual.text_input if box.key == "another run"] == ["Folder or hub name"]

    monkeypatch.setenv(demo.VARIABLE, "1")
    shown = opened(set="uploaded")
    assert not shown.exception
    assert sidebar_problem.UPLOADED not in shown.selectbox(key="set").options
    assert shown.selectbox(key="set").value == "released"
    assert not [box for box in shown.text_input if box.key == "another run"]
    assert sidebar_problem.UPLOADED not in opened("steps").selectbox(key="task").options


def test_a_demo_bounds_sizes(opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(demo.VARIABLE, "1")
    monkeypatch.setattr(demo, "MOST_PROBLEMS", 3)
    monkeypatch.setattr(demo, "LONGEST_QUESTION", 60)
    shown = opened("population", set="released", count="all")
    assert shown.session_state["count"] == "3"
    question = "Tom is a lempus. Sally is a rompus. Is Tom a lempus or rompus? Every x"
    shown = opened(set="pasted", question=question)
    assert len(str(shown.text_area(key="question").value)) == demo.LONGEST_QUESTION, "Streamlit cuts a longer one"
    assert not [one for one in opened().segmented_control if one.key == "outcome"]


def test_a_demo_stops_what_runs_too_often(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "A_SESSION", 2)
    page = opened().run().run()
    assert not page.warning

    monkeypatch.setenv(demo.VARIABLE, "1")
    page = opened().run()
    assert not page.warning
    assert "Wait a minute" in page.run().warning[0].value
    assert not opened().warning, "another session is another count"
    monkeypatch.setattr(demo, "ALL_SESSIONS", 3)
    assert "Wait a minute" in opened().warning[0].value
