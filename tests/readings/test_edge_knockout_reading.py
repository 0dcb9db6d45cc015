"""Which edges are knocked out, and what the table and the figures say of it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from tests.conftest import FAMILIES, chain, tiny
from workbench.measure.recording import Recording, record, record_controls
from workbench.model.formats import places
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem
from workbench.readings.attribution import leading_head
from workbench.readings.knockout import ARMS, EDGE_KNOCKOUT, SCOPES, EdgeCut, chosen, knock_out


def bushy(number: int) -> Problem:
    """Sally reaches the target in three hops, with one side branch at each hop; Tom reaches the negative."""
    names = "Sally Tom lempus brimpus scrompus rempus sterpus hilpus yumpus".split()
    path, side = [0, 2, 3, 4], [(0, 5), (2, 6), (5, 6), (6, 7)]
    edges = [*pairwise(path), *side, (1, 8), (1, 5)]
    edges = edges[number:] + edges[:number]
    return make_problem(f"bushy-{number}", names, edges, 0, 4, 8, True)


PROBLEMS = [bushy(number) for number in range(3)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    own = record(tiny(), PROBLEMS)
    return [own, *record_controls(own, ["untrained"])]


def test_arms_have_as_many_edges_of_the_right_hops() -> None:
    for row, problem in enumerate(PROBLEMS):
        first, second, third = (chosen(problem, k, row, 0) for k in (1, 2, 3))
        edge = {arm: [problem.edges[i] for i in numbers] for arm, numbers in first.items()}
        assert edge["optimal"] == [(0, 2)]
        assert edge["other frontier"] == [(0, 5)]
        assert edge["elsewhere"][0][0] != 0
        edge = {arm: [problem.edges[i] for i in numbers] for arm, numbers in second.items()}
        assert edge["optimal"] == [(2, 3)]
        assert edge["other frontier"][0] in [(2, 6), (5, 6)]
        edge = {arm: [problem.edges[i] for i in numbers] for arm, numbers in third.items()}
        assert edge["optimal"] == [(3, 4)]
        assert edge["other frontier"] == [(6, 7)]
    assert chosen(PROBLEMS[0], 4, 0, 0) == {}  # the target is nearer


def test_rows_hold_the_effect_of_their_knock_out(recordings: list[Recording]) -> None:
    made = EDGE_KNOCKOUT.frame(recordings)
    assert len(made) == 2 * 3 * 3 * 7
    assert made["run"].unique(maintain_order=True).to_list() == ["model", "untrained"]
    layer, head = leading_head(recordings[0])
    assert set(made["head"]) == {f"L{layer}H{head}"}
    only = np.zeros((2, 4), bool)
    only[layer, head] = True
    for scope, heads in zip(SCOPES, (None, only, ~only), strict=True):
        for arm in ARMS[:2]:
            edges = tuple(chosen(problem, 2, row, 0)[arm] for row, problem in enumerate(PROBLEMS))
            effect = knock_out(recordings[0], [EdgeCut(2, edges, heads)])
            rows = made.filter(
                (pl.col("run") == "model")
                & (pl.col("thought") == 2)
                & (pl.col("scope") == scope)
                & (pl.col("arm") == arm)
            )
            np.testing.assert_allclose(rows["before"], effect.logit_difference[0], atol=1e-5)
            np.testing.assert_allclose(rows["after"], effect.logit_difference[1], atol=1e-5)
            np.testing.assert_allclose(rows["change"], rows["after"] - rows["before"])
            assert rows["right"].to_list() == effect.right[1].tolist()
    assert made.filter("names_target")["thought"].unique().to_list() == [3]


def test_figures_count_only_what_was_right_and_keep_the_target_apart(recordings: list[Recording]) -> None:
    made = EDGE_KNOCKOUT.frame(recordings).with_columns(
        right_before=pl.col("problem") != "bushy-2",
        right=(pl.col("arm") != "optimal") | (pl.col("problem") == "bushy-0") | pl.col("names_target"),
    )
    loss, change, scopes = EDGE_KNOCKOUT.figures(made)
    optimal = next(trace for trace in loss.data if trace.name == "optimal")
    assert list(optimal.x) == [1, 2]  # thought 3 would be made without the target's name
    assert list(optimal.y) == [0.5, 0.5]  # of two right answers one is lost, the third was never right
    assert optimal.customdata[0][2] == 2
    other = next(trace for trace in loss.data if trace.name == "other frontier")
    assert list(other.y) == [0, 0]
    shift = next(trace for trace in change.data if trace.name == "elsewhere")
    rows = made.filter((pl.col("run") == "model") & (pl.col("scope") == "all heads") & (pl.col("arm") == "elsewhere"))
    assert shift.y[0] == pytest.approx(rows.filter(pl.col("thought") == 1)["change"].mean())
    bars = next(trace for trace in scopes.data if trace.name == "optimal")
    assert list(bars.x) == list(SCOPES)
    assert list(bars.y) == [0.5, 0.5, 0.5]
    assert bars.customdata[0][2] == 2  # problems, not problems times thoughts


# The knock-out itself, against a plain model whose attention mask hides the same tokens

K = 3
ASKED = [chain(0, 2), chain(1, 4), chain(2, 3)]
EDGES = ((0,), (1, 3), (2,))


@torch.no_grad()
def masked(recording: Recording, row: int, thought: int, edges: tuple[int, ...]) -> Tensor:
    """Logits where the answer is named, thought by thought without a cache; one column has a mask of its own."""
    checkpoint, problem = recording.checkpoint, ASKED[row]
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


def check_cut(recording: Recording) -> None:
    knockouts = [EdgeCut(thought, EDGES) for thought in (1, 2, 3)] + [EdgeCut(2, ((), (), ()))]
    found = knock_out(recording, knockouts, batch_size=2)
    form = recording.checkpoint.format
    for row, problem in enumerate(ASKED):
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
    check_cut(record(tiny(family, thoughts=K), ASKED))


@pytest.mark.parametrize("name", ["noise", "shuffled", "pause"])
def test_controls_are_fed_as_recorded(name: str) -> None:
    own = record(tiny(thoughts=K), ASKED)
    (control,) = record_controls(own, [name], pause=replace(own.checkpoint, fed="pause"))
    check_cut(control)


def test_heads_go_blind_alone_and_together() -> None:
    recording = record(tiny(thoughts=K), ASKED)
    nobody, one = np.zeros((2, 2, 4), bool)
    one[1, 2] = True
    found = knock_out(recording, [EdgeCut(2, EDGES, heads) for heads in (nobody, one, ~one, ~nobody, None)])
    plain, without = found.logit_difference[0], found.logit_difference[1:]
    np.testing.assert_allclose(without[0], plain, atol=1e-5)
    np.testing.assert_allclose(without[3], without[4], atol=1e-5)
    assert np.abs(without[1] - plain).max() > 1e-4
    assert np.abs(without[1] - without[4]).max() > 1e-4
    assert np.abs(without[2] - without[4]).max() > 1e-4
