"""One training step by token rows: any format, any causal language model of Hugging Face, every method.

A whole row, all its passes through the model among them, is one call of the module, so that whatever wraps it (DDP
averages gradients after one backward pass, FSDP gathers weights before one forward pass) sees one call for one loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn import functional as F

from workbench.batches import IGNORE
from workbench.checkpoint import Checkpoint
from workbench.coconut import Rows, collate, lm_head, needed_passes, states
from workbench.curriculum import Stage
from workbench.methods import find_method
from workbench.mixing import draw_stages, mixing_share
from workbench.objective import Result
from workbench.problem import Problem
from workbench.rows import Plan, Row, chain_length, row, stage_at, tokens_gone
from workbench.tasks.item import Item
from workbench.train_config import TrainConfig


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
