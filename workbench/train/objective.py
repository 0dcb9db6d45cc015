"""What a packed step asks of the model, by method: the next node, the answer, and the rest of the chain in words.

Where a method supervises thoughts, a thought's own LM head is asked for the next node of one sampled shortest path,
not for the frontier: where several nodes are open, the spread over them has to emerge (frontier supervision is a method
of its own). With "packed" mixing all stages that are open are supervised in the same pass.

One step of training on random graphs, many questions of each, for every method.

One training step by token rows: any format, any causal language model of Hugging Face, every method.

A whole row, all its passes through the model among them, is one call of the module, so that whatever wraps it (DDP
averages gradients after one backward pass, FSDP gathers weights before one forward pass) sees one call for one loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn import functional as F
from transformers import PreTrainedModel

from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import Rows, collate, lm_head, needed_passes, states
from workbench.problems.problem import Item, Problem
from workbench.problems.vocabulary import VOCABULARY
from workbench.train.config import Stage, TrainConfig, draw_edges, removed_tokens
from workbench.train.data import (
    IGNORE,
    STEP_TOKENS,
    GraphBatch,
    Plan,
    Row,
    chain_length,
    question_batch,
    row,
    spell_chains,
    stage_at,
    tokens_gone,
)
from workbench.train.methods import METHODS, Method, draw_stages, find_method, mixing_share
from workbench.train.packed import Packed, Weights

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


class PackedStep(nn.Module):
    """Draws batches of graphs and runs them packed.

    A batch depends on configuration, step and process alone: all methods see the same graphs and questions. Only where
    slots are supervised, `walk_share` of the batches have no candidates; the other methods could learn nothing from
    such a batch, and get an ordinary one of as many questions.

    Args:
        model: What is trained.
        config: How.
    """

    def __init__(self, model: PreTrainedModel, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.config, self.method = model, config, find_method(config.method)
        self.dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32

    def draw(self, stage: Stage, step: int, rank: int) -> GraphBatch:
        """Draw the batch of one step and process."""
        config, plan = self.config, self.config.curriculum
        rng = np.random.default_rng([config.seed, rank, step])
        # The shape of a batch is drawn from the step alone, so that no process waits for another's larger one.
        shared = np.random.default_rng([config.seed, 1 << 20, step])
        widening = step >= plan.widen_from if plan.by == "clock" else stage.thoughts == plan.thoughts
        share = plan.walk_share if step < plan.late_from else plan.walk_share_late
        drawn = shared.random() < share if widening else share > 0
        walks = plan.walks if drawn and self.method.heads != "none" else 0
        edges = draw_edges(stage, plan, shared)
        return question_batch(
            rng,
            graphs=config.graphs,
            questions=config.questions,
            edges=edges,
            thoughts=max(plan.thoughts, *plan.hop_weights),
            hop_weights=plan.hop_weights if widening else {h: 1.0 + 0.3 * h for h in range(1, 7)},
            special=plan.special if edges >= 16 and not walks else 0.0,
            walks=walks,
        )

    def ask(self, stage: Stage) -> Ask:
        """Return how a batch is asked at a stage of the curriculum."""
        plan = self.config.curriculum
        return Ask(
            stage.thoughts if self.method.curriculum else plan.thoughts,
            self.method,
            self.config.mixing,
            removed_tokens(plan, stage, STEP_TOKENS),
            plan.chain_graphs,
        )

    def forward(self, batch: GraphBatch, stage: Stage, generator: torch.Generator) -> Result:
        """Return the loss of a batch and what was measured on the way."""
        device = self.model.device
        with torch.device(device):  # masks and positions are made there too
            return packed_loss(Weights.of(self.model, self.dtype), batch.to(device), self.ask(stage), generator)


@dataclass(frozen=True)
class RowBatch:
    """The rows of one step."""

    rows: Rows
    labels: Int[Tensor, "batch columns"]
    """The token to be learned at each column, IGNORE where none is."""

    @classmethod
    def of(cls, rows: Sequence[Row], *, pad: int, thought: int, feeds_hidden: bool) -> "RowBatch":
        """Lay out rows side by side; slots of all rows are in the same columns.

        Args:
            rows: The rows.
            pad: Token id of padding.
            thought: Token id that stands in a slot.
            feeds_hidden: Whether the last hidden state is fed in the slots; else the embedding of that token.
        """
        laid = collate(
            [r.prompt for r in rows], [r.slots for r in rows], [r.rest for r in rows], pad=pad, thought=thought
        )
        begin, labels = max(len(r.prompt) for r in rows), torch.full_like(laid.ids, IGNORE)
        for number, r in enumerate(rows):
            learned = [token if asked else IGNORE for token, asked in zip(r.rest, r.supervised, strict=True)]
            labels[number, begin + r.slots : begin + r.slots + len(r.rest)] = torch.tensor(learned)
        return cls(laid if feeds_hidden else replace(laid, is_thought=torch.zeros_like(laid.is_thought)), labels)

    def to(self, device: torch.device) -> "RowBatch":
        """Return the batch on a device."""
        rows = Rows(*(tensor.to(device) for tensor in (self.rows.ids, self.rows.is_thought, self.rows.mask)))
        return RowBatch(rows, self.labels.to(device))


class RowStep(nn.Module):
    """Draws rows of training problems at a stage, and computes their loss."""

    def __init__(self, checkpoint: Checkpoint, config: TrainConfig, items: Sequence[Problem | Item]) -> None:
        """Prepare.

        Args:
            checkpoint: Model and format to train; the model is put into training mode.
            config: The run.
            items: Problems to train on.
        """
        super().__init__()
        self.model = checkpoint.model.train()
        self.format, self.config, self.items = checkpoint.format, config, items
        self.method = find_method(config.method)
        mixing_share(config.mixing)  # a wrong one is refused now
        self.plan = self._make_plan()
        # FSDP reads here which layers to shard one by one.
        self._no_split_modules = sorted(checkpoint.model._no_split_modules or ())

    def _make_plan(self) -> Plan:
        thoughts = self.config.curriculum.thoughts
        last = thoughts + any(len(item.steps) > thoughts for item in self.items)
        if self.method.said != "tail":
            return Plan(thoughts, last)
        prompts = self.format.prompts(list(self.items))
        longest = max(chain_length(self.format, prompt) for prompt in prompts)
        return Plan(thoughts, last, math.ceil(longest / max(last, 1)))

    def tie_weights(self) -> None:
        """Tie input and output embeddings again; FSDP asks for it after it has moved them."""
        self.model.tie_weights()

    def stage_at(self, step: int) -> int:
        """Return the stage at a step: 0 (all in words) to `plan.last`."""
        return stage_at(self.config, step, self.plan.last)

    def draw(self, stage: Stage, step: int, rank: int) -> RowBatch:
        """Draw the batch of one step and process; problems are drawn with replacement.

        Args:
            stage: Not read: rows move on by the clock, see `rows.stage_at`.
            step: The step, from 0.
            rank: The process.
        """
        config, rng = self.config, np.random.default_rng([self.config.seed, rank, step])
        chosen = [self.items[i] for i in rng.integers(0, len(self.items), config.rows.batch)]
        current = self.stage_at(step)
        stages = np.full(len(chosen), current)
        if self.method.curriculum:
            stages = draw_stages(config.mixing, current, np.array([len(item.steps) for item in chosen]), rng)
        passed = min(1.0, step / config.rows.steps_per_stage - current)
        made = []
        for prompt, at in zip(self.format.prompts(chosen), stages.tolist(), strict=True):
            gone = tokens_gone(self.method, at, self.plan, rng, passed if at == current else 1.0)
            made.append(row(prompt, self.format, self.method, at, self.plan, gone))
        return RowBatch.of(
            made,
            pad=self.format.pad,
            thought=self.format.marker.thought,
            feeds_hidden=self.method.fed == "hidden",
        )

    def forward(self, batch: RowBatch, stage: Stage, generator: torch.Generator) -> Result:
        """Return the mean cross-entropy of all that is said in a batch, over the tokens of all processes.

        Args:
            batch: From `draw`.
            stage: Not read: rows hold all that was drawn.
            generator: Its seed is that of dropout, where the model has any.
        """
        device = self.model.device
        batch = batch.to(device)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(generator.initial_seed())
            hidden = self._hidden(batch.rows)
        target = batch.labels[:, 1:]
        said = target != IGNORE
        with torch.autocast(device.type, enabled=False):
            # Only what is said needs the LM head: of a large vocabulary, all logits would not fit into memory.
            total = F.cross_entropy(lm_head(self.model, hidden[:, :-1][said]), target[said], reduction="sum")
        nothing = torch.zeros(0, device=device)
        loss = total / _per_process(said.sum())
        return Result(loss, nothing, nothing, torch.full((), float("nan"), device=device))

    def _hidden(self, rows: Rows) -> Float[Tensor, "batch columns d"]:
        """Return the last hidden states; in bf16 only products are, so that thoughts stay as precise as embeddings."""
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            return states(self.model, rows.ids, rows.is_thought, rows.mask, passes=self._passes(rows))[0]

    def _passes(self, rows: Rows) -> int:
        """Return how many passes the process with most thoughts needs, where the processes share one model's weights.

        Each pass gathers them from all processes: were one to make fewer, the others would wait for it forever.
        """
        passes = torch.tensor(needed_passes(rows.is_thought), device=rows.ids.device)
        if isinstance(self, FSDPModule):
            dist.all_reduce(passes, dist.ReduceOp.MAX)
        return int(passes)


def _per_process(tokens: Int[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the mean number of learned tokens per process.

    Divided by it, losses whose gradients are averaged over processes give the gradient of one large batch, where the
    mean of each process's own mean would weigh a token by how few others its process happens to have.
    """
    mean = tokens.float()
    if dist.is_initialized() and torch.is_grad_enabled():  # not where one process evaluates alone
        dist.all_reduce(mean)
        mean = mean / dist.get_world_size()
    return mean
