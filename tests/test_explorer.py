"""The explorer without a browser: what is on the page, what a link holds, what a mistake looks like."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from apps import recipe, shelf
from apps.own_problem import EXAMPLE, LONGEST_IN_LINK
from tests.conftest import chain, tiny_model
from workbench.checkpoint import make_checkpoint, save_checkpoint
from workbench.problem_sets import generate
from workbench.prosqa import save_problems
from workbench.tokenizer import edges_tokenizer

EXPLORER = Path(__file__).resolve().parents[1] / "apps" / "explorer.py"
THOUGHTS = 3

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny runs, one of them with a checkpoint of an earlier stage, a broken one, and two problem sets."""
    home = tmp_path_factory.mktemp("explorer")
    for name, seed in (("reference", 0), ("second", 1), ("reference/checkpoints/stage1", 2)):
        model = tiny_model("qwen2", seed, max_position_embeddings=256)
        meta: dict[str, object] = {"version": 1, "task": "prosqa", "format": "edges", "thoughts": THOUGHTS}
        inner = home / "runs" / name / ("" if "stage" in name else "model")
        save_checkpoint(make_checkpoint(model, edges_tokenizer(), meta, name), inner)
    broken = home / "runs" / "cut-off" / "model"
    save_checkpoint(make_checkpoint(model, edges_tokenizer(), meta, "cut-off"), broken)
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (home / "problems").mkdir()
    save_problems([chain(number, number + 1) for number in range(5)], home / "problems" / "released.json")
    save_problems(generate("balanced", 2, 0), home / "problems" / "pairs.json")
    return home


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the explorer as a link with these parameters does."""
    monkeypatch.setenv(shelf.RUNS_VARIABLE, str(folder / "runs"))
    monkeypatch.setenv(shelf.PROBLEMS_VARIABLE, str(folder / "problems"))
    monkeypatch.setattr(shelf, "RUN_FOLDERS", ())
    monkeypatch.setattr(shelf, "PROBLEM_FOLDERS", ())

    def open_it(**parameters: str) -> AppTest:
        app = AppTest.from_file(str(EXPLORER), default_timeout=300)
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return open_it


def text(app: AppTest) -> str:
    """All that is said on the page."""
    parts = [*app.markdown, *app.caption, *app.error, *app.info, *app.warning]
    return "\n".join(str(part.value) for part in parts)


def charts(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def node_values(app: AppTest) -> list[float]:
    (nodes,) = [trace for trace in charts(app)[0]["data"] if trace.get("name") == "nodes"]
    return nodes["marker"]["color"]


def link(app: AppTest) -> dict[str, str]:
    """The parameters of the address."""
    found = {name: app.query_params[name] for name in app.query_params}
    return {name: value if isinstance(value, str) else " ".join(value) for name, value in found.items()}


def fine(app: AppTest) -> bool:
    """Whether nothing went wrong: no traceback, no message of an error."""
    return not app.exception and not app.error


# The first screen


def test_the_first_screen_needs_no_typing(opened: Open) -> None:
    app = opened()

    assert fine(app)
    assert app.selectbox(key="run").value == "reference"
    assert app.selectbox(key="set").value == "released"
    assert len(charts(app)) == 3  # graph, mass by thought, concept over thoughts
    assert "Made to speak after 1 thought" in text(app)
    assert link(app) == {}  # defaults are left out


def test_every_figure_has_a_text_for_those_who_do_not_see_it(opened: Open) -> None:
    assert all(chart.proto.alt for chart in opened(below="Raw LM head").get("plotly_chart"))


def test_chance_and_candidate_mass_stand_beside_the_picture(opened: Open) -> None:
    metrics = opened().metric

    assert metrics[0].label == "Mass on hop 1"
    assert [metric.delta.split()[0] for metric in metrics] == ["chance", "of", "chance"]


def test_without_a_run_the_page_says_what_to_do(opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(shelf.RUNS_VARIABLE, str(tmp_path))
    app = opened()

    assert not app.exception
    assert "There is no trained model here yet." in app.error[0].value
    assert "make train" in text(app)


# Links


def test_a_link_opens_the_same_view(opened: Open) -> None:
    asked = {"problem": "chain-3", "after": "2", "concept": "brimpus", "readout": "forced language", "thoughts": "4"}
    app = opened(**asked)

    assert fine(app)
    assert app.selectbox(key="problem").value == "chain-3"
    assert app.select_slider(key="after").value == 2
    assert app.selectbox(key="concept").value == "brimpus"
    assert "<br>hop 4" in json.dumps(charts(app))
    assert link(app) == asked


def test_a_link_may_spell_out_what_is_the_default_anyway(opened: Open) -> None:
    app = opened(run="reference", set="released", readout="LM head", thoughts="3", after="1", outcome="any")

    assert fine(app)
    assert not app.info


def test_moving_on_goes_into_the_link(opened: Open) -> None:
    app = opened()
    app.button(key="later").click()
    app.run()
    app.button(key="on").click()
    app.run()

    assert link(app) == {"problem": app.selectbox(key="problem").options[1], "after": "2"}
    assert fine(app)


def test_nonsense_in_a_link_falls_back_and_says_so(opened: Open) -> None:
    nonsense = {
        "run": "../../etc/passwd", "set": "/etc/passwd", "problem": "none", "after": "99", "thoughts": "x",
        "readout": "tea leaves", "concept": "<b>", "hops": "-1", "outcome": "maybe", "what": "is this",
    }  # fmt: skip
    app = opened(**nonsense)

    assert fine(app)
    assert len(charts(app)) == 3
    assert app.selectbox(key="run").value == "reference"
    assert all(f"{name}=" in app.info[0].value for name in nonsense)


def test_only_listed_runs_can_be_named_by_a_link(opened: Open, folder: Path) -> None:
    app = opened(run=str(folder / "runs" / "second"))

    assert app.selectbox(key="run").value == "reference"


# Moving through the thoughts


def test_the_keys_move_through_the_thoughts_and_the_values_move_too(opened: Open) -> None:
    app = opened()
    assert app.button(key="earlier").disabled
    assert (app.button(key="earlier").proto.shortcut, app.button(key="later").proto.shortcut) == ("left", "right")
    before = node_values(app)
    app.button(key="later").click()
    app.run()

    assert app.select_slider(key="after").value == 2
    assert node_values(app) != before
    assert not app.button(key="earlier").disabled


def test_forced_language_starts_before_the_first_thought(opened: Open) -> None:
    app = opened(readout="forced language")

    assert app.select_slider(key="after").value == 0
    assert app.metric[0].label == "Mass on hop 1"


def test_a_smaller_number_of_thoughts_takes_the_slider_along(opened: Open) -> None:
    app = opened(after="3")
    app.number_input(key="thoughts").set_value(2)
    app.run()

    assert fine(app)
    assert app.select_slider(key="after").value == 2


def test_more_thoughts_than_trained_are_shown_and_marked(opened: Open) -> None:
    app = opened(thoughts="5", after="5")

    assert fine(app)
    assert "beyond its training" in text(app)


# Two runs


def test_two_runs_side_by_side_node_by_node(opened: Open) -> None:
    app = opened(beside="second", below="Node by node")
    assert fine(app)
    assert len(charts(app)) == 6
    table = app.dataframe[0].value
    assert list(table.columns[-3:]) == ["reference", "second", "difference"]

    app.segmented_control(key="picture").set_value("difference")
    app.run()
    assert "less second" in text(app) or "less second" in json.dumps([str(html.proto.body) for html in app.get("html")])


def test_a_checkpoint_of_a_run_can_be_chosen(opened: Open) -> None:
    app = opened(beside="reference/stage1")

    assert fine(app)
    assert app.selectbox(key="beside").value == "reference/stage1"


def test_a_cut_off_checkpoint_is_a_message_and_the_way_back_stays(opened: Open) -> None:
    app = opened(run="cut-off")

    assert not app.exception
    assert "model.safetensors" in text(app)
    app.selectbox(key="run").select("reference")
    app.run()
    assert fine(app)


# Problems


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


def test_a_pasted_question_is_read_and_drawn(opened: Open) -> None:
    app = opened(set="pasted")
    assert "Paste a ProsQA question" in text(app)
    app.text_area(key="question").set_value(EXAMPLE)
    app.run()

    assert fine(app)
    assert "Is Tom a yumpus or felpus?" in text(app)
    assert "copy it" in text(app)


def test_a_question_too_long_for_a_link_says_so(opened: Open) -> None:
    app = opened(set="pasted")
    typed = EXAMPLE + " " * LONGEST_IN_LINK
    app.text_area(key="question").set_value(typed)
    app.run()

    assert fine(app)
    assert "too long for a link" in text(app)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("Tom is a terpus. Every terpus is lempus. Is Tom a terpus or lempus?", "sentence 2"),
        ("Tom is a a. Every a is a b. Every b is a a. Every c is a d. Is Tom a b or d?", "circle"),
        ("   .  ", "must ask"),
        ("x" * 5000, "must ask"),
    ],
)
def test_a_wrong_question_names_the_sentence_and_stays_typed(opened: Open, typed: str, said: str) -> None:
    app = opened(set="pasted")
    app.text_area(key="question").set_value(typed)
    app.run()

    assert not app.exception
    assert app.error
    assert said in text(app)
    assert app.text_area(key="question").value == typed


def test_a_bad_file_names_item_and_field_and_not_where_the_server_put_it(opened: Open) -> None:
    app = opened(set="uploaded")
    assert "Drop a JSON file" in text(app)
    app.file_uploader(key="file").set_value(("mine.json", b'[{"question": 1}]', "application/json"))
    app.run()

    assert not app.exception
    assert "mine" in app.error[0].value
    assert "item 0" in text(app)
    assert "tmp" not in text(app)


def test_an_uploaded_file_opens_and_says_that_a_link_cannot_hold_it(opened: Open, folder: Path) -> None:
    app = opened(set="uploaded")
    content = (folder / "problems" / "released.json").read_bytes()
    app.file_uploader(key="file").set_value(("mine.json", content, "application/json"))
    app.run()

    assert fine(app)
    assert "does not hold this problem" in text(app)


def test_a_random_problem_comes_back_by_its_seed(opened: Open) -> None:
    first, again, other = (opened(set="random", seed=seed, far="5") for seed in ("7", "7", "8"))

    assert fine(first)
    assert charts(first)[0] == charts(again)[0]
    assert charts(first)[0] != charts(other)[0]


# Errors and code


def test_an_unexpected_error_is_an_apology_without_a_traceback(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> str:
        raise RuntimeError("boom")

    monkeypatch.setattr(recipe, "script", fail)
    app = opened(below="Code")

    assert not app.exception
    assert "should not have" in app.error[0].value
    assert "RuntimeError: boom" in app.code[0].value
    assert "Traceback" not in text(app)


@pytest.mark.parametrize(
    "chosen", [{}, {"set": "random"}, {"set": "pasted", "question": EXAMPLE}, {"beside": "second"}]
)
def test_the_code_reproduces_the_view(opened: Open, chosen: dict[str, str]) -> None:
    app = opened(below="Code", **chosen)
    code = app.code[0].value.replace(".show()", "").replace("print(", "(")
    names: dict = {}
    exec(code, names)

    assert names["scores"].problem.question
    assert names["trace"].answer_texts


def test_links_know_every_box(opened: Open) -> None:
    from apps.links import PARAMETERS

    app = opened(beside="second")
    keys = {
        widget.key
        for kind in ("selectbox", "number_input", "select_slider", "segmented_control")
        for widget in app.get(kind)
    }

    assert {key for key in keys if key} <= set(PARAMETERS)
