"""What is put in a thought's place, drawn or of a source, against formulas of one line in a plain loop."""

from collections.abc import Callable
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
from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened, think_about
from workbench.interventions.thoughts import (
    Interpolate,
    Mean,
    Noise,
    Patch,
    Permute,
    Perturb,
    Remove,
    Shuffle,
    Zero,
    between,
    exchanged,
)
from workbench.measure.trace import answers, run
from workbench.model.checkpoint import Checkpoint


def pushed(row: int, k: int, thought: Tensor) -> Tensor:
    """Take a step of 0.3 of the thought's length in a drawn direction."""
    drawn = torch.from_numpy(np.random.default_rng([5, row, k]).standard_normal(len(thought))).float()
    return thought + 0.3 * thought.norm() / drawn.norm() * drawn


def noisy(strength: float, seed: int, row: int, k: int, thought: Tensor) -> Tensor:
    """Mix a thought with noise of its length and bring the sum back to it."""
    drawn = torch.from_numpy(np.random.default_rng([seed, row, k]).standard_normal(len(thought))).float()
    mixed = (1 - strength) * thought / thought.norm() + strength * drawn / drawn.norm()
    return thought.norm() * mixed / mixed.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_its_formula(kind: str) -> None:
    held = checkpoint(kind)
    own = bank(held, PROBLEMS)
    ring = np.random.default_rng(4).permutation(len(own))
    donor = {int(row): int(ring[place - 1]) for place, row in enumerate(ring)}

    cases = [
        *ways(Zero, lambda row: lambda k, v: 0 * v),
        *ways(partial(Zero, strength=2.0), lambda row: lambda k, v: -v),
        *ways(Mean, lambda row: lambda k, v: own[:, k - 1].mean(0)),
        *ways(partial(Mean, strength=0.3), lambda row: lambda k, v: 0.7 * v + 0.3 * own[:, k - 1].mean(0)),
        *ways(partial(Noise, seed=7), lambda row: partial(noisy, 1.0, 7, row)),
        *ways(partial(Noise, strength=0.4), lambda row: partial(noisy, 0.4, 0, row)),
        *ways(partial(Perturb, 0.3, 5), lambda row: partial(pushed, row)),
        *ways(partial(Permute, order=(3, 1, 2)), lambda row: lambda k, v: own[row, (3, 1, 2)[k - 1] - 1]),
        *ways(partial(Permute, order=(2,)), lambda row: lambda k, v: own[row, 1] if k == 1 else v),
        *ways(partial(Shuffle, seed=4), lambda row: lambda k, v: own[donor[row], k - 1]),
    ]

    check(held, cases if kind == "llama" else cases[::3])  # of long prompts, at all thoughts


@pytest.mark.parametrize("kind", KINDS)
def test_a_thought_removed_takes_no_column_and_no_position(kind: str) -> None:
    held = checkpoint(kind)
    check(
        held,
        [
            Case(Plan((Remove(at=at),), frozen), without=at)
            for at in ([(2,), (1, 3), (1, 2, 3)] if kind == "llama" else [(1, 3)])
            for frozen in (False, True)
        ],
    )


def test_removing_any_of_them_is_thinking_less_and_removing_all_is_answering_at_once(
    tiny_checkpoint: Checkpoint,
) -> None:
    for at, left in [((1,), 2), ((3,), 2), ((1, 2), 1), ((), 0)]:
        (removed,) = run_intervened(tiny_checkpoint, PROBLEMS, [[Remove(at=at)]])
        (fewer,) = run_intervened(tiny_checkpoint, PROBLEMS, [[]], left)
        np.testing.assert_allclose(removed.target, fewer.target, atol=1e-5)
        assert removed.texts == fewer.texts


SAME: list[Intervention] = [Zero(0.0), Mean(0.0), Noise(0.0), Permute((1, 2, 3)), Permute((1,), at=(1,))]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_strength_of_nothing_changes_nothing_to_the_last_bit(tiny_checkpoint: Checkpoint, frozen: bool) -> None:
    check_unchanged(tiny_checkpoint, PROBLEMS, [*(Plan((one,), frozen) for one in SAME), Plan(tuple(SAME), frozen)])


