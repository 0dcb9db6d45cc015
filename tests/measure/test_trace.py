"""Traces against one slow pass per problem and depth."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import FAMILIES, chain, tiny, tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.errors import WorkbenchError
from workbench.interventions.base import Context, Intervention
from workbench.interventions.thoughts import Noise
from workbench.measure.trace import Trace, answers, run, run_traced
from workbench.model import session
from workbench.model.checkpoint import Checkpoint, make_checkpoint, prepare_pretrained
from workbench.model.coconut import collate, forward
from workbench.problems.problem import Problem
from workbench.problems.sets import generate_items


def pretrained() -> Checkpoint:
    """Return a tiny GPT-2 in the text format, whose concepts are several tokens long."""
    tokenizer = bpe_tokenizer(markers=False)
    model = tiny_model("gpt2", vocab_size=len(tokenizer), n_positions=512, pad_token_id=None)
    return prepare_pretrained(model, tokenizer, thoughts=2, name="tiny-text")


@torch.no_grad()
def row(checkpoint: Checkpoint, prompt: tuple[int, ...], k: int, rest: tuple[int, ...]) -> Tensor:
    """Return log probabilities at every column of one row."""
    rows = collate([prompt], [k], [rest], pad=0, thought=checkpoint.format.marker.thought)
    return forward(checkpoint.model, rows.ids, rows.is_thought, rows.mask).logits[0].log_softmax(-1)


def expect(checkpoint: Checkpoint, trace: Trace, problem: Problem) -> None:
    form, count = checkpoint.format, len(trace.thoughts)
    (prompt,) = form.prompts([problem])
    start = len(prompt.ids)
    heads = row(checkpoint, prompt.ids, count, ()).exp()[start - 1 : start - 1 + count]
    first = [spelling[0] for spelling in prompt.nodes]
    shares = [1 / first.count(token) for token in first]
    np.testing.assert_allclose(trace.lm_head, heads[:, first].numpy() * shares, atol=1e-5)
    for k in range(count + 1):
        for opening, found in [
            (form.step_opening(prompt, k), trace.forced_language[k]),
            (form.value_opening(prompt), trace.answers[k]),
        ]:
            for node, spelling in enumerate(prompt.nodes):
                said = row(checkpoint, prompt.ids, k, (*opening, *spelling))[-len(spelling) - 1 : -1]
                chance = said[range(len(spelling)), list(spelling)].sum().exp()
                assert found[node] == pytest.approx(float(chance), abs=1e-5)
        opening = form.answer_opening(prompt)
        ids, gap = list(opening), 1.0
        while len(ids) - len(opening) < form.answer_limit and (len(ids) == len(opening) or ids[-1] != form.end):
            best, second = row(checkpoint, prompt.ids, k, tuple(ids))[-1].topk(2)[0]
            gap = min(gap, float(best - second))
            ids.append(int(row(checkpoint, prompt.ids, k, tuple(ids))[-1].argmax()))
        # Random weights can leave two tokens as likely as each other: then the order of the sums decides.
        assert gap < 1e-4 or trace.answer_texts[k] == form.decode(prompt, ids[len(opening) :])


@pytest.mark.parametrize("markers", [False, True])
def test_a_trace_equals_one_pass_per_depth(markers: bool, tiny_problems: list[Problem]) -> None:
    checkpoint = tiny(markers=markers)
    traces = list(run(checkpoint, tiny_problems, batch_size=2, top=4))
    assert [trace.problem for trace in traces] == tiny_problems
    for trace, problem in zip(traces, tiny_problems, strict=True):
        expect(checkpoint, trace, problem)
        assert trace.thoughts.shape == (3, 32)
        assert [len(row) for row in trace.top_tokens] == [4, 4, 4]
        assert len(trace.continuations) == 4
        assert trace.continuations[0].startswith("| Sally")
        assert trace.answer_right.shape == trace.answer_valid.shape == (4,)


def test_concepts_of_several_tokens(tiny_problems: list[Problem]) -> None:
    checkpoint = pretrained()
    problems = tiny_problems[:3]
    prompts = checkpoint.format.prompts(problems)
    assert max(len(spelling) for prompt in prompts for spelling in prompt.nodes) > 2
    for trace in run(checkpoint, problems, continuations=False):
        expect(checkpoint, trace, trace.graph_problem)
        assert trace.continuations == ()


def test_values_do_not_depend_on_the_batch(tiny_checkpoint: Checkpoint, tiny_problems: list[Problem]) -> None:
    for together, alone in zip(
        run(tiny_checkpoint, tiny_problems), run(tiny_checkpoint, tiny_problems, batch_size=1), strict=True
    ):
        np.testing.assert_allclose(together.forced_language, alone.forced_language, atol=1e-5)
        assert together.answer_texts == alone.answer_texts
        assert together.continuations == alone.continuations


def test_answers_are_those_of_the_trace(tiny_checkpoint: Checkpoint, tiny_problems: list[Problem]) -> None:
    traces = list(run(tiny_checkpoint, tiny_problems))
    for k in (0, 3):
        found = list(answers(tiny_checkpoint, tiny_problems, k))
        assert [answer.text for answer in found] == [trace.answer_texts[k] for trace in traces]
        assert [answer.right for answer in found] == [trace.answer_right[k] for trace in traces]
        assert [answer.problem for answer in found] == tiny_problems


@dataclass(frozen=True)
class _Negated(Intervention):
    kind: ClassVar[str] = "negated"

    def change(self, context: Context, k: int, vectors: Tensor) -> Tensor:
        return -vectors


def test_a_batch_of_a_large_model_holds_fewer_problems(
    tiny_checkpoint: Checkpoint, tiny_problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = sizes_of_batches(monkeypatch)
    together = [answer.said for answer in answers(tiny_checkpoint, tiny_problems)]
    monkeypatch.setattr(session, "_MOST_HELD", 1)
    alone = [answer.said for answer in answers(tiny_checkpoint, tiny_problems)]

    assert sizes == [len(tiny_problems)] + [1] * len(tiny_problems)
    assert alone == together


@pytest.mark.parametrize("family", FAMILIES)
def test_the_keys_and_values_of_a_token_take_the_bytes_that_a_batch_is_sized_by(family: str) -> None:
    model = tiny_model(family)
    held = model(torch.arange(7)[None], use_cache=True).past_key_values.layers
    each = sum(part.nbytes for layer in held for part in (layer.keys, layer.values)) / 7
    assert session._column_bytes(model) == each


def sizes_of_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each reading of prompts adds how many they are."""
    sizes, begin = list[int](), session.Session.__init__

    def counted(self: session.Session, model: object, prompts: list, **given: int) -> None:
        sizes.append(len(prompts))
        begin(self, model, prompts, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(session.Session, "__init__", counted)
    return sizes


@pytest.mark.parametrize("batch_size", [1, 64])
def test_of_a_mixed_set_items_alone_are_answered_in_words(batch_size: int) -> None:
    mixed = [chain(0, 2), *generate_items("arithmetic", 2, 0, operations=2), chain(1, 3)]
    runs = list(run_traced(pretrained(), mixed, batch_size=batch_size, continuations=False))
    assert [one.said is not None for one in runs] == [False, True, True, False]


@pytest.mark.parametrize("says", ["answer", "chain"])
def test_prompts_read_once_give_the_answers_of_three_runs(
    says: str, tiny_problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tiny(max_position_embeddings=512)
    checkpoint = make_checkpoint(held.model, held.tokenizer, {**held.meta, "says": says}, "says")
    sizes = sizes_of_batches(monkeypatch)
    runs = list(run_traced(checkpoint, tiny_problems, seed=3))

    assert sizes == [len(tiny_problems)]
    assert [one.noise for one in runs] == list(answers(checkpoint, tiny_problems, interventions=[Noise(seed=3)]))
    assert [one.noise for one in runs] != list(answers(checkpoint, tiny_problems))
    assert [one.said for one in runs] == (
        list(answers(checkpoint, tiny_problems)) if says == "chain" else [None] * len(tiny_problems)
    )
    for one, alone in zip(runs, run(checkpoint, tiny_problems), strict=True):
        assert one.trace.answer_texts == alone.answer_texts
        assert one.trace.continuations == alone.continuations
        np.testing.assert_array_equal(one.trace.thoughts, alone.thoughts)


def test_heads_that_share_keys_read_them_without_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, attention = list[bool](), torch.nn.functional.scaled_dot_product_attention

    def seen(*given: Tensor, **named: object) -> Tensor:
        shared.append(bool(named.get("enable_gqa")))
        return attention(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
    list(answers(tiny("llama"), [chain(0, 2)]))

    assert shared
    assert all(shared)


def test_an_intervention_changes_what_follows_it(tiny_checkpoint: Checkpoint, tiny_problems: list[Problem]) -> None:
    (plain, *_), (edited, *_) = (
        list(run(tiny_checkpoint, tiny_problems, interventions=interventions))
        for interventions in ((), [_Negated(at=(2,))])
    )
    np.testing.assert_allclose(plain.thoughts[0], edited.thoughts[0], atol=1e-5)
    np.testing.assert_allclose(plain.thoughts[1], -edited.thoughts[1], atol=1e-5)
    assert np.abs(plain.thoughts[2] - edited.thoughts[2]).max() > 1e-3
    np.testing.assert_allclose(plain.answers[:2], edited.answers[:2], atol=1e-5)


def test_problems_are_read_as_they_are_needed(tiny_checkpoint: Checkpoint) -> None:
    read = []

    def endless() -> Iterator[Problem]:
        while True:
            read.append(1)
            yield replace(chain(len(read), 3), id=str(len(read)))

    traces = run(tiny_checkpoint, endless(), batch_size=2, continuations=False)
    assert [trace.problem.id for trace in islice(traces, 3)] == ["1", "2", "3"]
    assert len(read) <= 8

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in islice(run(tiny_checkpoint, endless(), batch_size=2, continuations=False), count):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(4)  # what is imported and kept on first use
    assert peak(12) < 2 * peak(4)


def test_names_of_the_problem_are_shown(tiny_checkpoint: Checkpoint) -> None:
    problem = chain(0, 2)
    renamed = replace(problem, names=("Zoë", *problem.names[1:]), steps=("Zoë is a lempus.", problem.steps[1]))
    (trace,) = run(tiny_checkpoint, [renamed], top=64)
    assert trace.continuations[0].startswith("| Zoë")
    assert {"Zoë"} <= {token for token, _ in trace.top_tokens[0]}
    assert sum(share for _, share in trace.top_tokens[0]) == pytest.approx(1, abs=1e-4)


def test_continuations_are_cut_where_positions_end(tiny_problems: list[Problem]) -> None:
    checkpoint = tiny()
    longest = max(len(prompt.ids) for prompt in checkpoint.format.prompts(tiny_problems))
    short = tiny_model("qwen2", max_position_embeddings=longest + 3 + 2 + 1)
    checkpoint = make_checkpoint(short, checkpoint.tokenizer, checkpoint.meta, "short")
    assert len(list(run(checkpoint, tiny_problems))) == 5
    with pytest.raises(WorkbenchError, match="positions; the model has"):
        list(run(checkpoint, tiny_problems, thoughts=4))


def test_wrong_numbers_are_refused(tiny_checkpoint: Checkpoint, tiny_problems: list[Problem]) -> None:
    with pytest.raises(WorkbenchError, match="cannot think -1 thoughts"):
        list(run(tiny_checkpoint, tiny_problems, thoughts=-1))
    with pytest.raises(WorkbenchError, match="cannot hold 0 problems"):
        list(answers(tiny_checkpoint, tiny_problems, batch_size=0))
    (trace,) = run(tiny_checkpoint, tiny_problems[:1], thoughts=0)
    assert trace.thoughts.shape == (0, 32)
    assert trace.lm_head.shape == (0, len(tiny_problems[0].names))
