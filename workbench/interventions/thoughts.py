"""Interventions on what is fed as a thought: replaced, moved, mixed with another's, made of the directions of nodes.

`h` is the thought that would be fed. Thought k + 1 is made of the changed thought k unless the plan freezes it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from workbench.errors import WorkbenchError
from workbench.interventions.base import Context, Intervention
from workbench.interventions.nodes import members, node_values

Batch = Float[Tensor, "batch d"]
Vector = Float[Tensor, " d"]
Nodes = Int[Tensor, " m"]


@dataclass(frozen=True)
class Noise(
    Intervention, kind="noise", says="noise (seed {seed})", title="Noise", unit="share of noise", strengths=(0.0, 1.0)
):
    """The thought moved towards a random direction, its length kept.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Noise(at=(1,))).accuracy)
        0.600 [0.436, 0.744]
    """

    strength: float = 1.0
    """Share of noise: 1 puts noise in the thought's place, 0 changes nothing; between them the sum of thought and noise
    in these shares, brought back to the thought's length."""
    seed: int = 0
    """Same seed, same noise; drawn for each problem and thought by their numbers."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Mix thought and noise."""
        noise = context.random_directions(self.seed, k, vectors)
        length = vectors.norm(dim=-1, keepdim=True)
        mixed = (1 - self.strength) * vectors + self.strength * noise * length
        return normalize(mixed, dim=-1) * length  # a thought of no length stays without


@dataclass(frozen=True)
class Perturb(
    Intervention,
    kind="perturb",
    says="a step in a random direction (seed {seed})",
    unit="length of the step, in lengths of the thought",
    most=2.0,
):
    """A step in a random direction; the control of every other change of that length.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Perturb(strength=0.2, at=(1,))).accuracy)
        0.950 [0.717, 0.993]
    """

    strength: float = 1.0
    """Length of the step, in lengths of the thought: 0 changes nothing."""
    seed: int = 0
    """Same seed, same direction; drawn for each problem and thought by their numbers."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Take the step."""
        units = context.random_directions(self.seed, k, vectors)
        return vectors + self.strength * vectors.norm(dim=-1, keepdim=True) * units


@dataclass(frozen=True)
class Remove(Intervention, kind="remove", says="leave out", title="Leave out", changes="columns", place=""):
    """The thought is not fed at all: the row has one column fewer, and positions close up.

    Propagated, the next thought is made of the same hidden state, so that removing any one of K thoughts is the same as
    thinking K - 1, and removing all is answering at once. Frozen, the later thoughts are fed as they were, without it.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Remove(at=(6,))).accuracy)
        0.900 [0.533, 0.986]
    """


@dataclass(frozen=True)
class Zero(
    Intervention,
    kind="zero",
    says="nothing",
    title="Zero",
    place="in place of",
    unit="share of the thought taken away (2 turns it round)",
    most=2.0,
):
    """The thought scaled down: at strength 1 the zero vector is fed, which still takes a column and a position.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Zero(at=(1,))).accuracy)
        0.450 [0.326, 0.581]
    """

    strength: float = 1.0
    """Share of the thought taken away: 0 changes nothing, 2 turns it round."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Scale the thought."""
        return vectors * (1 - self.strength)


@dataclass(frozen=True)
class Mean(
    Intervention,
    kind="mean",
    says="the mean over the set",
    place="in place of",
    unit="share of the mean",
    needs_set=True,
):
    """The mean of thought k over the whole set, which says nothing about this problem.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Mean(at=(2,))).accuracy)
        0.450 [0.326, 0.581]
    """

    strength: float = 1.0
    """Share of the mean: 0 changes nothing."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Mix the thought with the mean.

        Raises:
            WorkbenchError: There are no thoughts of the whole set.
        """
        mean = context.thoughts_of_set(self.kind)[:, k - 1].double().mean(0)
        return (1 - self.strength) * vectors + self.strength * mean.to(vectors)


@dataclass(frozen=True)
class Permute(Intervention, kind="permute", says="another thought of its own", place="in place of"):
    """Another thought of the same problem, as it was without interventions.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Permute()).accuracy)  # the same thoughts in another order
        0.900 [0.533, 0.986]
    """

    order: tuple[int, ...] = ()
    """Which thought is fed first, second, ...; beyond its end they stay. By default one drawn order for all problems,
    in which none keeps its place."""
    seed: int = 0
    """Of the drawn order."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Take the thought whose turn it is.

        Raises:
            WorkbenchError: The order names a thought that there is not, or there is one thought alone.
        """
        own = context.thoughts("own")
        count, order = own.shape[1], self.order
        if any(not 1 <= one <= count for one in order):
            self.refuse("order", f"there are thoughts 1 to {count}")
        if not order and count == 1:
            self.refuse("order", "one thought has no other order")
        order = order or tuple(int(one) + 1 for one in exchanged(count, self.seed))
        return own[:, order[k - 1] - 1].to(vectors) if k <= len(order) else vectors


