"""The figures that a model is judged by: what they count, and how they are written."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.measure.evaluate import evaluate, evaluation_of, results_frame, save_evaluation
from workbench.measure.provenance import checkpoint_digest, problems_digest, provenance
from workbench.measure.trace import answers, run_traced
from workbench.model.checkpoint import Checkpoint, make_checkpoint
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.problems.shortcuts import RULES
from workbench.problems.variants import edge_rewrites, entity_swap

KEYS = ("accuracy", "valid_format", "accuracy_without_thoughts", "swap_pair_consistency", "edge_rewrite_following")


OTHER = [0.0] * (len(RULES) - 2)


def made(**changes: object) -> pl.DataFrame:
    """Four results: right, right, wrong, right; one without twin; two pairs that are the same pair."""
    rows = {
        "problem": ["a", "b", "c", "d"],
        "steps": [3, 3, 4, 4],
        "nearest_source": [1.0, 0.5, 0.0, 1.0],
        # The first rule gets 2.5 of 4 right, the second 3, the others none.
        "blind_scores": [[1.0, 1.0, *OTHER], [0.5, 1.0, *OTHER], [0.0, 0.0, *OTHER], [1.0, 1.0, *OTHER]],
        "thoughts_per_step": [1] * 4,
        "right": [[False, True], [True, True], [False, False], [False, True]],
        "valid": [[True, True]] * 4,
        "target": [[0.1, 0.9], [0.6, 0.8], [0.1, 0.2], [0.3, 0.5]],
        "negative": [[0.2, 0.1], [0.2, 0.1], [0.2, 0.7], [0.3, 0.5]],
        "candidate_mass": [[0.5], [0.7], [None], [0.9]],
        "candidate_mass_chance": [[0.1], [0.2], [None], [0.3]],
        "mass_without_target": [[0.4], [0.6], [None], [None]],
        "mass_without_target_chance": [[0.1], [0.1], [None], [None]],
        "pair": ["x", "x", None, "y"],
        "pair_right": [True, True, None, False],
        "rewrite_followed": [True, None, True, False],
        "rewrites_followed": [None] * 4,
    }
    return pl.DataFrame({**rows, **changes}, schema_overrides={"rewrites_followed": pl.Float64}, strict=False)


def test_a_model_that_answers_in_words_is_judged_by_its_words() -> None:
    held, problems = tiny("qwen2"), generate("released", 3, 0)
    speaks = make_checkpoint(held.model, held.tokenizer, {**held.meta, "says": "chain", "thoughts": 0}, "speaks")
    results = results_frame(speaks, list(run_traced(speaks, problems, continuations=False)))
    said = list(answers(speaks, problems, says="chain"))
    assert results["answer"].to_list() == [answer.text for answer in said]
    assert [row[-1] for row in results["valid"].to_list()] == [answer.valid for answer in said]


def test_the_second_of_two_thoughts_per_step_is_about_the_first_hop() -> None:
    results = made(
        thoughts_per_step=[2] * 4, candidate_mass=[[0.1, 0.5]] * 4, candidate_mass_chance=[[0.1, 0.1]] * 4,
        mass_without_target=[[0.1, 0.5]] * 4, mass_without_target_chance=[[0.1, 0.1]] * 4,
        right=[[True] * 3] * 4, valid=[[True] * 3] * 4, target=[[0.5] * 3] * 4, negative=[[0.1] * 3] * 4,
    )  # fmt: skip
    assert evaluation_of("m", results).figure("candidate_mass:2").title == "candidate mass of thought 2 (hop 1)"


def test_mass_that_may_be_copied_from_the_question_is_left_out() -> None:
    (ran,) = run_traced(tiny("qwen2"), [chain(0, 2)], continuations=False)
    trace, (row,) = ran.trace, results_frame(tiny("qwen2"), [ran]).to_dicts()
    problem = trace.graph_problem
    child = problem.steps[0].split()[-1].rstrip(".")
    assert row["mass_without_target"][0] == pytest.approx(float(trace.lm_head[0][problem.names.index(child)]))
    assert row["mass_without_target_chance"][0] == pytest.approx(1 / (len(problem.names) - len(problem.entities)))
    assert row["mass_without_target"][1] is row["mass_without_target_chance"][1] is None  # hop 2 holds the target alone
    assert value(made(), "mass_without_target:1") == pytest.approx(0.5)


def value(results: pl.DataFrame, name: str) -> float:
    return evaluation_of("m", results).figure(name).estimate.value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 0.75),
        ("choice_accuracy", (1 + 1 + 0 + 0.5) / 4),
        ("accuracy_without_thoughts", 0.25),
        ("choice_accuracy_without_thoughts", (0 + 1 + 0 + 0.5) / 4),
        ("swap_pair_consistency", 0.5),  # pair x is counted once
        ("edge_rewrite_following", 0.5),  # c was wrong before, b has no rewrite
        ("edge_rewrite_following_any", 2 / 3),
        ("candidate_mass:1", 0.7),
        ("accuracy_shortcut_resistant", 0.5),
        ("accuracy_by_hop:3", 1.0),
        ("accuracy_by_hop:4", 0.5),
        ("accuracy_by_thoughts:0", 0.25),
        ("choice_by_thoughts:0", (0 + 1 + 0 + 0.5) / 4),
    ],
)
def test_figures_count_what_they_say(name: str, expected: float) -> None:
    assert value(made(), name) == pytest.approx(expected)


def test_questions_about_one_graph_are_kept_together_and_one_per_graph_is_as_it_was() -> None:
    results = pl.concat([made() for _ in range(30)]).with_columns(
        problem=pl.int_range(pl.len()).cast(pl.String), right=pl.Series([[False, k % 4 < 2] for k in range(120)]),
        pair=pl.lit(None, pl.String), pair_right=pl.lit(None, pl.Boolean),
    )  # fmt: skip
    own, twins = (results.with_columns(graph=(pl.int_range(pl.len()) // size).cast(pl.String)) for size in (1, 2))
    rows, single, whole = (evaluation_of("m", table).figures for table in (results, own, twins))
    assert [repr(figure) for figure in single] == [repr(figure) for figure in rows]  # nan is no number's equal
    accuracy = next(figure.estimate for figure in whole if figure.name == "accuracy")
    assert (accuracy.n, accuracy.graphs) == (120, 60)
    assert accuracy.high - accuracy.low > 1.3 * (rows[0].estimate.high - rows[0].estimate.low)


def test_chance_levels_stand_beside_the_figures() -> None:
    evaluation = evaluation_of("m", made())

    assert evaluation.figure("candidate_mass:1").chance == pytest.approx(0.2)
    for name in ("accuracy", "choice_accuracy", "accuracy_without_thoughts", "choice_by_thoughts:1"):
        figure = evaluation.figure(name)
        assert figure.chance == pytest.approx(3 / 4)
        assert figure.baseline == f"best query-blind rule: {list(RULES)[1]}"
    assert evaluation.figure("accuracy_by_hop:3").chance == pytest.approx(1)  # of the same rule, on these problems
    assert evaluation.figure("accuracy_by_hop:4").chance == pytest.approx(1 / 2)
    assert evaluation.figure("valid_format").chance is None


def test_a_figure_that_no_problem_defines_is_null_in_json(tmp_path: Path) -> None:
    results = made(pair=[None] * 4, pair_right=[None] * 4).with_columns(
        pl.col("pair").cast(pl.String), pl.col("pair_right").cast(pl.Boolean)
    )
    evaluation = evaluation_of("m", results)
    save_evaluation(evaluation, tmp_path / "figures.json")

    assert math.isnan(evaluation.figure("swap_pair_consistency").estimate.value)
    read = json.loads((tmp_path / "figures.json").read_text())
    assert read["swap_pair_consistency"] == {"value": None, "low": None, "high": None}
    assert read["counts"]["swap_pair_consistency"] == 0


def test_evaluation_of_a_model_has_the_agreed_keys() -> None:
    problems = generate("released", 6, seed=1)
    done: list[int] = []
    read = evaluate(_roomy(), problems, on_progress=done.append).as_dict()

    assert read["n"] == 6
    assert sum(done) == 6
    for key in KEYS:
        assert set(read[key]) == {"value", "low", "high"}  # type: ignore[call-overload]
    mass = read["candidate_mass"]
    assert isinstance(mass, list)
    assert len(mass) == 3
    assert read["seed"] == 0
    assert read["versions"]["torch"]  # type: ignore[index]
    assert "commit" in read


def test_the_same_seed_gives_the_same_figures() -> None:
    problems = generate("released", 5, seed=2)

    assert evaluate(_roomy(), problems, seed=3).as_dict() == evaluate(_roomy(), problems, seed=3).as_dict()


def test_results_agree_with_answers_asked_one_by_one() -> None:
    checkpoint, problems = _roomy(), generate("balanced", 6, seed=4)
    results = results_frame(checkpoint, list(run_traced(checkpoint, problems, continuations=False)), all_rewrites=True)

    def right(asked: list[Problem]) -> list[bool]:
        return [answer.right for answer in answers(checkpoint, asked, 3)]

    originals = right(problems)
    for row, (problem, original) in enumerate(zip(problems, originals, strict=True)):
        twin = entity_swap(problem)
        assert twin is not None
        assert results["pair_right"][row] == (original and right([twin])[0])
        twins = edge_rewrites(problem)
        assert results["rewrites"][row] == len(twins)
        if twins:
            follows = right(twins)
            assert results["rewrites_followed"][row] == pytest.approx(np.mean(follows))
            chosen = [twin.id for twin in twins].index(results["rewrite"][row])
            assert results["rewrite_followed"][row] == follows[chosen]
    assert results["pair"].n_unique() == 3, "both of a pair name the same pair"


def test_the_rewrite_drawn_does_not_depend_on_the_file() -> None:
    checkpoint, problems = _roomy(), generate("released", 4, seed=5)

    def drawn(some: list[Problem]) -> list[str | None]:
        return results_frame(checkpoint, list(run_traced(checkpoint, some, continuations=False)), 7)[
            "rewrite"
        ].to_list()

    assert drawn(problems)[2:] == drawn(problems[2:])


def test_a_model_can_be_evaluated_without_thoughts() -> None:
    read = evaluate(_roomy(), generate("released", 3, seed=6), thoughts=0).as_dict()

    assert read["candidate_mass"] == []
    assert read["accuracy"] == read["accuracy_without_thoughts"]


def test_nothing_to_evaluate_is_said_plainly() -> None:
    with pytest.raises(WorkbenchError, match="There is nothing to evaluate"):
        evaluate(tiny(), [])


def test_digests_tell_inputs_apart() -> None:
    problems = generate("released", 2, seed=1)

    assert checkpoint_digest(tiny(seed=0)) == checkpoint_digest(tiny(seed=0))
    assert checkpoint_digest(tiny(seed=0)) != checkpoint_digest(tiny(seed=1))
    assert problems_digest(problems) != problems_digest(problems[::-1])


def test_provenance_names_seed_versions_and_commit() -> None:
    origin = provenance(5)

    assert origin.seed == 5
    assert {"python", "torch", "polars"} <= set(origin.versions)
    assert origin.commit is None or len(origin.commit.removesuffix("+changes")) == 40


def _roomy() -> Checkpoint:
    """A tiny checkpoint with positions enough for generated problems."""
    return tiny(max_position_embeddings=256)
