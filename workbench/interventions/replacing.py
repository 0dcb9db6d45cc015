"""Interventions that put something else in a thought's place, whatever it held."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from workbench.coconut import Edit
from workbench.errors import WorkbenchError
from workbench.interventions.scene import Bank, Intervention, Scene


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

    def change(self, scene: Scene) -> Edit:
        """Draw noise for every problem and thought by their numbers, so that batches change nothing."""

        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            if self.dose == 0:
                return vectors
            noise = scene.random_directions(self.seed, k, vectors)
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

    def change(self, scene: Scene) -> Edit:
        """Scale the thought."""
        return lambda k, vectors: vectors * (1 - self.dose)


@dataclass(frozen=True)
class Mean(Intervention):
    """The mean of thought k over the whole set, which says nothing about this problem."""

    kind: ClassVar[str] = "mean"
    whole_set: ClassVar[bool] = True
    dose: float = 1.0
    """Share of the mean: 0 changes nothing."""

    def change(self, scene: Scene) -> Edit:
        """Take the mean of the bank.

        Raises:
            WorkbenchError: There is no bank.
        """
        mean = require_bank(scene, self.kind).double().mean(0)

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

    def change(self, scene: Scene) -> Edit:
        """Take the thoughts in another order.

        Raises:
            WorkbenchError: The order names a thought that there is not, or there is one thought alone.
        """
        own = scene.thoughts("own")
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

    def change(self, scene: Scene) -> Edit:
        """Take thought k of every problem's donor from the bank.

        Raises:
            WorkbenchError: There is no bank, or it holds a single problem.
        """
        bank = require_bank(scene, self.kind)
        given = bank[exchanged(len(bank), self.seed)[list(scene.rows)]]
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


def require_bank(scene: Scene, kind: str) -> Bank:
    """Return the bank of a scene, checked to have a row for each of its problems.

    Raises:
        WorkbenchError: There is none, or it is too short.
    """
    if scene.bank is None or max(scene.rows) >= len(scene.bank):
        raise WorkbenchError(
            f'The intervention "{kind}" has no thoughts to take donors from.',
            "No bank was given." if scene.bank is None else f"The bank holds {len(scene.bank)} problems.",
            "Run the problems without it first, and give their thoughts as the bank.",
        )
    return scene.bank
