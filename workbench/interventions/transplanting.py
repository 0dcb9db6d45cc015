"""Interventions that take a thought from a named donor: the twin, an edge rewrite, another problem."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from workbench.coconut import Edit
from workbench.interventions.scene import Intervention, Scene


@dataclass(frozen=True)
class Transplant(Intervention):
    """The donor's thought in place of the model's own.

    An edit made only in the thoughts is this on the original problem with the rewrite as the donor; an edit made only
    in the prompt is the rewrite with the original as the donor. The prompt stays visible to the answer in both.
    """

    kind: ClassVar[str] = "transplant"
    donor: str = "twin"
    """Name of the donor; "own" is what the model thinks itself without interventions."""
    thought: int = 0
    """Number of the donor's thought; 0 means that of the place it is put in."""

    def change(self, scene: Scene) -> Edit:
        """Take the donor's thoughts.

        Raises:
            WorkbenchError: There is no such donor, or it has no such thought.
        """
        given = scene.thoughts(self.donor)
        if not 0 <= self.thought <= given.shape[1]:
            self.refuse("thought", f"the donor has thoughts 1 to {given.shape[1]}")
        return lambda k, vectors: given[:, (self.thought or k) - 1].to(vectors)


@dataclass(frozen=True)
class Interpolate(Intervention):
    """The thought moved towards the donor's."""

    kind: ClassVar[str] = "interpolate"
    donor: str = "twin"
    """Name of the donor."""
    dose: float = 0.5
    """How far: 0 changes nothing, 1 is the donor's thought."""
    path: Literal["sphere", "line"] = "sphere"
    """Along the great circle, the length going evenly from one to the other; or along the straight line, on which
    vectors are shorter half way."""

    def change(self, scene: Scene) -> Edit:
        """Mix the thought with the donor's.

        Raises:
            WorkbenchError: There is no such donor.
        """
        given = scene.thoughts(self.donor)

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            end = given[:, k - 1].to(vectors)
            if self.dose in (0, 1):
                return end if self.dose else vectors
            return between(vectors, end, self.dose) if self.path == "sphere" else vectors + self.dose * (end - vectors)

        return edit


def between(start: Float[Tensor, "batch d"], end: Float[Tensor, "batch d"], share: float) -> Float[Tensor, "batch d"]:
    """Return the vectors that lie a share of the way from start to end along great circles.

    Lengths go evenly. Where the two point the same way or opposite ways there is no one circle, and the line is taken.
    """
    one, other = start.double(), end.double()  # fp32 hardly knows angles near none and near half a turn
    length = (1 - share) * one.norm(dim=-1, keepdim=True) + share * other.norm(dim=-1, keepdim=True)
    first, last = normalize(one, dim=-1), normalize(other, dim=-1)
    angle = (first * last).sum(-1, keepdim=True).clamp(-1, 1).acos()
    turned = normalize(((1 - share) * angle).sin() * first + (share * angle).sin() * last, dim=-1)
    return torch.where(angle.sin().abs() < 1e-4, one + share * (other - one), turned * length).to(start)
