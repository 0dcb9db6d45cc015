"""Interventions that put something else in a thought's place, against formulas of one line in a plain loop."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import chain
from tests.plain_loop import KINDS, PROBLEMS, Case, asked, bank, check, check_unchanged, checkpoint, plain, ways
from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Mean, Noise, Permute, Perturb, Remove, Shuffle, Zero, exchanged
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
    own = bank(held, asked(held))
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

    check(held, cases)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thought_removed_takes_no_column_and_no_position(kind: str) -> None:
    held = checkpoint(kind)
    check(
        held,
        [
            Case(Plan((Remove(at=at),), frozen), without=at)
            for at in [(1,), (2,), (1, 3), (1, 2, 3)]
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


@pytest.mark.parametrize("kind", ["gpt2", "text"])
def test_neither_batches_nor_other_plans_change_a_result(kind: str) -> None:
    held = checkpoint(kind)
    plans = [[Noise()], [Remove(at=(2,))], [Shuffle(), Zero(0.5)], Plan((Permute(seed=3), Mean(0.5)), True)]
    problems = asked(held)
    together = run_intervened(held, problems, plans, keep_thoughts=True)
    for one, plan in zip(together, plans, strict=True):
        for size in (1, 2):
            (alone,) = run_intervened(held, problems, [plan], batch_size=size, keep_thoughts=True)
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
        (lambda: [Noise(strength=float("nan"))], "too large"),
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
