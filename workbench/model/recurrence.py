"""How a thought is made: what is fed, of what was read. One value, `Recurrence`, stored in `config.coconut.recurrence`.

**Read** is the last hidden state before a thought, after the final norm: what enters the LM head. **Fed** is the
vector that takes the place of an input embedding. They are one for Coconut (`identity`) and two for all other kinds;
readouts are of what is read, interventions act on what is fed.

- `identity`: the hidden state itself (Coconut, arXiv 2412.06769; Reasoning by Superposition; SIM-CoT on Coconut).
- `projection`: an MLP with LayerNorm (CODI, arXiv 2502.21074; SIM-CoT on CODI; PCCoT with `use_projection`).
- `mixture`: the embeddings of all or of the likeliest tokens, weighted by their probabilities, with Gumbel noise where
  asked for (Soft Thinking, arXiv 2505.15778; Latent-SFT and Latent-GRPO; SwiReasoning).
- `gaussian`: a vector drawn from a normal distribution that an MLP gives (CoLaR, arXiv 2505.16552).

With `sweeps` all thoughts are made at once (PCCoT, arXiv 2506.18582): first a pass over placeholders, then so many
sweeps in each of which every thought is made of the state before it in the sweep before (Jacobi iteration). As many
sweeps as thoughts give what one after the other gives.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.settings import build

Kind = Literal["identity", "projection", "mixture", "gaussian"]


@dataclass(frozen=True)
class Recurrence:
    """How thoughts are made, and when they end.

    Examples:
        >>> Recurrence("mixture", top=10).apart, Recurrence().apart
        (True, False)
        >>> print(Recurrence("projection", sweeps=3, token=8))
        an MLP of the hidden state, all thoughts at once in 3 sweeps

    Raises:
        WorkbenchError: A value makes no sense.
    """

    kind: Kind = "identity"
    """What is fed."""
    width: int = 0
    """Of the hidden layer of the MLP (projection, gaussian); 0 means that of the model."""
    norm: bool = True
    """Whether a LayerNorm ends the MLP."""
    skip: bool = False
    """Whether the hidden state is added to what the MLP gives, before the LayerNorm (projection)."""
    marked: bool = False
    """Whether the embedding of `token` is added to what is fed (projection)."""
    top: int = 0
    """How many of the likeliest tokens are mixed (mixture); 0 means all."""
    temperature: float = 1.0
    """The logits are divided by it before the softmax (mixture), the spread is multiplied by it (gaussian)."""
    gumbel: float = 0.0
    """How many times Gumbel noise is added to the log-probabilities (mixture)."""
    gumbel_first: bool = False
    """Whether the likeliest tokens are chosen after the noise (Latent-GRPO) or before it (Soft Thinking)."""
    sharpness: float = 1.0
    """The log-probabilities with their noise are multiplied by it before the weights are taken: 1 / tau."""
    sampled: bool = False
    """Whether the vector is drawn (gaussian) or is the mean."""
    scale: float = 1.0
    """What the vector is multiplied by: the spread of the embeddings (gaussian)."""
    seed: int = 0
    """Of the noise, which is drawn for each prompt and thought, so that the batch changes nothing."""
    sweeps: int = 0
    """How many Jacobi sweeps make all thoughts at once; 0: they are made one after the other."""
    token: int = -1
    """Token whose embedding holds the places in the pass before the sweeps, or is added (`marked`)."""
    stop: Literal["count", "token", "entropy"] = "count"
    """When thinking ends: after as many thoughts as are asked for; or earlier, where the LM head's likeliest token is
    `stop_token`, or where its entropy stays below `stop_entropy`."""
    stop_token: int = -1
    """Token that ends the thoughts."""
    stop_entropy: float = 0.0
    """In nats."""
    stop_times: int = 1
    """For so many states in a row."""
    least: int = 0
    """No rule ends the thoughts before so many."""

    def __post_init__(self) -> None:
        """Refuse what no run could mean."""
        faults = {
            "sweeps need `token`, which holds the places of thoughts before the first": self.sweeps > 0 > self.token,
            "only a projection has `skip` and `marked`": (self.skip or self.marked) and self.kind != "projection",
            "temperature and sharpness must be above 0": min(self.temperature, self.sharpness) <= 0,
            "no number of tokens, sweeps or thoughts may be negative": min(
                self.width, self.top, self.sweeps, self.seed, self.least, self.stop_times - 1
            )
            < 0,
            "gumbel must not be negative": self.gumbel < 0,
            "stop: token needs `stop_token`": self.stop == "token" and self.stop_token < 0,
            "stop: entropy needs a `stop_entropy` above 0": self.stop == "entropy" and self.stop_entropy <= 0,
            "all thoughts at once end after as many as are asked for, and are not drawn": bool(self.sweeps)
            and (self.stop != "count" or self.kind == "mixture" or self.sampled),
        }
        if wrong := [fault for fault, holds in faults.items() if holds]:
            raise WorkbenchError("This way to make thoughts cannot be used.", f"{wrong[0]}.", "Correct `recurrence`.")

    @classmethod
    def read(cls, meta: dict[str, Any]) -> "Recurrence":
        """Return that of a checkpoint's `config.coconut`; without one it is Coconut's.

        Raises:
            WorkbenchError: A field is unknown, or has the wrong type or value.
        """
        stored = meta.get("recurrence")
        if stored is None:
            return IDENTITY
        if not isinstance(stored, dict):
            raise WorkbenchError(
                "Cannot use config.coconut.", f"recurrence is {stored!r:.80}, not a table", "Correct it."
            )
        return _read(json.dumps(stored, sort_keys=True, default=str))

    @property
    def apart(self) -> bool:
        """Whether what is fed is another vector than what the LM head reads."""
        return self.kind != "identity"

    @property
    def has_head(self) -> bool:
        """Whether it has weights of its own (`ThoughtHead`)."""
        return self.kind in ("projection", "gaussian")

    def __str__(self) -> str:
        """Say in a few words what is fed, and in which order."""
        likeliest = f"the {self.top} likeliest tokens" if self.top else "all tokens"
        fed = {
            "identity": "the hidden state",
            "projection": "an MLP of the hidden state",
            "mixture": f"the mean embedding of {likeliest}" + (" with Gumbel noise" if self.gumbel else ""),
            "gaussian": "a draw from a normal distribution" if self.sampled else "the mean of a normal distribution",
        }[self.kind]
        return fed + (f", all thoughts at once in {self.sweeps} sweeps" if self.sweeps else "")


IDENTITY = Recurrence()
MIXTURE_FIELDS = (
    "top", "temperature", "gumbel", "gumbel_first", "sharpness", "seed",
    "stop", "stop_token", "stop_entropy", "stop_times", "least",
)  # fmt: skip
"""What can be said of a mixture."""
STOP_FIELDS = {
    "stop_token": ("token",),
    "stop_entropy": ("entropy",),
    "stop_times": ("token", "entropy"),
    "least": ("token", "entropy"),
}
"""Fields that only some rules of `stop` read, and these rules."""


@lru_cache(maxsize=64)
def _read(stored: str) -> Recurrence:
    return build(Recurrence, json.loads(stored), "recurrence of config.coconut")


def recurrence_of(model: PreTrainedModel) -> Recurrence:
    """Return how a model makes its thoughts, as its `config.coconut` says."""
    return Recurrence.read(getattr(model.config, "coconut", None) or {})


class ThoughtHead(nn.Module):
    """The MLP between a hidden state and what is fed, a part of the model by the name `thought_head`.

    Args:
        d: Width of the model.
        recurrence: A projection or a gaussian.
    """

    def __init__(self, d: int, recurrence: Recurrence) -> None:
        super().__init__()
        inside = recurrence.width or d
        out = d if recurrence.kind == "projection" else inside
        self.first, self.second = nn.Linear(d, inside), nn.Linear(inside, out)
        self.norm = nn.LayerNorm(out) if recurrence.norm else nn.Identity()
        self.skip = recurrence.skip
        if recurrence.kind == "gaussian":
            self.mean = nn.Linear(inside, d)
            if recurrence.sampled:
                self.log_std = nn.Linear(inside, d)

    def forward(self, read: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch out"]:
        """Return what the MLP gives: what is fed of a projection, what mean and spread are linear in of a gaussian."""
        made = self.second(F.gelu(self.first(read)))
        return self.norm(read + made if self.skip else made)


def attach_head(model: PreTrainedModel, recurrence: Recurrence, state: dict[str, Tensor] | None = None) -> None:
    """Give a model the thought head that its recurrence needs, in evaluation mode and the model's precision.

    Args:
        model: Changed.
        recurrence: How it makes thoughts; without weights of its own nothing is done.
        state: The head's weights; by default random ones.

    Raises:
        WorkbenchError: A weight is missing, left over, or has another shape.
    """
    if not recurrence.has_head:
        return
    head = ThoughtHead(model.config.hidden_size, recurrence)
    if state is not None:
        wanted = {name: tuple(weight.shape) for name, weight in head.state_dict().items()}
        given = {name: tuple(weight.shape) for name, weight in state.items()}
        if wanted != given:
            wrong = [
                f"{name}: {given.get(name, 'missing')} where {wanted.get(name, 'nothing')} belongs"
                for name in sorted(wanted.keys() | given.keys())
                if wanted.get(name) != given.get(name)
            ]
            raise WorkbenchError(
                "The thought head does not fit the model.", "; ".join(wrong), "Save the two together, or import again."
            )
        head.load_state_dict(state)
    model.thought_head = head.to(model.device, model.dtype).eval()


def prompt_keys(ids: Int[Tensor, "batch columns"], prompt: Bool[Tensor, "batch columns"]) -> list[int]:
    """Return a number for each row's prompt, the seed of its noise."""
    rows = zip(ids.cpu(), prompt.cpu(), strict=True)
    return [zlib.crc32(row[kept].numpy().astype(np.int64).tobytes()) for row, kept in rows]


