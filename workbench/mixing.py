"""Stage mixing: which stage of the curriculum each question is asked at, while one stage is the newest.

Without any, a model asked after fewer thoughts than the last stage has says the answer at once and its forced
language reads nothing (facebookresearch/coconut, issues 29 and 54; arXiv 2606.12689).
"""

import numpy as np
from jaxtyping import Int

from workbench.errors import WorkbenchError

NAMED = ("none", "proportional", "packed")


def mixing_share(mixing: str) -> float | None:
    """Return the probability that a dial's text stands for, None for the named kinds.

    Raises:
        WorkbenchError: It is neither a known name nor a number from 0 to 1.
    """
    if mixing in NAMED:
        return None
    try:
        share = float(mixing)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise WorkbenchError(
            f'There is no stage mixing "{mixing}".',
            f"It is one of {', '.join(NAMED)}, or the share of questions of another stage, from 0 to 1.",
            "Correct `mixing` in the configuration.",
        )
    return share


def draw_stages(
    mixing: str, stage: int, steps: Int[np.ndarray, " rows"], rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """Draw the stage of each question: how many of its steps are removed.

    - "none": the newest stage, for all.
    - a share p: with probability p any stage from 0 to as many as the chain has steps, whatever is open, and else the
      newest (`uniform_prob` of facebookresearch/coconut).
    - "proportional": stage i of the open ones with weight i + 1 (arXiv 2602.22441).
    - "packed": any open stage, evenly. (The packed step goes further and supervises all of them at once.)

    Args:
        mixing: The dial.
        stage: The newest stage that is open.
        steps: Steps of each question's chain.
        rng: Source of all randomness.
    """
    share = mixing_share(mixing)
    newest = np.full(len(steps), stage)
    if share is not None:
        return np.where(rng.random(len(steps)) < share, rng.integers(0, steps + 1), newest)
    if mixing == "none":
        return newest
    weight = np.arange(1, stage + 2, dtype=float) if mixing == "proportional" else np.ones(stage + 1)
    return rng.choice(stage + 1, len(steps), p=weight / weight.sum())
