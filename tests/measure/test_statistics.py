"""Intervals, tests and fits against scipy and cases worked out by hand."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.special import expit

from workbench.measure.statistics import (
    Estimate,
    across_seeds,
    auroc,
    difference,
    exact_p,
    graphs_of,
    holm,
    logistic,
    mcnemar,
    mean,
    ratio,
    resample,
    summarise,
    wilson,
)


@pytest.mark.parametrize("n", [7, 400, 5000])
def test_the_interval_of_a_mean_is_that_of_scipy(n):
    values = np.random.default_rng(0).normal(2, 1, n)
    made = resample(values, seed=3)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, batch=100, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert made.value == pytest.approx(values.mean())
    assert (made.low, made.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (made.n, made.method) == (n, "bootstrap")
    assert resample(values, seed=3) == made != resample(values, seed=4)


@pytest.mark.parametrize(("value", "low", "high"), [(1, 0.9286, 1), (0, 0, 0.0714)])
def test_all_right_and_all_wrong_take_the_wilson_interval(value, low, high):
    made = resample([value] * 50)
    assert made.method == "wilson"
    assert (made.value, made.low, made.high) == pytest.approx((value, low, high), abs=1e-4)


def test_undefined_problems_are_left_out_and_nothing_at_all_is_nan():
    assert resample([0.5, math.nan, 0.5]) == Estimate(0.5, 0.5, 0.5, 2)
    empty = resample([math.nan])
    assert empty.n == 0
    assert math.isnan(empty.value)


def test_a_difference_that_is_always_zero_is_not_certain():
    made = resample([1, 0, math.nan], [1, 0, 1], statistic=difference)
    half = 1.959964 * math.sqrt((1 / 4 + 1 / 4) / 4)  # one row more each way: 1 of 4 won, 1 of 4 lost
    assert (made.value, made.n, made.method) == (0, 2, "bonett-price")
    assert (made.low, made.high) == pytest.approx((-half, half), abs=1e-6)
    other = resample([3, 5, 9], [1, 4, 4], statistic=difference)
    assert other == resample([2, 1, 5])


def test_a_ratio_is_one_of_sums_and_resamples_whole_clusters():
    above, below, problem = [1.0, 2, 6, 3], [2.0, 2, 3, 3], ["a", "a", "b", "b"]
    made = resample(above, below, statistic=ratio, clusters=problem)
    assert made.value == pytest.approx(12 / 10)
    assert (made.low, made.high) == pytest.approx((3 / 4, 9 / 6))  # one of the two problems, drawn twice


def test_auroc_is_mann_whitney_row_by_row_and_leaves_out_rows_of_no_weight():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 5, (20, 12)).astype(float), rng.random((20, 12)) < 0.4
    there = rng.random((20, 12)) < 0.8
    for got, row, yes, kept in zip(auroc(scores, positive, weights=there), scores, positive, there, strict=True):
        one, two = row[kept & yes], row[kept & ~yes]
        expected = stats.mannwhitneyu(one, two).statistic / (len(one) * len(two)) if len(one) and len(two) else np.nan
        assert got == pytest.approx(expected, nan_ok=True)
    assert np.isnan(auroc(scores, np.ones_like(positive))).all()


def test_a_table_is_summarised_group_by_group():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"run": ["model", "noise"] * 60, "thought": np.repeat([2, 1, 3], 40), "mass": rng.random(120)})
    table = table.with_columns(mass_chance=pl.lit(0.1), mass=pl.when(pl.col("thought") < 3).then("mass"))
    found = summarise(table, "mass", ["run", "thought"], seed=5)
    assert found.columns == ["run", "thought", "value", "low", "high", "n", "chance"]
    assert found.select("run", "thought").rows() == [("model", 2), ("noise", 2), ("model", 1), ("noise", 1)]
    expected = resample(table.filter(run="noise", thought=1)["mass"], seed=5)
    assert found.row(3)[2:] == (expected.value, expected.low, expected.high, 20, pytest.approx(0.1))
    twice = summarise(table, 2 * pl.col("mass"), "thought", chance=0.5)
    assert twice["value"].to_list() == pytest.approx(
        [table.filter(thought=k)["mass"].to_numpy().mean() * 2 for k in (2, 1)]
    )
    assert twice["chance"].to_list() == [0.5, 0.5]
    areas = summarise(table.with_columns(other=1), ["mass", "other"], "run", statistic=ratio, clusters="thought")
    assert areas["value"].to_list() == pytest.approx([table.filter(run=r)["mass"].mean() for r in ("model", "noise")])
    assert areas["chance"].to_list() == [None, None]
    assert summarise(table, "mass", "run", clusters="thought").filter(pl.col("n") != 40).is_empty()


def test_wilson_interval_of_a_known_case():
    made = wilson(8, 10)  # Newcombe 1998: .4902 to .9433
    assert (made.low, made.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert str(made) == "0.800 [0.490, 0.943]"
    assert made.as_dict() == {"value": made.value, "low": made.low, "high": made.high}


def test_a_share_near_the_edge_does_not_collapse():
    made = resample([1] * 462 + [0])
    assert (made.value, made.low, made.high) == pytest.approx((462 / 463, 0.988, 0.9996), abs=5e-4)
    twice = resample([1] * 926, clusters=np.repeat(np.arange(463), 2))  # no more than 463 pieces of evidence
    assert twice.low == pytest.approx(resample([1] * 463).low, abs=1e-4)
    assert (twice.n, twice.graphs, twice.independent, twice.method) == (926, 463, 463, "cluster wilson")


@pytest.mark.parametrize("statistic", [mean, difference])
@pytest.mark.parametrize("kind", ["share", "mass"])
def test_one_question_per_graph_is_what_it_is_without_graphs(statistic, kind):
    rng = np.random.default_rng(0)
    columns = [rng.random(90), rng.random(90)][: 1 + (statistic is difference)]
    columns = [(one < 0.7).astype(float) if kind == "share" else one for one in columns]
    columns[0][3] = math.nan
    graphs = rng.permutation(90).astype(str)
    assert resample(*columns, statistic=statistic, clusters=graphs) == resample(*columns, statistic=statistic)
    assert resample(*columns, statistic=statistic, clusters=np.arange(90) // 2) != resample(
        *columns, statistic=statistic
    )


def test_a_table_is_clustered_by_the_graphs_it_names_else_by_its_problems():
    rng = np.random.default_rng(0)
    values = rng.random(120)
    problems, graphs = [f"p{i:03}" for i in range(120)], np.repeat(rng.permutation(60), 2).astype(str)
    table = pl.DataFrame({"problem": problems, "graph": graphs, "run": "model", "mass": values})
    by_graph = summarise(table, "mass", "run").row(0, named=True)
    by_problem = summarise(table.drop("graph"), "mass", "run").row(0, named=True)
    assert (by_problem["low"], by_problem["high"]) == (resample(values).low, resample(values).high)
    expected = resample(values, clusters=np.repeat(np.arange(60), 2))
    assert (by_graph["low"], by_graph["high"]) == (expected.low, expected.high)
    single = table.with_columns(graph=pl.col("problem").reverse())
    assert summarise(single, "mass", "run").equals(summarise(table.drop("graph"), "mass", "run"))
    assert graphs_of(table.select("mass")) is None
    assert np.array(graphs_of(table)).tolist() == [f"p{i // 2 * 2:03}" for i in range(120)]
    assert np.array(graphs_of(table.with_columns(graph=pl.lit(None, pl.String)))).tolist() == problems


def test_mcnemar_counts_a_graph_once_for_all_of_its_questions():
    first, second = np.repeat([1, 1, 1, 1, 0, 0], 2), np.repeat([0, 0, 0, 0, 1, 0], 2)
    made = mcnemar(first, second, clusters=np.repeat(np.arange(6), 2))
    assert made.p_value == pytest.approx((2 + 2 * 5) / 2**5)  # sums 2 2 2 2 -2 0: all of one sign, or one of the other
    assert made.difference.graphs == 6
    assert mcnemar(first, second, clusters=np.arange(12)) == mcnemar(first, second)


@pytest.mark.parametrize("step", [1, 0.5])
def test_the_exact_test_counts_every_choice_of_signs_of_whole_graphs(step):
    rng = np.random.default_rng(0)
    for graphs in (1, 4, 9):
        less, labels = step * rng.integers(-1 / step, 1 / step + 1, 3 * graphs), np.repeat(np.arange(graphs), 3)
        sums = [less[labels == one].sum() for one in range(graphs)]
        totals = [abs(np.dot(signs, sums)) for signs in itertools.product((1, -1), repeat=graphs)]
        assert exact_p(less, labels) == pytest.approx(np.mean([total >= abs(sum(sums)) for total in totals]))
    assert exact_p([0.0, 0.0], ["a", "b"]) == 1.0


def test_four_graphs_lost_and_none_won_are_not_significant():
    lost = np.arange(120) % 2 * (np.arange(120) < 8)
    assert mcnemar(lost, np.zeros(120), clusters=np.arange(120) // 2).p_value == pytest.approx(2 / 2**4)


def test_a_tie_among_forced_choices_leaves_their_interval_what_it_is():
    """A single half among ones once gave a narrower interval than none."""
    sure, tied, wrong = (resample([1.0] * 461 + [last]) for last in (1.0, 0.5, 0.0))
    assert tied.method == sure.method == "wilson"
    assert wrong.low < tied.low < sure.low
    won, half = (resample([1.0] * 60 + [last] * 40, [0.0] * 100, statistic=difference) for last in (1.0, 0.5))
    assert won.method == half.method == "bonett-price"
    assert half.value == pytest.approx(0.8)
    assert half.low < won.low


def test_seeds_are_inside_the_interval():
    right = np.array([[1.0, 1, 1, 0] * 25, [1.0, 1, 0, 0] * 25, [1.0, 1, 1, 1] * 25])
    made = across_seeds(right)
    rows = right.mean(0)
    parts = np.array([right.mean(1).var(ddof=1) / 3, ((rows - 0.75) ** 2).sum() / 100**2 * 100 / 99])
    free = parts.sum() ** 2 / (parts**2 / [2, 99]).sum()
    worth, t = 0.75 * 0.25 / parts.sum(), stats.t.ppf(0.975, free)
    middle, half = 0.75 + t * t / worth / 2, t * math.sqrt(0.75 * 0.25 / worth + t * t / worth**2 / 4)
    assert (made.low, made.high) == pytest.approx([(middle + s * half) / (1 + t * t / worth) for s in (-1, 1)])
    assert (made.value, made.n, made.graphs, made.method) == (0.75, 100, 100, "seeds and graphs")
    assert across_seeds(right[:1]) == resample(right[0])
    assert across_seeds(right[:, :0]).n == 0
    assert across_seeds(np.ones((3, 50))).low == pytest.approx(wilson(50, 50).low)  # seeds that agree are no certainty
    tokens = across_seeds(np.array([[3.0, 4, 5], [4.0, 5, 6]]))
    assert tokens.low < 4 < tokens.value == 4.5


@pytest.mark.parametrize(("sign", "bottom"), [(1, 0), (-1, -1)])
def test_an_interval_over_seeds_ends_where_shares_and_differences_end(sign: int, bottom: int):
    rows = np.random.default_rng(0).random(100) / 2
    apart = across_seeds(sign * np.stack([rows, rows + 0.5]))
    assert bottom <= apart.low < apart.value < apart.high <= 1
    close = across_seeds(sign * np.stack([rows, rows + 1e-4]))
    half = stats.t.ppf(0.975, 99) * rows.std(ddof=1) / 10  # of Student, which a narrow one is
    assert (close.high - close.low) / 2 == pytest.approx(half, rel=0.02)


def test_mcnemar_is_the_binomial_test_on_the_disagreements():
    first = [True] * 9 + [False] + [True] * 5 + [False] * 5
    second = [False] * 9 + [True] + [True] * 5 + [False] * 5
    made = mcnemar(first, second)
    assert (made.both, made.only_first, made.only_second, made.neither) == (5, 9, 1, 5)
    assert made.p_value == pytest.approx(2 * 11 / 1024)
    assert made.difference.value == pytest.approx(0.4)
    assert mcnemar(first, first).p_value == 1.0
    with pytest.raises(ValueError, match="same problems"):
        mcnemar([True], [True, False])


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_logistic_fit_is_where_the_slope_of_the_loss_is_zero(shape):
    rng = np.random.default_rng(0)
    features, counts = rng.normal(size=(200, 4)), rng.random((200, *shape)) < 0.8
    labels, offset = rng.random((200, *shape)) < expit(features[:, :1] * 2 - 1).reshape(200, *([1] * len(shape))), None
    for given in (None, rng.normal(size=(200, *shape))):
        offset = given
        made = logistic(features, labels, penalty=2.0, counts=counts, offset=offset)
        logits = features @ made.weights + made.bias + (0 if offset is None else made.gain * offset)
        wrong = (expit(logits) - labels) * counts
        assert np.abs(features.T @ wrong + 2.0 * made.weights).max() < 1e-2
        assert np.abs(wrong.sum(0)).max() < 1e-2
        assert offset is None or abs((wrong * offset).sum()) < 1e-2
    plain = logistic(features, labels, intercept=False)
    assert not plain.bias.any()
    assert plain.gain == 0
