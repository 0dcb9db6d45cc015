"""Torch hooks around the plain loop: the reference of what is done inside layers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

from tests.plain_loop import OTHERS, PROBLEMS, K, close, plain
from workbench.interventions.layers import LayerIntervention
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem

SAID = 40
"""Columns after the thoughts, more than any answer has."""
PATHS = {
    "gpt2": {"block": "transformer.h.{}", "attention": "attn", "heads": "attn.c_proj", "mlp": "mlp"},
    "llama": {"block": "model.layers.{}", "attention": "self_attn", "heads": "self_attn.o_proj", "mlp": "mlp"},
}
At = Mapping[int, Callable[[Tensor], Tensor]]
"""By column: what becomes of the activation there."""


def module(held: Checkpoint, layer: int, part: str) -> nn.Module:
    paths = PATHS[held.model.config.model_type]
    block = paths["block"].format(layer)
    return held.model.get_submodule(block if part == "residual" else f"{block}.{paths[part]}")


@contextmanager
def altered(held: Checkpoint, layer: int, part: str, at: At) -> Iterator[None]:
    """Change an activation [1, columns, d]: what goes into the output projection for heads, else what comes out."""

    def change(value: Tensor) -> Tensor:
        value = value.clone()
        for column, becomes in at.items():
            if column < value.shape[1]:
                value[0, column] = becomes(value[0, column])
        return value

    def after(_: nn.Module, given: Any, out: Any) -> Any:
        return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

    where = module(held, layer, part)
    if part == "heads":
        handle = where.register_forward_pre_hook(lambda _, given: (change(given[0]),))
    else:
        handle = where.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def start(held: Checkpoint, problem: Problem) -> int:
    """Return the column of thought 1."""
    return len(held.format.prompts([problem])[0].ids)


def columns(held: Checkpoint, problem: Problem, one: LayerIntervention) -> dict[int, int]:
    """Return the columns that an intervention acts on, and the numbers of their thoughts; 0 for what is said."""
    first = start(held, problem)
    thoughts = {first + k - 1: k for k in range(1, K + 1) if not one.at or k in one.at}
    said = dict.fromkeys(range(first + K, first + K + SAID), 0)
    return {"thoughts": thoughts, "answer": said, "both": thoughts | said}[one.where]


def watched(held: Checkpoint, problem: Problem, layer: int, part: str) -> dict[int, Tensor]:
    """Return an activation at every thought of the model without interventions."""
    kept: dict[int, Tensor] = {}

    def keep(k: int) -> Callable[[Tensor], Tensor]:
        return lambda value: kept.setdefault(k, value.clone())

    with altered(held, layer, part, {start(held, problem) + k - 1: keep(k) for k in range(1, K + 1)}):
        plain(held, problem)
    return kept


def check_inside(
    held: Checkpoint,
    plans: Sequence[Plan],
    hooks: Callable[[LayerIntervention, int], Iterator[Any]],
    problems: Sequence[Problem] = PROBLEMS,
) -> None:
    """Hold all plans at once, in batches, to the plain loop under hooks."""
    outcomes = run_intervened(
        held, problems, [Plan(), *plans], sources={"friend": OTHERS}, batch_size=2, keep_thoughts=True
    )
    for plan, outcome in zip(plans, outcomes[1:], strict=True):
        for row, problem in enumerate(problems):
            clean = plain(held, problem).thoughts if plan.freeze else None
            made = [hook for one in plan.inside for hook in hooks(one, row)]  # all before any is in place
            with ExitStack() as stack:
                for hook in made:
                    stack.enter_context(hook)
                ran = plain(held, problem, clean=clean)
            assert outcome.thoughts is not None
            close(outcome.thoughts[row], ran.thoughts, f"{plan} on {problem.id}")
            close(outcome.target[row], ran.target, f"{plan} on {problem.id}")
            close(outcome.negative[row], ran.negative, f"{plan} on {problem.id}")
        assert np.abs(outcome.target - outcomes[0].target).max() > 1e-4, plan
