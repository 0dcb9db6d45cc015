"""Codes of thoughts: what is made of them is found again, and nothing where there is none."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tests.conftest import chain, tiny
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.figures.superposition import explained_by_thought, shares
from workbench.interventions.thoughts import Patch
from workbench.measure.recording import record
from workbench.measure.run_labels import MODEL
from workbench.measure.trace import run
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.graph import structure
from workbench.problems.sets import generate
from workbench.readings.node_vectors import (
    CODES,
    MEAN,
    NOISE,
    OTHERS,
    OWN,
    PATH,
    RESIDUAL,
    SUMS,
    WITHOUT,
    NodeVectors,
    at_hops,
    beside_a_sum,
    cross_fitted,
    decomposition,
    kept_when_replaced,
    learn_vectors,
    name_weights,
    predictions,
    scaled_embeddings,
    squared_errors,
)  # fmt: skip

VOCAB, NODES, WIDTH = 12, 8, 16


def made_of_codes(n: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Thoughts 1 and 2 that are a constant and the codes of the nodes at hop 1, then 2; tokens, hops, codes, fold."""
    rng = np.random.default_rng(0)
    tokens = np.stack([rng.permutation(VOCAB)[:NODES] for _ in range(n)])
    hops = np.tile([0, 1, 1, 1, 2, 2, -1, -2], (n, 1))
    codes, constant = rng.standard_normal((2, VOCAB, WIDTH)), rng.standard_normal((2, WIDTH))
    thoughts = np.stack(
        [
            constant[k - 1] + codes[k - 1][tokens[:, places]].sum(1) / np.sqrt(len(places))
            for k, places in ((1, [1, 2, 3]), (2, [4, 5]))
        ],
        1,
    )
    return thoughts + noise * rng.standard_normal(thoughts.shape), tokens, hops, codes, np.arange(n) % 5


