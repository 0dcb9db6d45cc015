"""Latent reinforcement learning: a head learns the value of thoughts, then the model is moved to raise it."""

from dataclasses import replace
from itertools import product
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import chain
from tests.train.test_grpo import TINY
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import load_checkpoint
from workbench.model.value_head import value_head
from workbench.problems.files import save_problems
from workbench.train.config import RowsConfig, TrainConfig, load_config
from workbench.train.loop import read_metrics, train
from workbench.train.policy import RewardData, _judged
from workbench.train.reward import HeadConfig, RewardConfig
from workbench.train.state import load_state


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> TrainConfig:
    """Three steps for the head, four for the model, on six problems."""
    path = tmp_path_factory.mktemp("problems") / "problems.json"
    save_problems([chain(number, 2) for number in range(6)], path)
    return replace(
        TINY,
        objective="latent_value",
        rows=RowsConfig(problems=str(path), validation=str(path), batch=3),
        reward=RewardConfig(group=4, score="format", kl=0.1, head=HeadConfig(steps=3, learning_rate=0.05)),
        evaluate_every=7,
    )


def weights_of(model) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("frozen", [True, False])
def test_first_the_head_learns_alone_then_the_model_moves(frozen, config, tmp_path):
    head = replace(config.reward.head, frozen=frozen)
    config = replace(config, reward=replace(config.reward, head=head))
    seen = [weights_of(load_state(config, tmp_path / "0").model)]
    for steps in (3, 7):  # the learning rate follows `steps`, so the last run repeats the first with another one
        state = train(replace(config, steps=steps, decay_from=steps), tmp_path / str(steps))
        seen.append(weights_of(state.model))
    moved = [
        {name for name in before if not torch.equal(before[name], after[name])}
        for before, after in ((seen[0], seen[1]), (seen[0], seen[2]))
    ]
    assert moved[0] == {"value_head.last.weight", "value_head.last.bias"}
    assert "model.layers.0.mlp.up_proj.weight" in moved[1]
    state = load_state(replace(config, steps=3, decay_from=3), tmp_path / "3")
    learned = weights_of(value_head(state.model))
    for name, weight in weights_of(
        value_head(train(replace(config, steps=5, decay_from=3), tmp_path / "3").model)
    ).items():
        assert torch.equal(weight, learned[name]) == frozen, name


@pytest.mark.parametrize(
    ("frozen", "moves", "kl"), [(True, True, 0.5), (False, True, 0.0), (True, False, 0.0), (False, False, 0.5)]
)
def test_the_loss_is_that_of_plain_loops_and_its_gradient_reaches_the_thoughts(frozen, moves, kl, config, tmp_path):
    head = HeadConfig(width=5, steps=0 if moves else 9, frozen=frozen)
    config = replace(config, reward=replace(config.reward, head=head, kl=kl))
    state = load_state(config, tmp_path)
    assert isinstance(state.data, RewardData)
    with torch.no_grad():
        for weight in state.model.model.layers.parameters():  # no longer the start: the divergence is not 0
            weight.add_(0.05 * torch.randn_like(weight))
    batch = state.data.draw(state.stage, 1, 0)
    value, now = value_head(state.model), batch.before
    first, last = cast(nn.Linear, value.first), value.last
    learned, predicted, apart = [], [], []
    for g, m in product(*map(range, batch.reward.shape)):
        for read in now.read[g, m]:
            inside = torch.nn.functional.gelu(first.weight @ read + first.bias)
            p = torch.sigmoid(last.weight @ inside + last.bias)[0]
            good = batch.reward[g, m]
            learned.append(-(good * p.log() + (1 - good) * (1 - p).log()))
            predicted.append(p)
        if batch.start is not None:
            gaps = (batch.start[g, m] - now.words[g, m])[batch.said.counts[g, m]]
            apart.append(torch.stack([gap.exp() - gap - 1 for gap in gaps]).mean())
    expected = torch.zeros(())
    if not (moves and frozen):
        expected = expected + torch.stack(learned).mean()
    if moves:
        expected = expected - torch.stack(predicted).mean()
        expected = expected + (kl * torch.stack(apart).mean() if kl else 0)
    loss = state.step_module(batch, 0).loss
    torch.testing.assert_close(loss, expected.detach(), atol=1e-5, rtol=1e-4)
    loss.backward()
    query = dict(state.model.named_parameters())["model.layers.0.self_attn.q_proj.weight"].grad
    assert (query is not None and bool(query.any())) == moves
    assert (first.weight.grad is not None and bool(first.weight.grad.any())) == (not (moves and frozen))
    if moves and not frozen:
        return  # the head learns from thoughts that it does not move, and the model from a head that it does not
    # Along the gradient itself the loss rises by the gradient's length: finite differences, in fp32.
    known = [(weight, weight.grad.clone()) for weight in state.model.parameters() if weight.grad is not None]
    length, step = float(torch.stack([grad.norm() for _, grad in known]).norm()), 2e-3
    ends = []
    with torch.no_grad():
        for sign in (1, -2):
            for weight, grad in known:
                weight.add_(grad, alpha=sign * step / length)
            ends.append(float(state.step_module(batch, 0).loss))
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(length, rel=0.02)


