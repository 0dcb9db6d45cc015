"""Interventions that put something else in a thought's place, whatever it held.

Interventions that take a thought from a named donor: the twin, an edge rewrite, another problem.

Interventions along the directions of nodes: take them out of a thought, move them, add them.

A thought as theory has it: the superposition of a set of nodes and nothing else.

A step of given length in a random direction: what any other change of that length is held against.

Vectors of one's own for every problem and thought, added to a thought or fed in its place.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from workbench.errors import WorkbenchError
from workbench.interventions.base import Bank, Context, Intervention, each_row
from workbench.interventions.nodes import members, node_values
from workbench.model.coconut import Edit


@dataclass(frozen=True)
class Noise(Intervention):
    """A random direction of the thought's own length, or the thought moved towards one."""

    kind: ClassVar[str] = "noise"
    doses: ClassVar[tuple[float, float]] = (0.0, 1.0)
    dose: float = 1.0
    """Share of noise: 1 puts noise in the thought's place, 0 changes nothing; between them the sum of thought and noise
    in these shares, brought back to the thought's length."""
    seed: int = 0
    """Of the directions, with the numbers of problem and thought."""

    def change(self, context: Context) -> Edit:
        """Draw noise for every problem and thought by their numbers, so that batches change nothing."""

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            if self.dose == 0:
                return vectors
            noise = context.random_directions(self.seed, k, vectors)
            length = vectors.norm(dim=-1, keepdim=True)
            mixed = (1 - self.dose) * vectors + self.dose * noise * length
            return normalize(mixed, dim=-1) * length  # a thought of no length stays without

        return edit


@dataclass(frozen=True)
class Remove(Intervention):
    """The thought is not fed at all: the row has one column fewer, and positions close up.

    In the loop the next thought is made of the same hidden state, so that removing any one of K thoughts is the same as
    thinking K - 1, and removing all is answering at once. Frozen, the later thoughts are fed as they were, without it.
    """

    kind: ClassVar[str] = "remove"


@dataclass(frozen=True)
class Zero(Intervention):
    """Nothing: the zero vector is fed, which still takes a column and a position."""

    kind: ClassVar[str] = "zero"
    dose: float = 1.0
    """Share of the thought taken away: 0 changes nothing, 2 turns it round."""

    def change(self, context: Context) -> Edit:
        """Scale the thought."""
        return lambda k, vectors: vectors * (1 - self.dose)


@dataclass(frozen=True)
class Mean(Intervention):
    """The mean of thought k over the whole set, which says nothing about this problem."""

    kind: ClassVar[str] = "mean"
    whole_set: ClassVar[bool] = True
    dose: float = 1.0
    """Share of the mean: 0 changes nothing."""

    def change(self, context: Context) -> Edit:
        """Take the mean of the bank.

        Raises:
            WorkbenchError: There is no bank.
        """
        mean = require_bank(context, self.kind).double().mean(0)

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            if self.dose == 0:
                return vectors
            return (1 - self.dose) * vectors + self.dose * mean[k - 1].to(vectors)

        return edit


@dataclass(frozen=True)
class Permute(Intervention):
    """Another thought of the same problem, as it was without interventions."""

    kind: ClassVar[str] = "permute"
    order: tuple[int, ...] = ()
    """Which thought is fed first, second, ...; beyond its end they stay. By default one drawn order for all problems,
    in which none keeps its place."""
    seed: int = 0
    """Of the drawn order."""

    def change(self, context: Context) -> Edit:
        """Take the thoughts in another order.

        Raises:
            WorkbenchError: The order names a thought that there is not, or there is one thought alone.
        """
        own = context.thoughts("own")
        count, order = own.shape[1], self.order
        if any(not 1 <= one <= count for one in order):
            self.refuse("order", f"there are thoughts 1 to {count}")
        if not order and count == 1:
            self.refuse("order", "one thought has no other order")
        if not order and count:
            order = tuple(int(one) + 1 for one in exchanged(count, self.seed))

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            return own[:, order[k - 1] - 1].to(vectors) if k <= len(order) else vectors

        return edit


@dataclass(frozen=True)
class Shuffle(Intervention):
    """The same thought of another problem of the set; nobody keeps its own."""

    kind: ClassVar[str] = "shuffle"
    whole_set: ClassVar[bool] = True
    seed: int = 0
    """Of who gets whose thoughts."""

    def change(self, context: Context) -> Edit:
        """Take thought k of every problem's donor from the bank.

        Raises:
            WorkbenchError: There is no bank, or it holds a single problem.
        """
        bank = require_bank(context, self.kind)
        given = bank[exchanged(len(bank), self.seed)[list(context.rows)]]
        return lambda k, vectors: given[:, k - 1].to(vectors)


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
    donors = np.empty(count, dtype=np.int64)
    donors[order] = np.roll(order, 1)
    return donors


