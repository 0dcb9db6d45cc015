"""TransformerLens hooks at a thought, against torch hooks on the plain model."""

import logging

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.conftest import FAMILIES, chain, tiny
from workbench.errors import WorkbenchError
from workbench.measure.trace import run
from workbench.model.checkpoint import make_checkpoint, save_checkpoint
from workbench.model.coconut import Rows, forward
from workbench.model.lens import CoconutLens, LensRun

PROBLEMS = [chain(0, 2), chain(1, 4)]
PATTERN = "blocks.1.attn.hook_pattern"


@pytest.fixture(scope="module", params=FAMILIES)
def lens(request: pytest.FixtureRequest) -> CoconutLens:
    return CoconutLens(tiny(request.param))


def plain(lens: CoconutLens, rows: Rows) -> Tensor:
    return forward(lens.checkpoint.model, rows.ids, rows.is_thought, rows.mask).logits


def zero_head(value: Tensor, hook: object) -> Tensor:
    """Take away head 2 of [batch, columns, heads, d_head]."""
    value = value.clone()
    value[:, :, 2] = 0
    return value


def blind_head(pattern: Tensor, hook: object) -> Tensor:
    """Let head 2 attend to nothing."""
    pattern = pattern.clone()
    pattern[:, 2] = 0
    return pattern


def output_projection(model: PreTrainedModel) -> torch.nn.Module:
    """Return what reads the heads of the second layer."""
    if model.config.model_type == "gpt2":
        return model.get_submodule("transformer.h.1.attn.c_proj")
    return model.get_submodule("model.layers.1.self_attn.o_proj")


@torch.no_grad()
def test_the_lens_computes_what_the_plain_model_does(lens: CoconutLens) -> None:
    rows = lens.rows(PROBLEMS, rests=[[2], [2]])
    expected = plain(lens, rows)[rows.mask]
    ran, cache = lens.run_with_cache(rows)
    torch.testing.assert_close(ran.logits[rows.mask], expected, atol=5e-5, rtol=0)
    torch.testing.assert_close(cache["hook_embed"], ran.inputs)
    at = lens.at_thought(cache, rows, 2)
    assert at[PATTERN].shape == (2, 4, rows.ids.shape[1])
    torch.testing.assert_close(at[PATTERN].sum(-1), torch.ones(2, 4))
    column = int(rows.is_thought[0].nonzero()[1])
    torch.testing.assert_close(at["hook_embed"], ran.hidden[:, column - 1], atol=5e-5, rtol=0)


