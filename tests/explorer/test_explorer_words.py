"""Runs and files whose problems are words alone: the explorer draws graphs, and says so."""

import json
from pathlib import Path

import pytest

import workbench as wb
from apps import sidebar_problem
from apps.views.steps import OTHERS_IN_WORDS, _chain_said
from tests.explorer.page import Open, charts, fine, ran, text
from workbench.errors import WorkbenchError
from workbench.measure.chains import SaidChain, SaidStep
from workbench.model.checkpoint import make_checkpoint, save_checkpoint
from workbench.model.formats import words_tokenizer
from workbench.model.reader import load_reader, save_reader
from workbench.problems.files import load_items
from workbench.readings.second_model import steps_read
from workbench.train.config import ModelConfig
from workbench.train.init import build_model

TASKS = Path(__file__).resolve().parents[2] / "fixtures" / "tasks"


@pytest.fixture(scope="session", autouse=True)
def words(folder: Path) -> None:
    tokenizer = words_tokenizer("arithmetic")
    model = build_model(ModelConfig(width=32, heads=2, mlp_width=32), seed=0, max_positions=256, tokenizer=tokenizer)
    about: dict[str, object] = {"version": 1, "task": "arithmetic", "format": "words", "thoughts": 2}
    runs: dict[str, dict[str, object]] = {
        "words": {}, "words-said": {"says": "chain", "thoughts": 0},
        "words-said-later": {"says": "chain", "thoughts": 1},
        "words-read": {"thoughts": 4, "thoughts_per_step": 2, "reader": "reader"},
    }  # fmt: skip
    for name, more in runs.items():
        save_checkpoint(make_checkpoint(model.eval(), tokenizer, about | more, name), folder / "runs" / name / "model")
    state = {key: tensor for key, tensor in model.state_dict().items() if key != "lm_head.weight"}
    save_reader(model.config, state, folder / "runs" / "words-read" / "model")


@pytest.mark.parametrize("page", ["", "population"])
def test_a_run_without_a_graph_is_a_message_and_the_way_back_stays(opened: Open, page: str) -> None:
    app = opened(page, run="words")

    assert not app.exception
    assert "words reads no graphs" in app.error[0].value.replace("\\", "")
    assert "arithmetic" in text(app)
    app.selectbox(key="run").select("no_cot")
    assert fine(app.run())


def test_beside_another_run_it_is_a_message_too(opened: Open) -> None:
    app = opened(beside="words")

    assert not app.exception
    assert "words reads no graphs" in app.error[0].value


def test_its_training_is_shown_without_a_problem(opened: Open) -> None:
    app = opened("training", run="words")

    assert fine(app)
    assert "reads words, not graphs" in text(app)
    assert not charts(app)


@pytest.mark.parametrize("name", ["arithmetic", "prontoqa"])
def test_a_file_without_graphs_says_what_it_holds(name: str) -> None:
    with pytest.raises(WorkbenchError, match=rf"{name}.json holds no graphs") as error:
        sidebar_problem.read_upload(f"{name}.json", (TASKS / f"{name}.json").read_bytes())
    assert "200 problems are words alone" in error.value.why


def test_a_broken_file_is_still_told_item_by_item() -> None:
    with pytest.raises(WorkbenchError, match=r"Nothing was loaded from mine.json"):
        sidebar_problem.read_upload("mine.json", b"[1]")


def test_a_problem_without_a_graph_has_its_steps_beside_the_thoughts(opened: Open, folder: Path) -> None:
    app = opened("steps", run="words")
    (first, *_) = load_items(TASKS / "arithmetic.json")

    assert fine(app)
    assert app.selectbox(key="task").value == "arithmetic"
    shown = text(app)
    assert all(step in shown for step in (*first.steps, first.answer))
    trace = wb.load(folder / "runs" / "words").trace(first)
    decoded, answers = (table.value for table in app.dataframe)
    assert decoded["token 1"].tolist() == [f"{one[0][0]} {one[0][1]:.3f}" for one in trace.arrays.top_tokens]
    assert answers["answer"].str.strip().tolist() == [one.strip() or "(nothing)" for one in trace.arrays.answer_texts]
    assert trace.arrays.values is not None
    assert f"{trace.arrays.values.max():.0%}" in shown
    app.button(key="item on").click()
    assert fine(app.run())
    assert app.selectbox(key="item").value != first.id


def test_options_and_a_task_that_the_run_was_not_trained_on(opened: Open) -> None:
    app = opened("steps", run="words", task="prontoqa")

    assert "was trained on arithmetic" in text(app)


