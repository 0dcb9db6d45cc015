"""Direct logit attribution against logits and values computed by plain forward passes."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import FAMILIES, chain, tiny
from workbench.measure.recording import Recording, record, record_controls
from workbench.model.checkpoint import Checkpoint
from workbench.model.formats import places
from workbench.model.lens import CoconutLens
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem
from workbench.readings.attribution import BIASES, attribute, contrasts

K = 3
PROBLEMS = [chain(0, 2), chain(1, 4), chain(2, 3)]
BUSHY = make_problem(
    "bushy", "Sally Tom lempus brimpus rempus hilpus yumpus zumpus".split(),
    [(0, 2), (2, 4), (0, 3), (3, 5), (1, 6), (1, 7)], 0, 4, 6, True,
)  # fmt: skip


def with_biases(checkpoint: Checkpoint) -> Checkpoint:
    """Give every norm and bias random values, so that nothing is left out unseen."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in checkpoint.model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return checkpoint


@torch.no_grad()
def logits(recording: Recording, problem: Problem, thoughts: np.ndarray) -> Tensor:
    """Logits of all columns of one problem, in one pass without cache and without TransformerLens."""
    form, model = recording.checkpoint.format, recording.checkpoint.model
    (prompt,) = form.prompts([problem])
    embed = model.get_input_embeddings()
    fed = torch.from_numpy(thoughts)
    if recording.checkpoint.pause is not None:
        fed = embed(torch.full((len(fed),), recording.checkpoint.pause))
    inputs = torch.cat([embed(torch.tensor(prompt.ids)), fed, embed(torch.tensor(form.value_opening(prompt)))])
    return model(inputs_embeds=inputs[None], use_cache=False).logits[0, len(prompt.ids) - 1 :]


