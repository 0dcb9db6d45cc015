"""The one rule of verdicts: whole intervals, few graphs, and the correction for the claims of a page."""

import math

import numpy as np
import pytest
from scipy import stats

from workbench.measure.statistics import Estimate
from workbench.measure.verdicts import FEWEST, Check, bounds, judge, judge_page

NAN = math.nan


def check(low: float, high: float, at_least: float = -math.inf, at_most: float = math.inf, n: int = 100) -> Check:
    return Check("a", Estimate((low + high) / 2, low, high, n), at_least, at_most)


@pytest.mark.parametrize(
    ("interval", "relation", "verdict"),
    [
        ((0.01, 0.05), "more", "holds"),
        ((0.00, 0.05), "more", "undecided"),  # an end on the bound decides nothing
        ((-0.01, 0.05), "more", "undecided"),
        ((-0.03, 0.01), "more", "undecided"),
        ((-0.03, -0.01), "more", "does not hold"),
        ((-0.01, 0.05), "not less", "holds"),
        ((-0.05, -0.03), "not less", "does not hold"),
        ((-0.05, 0.05), "not less", "undecided"),
        ((-0.05, 0.01), "not more", "holds"),
        ((0.03, 0.05), "not more", "does not hold"),
        ((-0.01, 0.01), "equal", "holds"),
        ((0.03, 0.05), "equal", "does not hold"),
        ((0.01, 0.05), "equal", "undecided"),
        ((-0.05, 0.05), "equal", "undecided"),  # no difference was found, and none was excluded
        ((NAN, NAN), "equal", "not measured"),
    ],
)
def test_the_whole_interval_decides(interval: tuple[float, float], relation: str, verdict: str) -> None:
    assert check(*interval, **bounds(relation)).verdict == verdict  # type: ignore[arg-type]


def test_nothing_is_said_about_few_graphs_however_many_their_questions() -> None:
    sure = Estimate(0.9, 0.8, 0.95, 5000, graphs=FEWEST - 1)
    assert Check("a", sure, 0.5).verdict == "too few"
    assert check(0.8, 0.95, 0.5, n=9).verdict == "too few"
    assert check(0.8, 0.95, 0.5, n=FEWEST).verdict == "holds"
    assert Check("a", Estimate(0.9, NAN, NAN, 100), 0.5).verdict == "not measured"


def test_a_claim_holds_if_all_of_its_checks_do() -> None:
    holds, fails, open_, few, none = (
        check(0.6, 0.8, 0.5), check(0.2, 0.4, 0.5), check(0.4, 0.6, 0.5), check(0.6, 0.8, 0.5, n=3),
        check(NAN, NAN, 0.5),
    )  # fmt: skip
    assert judge([holds, holds]) == "holds"
    assert judge([holds, open_]) == "undecided"
    assert judge([holds, open_, fails]) == "does not hold"
    assert judge([holds, fails, few]) == "too few"
    assert judge([holds, few, none]) == judge([]) == "not measured"


@pytest.mark.parametrize("deviations", [2.0, 2.5, 4.0])
def test_a_p_value_is_that_of_the_normal_test_where_the_interval_is_normal(deviations: float) -> None:
    half = float(stats.norm.ppf(0.975))
    for sign in (1, -1):
        made = Estimate(sign * deviations, sign * deviations - half, sign * deviations + half, 100)
        assert Check("a", made, at_least=0.0).p == pytest.approx(2 * stats.norm.sf(deviations))
    equal = Check("a", Estimate(0.0, -half, half, 100), -deviations, deviations + 1)
    assert equal.p == pytest.approx(2 * stats.norm.sf(deviations))  # the nearer bound is the harder one
    assert check(-1.0, 1.0, 0.0).p == 1.0


def test_the_correction_is_that_of_benjamini_and_hochberg_over_what_was_tested() -> None:
    half, distances = float(stats.norm.ppf(0.975)), [1.97, 2.2, 3.1, 0.4, 2.5, -2.3]
    claims = [[Check("a", Estimate(d, d - half, d + half, 100), 0.0)] for d in distances]
    found = judge_page([*claims, [], [check(0.6, 0.8, 0.5, n=3)]])
    p = np.array([2 * stats.norm.sf(abs(d)) if abs(d) > half else 1 for d in distances])
    order, adjusted = np.argsort(p), np.empty(6)
    adjusted[order] = np.minimum.accumulate((p[order] * 6 / np.arange(1, 7))[::-1])[::-1]  # by hand
    assert [one.corrected for one in found[:6]] == pytest.approx(adjusted.tolist())
    assert [one.verdict for one in found] == [
        "undecided" if a >= 0.05 else "holds" if d > 0 else "does not hold"
        for d, a in zip(distances, adjusted, strict=True)
    ] + ["not measured", "too few"]
    assert {one.verdict for one in found[:6]} == {"holds", "does not hold", "undecided"}
    assert found[6].p is found[7].corrected is None
    assert judge_page([]) == []


def test_the_share_of_false_verdicts_of_a_page_stays_below_five_percent() -> None:
    """Without the correction it does not, where few claims are true."""
    rng, half = np.random.default_rng(0), float(stats.norm.ppf(0.975))
    shares = {True: [], False: []}
    for _ in range(200):
        truth = np.array([0.0] * 36 + [4.0] * 4)
        values = truth + rng.standard_normal(40)
        claims = [[Check("a", Estimate(v, v - half, v + half, 100), 0.0)] for v in values.tolist()]
        for corrected in (True, False):
            verdicts = [one.verdict for one in judge_page(claims)] if corrected else [judge(one) for one in claims]
            decided = np.array([one != "undecided" for one in verdicts])
            shares[corrected].append((decided & (truth == 0)).sum() / max(decided.sum(), 1))
    assert np.mean(shares[True]) < 0.06
    assert np.mean(shares[False]) > 0.2
