"""What one training step runs and learns, the same for graphs and for text.

A question is followed by slots (thoughts or pauses), and words may be said after any number of them:

    prefix · question · slot 1 · ... · slot S
                  └ words     └ words    └ words

Learned are the words (the rest of the chain, the answer) and, where the method asks for it, what the LM head says at a
slot. At stage s the first s steps of the chain are removed, and `Method.slots(s)` slots stand in their place, also
where the chain is shorter (the official `pad_latent_to_max`). All random draws of a step are made when its batch is:
a batch and the weights decide the loss.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.train.config import Schedule, Stage, TrainConfig, method_of
from workbench.train.methods import METHODS, Method, draw_stages

IGNORE = -100
"""Stands for no label, no node."""


Moved = TypeVar("Moved")


class OnDevice:
    """A dataclass of tensors, among other values, all on one device."""

    def to(self: Moved, device: torch.device | str) -> Moved:
        """Return it with all tensors on a device."""

        def move(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(move, value))
            return value.to(device) if isinstance(value, Tensor | OnDevice) else value

        held: Any = self
        return replace(held, **{field.name: move(getattr(self, field.name)) for field in fields(held)})


@dataclass(frozen=True)
class Labels(OnDevice):
    """What is learned at some places, one entry per place and token."""

    at: Int[Tensor, " n"]
    """The place, counted through all of the batch's columns (or slots) of the kind that is labelled."""
    token: Int[Tensor, " n"]
    """The token whose probability is to rise there."""
    weight: Float[Tensor, " n"]
    total: float
    """Sum of the weights: the loss is the weighted mean."""

    @classmethod
    def of(
        cls, token: Int[Tensor, "*places"], weight: Float[Tensor, "*places"] | None = None, each: int = 1
    ) -> "Labels":
        """Return the labels of a tensor of tokens, those that are `IGNORE` or have no weight left out.

        Args:
            token: Tokens, `each` of them in the last dimension for one place.
            weight: Their weights, by default 1.
            each: Labels for each place.
        """
        flat = token.flatten()
        weights = torch.ones(len(flat)) if weight is None else weight.flatten().float()
        kept = ((flat != IGNORE) & (weights > 0)).nonzero().flatten()
        return cls(kept // each, flat[kept], weights[kept], float(weights[kept].sum()))


@dataclass(frozen=True)
class Words(OnDevice):
    """Tokens that are fed after some of the slots, seen by nothing that comes later."""

    ids: Int[Tensor, "G M t"]
    """Of the batch's first G graphs."""
    after: Int[Tensor, "G M *t"]
    """Column of the question and its slots that the words follow; for each token where each stands alone."""
    labels: Labels
    """The token that comes next, at places of `ids`."""

    @property
    def alone(self) -> bool:
        """Whether the tokens see the question and its slots only, and not each other."""
        return self.after.dim() == self.ids.dim()


@dataclass(frozen=True)
class TrainBatch(OnDevice):
    """What one step of one process runs and learns."""

    prefix: Int[Tensor, "G T"]
    """Tokens that the questions of a graph share; T may be 0."""
    question: Int[Tensor, "G M q"]
    """Tokens of each question, up to the one whose last hidden state is thought 1; padded on the left."""
    pads: Int[Tensor, "G M"] | None
    """Columns of padding of each question; None for none."""
    slots: int
    """S, that follow each question."""
    pause: int | None
    """The token that is fed in every slot; None for the hidden state before it, a thought."""
    per_step: int
    """Slots for each step of the chain; the LM head is asked at the last of them."""
    heads: Labels | None
    """What the LM head is asked, at places of [G, M, S / per_step]."""
    frontier: Int[Tensor, "G M K F"]
    """Tokens of the nodes at hop 1..K, IGNORE beyond: for metrics, never for a loss. K is 0 where there is no graph."""
    words: tuple[Words, ...]
    """What is said, each part with a mean loss of its own: answers, remaining chains."""
    measured: bool = False
    """Whether the share of rows whose words the model would all say is measured."""

    @property
    def totals(self) -> list[float]:
        """Sum of the weights of each mean of its loss."""
        return [self.heads.total if self.heads is not None else 0.0, *(words.labels.total for words in self.words)]


@dataclass(frozen=True)
class Ask:
    """How questions are asked at some time of a run, by graphs and by text alike."""

    stage: Stage
    schedule: Schedule
    method: Method = METHODS["coconut_next_node"]
    mixing: str = "packed"
    chain_graphs: int = 0
    """Graphs whose remaining chains are learned in words, for methods that also learn at the slots."""
    answers: int = 2
    """Stages per question at which a graph's answer is asked where mixing is packed: always the newest, the others
    drawn from those that have removed the whole chain."""

    @classmethod
    def of(cls, config: TrainConfig, stage: Stage, schedule: Schedule) -> "Ask":
        """Return how a run asks at a stage."""
        return cls(stage, schedule, method_of(config), config.mixing, config.curriculum.chain_graphs)

    @property
    def newest(self) -> int:
        """The newest open stage."""
        return self.stage.thoughts

    @property
    def thoughts(self) -> int:
        """K: steps that slots can stand for."""
        return min(self.schedule.plan.thoughts, self.schedule.last)

    def draw(self, steps: Int[np.ndarray, "*rows"], rng: np.random.Generator) -> Int[np.ndarray, "*rows"]:
        """Draw the stage of each question whose chain has so many steps."""
        if not self.method.curriculum:
            return np.full(steps.shape, self.schedule.last)
        drawn = draw_stages(self.mixing, self.newest, steps.flatten(), rng).reshape(steps.shape)
        return drawn.clip(max=self.schedule.last)

    def opened(self, drawn: Int[np.ndarray, "*rows"]) -> int:
        """Return how many steps the slots of a batch stand for, whatever the stages drawn."""
        return min(max(self.newest, int(drawn.max())), self.thoughts)

    def heads(
        self, paths: Int[Tensor, "G M K W"], frontier: Int[Tensor, "G M K F"], drawn: Int[np.ndarray, "G M"]
    ) -> Labels | None:
        """Return what the LM head is asked at the slots: with packed mixing at all, else at the newest of a question.

        Args:
            paths: Token of hop 1..K on each of W sampled shortest paths, IGNORE beyond.
            frontier: Tokens of all nodes at hop 1..K.
            drawn: Stage of each question.
        """
        if self.method.heads == "none" or not paths.shape[2]:
            return None
        tokens = frontier if self.method.heads == "frontier" else paths
        real = tokens != IGNORE
        if self.mixing != "packed":
            newest = torch.from_numpy(drawn).clamp(max=self.thoughts)[..., None]
            real = real & (torch.arange(1, paths.shape[2] + 1) == newest)[..., None]
        share = real.sum(-1, keepdim=True).clamp(min=1) if self.method.heads == "frontier" else 1
        return Labels.of(tokens, real.float() / share, tokens.shape[3])


def draw_seed(config: TrainConfig, step: int, rank: int) -> int:
    """Return the seed of what is drawn at a step in a process beside the problems: stages, dropout."""
    return hash((config.seed, rank, step)) % (1 << 62)
