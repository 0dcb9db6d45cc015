"""The benchmarks: both sides do the same work, and the last line is the result."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import emergence, generator, readings, report, rollouts, scale, training_step
from benchmarks.timing import Side, compare
from tests.conftest import tiny
from tests.train.test_stage_checkpoints import keep
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.files import save_problems
from workbench.problems.sets import generate
from workbench.train.batch import IGNORE, Ask
from workbench.train.config import Curriculum, ModelConfig, Schedule, Stage
from workbench.train.graphs import graph_train_batch, question_batch
from workbench.train.init import build_model
from workbench.train.objective import batch_loss, open_pass


def last_line(captured: pytest.CaptureFixture[str]) -> dict:
    return json.loads(captured.readouterr().out.strip().splitlines()[-1])


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """The benchmarks set the number of threads; the other tests keep theirs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_ratio_is_peer_over_ours_per_unit() -> None:
    result = compare(
        "x",
        Side("ours", lambda: sum(range(200_000)) and 100.0),
        Side("peer", lambda: sum(range(200_000)) and 1.0),
        rounds=3,
    )

    assert result["name"] == "x"
    assert float(str(result["low"])) <= float(str(result["ratio"])) <= float(str(result["high"]))
    assert 10 < float(str(result["cpu_ratio"])) < 1000


def test_the_networkx_generator_makes_problems_of_the_family() -> None:
    rng = np.random.default_rng(0)
    made = [asked for _ in range(40) if (asked := generator.ask(generator.grow(rng, 36), rng))]

    assert made
    for ids, path in made:
        assert len(ids) == 1 + 3 * 36 + 5
        assert path[-1] in ids[-4:-2], "the target is one of the two options"
        assert len(path) in generator.HOPS


def test_generator(capsys: pytest.CaptureFixture[str]) -> None:
    generator.main(rounds=2, scale=1)

    result = last_line(capsys)
    assert result["name"] == "generator"
    assert result["problems_per_core_second"] > 0


def test_the_naive_step_asks_what_the_packed_step_asks() -> None:
    model = build_model(ModelConfig(width=32, heads=2, mlp_width=48), 0)
    batch = question_batch(
        np.random.default_rng(0),
        graphs=1,
        questions=3,
        edges=16,
        thoughts=3,
        hop_weights={1: 1.0, 2: 1.0, 3: 1.0},
        special=0.0,
    )
    none = torch.zeros(3, 1, dtype=torch.long)  # no answers: the loss of the thoughts alone
    stage_by_stage = training_step.naive_loss(model, batch, 3, none, one_loop=False)
    one_loop = training_step.naive_loss(model, batch, 3, none, one_loop=True)
    torch.testing.assert_close(stage_by_stage, one_loop)

    asked = torch.full((3, 1), 3)
    answers = training_step.naive_loss(model, batch, 3, asked, one_loop=True) - one_loop
    ask = Ask(Stage(3), Schedule(Curriculum(thoughts=3), 3), answers=1)
    learned = graph_train_batch(batch, ask, torch.Generator().manual_seed(0))
    packed = batch_loss(open_pass(model, learned, torch.float32), learned).loss
    labelled = (batch.walks != IGNORE).sum()
    torch.testing.assert_close(packed, one_loop * 3 / labelled + answers, rtol=1e-4, atol=1e-5)


def test_training_step(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(
        "model: {width: 32, heads: 2, mlp_width: 48}\n"
        "curriculum: {thoughts: 3, typical_edges: 16, hop_weights: {1: 1.0, 2: 1.0, 3: 1.0}, special: 0.0}\n"
        "graphs: 2\nquestions: 4\n"
    )
    training_step.main(config, rounds=2, graphs=None, peer_questions=2)

    result = last_line(capsys)
    assert result["name"] == "training_step"
    assert result["ratio"] > 1
    assert result["ratio_model_pass"] > 0


def test_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_checkpoint(tiny(max_position_embeddings=256), tmp_path / "run" / "model")
    save_problems(generate("released", 8, seed=1), tmp_path / "few.json")
    report.main(str(tmp_path / "run"), tmp_path / "few.json", count=8, peer_count=1, rounds=2, threads=1)

    result = last_line(capsys)
    assert result["name"] == "report"
    assert result["depths"] == 4
    assert result["ratio"] > 1


def test_readings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_checkpoint(tiny(max_position_embeddings=256), tmp_path / "run" / "model")
    save_problems(generate("released", 2, seed=1), tmp_path / "few.json")
    run, file = str(tmp_path / "run"), tmp_path / "few.json"
    readings.main(run, file, count=2, peer_count=2, rounds=1, names="breadth,copy_map", threads=1)

    result = last_line(capsys)
    assert (result["name"], result["problems"], result["runs"]) == ("readings", 2, 6)
    assert [(one["stage"], one["name"]) for one in result["stages"]] == [
        *(("record", label) for label in ("model", "untrained", "pause", "shuffled", "noise", "other_target")),
        *((kind, name) for name in ("breadth", "copy_map") for kind in ("table", "figures")),
    ]
    peaks = [one["peak_mb"] for one in result["stages"]]
    assert peaks == sorted(peaks)
    assert result["peak_mb"] >= peaks[-1] > 100


def test_emergence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for step in (5, 20):
        keep(tmp_path / "run" / "checkpoints" / f"step{step}", step, seed=step)
    save_problems(generate("balanced", 4, hop_weights={2: 1.0}, seed=1, nodes=8), tmp_path / "few.json")
    emergence.main(tmp_path / "run", tmp_path / "few.json", count=4, controls="pause", cache=None, seed=0)

    shown = capsys.readouterr().out.strip().splitlines()
    result = json.loads(shown[-1])
    assert [one["run"] for one in result["runs"]] == ["model", "pause"]
    own = result["runs"][0]
    assert {one["step"] for one in own["by_step"]} == {5, 20} == {one["step"] for one in own["right"]}
    assert all(0 <= one["low"] <= one["value"] <= one["high"] <= 1 for one in own["by_step"])
    assert [one["thought"] for one in own["appearance"]] == sorted({one["thought"] for one in own["by_step"]})
    assert sum(line.startswith("| 20 |") for line in shown) == 2


def test_scale_counts_what_a_report_costs() -> None:
    checkpoint = tiny(max_position_embeddings=256)
    found = scale.once(checkpoint, 3, 1)
    assert (found["problems"], found["thoughts"]) == (3, 1)
    assert found["columns_per_problem"] > 3 * 30  # type: ignore[operator]  # three prompts at least: its twin, its rewrite


def test_rollouts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    rollouts.main([rollouts.ROOT / "configs" / "reward-start-coconut.yaml"], problems=2, answers=3, rounds=1)

    assert "reward-start-coconut: 6 answers, 1.0 words each" in capsys.readouterr().out
