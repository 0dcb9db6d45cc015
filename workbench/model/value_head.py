"""A value head: from a thought it predicts the reward of the answer that follows (arXiv 2512.11816, Latent RL).

It is a part of the model by the name `value_head` while a run trains, and is saved and resumed with it; the exported
model has none.
"""

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

NAME = "value_head"


class ValueHead(nn.Module):
    """Predicts the reward from a thought, the same head for all thoughts.

    Args:
        d: Width of the model.
        width: Of the hidden layer; 0: the head is linear.
    """

    def __init__(self, d: int, width: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(d, width) if width else nn.Identity()
        self.last = nn.Linear(width or d, 1)

    def forward(self, thoughts: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the logit of the predicted reward."""
        inside = self.first(thoughts)
        return self.last(inside if isinstance(self.first, nn.Identity) else F.gelu(inside))[..., 0]


def attach_value_head(model: PreTrainedModel, width: int, seed: int) -> None:
    """Give a model a value head with random weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        head = ValueHead(model.config.hidden_size, width)
    setattr(model, NAME, head.to(model.device))


def value_head(model: PreTrainedModel) -> ValueHead:
    """Return the value head that was attached to a model."""
    return cast(ValueHead, getattr(model, NAME))


def without_head(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a model's weights but those of its value head."""
    return {name: weight for name, weight in weights.items() if not name.startswith(f"{NAME}.")}
