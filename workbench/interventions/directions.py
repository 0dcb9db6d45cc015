"""Interventions along the directions of nodes: take them out of a thought, move them, add them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from workbench.coconut import Edit
from workbench.interventions.node_sets import members
from workbench.interventions.scene import Intervention, Scene, each_row


@dataclass(frozen=True)
class Project(Intervention):
    """The directions of nodes taken out of the thought: what is left is orthogonal to all of them."""

    kind: ClassVar[str] = "project"
    nodes: tuple[str, ...] = ("on_path",)
    """Names of `node_sets.SETS`, of nodes, or numbers of nodes. Of several their span is taken out."""
    space: str = "embedding"
    """Where the directions are read: "embedding", "unembedding", or the name of given ones."""
    dose: float = 1.0
    """Share taken out: 0 changes nothing, 2 turns the part within the span round."""

    def change(self, scene: Scene) -> Edit:
        """Take out the part of each row's thought that lies in the span.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def without(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                nodes = members(scene, row, k, self.nodes)
                if not len(nodes):
                    return None
                units = normalize(scene.directions(row, nodes, self.space).to(vector).double(), dim=-1)
                inside = components(vector.double(), units) @ units
                return (vector.double() - self.dose * inside).to(vector)

            return vectors if self.dose == 0 else each_row(vectors, without)

        return edit


@dataclass(frozen=True)
class Move(Intervention):
    """The component along some nodes replaced by as large a one along others.

    Several nodes give what they have together, and several others get it in even parts. Where either set is empty the
    thought stays.
    """

    kind: ClassVar[str] = "move"
    nodes: tuple[str, ...] = ("on_path",)
    """Who gives: names of `node_sets.SETS`, of nodes, or numbers of nodes."""
    to: tuple[str, ...] = ("other_side",)
    """Who gets."""
    space: str = "embedding"
    dose: float = 1.0
    """Share moved: 0 changes nothing."""

    def change(self, scene: Scene) -> Edit:
        """Move the components in each row's thought.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def moved(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                giving, getting = members(scene, row, k, self.nodes), members(scene, row, k, self.to)
                if not len(giving) or not len(getting):
                    return None
                old, new = (
                    normalize(scene.directions(row, nodes, self.space).to(vector).double(), dim=-1)
                    for nodes in (giving, getting)
                )
                has = components(vector.double(), old)
                return (vector.double() + self.dose * (has.sum() * new.mean(0) - has @ old)).to(vector)

            return vectors if self.dose == 0 else each_row(vectors, moved)

        return edit


@dataclass(frozen=True)
class Add(Intervention):
    """The direction of a node, or the common one of several, added to the thought."""

    kind: ClassVar[str] = "add"
    nodes: tuple[str, ...] = ("other_side",)
    """Names of `node_sets.SETS`, of nodes, or numbers of nodes."""
    space: str = "embedding"
    dose: float = 1.0
    """How much, in lengths of the thought; negative takes away, 0 changes nothing."""

    def change(self, scene: Scene) -> Edit:
        """Add to each row's thought.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def richer(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                nodes = members(scene, row, k, self.nodes)
                if not len(nodes):
                    return None
                units = normalize(scene.directions(row, nodes, self.space).to(vector), dim=-1)
                return vector + self.dose * vector.norm() * normalize(units.sum(0), dim=0)

            return vectors if self.dose == 0 else each_row(vectors, richer)

        return edit


def components(vector: Float[Tensor, " d"], units: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """Return the coefficients of the point of the span that is nearest to a vector; double precision is asked for.

    Where directions are the same or depend on each other, those of least squares and least size.
    """
    return vector @ torch.linalg.pinv(units)
