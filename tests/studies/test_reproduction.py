"""Claims of the literature: bounds frozen in a file, judged on bundled and on fresh problems, and shown as they are."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tests.conftest import tiny
from workbench.cli import app
from workbench.measure.statistics import Estimate
from workbench.measure.trace import answers
from workbench.measure.verdicts import FEWEST, Verdict
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.files import load_problems
from workbench.problems.sets import generate
from workbench.studies.claims import Claim, claims_measured, literature
from workbench.studies.reproduce import superposition, values
from workbench.studies.reproduce.bounds import Bound, Plan, digest, fresh_problems, frozen, shape
from workbench.studies.reproduce.material import Finding, Material, NoRunError
from workbench.studies.reproduce.page import Measured, checks, function_of, judge, measure, row, write_page

ROOT = Path(__file__).parents[2]
CLAIM = Claim("Some number is what it is", "1234.56789", "97.0", tag="functional", reason="Because.")
ALL = [claim for group in claims_measured().values() for claim in group]


def finding(low: float, high: float, graphs: int = 100) -> Finding:
    return Finding({"a": Estimate((low + high) / 2, low, high, 2 * graphs, graphs=graphs)})


PLAN = Plan("coconut_words", ("less", "cot"), (Bound(("a",), at_least=0.0, at_most=1.0),))


@pytest.mark.parametrize(
    ("bundled", "fresh", "verdict"),
    [
        (finding(0.1, 0.3), finding(0.2, 0.4), "holds"),
        (finding(-0.3, -0.1), finding(-0.4, -0.2), "does not hold"),
        (finding(0.1, 0.3), finding(-0.3, -0.1), "undecided"),
        (finding(0.1, 0.3), finding(-0.1, 0.3), "undecided"),
        (finding(0.1, 0.3), finding(0.1, 0.3, 5), "undecided"),
        (finding(0.1, 0.3, 5), finding(0.1, 0.3, 5), "too few"),
        (None, None, "not measured"),
    ],
)
def test_both_sets_must_say_the_same(bundled: Finding | None, fresh: Finding | None, verdict: Verdict) -> None:
    (judged,) = judge([Measured(CLAIM, PLAN, bundled, fresh)])
    assert judged.verdict == verdict
    apart = row(judged).apart
    assert bool(apart) == (judged.bundled.verdict != judged.fresh.verdict)


def test_what_is_not_comparable_gets_no_verdict_and_takes_no_part_in_the_correction() -> None:
    other = replace(CLAIM, comparable=False)
    close = Measured(CLAIM, PLAN, finding(0.001, 0.4), finding(0.001, 0.4))
    alone = judge([close])[0]
    among = judge([close, *[Measured(other, PLAN, finding(0.1, 0.3))] * 30])
    assert [one.verdict for one in among] == ["holds", *["not comparable"] * 30]
    assert among[0].bundled.corrected == alone.bundled.corrected
    crowd = judge([close, *[Measured(CLAIM, PLAN, finding(-0.1, 0.3), finding(-0.1, 0.3))] * 30])
    assert crowd[0].verdict == "undecided"


# The bounds


def test_every_comparable_claim_has_bounds_and_no_other() -> None:
    keys = [claim.key for claim in ALL if claim.key]
    assert len(keys) == len(set(keys))
    assert set(keys) == set(frozen().claims)
    for claim in ALL:
        plan = frozen().claims.get(claim.key)
        assert bool(plan and plan.checks) == claim.comparable, claim.statement
        assert claim.reason, claim.statement
        assert set(claim.assumes) <= set(literature().assumptions), claim.statement
        assert plan is None or function_of(plan)
        for bound in plan.checks if plan else ():
            assert str(bound), claim.statement  # at least one end
    statements = [claim.statement for claim in ALL]
    assert len(statements) == len(set(statements)) >= 25
    assert {one for claim in ALL for one in claim.assumes} == set(literature().assumptions)
    assert frozen().fewest_graphs == FEWEST


def test_a_bound_names_its_statistics_and_a_missing_one_is_no_verdict() -> None:
    bound = Bound(("area",), (1, 2), at_least=0.5)
    assert bound.statistics == ["area, thought 1", "area, thought 2"]
    assert str(bound) == "≥ 0.5"
    plan = Plan("x", ("narrows", "lm_head"), (bound,))
    with pytest.raises(KeyError):
        checks(plan, finding(0.1, 0.2))


def test_the_page_in_the_documentation_has_the_bounds_of_the_file() -> None:
    page = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    assert f"SHA-256 {digest()}" in page, "bounds.yaml changed: measure anew (workbench reproduce)"
    assert re.search(r"last changed in commit [0-9a-f]{40},", page)
    shown = page.split("## Bounds")[1]
    of = {claim.key: claim for claim in ALL}
    for key, plan in frozen().claims.items():
        for bound in plan.checks:
            of_thoughts = f", thoughts {', '.join(map(str, bound.thoughts))}" if bound.thoughts else ""
            names = "; ".join(bound.of) + of_thoughts
            assert f"| {of[key].statement} | {plan.run} | {names} | {bound} |" in shown
    assert shown.count("≥") + shown.count("≤") == sum(len(plan.checks) for plan in frozen().claims.values())


# The fresh problems


def test_fresh_problems_are_like_the_bundled_ones_and_none_has_their_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("released", "small")
    known = [one for name in names for one in load_problems(ROOT / "fixtures" / "problems" / f"{name}.json")[:60]]
    made = fresh_problems(known, 12)
    assert {name: len(of) for name, of in made.items()} == dict.fromkeys(names, 12)
    assert not {shape(one) for of in made.values() for one in of} & {shape(one) for one in known}
    assert len({shape(one) for one in made["small"]}) == 6  # both questions of a graph
    again = fresh_problems(made["released"], 12)
    assert not {shape(one) for one in again["released"]} & {shape(one) for one in made["released"]}
    monkeypatch.setattr("workbench.studies.reproduce.bounds.digest", lambda: "0" * 64)
    assert fresh_problems(known, 12)["released"] != made["released"]


def test_a_shape_depends_on_edges_alone() -> None:
    problem = generate("balanced", 1, seed=3)[0]
    order = np.random.default_rng(0).permutation(len(problem.names))
    names = tuple(np.array(problem.names)[np.argsort(order)].tolist())
    edges = tuple((int(order[a]), int(order[b])) for a, b in reversed(problem.edges))
    renamed = replace(problem, edges=edges, names=names)
    assert shape(renamed) == shape(problem)
    assert shape(replace(problem, edges=tuple((b, a) for a, b in problem.edges))) != shape(problem)


# What is measured


@pytest.fixture
def material(tmp_path: Path) -> Material:
    for seed, name in enumerate(("reference_asked", "coconut_words", "cot")):
        save_checkpoint(tiny(thoughts=2, seed=seed, max_position_embeddings=256), tmp_path / name / "model")
    sets = {"released": generate("balanced", 8, seed=1), "small": generate("balanced", 8, seed=2)}
    return Material(tmp_path, sets, batch_size=3)


def test_what_is_measured_is_what_the_model_does(material: Material) -> None:
    found = values.less(material, "coconut_words", "cot").statistics["exact answers"]
    assert found.value == pytest.approx((material.right("coconut_words") - material.right("cot")).mean())
    assert (found.n, found.independent) == (8, 4)  # two questions of each graph

    own, without = (material.right_after("reference_asked", k) for k in (2, 0))
    lost = values.removed(material, "reference_asked").statistics
    if own.any():
        assert lost["share of exact answers lost"].value == pytest.approx(1 - without.sum() / own.sum())
    chosen = [trace.answers[2] for trace in material.traces("reference_asked", 2)]
    likelier = [one[p.target] > one[p.negative] for one, p in zip(chosen, material.of("reference_asked"), strict=True)]
    assert np.array_equal(material.chosen_after("reference_asked", 2), likelier)

    same, twin = material.under("all thoughts of the twin", "reference_asked", [[]], twins=True)
    assert same.texts == twin.texts
    assert len(same.right) == len(material.paired("reference_asked")) <= 8


def test_an_answer_that_is_neither_option_counts_as_half(material: Material) -> None:
    checkpoint, problems = material.checkpoint("cot"), material.of("cot")
    said = list(answers(checkpoint, problems))
    assert np.array_equal(material.right("cot"), [one.right for one in said])
    assert np.array_equal(material.chosen("cot"), [one.right if one.valid else 0.5 for one in said])


def test_a_difference_of_areas_is_of_the_same_candidates() -> None:
    positive = np.array([1.0, 1.0, 0.0, 0.0])
    good, bad, even = np.array([4.0, 3, 2, 1]), np.array([1.0, 2, 3, 4]), np.ones((1, 4))
    assert values._area_gap(good, bad, positive, weights=even) == pytest.approx([1.0])
    low = np.array([1.0, 0.0, 1.0, 0.0])
    assert values._low_gap(np.array([4.0, 1, 2, 3]), positive, low, weights=even) == pytest.approx([1.0])


def test_a_gap_is_of_problems_that_have_both_values() -> None:
    rows = [("a", "x", 3.0), ("a", "y", 1.0), ("b", "x", 2.0), ("c", "x", None), ("c", "y", 1.0)]
    table = pl.DataFrame(rows, schema=["problem", "kind", "value"], orient="row")
    assert superposition._gap(table, "kind", "value", "x", "y").rows() == [("a", 2.0)]
    assert superposition._gap(table.clear(), "kind", "value", "x", "y").is_empty()


def test_nothing_is_run_twice_and_a_run_that_is_not_there_is_not_measured(material: Material) -> None:
    steps: list[str] = []
    material.on_step = steps.append
    assert np.array_equal(material.right("coconut_words"), material.right("coconut_words"))
    assert material.recording("coconut_words") is material.recording("coconut_words")
    assert len(steps) == len(set(steps))
    with pytest.raises(NoRunError, match="no run icot"):
        material.right("icot")
    icot = next(claim for claim in ALL if claim.key == "icot")
    measured = measure(icot, material, material)
    assert (measured.plan is not None, measured.bundled, measured.beside) == (True, None, {})


def test_the_page_shows_claim_numbers_and_verdict(tmp_path: Path, material: Material) -> None:
    held = Measured(
        replace(CLAIM, statement="a | b", assumes=("head",)), PLAN, finding(0.5, 0.7), finding(0.4, 0.8),
        {"cot": finding(0.1, 0.3)},
    )  # fmt: skip
    other = Measured(replace(CLAIM, comparable=False, statement="other"))
    judged = {"Some": judge([held, other])}
    both = {"bundled": material, "fresh": material}
    write_page(judged, tmp_path / "deep" / "page.md", "workbench reproduce", both, 0)
    page = (tmp_path / "deep" / "page.md").read_text(encoding="utf-8")
    ours = "**coconut_words**, small / fresh<br>a: .600 [.500, .700] / .600 [.400, .800]<br>beside, cot, small: .200"
    assert f"| a \\| b | 1234.56789 | 97.0 | functional (head) | {ours} | **holds** | Because. |" in page
    assert "| other | 1234.56789 | 97.0 | functional | – | **not comparable** | Because. |" in page
    assert "| a \\| b | coconut_words | a | ≥ 0 and ≤ 1 |" in page
    assert "| released | 8 on 4 graphs | 8 on 4 graphs |\n| small | 8 on 4 graphs | 8 on 4 graphs |" in page
    assert digest() in page
    assert "| holds | 1 | 1 | 0 | 0 |" in page


def test_a_directory_without_runs_or_sets_is_named(tmp_path: Path) -> None:
    out = str(tmp_path / "page.md")
    ran = CliRunner().invoke(app, ["reproduce", "--runs", str(tmp_path), "--out", out])
    assert (ran.exit_code, "has none of the runs" in ran.stderr) == (2, True)
    ran = CliRunner().invoke(app, ["reproduce", "--problems", str(tmp_path), "--out", out])
    assert (ran.exit_code, "has no released, small" in ran.stderr) == (2, True)
    assert not (tmp_path / "page.md").exists()
