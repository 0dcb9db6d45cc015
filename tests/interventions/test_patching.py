"""Thoughts of sources put in, whole or in part, against a plain loop that is fed them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import chain, tiny
from tests.plain_loop import (
    KINDS,
    OTHERS,
    PROBLEMS,
    Case,
    K,
    asked,
    bank,
    check,
    check_unchanged,
    checkpoint,
    close,
    forest,
    plain,
    rows_of,
    ways,
)
from workbench.errors import WorkbenchError
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened, think_about
from workbench.interventions.thoughts import Interpolate, Noise, Patch, Zero, between
from workbench.model.checkpoint import Checkpoint


def on_sphere(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Go along a great circle: a turn in the plane of the two, from one towards the other."""
    a, b = (one.double().numpy() for one in (start, end))
    first = a / np.linalg.norm(a)
    across = b - (b @ first) * first
    angle = share * np.arctan2(np.linalg.norm(across), b @ first)
    turned = np.cos(angle) * first + np.sin(angle) * across / np.linalg.norm(across)
    return torch.from_numpy(turned * ((1 - share) * np.linalg.norm(a) + share * np.linalg.norm(b))).float()


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_its_formula(kind: str) -> None:
    held = checkpoint(kind)
    problems = asked(held)
    own, other = bank(held, problems), bank(held, OTHERS[: len(problems)])
    half = partial(Interpolate, "friend", 0.5)

    cases = [
        *ways(partial(Patch, "friend"), lambda row: lambda k, v: other[row, k - 1]),
        *ways(partial(Patch, "friend", 3), lambda row: lambda k, v: other[row, 2]),
        *ways(partial(Patch, "own", 1), lambda row: lambda k, v: own[row, 0]),
        *ways(partial(Patch, "friend", strength=0.5), lambda row: lambda k, v: 0.5 * v + 0.5 * other[row, k - 1]),
        *ways(
            partial(Patch, "friend", rescale=True),
            lambda row: lambda k, v: v.norm() * other[row, k - 1] / other[row, k - 1].norm(),
        ),
        *ways(half, lambda row: lambda k, v: on_sphere(v, other[row, k - 1], 0.5)),
        *ways(partial(half, path="line"), lambda row: lambda k, v: 0.5 * v + 0.5 * other[row, k - 1]),
        *ways(partial(Interpolate, "friend", 0.25), lambda row: lambda k, v: on_sphere(v, other[row, k - 1], 0.25)),
    ]

    check(held, cases, sources={"friend": OTHERS[: len(problems)]})
    # Thoughts given as they are do the same as the problems that they are about.
    check(held, cases[:5], batch_size=3, sources={"friend": other})


def test_what_the_donor_changes_ends_where_the_next_donor_begins(tiny_checkpoint: Checkpoint) -> None:
    other, third = bank(tiny_checkpoint, OTHERS), torch.randn(len(PROBLEMS), K, 32)
    mixed, donated = Interpolate("a", 0.5, "line"), Patch("b")
    cases = [
        Case(Plan((donated, mixed)), lambda row: lambda k, v: (third[row, k - 1] + other[row, k - 1]) / 2),
        Case(Plan((mixed, donated)), lambda row: lambda k, v: third[row, k - 1]),
    ]
    check(tiny_checkpoint, cases, sources={"a": OTHERS, "b": third})


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("frozen", [False, True])
def test_its_own_thoughts_and_no_step_change_nothing_to_the_last_bit(kind: str, frozen: bool) -> None:
    same = [Patch("own"), Patch("own", 2, at=(2,)), Interpolate("friend", 0.0), Interpolate("own", 1.0)]
    plans = [*(Plan((one,), frozen) for one in same), Plan((), frozen)]
    check_unchanged(checkpoint(kind), PROBLEMS, plans, sources={"friend": OTHERS})


