"""Intervals hold what they promise, and say how they were made."""

import math

import numpy as np
import pytest

from workbench.measure.statistics import Estimate, bootstrap_mean, mcnemar, seed_spread, wilson


def test_bootstrap_interval_is_that_of_the_normal_approximation_and_depends_on_the_seed_alone():
    values = np.random.default_rng(0).normal(2, 1, 400)
    made = bootstrap_mean(values, seed=3)
    half = 1.96 * values.std() / 20
    assert made.value == pytest.approx(values.mean())
    assert made.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert made.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert (made.n, made.method) == (400, "bootstrap")
    assert bootstrap_mean(values, seed=3) == made != bootstrap_mean(values, seed=4)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    made = [bootstrap_mean(rng.random(80) < 0.7, seed=i, resamples=400) for i in range(200)]
    assert 0.9 <= np.mean([e.low <= 0.7 <= e.high for e in made]) <= 0.99


@pytest.mark.parametrize(("value", "low", "high"), [(1, 0.9286, 1), (0, 0, 0.0714)])
def test_all_right_and_all_wrong_take_the_wilson_interval(value, low, high):
    made = bootstrap_mean([value] * 50)
    assert made.method == "wilson"
    assert (made.value, made.low, made.high) == pytest.approx((value, low, high), abs=1e-4)


def test_undefined_problems_are_left_out_and_nothing_at_all_is_nan():
    assert bootstrap_mean([0.5, math.nan, 0.5]) == Estimate(0.5, 0.5, 0.5, 2)
    empty = bootstrap_mean([math.nan])
    assert empty.n == 0
    assert math.isnan(empty.value)


def test_wilson_interval_of_a_known_case():
    made = wilson(8, 10)  # Newcombe 1998: .4902 to .9433
    assert (made.low, made.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert str(made) == "0.800 [0.490, 0.943]"
    assert made.as_dict() == {"value": made.value, "low": made.low, "high": made.high}


def test_seed_spread_is_a_range():
    assert seed_spread([0.5, 0.75, 1.0]) == Estimate(0.75, 0.5, 1.0, 3, "range")


def test_mcnemar_is_the_binomial_test_on_the_disagreements():
    first = [True] * 9 + [False] + [True] * 5 + [False] * 5
    second = [False] * 9 + [True] + [True] * 5 + [False] * 5
    made = mcnemar(first, second)
    assert (made.both, made.only_first, made.only_second, made.neither) == (5, 9, 1, 5)
    assert made.p_value == pytest.approx(2 * 11 / 1024)
    assert made.difference.value == pytest.approx(0.4)
    assert mcnemar(first, first).p_value == 1.0


def test_mcnemar_refuses_unpaired_results():
    with pytest.raises(ValueError, match="same problems"):
        mcnemar([True], [True, False])
