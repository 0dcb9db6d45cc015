"""Training rows: what a method makes of one problem at a stage of the curriculum, as token ids.

A row is

    question · slots · what is said

and only what is said is learned, end token included; question, slots and the markers around them are not (official
repository, dataset.py). At stage s the first s steps of the chain are gone and `method.slots(s)` slots stand in their
place, also where the chain is shorter (the official `pad_latent_to_max`). Nothing in a row asks a thought's own LM
head: `Method.heads` is for tasks with a graph, where the packed step asks it.
"""

from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from workbench.methods import Method, find_method
from workbench.prompts import Format, Ids, Prompt
from workbench.train_config import TrainConfig

ALL = 1 << 30
"""More tokens than any chain has."""


@dataclass(frozen=True)
class Plan:
    """How the chain disappears."""

    thoughts: int
    """K: steps that are replaced by slots, at most."""
    last: int
    """The last stage; all of the chain is gone there. K, or K + 1 where a chain is longer than K steps."""
    tokens_per_stage: int = 1
    """Tokens that each stage removes, for `tail` (iCoT)."""


@dataclass(frozen=True)
class Row:
    """One training row."""

    prompt: Ids
    """The question, up to the token whose last hidden state is thought 1."""
    slots: int
    """Number of thoughts or pause tokens."""
    rest: Ids
    """What follows the slots, its markers among it."""
    supervised: tuple[bool, ...]
    """Which tokens of the rest are learned."""


def row(prompt: Prompt, format: Format, method: Method, stage: int, plan: Plan, removed: int = 0) -> Row:
    """Build the training row of a problem.

    Args:
        prompt: The encoded problem.
        format: What encoded it.
        method: The method.
        stage: From 0 (the whole chain in words) to `plan.last`.
        plan: How the chain disappears.
        removed: Tokens of the chain that are gone, for `tail`; see `tokens_gone`.
    """
    steps = len(prompt.problem.steps)
    gone = steps if stage >= plan.last else min(stage, steps)
    if method.said == "all":
        said = format.continuation(prompt, 0)
    elif method.said == "rest":
        said = format.continuation(prompt, gone)
    elif method.said == "none":
        said = format.continuation(prompt, steps)
    else:
        said = _without(format, prompt, removed)
    markers = {format.marker.bot, format.marker.eot, format.marker.thought}
    slots = method.slots(min(stage, plan.thoughts))
    return Row(prompt.ids, slots, said, tuple(token not in markers for token in said))


def tokens_gone(method: Method, stage: int, plan: Plan, rng: np.random.Generator, passed: float = 1.0) -> int:
    """Draw how many tokens of the chain are gone (iCoT, arXiv 2405.14838, section 3).

    They go evenly: none in stage 0, `plan.tokens_per_stage` during each stage after it; and o more with probability
    ~ exp(-smoothing * o), which eases the move to the next length. At the end of the last stage all are gone.

    Args:
        method: Gives the smoothing.
        stage: The stage.
        plan: How the chain disappears.
        rng: Source of all randomness.
        passed: The part of the stage that is over, 0 to 1.
    """
    extra = int(rng.geometric(1 - np.exp(-method.smoothing))) - 1 if method.smoothing else 0
    if stage == 0:
        return 0
    if stage >= plan.last and passed >= 1:
        return ALL
    return int((stage - 1 + passed) * plan.tokens_per_stage) + extra


def chain_length(format: Format, prompt: Prompt) -> int:
    """Return the number of tokens of a chain: neither its opening nor the answer after it are counted."""
    begin, end = _chain(format, prompt)
    return end - begin


def stage_at(config: TrainConfig, step: int, last: int | None = None) -> int:
    """Return the stage that training by rows is in at a step, by the clock.

    Args:
        config: The run. A stage lasts `rows.steps_per_stage` steps; the last one stays until the end. A method without
            a curriculum is always in the last stage.
        step: From 0.
        last: The last stage, by default K.
    """
    last = config.curriculum.thoughts if last is None else last
    if not find_method(config.method).curriculum:
        return last
    return min(step // config.rows.steps_per_stage, last)


def _without(format: Format, prompt: Prompt, removed: int) -> Ids:
    """Return the whole continuation without the first tokens of its chain; opening and answer stay."""
    said, (begin, end) = format.continuation(prompt, 0), _chain(format, prompt)
    return (*said[:begin], *said[min(begin + removed, end) :])


def _chain(format: Format, prompt: Prompt) -> tuple[int, int]:
    """Return where the chain begins and ends in the whole continuation: where it differs from the bare answer."""
    whole, bare = format.continuation(prompt, 0), format.continuation(prompt, len(prompt.problem.steps))
    begin = _alike(whole, bare)
    return begin, len(whole) - min(_alike(whole[::-1], bare[::-1]), len(bare) - begin)


def _alike(one: Ids, other: Ids) -> int:
    """Return the number of first tokens that two rows have in common."""
    same = (a == b for a, b in zip(one, other, strict=False))
    return sum(1 for _ in takewhile(bool, same))
