"""A thought as theory has it: the superposition of a set of nodes and nothing else."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from workbench.coconut import Edit
from workbench.interventions.directions import components
from workbench.interventions.node_sets import members, node_values
from workbench.interventions.scene import Intervention, Scene, each_row


@dataclass(frozen=True)
class Superpose(Intervention):
    """The sum of the directions of a set V of nodes, (1/√|V|) Σ u_v, brought to the thought's own length.

    The construction of Reasoning by Superposition (arXiv 2505.12514, section 4) for thought k is the set "reachable"
    within k steps; what trained models show is "frontier". Where the set is empty the thought stays.
    """

    kind: ClassVar[str] = "superpose"
    nodes: tuple[str, ...] = ("frontier",)
    """Names of `node_sets.SETS`, of nodes, or numbers of nodes."""
    weights: Literal["even", "value"] = "even"
    """All nodes alike, or each by its LM-head value in the thought as it was without interventions."""
    space: str = "embedding"
    length: float = 1.0
    """Length of the superposition, in lengths of what it takes the place of."""
    rest: bool = False
    """Whether only the part of the thought within the span of the problem's concepts gives way, and all else that it
    carries stays."""
    dose: float = 1.0
    """Share of the superposition: 0 changes nothing; between, the sum of old and new in these shares."""

    def __post_init__(self) -> None:
        """Refuse a length below none."""
        super().__post_init__()
        if self.length < 0:
            self.refuse("length", "it must be 0 or more")

    def change(self, scene: Scene) -> Edit:
        """Build the superposition of each row's nodes.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def superposed(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                nodes = members(scene, row, k, self.nodes)
                if not len(nodes):
                    return None
                share = torch.ones(len(nodes))
                if self.weights == "value":
                    share = torch.from_numpy(node_values(scene, row, k))[nodes]
                    if not share.sum() > 0:
                        return None
                    share = share / share.sum()
                old = vector
                if self.rest:
                    concepts = members(scene, row, k, ("concepts",))
                    units = normalize(scene.directions(row, concepts, self.space).to(vector).double(), dim=-1)
                    old = (components(vector.double(), units) @ units).to(vector)
                total = (share.to(vector)[:, None] * scene.directions(row, nodes, self.space).to(vector)).sum(0)
                return vector + self.dose * (normalize(total, dim=0) * old.norm() * self.length - old)

            return vectors if self.dose == 0 else each_row(vectors, superposed)

        return edit