def require_bank(context: Context, kind: str) -> Bank:
    """Return the bank of a context, checked to have a row for each of its problems.

    Raises:
        WorkbenchError: There is none, or it is too short.
    """
    if context.bank is None or max(context.rows) >= len(context.bank):
        raise WorkbenchError(
            f'The intervention "{kind}" has no thoughts to take donors from.',
            "No bank was given." if context.bank is None else f"The bank holds {len(context.bank)} problems.",
            "Run the problems without it first, and give their thoughts as the bank.",
        )
    return context.bank


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

    def change(self, context: Context) -> Edit:
        """Take the donor's thoughts.

        Raises:
            WorkbenchError: There is no such donor, or it has no such thought.
        """
        given = context.thoughts(self.donor)
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

    def change(self, context: Context) -> Edit:
        """Mix the thought with the donor's.

        Raises:
            WorkbenchError: There is no such donor.
        """
        given = context.thoughts(self.donor)

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

    def change(self, context: Context) -> Edit:
        """Take out the part of each row's thought that lies in the span.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def without(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                nodes = members(context, row, k, self.nodes)
                if not len(nodes):
                    return None
                units = normalize(context.directions(row, nodes, self.space).to(vector).double(), dim=-1)
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

    def change(self, context: Context) -> Edit:
        """Move the components in each row's thought.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def moved(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                giving, getting = members(context, row, k, self.nodes), members(context, row, k, self.to)
                if not len(giving) or not len(getting):
                    return None
                old, new = (
                    normalize(context.directions(row, nodes, self.space).to(vector).double(), dim=-1)
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

    def change(self, context: Context) -> Edit:
        """Add to each row's thought.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def richer(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                nodes = members(context, row, k, self.nodes)
                if not len(nodes):
                    return None
                units = normalize(context.directions(row, nodes, self.space).to(vector), dim=-1)
                return vector + self.dose * vector.norm() * normalize(units.sum(0), dim=0)

            return vectors if self.dose == 0 else each_row(vectors, richer)

        return edit


def components(vector: Float[Tensor, " d"], units: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """Return the coefficients of the point of the span that is nearest to a vector; double precision is asked for.

    Where directions are the same or depend on each other, those of least squares and least size.
    """
    return vector @ torch.linalg.pinv(units)


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

    def change(self, context: Context) -> Edit:
        """Build the superposition of each row's nodes.

        Raises:
            WorkbenchError: There is no such node or space.
        """

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            def superposed(row: int, vector: Float[Tensor, " d"]) -> Float[Tensor, " d"] | None:
                nodes = members(context, row, k, self.nodes)
                if not len(nodes):
                    return None
                share = torch.ones(len(nodes))
                if self.weights == "value":
                    share = torch.from_numpy(node_values(context, row, k))[nodes]
                    if not share.sum() > 0:
                        return None
                    share = share / share.sum()
                old = vector
                if self.rest:
                    concepts = members(context, row, k, ("concepts",))
                    units = normalize(context.directions(row, concepts, self.space).to(vector).double(), dim=-1)
                    old = (components(vector.double(), units) @ units).to(vector)
                total = (share.to(vector)[:, None] * context.directions(row, nodes, self.space).to(vector)).sum(0)
                return vector + self.dose * (normalize(total, dim=0) * old.norm() * self.length - old)

            return vectors if self.dose == 0 else each_row(vectors, superposed)

        return edit


@dataclass(frozen=True)
class Perturb(Intervention):
    """A random direction added to the thought."""

    kind: ClassVar[str] = "perturb"
    dose: float = 1.0
    """Length of the step, in lengths of the thought: 0 changes nothing."""
    seed: int = 0

    def change(self, context: Context) -> Edit:
        """Draw a direction for every problem and thought by their numbers, so that batches change nothing."""

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            if self.dose == 0:
                return vectors
            units = context.random_directions(self.seed, k, vectors)
            return vectors + self.dose * vectors.norm(dim=-1, keepdim=True) * units

        return edit


@dataclass(frozen=True)
class Offset(Intervention):
    """The donor's vectors added to what is fed; nothing is brought to length."""

    kind: ClassVar[str] = "offset"
    donor: str = ""
    """Name of a donor that is given as vectors."""
    dose: float = 1.0
    """How many times the vector is added: 0 changes nothing."""

    def change(self, context: Context) -> Edit:
        """Add the donor's vectors.

        Raises:
            WorkbenchError: There is no such donor.
        """
        given = context.thoughts(self.donor)

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            return vectors if self.dose == 0 else vectors + self.dose * given[:, k - 1].to(vectors)

        return edit


@dataclass(frozen=True)
class Instead(Intervention):
    """The donor's vectors, brought to the length of what they take the place of; where they are nan, thoughts stay."""

    kind: ClassVar[str] = "instead"
    donor: str = ""
    """Name of a donor that is given as vectors."""

    def change(self, context: Context) -> Edit:
        """Put the donor's vectors in.

        Raises:
            WorkbenchError: There is no such donor.
        """
        given = context.thoughts(self.donor)

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            new = given[:, k - 1].to(vectors)
            length = vectors.norm(dim=-1, keepdim=True)
            return torch.where(new.isnan(), vectors, torch.nn.functional.normalize(new, dim=-1) * length)

        return edit
