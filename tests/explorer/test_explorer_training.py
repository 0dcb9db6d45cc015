"""The page Training without a browser: what was measured, and a problem scrubbed over checkpoints."""

import json
from pathlib import Path

import pytest

from apps.views import training
from tests.conftest import tiny_model
from tests.explorer.page import Open, charts, fine, link, ran, text
from workbench.model.checkpoint import make_checkpoint, save_checkpoint
from workbench.problems.vocabulary import edges_tokenizer

STEPS = (60, 250, 500)


@pytest.fixture(scope="session", autouse=True)
def trained(folder: Path) -> None:
    """A run with checkpoints and metrics, and one with metrics alone."""
    for seed, step in enumerate(STEPS):
        about: dict[str, object] = {"version": 1, "format": "edges", "thoughts": 3, "step": step, "stage": "thoughts3"}
        model = tiny_model("qwen2", seed, max_position_embeddings=256)
        last = step == STEPS[-1]
        inner = folder / "runs" / "kept" / ("model" if last else f"checkpoints/step{step:06d}-thoughts3")
        save_checkpoint(make_checkpoint(model, edges_tokenizer(), about, "kept"), inner)
    rows = [
        {"step": step, "thoughts": 1 + (step > 100), "loss": 2.0, "evaluation_loss": 1.5, "mass": [0.5, 0.1],
         "accuracy": float("nan") if step < 100 else 0.5}
        for step in STEPS
    ]  # fmt: skip
    for name in ("kept", "second"):
        (folder / "runs" / name / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_a_run_is_scrubbed_over_its_checkpoints(opened: Open) -> None:
    app = opened("training", run="kept")

    assert fine(app)
    slider = app.select_slider(key="step")
    assert (list(slider.options), slider.value) == ([str(step) for step in STEPS], STEPS[-1])
    before = charts(app)
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))
    assert len(before) == 6  # mass, accuracy and loss; the problem over training, its graph and its mass by thought
    slider.set_value(60)
    app.run()

    assert fine(app)
    assert "The checkpoint of step **60**" in text(app)
    assert charts(app)[-1] != before[-1]


def test_the_link_holds_problem_step_and_thought(opened: Open) -> None:
    asked = {"run": "kept", "problem": "chain-3", "step": "250", "after": "2", "thoughts": "2"}
    app = opened("training", **asked)

    assert fine(app)
    assert not app.info
    assert link(app) == asked


def test_a_checkpoint_chosen_as_run_stands_for_its_run(opened: Open) -> None:
    app = opened("training", run="kept/step000060-thoughts3")

    assert fine(app)
    assert "Training of kept" in text(app)


def test_a_run_that_kept_none_says_so_and_shows_what_was_measured(opened: Open) -> None:
    app = opened("training", run="second")

    assert fine(app)
    assert "nothing to scrub over" in text(app)
    assert len(charts(app)) == 3
    next(button for button in app.button if button.label.startswith("Open kept,")).click()
    assert fine(app.run())
    assert "Training of kept" in text(app)


def test_a_run_without_metrics_says_so(opened: Open) -> None:
    for run in ("cot", "coconut_two"):
        app = opened("training", run=run)

        assert fine(app)
        assert "without `metrics.jsonl`" in text(app)


def test_nonsense_in_a_link_falls_back_and_says_so(opened: Open) -> None:
    nonsense = {"step": "61", "beneath": "the sea", "after": "99"}
    app = opened("training", run="kept", **nonsense)

    assert fine(app)
    assert app.select_slider(key="step").value == STEPS[-1]
    assert all(f"{name}=" in app.info[0].value for name in nonsense)


def test_a_whole_set_is_read_when_asked_for(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MOST_READ", 2)
    app = opened("training", run="kept", beneath="A whole set", thoughts="1")
    assert fine(app)
    count = len(charts(app))
    app.button(key="read checkpoints").click().run()

    assert fine(app)
    assert len(charts(app)) > count


def test_the_code_reads_every_checkpoint(opened: Open) -> None:
    app = opened("training", run="kept", beneath="Code")
    names = ran(app.code[0].value)

    assert set(names["result"].frame["step"]) == set(STEPS)
