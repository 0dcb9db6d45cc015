"""What a packed step asks of the model, by method: the next node, the answer, and the rest of the chain in words.

Where a method supervises thoughts, a thought's own LM head is asked for the next node of one sampled shortest path,
not for the frontier: where several nodes are open, the spread over them has to emerge (frontier supervision is a method
of its own). With "packed" mixing all stages that are open are supervised in the same pass.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.batches import IGNORE, GraphBatch
from workbench.chains import STEP_TOKENS, spell_chains
from workbench.methods import METHODS, Method
from workbench.mixing import draw_stages
from workbench.packed import Packed, Weights
from workbench.tokenizer import VOCABULARY

ANSWER, PAUSE = (VOCABULARY.index(token) for token in ("[A]", "<thought>"))


@dataclass(frozen=True)
class Result:
    """Loss and metrics of one batch."""

    loss: Float[Tensor, ""]
    mass: Float[Tensor, " K"]
    """Mean raw mass of the LM head on the nodes at hop 1..K, over questions that have such nodes."""
    mass_count: Float[Tensor, " K"]
    """Questions behind each mean."""
    answered: Float[Tensor, ""]
    """Share of exact answers after all slots (nan where nothing was asked)."""


@dataclass(frozen=True)
class Ask:
    """How a batch is asked."""

    stage: int
    """Steps that may be removed: the newest open stage."""
    method: Method = METHODS["coconut"]
    mixing: str = "packed"
    tokens: int | None = None
    """Tokens of the chain that are removed where they go one by one (iCoT); None for all of them."""
    chain_graphs: int = 0
    """Graphs whose remaining chains are asked in words as well, for methods that have other supervision."""
    answers: int = 2
    """Stages per question at which the answer is asked where mixing is packed: always the newest, the others drawn
    from those that have removed the whole chain."""


def packed_loss(weights: Weights, batch: GraphBatch, ask: Ask, generator: torch.Generator) -> Result:
    """Run one batch through its slots and everything that is read from them.

    Args:
        weights: The model's weights for this step.
        batch: Graphs and questions, with labels for at least as many hops as stages are open.
        ask: What is asked of it.
        generator: Draws stages and lengths.
    """
    method, q = ask.method, batch.question.shape[2]
    has_answer = q > 2
    stages = _stages(batch, ask, generator)
    run = Packed(weights, batch.prefix, batch.question.shape[1])
    hidden = _think(run, batch, method, ask.stage, keep_last=has_answer)
    loss, mass, count = torch.zeros(()), torch.zeros(ask.stage), torch.zeros(ask.stage)
    if hidden is not None:
        heads = hidden[:, :, method.per_step - 1 :: method.per_step]
        loss, mass, count = _head_loss(run, heads, batch, ask, stages)
    answered = torch.tensor(float("nan"))
    if has_answer:
        if method.said != "all":
            asked, answered = _answer_loss(run, batch, ask, stages, generator)
            loss = loss + asked
        if method.said != "none":
            only_words = method.heads == "none"
            graphs = len(batch.prefix) if only_words else ask.chain_graphs
            if graphs:
                loss = loss + _chain_loss(run.first(graphs), batch.first(graphs), ask, stages[:graphs], generator)
    return Result(loss, mass, count, answered)


def _stages(batch: GraphBatch, ask: Ask, generator: torch.Generator) -> Int[Tensor, "G M"]:
    """Draw the stage of every question; for methods without a curriculum it is the newest one, which is the last."""
    if not ask.method.curriculum:
        return torch.full_like(batch.hops, ask.stage)
    rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
    drawn = draw_stages(ask.mixing, ask.stage, batch.hops.flatten().cpu().numpy(), rng)
    return torch.from_numpy(drawn).to(batch.hops.device).view_as(batch.hops).clamp(max=ask.stage)


def _think(
    run: Packed, batch: GraphBatch, method: Method, stage: int, keep_last: bool
) -> Float[Tensor, "G M slots d"] | None:
    """Feed question and slots; return the hidden state before each slot: thought 1 and so on."""
    q, slots = batch.question.shape[2], method.slots(stage)
    thought = run.feed(run.embed(batch.question), 0, read_last=1 if slots else 0)
    if not slots:
        return None
    hidden = [thought]
    if method.fed == "pause":
        # Nothing fed depends on anything computed: all slots in one pass.
        pauses = run.embed(torch.full((*batch.question.shape[:2], slots), PAUSE))
        return torch.cat([thought, run.feed(pauses, q, read_last=slots)[:, :, :-1]], 2)
    for k in range(1, slots + 1):
        last = k == slots
        if last and not keep_last:
            break
        thought = run.feed(thought, q + k - 1, read_last=0 if last else 1)
        if not last:
            hidden.append(thought)
    return torch.cat(hidden, 2)


def _head_loss(
    run: Packed, heads: Float[Tensor, "G M K d"], batch: GraphBatch, ask: Ask, stages: Int[Tensor, "G M"]
) -> tuple[Float[Tensor, ""], Float[Tensor, " K"], Float[Tensor, " K"]]:
    """Return the loss of the LM head at the slots that end a step, and the mass on the frontier there."""
    thoughts = ask.stage
    log_p = run.logits(heads).log_softmax(-1)  # [G, M, K, V]
    frontier = batch.frontier[:, :, :thoughts]
    has = frontier.any(-1)
    with torch.no_grad():
        count = has.sum((0, 1)).float()
        mass = ((log_p.exp() * frontier).sum(-1) * has).sum((0, 1)) / count.clamp(min=1)
    if ask.method.heads == "none":
        return torch.zeros(()), mass, count
    now: Bool[Tensor, "G M K"] = torch.ones_like(has)
    if ask.mixing != "packed":
        now = torch.arange(1, thoughts + 1) == stages[..., None]
    if ask.method.heads == "frontier":
        wanted = frontier / frontier.sum(-1, keepdim=True).clamp(min=1)
        valid = has & now
        return -((wanted * log_p).sum(-1) * valid).sum() / valid.sum().clamp(min=1), mass, count
    labels = batch.walks[:, :, :thoughts]
    valid = (labels != IGNORE) & now[..., None]
    picked = log_p.gather(-1, labels.clamp(min=0))
    return -(picked * valid).sum() / valid.sum().clamp(min=1), mass, count


def _answer_loss(
    run: Packed, batch: GraphBatch, ask: Ask, stages: Int[Tensor, "G M"], generator: torch.Generator
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the loss of the answer at stages that have removed the whole chain, and exact answers at the newest."""
    method, q, hops = ask.method, batch.question.shape[2], batch.hops
    newest = torch.full_like(hops, ask.stage)[..., None]
    if not method.curriculum:
        asked = newest  # there is only one stage, and the answer is due whatever the chain's length
        due = torch.ones_like(asked, dtype=torch.bool)
    elif ask.mixing == "packed" and method.fed != "nothing":
        span = (ask.stage - hops + 1).clamp(min=1)
        drawn = torch.rand(*hops.shape, ask.answers - 1, generator=generator)
        asked = torch.cat([(hops[..., None] + (drawn * span[..., None]).long()).clamp(max=ask.stage), newest], -1)
        due = asked >= hops[..., None]
    else:
        asked = stages[..., None]
        due = asked >= hops[..., None]
    slots = asked * method.slots(1)
    read = run.ask(run.embed(torch.full_like(asked, ANSWER)), q - 1 + slots)
    log_p = run.logits(read).log_softmax(-1)
    right = log_p.gather(-1, batch.target[:, :, None, None].expand(*asked.shape, 1))[..., 0]
    loss = -(right * due).sum() / due.sum().clamp(min=1)
    known = due[..., -1] & (asked[..., -1] == ask.stage)
    best = log_p[:, :, -1].argmax(-1) == batch.target
    return loss, best[known].float().mean() if known.any() else torch.tensor(float("nan"))


