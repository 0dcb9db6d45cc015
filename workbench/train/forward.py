"""The forward pass of a training step: many questions on one prefix, thoughts, and words after any of them.

`ForwardPass` is the interface: `feed` runs tokens or thoughts that everything later sees, `ask` and `say` run words
that nothing later sees, `logits` reads the LM head. `ModelPass` does it with an unmodified Hugging Face model: the
key-value cache and an attention mask of four dimensions. `workbench.train.fast` does the same faster for some models.
"""

import copy
from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from workbench.model.coconut import guard, lm_head


class ForwardPass(ABC):
    """One batch under way: G graphs with M questions each, blind to each other.

    Args:
        model: What is run; gradients flow back to its parameters.
        prefix: Token ids that the questions of a graph share [G, T]; T may be 0.
        branches: Questions per graph, M.
        pads: Columns of padding at the left of each question; None for none.
        dtype: Of the matrix products.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prefix: Int[Tensor, "G T"],
        branches: int,
        pads: Int[Tensor, "G M"] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model, self.branches, self.dtype = model, branches, dtype
        self.pads: Int[Tensor, "G M"] | None = pads
        self.graphs, self.length = prefix.shape
        self.device = prefix.device
        self.widths: list[int] = []
        """Columns of each pass that was fed, the same in all questions."""
        self._begin(prefix)

    @property
    def fed(self) -> int:
        """Columns of each question so far."""
        return sum(self.widths)

    def embed(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d"]:
        """Return the input embeddings of tokens."""
        return self.model.get_input_embeddings()(ids)

    def logits(self, hidden: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch vocab"]:
        """Return the logits of the LM head, in fp32 or better (bf16 would round a logit of 20 to 1/8)."""
        return lm_head(self.model, hidden)

    def feed(self, inputs: Float[Tensor, "G M t d"], *, read_last: int) -> Float[Tensor, "G M read_last d"]:
        """Run t more columns of every question, which later passes will see.

        Args:
            inputs: Input embeddings, or thoughts.
            read_last: Of how many columns at the end the hidden states are wanted.

        Returns:
            Hidden states after the final norm: what the LM head reads, and the next thought.
        """
        t = inputs.shape[2]
        column = self.fed + self._range(t)
        hidden = self._range(self.fed + t) > column[:, None]
        out = self._run(inputs, *self._shifted(column[None, None], hidden[None, None]), read_last, keep=True)
        self.widths.append(t)
        return out

    def ask(self, inputs: Float[Tensor, "G M t d"], after: Int[Tensor, "G M t"]) -> Float[Tensor, "G M t d"]:
        """Run tokens that each stand alone after some column of their question; later passes do not see them.

        Args:
            inputs: Input embeddings.
            after: For each token, the column after which it stands; it sees nothing later.
        """
        alone = ~torch.eye(inputs.shape[2], dtype=torch.bool, device=self.device)
        return self._aside(inputs, after, after + 1, alone)

    def say(self, inputs: Float[Tensor, "G M t d"], after: Int[Tensor, "G M"]) -> Float[Tensor, "G M t d"]:
        """Run t tokens one after another from some column of their question on; later passes do not see them.

        Args:
            inputs: Input embeddings.
            after: For each question, the column after which its tokens stand.
        """
        step = self._range(inputs.shape[2])
        after = after[..., None].expand(*after.shape, len(step))
        return self._aside(inputs, after, after + 1 + step, step[None, :] > step[:, None])

    def _aside(
        self,
        inputs: Float[Tensor, "G M t d"],
        after: Int[Tensor, "G M t"],
        column: Int[Tensor, "G M t"],
        hidden_here: Bool[Tensor, "t t"],
    ) -> Float[Tensor, "G M t d"]:
        """Run tokens that see their question up to `after`, and of this pass what is not `hidden_here`."""
        late = self._range(self.fed) > after[..., None]
        hidden = torch.cat([late, hidden_here.expand(*late.shape[:2], -1, -1)], -1)
        return self._run(inputs, *self._shifted(column, hidden), inputs.shape[2], keep=False)

    def _shifted(
        self, column: Int[Tensor, "#G #M t"], hidden: Bool[Tensor, "#G #M t past"]
    ) -> tuple[Int[Tensor, "#G #M t"], Bool[Tensor, "#G #M t past"]]:
        """Return the positions of columns, and hide padding; a column of padding sees itself alone."""
        if self.pads is None:
            return column, hidden
        past, begin = self._range(hidden.shape[-1]), self.pads[..., None]
        padding = (past < begin[..., None]) & (past != column[..., None])
        return (column - begin).clamp(min=0), hidden | padding

    def _range(self, end: int) -> Int[Tensor, " end"]:
        return torch.arange(end, device=self.device)

    def first(self, graphs: int) -> "ForwardPass":
        """Return the same batch with only its first graphs, sharing keys and values."""
        part = copy.copy(self)
        part.graphs, part.widths = graphs, list(self.widths)
        part.pads = None if self.pads is None else self.pads[:graphs]
        part._keep(graphs)
        return part

    def fork(self, answers: int) -> "ForwardPass":
        """Return the same batch with each question taken several times, sharing keys and values so far.

        Args:
            answers: How many times; the copies of a question stand side by side.
        """
        part = copy.copy(self)
        part.branches, part.widths = self.branches * answers, list(self.widths)
        part.pads = None if self.pads is None else self.pads.repeat_interleave(answers, 1)
        part._repeat(answers)
        return part

    @abstractmethod
    def _begin(self, prefix: Int[Tensor, "G T"]) -> None:
        """Run the prefix, whose keys and values everything later sees."""

    @abstractmethod
    def _keep(self, graphs: int) -> None:
        """Hold the keys and values of the first graphs only, without a change to those held before."""

    @abstractmethod
    def _repeat(self, answers: int) -> None:
        """Hold the keys and values of each question several times, without a change to those held before."""

    @abstractmethod
    def _run(
        self,
        inputs: Float[Tensor, "G M t d"],
        position: Int[Tensor, "#G #M t"],
        hidden: Bool[Tensor, "#G #M t past"],
        read: int,
        keep: bool,
    ) -> Float[Tensor, "G M read d"]:
        """Run tokens, blind to those columns of their own question that are `hidden` (the new ones come last).

        Args:
            inputs: Input embeddings.
            position: Positions within the question, counted from the end of the prefix.
            hidden: What each token does not see of the columns of its own question.
            read: Of how many tokens at the end the hidden states are wanted.
            keep: Whether later passes see the tokens.
        """


class ModelPass(ForwardPass):
    """The forward pass of any causal language model of Hugging Face, called as it is; arguments as `ForwardPass`.

    Raises:
        WorkbenchError: Gradient checkpointing is on, or attention does not reach all that came before.
    """

    def _begin(self, prefix: Int[Tensor, "G T"]) -> None:
        guard(self.model, prefix, torch.ones(prefix.shape))
        self.cache = DynamicCache(config=self.model.config)
        self.before: Tensor | float = 0.0
        if self.length:
            self._call(self.embed(prefix), self._range(self.length)[None], None)

    def _call(self, inputs: Float[Tensor, "G t d"], position: Tensor, mask: Tensor | None) -> Float[Tensor, "G t d"]:
        # In bf16 only products are, so that thoughts stay as precise as embeddings.
        half = self.dtype == torch.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            out = self.model.base_model(
                inputs_embeds=inputs + self.before,
                past_key_values=self.cache,
                use_cache=True,
                attention_mask=mask,
                position_ids=position,
            ).last_hidden_state
        # FSDP gathers the weights of a layer for its backward pass when its output gets a gradient. Not all outputs are
        # read, so each pass is made to depend on the one before it.

        self.before = 0 * out.sum().to(inputs.dtype)
        return out

    def _run(
        self, inputs: Tensor, position: Tensor, hidden: Tensor, read: int, keep: bool
    ) -> Float[Tensor, "G M read d"]:
        graphs, branches, t, _ = inputs.shape
        hidden = hidden.expand(-1, branches, -1, -1)
        blocks, own = [hidden.new_zeros(len(hidden), branches, t, self.length)], self._range(branches)
        for part in hidden.split([*self.widths, t], -1):  # the cache holds all questions' columns, pass after pass
            block = part.new_ones(len(part), branches, t, branches, part.shape[-1])
            block[:, own, :, own] = part.transpose(0, 1)
            blocks.append(block.flatten(3))
        blind = torch.cat(blocks, -1).flatten(1, 2)[:, None].expand(graphs, -1, -1, -1)
        mask = torch.zeros(blind.shape, dtype=inputs.dtype, device=self.device)
        mask = mask.masked_fill_(blind, torch.finfo(inputs.dtype).min)
        position = self.length + position.expand(graphs, branches, t).flatten(1)
        out = self._call(inputs.flatten(1, 2), position, mask).unflatten(1, (branches, t))
        if not keep:
            self.cache.crop(-branches * t)
        return out[:, :, t - read :]

    def _keep(self, graphs: int) -> None:
        held = cast(list[DynamicLayer], self.cache.layers)
        self.cache = DynamicCache(config=self.model.config)
        for index, layer in enumerate(held):
            self.cache.update(cast(Tensor, layer.keys)[:graphs], cast(Tensor, layer.values)[:graphs], index)

    def _repeat(self, answers: int) -> None:
        held = cast(list[DynamicLayer], self.cache.layers)
        self.cache = DynamicCache(config=self.model.config)
        for index, layer in enumerate(held):
            keys, values = (self._repeated(cast(Tensor, one), answers) for one in (layer.keys, layer.values))
            self.cache.update(keys, values, index)

    def _repeated(
        self, held: Float[Tensor, "G heads columns d_head"], answers: int
    ) -> Float[Tensor, "G heads more d_head"]:
        prefix, *passes = held.split([self.length, *(self.branches // answers * width for width in self.widths)], 2)
        taken = [
            one.unflatten(2, (-1, width)).repeat_interleave(answers, 2).flatten(2, 3)
            for one, width in zip(passes, self.widths, strict=True)
        ]
        return torch.cat([prefix, *taken], 2)
