"""What runs are asked, and what is made of their answers."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.conftest import tiny
from workbench.measure.evaluate import results_frame
from workbench.measure.statistics import Estimate
from workbench.measure.trace import answers, run_traced, sweep
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.problems.variants import drawn_rewrite
from workbench.studies.claims import Claim
from workbench.studies.compare.claims import (
    TITLES,
    claims_about,
    judge_together,
    load_published,
    measure_pair,
    printed,
    sides,
    worths,
)
from workbench.studies.compare.measure import answers_frame, compare_passes, questions, time_methods
from workbench.studies.compare.outcome import MEASURES, RunOutcome, against, moved, run_outcome, spread
from workbench.train.methods import METHODS


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return generate("released", 5, seed=3)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return tiny(thoughts=2, max_position_embeddings=512)


@pytest.fixture(scope="module")
def rows(checkpoint: Checkpoint, problems: list[Problem]) -> pl.DataFrame:
    return answers_frame(checkpoint, problems)


@pytest.mark.parametrize("markers", [False, True])
@pytest.mark.parametrize("fed", ["hidden", "pause"])
def test_a_sweep_answers_as_one_number_of_thoughts_after_the_other(
    problems: list[Problem], fed: str, markers: bool
) -> None:
    checkpoint = replace(tiny(thoughts=2, markers=markers, max_position_embeddings=512), fed=fed)
    asked = [(0, "answer"), (3, "answer"), (1, "chain")]

    found = list(sweep(checkpoint, problems, asked, batch_size=2))

    for (k, says), column in zip(asked, zip(*found, strict=True), strict=True):
        assert list(column) == list(answers(checkpoint, problems, k, says=says))


def test_what_is_asked_depends_on_what_the_method_has_seen(checkpoint: Checkpoint) -> None:
    swept = [(k, "answer") for k in range(5)]

    def meta(**changes: object) -> dict[str, object]:
        return {**checkpoint.meta, **changes}

    assert questions(checkpoint) == [*swept, (0, "chain"), (1, "chain"), (2, "chain")]
    assert questions(replace(checkpoint, meta=meta(method="pause_token"))) == swept
    assert questions(replace(checkpoint, meta=meta(thoughts_per_step=2)))[5:] == [(0, "chain"), (2, "chain")]
    assert questions(replace(checkpoint, thoughts=0, says="chain")) == [(0, "chain")]


def test_a_row_for_every_problem_and_question(rows: pl.DataFrame, problems: list[Problem]) -> None:
    plain = rows.filter((pl.col("variant") == "itself") & (pl.col("edit") == "none"))

    assert len(plain) == len(problems) * 8
    assert len(rows.filter("own", variant="itself")) == len(problems)
    assert plain.n_unique(["problem", "thoughts", "says"]) == len(plain)
    assert rows["problem"].unique(maintain_order=True).to_list() == [problem.id for problem in problems]
    assert len(rows.filter(edit="noise")) == len(problems)
    assert plain.filter(says="chain")["behaviour"].is_not_null().all()
    assert plain.filter("own")["behaviour"].is_not_null().all()
    assert plain.filter("own")["tokens"].min() == 3  # two thoughts and a name; the opening is forced


def test_twins_and_rewrites_are_those_of_evaluate(
    rows: pl.DataFrame, checkpoint: Checkpoint, problems: list[Problem]
) -> None:
    results = results_frame(checkpoint, list(run_traced(checkpoint, problems, continuations=False)))
    pairs = rows.filter(variant="itself", own=True)["pair"].to_list()
    drawn = [twin.id if (twin := drawn_rewrite(problem, 0)) else None for problem in problems]

    assert pairs == results["pair"].to_list()
    assert drawn == results["rewrite"].to_list()
    assert rows.filter(variant="rewrite")["right"].to_list() == results["rewrite_followed"].drop_nulls().to_list()


def test_pauses_read_at_once_or_one_by_one_give_the_same_answer(problems: list[Problem]) -> None:
    checkpoint = replace(tiny(thoughts=3, max_position_embeddings=512), fed="pause")
    passes = compare_passes(checkpoint, problems, batch_size=2)

    assert (passes["problems"], passes["same"]) == (5, 5)
    assert passes["max_difference"] < 1e-3


def test_times_are_ratios_to_cot(checkpoint: Checkpoint, problems: list[Problem]) -> None:
    timings = time_methods({"no_cot": replace(checkpoint, thoughts=0), "cot": checkpoint}, problems[:1], rounds=1)

    assert [timing.method for timing in timings] == ["no_cot", "cot"]
    assert timings[1].alone_ratio == timings[1].batched_ratio == 1
    assert time_methods({"no_cot": checkpoint}, problems[:1], rounds=1)[0].alone_ratio is None


def test_figures_of_hand_made_rows() -> None:
    def row(problem: str, right: bool, variant: str = "itself", k: int = 1, edit: str = "none") -> dict[str, object]:
        own = k == 1 and edit == "none"
        return {
            "problem": problem, "variant": variant, "pair": f"pair {problem}" if problem != "c" else None,
            "thoughts": k, "says": "answer", "edit": edit, "own": own, "right": right, "valid": True, "tokens": k + 1,
            "behaviour": "Correct Label" if own and variant == "itself" else None,
            "nearest_source": 0.5 if problem == "a" else 1.0,
            "choice": None if variant != "itself" or k == 2 else 0.0 if edit == "noise" else 1.0 if own else 0.5,
        }  # fmt: skip

    rows = [row(problem, problem != "b") for problem in "abc"]
    rows += [row(problem, False, k=0) for problem in "abc"] + [row(problem, True, k=2) for problem in "abc"]
    rows += [row("a", True, "swap"), row("b", True, "swap"), row("a", False, "rewrite"), row("b", True, "rewrite")]
    rows += [row(problem, problem == "a", edit="noise") for problem in "abc"]
    outcome = run_outcome("coconut_next_node", 0, pl.DataFrame(rows), {"step": 7})

    means = {name: float(np.nanmean(values)) for name, values in outcome.values.items()}
    assert means == {
        "accuracy": 2 / 3, "valid": 1, "tokens": 2, "pair": 0.5, "rewrite": 0, "resistant": 1, "removed": 0,
        "noise": 1 / 3, "choice": 1.0, "choice_removed": 0.5, "choice_noise": 0.0,
    }  # fmt: skip
    assert {k: float(right.mean()) for k, right in outcome.by_thoughts.items()} == {0: 0, 1: 2 / 3, 2: 1}
    assert outcome.behaviours.rows() == [(1, "Correct Label")] * 3


def test_one_seed_has_an_interval_and_of_several_a_wider_one() -> None:
    half = np.array([0.0, 1.0] * 50)

    assert spread([half]).method == "wilson"
    several = spread([half, np.ones(100), half])
    assert (several.value, several.n, several.method) == (pytest.approx(2 / 3), 100, "seeds and graphs")
    assert several.high - several.low > 5 * (spread([half]).high - spread([half]).low) / 2
    twins = spread([half], [str(number // 2) for number in range(100)])  # one of each pair is right: no doubt
    assert (twins.graphs, twins.value) == (50, 0.5)
    assert twins.high - twins.low < (spread([half]).high - spread([half]).low) / 2
    assert spread([np.ones(9)], share=False) == Estimate(1.0, 1.0, 1.0, 9)  # tokens: no doubt about a constant


def made(method: str, right: list[int], seed: int = 0, gained: float | None = 0.0, **more: list[int]) -> RunOutcome:
    values = {"accuracy": np.array(right, dtype=float), **{k: np.array(v, dtype=float) for k, v in more.items()}}
    ids = tuple(f"p{number}" for number in range(len(right)))
    return RunOutcome(method, seed, 1, True, ids, values, {}, pl.DataFrame(), moved=gained)


def test_methods_are_tested_against_coconut_on_the_same_problems() -> None:
    outcomes = [made("coconut_words", [1] * 10), made("cot", [0] * 10), made("icot", [1] * 10), made("no_cot", [1] * 9)]
    tested = against(outcomes)

    assert set(tested) == {"cot", "icot"}  # no_cot was asked other problems
    comparison, corrected = tested["cot"]
    assert (comparison.only_first, comparison.only_second) == (0, 10)
    assert comparison.p_value == pytest.approx(2 / 2**10)
    assert corrected == pytest.approx(2 * comparison.p_value)


def test_seeds_that_disagree_leave_a_claim_undecided() -> None:
    claim = Claim("x", "", "", ("prosqa", "coconut_next_node", "more", "cot"))
    good, bad = [1] * 40, [0] * 40

    def verdict(*outcomes: RunOutcome) -> str:
        (found,) = judge_together([measure_pair(claim, outcomes)])
        return found.verdict

    assert verdict(made("coconut_next_node", good), made("cot", bad)) == "agrees"
    assert verdict(made("coconut_next_node", good[:9]), made("cot", bad[:9])) == "too few"
    both = [made("coconut_next_node", good), made("cot", bad), made("coconut_next_node", bad, 1), made("cot", good, 1)]
    assert verdict(*both) == "undecided"
    assert verdict(made("coconut_next_node", good)) == "not measured"
    assert measure_pair(claim, [made("coconut_next_node", good)]).ours == "no run of cot"


def test_what_is_about_another_setting_is_shown_and_not_judged() -> None:
    claim = Claim("x", "", "", ("gsm8k", "coconut_next_node", "more", "cot"), comparable=False)
    (found,) = judge_together([measure_pair(claim, [made("coconut_next_node", [1] * 40), made("cot", [0] * 40)])])
    assert found.verdict == "not comparable"
    assert found.check
    assert found.check.estimate.value == 1


def test_claims_and_published_numbers_name_what_there_is() -> None:
    measures = {measure.name for measure in MEASURES}
    published = load_published()

    about = [side for task in TITLES for claim in claims_about(task) for side in sides(claim)]
    assert [len(claims_about(task)) for task in TITLES] == [11, 2, 3]
    assert {method for method, _ in about} <= set(METHODS)
    assert {measure for _, measure in about} <= measures
    assert published.number(published.columns[0], "prosqa", "coconut_words") == (0.97, 0.003)
    assert printed((0.97, 0.003), "accuracy") == "97.0 ± 0.3"
    assert printed((14.2,), "tokens") == "14.2"
    assert {column.source for column in published.columns} == set(published.sources)


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [([0.1, 0.2, 0.9, 0.9, 0.9, 0.9], None), ([0.5] * 12, 0.0), ([0.0] * 8 + [0.6, 0.7, 0.8, 0.9], 0.2)],
)
def test_movement_is_that_of_the_last_third(accuracies: list[float], expected: float | None) -> None:
    steps = 1200
    records = [{"step": steps * (n + 1) // len(accuracies), "accuracy": a} for n, a in enumerate(accuracies)]

    found = moved([{"step": 1}, *records], steps)

    assert found == (None if expected is None else pytest.approx(expected))


def test_a_claim_about_a_method_that_was_still_improving_gets_no_verdict() -> None:
    claim = Claim("x", "", "", ("prosqa", "coconut_words", "more", "cot"))
    ours = made("coconut_words", [1] * 40)

    for gained in (0.03, -0.03, None):
        (found,) = judge_together([measure_pair(claim, [ours, made("cot", [0] * 40, gained=gained)])])
        assert (found.verdict, found.unconverged) == ("not converged", ("cot",))


def test_the_worth_of_a_part_is_the_method_with_it_less_the_one_without() -> None:
    ours = [made("cot", [1, 1, 1, 0], seed) for seed in (0, 1)] + [
        made("no_cot", [0, 1, 0, 0], seed) for seed in (0, 1, 2)
    ]

    ((part, value, low, high),) = worths(ours)

    assert (part, value) == ("the chain in words", 0.5)
    assert low <= 0.5 <= high
