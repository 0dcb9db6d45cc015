"""The cone of a surgery: which thoughts, and what is said after how many of them, can differ at all.

A pass sees only what stands before it. So all that comes before the first thought operated on keeps its last bit, and
what can differ is known from the surgery alone, before anything is run.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from workbench.interventions.layers import LayerIntervention
from workbench.interventions.replacing import Remove
from workbench.interventions.surgery import Surgery


@dataclass(frozen=True)
class Cone:
    """What can differ from the run without the surgery, for thoughts 1..K and after 0..K of them."""

    operated: Bool[np.ndarray, " K"]
    """Whether an intervention acts at thought k."""
    thoughts: Bool[np.ndarray, " K"]
    """Whether thought k, as a trace holds it, can differ."""
    said: Bool[np.ndarray, " depths"]
    """Whether what is said after k thoughts can differ, the prompt's reading aside, which never does."""


def cone(surgery: Surgery, count: int, pause: bool = False) -> Cone:
    """Return the cone of a surgery.

    Args:
        surgery: What is done.
        count: Number of thoughts, K.
        pause: Whether the model feeds a pause token in place of thoughts. A trace then holds the hidden states that
            would have been fed, which follow all that stands before them even where what is fed is frozen.
    """
    fed, column = np.zeros(count, bool), np.zeros(count, bool)
    spoken = False
    for one in surgery.interventions:
        inside = isinstance(one, LayerIntervention)
        if inside and one.where == "answer":
            spoken = True
            continue
        spoken |= inside and one.where == "both"
        acts = np.array([one.acts_on(k) for k in range(1, count + 1)], bool)
        column |= acts
        # What is removed, or operated on inside the layers, is fed or would have been fed as it was.
        if not inside and not isinstance(one, Remove):
            fed |= acts
    after = np.concatenate([[False], np.logical_or.accumulate(column)])
    follows = after[:-1] & (pause or not surgery.frozen)
    own = np.zeros(count, bool) if pause else fed
    return Cone(column, own | follows, after | spoken)
