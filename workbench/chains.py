"""The chain in words, as the packed step supervises it: what is left after its first tokens have been removed."""

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.batches import IGNORE, GraphBatch
from workbench.tokenizer import VOCABULARY

ANSWER, EOS, SEPARATOR = (VOCABULARY.index(token) for token in ("[A]", "<eos>", "|"))
STEP_TOKENS = 3
"""Tokens of a step: source, target, separator."""


def spell_chains(batch: GraphBatch, removed: Int[Tensor, "G M"]) -> Int[Tensor, "G M t"]:
    """Spell `| n_0 n_1 | n_1 n_2 ... [A] target <eos>` without the first tokens after its `|`, IGNORE after the end.

    Args:
        batch: Graphs and questions; the first walk of each is its chain.
        removed: Tokens left out, 3k for the first k steps; more than there are leaves `| [A] target <eos>`.
    """
    nodes = torch.cat([batch.question[:, :, -1:], batch.walks[..., 0]], -1)  # [G, M, K+1], node at hop 0..K
    pieces = torch.stack([nodes[..., :-1], nodes[..., 1:], torch.full_like(nodes[..., 1:], SEPARATOR)], -1).flatten(2)
    chain = STEP_TOKENS * batch.hops - 1  # no separator before the answer
    begin = torch.minimum(removed, chain)
    length = int((chain - begin).max()) + 3
    place = begin[..., None] + torch.arange(length)
    past = place - chain[..., None]
    body = pieces.gather(-1, place.clamp(max=pieces.shape[-1] - 1))
    body = torch.where(past == 0, ANSWER, torch.where(past == 1, batch.target[..., None].expand_as(place), body))
    body = torch.where(past == 2, EOS, torch.where(past > 2, IGNORE, body))
    return torch.cat([torch.full_like(body[..., :1], SEPARATOR), body], -1)
