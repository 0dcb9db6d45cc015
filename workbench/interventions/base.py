"""What an intervention is, and what it may know of the batch it acts on."""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from workbench.errors import WorkbenchError
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import Edit, lm_head
from workbench.model.prompts import Prompt
from workbench.problems.graph import hop_read
from workbench.settings import convert

Bank = Float[Tensor, "problems K d"]
"""Thoughts 1..K that a model thought about every problem of a set, in the set's order; donors are taken from it."""

MOST = 1000
"""No number in an intervention is larger, and no list in it is longer."""

MOST_CHARACTERS = 128
"""No text in one is longer."""

SPACES = ("embedding", "unembedding")
"""Where a node has a direction in every model: its row of the input embedding, and of the LM head."""


@dataclass(frozen=True)
class Context:
    """A batch of prompts about to think."""

    checkpoint: Checkpoint
    """What will run."""
    prompts: tuple[Prompt, ...]
    """Of the batch's rows, in their order."""
    rows: tuple[int, ...]
    """Number of each row in the whole set: seeds and donors go by it, so that batches of another size or order change
    nothing."""
    bank: Bank | None = None
    """What the model thought about the whole set without interventions, None if the caller gave none."""
    own: Float[Tensor, "batch K d"] | None = None
    """What was fed to this batch without interventions; by default its rows of the bank."""
    read: Float[Tensor, "batch K d"] | None = None
    """What values are read of: where pauses are fed, the hidden states that Coconut would have fed; by default the same
    as `own`."""
    donors: Mapping[str, Bank] = field(default_factory=dict)
    """Thoughts about other sets, by name; row i belongs to problem i of this one."""
    spaces: Mapping[str, Float[Tensor, "vocab d"]] = field(default_factory=dict)
    """Learned directions of every token, by name: those of a probe, a lens."""

    def thoughts(self, who: str) -> Float[Tensor, "batch K d"]:
        """Return the thoughts of a donor about this batch's problems.

        Args:
            who: Name of a donor; "own" for what the model thinks itself.

        Raises:
            WorkbenchError: There is no such donor, or it has fewer problems.
        """
        if who == "own" and self.own is not None:
            return self.own
        bank = self.bank if who == "own" else self.donors.get(who)
        if bank is None or max(self.rows) >= len(bank):
            known = ", ".join(sorted(self.donors)) or "none"
            raise WorkbenchError(
                f'The donor "{who}" has no thoughts about these problems.',
                f"The donors given are: {known}." if bank is None else f"It thought about {len(bank)} problems.",
                "Give donors={name: problems}, one problem for each of those that are run.",
            )
        return bank[list(self.rows)]

    @cached_property
    @torch.no_grad()
    def values(self) -> Float[Tensor, "batch K vocab"]:
        """Probability of each token under the LM head of the thoughts that the model thinks without interventions."""
        read = self.thoughts("own") if self.read is None else self.read
        return lm_head(self.checkpoint.model, read.to(self.checkpoint.model.device)).softmax(-1)

    def hop(self, k: int) -> int:
        """Return the hop that thought k stands for."""
        return hop_read(k, self.checkpoint.thoughts_per_step)

    def space(self, name: str) -> Float[Tensor, "vocab d"]:
        """Return the directions of all tokens in a space.

        Raises:
            WorkbenchError: There is no such space.
        """
        model = self.checkpoint.model
        if name == "embedding":
            return model.get_input_embeddings().weight.detach()  # type: ignore[union-attr, return-value]
        if name == "unembedding":
            return model.get_output_embeddings().weight.detach()  # type: ignore[union-attr, return-value]
        if name not in self.spaces:
            raise WorkbenchError(
                f'There is no space "{name}".',
                f"Directions are known in: {', '.join([*SPACES, *sorted(self.spaces)])}.",
                "Choose one of them, or give spaces={name: a direction for each token}.",
            )
        return self.spaces[name].to(model.device)

    def random_directions(self, seed: int, k: int, like: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        """Draw a unit vector for each problem by its number and that of the thought, so that batches change nothing."""
        drawn = [np.random.default_rng([seed, row, k]).standard_normal(like.shape[1]) for row in self.rows]
        return normalize(torch.from_numpy(np.stack(drawn)).to(like), dim=-1)

    def directions(self, row: int, nodes: Int[Tensor, " m"], space: str) -> Float[Tensor, "m d"]:
        """Return the directions of nodes of one row: those of the tokens that their names begin with."""
        first = torch.tensor([word[0] for word in self.prompts[row].nodes])
        return self.space(space)[first[nodes]]


@dataclass(frozen=True)
class Intervention(ABC):
    """A change made to thoughts before they are fed; later thoughts change through the recurrence.

    Subclasses are frozen dataclasses of numbers, strings and tuples of them, so that they can be written down.

    Raises:
        WorkbenchError: A value is of the wrong type, a number too large, or a list too long.
    """

    kind: ClassVar[str]
    """Name in YAML, in an address, and on the screen."""
    whole_set: ClassVar[bool] = False
    """Whether it needs what was thought about the whole set (`Scene.bank`)."""
    doses: ClassVar[tuple[float, float]] = (-MOST, MOST)
    """Smallest and largest dose that mean something, for one that has a dose."""

    at: tuple[int, ...] = field(default=(), kw_only=True)
    """Numbers of the thoughts it acts on, from 1; none means all."""

    def __post_init__(self) -> None:
        """Refuse what no run could mean; lists become tuples, and whole numbers what the field asks for."""
        for one in fields(self):
            given = getattr(self, one.name)
            given = list(given) if isinstance(given, tuple) else given
            value = convert(one.type, given, f'intervention "{self.kind}"', one.name)
            object.__setattr__(self, one.name, value)
            inside = value if isinstance(value, tuple) else (value,)
            for item in inside:
                size = len(item) if isinstance(item, str) else abs(item)
                if not size <= (MOST_CHARACTERS if isinstance(item, str) else MOST) or len(inside) > MOST:
                    self.refuse(one.name, f"{item!r:.80} is too large")
        if getattr(self, "seed", 0) < 0:
            self.refuse("seed", "it must be 0 or more")
        least, most = self.doses
        if not least <= getattr(self, "dose", most) <= most:
            self.refuse("dose", f"it lies between {least:g} and {most:g}")
        if any(k < 1 for k in self.at):
            self.refuse("at", "thoughts are counted from 1")

    def refuse(self, field: str, why: str) -> None:
        """Raise the error about a field that cannot have its value."""
        raise WorkbenchError(f'The intervention "{self.kind}" cannot be made.', f"{field}: {why}.", "Change the value.")

    def change(self, context: Context) -> Edit:
        """Return the function that is given a thought's number and vectors [batch, d], whatever `at` says.

        Raises:
            WorkbenchError: It does not act by changing what is fed.
        """
        raise WorkbenchError(
            f'The intervention "{self.kind}" does not change what is fed.',
            "It takes columns away, or acts inside the layers.",
            "Run it with workbench.trace.run or run_intervened.",
        )

    def acts_on(self, k: int) -> bool:
        """Say whether it acts on thought k."""
        return not self.at or k in self.at

    def edit(self, context: Context) -> Edit:
        """Return the function that acts on the thoughts of `at` and gives the others back as they are."""
        change = self.change(context)

        def confined(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            return change(k, vectors) if self.acts_on(k) else vectors

        return confined


def composed(interventions: Sequence[Intervention], context: Context) -> Edit | None:
    """Return one function that makes all changes, one after the other; None where there is nothing to change."""
    edits = [intervention.edit(context) for intervention in interventions]
    if not edits:
        return None

    def all_of_them(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        for edit in edits:
            vectors = edit(k, vectors)
        return vectors

    return all_of_them


def require_thoughts(interventions: Sequence[Intervention], count: int) -> None:
    """Check that there are the thoughts that interventions act on.

    Raises:
        WorkbenchError: One acts on a thought that is not thought.
    """
    for one in interventions:
        if beyond := [k for k in one.at if k > count]:
            one.refuse("at", f"there is no thought {beyond[0]}, only thoughts 1 to {count}")


def require_shape(what: str, given: Tensor, *shape: int | str) -> None:
    """Check that arrays given to a run are as large as it is.

    Args:
        what: What they are, for the message.
        given: The array.
        shape: The size of each axis, or the name of one that may have any.

    Raises:
        WorkbenchError: They are not.
    """
    fits = [isinstance(size, str) or size == found for size, found in zip(shape, given.shape, strict=False)]
    if given.dim() != len(shape) or not all(fits):
        raise WorkbenchError(
            f"The {what} does not fit this run.",
            f"It is {list(given.shape)}; [{', '.join(map(str, shape))}] is needed.",
            "Make it with the same checkpoint and as many thoughts; banks with interventions.run.think_about.",
        )


def each_row(
    vectors: Float[Tensor, "batch d"], change: Callable[[int, Float[Tensor, " d"]], Float[Tensor, " d"] | None]
) -> Float[Tensor, "batch d"]:
    """Return the vectors with those rows changed for which the function returns something."""
    changed = vectors.clone()
    for row, vector in enumerate(vectors):
        found = change(row, vector)
        if found is not None:
            changed[row] = found
    return changed