@pytest.mark.parametrize(("name", "function"), [("blocks.1.attn.hook_z", zero_head), (PATTERN, blind_head)])
@torch.no_grad()
def test_a_head_taken_away_at_thought_two_equals_a_torch_hook(lens: CoconutLens, name: str, function: object) -> None:
    rows = lens.rows(PROBLEMS)
    ran = lens.run_with_hooks(rows, [(name, function, 2)])  # type: ignore[list-item]

    passes: list[int] = []

    def without(module: torch.nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
        passes.append(given[0].shape[1])
        if len(passes) != 3:  # the prompt, thought 1, thought 2
            return None
        changed = given[0].clone()
        changed[..., 16:24] = 0
        return (changed,)

    handle = output_projection(lens.checkpoint.model).register_forward_pre_hook(without)
    expected = plain(lens, rows)
    handle.remove()
    torch.testing.assert_close(ran.logits[rows.mask], expected[rows.mask], atol=5e-5, rtol=0)
    before, column = plain(lens, rows), int(rows.is_thought[0].nonzero()[1])
    torch.testing.assert_close(ran.logits[rows.mask][:1], before[rows.mask][:1], atol=5e-5, rtol=0)
    assert (ran.logits[:, column:] - before[:, column:]).abs().amax(2).min() > 1e-4


@torch.no_grad()
def test_an_ablation_changes_the_distribution_over_nodes_of_later_thoughts_only(lens: CoconutLens) -> None:
    rows = lens.rows(PROBLEMS)
    runs: list[LensRun] = [lens.run_with_hooks(rows, hooks) for hooks in ([], [(PATTERN, blind_head, 2)])]
    for k in (1, 2, 3):
        before, after = (lens.node_distribution(PROBLEMS[0], ran, k) for ran in runs)
        assert before.shape == (len(PROBLEMS[0].names),)
        assert (before - after).abs().max() < 1e-6 if k < 3 else (before - after).abs().max() > 1e-6


@torch.no_grad()
def test_a_cache_under_hooks_is_that_of_the_hooked_loop(lens: CoconutLens) -> None:
    rows = lens.rows(PROBLEMS)
    swap = [("hook_thought", lambda thought, hook: -thought, 1), (PATTERN, blind_head, 2)]
    ran, cache = lens.run_with_cache(rows, swap)
    flipped = forward(
        lens.checkpoint.model, rows.ids, rows.is_thought, rows.mask, lambda k, t: -t if k == 1 else t
    ).inputs
    column = int(rows.is_thought[0].nonzero()[0])
    torch.testing.assert_close(ran.inputs[:, column], flipped[:, column], atol=5e-5, rtol=0)
    torch.testing.assert_close(cache["ln_final.hook_out"][rows.mask], ran.hidden[rows.mask], atol=5e-5, rtol=0)
    assert lens.at_thought(cache, rows, 2)[PATTERN][:, 2].abs().max() == 0
    assert lens.at_thought(cache, rows, 3)[PATTERN][:, 2].abs().max() > 0


@torch.no_grad()
def test_hooks_leave_no_trace(lens: CoconutLens) -> None:
    rows = lens.rows(PROBLEMS)
    lens.run_with_hooks(rows, [(PATTERN, blind_head)])
    torch.testing.assert_close(
        lens.run_with_hooks(rows).logits[rows.mask], plain(lens, rows)[rows.mask], atol=5e-5, rtol=0
    )


def test_the_model_is_left_alone_and_shares_its_weights(tmp_path: object) -> None:
    checkpoint = tiny("llama")
    names = list(checkpoint.model.state_dict())
    logger = logging.getLogger("transformers")
    level = logger.level
    lens = CoconutLens(checkpoint)
    assert logger.level == level  # its warnings stay on
    assert list(checkpoint.model.state_dict()) == names
    save_checkpoint(checkpoint, f"{tmp_path}/saved")
    rows = lens.rows(PROBLEMS)
    with torch.no_grad():
        before = plain(lens, rows)
        for weight in checkpoint.model.parameters():
            weight.mul_(1.1)
        after = plain(lens, rows)
        assert not torch.allclose(before, after)
        torch.testing.assert_close(lens.run_with_hooks(rows).logits[rows.mask], after[rows.mask], atol=1e-4, rtol=0)


def test_a_wrong_place_is_named() -> None:
    lens = CoconutLens(tiny("qwen2"))
    rows = lens.rows(PROBLEMS, thoughts=2)
    with pytest.raises(WorkbenchError, match="There is no thought 3"):
        lens.run_with_hooks(rows, [(PATTERN, blind_head, 3)])
    with pytest.raises(WorkbenchError, match="There is no hook point blocks"):
        lens.run_with_hooks(rows, [("blocks.9.attn.hook_z", zero_head)])


@torch.no_grad()
def test_a_model_fed_pauses_is_traced_with_pauses() -> None:
    held = tiny("qwen2")
    paused = CoconutLens(make_checkpoint(held.model, held.tokenizer, {**held.meta, "fed": "pause"}, "paused"))
    rows = paused.rows(PROBLEMS)
    ran = paused.run_with_hooks(rows)
    # One pass over the pause tokens themselves, which stand in the thoughts' places.
    nothing = torch.zeros_like(rows.is_thought)
    expected = forward(held.model, rows.ids, nothing, rows.mask).logits
    torch.testing.assert_close(ran.logits[rows.mask], expected[rows.mask], atol=5e-5, rtol=0)
    (trace, _) = run(paused.checkpoint, PROBLEMS, continuations=False)
    read = paused.node_distribution(PROBLEMS[0], ran, 2)
    torch.testing.assert_close(read, torch.from_numpy(trace.lm_head[1]), atol=1e-5, rtol=0)
