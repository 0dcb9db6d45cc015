"""What an import is held to: its logits beside a plain recomputation from the tensors of the file."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import collate, embedding_rows, forward
from workbench.model.importing.archives import Weights
from workbench.model.recurrence import Recurrence

EMBEDDINGS = re.compile(
    r"(base_causallm\.|codi\.(base_model\.model\.)?)?(transformer\.wte|model\.embed_tokens)\.weight"
)
"""Names of the input embedding."""
_MIXTURES = 3
"""Thoughts compared where mixtures are fed: a rounding error can change which tokens are mixed, and it grows."""
Lora = Mapping[str, tuple[Tensor, Tensor, Tensor, float]]
"""Of each module with LoRA: base weight, A, B and the factor."""


@torch.no_grad()
def compare(checkpoint: Checkpoint, state: Weights, head: Weights, lora: Lora) -> tuple[float, float]:
    """Return the largest difference between a checkpoint's logits and a plain recomputation, and the largest logit.

    Recomputed are two made-up questions, each alone and without a cache: thoughts by the formula of their family from
    the file's own tensors, LoRA beside the weights and not merged into them, mixtures without noise.

    Args:
        checkpoint: As it was loaded.
        state: The file's tensors of the language model, and
        head: of the thought head.
        lora: What was merged into them.
    """
    model, form = checkpoint.model, checkpoint.format
    made = replace(checkpoint.recurrence, gumbel=0.0)
    size, room = embedding_rows(model), getattr(model.config, "max_position_embeddings", None) or 64
    count = max(0, min(checkpoint.thoughts, room - 10, _MIXTURES if made.kind == "mixture" else room))
    prompts = [[(7919 * place + 11 * row) % size for place in range(length)] for row, length in enumerate((6, 3))]
    rest = [place % size for place in (17, 4099, 29, 31)]
    rows = collate(prompts, [count] * 2, [rest] * 2, pad=form.pad, thought=form.marker.thought)
    thinks = torch.zeros_like(rows.is_thought) if checkpoint.fed == "pause" else rows.is_thought
    with _told(model, made):
        logits = forward(model, rows.ids, thinks, rows.mask).logits
    with _unmerged(model, lora):
        plain = [_recomputed(checkpoint, made, state, head, prompt, count, rest) for prompt in prompts]
    apart = [(logits[row][rows.mask[row]] - said).abs().max() for row, said in enumerate(plain)]
    return float(max(apart)), float(max(said.abs().max() for said in plain))


def _recomputed(
    checkpoint: Checkpoint,
    made: Recurrence,
    state: Weights,
    head: Weights,
    prompt: list[int],
    count: int,
    rest: list[int],
) -> Float[Tensor, "columns vocab"]:
    model = checkpoint.model
    embedding = next(tensor.float() for key, tensor in state.items() if EMBEDDINGS.fullmatch(key))
    says = state.get("lm_head.weight", embedding).float()
    asked, then = embedding[prompt], embedding[rest]

    def states(fed: Tensor) -> Tensor:
        return model.base_model(inputs_embeds=torch.cat([asked, fed])[None], use_cache=False).last_hidden_state[0]

    def next_of(read: Tensor) -> Tensor:
        return _mean(made, read, says, embedding) if made.kind == "mixture" else _fed(made, head, read)

    fed = asked[:0]
    if checkpoint.fed == "pause":
        fed = embedding[checkpoint.format.marker.thought].expand(count, -1)
    elif made.sweeps:
        place = embedding[made.token].expand(count, -1)
        fed = next_of(states(place)[len(asked) - 1 : -1])
        for _ in range(made.sweeps - 1):
            fed = torch.cat([fed[:1], next_of(states(fed)[len(asked) : -1])])
    else:
        for _ in range(count):
            fed = torch.cat([fed, next_of(states(fed)[-1:])])
    return F.linear(states(torch.cat([fed, then])), says)


def _mean(
    made: Recurrence, read: Float[Tensor, "n d"], says: Float[Tensor, "vocab d"], embedding: Float[Tensor, "vocab d"]
) -> Float[Tensor, "n d"]:
    """Return the mean of the likeliest tokens' embeddings, weighted by their probabilities."""
    shares, tokens = (F.linear(read, says) / made.temperature).softmax(-1).topk(made.top or len(says))
    weights = shares**made.sharpness
    return torch.einsum("nk,nkd->nd", weights / weights.sum(-1, keepdim=True), embedding[tokens])


def _fed(made: Recurrence, head: Weights, read: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Return what is fed, as the families' own code writes it."""
    if not head:
        return read
    part = {key: tensor.float() for key, tensor in head.items()}
    inside = F.linear(F.gelu(F.linear(read, part["first.weight"], part["first.bias"])), part["second.weight"])
    inside = inside + part["second.bias"]
    if "norm.weight" in part:
        inside = F.layer_norm(inside, inside.shape[-1:], part["norm.weight"], part["norm.bias"])
    return F.linear(inside, part["mean.weight"], part["mean.bias"]) * made.scale if "mean.weight" in part else inside


@contextmanager
def _told(model: PreTrainedModel, made: Recurrence) -> Iterator[None]:
    """Let a model make its thoughts in a given way for the time of a check."""
    before = model.config.coconut
    model.config.coconut = {**before, "recurrence": asdict(made)}
    try:
        yield
    finally:
        model.config.coconut = before


@contextmanager
def _unmerged(model: PreTrainedModel, lora: Lora) -> Iterator[None]:
    """Put LoRA beside the weights for the time of a check."""

    def beside(part: tuple[Tensor, Tensor, Tensor, float]) -> Callable[..., Tensor]:
        _, first, second, factor = part
        return lambda module, given, out: out + factor * F.linear(F.linear(given[0], first.float()), second.float())

    with ExitStack() as stack:
        for name, part in lora.items():
            module = model.get_submodule(name)
            merged = cast(nn.Parameter, module.weight).data
            cast(nn.Parameter, module.weight).data = part[0].float()
            stack.callback(setattr, module.weight, "data", merged)
            stack.enter_context(module.register_forward_hook(beside(part)))
        yield