def fed_of(
    model: PreTrainedModel,
    recurrence: Recurrence,
    read: Float[Tensor, "batch d"],
    k: int,
    keys: Sequence[int],
    logits: Float[Tensor, "batch vocab"] | None = None,
) -> Float[Tensor, "batch d"]:
    """Return what is fed as thought k.

    Args:
        model: Whose embeddings and thought head are used.
        recurrence: How it is made.
        read: The hidden states after the final norm before the thought.
        k: Number of the thought, from 1.
        keys: Of each row, what its noise is drawn by besides `k` (`prompt_keys`); read where there is noise.
        logits: Of the LM head at these states, where they are known (mixture).
    """
    if recurrence.kind == "identity":
        return read
    if recurrence.kind == "mixture":
        assert logits is not None
        return mixed(model, recurrence, logits, _noise(recurrence, "gumbel", keys, k, logits))
    inside = cast(ThoughtHead, model.thought_head)(read)
    if recurrence.kind == "projection":
        inside = inside * recurrence.scale if recurrence.scale != 1 else inside
        if not recurrence.marked:
            return inside
        return inside + model.get_input_embeddings()(torch.tensor(recurrence.token, device=read.device))
    head = cast(ThoughtHead, model.thought_head)
    vector = head.mean(inside)
    if recurrence.sampled:
        spread = head.log_std(inside).exp() * recurrence.temperature
        vector = vector + spread * _noise(recurrence, "normal", keys, k, vector)
    return vector * recurrence.scale


