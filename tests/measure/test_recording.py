"""Recordings of a problem set, against plain forward passes of the unmodified model."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from tests.conftest import FAMILIES, chain, tiny, tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.thoughts import Noise, Shuffle, exchanged
from workbench.measure.recording import Recording, record, record_controls, untrained
from workbench.measure.run_labels import CONTROLS, MODEL, OTHER_TARGET
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint, prepare_pretrained
from workbench.model.formats import places
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.problems.variants import other_target

PROBLEMS = [chain(0, 2), chain(1, 4), chain(2, 3)]
K = 3


def pretrained() -> Checkpoint:
    """A GPT-2 with random weights in the text format."""
    tokenizer = bpe_tokenizer()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=512, initializer_range=0.2,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, eos_token_id=tokenizer.convert_tokens_to_ids("<|end|>"),
    )  # fmt: skip
    return prepare_pretrained(GPT2LMHeadModel(config).eval(), tokenizer, thoughts=K)


@torch.no_grad()
def alone(checkpoint: Checkpoint, problem: Problem) -> tuple[list, list, int]:
    """Hidden states and attentions of one problem in one pass without cache, and the column that ends the prompt."""
    form = checkpoint.format
    (prompt,) = form.prompts([problem])
    (trace,) = run(checkpoint, [problem], K, continuations=False)
    embed = checkpoint.model.get_input_embeddings()
    fed = [embed(torch.tensor(prompt.ids)), torch.from_numpy(trace.thoughts)]
    inputs = torch.cat([*fed, embed(torch.tensor(form.value_opening(prompt)))])[None]
    model = checkpoint.model
    model.set_attn_implementation("eager")
    ran = model(inputs_embeds=inputs, output_hidden_states=True, output_attentions=True, use_cache=False)
    return list(ran.hidden_states), list(ran.attentions), len(prompt.ids) - 1


def all_close(recording: Recording, checkpoint: Checkpoint) -> None:
    for row, problem in enumerate(PROBLEMS):
        hidden, attention, last = alone(checkpoint, problem)
        (prompt,) = checkpoint.format.prompts([problem])
        stands = places(checkpoint.format, prompt)
        columns = [*range(last, last + 1 + K), hidden[0].shape[1] - 1]
        for layer in range(2):  # the last of the library's hidden states has been through the final norm
            expected = hidden[layer][0, columns].numpy()
            np.testing.assert_allclose(recording.residual[row, :, layer], expected, atol=1e-4)
        for layer, pattern in enumerate(attention):
            seen = pattern[0][:, columns].transpose(0, 1).numpy()  # columns, heads, keys
            for edge, (start, end) in enumerate(stands.edges):
                got = recording.attention[row, :, layer, :, edge]
                np.testing.assert_allclose(got, seen[..., start:end].sum(-1), atol=1e-5)
            for number, (start, end) in enumerate(stands.options):
                got = recording.attention_options[row, :, layer, :, number]
                np.testing.assert_allclose(got, seen[..., start:end].sum(-1), atol=1e-5)
            got = recording.attention_root[row, :, layer]
            np.testing.assert_allclose(got, seen[..., stands.root[0] : stands.root[1]].sum(-1), atol=1e-5)
            got = recording.attention_thoughts[row, :, layer]
            np.testing.assert_allclose(got, seen[..., last + 1 : last + 1 + K], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_recording_holds_what_one_plain_pass_computes(family: str) -> None:
    checkpoint = tiny(family, thoughts=K)
    recording = record(checkpoint, PROBLEMS, batch_size=2)

    assert recording.count == K
    all_close(recording, checkpoint)


def test_so_does_one_in_the_text_format() -> None:
    checkpoint = pretrained()

    all_close(record(checkpoint, PROBLEMS, batch_size=2), checkpoint)


def test_the_last_block_and_the_final_norm_give_the_next_thought(tiny_checkpoint: Checkpoint) -> None:
    recording = record(tiny_checkpoint, PROBLEMS)
    norm = cast(nn.Module, tiny_checkpoint.model.base_model.norm)
    with torch.no_grad():
        made = norm(torch.from_numpy(recording.residual[:, :K, -1])).numpy()

    np.testing.assert_allclose(made, recording.thoughts, atol=1e-4)
    np.testing.assert_allclose(recording.residual[:, 1 : K + 1, 0], recording.thoughts, atol=1e-5)


def test_every_span_of_a_text_prompt_is_the_sentence_of_its_edge() -> None:
    checkpoint = pretrained()
    for problem in PROBLEMS:
        (prompt,) = checkpoint.format.prompts([problem])
        stands = places(checkpoint.format, prompt)

        def words(span: tuple[int, int], ids: Sequence[int] = prompt.ids) -> str:
            return str(checkpoint.tokenizer.decode(list(ids[span[0] : span[1]]))).strip()

        for (source, target), span in zip(problem.edges, stands.edges, strict=True):
            assert problem.names[source] in words(span)
            assert words(span).endswith(f"{problem.names[target]}.")
        assert [words(span) for span in stands.options] == [problem.names[option] for option in problem.options]
        assert words(stands.root) == problem.names[problem.root]


def test_node_arrays_say_what_is_there(tiny_checkpoint: Checkpoint) -> None:
    recording = record(tiny_checkpoint, PROBLEMS)
    for row, problem in enumerate(PROBLEMS):
        nodes, about = len(problem.names), structure(problem)

        assert recording.is_node[row].sum() == nodes
        assert recording.hops[row, :nodes].tolist() == about.hops.tolist()
        assert (recording.hops[row, nodes:] == -2).all()
        assert recording.is_optimal[row, :nodes].tolist() == about.optimal.tolist()
        assert [tuple(edge) for edge in recording.edges[row][recording.is_edge[row]].tolist()] == list(problem.edges)
        np.testing.assert_allclose(recording.lm_head[row, :, :nodes], recording.traces[row].lm_head)
        assert np.isnan(recording.lm_head[row, :, nodes:]).all()
        tokens = tiny_checkpoint.tokenizer.convert_ids_to_tokens(recording.first_tokens[row, :nodes].tolist())
        assert tokens == list(problem.names)


@pytest.mark.parametrize("intervention", [Noise(at=(2,)), Shuffle(at=(2,))])
def test_an_intervention_at_thought_two_changes_that_column_and_those_after_it(
    tiny_checkpoint: Checkpoint, intervention: Intervention
) -> None:
    own = record(tiny_checkpoint, PROBLEMS)
    bank = torch.from_numpy(own.thoughts)
    changed = record(tiny_checkpoint, PROBLEMS, interventions=[intervention], set_thoughts=bank, batch_size=2)

    np.testing.assert_allclose(changed.residual[:, :2], own.residual[:, :2], atol=1e-5)
    np.testing.assert_allclose(changed.residual[:, 2, 0], changed.thoughts[:, 1], atol=1e-5)
    assert (np.abs(changed.residual[:, 2:] - own.residual[:, 2:]).max((2, 3)) > 1e-3).all()
    if isinstance(intervention, Shuffle):
        donors = exchanged(3, 0)
        np.testing.assert_allclose(changed.thoughts[:, 1], own.thoughts[donors, 1], atol=1e-6)
        assert sorted(donors.tolist()) == [0, 1, 2]
        assert (donors != np.arange(3)).all()


def test_noise_keeps_the_length_whatever_the_strength_and_none_of_it_changes_nothing(
    tiny_checkpoint: Checkpoint,
) -> None:
    own = next(run(tiny_checkpoint, PROBLEMS))
    for strength in (0.0, 0.3, 1.0):
        noisy = next(run(tiny_checkpoint, PROBLEMS, interventions=[Noise(strength=strength)]))
        np.testing.assert_allclose(np.linalg.norm(noisy.thoughts[0]), np.linalg.norm(own.thoughts[0]), rtol=1e-5)
        assert np.array_equal(noisy.thoughts, own.thoughts) == (strength == 0)


def test_every_control_is_recorded_on_the_same_problems(tiny_checkpoint: Checkpoint) -> None:
    own = record(tiny_checkpoint, PROBLEMS)
    names = [name for name in CONTROLS if name != OTHER_TARGET]  # no other leaf is reached here
    found = record_controls(own, names)

    assert [recording.label for recording in found] == names
    with pytest.raises(WorkbenchError, match="No other target can be asked for"):
        record_controls(own, [OTHER_TARGET])
    for recording in found:
        assert recording.problems == own.problems
        assert recording.residual.shape == own.residual.shape
        assert np.abs(recording.residual[:, 1] - own.residual[:, 1]).max() > 1e-3
    with pytest.raises(WorkbenchError, match="A control has no controls"):
        record_controls(found[0], ["noise"])
    with pytest.raises(WorkbenchError, match='There is no control "coffee"'):
        record_controls(own, ["coffee"])
    assert own.label == MODEL


def test_another_target_is_asked_and_the_first_is_read(tiny_checkpoint: Checkpoint) -> None:
    problems = [*generate("released", 3, seed=2), PROBLEMS[0]]
    own = record(tiny("qwen2", max_position_embeddings=256), problems)
    (control,) = record_controls(own, [OTHER_TARGET], seed=1)
    asked = [other_target(problem, 1) for problem in problems]
    assert asked[-1] is None  # left out
    assert control.problems == tuple(problems[:-1])
    assert list(control.asked) == asked[:-1]
    alone = record(own.checkpoint, [one for one in asked if one])
    np.testing.assert_allclose(control.residual, alone.residual, atol=1e-5)
    for trace, problem, other in zip(control.traces, problems, alone.traces, strict=False):
        assert trace.problem == problem
        np.testing.assert_allclose(trace.lm_head, other.lm_head, atol=1e-6)
    assert control.as_far.shape == (3,)
    assert np.array_equal(control.hops, alone.hops)
    assert not np.array_equal(control.is_optimal, alone.is_optimal)


def test_an_untrained_model_has_the_spread_of_the_trained_one_and_none_of_its_weights() -> None:
    checkpoint = tiny("gpt2")
    drawn = untrained(checkpoint, seed=1)
    pairs = [
        (trained.detach(), random.detach())
        for trained, random in zip(checkpoint.model.parameters(), drawn.model.parameters(), strict=True)
    ]

    for trained, random in pairs:
        if trained.dim() > 1:
            assert not torch.equal(trained, random)
            assert float(random.std() / trained.std()) == pytest.approx(1, abs=0.1)
    again = untrained(checkpoint, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(drawn.model.parameters(), again.model.parameters(), strict=True))
    assert tiny_model("gpt2").state_dict().keys() == drawn.model.state_dict().keys()


def test_shuffling_needs_thoughts_of_the_whole_set(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(WorkbenchError, match="has no thoughts of the whole set"):
        next(run(tiny_checkpoint, PROBLEMS, interventions=[Shuffle()]))
