"""Knock-outs of attention, against a plain model whose attention mask hides the same tokens."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import FAMILIES, chain, tiny
from workbench.measure.recording import Recording, record, record_controls
from workbench.model.formats import places
from workbench.readings.knockout import EdgeCut, knock_out

K = 3
PROBLEMS = [chain(0, 2), chain(1, 4), chain(2, 3)]
EDGES = ((0,), (1, 3), (2,))


@torch.no_grad()
def masked(recording: Recording, row: int, thought: int, edges: tuple[int, ...]) -> Tensor:
    """Logits where the answer is named, thought by thought without a cache; one column has a mask of its own."""
    checkpoint, problem = recording.checkpoint, PROBLEMS[row]
    (prompt,) = checkpoint.format.prompts([problem])
    model, embed = checkpoint.model, checkpoint.model.get_input_embeddings()
    column = len(prompt.ids) - 1 + thought - 1
    inputs = embed(torch.tensor(prompt.ids))
    for k in range(K + 1):
        if k == K:
            inputs = torch.cat([inputs, embed(torch.tensor(checkpoint.format.value_opening(prompt)))])
        size = len(inputs)
        mask = torch.full((size, size), float("-inf")).triu(1)
        for edge in edges if column < size else ():
            start, end = places(checkpoint.format, prompt).edges[edge]
            mask[column, start:end] = float("-inf")
        ran = model(
            inputs_embeds=inputs[None], attention_mask=mask[None, None], use_cache=False, output_hidden_states=True
        )
        if k == K:
            return ran.logits[0, -1]
        fed = torch.from_numpy(recording.thoughts[row, k]) if recording.interventions else ran.hidden_states[-1][0, -1]
        if checkpoint.pause is not None:
            fed = embed(torch.tensor(checkpoint.pause))
        inputs = torch.cat([inputs, fed[None]])
    raise AssertionError


def check(recording: Recording) -> None:
    knockouts = [EdgeCut(thought, EDGES) for thought in (1, 2, 3)] + [EdgeCut(2, ((), (), ()))]
    found = knock_out(recording, knockouts, batch_size=2)
    form = recording.checkpoint.format
    for row, problem in enumerate(PROBLEMS):
        (prompt,) = form.prompts([problem])
        target, negative = (prompt.nodes[node][0] for node in (problem.target, problem.negative))
        for number, (thought, edges) in enumerate(
            [(1, ()), (1, EDGES[row]), (2, EDGES[row]), (3, EDGES[row]), (1, ())]
        ):
            logits = masked(recording, row, thought, edges)
            expected = logits[target] - logits[negative]
            np.testing.assert_allclose(found.logit_difference[number, row], expected, atol=1e-4)
            assert found.right[number, row] == bool(logits.argmax() == target)
    assert np.abs(found.logit_difference[1:4] - found.logit_difference[0]).min(axis=0).max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edge_knocked_out_equals_a_mask_on_the_plain_model(family: str) -> None:
    check(record(tiny(family, thoughts=K), PROBLEMS))


@pytest.mark.parametrize("name", ["noise", "shuffled", "pause"])
def test_controls_are_fed_as_recorded(name: str) -> None:
    own = record(tiny(thoughts=K), PROBLEMS)
    (control,) = record_controls(own, [name], pause=replace(own.checkpoint, fed="pause"))
    check(control)


def test_heads_go_blind_alone_and_together() -> None:
    recording = record(tiny(thoughts=K), PROBLEMS)
    nobody, one = np.zeros((2, 2, 4), bool)
    one[1, 2] = True
    found = knock_out(recording, [EdgeCut(2, EDGES, heads) for heads in (nobody, one, ~one, ~nobody, None)])
    plain, without = found.logit_difference[0], found.logit_difference[1:]
    np.testing.assert_allclose(without[0], plain, atol=1e-5)
    np.testing.assert_allclose(without[3], without[4], atol=1e-5)
    assert np.abs(without[1] - plain).max() > 1e-4
    assert np.abs(without[1] - without[4]).max() > 1e-4
    assert np.abs(without[2] - without[4]).max() > 1e-4