def mixed(
    model: PreTrainedModel,
    recurrence: Recurrence,
    logits: Float[Tensor, "batch vocab"],
    noise: Float[Tensor, "batch vocab"],
) -> Float[Tensor, "batch d"]:
    """Return the weighted mean of token embeddings."""
    said = (logits / recurrence.temperature).log_softmax(-1)
    noisy = said + recurrence.gumbel * noise
    chosen_by = noisy if recurrence.gumbel_first else said
    top = chosen_by.topk(recurrence.top or logits.shape[-1], -1).indices
    weights = (noisy.gather(-1, top) * recurrence.sharpness).softmax(-1)
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    if not recurrence.top:
        return torch.zeros_like(weights).scatter(-1, top, weights).to(table.dtype) @ table
    return (weights[..., None].to(table.dtype) * table[top]).sum(-2)


def _noise(
    recurrence: Recurrence, kind: Literal["gumbel", "normal"], keys: Sequence[int], k: int, like: Float[Tensor, "b n"]
) -> Float[Tensor, "b n"]:
    """Draw for each row by its prompt and the number of the thought; zeros where no noise is asked for."""
    if kind == "gumbel" and recurrence.gumbel == 0:
        return torch.zeros_like(like)
    drawn = [
        getattr(np.random.default_rng([recurrence.seed, key, k]), _DRAWS[kind])(size=like.shape[1]) for key in keys
    ]
    return torch.from_numpy(np.stack(drawn)).to(like)


_DRAWS = {"gumbel": "gumbel", "normal": "standard_normal"}


def ended(recurrence: Recurrence, logits: Float[Tensor, "batch states vocab"]) -> Int[Tensor, " batch"]:
    """Return after how many thoughts the stop rule ends each row, of the LM head at states 1..K.

    State k is the one that thought k is made of: where the rule holds there, and at the `stop_times` - 1 states before
    it, k - 1 thoughts were fed. K where it never holds.
    """
    rows, states = logits.shape[:2]
    never = torch.full((rows,), states, device=logits.device)
    if recurrence.stop == "count" or not states:
        return never
    if recurrence.stop == "token":
        holds = logits.argmax(-1) == recurrence.stop_token
    else:
        shares = logits.log_softmax(-1)
        holds = -(shares.exp() * shares).sum(-1) < recurrence.stop_entropy
    times = min(recurrence.stop_times, states + 1)
    so_far = F.pad(holds.long().cumsum(1), (times, 0))
    in_a_row = so_far[:, times:] - so_far[:, :-times] == recurrence.stop_times
    ends = in_a_row & (torch.arange(states, device=logits.device) >= recurrence.least)
    return torch.where(ends.any(1), ends.long().argmax(1), never)