@dataclass(frozen=True)
class Shuffle(Intervention, kind="shuffle", says="the thought of another problem", place="in place of", needs_set=True):
    """The same thought of another problem of the set; none keeps its own.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Shuffle()).accuracy)  # the thoughts of another problem
        0.350 [0.199, 0.538]
    """

    seed: int = 0
    """Of which problem gets whose thoughts."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Take thought k of the other problem.

        Raises:
            WorkbenchError: There are no thoughts of the whole set, or of a single problem.
        """
        thoughts = context.thoughts_of_set(self.kind)
        return thoughts[exchanged(len(thoughts), self.seed)[list(context.rows)], k - 1].to(vectors)


def exchanged(count: int, seed: int) -> np.ndarray:
    """Return for each of so many problems the number of another one: one random cycle through all of them.

    Raises:
        WorkbenchError: There is only one.
    """
    if count < 2:
        raise WorkbenchError(
            "Thoughts cannot be exchanged between problems.", "There is only one problem.", "Give two or more."
        )
    order = np.random.default_rng(seed).permutation(count)
    others = np.empty(count, dtype=np.int64)
    others[order] = np.roll(order, 1)
    return others


@dataclass(frozen=True)
class Patch(
    Intervention,
    kind="patch_thought",
    says="{thought} of {source}",
    former=("transplant",),
    title="Patch",
    place="in place of",
    unit="share of the source's thought",
):
    """The thought of another run put in (interchange intervention, activation patching).

    The source is the entity-swapped twin, whose right answer is the other option; another problem of the set; or
    another thought of this one.

    An edit made only in the thoughts is this on the original problem with the rewrite as the source; an edit made only
    in the prompt is the rewrite with the original as the source. The prompt stays visible to the answer in both. Where
    the source is given as vectors and one is nan, the thought stays.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Patch("twin")).accuracy)  # every thought is that of the entity-swapped twin
        0.050 [0.007, 0.283]
    """

    source: str = "twin"
    """Name of the source; "own" is what the model thinks itself without interventions."""
    thought: int = 0
    """Number of the source's thought; 0 means that of the place it is put in."""
    strength: float = 1.0
    """Share of the way to the source's thought, along the line: 0 changes nothing."""
    rescale: bool = False
    """Whether what is put in is brought to the length of what it takes the place of."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Put the source's thought in.

        Raises:
            WorkbenchError: There is no such source, or it has no such thought.
        """
        given = context.thoughts(self.source)
        if not 0 <= self.thought <= given.shape[1]:
            self.refuse("thought", f"the source has thoughts 1 to {given.shape[1]}")
        new = given[:, (self.thought or k) - 1].to(vectors)
        stays = new.isnan()
        if self.rescale:
            new = normalize(new, dim=-1) * vectors.norm(dim=-1, keepdim=True)
        mixed = new if self.strength == 1 else vectors + self.strength * (new - vectors)
        return torch.where(stays, vectors, mixed)


@dataclass(frozen=True)
class Interpolate(
    Intervention,
    kind="interpolate",
    says="a step towards the thought of {source}",
    unit="share of the source's thought",
):
    """The thought moved towards the source's, along the great circle or the straight line.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Interpolate("twin", at=(1,), strength=0.5)).accuracy)
        0.450 [0.326, 0.581]
    """

    source: str = "twin"
    """Name of the source."""
    strength: float = 0.5
    """How far: 0 changes nothing, 1 is the source's thought."""
    path: Literal["sphere", "line"] = "sphere"
    """Along the great circle, the length going evenly from one to the other; or along the straight line, on which
    vectors are shorter half way."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Mix the thought with the source's.

        Raises:
            WorkbenchError: There is no such source.
        """
        end = context.thoughts(self.source)[:, k - 1].to(vectors)
        if self.strength == 1:
            return end
        if self.path == "sphere":
            return between(vectors, end, self.strength)
        return vectors + self.strength * (end - vectors)


