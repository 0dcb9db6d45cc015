"""Which set of nodes a thought resembles: the theory's superposition against other sets, on thoughts made of them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.conftest import tiny
from tests.readings.test_superposition_readings import diamond, recordings
from workbench.figures.superposition import RIVALS, closest, set_means
from workbench.measure.recording import Recording, record
from workbench.readings import superposition

__all__ = ["recordings"]  # the fixture


def test_explained_share_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(1)
    nodes, thoughts = rng.standard_normal((2, 5, 12)), rng.standard_normal((2, 3, 12))
    nodes[1, 3] = nodes[1, 1]  # two names that begin with the same token
    members = np.array([[True, False, True, True, False], [False, True, False, True, False]])
    found = superposition.explained(nodes, members, thoughts)
    for row in range(2):
        basis = nodes[row][members[row]].T
        for k in range(3):
            thought = thoughts[row, k]
            rest = thought - basis @ np.linalg.lstsq(basis, thought, rcond=None)[0]
            assert found[row, k] == pytest.approx(1 - rest @ rest / (thought @ thought))
    assert np.isnan(superposition.explained(nodes, np.zeros_like(members), thoughts)).all()


def made_of(own: Recording, build) -> Recording:
    """Return a recording whose thoughts are built from the hops, of well separated embeddings."""
    traces = []
    for row, trace in enumerate(own.traces):
        nodes = own.embedding[own.first_tokens[row][own.is_node[row]]]
        depth = own.hops[row][own.is_node[row]]
        thoughts = np.stack([build(nodes, depth, k) for k in range(1, own.count + 1)])
        traces.append(replace(trace, thoughts=thoughts.astype(np.float32)))
    return replace(own, traces=tuple(traces))


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("frontier", lambda nodes, depth, k: 7 * nodes[depth == k].sum(0) if (depth == k).any() else nodes[0]),
        ("reached", lambda nodes, depth, k: 0.1 * nodes[(depth >= 0) & (depth <= k)].sum(0)),
        ("hop before", lambda nodes, depth, k: nodes[depth == k - 1].sum(0) if (depth == k - 1).any() else nodes[0]),
    ],
)
def test_a_thought_made_of_a_set_is_told_from_the_others(recordings, name, build) -> None:
    table = superposition.superposition_frame([made_of(recordings[0], build)])
    means = set_means(table)
    exact = means.filter(pl.col("set") == name)
    np.testing.assert_allclose(exact["value"], 1, atol=1e-5)
    np.testing.assert_allclose(set_means(table, "distance").filter(pl.col("set") == name)["value"], 0, atol=3e-3)
    np.testing.assert_allclose(set_means(table, "explained").filter(pl.col("set") == name)["value"], 1, atol=1e-5)
    others = means.filter(pl.col("set") == "hop after")
    assert (others["value"] < 0.8).all()
    won = closest(table)  # where two sets are the same nodes they share the problem
    best = won.filter(pl.col("value") == pl.col("value").max().over("thought"))
    assert name in best["set"].to_list()
    totals = closest(table).group_by("thought").agg(pl.col("value", "chance").sum())
    np.testing.assert_allclose(totals["value"], 1)
    np.testing.assert_allclose(totals["chance"], 1)


def test_superposition_frame(recordings) -> None:
    table = superposition.superposition_frame(recordings)
    assert table.equals(superposition.superposition_frame(recordings))
    own = recordings[0]
    nodes = own.embedding[own.first_tokens[0][:6]].astype(float)
    thought = own.thoughts[0, 1].astype(float)
    direction = (nodes[0] + nodes[2] + nodes[3] + nodes[4]) / 2  # the root and all that it reaches within two hops
    row = table.filter(run="model", problem="diamond", thought=2, set="reached").row(0, named=True)
    cosine = thought @ direction / np.linalg.norm(thought) / np.linalg.norm(direction)
    assert (row["cosine"], row["size"]) == (pytest.approx(cosine, rel=1e-5), 4)
    scaled = direction * np.linalg.norm(thought) / np.linalg.norm(direction)
    assert row["distance"] == pytest.approx(np.linalg.norm(thought - scaled) / np.linalg.norm(thought), rel=1e-5)
    # With as many concepts as there are, the random set is the set of all concepts.
    everything = superposition.random_members(own.is_concept, own.is_concept, np.random.default_rng(0))
    np.testing.assert_array_equal(everything, own.is_concept)
    drawn = superposition.random_members(own.hops == 1, own.is_concept, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.sum(1), (own.hops == 1).sum(1))
    assert not (drawn & ~own.is_concept).any()


def test_one_problem_has_no_other(recordings) -> None:
    table = superposition.superposition_frame([record(tiny(), [diamond()])])
    assert "another frontier" not in table["set"].cast(pl.String).to_list()
    assert set(closest(table)["set"]) == set(RIVALS)
