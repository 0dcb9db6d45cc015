"""The loop against a recomputation that is slow and plain, and what it refuses."""

from collections.abc import Callable

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from tests.conftest import FAMILIES, tiny_model
from workbench.errors import WorkbenchError
from workbench.model.coconut import Edit, Rows, collate, forward, lm_head, positions, states
from workbench.model.session import Branches, Session

PROMPTS = [[9, 10, 11, 12, 13], [14, 15, 16], [17, 18, 19, 20]]


def naive(model: PreTrainedModel, rows: Rows, edit: Edit | None = None) -> Float[Tensor, "batch columns vocab"]:
    """Run the whole row again for every thought, without a cache."""
    position = positions(rows.mask)
    inputs = list(model.get_input_embeddings()(rows.ids).unbind(1))
    number = rows.is_thought.long().cumsum(1)
    for column in rows.is_thought.any(0).nonzero().flatten().tolist():
        thought = model.base_model(
            inputs_embeds=torch.stack(inputs[:column], 1),
            attention_mask=rows.mask[:, :column],
            position_ids=position[:, :column],
            use_cache=False,
        ).last_hidden_state[:, -1]
        if edit:
            thought = torch.stack([edit(int(number[row, column]), thought)[row] for row in range(len(thought))])
        inputs[column] = torch.where(rows.is_thought[:, column, None], thought, inputs[column])
    return model(
        inputs_embeds=torch.stack(inputs, 1), attention_mask=rows.mask, position_ids=position, use_cache=False
    ).logits


def ragged() -> Rows:
    return collate(PROMPTS, [3, 1, 0], [[2, 20], [2, 21, 22], [2]], pad=0, thought=8)


def tolerance(model: PreTrainedModel) -> float:
    """Llama and Qwen2 compute their norms in fp32 whatever the precision, so that only GPT-2 is exact in fp64."""
    return 1e-12 if model.config.model_type == "gpt2" else 1e-6


def gradients(model: PreTrainedModel, run: Callable[[], Tensor], real: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(1)
    logits = run()[real]
    (logits * torch.randn(logits.shape, dtype=logits.dtype)).mean().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_logits_and_gradients_equal_a_naive_recomputation(model: PreTrainedModel) -> None:
    model, rows, near = model.double(), ragged(), tolerance(model)
    ours = gradients(model, lambda: forward(model, rows.ids, rows.is_thought, rows.mask).logits, rows.mask)
    theirs = gradients(model, lambda: naive(model, rows), rows.mask)
    ran = forward(model, rows.ids, rows.is_thought, rows.mask).logits
    torch.testing.assert_close(ran[rows.mask], naive(model, rows)[rows.mask], atol=near, rtol=0)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=near, rtol=0, msg=name)


def test_more_passes_than_needed_change_nothing(model: PreTrainedModel) -> None:
    rows, near = ragged(), 5e-5
    calls: list[int] = []
    model.base_model.register_forward_hook(lambda module, args, out: calls.append(1))
    expected, inputs = states(model, rows.ids, rows.is_thought, rows.mask)
    assert len(calls) == int(rows.is_thought.any(0).sum()) + 1 == 4
    ran, fed = states(model, rows.ids, rows.is_thought, rows.mask, passes=6)
    assert len(calls) == 4 + 6
    torch.testing.assert_close(ran[rows.mask], expected[rows.mask], atol=near, rtol=0)
    torch.testing.assert_close(fed[rows.mask], inputs[rows.mask], atol=near, rtol=0)
    without = collate(PROMPTS, [0, 0, 0], [[2], [2], [2]], pad=0, thought=8)
    assert len(calls) == 10
    states(model, without.ids, without.is_thought, without.mask, passes=3)
    assert len(calls) == 13


def test_padding_on_the_left_changes_nothing(model: PreTrainedModel) -> None:
    model, near = model.double(), tolerance(model)
    alone = collate(PROMPTS[1:2], [2], [[2, 21]], pad=0, thought=8)
    among = collate(PROMPTS, [2, 2, 2], [[2, 20], [2, 21], [2, 22]], pad=0, thought=8)
    one = forward(model, alone.ids, alone.is_thought).logits[0]
    padded = forward(model, among.ids, among.is_thought, among.mask).logits[1, among.mask[1]]
    torch.testing.assert_close(padded, one, atol=near, rtol=0)


def test_a_thought_is_what_enters_the_lm_head(model: PreTrainedModel) -> None:
    rows = ragged()
    ran = forward(model, rows.ids, rows.is_thought, rows.mask)
    torch.testing.assert_close(ran.inputs[0, 5:8], ran.hidden[0, 4:7])
    torch.testing.assert_close(lm_head(model, ran.inputs[0, 5:8]), ran.logits[0, 4:7])


def test_an_edit_reaches_only_the_rows_that_think_that_thought(model: PreTrainedModel) -> None:
    rows = ragged()

    def edit(k: int, thought: Tensor) -> Tensor:
        return thought * -1 if k == 2 else thought

    ran = forward(model, rows.ids, rows.is_thought, rows.mask, edit).logits
    plain = forward(model, rows.ids, rows.is_thought, rows.mask).logits
    torch.testing.assert_close(ran[rows.mask], naive(model, rows, edit)[rows.mask], atol=5e-5, rtol=0)
    assert not torch.allclose(ran[0, 6:], plain[0, 6:])
    torch.testing.assert_close(ran[1:], plain[1:])
    assert torch.equal(forward(model, rows.ids, rows.is_thought, rows.mask, lambda k, t: t).logits, plain)


