"""Both forward passes of a training step do the arithmetic of the plain model, question by question."""

import numpy as np
import pytest
import torch

from tests.conftest import tiny_model
from workbench.problems.vocabulary import VOCABULARY
from workbench.train.batch import IGNORE, Ask
from workbench.train.config import Curriculum, ModelConfig, Schedule, Stage
from workbench.train.fast import FastPass, supports
from workbench.train.forward import ForwardPass, ModelPass
from workbench.train.graphs import graph_train_batch, question_batch, spell_chains
from workbench.train.init import build_model
from workbench.train.objective import batch_loss, open_pass

THOUGHTS = 3
ATOL, RTOL = 1e-5, 1e-4  # norms and softmax are fp32 in both
HOPS = {1: 1.0, 2: 1.0, 3: 1.0}
NOTHING = torch.tensor([], dtype=torch.long)
KINDS = pytest.mark.parametrize("kind", [ModelPass, FastPass])


@pytest.fixture(scope="module")
def model():
    return build_model(ModelConfig(width=32, heads=2, mlp_width=48), seed=0).double().eval()


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return question_batch(rng, graphs=3, questions=4, edges=14, thoughts=THOUGHTS, hop_weights=HOPS, special=0.0)


def by_hand(model, prefix, question, thoughts, tail=NOTHING):
    """One question on its own: thoughts over the full prefix without a cache, then the tail; returns hidden states."""
    embed = model.get_input_embeddings()
    inputs = embed(torch.cat([prefix, question]))[None]
    for _ in range(thoughts):
        hidden = model.base_model(inputs_embeds=inputs).last_hidden_state
        inputs = torch.cat([inputs, hidden[:, -1:]], 1)
    inputs = torch.cat([inputs, embed(tail)[None]], 1)
    return model.base_model(inputs_embeds=inputs).last_hidden_state[0]


def think(kind, model, prefix, question, pads=None) -> tuple[ForwardPass, torch.Tensor]:
    run = kind(model, prefix, question.shape[1], pads, torch.float64)
    thoughts = [run.feed(run.embed(question), read_last=1)]
    for _ in range(THOUGHTS):
        thoughts.append(run.feed(thoughts[-1], read_last=1))
    return run, torch.cat(thoughts, 2)


@KINDS
def test_thoughts_equal_the_plain_model(kind, model, batch):
    _, ours = think(kind, model, batch.prefix, batch.question)
    for g in range(3):
        for m in range(4):
            plain = by_hand(model, batch.prefix[g], batch.question[g, m], THOUGHTS)
            torch.testing.assert_close(ours[g, m], plain[-THOUGHTS - 1 :], atol=ATOL, rtol=RTOL)


@KINDS
def test_answers_after_every_number_of_thoughts_equal_the_plain_model(kind, model, batch):
    run, _ = think(kind, model, batch.prefix, batch.question)
    q = batch.question.shape[2]
    answer = torch.tensor([VOCABULARY.index("[A]")])
    stages = torch.tensor([0, 2]).expand(3, 4, 2)
    hidden = run.ask(run.embed(answer.expand(3, 4, 2)), q - 1 + stages)
    for column, k in enumerate((0, 2)):
        plain = by_hand(model, batch.prefix[1], batch.question[1, 3], k, answer)[-1]
        torch.testing.assert_close(hidden[1, 3, column], plain, atol=ATOL, rtol=RTOL)


@KINDS
def test_chains_after_different_numbers_of_thoughts_equal_the_plain_model(kind, model, batch):
    """Twice, the second time of the first graphs only: nothing that was said is seen later."""
    run, _ = think(kind, model, batch.prefix, batch.question)
    q = batch.question.shape[2]
    k = torch.arange(12).view(3, 4) % (THOUGHTS + 1)
    tokens = spell_chains(batch, 3 * k)
    ids = run.embed(tokens.clamp(min=0))
    for hidden in (run.say(ids, q - 1 + k), run.first(2).say(ids[:2], (q - 1 + k)[:2])):
        for g, m in ((0, 1), (1, 2), (2, 3))[: len(hidden)]:
            own = tokens[g, m][tokens[g, m] != IGNORE]
            plain = by_hand(model, batch.prefix[g], batch.question[g, m], int(k[g, m]), own)[-len(own) :]
            torch.testing.assert_close(hidden[g, m, : len(own)], plain, atol=ATOL, rtol=RTOL)


