"""An answer that reads the thoughts alone, or the prompt alone: as if what it does not read were not there."""

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.interventions.layers import Knockout
from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Noise, Patch
from workbench.measure.recording import record
from workbench.model.checkpoint import Checkpoint, make_checkpoint
from workbench.model.coconut import collate, forward, self_check
from workbench.model.lens import CoconutLens
from workbench.model.session import Branches, Session
from workbench.problems.sets import generate
from workbench.problems.variants import entity_swap
from workbench.problems.vocabulary import VOCABULARY
from workbench.train.batch import Ask
from workbench.train.config import Curriculum, Schedule, Stage
from workbench.train.fast import FastPass
from workbench.train.forward import ModelPass
from workbench.train.graphs import graph_train_batch, question_batch
from workbench.train.methods import METHODS
from workbench.train.objective import batch_loss

K = 3
PROMPTS = [[9, 10, 11, 12, 13], [14, 15, 16], [17, 18, 19, 20]]
TAIL = [2, 20, 21]
NEAR = 5e-5
READS = pytest.mark.parametrize("reads", ["thoughts", "prompt"])


def reader(reads: str, family: str = "qwen2") -> Checkpoint:
    held = tiny(family, thoughts=K)
    return make_checkpoint(held.model, held.tokenizer, held.meta | {"answer_reads": reads}, reads)


def by_hand(model: PreTrainedModel, reads: str, prompt: list[int], count: int, tail: list[int]) -> Tensor:
    """Logits of a tail after so many thoughts of one prompt: the sequence that it reads, run whole and alone."""
    embed = cast(nn.Embedding, model.get_input_embeddings())
    inputs = embed(torch.tensor([prompt]))
    thoughts = inputs[:, :0]
    for _ in range(count):
        last = model.base_model(inputs_embeds=torch.cat([inputs, thoughts], 1)).last_hidden_state[:, -1:]
        thoughts = torch.cat([thoughts, last], 1)
    read = {"all": torch.cat([inputs, thoughts], 1), "thoughts": thoughts, "prompt": inputs}[reads]
    return model(inputs_embeds=torch.cat([read, embed(torch.tensor([tail]))], 1)).logits[0, -len(tail) :]


@pytest.mark.parametrize(("reads", "family"), [("thoughts", "qwen2"), ("thoughts", "gpt2"), ("prompt", "llama")])
@torch.no_grad()
def test_loop_and_session_equal_the_sequence_that_is_read(reads: str, family: str) -> None:
    model = reader(reads, family).model
    self_check(model, thought=8, name=reads)
    counts = [3, 1, 2]
    rows = collate(PROMPTS, counts, [TAIL] * 3, pad=0, thought=8)
    ran = forward(model, rows.ids, rows.is_thought, rows.mask).logits
    begin = max(map(len, PROMPTS))
    for row, (prompt, count) in enumerate(zip(PROMPTS, counts, strict=True)):
        expected = by_hand(model, reads, prompt, count, TAIL)
        found = ran[row, begin + count : begin + count + len(TAIL)]
        torch.testing.assert_close(found, expected, atol=NEAR, rtol=0)
        assert not torch.allclose(found, by_hand(model, "all", prompt, count, TAIL), atol=1e-2)

    session = Session(model, PROMPTS, pad=0, more=12)
    session.think(K)
    for _ in range(2):  # the second time after the first was forgotten
        after = [0, 1, 3]
        told = Branches(session, after).say([[TAIL] * len(after)] * len(PROMPTS))
        session.rewind(session.end)
        for row, prompt in enumerate(PROMPTS):
            for branch, count in enumerate(after):
                expected = by_hand(model, reads, prompt, count, TAIL)[-1]
                torch.testing.assert_close(told[row, branch], expected, atol=NEAR, rtol=0)