def test_noise_has_the_length_of_the_thought_and_hangs_on_seed_problem_and_thought_alone(
    tiny_checkpoint: Checkpoint,
) -> None:
    def fed(noise: Noise, size: int = 64, problems: list = PROBLEMS) -> np.ndarray:
        found = run_intervened(tiny_checkpoint, problems, [Plan((noise,), freeze=True)], batch_size=size,
                               keep_thoughts=True)[0].thoughts  # fmt: skip
        assert found is not None
        return found

    own = fed(Noise(0.0))
    first = fed(Noise())
    for strength in (0.2, 1.0, 1.0):
        np.testing.assert_allclose(
            np.linalg.norm(fed(Noise(strength)), axis=-1), np.linalg.norm(own, axis=-1), rtol=1e-5
        )
    np.testing.assert_array_equal(fed(Noise()), first)
    np.testing.assert_allclose(fed(Noise(), 1), first, atol=1e-4)
    np.testing.assert_allclose(fed(Noise(), 64, PROBLEMS[:2]), first[:2], atol=1e-4)
    units = np.concatenate([first, fed(Noise(seed=1))])
    units = (units / np.linalg.norm(units, axis=-1, keepdims=True)).reshape(-1, units.shape[-1])
    alike = units @ units.T - np.eye(len(units))
    assert np.abs(alike).max() < 0.9  # no two problems, thoughts or seeds share their noise
    assert np.abs(alike).mean() < 2 / np.sqrt(units.shape[1])


def test_the_order_is_the_written_one_and_matters(tiny_checkpoint: Checkpoint) -> None:
    own = bank(tiny_checkpoint, PROBLEMS)

    def first_noise(row: int) -> Callable[[int, Tensor], Tensor]:
        return lambda k, v: 0.5 * noisy(0.4, 0, row, k, v) + 0.5 * own[:, k - 1].mean(0)

    def first_mean(row: int) -> Callable[[int, Tensor], Tensor]:
        return lambda k, v: noisy(0.4, 0, row, k, 0.5 * v + 0.5 * own[:, k - 1].mean(0))

    noise, mean = Noise(0.4), Mean(0.5)
    check(tiny_checkpoint, [Case(Plan((noise, mean)), first_noise), Case(Plan((mean, noise), True), first_mean)])
    one, other = run_intervened(tiny_checkpoint, PROBLEMS, [[noise, mean], [mean, noise]])
    assert np.abs(one.target - other.target).max() > 1e-3


def test_neither_batches_nor_other_plans_change_a_result() -> None:
    held = checkpoint("gpt2")
    plans = [[Noise()], [Remove(at=(2,))], [Shuffle(), Zero(0.5)], Plan((Permute(seed=3), Mean(0.5)), True)]
    together = run_intervened(held, PROBLEMS, plans, keep_thoughts=True)
    for one, plan in zip(together, plans, strict=True):
        for size in (1, 2):
            (alone,) = run_intervened(held, PROBLEMS, [plan], batch_size=size, keep_thoughts=True)
            for name in ("target", "negative", "thoughts", "lm_head"):
                np.testing.assert_allclose(getattr(alone, name), getattr(one, name), atol=2e-4, rtol=2e-4)


def test_nothing_has_a_direction_and_gives_no_nan(tiny_checkpoint: Checkpoint) -> None:
    (outcome,) = run_intervened(tiny_checkpoint, PROBLEMS, [[Zero(), Noise(0.5)]], keep_thoughts=True)
    assert outcome.thoughts is not None
    assert np.abs(outcome.thoughts).max() == 0


def test_run_and_answers_do_the_same(tiny_checkpoint: Checkpoint) -> None:
    own = bank(tiny_checkpoint, PROBLEMS)
    for plan in (Plan((Noise(), Remove(at=(2,)))), Plan((Mean(at=(1,)),), freeze=True)):
        (outcome,) = run_intervened(tiny_checkpoint, PROBLEMS, [plan], keep_thoughts=True)
        traces = list(run(tiny_checkpoint, PROBLEMS, continuations=False, interventions=plan, set_thoughts=own))
        said = list(answers(tiny_checkpoint, PROBLEMS, interventions=plan, set_thoughts=own))
        for row, (trace, answer) in enumerate(zip(traces, said, strict=True)):
            problem = PROBLEMS[row]
            assert outcome.thoughts is not None
            np.testing.assert_allclose(trace.thoughts, outcome.thoughts[row], atol=1e-4)
            np.testing.assert_allclose(np.log(trace.answers[-1][problem.target]), outcome.target[row], atol=1e-3)
            assert trace.answer_texts[-1] == answer.text == outcome.texts[row]
            assert answer.right == outcome.right[row]
            assert answer.valid == outcome.valid[row]


