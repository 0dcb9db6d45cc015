"""Training: the configuration, the curriculum, and a run that is cut off and goes on as if nothing had happened."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import chain
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import load_checkpoint
from workbench.train.config import (
    Curriculum,
    ModelConfig,
    RowsConfig,
    Schedule,
    Stage,
    TrainConfig,
    draw_edges,
    load_config,
    save_config,
)
from workbench.train.init import build_model, build_optimizer
from workbench.train.launch import claim
from workbench.train.loop import ValidationMonitor, guessing, learning_rate, plateau, train
from workbench.train.state import averaged, load_state, update_average

TINY = TrainConfig(
    name="tiny",
    model=ModelConfig(width=16, heads=2, mlp_width=16),
    curriculum=Curriculum(thoughts=2, stage_steps=1, stage_max_steps=2, widen_max_steps=1, walks=2, chain_graphs=1),
    graphs=2,
    questions=2,
    processes=1,
    steps=10,
    decay_from=5,
    warmup_steps=2,
    evaluate_every=3,
    watched=2,
    keep_every=1000,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A finished run, and where it lies."""
    place = tmp_path_factory.mktemp("plain")
    return train(TINY, place), place


class Cut(Exception):
    pass


def test_a_run_cut_off_and_resumed_has_the_same_metrics_to_the_last_digit(tmp_path):
    config = replace(TINY, average_from=3, average_decay=0.7)
    whole = train(config, tmp_path / "whole")

    def cut(record):
        if record["step"] == 6:
            raise Cut

    # Saved at step 4 at the latest (every step is due), then killed during step 6's report, after its record.
    eager = replace(config, checkpoint_seconds=0.0)
    with pytest.raises(Cut):
        train(eager, tmp_path / "cut", cut)
    saved = load_state(config, tmp_path / "cut").step
    assert 0 < saved < 6
    assert '"step": 6' in (tmp_path / "cut" / "metrics.jsonl").read_text()
    resumed = train(config, tmp_path / "cut")
    assert (tmp_path / "cut" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert resumed.average.keys() == whole.average.keys()
    assert all(torch.equal(resumed.average[name], weight) for name, weight in whole.average.items())


@pytest.mark.parametrize(("decay", "shares"), [(1.0, [1 / 4] * 4), (0.5, [1 / 8, 1 / 8, 1 / 4, 1 / 2])])
def test_weights_are_averaged_over_steps(tmp_path, decay, shares):
    """With a decay of 1/2 the second step counts as much as the first, each later one as much as all before it."""
    config = replace(TINY, average_from=3, average_decay=decay)
    state, seen = load_state(config, tmp_path), []
    for state.step in range(1, 7):
        with torch.no_grad():
            for weight in state.model.parameters():
                weight.add_(torch.randn_like(weight))
        update_average(state, config)
        assert bool(state.average) == (state.step >= 3)
        seen += [{name: weight.detach().clone() for name, weight in state.model.named_parameters()}]
    for name, average in state.average.items():
        expected = sum(share * weights[name] for share, weights in zip(shares, seen[2:], strict=True))
        torch.testing.assert_close(average, expected)
    with averaged(state):
        assert all(torch.equal(weight, state.average[name]) for name, weight in state.model.named_parameters())
    assert all(torch.equal(weight, seen[-1][name]) for name, weight in state.model.named_parameters())


def test_the_exported_model_is_the_average_and_training_does_not_notice(plain, tmp_path):
    state = train(replace(TINY, average_from=4), tmp_path / "averaged")
    for (name, ours), theirs in zip(state.model.named_parameters(), plain[0].model.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    exported = dict(load_checkpoint(tmp_path / "averaged").model.named_parameters())
    for name, average in state.average.items():
        assert torch.equal(exported[name], average.bfloat16().float()), name
    assert not torch.equal(
        state.average["model.norm.weight"], dict(state.model.named_parameters())["model.norm.weight"]
    )


@pytest.mark.parametrize("task", ["edges", "prontoqa"])
def test_an_evaluation_takes_its_batch_to_the_device_of_the_model(task, tmp_path):
    """The batch is made on the CPU; on a model elsewhere (here: the meta device) it has to be moved first."""
    config = replace(TINY, task=task, method="coconut_words", rows=RowsConfig(count=4, batch=2))
    state = load_state(config, tmp_path)
    state.stage = replace(state.stage, thoughts=2)
    monitor = ValidationMonitor(state, [])
    assert monitor.loss(state).loss.device.type == "cpu"
    state.model.to("meta")  # type: ignore[arg-type]
    assert monitor.loss(state).loss.device.type == "meta"


def test_a_finished_run_opens_as_a_checkpoint_with_its_stages(plain):
    _, place = plain
    assert load_checkpoint(place).thoughts == 2
    stages = sorted(path.name for path in (place / "checkpoints").iterdir())
    assert any("thoughts1" in name for name in stages)
    assert load_checkpoint(place / "checkpoints" / stages[0]).meta["stage"]


def test_a_damaged_state_is_said_not_trained_over(tmp_path):
    train(replace(TINY, steps=5), tmp_path)
    (tmp_path / "latest" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(WorkbenchError, match="Cannot resume"):
        load_state(TINY, tmp_path)


def test_a_state_without_a_trained_weight_says_which(tmp_path):
    train(replace(TINY, steps=5), tmp_path)
    file = tmp_path / "latest" / "model.safetensors"
    weights = load_file(file)
    del weights["model.norm.weight"]
    save_file(weights, file)
    with pytest.raises(WorkbenchError, match="1 weights that are trained are not in it"):
        load_state(TINY, tmp_path)


def test_interrupting_saves_and_stops(tmp_path):
    def interrupt(record):
        os.kill(os.getpid(), signal.SIGINT)

    state = train(TINY, tmp_path, interrupt)
    assert state.step == 4  # asked for during the report of step 3
    assert load_state(TINY, tmp_path).step == 4


def test_the_learning_rate_warms_up_stays_and_ends_at_zero():
    assert learning_rate(TINY, 0) == 0.5
    assert learning_rate(TINY, 4) == 1.0
    assert learning_rate(TINY, 9) == pytest.approx(0.2)
    assert learning_rate(TINY, 10) == 0.0


def test_the_decay_begins_half_way_where_nothing_is_said(tmp_path):
    (tmp_path / "config.yaml").write_text("steps: 10")
    config = replace(load_config(tmp_path / "config.yaml"), warmup_steps=1)
    assert [learning_rate(config, step) for step in (4, 5, 6, 10)] == pytest.approx([1.0, 1.0, 0.8, 0.0])


@pytest.mark.parametrize(
    ("now", "stuck"),
    [
        ({}, True),
        ({"accuracy": 0.7}, False),
        ({"mass": [0.4, 0.1]}, False),
    ],
)
def test_a_run_on_its_plateau_says_so_until_one_figure_shows_that_it_learns(now, stuck):
    said = plateau({"accuracy": 0.55, "mass": [0.1, 0.1]} | now, guessing([chain(0, 2), chain(1, 2)]), n=100)
    assert bool(said) == stuck
    assert not stuck or "guessing gets 0.50" in said
    assert plateau({"unmeasured": "sharded"}, 0.5, 100) == ""


def test_thoughts_open_before_graphs_grow():
    plan = Curriculum(stage_steps=1)
    schedule = Schedule(plan, plan.thoughts)
    stage, seen = schedule.first(), []
    for step in range(3, 401):
        stage = schedule.after(stage, step, 1.0)
        seen.append((stage.thoughts, stage.edges))
    assert seen[-1] == (plan.thoughts, plan.largest_edges)
    assert all(edges == plan.small_edges for thoughts, edges in seen if thoughts < plan.thoughts)


def test_a_stage_waits_for_its_mass_but_not_for_ever():
    plan = Curriculum(stage_steps=1, stage_max_steps=50)
    schedule = Schedule(plan, plan.thoughts)
    stage = schedule.first()
    steps = 0
    while stage.thoughts == 1:
        steps += 1
        stage = schedule.after(stage, steps + 1, 0.1)
    assert steps == 50
    assert replace(schedule, staged=False).first().thoughts == plan.thoughts


def test_every_size_stays_in_the_mix():
    plan = Curriculum()
    rng = np.random.default_rng(0)
    drawn = [draw_edges(Stage(thoughts=6, edges=plan.largest_edges), plan, rng) for _ in range(2000)]
    assert min(drawn) == plan.small_edges
    assert max(drawn) == plan.largest_edges


def test_muon_takes_the_matrices_and_adamw_the_rest():
    config = replace(TINY, optimizer="muon")
    model = build_model(config.model, 0)
    adamw, muon = build_optimizer(model, config)
    assert all(p.dim() == 2 for group in muon.param_groups for p in group["params"])
    counted = sum(len(group["params"]) for o in (adamw, muon) for group in o.param_groups)
    assert counted == len(list(model.parameters()))


def test_muon_runs_and_resumes(tmp_path):
    config = replace(TINY, optimizer="muon", steps=4, decay_from=2)
    train(config, tmp_path)
    assert load_state(config, tmp_path).step == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 3", "unknown key stepz"),
        ("stepz: 3", "did you mean steps"),
        ("model: {widht: 3}", "did you mean model.width"),
        ("steps: many", "steps is 'many', expected int"),
        ("precision: fp8", "expected 'bf16' or 'fp32'"),
        ("- a list", "not a mapping"),
        ("steps: [", "Cannot read"),
        ("steps: 10\ndecay_from: 20", "decay_from"),
        ("graphs: 0", "graphs is 0"),
        ("rows: {batch: 0}", "rows.batch is 0"),
        ("rows: {names: pets}", "expected 'released' or 'nouns'"),
        ("rows: {names: nouns}", "rows.names is of generated problems of ProsQA in sentences"),
        ("average_decay: 1.5", "average_decay"),
        ("average_from: -1", "average_from"),
        ("model: {width: 30, heads: 4}", "width"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(WorkbenchError, match="(?s)" + message.replace("(", r"\(")):
        load_config(path)


def test_a_configuration_survives_the_round_trip(tmp_path):
    save_config(TINY, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == TINY


@pytest.mark.parametrize("schema", ["99", "0", "new", "[1]"])
def test_a_run_of_a_later_version_is_said_to_be_one(tmp_path, schema):
    save_config(TINY, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("schema: 1", f"schema: {schema}"))
    with pytest.raises(WorkbenchError, match="Update the workbench"):
        load_config(tmp_path / "config.yaml")


def test_a_run_directory_is_not_trained_over_with_another_configuration(tmp_path):
    claim(TINY, tmp_path / "run")
    claim(replace(TINY, steps=20), tmp_path / "run")
    with pytest.raises(WorkbenchError, match="seed differ"):
        claim(replace(TINY, seed=1), tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("do not touch")
    with pytest.raises(WorkbenchError, match="not empty"):
        claim(TINY, tmp_path / "other")


def test_the_shipped_configurations_are_valid():
    for path in (Path(__file__).parents[2] / "configs").glob("*.yaml"):
        assert sum(load_config(path).curriculum.hop_weights.values()) > 0