def test_hooks_fire_inside_the_loop(model: PreTrainedModel) -> None:
    rows, seen = ragged(), []
    handle = model.base_model.register_forward_hook(
        lambda module, given, out: seen.append(out.last_hidden_state.shape[1])
    )
    forward(model, rows.ids, rows.is_thought, rows.mask)
    handle.remove()
    assert seen == [5, 1, 1, 3]


@pytest.mark.parametrize("count", [0, 3])
@torch.no_grad()
def test_branches_equal_rows_of_their_own(model: PreTrainedModel, count: int) -> None:
    session = Session(model, PROMPTS, pad=0, more=20)
    thoughts = session.think(count)
    assert thoughts.shape == (3, count, 32)
    openings = [[[2, 20 + row] if (k + row) % 2 else [2] for k in range(count + 1)] for row in range(3)]
    branches = Branches(session, range(count + 1))
    logits = branches.say(openings)
    words = [[[30], [31, 32], [31, 33, 34]], [[40, 41], [42]], [[50]]]
    spelled = branches.spell(logits, words)
    said = branches.go_on(logits, 6, end=1)
    for row, prompt in enumerate(PROMPTS):
        for k in range(count + 1):
            tokens = [*openings[row][k]]
            for step, token in enumerate(said[row][k]):
                alone = collate([prompt], [k], [tokens], pad=0, thought=8)
                expected = naive(model, alone)[0, -1]
                if step == 0:
                    torch.testing.assert_close(logits[row, k], expected, atol=5e-5, rtol=0)
                if 1 in tokens[len(openings[row][k]) :]:
                    assert token == 1
                else:
                    assert expected[token] >= expected.max() - 5e-5
                tokens.append(token)
            for number, word in enumerate(words[row]):
                alone = collate([prompt], [k], [[*openings[row][k], *word]], pad=0, thought=8)
                chance = naive(model, alone)[0].log_softmax(-1)
                expected = sum(float(chance[-len(word) - 1 + i, token]) for i, token in enumerate(word))
                assert float(spelled[row][k, number].log()) == pytest.approx(expected, abs=1e-4)


def test_gradients_of_a_session_are_those_of_the_reference(model: PreTrainedModel) -> None:
    def gradients(logits: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        logits.square().mean().backward()
        return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}

    rows = collate(PROMPTS, [2] * 3, [[2, 20]] * 3, pad=0, thought=8)
    expected = gradients(forward(model, rows.ids, rows.is_thought, rows.mask).logits[:, -1])
    session = Session(model, PROMPTS, pad=0, more=20)
    session.think(2)
    Branches(session, [0, 2]).say([[[2], [3]]] * 3)  # what others say leaves no trace in the gradient
    session.rewind(session.end)
    found = gradients(Branches(session, [2]).say([[[2, 20]]] * 3)[:, 0])
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


def test_the_prompt_is_run_once_whatever_the_number_of_branches(model: PreTrainedModel) -> None:
    columns: list[int] = []
    handle = model.base_model.register_forward_hook(
        lambda module, given, out: columns.append(out.last_hidden_state.shape[1])
    )
    session = Session(model, PROMPTS, pad=0, more=20)
    session.think(3)
    branches = Branches(session, range(4))
    branches.say([[[2]] * 4] * 3)
    handle.remove()
    assert columns == [5, 1, 1, 1, 4]


def refused(what: str, **given: object) -> WorkbenchError:
    rows = ragged()
    arguments = {"ids": rows.ids, "is_thought": rows.is_thought, "mask": rows.mask, **given}
    model = arguments.pop("model", None) or tiny_model("qwen2")
    with pytest.raises(WorkbenchError, match=what) as caught:
        forward(model, **arguments)  # type: ignore[arg-type]
    return caught.value


def test_wrong_use_is_refused_with_the_reason() -> None:
    training = tiny_model("llama").train()
    training.activation_checkpointing_enable()
    assert "key-value cache" in refused("gradient checkpointing", model=training).why
    assert "mask" in refused("no attention mask", mask=None).do
    assert "(3, 2)" in refused("does not fit", mask=torch.ones(3, 2, dtype=torch.long)).why
    column = torch.zeros_like(ragged().is_thought)
    column[1, 0] = True
    assert "column before" in refused("Row 1 has a thought at column 0", is_thought=column).why
    column[1] = torch.arange(column.shape[1]) == 2  # the first column of this row that is no padding
    refused("Row 1 has a thought at column 2", is_thought=column)
    sliding = tiny_model("qwen2", use_sliding_window=True, max_window_layers=1, sliding_window=4)
    refused("does not attend to all", model=sliding)


@pytest.mark.parametrize("family", FAMILIES)
def test_more_positions_than_the_model_has_are_refused(family: str) -> None:
    rows = collate([[9] * 125], [3], [[2, 20]], pad=0, thought=8)
    with pytest.raises(WorkbenchError, match="needs 130 positions; the model has 128"):
        forward(tiny_model(family), rows.ids, rows.is_thought, rows.mask)
    with pytest.raises(WorkbenchError, match="needs 129 positions"):
        Session(tiny_model(family), [[9] * 125], pad=0, more=4)


def test_gradient_checkpointing_is_no_fault_outside_training() -> None:
    model, rows = tiny_model("llama"), ragged()
    model.activation_checkpointing_enable()
    forward(model.eval(), rows.ids, rows.is_thought, rows.mask)
