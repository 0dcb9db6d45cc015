"""Intervals cover the truth as often as they say: by simulation, on sets like ours; and rows alone do not."""

import numpy as np
import pytest
from scipy import stats

from workbench.measure.statistics import across_seeds, difference, resample

TIMES = 400
"""Sets drawn for each case: the standard error of a coverage of 95 % is then 1.1 points."""


def twins(rng: np.random.Generator, graphs: int, share: float, correlation: float) -> np.ndarray:
    """Whether each of two questions about each graph is answered right, [graphs, 2], with an exact correlation."""
    both = share**2 + correlation * share * (1 - share)
    cells = rng.choice(4, graphs, p=[both, share - both, share - both, 1 - 2 * share + both])
    return np.array([[1, 1], [1, 0], [0, 1], [0, 0]])[cells].astype(float)


def covered(rows: list[np.ndarray], truth: float, clusters: np.ndarray | None) -> float:
    made = [resample(one, clusters=clusters) for one in rows]
    return float(np.mean([one.low <= truth <= one.high for one in made]))


@pytest.mark.parametrize(
    ("graphs", "share", "correlation", "of_rows"),
    [
        (250, 0.5, -0.77, (0.995, 1.0)),  # a twin is right where its original is wrong: rows cover always
        (250, 0.9, 0.8, (0.0, 0.92)),  # both right or both wrong: rows cover too seldom
        (60, 0.98, 0.8, (0.0, 0.94)),
        (20, 0.9, 0.8, (0.0, 0.90)),  # the fewest graphs that are judged
        (60, 0.5, 0.0, (0.92, 0.98)),
    ],
)
def test_whole_graphs_cover_a_share_and_rows_do_not(
    graphs: int, share: float, correlation: float, of_rows: tuple[float, float]
) -> None:
    rng, labels = np.random.default_rng(graphs), np.repeat(np.arange(graphs), 2)
    rows = [twins(rng, graphs, share, correlation).ravel() for _ in range(TIMES)]
    assert 0.93 <= covered(rows, share, labels) <= 0.99
    assert of_rows[0] <= covered(rows, share, None) <= of_rows[1]


@pytest.mark.parametrize(("n", "share"), [(20, 0.9), (20, 0.98), (100, 0.98), (463, 0.998), (500, 0.5)])
def test_a_share_near_the_edge_is_covered_and_by_a_bootstrap_it_is_not(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    right = rng.binomial(n, share, TIMES)
    assert 0.92 <= covered([(np.arange(n) < one).astype(float) for one in right], share, None) <= 1
    low, high = np.quantile(rng.binomial(n, right[:, None] / n, (TIMES, 500)) / n, [0.025, 0.975], axis=1)
    percentile = np.mean((low <= share) & (share <= high))
    assert percentile < 0.91 or share <= 0.5


@pytest.mark.parametrize(
    ("graphs", "won", "lost", "copied"),
    [(250, 0.02, 0.01, 0.8), (60, 0.3, 0.1, 0.8), (20, 0.3, 0.1, 0.0), (20, 0.05, 0.0, 0.8)],
)
def test_a_paired_difference_is_covered_and_rows_do_not(graphs: int, won: float, lost: float, copied: float) -> None:
    """Two conditions on the same problems; the second question of a graph copies the first so often."""
    rng, labels, found = np.random.default_rng(graphs), np.repeat(np.arange(graphs), 2), []
    for _ in range(TIMES):
        each = rng.choice([1.0, -1.0, 0.0], (graphs, 2), p=[won, lost, 1 - won - lost])
        each[rng.random(graphs) < copied, 1] = 0
        each[:, 1] = np.where(each[:, 1] == 0, each[:, 0] * (copied > 0), each[:, 1])
        first, second = (each.ravel() > 0).astype(float), (each.ravel() < 0).astype(float)
        found.append((first, second))
    truth = float(np.mean([first - second for first, second in found]))
    whole = [resample(*pair, statistic=difference, clusters=labels) for pair in found]
    assert np.mean([one.low <= truth <= one.high for one in whole]) >= 0.93
    if copied and won > 0.05:
        rows = [resample(*pair, statistic=difference) for pair in found]
        assert np.mean([one.low <= truth <= one.high for one in rows]) < 0.93


@pytest.mark.parametrize(
    ("seeds", "spread", "least"),
    [(2, 0.05, 0.89), (3, 0.01, 0.93), (5, 0.1, 0.93)],  # two seeds say little about their spread
)
def test_seeds_are_inside_the_interval_and_one_seed_alone_does_not_speak_for_others(
    seeds: int, spread: float, least: float
) -> None:
    """Accuracies of training seeds spread about .8; the question is about the mean of all seeds there could be."""
    rng, all_of_them, alone = np.random.default_rng(seeds), [], []
    for _ in range(TIMES):
        hard = rng.normal(0, 0.1, 200)  # what the problems share between seeds
        chance = np.clip(0.8 + rng.normal(0, spread, (seeds, 1)) + hard, 0, 1)
        right = (rng.random((seeds, 200)) < chance).astype(float)
        all_of_them.append(across_seeds(right))
        alone.append(across_seeds(right[:1]))
    deviation = np.hypot(0.1, spread)
    beyond = stats.norm(0.8, deviation).expect(lambda chance: chance - 1, lb=1)  # what the clip takes away
    assert np.mean([one.low <= 0.8 - beyond <= one.high for one in all_of_them]) >= least
    if spread >= 0.05:
        assert np.mean([one.low <= 0.8 - beyond <= one.high for one in alone]) < 0.85
