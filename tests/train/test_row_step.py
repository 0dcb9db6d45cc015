"""A step of training by rows: what is fed, what is learned, and that it is learned."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import forward
from workbench.train.config import Curriculum, RowsConfig, Stage, TrainConfig
from workbench.train.data import IGNORE, stage_at
from workbench.train.methods import METHODS
from workbench.train.objective import RowBatch, RowStep

ITEMS = [chain(number, 1 + number % 3) for number in range(8)]
CONFIG = TrainConfig(
    task="prosqa",
    mixing="none",
    rows=RowsConfig(batch=6, steps_per_stage=10),
    curriculum=Curriculum(thoughts=3),
    precision="fp32",
)


def make(method: str = "coconut", checkpoint: Checkpoint | None = None, **changes: object) -> RowStep:
    config = replace(CONFIG, method=method, **changes)
    return RowStep(checkpoint or tiny(markers=METHODS[method].fed != "nothing"), config, ITEMS)


def draw(step: RowStep, at: int, rank: int = 0) -> RowBatch:
    return step.draw(Stage(), at, rank)


def loss(step: RowStep, batch: RowBatch, seed: int = 0) -> torch.Tensor:
    return step(batch, Stage(), torch.Generator().manual_seed(seed)).loss


def test_stages_go_by_the_clock() -> None:
    assert [stage_at(CONFIG, step) for step in (0, 9, 10, 29, 30, 1000)] == [0, 0, 1, 2, 3, 3]
    assert stage_at(replace(CONFIG, method="cot"), 0) == 3
    assert stage_at(CONFIG, 1000, last=4) == 4
    assert make().stage_at(1000) == 3
    assert make(curriculum=Curriculum(thoughts=2)).stage_at(1000) == 3  # a chain of three steps, two thoughts


def test_labels_are_what_is_said_and_nothing_else() -> None:
    step = make()
    batch = draw(step, 20)
    eot = step.format.marker.eot
    for ids, thought, mask, labels in zip(
        batch.rows.ids, batch.rows.is_thought, batch.rows.mask, batch.labels, strict=True
    ):
        assert int(thought.sum()) == 2
        learned = labels != IGNORE
        begins = int(thought.nonzero()[-1]) + 1
        assert ids[begins] == eot
        assert learned.nonzero().flatten().tolist() == list(range(begins + 1, int(mask.nonzero()[-1]) + 1))
        assert torch.equal(labels[learned], ids[learned])
        assert ids[learned][-1] == step.format.end


def test_the_loss_is_the_mean_over_what_is_said() -> None:
    step = make()
    batch = draw(step, 20)
    logits = forward(step.model, batch.rows.ids, batch.rows.is_thought, batch.rows.mask).logits
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(loss(step, batch), expected)


def test_gradients_flow_through_the_thoughts() -> None:
    step = make("coconut_language")
    batch = draw(step, 20)
    fed: list[torch.Tensor] = []
    hook = step.model.base_model.register_forward_hook(lambda m, a, out: fed.append(out.last_hidden_state))
    total = loss(step, batch)
    hook.remove()
    through = torch.autograd.grad(total, fed[:-1])
    assert len(through) == 2
    assert all(float(g[:, -1].abs().max()) > 0 for g in through)


def test_a_pause_token_is_its_own_embedding_in_one_pass_or_in_several() -> None:
    step = make("pause_as_thought")
    batch = draw(step, 20)
    assert not batch.rows.is_thought.any()
    slots = batch.rows.ids == step.format.marker.thought
    assert slots.sum(1).tolist() == [2] * len(slots)
    passes: list[int] = []
    hook = step.model.base_model.register_forward_hook(lambda m, a, out: passes.append(1))
    total = loss(step, batch)
    hook.remove()
    assert len(passes) == 1
    # Several passes, each of which feeds the token's embedding: more compute, the same numbers.
    pause = cast(nn.Embedding, step.model.get_input_embeddings()).weight[step.format.marker.thought]
    ran = forward(step.model, batch.rows.ids, slots, batch.rows.mask, edit=lambda k, thought: pause.expand_as(thought))
    target = batch.labels[:, 1:]
    several = F.cross_entropy(ran.logits[:, :-1][target != IGNORE], target[target != IGNORE])
    torch.testing.assert_close(total, several, atol=1e-5, rtol=0)
    names, weights = zip(*step.model.named_parameters(), strict=True)
    one, other = torch.autograd.grad(total, weights), torch.autograd.grad(several, weights)
    for name, g, h in zip(names, one, other, strict=True):
        torch.testing.assert_close(g, h, atol=1e-4, rtol=1e-3, msg=name)


def test_a_batch_is_drawn_from_seed_step_and_process_alone() -> None:
    first, again = draw(make(mixing="0.3"), 25), draw(make(mixing="0.3"), 25)
    assert torch.equal(first.rows.ids, again.rows.ids)
    assert torch.equal(first.labels, again.labels)
    others = [draw(make(mixing="0.3"), 26), draw(make(mixing="0.3"), 25, rank=1), draw(make(mixing="0.3", seed=1), 25)]
    assert not any(
        other.rows.ids.shape == first.rows.ids.shape and torch.equal(other.rows.ids, first.rows.ids) for other in others
    )


def test_mixed_stages_have_as_many_thoughts_as_steps_are_gone() -> None:
    batch = draw(make(mixing="packed", rows=RowsConfig(batch=40, steps_per_stage=10)), 99)
    assert set(batch.rows.is_thought.sum(1).tolist()) == {0, 1, 2, 3}
    assert set(draw(make(mixing="none"), 99).rows.is_thought.sum(1).tolist()) == {3}
    assert set(draw(make("pause_token", mixing="packed"), 0).rows.is_thought.sum(1).tolist()) == {0}


def test_tokens_disappear_one_by_one() -> None:
    step = make("icot", rows=RowsConfig(batch=200, steps_per_stage=10))
    assert (step.plan.last, step.plan.tokens_per_stage) == (3, 3)
    learned = [float((draw(step, at).labels != IGNORE).sum(1).float().mean()) for at in range(8, 45, 8)]
    assert learned == sorted(learned, reverse=True)
    assert learned[-1] == 4  # | [A] target <eos>


def test_dropout_repeats_with_the_seed_and_leaves_other_draws_alone() -> None:
    step = make(checkpoint=tiny("gpt2", markers=True, resid_pdrop=0.3))
    batch = draw(step, 20)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (float(loss(step, batch, seed).detach()) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.rand(3), expected)


def test_half_precision_keeps_thoughts_and_logits_wide() -> None:
    exact, rough = make(), make(precision="bf16")
    batch = draw(exact, 20)
    total = loss(rough, batch)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, loss(exact, batch), atol=0, rtol=0.03)
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in rough.model.parameters())


def test_a_mixing_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(WorkbenchError, match="no stage mixing"):
        make(mixing="often")


def losses(step: RowStep, at: Sequence[int]) -> list[float]:
    optimizer = torch.optim.AdamW(step.parameters(), lr=3e-3)
    seen = []
    for number in at:
        total = loss(step, draw(step, number))
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(float(total.detach()))
    return seen


@pytest.mark.parametrize("method", ["coconut", "cot", "icot", "pause_as_thought"])
def test_a_few_problems_are_learned_by_heart(method: str) -> None:
    seen = losses(make(method), range(30, 80))
    assert np.mean(seen[-5:]) < 0.25 * seen[0]
