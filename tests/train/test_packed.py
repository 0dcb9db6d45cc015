"""The packed step does the arithmetic of the unmodified Hugging Face model, question by question."""

import numpy as np
import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.problems.vocabulary import VOCABULARY
from workbench.train.config import ModelConfig
from workbench.train.data import IGNORE, question_batch, spell_chains
from workbench.train.init import build_model
from workbench.train.objective import Ask, packed_loss
from workbench.train.packed import Packed, Weights

THOUGHTS = 3
ATOL, RTOL = 1e-5, 1e-4  # norms and softmax are fp32 in both
HOPS = {1: 1.0, 2: 1.0, 3: 1.0}


@pytest.fixture(scope="module")
def model():
    return build_model(ModelConfig(width=32, heads=2, mlp_width=48), seed=0).double().eval()


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return question_batch(rng, graphs=3, questions=4, edges=14, thoughts=THOUGHTS, hop_weights=HOPS, special=0.0)


def by_hand(model, prefix, question, thoughts, tail):
    """One question on its own: thoughts over the full prefix without a cache, then the tail; returns hidden states."""
    embed = model.get_input_embeddings()
    inputs = embed(torch.cat([prefix, question]))[None]
    for _ in range(thoughts):
        hidden = model.base_model(inputs_embeds=inputs).last_hidden_state
        inputs = torch.cat([inputs, hidden[:, -1:]], 1)
    if len(tail):
        inputs = torch.cat([inputs, embed(tail)[None]], 1)
    return model.base_model(inputs_embeds=inputs).last_hidden_state[0]


def run_thoughts(model, batch):
    run = Packed(Weights.of(model, torch.float64), batch.prefix, batch.question.shape[1])
    q = batch.question.shape[2]
    thought = run.feed(run.embed(batch.question), 0, read_last=1)
    thoughts = [thought]
    for k in range(1, THOUGHTS + 1):
        thought = run.feed(thought, q + k - 1, read_last=1)
        thoughts.append(thought)
    return run, torch.cat(thoughts, 2)


def test_thoughts_equal_the_plain_model(model, batch):
    _, packed = run_thoughts(model, batch)
    for g in range(3):
        for m in range(4):
            plain = by_hand(model, batch.prefix[g], batch.question[g, m], THOUGHTS, torch.tensor([], dtype=torch.long))
            torch.testing.assert_close(packed[g, m], plain[-THOUGHTS - 1 :], atol=ATOL, rtol=RTOL)


def test_answers_after_every_number_of_thoughts_equal_the_plain_model(model, batch):
    run, _ = run_thoughts(model, batch)
    q = batch.question.shape[2]
    answer = torch.tensor([VOCABULARY.index("[A]")])
    stages = torch.tensor([0, 2]).expand(3, 4, 2)
    hidden = run.ask(run.embed(answer.expand(3, 4, 2)), q - 1 + stages)
    for column, k in enumerate((0, 2)):
        plain = by_hand(model, batch.prefix[1], batch.question[1, 3], k, answer)[-1]
        torch.testing.assert_close(hidden[1, 3, column], plain, atol=ATOL, rtol=RTOL)


def test_chains_after_different_numbers_of_thoughts_equal_the_plain_model(model, batch):
    run, _ = run_thoughts(model, batch)
    q = batch.question.shape[2]
    k = torch.arange(12).view(3, 4) % (THOUGHTS + 1)
    tokens = spell_chains(batch, 3 * k)
    hidden = run.say(run.embed(tokens.clamp(min=0)), q - 1 + k)
    for g, m in ((0, 1), (1, 2), (2, 3)):
        own = tokens[g, m][tokens[g, m] != IGNORE]
        plain = by_hand(model, batch.prefix[g], batch.question[g, m], int(k[g, m]), own)[-len(own) :]
        torch.testing.assert_close(hidden[g, m, : len(own)], plain, atol=ATOL, rtol=RTOL)


def test_gradients_flow_through_the_thoughts_as_in_the_plain_model(model, batch):
    model.zero_grad()
    _, packed = run_thoughts(model, batch)
    packed[..., -1, :].pow(3).sum().backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    nothing = torch.tensor([], dtype=torch.long)
    total = torch.stack(
        [
            by_hand(model, batch.prefix[g], batch.question[g, m], THOUGHTS, nothing)[-1]
            for g in range(3)
            for m in range(4)
        ]
    )
    total.pow(3).sum().backward()
    assert len(ours) > 20
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-3)
    model.zero_grad()


def test_a_chain_spells_what_is_left():
    rng = np.random.default_rng(1)
    batch = question_batch(rng, graphs=2, questions=3, edges=14, thoughts=3, hop_weights={3: 1.0}, special=0.0)
    said = spell_chains(batch, 3 * torch.tensor([[0, 1, 2], [3, 3, 0]]))
    nodes = torch.cat([batch.question[..., -1:], batch.walks[..., 0]], -1)
    bar, answer, eos = (VOCABULARY.index(t) for t in ("|", "[A]", "<eos>"))
    n = nodes[0, 1].tolist()
    expected = [bar, n[1], n[2], bar, n[2], n[3], answer, n[3], eos]
    assert said[0, 1].tolist() == expected + [IGNORE] * (said.shape[-1] - len(expected))
    assert said[1, 0].tolist()[:4] == [bar, answer, int(batch.target[1, 0]), eos]


def test_the_loss_sees_no_answer_that_cannot_be_known(model, batch):
    """With one thought open, a question three hops deep contributes no answer."""
    deep = question_batch(
        np.random.default_rng(2), graphs=2, questions=2, edges=14, thoughts=1, hop_weights={3: 1.0}, special=0.0
    )
    result = packed_loss(Weights.of(model, torch.float64), deep, Ask(1), torch.Generator().manual_seed(0))
    assert torch.isnan(result.answered)
    assert torch.isfinite(result.loss)


def test_another_architecture_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=64))
    with pytest.raises(WorkbenchError, match="cannot run a gpt2 model"):
        Weights.of(gpt2, torch.float32)