def test_area_and_f1_are_those_of_plain_pairs():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.random((40, 2)).round(1), rng.integers(0, 2, (40, 1))], 1)
    found = _judged(values)
    good = values[:, 2] > 0.5
    for k in range(2):
        p = values[:, k]
        pairs = [(p[i] > p[j]) + 0.5 * (p[i] == p[j]) for i in range(40) for j in range(40) if good[i] and not good[j]]
        hits = sum(1 for i in range(40) if good[i] and p[i] > 0.5)
        precision, recall = hits / (p > 0.5).sum(), hits / good.sum()
        assert found["auc"][k] == pytest.approx(np.mean(pairs), abs=1e-5)
        assert found["f1"][k] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-5)


def test_a_run_is_resumed_with_its_head_and_exported_without_it(config, tmp_path):
    whole = train(config, tmp_path / "whole")

    class Cut(Exception):
        pass

    def cut(record):
        if record["step"] == 4:
            raise Cut

    with pytest.raises(Cut):
        train(replace(config, checkpoint_seconds=0.0, evaluate_every=4), tmp_path / "cut", cut)
    assert 0 < load_state(config, tmp_path / "cut").step < 4
    resumed = train(config, tmp_path / "cut")
    for name, weight in weights_of(whole.model).items():
        assert torch.equal(weight, weights_of(resumed.model)[name]), name
    record = read_metrics(tmp_path / "whole")[-1]
    assert {
        "value",
        "value_auc",
        "value_f1",
        "practice_auc",
        "practice_f1",
        "batch_value",
        "head_loss",
    } <= record.keys()
    names = dict(load_checkpoint(tmp_path / "whole").model.named_parameters())
    assert not [name for name in names if "value_head" in name]
    for name, weight in names.items():
        assert torch.equal(weight, weights_of(whole.model)[name].bfloat16().float()), name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("method: cot", "needs a method that feeds thoughts"),
        ("curriculum: {thoughts: 0}", "curriculum.thoughts of 1 or more"),
        ("processes: 2", "trains in one process"),
        ("reward: {detach: true}", "without a recurrence"),
        ("reward: {variety: gaussian, density: sum}", "density is not read"),
        ("reward: {head: {steps: -1}}", "cannot be below 0"),
        ("objective: grpo\nreward: {head: {steps: 5}}", "by objective: latent_value alone"),
    ],
)
def test_a_head_that_makes_no_sense_is_an_error_before_the_first_step(text, why, tmp_path):
    base = "" if text.startswith("objective") else "objective: latent_value\n"
    one = "" if "processes" in text else "processes: 1\n"
    (tmp_path / "config.yaml").write_text(base + one + "method: coconut_words\n" * ("method" not in text) + text)
    with pytest.raises(WorkbenchError, match=why):
        load_config(tmp_path / "config.yaml")
