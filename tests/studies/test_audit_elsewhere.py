"""Batteries 4 to 6 of an audit: readers who do not know the question, parts of the model, other problems."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from tests.studies.test_audit_batteries import OPTIONS, figure
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.problems.shortcuts import RULES, blind_accuracy, nearest_source
from workbench.problems.variants import entity_swap, options_exchanged
from workbench.studies.audit.run import measure
from workbench.studies.audit.shortcuts import FEATURES, FITTED, differences, features, fit_guesser


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return generate("released", 10, seed=3)


def test_features_by_hand() -> None:
    problem = chain(0, 2)  # Sally -> lempus -> brimpus; Tom -> scrompus (the negative), Tom -> lempus
    names = dict(zip(FEATURES, features(problem, problem.target), strict=True))

    assert names["distance from the nearest source"] == 2
    assert names["ancestors"] == 3  # lempus, Sally and Tom
    assert names["sources above"] == 2
    assert names["parents"] == 1
    assert names["descendants"] == 0
    assert names["listed first"] == 1


def test_a_reader_who_does_not_see_the_question_is_wrong_about_a_problem_or_its_twin() -> None:
    asked = generate("released", 60, seed=4)
    twins = [twin for problem in asked if (twin := entity_swap(problem))]
    guesser = fit_guesser(asked)
    seen = differences(asked)[:, :-1] + differences(twins)[:, :-1]

    np.testing.assert_allclose(seen, 0, atol=1e-9)  # the twin's options have changed places, and nothing else
    assert (guesser.right(asked) & guesser.right(twins)).mean() < 0.1


def test_the_fitted_reader_is_at_least_about_as_good_as_a_rule_it_knows() -> None:
    fitted, judged = generate("released", 400, seed=5), generate("released", 200, seed=6)
    right = fit_guesser(fitted).right(judged).mean()

    assert right > blind_accuracy(judged, nearest_source) - 0.05


def test_options_in_the_other_order_are_the_same_question() -> None:
    problem = chain(2, 3)
    other = options_exchanged(problem)

    assert other.options == problem.options[::-1]
    assert other.answer == problem.answer
    assert other.edges == problem.edges


def test_shortcuts_stand_beside_the_model(problems: list[Problem]) -> None:
    found = measure("shortcuts", tiny(max_position_embeddings=256), problems, OPTIONS)

    assert figure(found, "accuracy", FITTED, "right")["value"] > 0.5
    own = figure(found, "accuracy", "the model", "right")
    scores = {name: figure(found, "accuracy", name, "right")["value"] for name in (*RULES, FITTED)}
    best = max(scores, key=lambda name: scores[name])
    assert own["control"] == f"best reader: {best}"
    assert own["control_value"] == scores[best]  # a tie is half an answer, as wherever the reader is named
    fails = figure(found, "where it fails", "first listed", "right")["n"]
    assert fails == sum(problem.options[0] != problem.target for problem in problems)


def test_every_part_is_cut_ablated_and_patched(problems: list[Problem]) -> None:
    one_layer: Any = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    small = tiny(thoughts=1, max_position_embeddings=256, **one_layer)
    found = measure("where", small, problems[:3], OPTIONS)
    by_question = {name: rows["condition"].to_list() for (name,), rows in found.group_by("question")}

    assert by_question["attention cut at the answer"][0] == "prompt"
    assert by_question["ablated to the mean at all thoughts"] == [
        "L0 attention", "L0 MLP", "L0 residual", "L0H0", "L0H1",
    ]  # fmt: skip
    assert by_question["patched from the twin at one thought"] == ["L0 attention", "L0 MLP", "L0 residual"]


def test_models_without_thoughts_are_cut_at_the_answer_alone(problems: list[Problem]) -> None:
    found = measure("where", tiny(thoughts=0, max_position_embeddings=256), problems[:3], OPTIONS)
    speaks = replace(tiny(thoughts=0), says="chain")

    assert set(found["question"]) == {"attention cut at the answer", "patched from the twin"}
    assert measure("where", speaks, problems, OPTIONS)["note"].str.contains("not applicable").all()


def test_the_trained_number_of_thoughts_is_its_own_control(problems: list[Problem]) -> None:
    found = measure("further", tiny(thoughts=2, max_position_embeddings=256), problems, replace(OPTIONS, further=6))
    after = found.filter(pl.col("question") == "after k thoughts")

    assert after["thought"].to_list() == [0, 1, 2, 3, 4]
    trained = after.row(2, named=True)
    assert trained["value"] == trained["control_value"]
    assert figure(found, "more thoughts", "twice as many as trained", "right")["value"] == after["value"][4]


def test_what_is_too_long_for_the_model_is_not_measured() -> None:
    found = measure("further", tiny(thoughts=1), [chain(0, 2), chain(1, 3)], replace(OPTIONS, further=4))

    assert figure(found.with_columns(measure=pl.lit("")), "farther targets", "7 to 12 hops", "")["note"].startswith(
        "not measured"
    )