@READS
@pytest.mark.parametrize("kind", [ModelPass, FastPass])
def test_training_learns_what_is_run(reads: str, kind: type) -> None:
    model = reader(reads).model
    plan = Curriculum(thoughts=2, chain_graphs=0)
    ask = Ask(Stage(2), Schedule(plan, 2), METHODS["coconut_without_curriculum"])
    rng = np.random.default_rng(0)
    hops = {1: 1.0, 2: 1.0}
    drawn = question_batch(rng, graphs=2, questions=2, edges=8, thoughts=2, hop_weights=hops, special=0.0)
    batch = graph_train_batch(drawn, ask, torch.Generator().manual_seed(0))
    result = batch_loss(kind(model, batch.prefix, 2, None, torch.float32), batch)
    losses = []
    for g in range(2):
        for m in range(2):
            prompt = torch.cat([batch.prefix[g], batch.question[g, m]]).tolist()
            logits = by_hand(model, reads, prompt, 2, [VOCABULARY.index("[A]")])[-1]
            losses.append(-logits.log_softmax(-1)[drawn.target[g, m]])
    torch.testing.assert_close(result.loss, torch.stack(losses).mean(), atol=1e-4, rtol=0)
    result.loss.backward()
    embedding = cast(nn.Embedding, model.get_input_embeddings()).weight.grad
    assert embedding is not None
    assert embedding[batch.prefix[0, 1]].abs().sum() > 0  # the graph teaches through the thoughts, or at once


def test_interventions_reach_the_answer_through_the_thoughts_alone() -> None:
    problems = generate("balanced", 6, 3, {1: 1.0, 2: 1.0}, 10)
    twins = [twin for problem in problems if (twin := entity_swap(problem))]
    assert len(twins) == len(problems)
    held, sources = reader("thoughts"), {"twin": twins}
    (theirs,) = run_intervened(held, twins, [[]])
    own, patched, noisy, prompt, thoughts = run_intervened(
        held,
        problems,
        [
            [],
            [Patch(source="twin")],
            [Noise(seed=0)],
            [Knockout(to=("prompt",), where="answer")],
            [Knockout(to=("thoughts",), where="answer")],
        ],
        sources=sources,
    )
    # A twin exchanges target and negative, and has the same names.
    np.testing.assert_allclose(patched.target, theirs.negative, atol=NEAR)
    np.testing.assert_allclose(prompt.target, own.target, atol=NEAR)
    assert np.abs(noisy.target - own.target).min() > 1e-2
    opening = held.format.answer_opening(held.format.prompts(problems)[0])
    alone = held.model(torch.tensor([list(opening)])).logits[0, -1].log_softmax(-1)
    for row, one in enumerate(held.format.prompts(problems)):
        target = one.nodes[problems[row].target][0]
        np.testing.assert_allclose(thoughts.target[row], alone[target].item(), atol=NEAR)

    idle = reader("prompt")
    own, *changed = run_intervened(idle, problems, [[], [Patch(source="twin")], [Noise(seed=0)]], sources=sources)
    for outcome in changed:
        np.testing.assert_array_equal(outcome.target, own.target)
        assert outcome.texts == own.texts


def test_recorded_attention_of_the_answer_is_on_what_it_reads() -> None:
    problems = [chain(number, 2) for number in range(3)]
    on = {reads: record(reader(reads), problems) for reads in ("thoughts", "prompt")}
    at_answer = {reads: recording.attention_thoughts[:, -1] for reads, recording in on.items()}
    assert at_answer["thoughts"].sum(-1).min() > 0.1
    assert at_answer["prompt"].max() == 0
    assert np.nanmax(on["thoughts"].attention[:, -1]) == 0


@READS
def test_no_cache_is_given_of_words_that_no_single_pass_computes(reads: str) -> None:
    lens = CoconutLens(reader(reads))
    problems = [chain(0, 2)]
    lens.run_with_cache(lens.rows(problems))
    with pytest.raises(WorkbenchError, match="no cache"):
        lens.run_with_cache(lens.rows(problems, rests=[[2, 3]]))
    ran = lens.run_with_hooks(lens.rows(problems, rests=[[2, 3]]))
    assert ran.logits.isfinite().all()


def test_a_checkpoint_says_only_what_is_known() -> None:
    with pytest.raises(WorkbenchError, match="answer_reads"):
        reader("nothing")