@KINDS
def test_padding_is_not_seen(kind, model, batch):
    """Questions of different length, with and without a shared prefix."""
    question, pads = batch.question.clone(), torch.tensor([[0, 2, 3, 1]] * 3)
    for m in range(4):
        question[:, m, : pads[0, m]] = 0
    for prefix in (batch.prefix, batch.prefix[:, :0]):
        run, ours = think(kind, model, prefix, question, pads)
        said = run.say(run.embed(question[:, :, -2:]), torch.full((3, 4), question.shape[2]))
        for m in range(4):
            own = question[1, m, pads[1, m] :]
            torch.testing.assert_close(
                ours[1, m], by_hand(model, prefix[1], own, THOUGHTS)[-THOUGHTS - 1 :], atol=ATOL, rtol=RTOL
            )
            plain = by_hand(model, prefix[1], own, 1, own[-2:])[-2:]
            torch.testing.assert_close(said[1, m], plain, atol=ATOL, rtol=RTOL)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("questions", [1, 2])
@KINDS
def test_copies_of_a_question_go_on_alone_as_the_plain_model_does(kind, model, batch, questions, padded):
    """Twice: of copies, some graphs, and of these copies again; the first question of each graph may be padded."""
    pads = torch.tensor([[2, 0]] * 3)[:, :questions] * padded
    question = batch.question[:, :questions].clone()
    run = kind(model, batch.prefix, questions, pads if padded else None, torch.float64)
    thought = run.feed(run.embed(question), read_last=1)
    copies = run.fork(3)
    words = torch.arange(3 * questions * 3).view(3, 3 * questions, 1) % len(VOCABULARY)
    copies.feed(thought.repeat_interleave(3, 1), read_last=1)
    some = copies.first(2).fork(2)
    hidden = some.feed(some.embed(words[:2].repeat_interleave(2, 1)), read_last=1)

    assert hidden.shape[:2] == (2, 6 * questions)
    for g, m in ((0, 0), (1, 6 * questions - 1), (1, 3)):
        asked, copy = m // 6, m // 2
        own = question[g, asked, int(pads[g, asked]) :]
        plain = by_hand(model, batch.prefix[g], own, 1, words[g, copy])
        torch.testing.assert_close(hidden[g, m, -1], plain[-1], atol=ATOL, rtol=RTOL)


@KINDS
def test_gradients_flow_through_the_thoughts_as_in_the_plain_model(kind, model, batch):
    model.zero_grad()
    think(kind, model, batch.prefix, batch.question)[1][..., -1, :].pow(3).sum().backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    pairs = [(g, m) for g in range(3) for m in range(4)]
    plain = [by_hand(model, batch.prefix[g], batch.question[g, m], THOUGHTS)[-1] for g, m in pairs]
    torch.stack(plain).pow(3).sum().backward()
    assert len(ours) > 20
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-3)
    model.zero_grad()


@KINDS
def test_half_precision_keeps_thoughts_and_logits_wide(kind, batch):
    model = build_model(ModelConfig(width=32, heads=2, mlp_width=48), seed=0)
    ask = Ask(Stage(3), Schedule(Curriculum(thoughts=3), 3))
    learned = graph_train_batch(batch, ask, torch.Generator().manual_seed(0))
    rough, exact = (kind(model, batch.prefix, 4, None, dtype) for dtype in (torch.bfloat16, torch.float32))
    total = batch_loss(rough, learned).loss
    assert rough.feed(rough.embed(batch.question), read_last=1).dtype == torch.float32
    torch.testing.assert_close(total, batch_loss(exact, learned).loss, atol=0, rtol=0.03)
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_whole_loss_is_the_same_in_both(model, batch):
    ask = Ask(Stage(3), Schedule(Curriculum(thoughts=3), 3), chain_graphs=2)
    learned = graph_train_batch(batch, ask, torch.Generator().manual_seed(0))
    found = []
    for kind in (ModelPass, FastPass):
        result = batch_loss(kind(model, batch.prefix, 4, None, torch.float64), learned)
        found.append((result.loss, result.mass))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-6)


def test_everything_is_made_on_the_device_of_the_batch(batch):
    """Tensors of the meta device refuse those of another: what would fail on a GPU fails here."""
    for kind, model in ((ModelPass, tiny_model("gpt2")), (FastPass, tiny_model("qwen2"))):
        ask = Ask(Stage(3), Schedule(Curriculum(thoughts=3), 3), chain_graphs=2)
        learned = graph_train_batch(batch, ask, torch.Generator().manual_seed(0)).to("meta")
        model.to("meta")  # type: ignore[arg-type]
        run = open_pass(model, learned, torch.float32)
        assert type(run) is kind
        assert batch_loss(run, learned).loss.device.type == "meta"


def test_the_fast_pass_is_for_the_plain_form_of_two_architectures():
    assert supports(tiny_model("qwen2"))
    assert supports(tiny_model("llama"))  # keys are shared between heads
    assert not supports(tiny_model("gpt2"))
    assert not supports(tiny_model("llama", head_dim=16))
    assert not supports(tiny_model("llama", num_key_value_heads=4, attention_bias=True))
    scaled = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    assert not supports(tiny_model("llama", num_key_value_heads=4, rope_parameters=scaled))
