"""The loss of a training batch, the same for every task, format and method.

The sum of three means: over what the LM head is asked at the slots, over the answers, over the words of the chain;
each where the batch has it. The whole step is one call of one module, so that whatever wraps it (DDP averages gradients
after one backward pass, FSDP gathers weights before one forward pass) sees one call for one loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn import functional as F
from transformers import PreTrainedModel

from workbench.model.coconut import answer_reads, thoughts_of
from workbench.model.recurrence import recurrence_of
from workbench.train.batch import IGNORE, Labels, TrainBatch, Words
from workbench.train.fast import FastPass, supports
from workbench.train.forward import ForwardPass, ModelPass


@dataclass(frozen=True)
class Result:
    """Loss and metrics of one batch."""

    loss: Float[Tensor, ""]
    mass: Float[Tensor, " K"]
    """Mean raw mass of the LM head on the nodes at hop 1..K, over questions that have such nodes."""
    mass_count: Float[Tensor, " K"]
    """Questions behind each mean."""
    measured: dict[str, float] = field(default_factory=dict)
    """What else was measured of the batch."""


def batch_loss(
    run: ForwardPass, batch: TrainBatch, slots: int | None = None, totals: Sequence[float] | None = None
) -> Result:
    """Run a batch through its slots and everything that is learned from them.

    Args:
        run: The forward pass, with the prefix already run.
        batch: What to run, on the model's device.
        slots: Run at least so many slots, whatever the batch needs; it changes no number.
        totals: What the sums are divided by, where several batches are one step's; by default `batch.totals`.
    """
    hidden = _think(run, batch, max(batch.slots, slots or 0))
    mass = count = torch.zeros(batch.frontier.shape[2], device=run.device)
    measured: dict[str, float] = {}
    terms = [(mass.sum(), 0.0)]  # of the slots; it is there in every process, whatever its batch
    if hidden is not None and batch.frontier.shape[2]:
        log_p = run.logits(hidden[:, :, batch.per_step - 1 : batch.slots : batch.per_step]).log_softmax(-1)
        mass, count = _mass(log_p.detach().exp(), batch)
        if batch.heads is not None:
            picked = log_p.flatten(0, 2)[batch.heads.at, batch.heads.token]
            terms[0] = (-(picked * batch.heads.weight).sum(), batch.heads.total)
    read = _read_by_words(run, batch, hidden)
    for words in batch.words:
        here = read if len(words.ids) == read.graphs else read.first(len(words.ids))
        said = (here.ask if words.alone else here.say)(here.embed(words.ids), _after(run, batch, words))
        logits = _said(run, said.flatten(0, 2), words.labels)
        terms.append((F.cross_entropy(logits, words.labels.token, reduction="sum"), words.labels.total))
        if batch.measured and not words.alone:
            measured |= _right(logits, words)
    sums, weights = zip(*terms, strict=True)
    counted = _per_process(torch.tensor(weights if totals is None else totals, device=run.device))
    return Result((torch.stack(sums) / counted).sum(), mass, count, measured)


def _think(run: ForwardPass, batch: TrainBatch, slots: int) -> Float[Tensor, "G M slots d"] | None:
    """Feed questions and slots; return the hidden state before each slot: thought 1 and so on."""
    thought = run.feed(run.embed(batch.question), read_last=1 if slots else 0)
    if not slots:
        return None
    if batch.pause is not None:
        # Nothing fed depends on anything computed: all slots in one pass.
        ids = torch.full((*batch.question.shape[:2], slots), batch.pause, device=run.device)
        return torch.cat([thought, run.feed(run.embed(ids), read_last=slots)[:, :, :-1]], 2)
    recurrence, hidden = recurrence_of(run.model), [thought]
    for k in range(1, slots + 1):
        if k == slots and not batch.words:  # nothing sees the last thought
            break
        read = hidden[-1]
        fed = thoughts_of(run.model, recurrence, read.flatten(0, 2), k, []).view_as(read) if recurrence.apart else read
        made = run.feed(fed, read_last=int(k < slots))
        if k < slots:
            hidden.append(made)
    return torch.cat(hidden, 2)


def _read_by_words(run: ForwardPass, batch: TrainBatch, hidden: Float[Tensor, "G M slots d"] | None) -> ForwardPass:
    """Return the pass in which words are said: one of the slots alone where they read nothing else."""
    if answer_reads(run.model) != "thoughts":
        return run
    alone = type(run)(run.model, batch.prefix[:, :0], run.branches, None, run.dtype)
    if hidden is not None:
        pauses = torch.full(hidden.shape[:3], 0 if batch.pause is None else batch.pause, device=run.device)
        alone.feed(hidden if batch.pause is None else run.embed(pauses), read_last=0)
    return alone


def _after(run: ForwardPass, batch: TrainBatch, words: Words) -> Int[Tensor, "G M *t"]:
    """Return the last column that words read, of the pass in which they are said (`coconut.answer_reads`)."""
    reads, question = answer_reads(run.model), batch.question.shape[2]
    if reads == "thoughts":
        return words.after - question
    return words.after.clamp(max=question - 1) if reads == "prompt" else words.after


def _mass(p: Float[Tensor, "G M K V"], batch: TrainBatch) -> tuple[Float[Tensor, " K"], Float[Tensor, " K"]]:
    """Return the mean probability of the frontier's tokens at each hop, and the questions that have a frontier."""
    real = batch.frontier != IGNORE
    on_frontier = (p.gather(-1, batch.frontier.clamp(min=0)) * real).sum(-1)
    count = real.any(-1).sum((0, 1)).float()
    return on_frontier.sum((0, 1)) / count.clamp(min=1), count


