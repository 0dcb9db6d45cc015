"""What a packed step asks of the model: the next node, the answer, and the rest of the chain in words.

A thought's own LM head is supervised with the next node of one sampled shortest path, never with the frontier: where
several nodes are open, the spread over them has to emerge. All stages of the curriculum that are open are supervised
in the same pass.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.batches import IGNORE, GraphBatch
from workbench.packed import Packed, Weights
from workbench.tokenizer import VOCABULARY

ANSWER, EOS, SEPARATOR = (VOCABULARY.index(token) for token in ("[A]", "<eos>", "|"))


@dataclass(frozen=True)
class Result:
    """Loss and metrics of one batch."""

    loss: Float[Tensor, ""]
    mass: Float[Tensor, " K"]
    """Mean raw mass of thought 1..K on the nodes at hop 1..K, over questions that have such nodes."""
    mass_count: Float[Tensor, " K"]
    """Questions behind each mean."""
    answered: Float[Tensor, ""]
    """Share of exact answers after all K thoughts (nan where nothing was asked)."""


def packed_loss(
    weights: Weights,
    batch: GraphBatch,
    thoughts: int,
    generator: torch.Generator,
    *,
    chain_graphs: int = 0,
    answers: int = 2,
) -> Result:
    """Run one batch through thoughts 1..K and everything that is read from them.

    Args:
        weights: The model's weights for this step.
        batch: Graphs and questions.
        thoughts: K, the stage of the curriculum: thoughts that are open.
        generator: Draws the stages at which answers and chains are asked.
        chain_graphs: In the first so many graphs, also supervise the remaining steps in language after a random number
            of thoughts.
        answers: Stages per question at which the answer is asked: always after K thoughts, the others drawn from
            those that have at least as many thoughts as the chain has steps.
    """
    graphs, questions, q = batch.question.shape
    run = Packed(weights, batch.prefix, questions)
    thought = run.feed(run.embed(batch.question), 0, read_last=1)
    hidden = [thought]
    asked = q > 2
    for k in range(1, thoughts + 1):
        last = k == thoughts
        if last and not asked:
            break
        thought = run.feed(thought, q + k - 1, read_last=0 if last else 1)
        if not last:
            hidden.append(thought)
    log_p = run.logits(torch.cat(hidden, 2)).log_softmax(-1)  # [G, M, K, V]
    labels = batch.walks[:, :, :thoughts]
    valid = labels != IGNORE
    picked = log_p.gather(-1, labels.clamp(min=0))
    loss = -(picked * valid).sum() / valid.sum().clamp(min=1)
    with torch.no_grad():
        frontier = batch.frontier[:, :, :thoughts]
        has = frontier.any(-1)
        on_frontier = (log_p.exp() * frontier).sum(-1)
        count = has.sum((0, 1)).float()
        mass = (on_frontier * has).sum((0, 1)) / count.clamp(min=1)

    answered = torch.tensor(float("nan"))
    if asked:
        span = (thoughts - batch.hops + 1).clamp(min=1)
        drawn = torch.rand(graphs, questions, answers - 1, generator=generator)
        stages = (batch.hops[..., None] + (drawn * span[..., None]).long()).clamp(max=thoughts)
        stages = torch.cat([stages, torch.full((graphs, questions, 1), thoughts)], -1)
        can_know = stages >= batch.hops[..., None]
        read = run.ask(run.embed(torch.full_like(stages, ANSWER)), q - 1 + stages)
        answer_log_p = run.logits(read).log_softmax(-1)
        target = batch.target[:, :, None, None].expand(-1, -1, answers, 1)
        right = answer_log_p.gather(-1, target)[..., 0]
        loss = loss - (right * can_know).sum() / can_know.sum().clamp(min=1)
        known = can_know[..., -1]
        if known.any():
            answered = (answer_log_p[:, :, -1].argmax(-1) == batch.target)[known].float().mean()
        if chain_graphs:
            loss = loss + _chain_loss(run.first(chain_graphs), batch.first(chain_graphs), thoughts, generator)
    return Result(loss, mass, count, answered)


def _chain_loss(run: Packed, batch: GraphBatch, thoughts: int, generator: torch.Generator) -> Float[Tensor, ""]:
    """Cross-entropy of `| n_k n_k+1 | ... [A] target <eos>` after k thoughts.

    k is drawn per question from 0 to one more than the chain has steps: beyond, there is nothing left to say.
    """
    graphs, questions, q = batch.question.shape
    k = (torch.rand(graphs, questions, generator=generator) * (batch.hops + 2)).long().clamp(max=thoughts)
    tokens = spell_chains(batch, k)
    inputs, labels = tokens[..., :-1], tokens[..., 1:]
    hidden = run.say(run.embed(inputs.clamp(min=0)), q - 1 + k)
    log_p = run.logits(hidden).log_softmax(-1)
    valid = labels != IGNORE
    picked = log_p.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return -(picked * valid).sum() / valid.sum().clamp(min=1)


def spell_chains(batch: GraphBatch, k: Int[Tensor, "G M"]) -> Int[Tensor, "G M t"]:
    """Spell what is left to say after k thoughts, IGNORE after the end."""
    root = batch.question[:, :, -1:]
    nodes = torch.cat([root, batch.walks[..., 0]], -1)  # [G, M, K+1], node at hop 0..K
    steps = nodes.shape[-1] - 1
    pieces = torch.stack([torch.full_like(nodes[..., 1:], SEPARATOR), nodes[..., :-1], nodes[..., 1:]], -1)
    left = (batch.hops - k).clamp(min=0)
    length = 3 * int(left.max()) + 4
    # After the last step the answer opens; a chain that is already at its end still opens with the separator.
    index = torch.arange(length).expand(*k.shape, length)
    flat = torch.cat([pieces.flatten(2), torch.full((*k.shape, length), IGNORE)], -1)
    spelled = flat.gather(-1, (3 * k[..., None] + index).clamp(max=3 * steps + length - 1))
    end = torch.where(left > 0, 3 * left, 1)[..., None]
    target = batch.target[..., None].expand_as(index)
    spelled = torch.where(index == end, ANSWER, torch.where(index == end + 1, target, spelled))
    spelled = torch.where(index == end + 2, EOS, torch.where(index > end + 2, IGNORE, spelled))
    return torch.where((left[..., None] == 0) & (index == 0), SEPARATOR, spelled)
