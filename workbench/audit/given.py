"""Vectors of one's own for every problem and thought, added to a thought or fed in its place."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.coconut import Edit
from workbench.interventions.scene import Intervention, Scene


@dataclass(frozen=True)
class Offset(Intervention):
    """The donor's vectors added to what is fed; nothing is brought to length."""

    kind: ClassVar[str] = "offset"
    donor: str = ""
    """Name of a donor that is given as vectors."""
    dose: float = 1.0
    """How many times the vector is added: 0 changes nothing."""

    def change(self, scene: Scene) -> Edit:
        """Add the donor's vectors.

        Raises:
            WorkbenchError: There is no such donor.
        """
        given = scene.thoughts(self.donor)

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            return vectors if self.dose == 0 else vectors + self.dose * given[:, k - 1].to(vectors)

        return edit


@dataclass(frozen=True)
class Instead(Intervention):
    """The donor's vectors, brought to the length of what they take the place of; where they are nan, thoughts stay."""

    kind: ClassVar[str] = "instead"
    donor: str = ""
    """Name of a donor that is given as vectors."""

    def change(self, scene: Scene) -> Edit:
        """Put the donor's vectors in.

        Raises:
            WorkbenchError: There is no such donor.
        """
        given = scene.thoughts(self.donor)

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            new = given[:, k - 1].to(vectors)
            length = vectors.norm(dim=-1, keepdim=True)
            return torch.where(new.isnan(), vectors, torch.nn.functional.normalize(new, dim=-1) * length)

        return edit
