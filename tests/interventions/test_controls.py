"""Affected regions of plans, their controls, strengths, and what changed downstream, on tiny models."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.controls import (
    answered,
    at_strength,
    controls,
    step_lengths,
    strength_curve,
    with_strength,
    without_effect,
)
from workbench.interventions.layers import Ablate, Knockout
from workbench.interventions.plan import Plan, affected_region
from workbench.interventions.text import from_address
from workbench.interventions.thoughts import (
    Add,
    Move,
    Noise,
    Patch,
    Perturb,
    Project,
    Remove,
    Superpose,
    Zero,
)
from workbench.measure.effects import downstream, on_each, shares, total_variation
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.sets import generate

EACH: list[Intervention] = [
    Noise(at=(2,)), Remove(at=(2,)), Perturb(0.3, at=(2, 3)), Ablate(at=(2,), layers=(0,)), Ablate(where="answer"),
    Ablate(at=(3,), where="both"), Knockout(("edges",), at=(2,), making=True),
]  # fmt: skip


@pytest.fixture(scope="module")
def wide() -> Problem:
    """A problem with several nodes at its first hops."""
    return next(one for one in generate("balanced", 20, 0) if min(structure(one).frontier(h).sum() for h in (1, 2)) > 2)


@pytest.mark.parametrize("one", EACH)
@pytest.mark.parametrize(("fed", "frozen"), [("thought", False), ("thought", True), ("pause", True)])
def test_outside_the_cone_every_bit_is_the_same_and_inside_it_all_changes(
    one: Intervention, fed: str, frozen: bool
) -> None:
    checkpoint = replace(tiny(markers=True), fed="pause" if fed == "pause" else "hidden")
    problem, plan = chain(3, 4), Plan((one,), frozen)
    before = next(run(checkpoint, [problem], interventions=without_effect(plan)))
    after = next(run(checkpoint, [problem], interventions=plan))
    table = downstream(before, after, affected_region(plan, 3, checkpoint.pause is not None))

    rounded = isinstance(one, Remove)  # fewer columns: sums of exact zeros are taken in another order
    for row in table.iter_rows(named=True):
        if row["can_change"]:
            assert not row["same"], row
        else:
            assert row["same"] or (rounded and row["what"] != "thought" and row["moved"] < 1e-5), row


def test_the_cone_of_nothing_is_empty() -> None:
    empty = affected_region(Plan((), True), 3)

    assert not np.concatenate([empty.intervened, empty.thoughts, empty.said]).any()


def test_total_variation_counts_what_is_on_no_node() -> None:
    assert total_variation(np.array([[0.5, 0.1]]), np.array([[0.1, 0.1]])) == pytest.approx([0.4])
    assert total_variation(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == pytest.approx([1.0])


def test_a_step_has_its_length_and_its_own_direction() -> None:
    checkpoint, problem = tiny(), chain(3, 4)
    own = next(run(checkpoint, [problem])).thoughts
    one, again, other = (
        next(run(checkpoint, [problem], interventions=[Perturb(0.5, seed, at=(1,))])).thoughts for seed in (0, 0, 1)
    )
    step, elsewhere = one[0] - own[0], other[0] - own[0]

    assert np.array_equal(one, again)
    assert np.linalg.norm(step) == pytest.approx(0.5 * np.linalg.norm(own[0]), rel=1e-5)
    assert abs(step @ elsewhere) < 0.7 * np.linalg.norm(step) * np.linalg.norm(elsewhere)


# Controls


def test_other_nodes_are_at_the_same_hop_and_never_named_by_question_or_plan(wide: Problem) -> None:
    about = structure(wide)
    node = next(n for n in np.flatnonzero(about.frontier(1)).tolist() if n not in wide.options)
    plan = Plan((Project((wide.names[node],), at=(1, 2)),))
    found = controls(tiny(max_position_embeddings=512), wide, [plan], 3, "other nodes")[0]

    drawn = [one.nodes[0] for control in found for one in control.interventions if isinstance(one, Project)]
    others = {wide.names[n] for n in np.flatnonzero(about.frontier(1)).tolist()} - {wide.names[node]}
    others -= {wide.names[n] for n in wide.options}
    assert len(drawn) == len(set(drawn)) == len(found)  # one node for both thoughts
    assert set(drawn) == others


def test_the_control_of_a_set_has_as_many_nodes_at_every_thought(wide: Problem) -> None:
    plan = Plan((Move(("on_path",), ("other_side",)), Zero(at=(2,))), freeze=True)
    for control in controls(tiny(max_position_embeddings=512), wide, [plan], 2, "other nodes", draws=3)[0]:
        *moved, zero = control.interventions
        assert control.freeze
        assert zero == Zero(at=(2,))
        assert [k for one in moved for k in one.at] in ([1, 2], [1], [2])


@pytest.mark.parametrize(
    "written",
    ["project:nodes=concepts;at=2", "noise:strength=0.5", "freeze~noise~zero:strength=0.5", "patch_thought:at=1"],
)
def test_a_step_in_a_random_direction_is_as_long_as_what_it_stands_for(written: str) -> None:
    checkpoint, problem, plan = tiny(), chain(3, 4), from_address(written)
    sources = {"twin": [chain(2, 3)]}
    ((control,),) = controls(checkpoint, problem, [plan], 3, "random direction", 1, sources=sources)
    own, random = step_lengths(checkpoint, problem, [plan, control], 3, sources=sources)

    assert own.keys() == random.keys() == {k for k in (1, 2, 3) if plan.interventions[0].acts_on(k)}
    assert list(random.values()) == pytest.approx(list(own.values()), rel=1e-4)
    first = min(own)
    before, after = (next(run(checkpoint, [problem], interventions=one, sources=sources)) for one in ((), plan))
    length = np.linalg.norm(after.thoughts[first - 1] - before.thoughts[first - 1])
    assert own[first] == pytest.approx(length / np.linalg.norm(before.thoughts[first - 1]), rel=1e-4)


def test_what_has_no_control_gets_none() -> None:
    assert Plan((Remove(), Knockout())).controls == ()
    assert Plan((Noise(),)).controls == ("random direction",)
    assert Plan((Remove(), Add(("root",)))).controls == ("other nodes", "random direction")
    assert controls(tiny(), chain(3, 4), [Plan((Noise(strength=0.0),))], 3, "random direction") == [[]]


# Answers and strengths


def test_an_answer_stands_beside_the_one_without_and_its_controls() -> None:
    checkpoint, problem = tiny(), chain(3, 4)
    table = answered(checkpoint, problem, Plan((Noise(at=(2,)),)), 3, "random direction", 4)
    trace = next(run(checkpoint, [problem], interventions=[Noise(at=(2,))]))

    assert table["series"].to_list() == ["without", "intervened", *["control"] * 4]
    assert table["target"][1] == pytest.approx(float(trace.answers[-1][problem.target]), rel=1e-4)
    assert table["answer"][1] == trace.answer_texts[-1]
    assert table["target"].n_unique() == 6


def test_a_strength_of_nothing_is_the_run_without_and_the_full_one_the_plan() -> None:
    checkpoint, problem = tiny(), chain(3, 4)
    plan = Plan((Superpose(("frontier",), at=(1,)), Zero(0.5, at=(2,))))
    table = strength_curve(checkpoint, problem, plan, 0, (0.0, 1.0), 3, "other nodes", 2)
    ends = answered(checkpoint, problem, plan, 3)
    alone = answered(checkpoint, problem, Plan((Zero(0.5, at=(2,)),)), 3)

    own = table.filter(series="intervened")["target"].to_list()
    assert own == pytest.approx([alone["target"][1], ends["target"][1]], rel=1e-5)
    assert table.filter(series="control", strength=0.0)["target"].to_list() == pytest.approx([own[0]] * 2, rel=1e-5)


def test_a_plan_with_another_strength_of_one_of_its_interventions() -> None:
    plan = Plan((Remove(at=(1,)), Patch(at=(2,)), Patch(thought=1)))

    assert with_strength(plan) == [1, 2]
    assert at_strength(plan, 1, 0.5).interventions[1] == Patch(strength=0.5, at=(2,))
    assert at_strength(plan, 1, 1.0) == plan
    with pytest.raises(WorkbenchError, match="no strength"):
        at_strength(plan, 0, 1.0)


def test_traces_of_other_problems_are_not_compared(tiny_checkpoint: Checkpoint) -> None:
    one, two = run(tiny_checkpoint, [chain(2, 3), chain(3, 4)])

    with pytest.raises(WorkbenchError, match="compared"):
        downstream(one, two, affected_region(Plan(), 3))


# Many problems


def test_many_problems_are_counted_against_their_own_controls(wide: Problem) -> None:
    checkpoint, several = tiny(max_position_embeddings=512), [chain(2, 3), wide, chain(3, 4)]
    plan, done = Plan((Noise(at=(1,)),)), []
    table = on_each(checkpoint, several, plan, 3, "random direction", on_progress=done.append)
    alone = answered(checkpoint, wide, plan, 3, "random direction", 1, seed=1)

    assert done == [1, 2, 3]
    assert table["problem"].to_list() == [one.id for one in several]
    names = ("done", "right", "kept", "other", "control_kept")
    assert table.select(names).row(1) == (
        True,
        *alone["right"][:2],
        alone["valid"][1] and not alone["right"][1],
        alone["right"][2],
    )


def test_a_problem_that_cannot_be_intervened_on_is_left_out_and_none_is_an_error() -> None:
    plan = Plan((Project(("hilpus",)),))
    table = on_each(tiny(), [chain(4, 5), chain(1, 2)], plan, 3)

    assert table["done"].to_list() == [True, False]
    assert table["right"][1] is None
    with pytest.raises(WorkbenchError, match="no node"):
        on_each(tiny(), [chain(1, 2)], plan, 3)


def test_shares_are_of_what_was_right_and_paired_with_the_control() -> None:
    columns = ["problem", "done", "right", "kept", "other", "control_kept", "choice", "control_choice"]
    rows = [
        ("a", True, True, False, True, True, 0.0, 1.0), ("b", True, True, True, False, True, 1.0, 1.0),
        ("c", True, False, True, False, False, 1.0, 0.0), ("d", True, True, False, False, True, 0.5, 1.0),
        ("e", False, None, None, None, None, None, None),
    ]  # fmt: skip
    found, test = shares(pl.DataFrame(rows, schema=columns, orient="row"))

    assert [(found[name].value, found[name].n) for name in ("kept", "other", "control_kept", "choice")] == [
        (pytest.approx(1 / 3), 3), (pytest.approx(1 / 3), 3), (1, 3), (0.5, 3),
    ]  # fmt: skip
    assert test is not None
    assert (test.both, test.only_first, test.only_second) == (1, 0, 2)