def test_a_run_that_reads_graphs_offers_those_that_read_words(opened: Open) -> None:
    app = opened("steps", run="reference")

    assert fine(app)
    assert "reads graphs" in text(app)
    app.button(key="open words").click()
    assert fine(app.run())
    assert "The steps of the solution" in text(app)


def test_a_file_of_ones_own_opens_and_one_with_graphs_is_refused(opened: Open) -> None:
    (first, *_) = load_items(TASKS / "arithmetic.json")
    app = opened("steps", run="words", task="uploaded")
    assert "Drop a file" in text(app)
    content = json.dumps({"question": first.question, "steps": first.steps, "answer": first.answer}).encode()
    app.file_uploader(key="file").set_value(("mine.jsonl", content, "application/json"))
    assert fine(app.run())
    assert app.selectbox(key="item").value == "mine-0"
    assert all(step in text(app) for step in first.steps)
    assert "no chance level" in text(app)
    assert "An uploaded file lives in this session only" in text(app)
    assert "wb.load_problems('YOUR FILE.json')" in app.code[0].value

    app.selectbox(key="run").select("words-said")
    assert fine(app.run())
    assert "says its steps in words" in text(app)
    assert "no chance level: the file has no other problem" in text(app)
    bare = json.dumps({"question": first.question, "steps": [], "answer": first.answer}).encode()
    app.file_uploader(key="file").set_value(("bare.jsonl", bare, "application/json"))
    assert fine(app.run())
    assert "the file has none to compare them with" in text(app)

    graphs = (TASKS.parent / "problems" / "two_hops.json").read_bytes()
    app.file_uploader(key="file").set_value(("graphs.json", graphs, "application/json")).run()
    assert "No items in graphs.json" in app.error[0].value


@pytest.mark.parametrize(("name", "thoughts"), [("words-said", 0), ("words-said-later", 1)])
def test_a_chain_in_words_stands_beside_the_solution(opened: Open, folder: Path, name: str, thoughts: int) -> None:
    app = opened("steps", run=name)
    (first, *others) = load_items(TASKS / "arithmetic.json")
    chain = wb.said_chain(wb.load(folder / "runs" / name).checkpoint, first, others[:OTHERS_IN_WORDS])

    assert fine(app)
    shown, code = text(app), app.code[0].value
    assert "says its steps in words" in shown
    assert f"best rule that does not reason, {chain.floor[0]}" in shown
    assert f"beside the solutions of {OTHERS_IN_WORDS} other problems" in shown
    said, tokens, stopped = (table.value for table in app.dataframe[:3])
    assert said["says"].tolist() == [step.text for step in chain.steps]
    assert said["solution"].tolist() == [step.solution for step in chain.steps]
    assert set(said["right"]) <= {"✓ right", "✗ wrong", "✓ value, ✗ calculation"}
    assert said["step"].tolist()[:1] == [thoughts + 1]
    assert len(tokens) == sum(len(step.tokens) for step in chain.steps)
    assert stopped["right"].tolist() == [right for _, right in chain.forced]
    assert "What each thought decodes to" in shown if thoughts else "What each thought decodes to" not in shown
    assert "wb.said_chain(model.checkpoint, problem, others" in code
    assert ("model.trace" in code) == bool(thoughts)
    ran(code)


def test_what_a_second_model_says_is_called_a_trained_readout_and_has_its_chance(opened: Open, folder: Path) -> None:
    app = opened("steps", run="words-read")
    (first, *others) = load_items(TASKS / "arithmetic.json")
    model = wb.load(folder / "runs" / "words-read")
    reader = load_reader(folder / "runs" / "words-read", model.checkpoint)
    expected = steps_read(model.checkpoint, reader, model.trace(first).arrays, others[:OTHERS_IN_WORDS])

    assert fine(app)
    assert "trained to read the thoughts" in text(app)
    assert "not what thoughts hold without it" in text(app)
    (shown,) = [table.value for table in app.dataframe if "lm_head" in table.value]
    assert shown["says"].tolist() == expected["says"].to_list()
    assert shown["chance"].tolist() == expected["chance"].to_list()
    assert "second model" not in text(opened("steps", run="words"))


def test_a_right_value_after_a_false_calculation_is_called_that() -> None:
    item = load_items(TASKS / "arithmetic.json")[0]
    steps = tuple(SaidStep(text, "<<14-4=10>>", True, why, ()) for text, why in (
        ("<<14-4=10>>", ""), ("<<14-5=10>>", "14-5 comes to 9")))  # fmt: skip
    chain = SaidChain(item, 0, 1, steps, "10", False, (None, None), 0, None, ("none", 0.0), ())

    assert "<b>2</b> of them agree" in _chain_said(chain)
    assert "1 of these has the right value after a false calculation" in _chain_said(chain)
