"""Codes of thoughts: what is made of them is found again, and nothing where there is none."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.figures.superposition import explained_by_thought, shares
from workbench.interventions.thoughts import Transplant
from workbench.measure.recording import record
from workbench.measure.run_labels import MODEL
from workbench.measure.trace import run
from workbench.problems.graph import structure
from workbench.problems.sets import generate
from workbench.readings.codes import READING, SUMS, predictions
from workbench.readings.node_vectors import cross_fitted, explained, fit_node_dictionary, names_at, of_embeddings
from workbench.readings.replaced import OWN, kept_when_replaced

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
    both = explained(thoughts, predicted).sum(0)
    return 1 - both[:, 0] / both[:, 1]


def test_names_count_by_one_over_the_root_of_their_number() -> None:
    found = names_at(np.array([[3, 5, 7, 0]]), np.array([[0, 1, 1, -1]]), 1, VOCAB)

    assert found[0, [5, 7]].tolist() == pytest.approx([2**-0.5] * 2)
    assert found.sum() == pytest.approx(2**0.5)


def test_codes_are_found_again_up_to_what_the_constant_holds() -> None:
    thoughts, tokens, hops, codes, _ = made_of_codes(400)
    book = fit_node_dictionary(thoughts, tokens, hops, VOCAB, "frontier", ridge=1e-6)

    # As many names stand at a hop everywhere, so that what all codes share cannot be told from the constant.
    for k in range(2):
        np.testing.assert_allclose(book.now[k] - book.now[k].mean(0), codes[k] - codes[k].mean(0), atol=1e-3)
    assert (book.before == 0).all()
    np.testing.assert_allclose(book.thoughts(tokens, hops), thoughts, atol=1e-3)


def test_what_codes_explain_is_measured_on_other_problems() -> None:
    thoughts, tokens, hops, _, fold = made_of_codes(300, noise=0.5)
    by_codes = share(thoughts, cross_fitted(thoughts, tokens, hops, VOCAB, fold, "frontier"))
    noise = np.random.default_rng(1).standard_normal(thoughts.shape)
    of_noise = share(noise, cross_fitted(noise, tokens, hops, VOCAB, fold, "both"))

    assert (by_codes > 0.6).all()
    assert (of_noise < 0).all()
    assert (of_noise > -0.3).all()


def test_embeddings_explain_thoughts_that_are_sums_of_them_and_no_others() -> None:
    thoughts, tokens, hops, codes, fold = made_of_codes(300)
    first = share(thoughts, of_embeddings(thoughts, tokens, hops, codes[0], fold))

    assert first[0] == pytest.approx(1, abs=1e-6)
    assert first[1] < 0.1


def test_a_code_needs_problems() -> None:
    thoughts, tokens, hops, _, _ = made_of_codes(1)
    with pytest.raises(WorkbenchError, match="A code cannot be learned"):
        fit_node_dictionary(thoughts, tokens, hops, VOCAB)


def test_the_reading_has_a_row_for_each_sum_and_its_figure_says_the_shares() -> None:
    recording = record(tiny(thoughts=2, max_position_embeddings=256), generate("balanced", 12, seed=3))
    table = READING.frame([recording])

    assert len(table) == len(SUMS) * 12 * 2
    assert set(table["run"]) == {MODEL}
    rows = table.filter(pl.col("sum") == SUMS[0], pl.col("thought") == 2)
    expected = 1 - float(rows["error"].to_numpy().sum() / rows["spread"].to_numpy().sum())
    found = shares(table).filter(pl.col("sum") == SUMS[0], pl.col("thought") == 2)
    assert found["value"].item() == pytest.approx(expected)
    assert found["low"].item() <= expected <= found["high"].item()
    drawn: Any = explained_by_thought(table)
    assert [trace.name for trace in drawn.data] == list(SUMS)
    assert "Share of variance explained" in drawn["layout"]["meta"]["alt"]


def test_problems_on_one_graph_leave_nothing_to_learn_from() -> None:
    recording = record(tiny(thoughts=2), [chain(1, 3), chain(1, 3)])
    with pytest.raises(WorkbenchError, match="share one graph"):
        READING.frame([recording])


def test_a_thought_is_replaced_by_a_sum_and_its_own_thought_changes_nothing() -> None:
    problems = [*generate("balanced", 12, seed=3), *(chain(number, 3) for number in range(2))]
    recording = record(tiny(thoughts=2, max_position_embeddings=256), problems)
    table = kept_when_replaced(recording, (1, 2), batch_size=4)
    own = table.filter(pl.col("in_its_place") == OWN)

    assert table["in_its_place"].n_unique() == len(SUMS) + 2
    right = recording.right & (np.array([structure(problem).length for problem in problems]) > 1)
    assert own.filter(thought=1)["n"].item() == right.sum()
    assert (own["n"] == 0).all() or own["kept"].drop_nans().to_list() == [1.0] * own.filter(pl.col("n") > 0).height
    for k in (1, 2):
        thoughts = recording.thoughts.copy()
        thoughts[:, k - 1] = predictions(recording).by_sum["codes"][:, k - 1]
        given = torch.from_numpy(thoughts.astype(np.float32))
        traces = list(run(recording.checkpoint, problems, interventions=[Transplant(at=(k,), donor="sum")],
                          donors={"sum": given}))  # fmt: skip
        np.testing.assert_allclose(traces[5].thoughts[k - 1], thoughts[5, k - 1], atol=1e-5)