def _said(run: ForwardPass, hidden: Float[Tensor, "places d"], labels: Labels) -> Float[Tensor, "n vocab"]:
    # Only what is learned needs the LM head: of a large vocabulary, all logits would not fit into memory.
    return run.logits(hidden[labels.at])


def _right(logits: Float[Tensor, "n vocab"], words: Words) -> dict[str, float]:
    """Return the share of labels, and of rows with all their labels, that are the likeliest token."""
    right = (logits.detach().argmax(-1) == words.labels.token).float()
    row = words.labels.at // words.ids.shape[2]
    least = torch.ones(words.ids.shape[:2].numel(), device=right.device).scatter_reduce(0, row, right, "amin")
    return {"tokens_right": float(right.mean()), "rows_right": float(least[row.unique()].mean())}


def _per_process(weights: Float[Tensor, " terms"]) -> Float[Tensor, " terms"]:
    """Return the mean number of labels per process.

    Divided by it, losses whose gradients are averaged over processes give the gradient of one large batch, where the
    mean of each process's own mean would weigh a label by how few others its process happens to have.
    """
    if dist.is_initialized() and torch.is_grad_enabled():  # not where one process evaluates alone
        dist.all_reduce(weights)
        weights = weights / dist.get_world_size()
    return torch.where(weights > 0, weights, 1)


def open_pass(model: PreTrainedModel, batch: TrainBatch, dtype: torch.dtype, whole: bool = True) -> ForwardPass:
    """Begin the forward pass of a batch: the fast one where it knows the model.

    Args:
        model: The model.
        batch: On the model's device.
        dtype: Of the matrix products.
        whole: Whether this process holds all weights; else the model's own modules have to be called.
    """
    kind = FastPass if whole and supports(model) else ModelPass
    return kind(model, batch.prefix, batch.question.shape[1], batch.pads, dtype)


class TrainStep(nn.Module):
    """Computes the loss of a batch.

    Args:
        model: What is trained.
        precision: "bf16" or "fp32", of the matrix products.
    """

    def __init__(self, model: PreTrainedModel, precision: str) -> None:
        super().__init__()
        self.model = model
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        # FSDP reads here which layers to shard one by one.
        self._no_split_modules = sorted(model._no_split_modules or ())

    def tie_weights(self) -> None:
        """Tie input and output embeddings again; FSDP asks for it after it has moved them."""
        self.model.tie_weights()

    def forward(self, batch: TrainBatch, seed: int, totals: Sequence[float] | None = None) -> Result:
        """Return the loss of a batch, a mean over the labels of all processes, and what was measured on the way.

        Args:
            batch: On any device.
            seed: Of dropout, where the model has any.
            totals: Mean of `TrainBatch.totals` over the batches of this process that are one step's.
        """
        device, sharded = self.model.device, isinstance(self, FSDPModule)
        batch = batch.to(device)
        slots = torch.tensor(batch.slots, device=device)
        if sharded:
            # Each pass gathers the weights from all processes: were one to make fewer, the others would wait forever.
            dist.all_reduce(slots, dist.ReduceOp.MAX)
        cards = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(cards), torch.autocast(device.type, enabled=False):  # the pass says what is bf16
            torch.manual_seed(seed)
            run = open_pass(self.model, batch, self.dtype, whole=not sharded)
            return batch_loss(run, batch, int(slots) if sharded else None, totals)
