"""What an intervention is, and what it may know of the batch it acts on."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from workbench.checkpoint import Checkpoint
from workbench.coconut import Edit
from workbench.prompts import Prompt

Bank = Float[Tensor, "problems K d"]
"""Thoughts 1..K that a model thought about every problem of a set, in the set's order; donors are taken from it."""


@dataclass(frozen=True)
class Scene:
    """A batch of prompts about to think."""

    checkpoint: Checkpoint
    """What will run."""
    prompts: tuple[Prompt, ...]
    """Of the batch's rows, in their order."""
    rows: tuple[int, ...]
    """Number of each row in the whole set: seeds and donors go by it, so that batches of another size or order change
    nothing."""
    bank: Bank | None = None
    """Where donors come from, None if the caller gave none."""


@dataclass(frozen=True)
class Intervention(ABC):
    """A change made to thoughts before they are fed; later thoughts change through the recurrence.

    Subclasses are frozen dataclasses of numbers, strings and tuples of them, so that they can be written down.
    """

    kind: ClassVar[str]
    """Name in YAML, in an address, and on the screen."""

    at: tuple[int, ...] = ()
    """Numbers of the thoughts it acts on, from 1; none means all."""

    @abstractmethod
    def change(self, scene: Scene) -> Edit:
        """Return the function that is given a thought's number and vectors [batch, d], whatever `at` says."""

    def edit(self, scene: Scene) -> Edit:
        """Return the function that acts on the thoughts of `at` and gives the others back as they are."""
        change = self.change(scene)

        def confined(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            return change(k, vectors) if not self.at or k in self.at else vectors

        return confined


def composed(interventions: Sequence[Intervention], scene: Scene) -> Edit | None:
    """Return one function that makes all changes, one after the other; None where there is nothing to change."""
    edits = [intervention.edit(scene) for intervention in interventions]
    if not edits:
        return None

    def all_of_them(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        for edit in edits:
            vectors = edit(k, vectors)
        return vectors

    return all_of_them