def test_a_permutation_drawn_leaves_no_thought_in_its_place() -> None:
    for seed in range(20):
        for count in (2, 3, 6):
            sources = exchanged(count, seed)
            assert sorted(sources) == list(range(count))
            assert (sources != np.arange(count)).all()
    assert len({tuple(exchanged(6, seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda: [Noise(at=(0,))], "counted from 1"),
        (lambda: [Noise(at=(4,))], "no thought 4, only thoughts 1 to 3"),
        (lambda: [Remove(at=(1, 9))], "thoughts 1 to 3"),
        (lambda: [Noise(seed=-1)], "seed"),
        (lambda: [Permute(seed=-1)], "seed"),
        (lambda: [Shuffle(seed=-1)], "seed"),
        (lambda: [Noise(strength=-0.1)], "strength"),
        (lambda: [Noise(strength=1.5)], "strength"),
        (lambda: [Noise(strength=float("nan"))], "strength is nan"),
        (lambda: [Permute((1, 4))], "thoughts 1 to 3"),
        (lambda: [Noise()] * 33, "cannot have 33 interventions"),
    ],
)
def test_what_no_run_could_mean_is_refused(
    tiny_checkpoint: Checkpoint, made: Callable[[], list[Intervention]], named: str
) -> None:
    with pytest.raises(WorkbenchError, match=named):
        run_intervened(tiny_checkpoint, PROBLEMS, [made()])


def test_what_lacks_its_donors_is_refused(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(WorkbenchError, match="only one problem"):
        run_intervened(tiny_checkpoint, PROBLEMS[:1], [[Shuffle()]])
    with pytest.raises(WorkbenchError, match="one thought has no other order"):
        run_intervened(tiny_checkpoint, PROBLEMS, [[Permute()]], 1)
    own = bank(tiny_checkpoint, PROBLEMS)
    for short in (own[:2], own[:, :1], own[..., :5]):
        with pytest.raises(WorkbenchError, match=r"There are 2 problems|set of thoughts does not fit"):
            run_intervened(tiny_checkpoint, PROBLEMS, [[Mean()]], set_thoughts=short)
    with pytest.raises(WorkbenchError, match="nothing to run"):
        run_intervened(tiny_checkpoint, [], [[]])


def test_without_thoughts_there_is_nothing_to_change(tiny_checkpoint: Checkpoint) -> None:
    outcomes = run_intervened(tiny_checkpoint, PROBLEMS, [[], [Noise()], [Mean()], [Remove()]], 0)
    for outcome in outcomes[1:]:
        np.testing.assert_array_equal(outcome.target, outcomes[0].target)
    assert outcomes[0].target[1] == pytest.approx(plain_answer(tiny_checkpoint), abs=1e-4)


def plain_answer(held: Checkpoint) -> float:
    """Say the answer without a thought."""
    return plain(held, chain(0, 2), thoughts=0).target


# Thoughts of sources, put in whole or in part


def on_sphere(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Go along a great circle: a turn in the plane of the two, from one towards the other."""
    a, b = (one.double().numpy() for one in (start, end))
    first = a / np.linalg.norm(a)
    across = b - (b @ first) * first
    angle = share * np.arctan2(np.linalg.norm(across), b @ first)
    turned = np.cos(angle) * first + np.sin(angle) * across / np.linalg.norm(across)
    return torch.from_numpy(turned * ((1 - share) * np.linalg.norm(a) + share * np.linalg.norm(b))).float()


@pytest.mark.parametrize("kind", KINDS)
def test_each_source_is_its_formula(kind: str) -> None:
    held = checkpoint(kind)
    own, other = bank(held, PROBLEMS), bank(held, OTHERS)
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

    check(held, cases if kind == "llama" else cases[::3], sources={"friend": OTHERS})
    # Thoughts given as they are do the same as the problems that they are about.
    check(held, cases[:3], batch_size=3, sources={"friend": other})


def test_what_the_donor_changes_ends_where_the_next_donor_begins(tiny_checkpoint: Checkpoint) -> None:
    other, third = bank(tiny_checkpoint, OTHERS), torch.randn(len(PROBLEMS), K, 32)
    mixed, donated = Interpolate("a", 0.5, "line"), Patch("b")
    cases = [
        Case(Plan((donated, mixed)), lambda row: lambda k, v: (third[row, k - 1] + other[row, k - 1]) / 2),
        Case(Plan((mixed, donated)), lambda row: lambda k, v: third[row, k - 1]),
    ]
    check(tiny_checkpoint, cases, sources={"a": OTHERS, "b": third})


@pytest.mark.parametrize(("kind", "frozen"), [("gpt2", False), ("llama", True)])
def test_its_own_thoughts_and_no_step_change_nothing_to_the_last_bit(kind: str, frozen: bool) -> None:
    same = [Patch("own"), Patch("own", 2, at=(2,)), Interpolate("friend", 0.0), Interpolate("own", 1.0)]
    plans = [*(Plan((one,), frozen) for one in same), Plan((), frozen)]
    check_unchanged(checkpoint(kind), PROBLEMS, plans, sources={"friend": OTHERS})


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
        ([Patch("friend")], {"friend": torch.zeros(3, 2, 32)}, '"friend" does not fit'),
        ([Patch("friend")], {"friend": torch.zeros(3, 3, 8)}, r"\[problems, 3, 32\] is needed"),
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