def check(recording: Recording) -> None:
    found = attribute(recording, batch_size=2)
    names = [part.name for part in found.parts]
    assert len(set(names)) == len(names)
    assert names[-1] == BIASES
    for row, problem in enumerate(recording.problems):
        (prompt,) = recording.checkpoint.format.prompts([problem])
        token = [word[0] for word in prompt.nodes]
        said = logits(recording, problem, recording.thoughts[row])
        whole = said[-1, token[problem.target]] - said[-1, token[problem.negative]]
        np.testing.assert_allclose(found.answer[row].sum(), whole, atol=1e-4)
        np.testing.assert_allclose(found.answer_logits[row], whole, atol=1e-4)
        about = structure(problem)
        for k in range(1, K + 1):
            front = about.hops == k
            if not front.any():
                assert np.isnan(found.thoughts[row, k - 1]).all()
                continue
            of = said[k - 1, token].numpy()
            difference = of[front].mean() - of[about.concepts & ~front].mean()
            np.testing.assert_allclose(found.thoughts[row, k - 1].sum(), difference, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_sum_to_the_whole_logit_difference(family: str) -> None:
    check(record(with_biases(tiny(family, thoughts=K)), PROBLEMS))


@pytest.mark.parametrize("name", ["noise", "shuffled", "pause"])
def test_parts_of_a_control_are_those_of_what_was_fed(name: str) -> None:
    own = record(tiny(thoughts=K), PROBLEMS)
    (control,) = record_controls(own, [name], pause=replace(own.checkpoint, fed="pause"))
    check(control)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_heads_part_is_what_it_puts_into_the_stream(family: str) -> None:
    """What head 2 of the last layer puts into the stream, read with torch hooks and normed by hand."""
    checkpoint = with_biases(tiny(family, thoughts=K))
    recording = record(checkpoint, PROBLEMS[:1])
    found = attribute(recording)
    number = [part.name for part in found.parts].index("L1H2")
    layer = "transformer.h.1.attn.c_proj" if family == "gpt2" else "model.layers.1.self_attn.o_proj"
    projection = checkpoint.model.get_submodule(layer)
    seen: dict[str, Tensor] = {}
    norm = checkpoint.model.get_submodule("transformer.ln_f" if family == "gpt2" else "model.norm")
    handles = [
        projection.register_forward_pre_hook(lambda m, given: seen.update(z=given[0].detach())),
        norm.register_forward_pre_hook(lambda m, given: seen.update(x=given[0].detach())),
    ]
    logits(recording, PROBLEMS[0], recording.thoughts[0])
    for handle in handles:
        handle.remove()
    weight = cast(Tensor, projection.weight)
    weight = weight if family == "gpt2" else weight.T
    written = (seen["z"][0, -1, 16:24] @ weight[16:24]).detach()
    stream = seen["x"][0, -1]
    if family == "gpt2":
        written = (written - written.mean()) / torch.sqrt(stream.var(unbiased=False) + 1e-5)
    else:
        written = written / torch.sqrt(stream.pow(2).mean() + 1e-6)
    (prompt,) = checkpoint.format.prompts(PROBLEMS[:1])
    head = checkpoint.model.get_output_embeddings().weight  # type: ignore[union-attr]
    target, negative = (prompt.nodes[node][0] for node in (PROBLEMS[0].target, PROBLEMS[0].negative))
    expected = (written * norm.weight) @ (head[target] - head[negative])  # type: ignore[operator]
    np.testing.assert_allclose(found.answer[0, number], expected.detach(), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edges_part_is_what_attention_to_its_tokens_writes(family: str) -> None:
    """What attention to an edge and to a thought writes, against sums over heads and keys written out."""
    recording = record(tiny(family, thoughts=K), PROBLEMS[1:2])
    found = attribute(recording)
    heads = [i for i, part in enumerate(found.parts) if part.head is not None]
    total = found.answer[0, heads].sum()
    listed = found.answer_edges[0].sum() + found.answer_thoughts[0].sum()
    (prompt,) = recording.checkpoint.format.prompts(PROBLEMS[1:2])
    named = places(recording.checkpoint.format, prompt)
    assert len(named.edges) == np.isfinite(found.answer_edges[0]).sum() == len(PROBLEMS[1].edges)
    assert abs(total - listed) > 1e-4  # the question and the opening have their part as well
    lens = CoconutLens(recording.checkpoint)
    rows = lens.rows(PROBLEMS[1:2], K, [recording.checkpoint.format.value_opening(prompt)])
    _, cache = lens.run_with_cache(rows)
    start, end = named.edges[0]
    written = torch.zeros(32)
    for layer in range(2):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"][0, :, -1]
        value, out = cache[f"blocks.{layer}.attn.hook_v"][0], lens.bridge.blocks[layer].attn.W_O
        for head in range(4):
            shared = head // (4 // value.shape[1])
            for key in range(start, end):
                written += pattern[head, key] * (value[key, shared] @ out[head])
    scale = cache["ln_final.hook_scale"][0, -1]
    written = (written - written.mean() if family == "gpt2" else written) / scale
    head = recording.checkpoint.model.get_output_embeddings().weight.detach()  # type: ignore[union-attr]
    target, negative = (prompt.nodes[node][0] for node in (PROBLEMS[1].target, PROBLEMS[1].negative))
    np.testing.assert_allclose(found.answer_edges[0, 0], written @ (head[target] - head[negative]), atol=1e-4)


def test_contrasts_worked_out_by_hand() -> None:
    recording = record(tiny(thoughts=K), [BUSHY, chain(0, 2)])
    found = contrasts(recording)
    # Concepts 2..7; hop 1 is 2 and 3, hop 2 is 4 and 5, hop 3 is empty.
    np.testing.assert_allclose(found.thoughts[0, 0], [0, 0, 0.5, 0.5, -0.25, -0.25, -0.25, -0.25])
    assert np.isnan(found.thoughts[0, 2]).all()
    assert found.answer[0].tolist() == [0, 0, 0, 0, 1, 0, -1, 0]
    assert set(np.flatnonzero(found.answer_control[0])) == {5, 7}  # the only other leaves
    assert np.isnan(found.answer_control[1]).all()  # a chain has none
    control = found.thoughts_control[0, 0]
    assert sorted(control[2:]) == sorted(found.thoughts[0, 0][2:])
    assert control[:2].tolist() == [0, 0]
    own = found.of(np.array([0])).own_targets()[0]
    np.testing.assert_allclose(own[4], [0, 0, -0.2, -0.2, 1, -0.2, -0.2, -0.2], atol=1e-6)


def test_with_two_thoughts_to_a_step_a_thought_is_held_against_the_hop_it_stands_for() -> None:
    recording = record(replace(tiny(thoughts=K), thoughts_per_step=2), [BUSHY, chain(0, 2)])
    found = contrasts(recording).thoughts[0]
    np.testing.assert_allclose(found[0], found[1])  # both stand for hop 1
    assert np.flatnonzero(found[2] > 0).tolist() == [4, 5]