def share(thoughts: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    both = squared_errors(thoughts, predicted).sum(0)
    return 1 - both[:, 0] / both[:, 1]


def test_names_count_by_one_over_the_root_of_their_number() -> None:
    found = name_weights(np.array([[3, 5, 7, 0]]), np.array([[False, True, True, False]]), VOCAB)

    assert found[0, [5, 7]].tolist() == pytest.approx([2**-0.5] * 2)
    assert found.sum() == pytest.approx(2**0.5)


def test_a_thought_made_of_a_few_codes_is_taken_apart_into_them_and_random_directions_explain_less() -> None:
    model, problem = tiny(), chain(0, 5)
    (prompt,) = model.format.prompts([problem])
    first = [word[0] for word in prompt.nodes]
    rng, vocab, width = np.random.default_rng(0), len(model.tokenizer), 64
    now, constant = rng.standard_normal((2, vocab, width)), rng.standard_normal((2, width))
    codes = NodeVectors(constant, now, np.zeros_like(now))
    concepts = np.flatnonzero(structure(problem).concepts)
    one, other = concepts[0], concepts[2]
    made = constant[1] + 3 * now[1, first[one]] + now[1, first[other]]
    weights, explained, chance = decomposition(model, problem, np.stack([constant[0], made]), codes)

    assert weights[1, [one, other]] == pytest.approx([0.75, 0.25])
    assert weights[1].sum() == pytest.approx(1)
    assert explained[1] == pytest.approx(1)
    assert chance[1] < 0.5


def test_codes_are_found_again_up_to_what_the_constant_holds() -> None:
    thoughts, tokens, hops, codes, _ = made_of_codes(400)
    now = at_hops(hops, [1, 2])
    book = learn_vectors(thoughts, tokens, now, None, VOCAB, ridge=1e-6)

    # As many names stand at a hop everywhere, so that what all codes share cannot be told from the constant.
    for k in range(2):
        np.testing.assert_allclose(book.now[k] - book.now[k].mean(0), codes[k] - codes[k].mean(0), atol=1e-3)
    assert (book.before == 0).all()
    np.testing.assert_allclose(book.sums(list(tokens), lambda row, k: now[row, k - 1]), thoughts, atol=1e-3)


def test_what_codes_explain_is_measured_on_other_problems() -> None:
    thoughts, tokens, hops, _, fold = made_of_codes(300, noise=0.5)
    noise = np.random.default_rng(1).standard_normal(thoughts.shape)
    now, before = at_hops(hops, [1, 2]), at_hops(hops, [0, 1])

    def codes(rest: np.ndarray) -> NodeVectors:
        return learn_vectors(thoughts[rest], tokens[rest], now[rest], None, VOCAB)

    def codes_of_noise(rest: np.ndarray) -> NodeVectors:
        return learn_vectors(noise[rest], tokens[rest], now[rest], before[rest], VOCAB)

    by_codes = share(thoughts, cross_fitted(codes, tokens, now, None, fold))
    of_noise = share(noise, cross_fitted(codes_of_noise, tokens, now, before, fold))

    assert (by_codes > 0.6).all()
    assert (of_noise < 0).all()
    assert (of_noise > -0.3).all()


def test_embeddings_explain_thoughts_that_are_sums_of_them_and_no_others() -> None:
    thoughts, tokens, hops, codes, fold = made_of_codes(300)
    now = at_hops(hops, [1, 2])

    def embedded(rest: np.ndarray) -> NodeVectors:
        return scaled_embeddings(thoughts[rest], tokens[rest], now[rest], codes[0])

    first = share(thoughts, cross_fitted(embedded, tokens, now, None, fold))

    assert first[0] == pytest.approx(1, abs=1e-6)
    assert first[1] < 0.1


def test_a_code_needs_problems() -> None:
    thoughts, tokens, hops, _, _ = made_of_codes(1)
    with pytest.raises(WorkbenchError, match="A code cannot be learned"):
        learn_vectors(thoughts, tokens, at_hops(hops, [1, 2]), None, VOCAB)


def test_the_reading_has_a_row_for_each_sum_and_its_figure_says_the_shares() -> None:
    recording = record(tiny(thoughts=2, max_position_embeddings=256), generate("balanced", 12, seed=3))
    table = CODES.frame([recording])

    assert len(table) == len(SUMS) * 12 * 2
    assert set(table["run"]) == {MODEL}
    rows = table.filter(pl.col("sum") == SUMS[0], pl.col("thought") == 2)
    expected = 1 - float(rows["error"].to_numpy().sum() / rows["spread"].to_numpy().sum())
    found = shares(table).filter(pl.col("sum") == SUMS[0], pl.col("thought") == 2)
    assert found["value"].item() == pytest.approx(expected)
    assert found["low"].item() <= expected <= found["high"].item()
    drawn: Any = explained_by_thought(table)
    assert [trace.name for trace in drawn.data] == [*SUMS, "chance: the mean thought"]
    assert "Share of variance explained" in drawn["layout"]["meta"]["alt"]


def test_problems_on_one_graph_leave_nothing_to_learn_from() -> None:
    recording = record(tiny(thoughts=2), [chain(1, 3), chain(1, 3)])
    with pytest.raises(WorkbenchError, match="share one graph"):
        CODES.frame([recording])


def test_what_stands_beside_a_sum_is_made_of_mean_sum_and_rest() -> None:
    rng = np.random.default_rng(0)
    thoughts, summed, other = rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 2, 3)), np.array([1, 2, 3, 0])
    made = beside_a_sum(thoughts, summed, other)
    for row in range(4):
        np.testing.assert_allclose(made[MEAN][row], thoughts.sum(0) / 4)
        np.testing.assert_allclose(made[WITHOUT][row] + summed[row], thoughts[row] + thoughts.sum(0) / 4)
        np.testing.assert_allclose(made[RESIDUAL][row] - summed[row], thoughts[other[row]] - summed[other[row]])
    np.testing.assert_allclose(beside_a_sum(thoughts, summed, np.arange(4))[RESIDUAL], thoughts)


def test_a_thought_is_replaced_by_a_sum_and_its_own_thought_changes_nothing() -> None:
    problems = generate("balanced", 40, 5, {1: 0.5, 2: 0.5}, 10)
    checkpoint = load_checkpoint(catalog.ROOT / "fixtures" / "organisms" / "thoughts")  # answers most of them
    recording = record(checkpoint, problems)
    table = kept_when_replaced(recording, (1, 2), batch_size=4)
    own = table.filter(pl.col("in_its_place") == OWN)

    assert set(table["in_its_place"]) == {*SUMS, OTHERS, PATH, MEAN, WITHOUT, RESIDUAL, NOISE, OWN}
    assert table["choice"].drop_nulls().is_between(0, 1).all()
    counts = recording.right & (np.array([structure(problem).length for problem in problems]) > 1)
    kept = {problem.graph for problem, one in zip(problems, counts, strict=True) if one}
    assert 5 < len(kept) < counts.sum()
    first = own.filter(thought=1).row(0, named=True)
    assert (first["kept"], first["n"], first["graphs"]) == (1.0, counts.sum(), len(kept))
    assert table.filter(thought=1, in_its_place=NOISE)["kept"].item() < 1
    assert own.filter(thought=2)["n"].item() == 0  # no target lies beyond two hops
    for k in (1, 2):
        thoughts = recording.thoughts.copy()
        thoughts[:, k - 1] = predictions(recording)["codes"][:, k - 1]
        given = torch.from_numpy(thoughts.astype(np.float32))
        traces = list(run(recording.checkpoint, problems, interventions=[Patch(at=(k,), source="sum")],
                          sources={"sum": given}))  # fmt: skip
        np.testing.assert_allclose(traces[5].thoughts[k - 1], thoughts[5, k - 1], atol=1e-5)