def between(start: Batch, end: Batch, share: float) -> Batch:
    """Return the vectors that lie a share of the way from start to end along great circles.

    Lengths go evenly. Where the two point the same way or opposite ways there is no one circle, and the line is taken.
    """
    one, other = start.double(), end.double()  # fp32 hardly knows angles near none and near half a turn
    length = (1 - share) * one.norm(dim=-1, keepdim=True) + share * other.norm(dim=-1, keepdim=True)
    first, last = normalize(one, dim=-1), normalize(other, dim=-1)
    angle = (first * last).sum(-1, keepdim=True).clamp(-1, 1).acos()
    turned = normalize(((1 - share) * angle).sin() * first + (share * angle).sin() * last, dim=-1)
    return torch.where(angle.sin().abs() < 1e-4, one + share * (other - one), turned * length).to(start)


@dataclass(frozen=True)
class Offset(Intervention, kind="offset", says="add the vector {source}", unit="times the vector is added"):
    """The source's vectors added to the thought; nothing is brought to length."""

    source: str = ""
    """Name of a source that is given as vectors."""
    strength: float = 1.0
    """How many times the vector is added: 0 changes nothing."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Add the source's vectors.

        Raises:
            WorkbenchError: There is no such source.
        """
        return vectors + self.strength * context.thoughts(self.source)[:, k - 1].to(vectors)


@dataclass(frozen=True)
class _OnNodes(ABC, Intervention, node_fields=("nodes",)):
    """A change along the directions of nodes, problem by problem."""

    nodes: tuple[str, ...] = ()
    """Names of node sets, of nodes, or numbers of nodes."""
    space: str = field(default="embedding", kw_only=True)
    """Where the directions are read: "embedding", "unembedding", or the name of given ones. "codes" are the linear node
    dictionary of the model, which the explorer and `workbench.api` learn where it is named."""
    strength: float = field(default=1.0, kw_only=True)
    """Share: 0 changes nothing."""

    def change(self, context: Context, k: int, vectors: Batch) -> Batch:
        """Change each row; those that have nothing to do keep their bits.

        Raises:
            WorkbenchError: There is no such node or space.
        """
        changed = vectors.clone()
        for row, vector in enumerate(vectors):
            nodes = members(context, row, k, self.nodes)
            if len(nodes) and (found := self.change_row(context, row, k, vector, nodes)) is not None:
                changed[row] = found
        return changed

    @abstractmethod
    def change_row(self, context: Context, row: int, k: int, vector: Vector, nodes: Nodes) -> Vector | None:
        """Return what becomes of one row's vector, given the nodes named, one at least; None where it stays."""

    def units(self, context: Context, row: int, k: int, nodes: Nodes, like: Vector) -> Float[Tensor, "m d"]:
        """Return the directions of nodes, at length 1 and in double precision."""
        return normalize(context.directions(row, k, nodes, self.space).to(like).double(), dim=-1)


@dataclass(frozen=True)
class Project(
    _OnNodes,
    kind="project",
    says="remove {nodes}{space}",
    title="Remove node",
    place="out of",
    unit="share of the component taken out (2 turns it round)",
    most=2.0,
):
    """The directions of nodes projected out of the thought: what is left is orthogonal to all of them.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Project(nodes=("on_path",))).accuracy)  # the nodes of the path taken out
        0.800 [0.492, 0.943]
    """

    nodes: tuple[str, ...] = ("on_path",)
    """Names of node sets, of nodes, or numbers of nodes. Of several their span is taken out."""
    strength: float = field(default=1.0, kw_only=True)
    """Share taken out: 0 changes nothing, 2 turns the part within the span round."""

    def change_row(self, context: Context, row: int, k: int, vector: Vector, nodes: Nodes) -> Vector | None:
        """Take out the part that lies in the span."""
        units = self.units(context, row, k, nodes, vector)
        inside = components(vector.double(), units) @ units
        return (vector.double() - self.strength * inside).to(vector)


@dataclass(frozen=True)
class Move(
    _OnNodes,
    kind="move",
    says="move {nodes} to {to}{space}",
    title="Move value",
    unit="share of the component moved",
    most=2.0,
    node_fields=("nodes", "to"),
):
    """The component along some nodes taken out and put along others.

    Several nodes give what they have together, and several others get it in even parts. Where either set is empty the
    thought stays.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Move(at=(1,))).accuracy)
        0.850 [0.613, 0.953]
    """

    nodes: tuple[str, ...] = ("on_path",)
    """Which give: names of node sets, of nodes, or numbers of nodes."""
    to: tuple[str, ...] = ("other_side",)
    """Which get."""

    def change_row(self, context: Context, row: int, k: int, vector: Vector, nodes: Nodes) -> Vector | None:
        """Move the components."""
        getting = members(context, row, k, self.to)
        if not len(getting):
            return None
        old, new = (self.units(context, row, k, some, vector) for some in (nodes, getting))
        has = components(vector.double(), old)
        return (vector.double() + self.strength * (has.sum() * new.mean(0) - has @ old)).to(vector)


