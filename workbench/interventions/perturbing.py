"""A step of given length in a random direction: what any other change of that length is held against."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from workbench.coconut import Edit
from workbench.interventions.scene import Intervention, Scene


@dataclass(frozen=True)
class Perturb(Intervention):
    """A random direction added to the thought."""

    kind: ClassVar[str] = "perturb"
    dose: float = 1.0
    """Length of the step, in lengths of the thought: 0 changes nothing."""
    seed: int = 0

    def change(self, scene: Scene) -> Edit:
        """Draw a direction for every problem and thought by their numbers, so that batches change nothing."""

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            if self.dose == 0:
                return vectors
            units = scene.random_directions(self.seed, k, vectors)
            return vectors + self.dose * vectors.norm(dim=-1, keepdim=True) * units

        return edit
