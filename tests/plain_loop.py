"""The reference of the tests of interventions: one problem, no cache, no batch, every column computed anew.

Of the workbench `plain` uses the checkpoint and the prompts alone; `check` holds `run_intervened` to it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.conftest import chain, tiny
from tests.measure.test_recording import pretrained
from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem

Change = Callable[[int, Tensor], Tensor]
"""Given the number of a thought and the vector [d] that would be fed, returns what is fed."""

K = 3
KINDS = ("llama", "text")
"""Positions that are turned and those that are added; names of one token and of several."""


def checkpoint(kind: str) -> Checkpoint:
    """Return a tiny model of a family in the edges format, or a GPT-2 in the text format."""
    return pretrained() if kind == "text" else tiny(kind, thoughts=K)


def forest() -> Problem:
    """Build a problem of three hops whose frontiers hold more than the path: sets of its nodes are known by hand.

    Sally reaches 2, 3 | 4, 5, 6 | 7, the target, by way of 2 and 4. Tom reaches 5, 8 and, through 8, the negative 9.
    """
    names = "Sally Tom lempus brimpus scrompus rempus sterpus hilpus yumpus zumpus".split()
    edges = [(0, 2), (3, 5), (1, 8), (2, 4), (0, 3), (8, 9), (3, 6), (1, 5), (4, 7)]
    return make_problem("forest", names, edges, 0, 7, 9, True)


PROBLEMS = [forest(), chain(0, 2), chain(1, 4)]
"""Prompts of different length; of the chains the frontier at hop k is node k + 1 alone."""
OTHERS = [chain(4, 5), chain(5, 3), chain(6, 2)]
"""What a donor is asked in their place."""


@dataclass(frozen=True)
class Ran:
    """What the plain loop computed of one problem."""

    thoughts: Tensor
    """Thoughts as fed, [K, d]; of one left out, what would have been fed."""
    target: float
    """Logarithm of the probability of the target as the answer."""
    negative: float


@torch.no_grad()
def plain(
    held: Checkpoint,
    problem: Problem,
    change: Change | None = None,
    *,
    clean: Tensor | None = None,
    without: Collection[int] = (),
    thoughts: int = K,
) -> Ran:
    """Think about a problem, each thought changed before it is fed, and ask for the answer.

    Where `clean` thoughts [K, d] are given, it is them that are changed: later ones are frozen.
    """
    embed, form = held.model.get_input_embeddings(), held.format
    (prompt,) = form.prompts([problem])
    row, fed = embed(torch.tensor(prompt.ids)), []
    for k in range(1, thoughts + 1):
        if clean is None:
            vector = held.model.base_model(inputs_embeds=row[None], use_cache=False).last_hidden_state[0, -1]
        else:
            vector = clean[k - 1]
        fed.append(vector if change is None else change(k, vector))
        if k not in without:
            row = torch.cat([row, fed[-1][None]])

    def said(node: int) -> float:
        opening, word = list(form.value_opening(prompt)), list(prompt.nodes[node])
        inputs = torch.cat([row, embed(torch.tensor(opening + word))])
        logits = held.model(inputs_embeds=inputs[None], use_cache=False).logits[0]
        before = logits[-len(word) - 1 : -1].log_softmax(-1)
        return float(before[range(len(word)), word].sum())

    return Ran(torch.stack(fed) if fed else row[:0], said(problem.target), said(problem.negative))


def rows_of(held: Checkpoint) -> tuple[Tensor, Tensor]:
    """Return a model's input embedding and its LM head, [vocab, d] each."""
    weights: list[Any] = [held.model.get_input_embeddings(), held.model.get_output_embeddings()]
    return weights[0].weight.detach(), weights[1].weight.detach()


def bank(held: Checkpoint, problems: list[Problem]) -> Tensor:
    """Return what is thought about each problem, [n, K, d]."""
    return torch.stack([plain(held, problem).thoughts for problem in problems])


@dataclass(frozen=True)
class Case:
    """A plan, and by the number of a problem what it should do."""

    plan: Plan
    change: Callable[[int], Change] | None = None
    at: tuple[int, ...] = ()
    """Thoughts that the change is made to; none means all."""
    without: tuple[int, ...] = ()


def ways(made: Callable[..., Intervention], change: Callable[[int], Change]) -> Iterator[Case]:
    """Yield an intervention at all thoughts and at some, in the loop and frozen."""
    for at, frozen in [((), False), ((1, 3), False), ((1, 2), True)]:
        yield Case(Plan((made(at=at),), frozen), change, at)


def check(held: Checkpoint, cases: Sequence[Case], batch_size: int = 2, **given: Any) -> None:
    """Run all plans at once, in batches, and compare thoughts and answers with the plain loop."""
    own = bank(held, PROBLEMS)
    outcomes = run_intervened(
        held, PROBLEMS, [case.plan for case in cases], K, batch_size=batch_size, keep_thoughts=True, **given
    )
    for case, outcome in zip(cases, outcomes, strict=True):
        assert outcome.plan == case.plan
        for row, problem in enumerate(PROBLEMS):

            def confined(k: int, vector: Tensor, case: Case = case, row: int = row) -> Tensor:
                return case.change(row)(k, vector) if case.change and (not case.at or k in case.at) else vector

            clean = own[row] if case.plan.freeze else None
            ran = plain(held, problem, confined, clean=clean, without=case.without)
            where = f"{case.plan} on {problem.id}"
            assert outcome.thoughts is not None
            close(outcome.thoughts[row], ran.thoughts, where)
            close(outcome.target[row], ran.target, where)
            close(outcome.negative[row], ran.negative, where)


def check_unchanged(held: Checkpoint, problems: Sequence[Problem], plans: Sequence[Plan], **given: Any) -> None:
    """Hold plans that should change nothing to the run without, to the last bit."""
    without, *outcomes = run_intervened(held, problems, [Plan(), *plans], batch_size=2, keep_thoughts=True, **given)
    for plan, outcome in zip(plans, outcomes, strict=True):
        for name in ("target", "negative", "thoughts", "lm_head"):
            found, expected = getattr(outcome, name), getattr(without, name)
            np.testing.assert_array_equal(found, expected, strict=True, err_msg=str(plan))
        assert outcome.texts == without.texts


def close(found: object, expected: object, where: str = "") -> None:
    """Hold one result to another up to float noise, which the recurrence makes grow."""
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=2e-4, rtol=2e-4, err_msg=where)