@dataclass(frozen=True)
class Swap(
    _OnNodes,
    kind="swap",
    says="swap {nodes} and {to}{space}",
    title="Swap nodes",
    unit="share of the components exchanged",
    most=2.0,
    node_fields=("nodes", "to"),
):
    """The components along two nodes, or two sets of nodes, exchanged.

    Both are read together, by least squares. Of several nodes each side gives what it has together, and gets the
    other's in even parts. Where either set is empty the thought stays.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Swap(at=(1,))).accuracy)
        0.800 [0.569, 0.924]
    """

    nodes: tuple[str, ...] = ("on_path",)
    """On the one side: names of node sets, of nodes, or numbers of nodes."""
    to: tuple[str, ...] = ("other_side",)
    """On the other."""

    def change_row(self, context: Context, row: int, k: int, vector: Vector, nodes: Nodes) -> Vector | None:
        """Exchange the components."""
        others = members(context, row, k, self.to)
        if not len(others):
            return None
        units = self.units(context, row, k, torch.cat([nodes, others]), vector)
        has, size = components(vector.double(), units), len(nodes)
        gets = torch.cat([has[size:].sum().expand(size) / size, has[:size].sum().expand(len(others)) / len(others)])
        return (vector.double() + self.strength * (gets - has) @ units).to(vector)


@dataclass(frozen=True)
class Add(
    _OnNodes,
    kind="add",
    says="add {nodes}{space}",
    title="Add node",
    unit="length added, in lengths of the thought",
    most=2.0,
):
    """The direction of a node, or the common one of several, added to the thought (steering).

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Add(nodes=("negative",), at=(1,))).accuracy)
        0.300 [0.122, 0.569]
    """

    nodes: tuple[str, ...] = ("other_side",)
    strength: float = field(default=1.0, kw_only=True)
    """How much, in lengths of the thought; negative takes away, 0 changes nothing."""

    def change_row(self, context: Context, row: int, k: int, vector: Vector, nodes: Nodes) -> Vector | None:
        """Add the direction."""
        units = normalize(context.directions(row, k, nodes, self.space).to(vector), dim=-1)
        return vector + self.strength * vector.norm() * normalize(units.sum(0), dim=0)


@dataclass(frozen=True)
class Superpose(
    _OnNodes,
    kind="superpose",
    says="superposition of {nodes}{space} ({weights}{rest})",
    title="Superpose",
    place="in place of",
    unit="share of the superposition",
):
    """The sum of the directions of a set V of nodes, (1/√|V|) Σ u_v, brought to the thought's own length.

    The construction of Reasoning by Superposition (arXiv 2505.12514, section 4) for thought k is the set "reachable"
    within k steps; what trained models show is "frontier". Where the set is empty the thought stays.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 20)
        >>> print(model.answer(problems, wb.Superpose(nodes=("frontier",), at=(1,))).accuracy)
        0.700 [0.431, 0.878]
    """

    nodes: tuple[str, ...] = ("frontier",)
    weights: Literal["even", "value"] = "even"
    """All nodes alike, or each by its LM-head value in the thought as it was without interventions."""
    length: float = 1.0
    """Length of the superposition, in lengths of what it takes the place of."""
    rest: bool = False
    """Whether only the part of the thought along the problem's concepts gives way, and all else that it carries
    stays."""
    strength: float = field(default=1.0, kw_only=True)
    """Share of the superposition: 0 changes nothing; between, the sum of old and new in these shares."""

    def __post_init__(self) -> None:
        """Refuse a length below none."""
        super().__post_init__()
        if self.length < 0:
            self.refuse("length", "it must be 0 or more")

    def change_row(self, context: Context, row: int, k: int, vector: Vector, nodes: Nodes) -> Vector | None:
        """Build the superposition."""
        share = torch.ones(len(nodes))
        if self.weights == "value":
            share = torch.from_numpy(node_values(context, row, k))[nodes]
            if not share.sum() > 0:
                return None
            share = share / share.sum()
        old = vector
        if self.rest:
            units = self.units(context, row, k, members(context, row, k, ("concepts",)), vector)
            old = (components(vector.double(), units) @ units).to(vector)
        total = (share.to(vector)[:, None] * context.directions(row, k, nodes, self.space).to(vector)).sum(0)
        return vector + self.strength * (normalize(total, dim=0) * old.norm() * self.length - old)


def components(vector: Vector, units: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """Return the coefficients of the point of the span that is nearest to a vector; double precision is asked for.

    Where directions are the same or depend on each other, those of least squares and least size.
    """
    return vector @ torch.linalg.pinv(units)