def _chain_loss(
    run: Packed, batch: GraphBatch, ask: Ask, stages: Int[Tensor, "G M"], generator: torch.Generator
) -> Float[Tensor, ""]:
    """Cross-entropy of what is left of the chain, the answer and the end token."""
    method, q, hops = ask.method, batch.question.shape[2], batch.hops
    k = stages
    if method.said == "all":
        k = torch.zeros_like(hops)
    elif ask.mixing == "packed" and method.fed != "nothing":
        # From 0 to one more than the chain has steps: beyond, there is nothing left to say.
        k = (torch.rand(hops.shape, generator=generator) * (hops + 2)).long().clamp(max=ask.stage)
    removed = STEP_TOKENS * k
    if method.said == "tail":
        everything = STEP_TOKENS * hops
        removed = everything if ask.tokens is None else _smoothed(ask.tokens, method, hops, generator)
    tokens = spell_chains(batch, removed)
    hidden = run.say(run.embed(tokens[..., :-1].clamp(min=0)), q - 1 + k * method.slots(1))
    log_p = run.logits(hidden).log_softmax(-1)
    labels = tokens[..., 1:]
    valid = labels != IGNORE
    picked = log_p.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return -(picked * valid).sum() / valid.sum().clamp(min=1)


def _smoothed(tokens: int, method: Method, hops: Int[Tensor, "G M"], generator: torch.Generator) -> Int[Tensor, "G M"]:
    """Return the tokens to remove of each chain: those of the schedule, now and then more (removal smoothing)."""
    removed = torch.full_like(hops, tokens)
    if not method.smoothing:
        return removed
    # The whole part of an exponential variable has P(o) ~ exp(-smoothing * o).
    return removed + torch.empty(hops.shape).exponential_(method.smoothing, generator=generator).long()