def test_the_whole_way_is_the_donor_and_the_line_is_shorter_half_way(tiny_checkpoint: Checkpoint) -> None:
    other = bank(tiny_checkpoint, OTHERS)
    whole, donated, line, sphere = run_intervened(
        tiny_checkpoint,
        PROBLEMS,
        [[Interpolate("friend", 1.0)], [Patch("friend")], [Interpolate("friend", 0.5, "line", at=(1,))],
         [Interpolate("friend", 0.5, at=(1,))]],
        sources={"friend": other}, keep_thoughts=True,
    )  # fmt: skip
    np.testing.assert_array_equal(whole.target, donated.target)
    assert line.thoughts is not None
    assert sphere.thoughts is not None
    assert (np.linalg.norm(line.thoughts[:, 0], axis=-1) < np.linalg.norm(sphere.thoughts[:, 0], axis=-1)).all()


def test_between_holds_where_two_vectors_say_the_same_the_opposite_or_nothing() -> None:
    v = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    close(between(v, 2 * v, 0.5), 1.5 * v)
    close(between(v, -v, 0.25), 0.5 * v)
    close(between(torch.zeros_like(v), v, 0.5), 0.5 * v)
    # A thousandth of a turn short of opposite, fp32 hardly knows the angle; the length must not show it.
    nearly = -v + 2e-3 * v.norm() * torch.nn.functional.normalize(torch.roll(v, 1, 0), dim=-1)
    lengths = between(v, nearly, 0.5).norm(dim=-1)
    close(lengths, (v.norm(dim=-1) + nearly.norm(dim=-1)) / 2)


def test_thinking_about_problems_gives_what_is_fed(tiny_checkpoint: Checkpoint) -> None:
    close(think_about(tiny_checkpoint, PROBLEMS), bank(tiny_checkpoint, PROBLEMS))
    close(think_about(tiny_checkpoint, PROBLEMS, 2), bank(tiny_checkpoint, PROBLEMS)[:, :2])
    paused = replace(tiny_checkpoint, fed="pause")
    pause = rows_of(tiny_checkpoint)[0][tiny_checkpoint.format.marker.thought]
    close(think_about(paused, PROBLEMS), pause.expand(len(PROBLEMS), K, -1))


def test_a_donor_may_stand_for_an_edit_of_the_thoughts_alone_or_of_the_prompt_alone(
    tiny_checkpoint: Checkpoint,
) -> None:
    problem, rewrite = forest(), replace(forest(), id="other", root=1)
    for asked_about, thought_about in [(problem, rewrite), (rewrite, problem)]:
        (outcome,) = run_intervened(tiny_checkpoint, [asked_about], [[Patch("d")]], sources={"d": [thought_about]})
        given = plain(tiny_checkpoint, thought_about).thoughts
        ran = plain(tiny_checkpoint, asked_about, lambda k, v, given=given: given[k - 1])
        close(outcome.target[0], ran.target)


@pytest.mark.parametrize(
    ("plan", "sources", "named"),
    [
        ([Patch("friend")], {}, 'source "friend" has no thoughts'),
        ([Patch()], {"friend": OTHERS}, "sources given are: friend"),
        ([Interpolate("friend")], {"friend": OTHERS[:2]}, "thought about 2 problems"),
        ([Patch("friend", 4)], {"friend": OTHERS}, "thoughts 1 to 3"),
        ([Patch("friend", -1)], {"friend": OTHERS}, "thoughts 1 to 3"),
        ([Patch("friend", at=(4,))], {"friend": OTHERS}, "no thought 4"),
        ([Patch("friend")], {"friend": torch.zeros(5, 2, 32)}, '"friend" does not fit'),
        ([Patch("friend")], {"friend": torch.zeros(5, 3, 8)}, r"\[problems, 3, 32\] is needed"),
        ([Patch("own")], {"own": OTHERS}, '"own" is'),
        ([Patch("friend")], {"friend": []}, "thought about 0 problems"),
    ],
)
def test_a_donor_that_is_missing_or_does_not_fit_is_named(
    tiny_checkpoint: Checkpoint, plan: list, sources: dict, named: str
) -> None:
    with pytest.raises(WorkbenchError, match=named):
        run_intervened(tiny_checkpoint, PROBLEMS, [plan], sources=sources)


def test_thoughts_that_cannot_be_read_need_no_donor() -> None:
    outcomes = run_intervened(tiny(), [chain(0, 2)], [[], [Zero(at=(1,))], [Noise(at=(1,))]])
    assert len({float(outcome.target[0]) for outcome in outcomes}) == 3
