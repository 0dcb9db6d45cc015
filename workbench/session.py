"""A batch of prompts under way: think, branch off, go back, branch off again, without running anything twice."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from workbench.coconut import Edit, guard, lm_head, positions


class Tape(DynamicLayer):
    """Keys and values of one layer in a buffer that is written on the spot and can be wound back.

    The library's own layer copies everything it holds for every new token. Here a branch overwrites the one before it
    in the columns after the place where they part, so that they share what is before it. Not for training: what is
    overwritten is lost to the gradient.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.length = room, 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append keys and values [batch, heads, tokens, d_head] and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            shape = (*key_states.shape[:2], self.room, key_states.shape[3])
            self.keys, self.values = key_states.new_empty(shape), value_states.new_empty(shape)
        keys, values = cast(Tensor, self.keys), cast(Tensor, self.values)
        end = self.length + key_states.shape[2]
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def get_seq_length(self) -> int:
        """Return the number of columns written."""
        return self.length


class Session:
    """Prompts that have been read, with room for thoughts and branches.

    Args:
        model: A causal language model of Hugging Face.
        prompts: Token ids of the prompts; they are padded on the left.
        pad: Token id of padding.
        room: Columns to keep free for thoughts and the longest branch after them.
        spare: Columns beyond that for words that lie side by side in `spell`, which take no positions of their own.

    Raises:
        WorkbenchError: The rows need more positions than the model has, or the model cannot run thoughts.
    """

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], *, pad: int, room: int, spare: int = 0
    ) -> None:
        ids, mask = left_padded(prompts, pad, model.device)
        self.model, self.pad = model, pad
        self.mask: Bool[Tensor, "batch columns"] = guard(model, ids, mask, room)
        self.begin = ids.shape[1]
        """Columns of the prompts."""
        layers = [Tape(self.begin + room + spare) for _ in range(model.config.num_hidden_layers)]
        self._layers, self._cache = layers, Cache(layers=[*layers])
        self.last: Float[Tensor, "batch d"] = self._run(
            model.get_input_embeddings()(ids), self.mask, positions(self.mask)
        )[:, -1]
        """Hidden state after the final norm at the newest column."""

    @torch.inference_mode()
    def think(self, count: int, edit: Edit | None = None) -> Float[Tensor, "batch count d"]:
        """Feed thoughts back, each the last hidden state, and return them (as edited)."""
        thoughts, one = [], self.mask.new_ones(len(self.mask), 1)
        for k in range(1, count + 1):
            thought = self.last if edit is None else edit(k, self.last)
            thoughts.append(thought)
            self.last = self._feed(thought[:, None], one)[:, -1]
        return torch.stack(thoughts, 1) if thoughts else self.last[:, None][:, :0]

    def after(self, thoughts: int) -> None:
        """Go back to where that many thoughts had been fed; later thoughts are forgotten."""
        self.rewind(self.begin + thoughts)

    def rewind(self, columns: int) -> None:
        """Forget all columns but the first ones."""
        if columns > self.mask.shape[1]:
            raise ValueError(f"cannot go back to {columns} columns: there are only {self.mask.shape[1]}")
        self.mask = self.mask[:, :columns]
        for layer in self._layers:
            layer.length = columns

    @torch.inference_mode()
    def say(self, openings: Sequence[Sequence[int]]) -> Float[Tensor, "batch vocab"]:
        """Feed tokens, rows of any length but none empty, and return the logits of what comes next."""
        if all(len(opening) == len(openings[0]) for opening in openings):
            ids = torch.tensor(openings, device=self.mask.device)
            mask = self.mask.new_ones(ids.shape)
        else:
            ids, mask = left_padded(openings, self.pad, self.mask.device)
        self.last = self._feed(self.model.get_input_embeddings()(ids), mask)[:, -1]
        return lm_head(self.model, self.last)

    @torch.inference_mode()
    def go_on(self, logits: Float[Tensor, "batch vocab"], limit: int, end: int) -> Int[Tensor, "batch length"]:
        """Continue greedily until every row has said the end token, or for `limit` tokens.

        Args:
            logits: What `say` returned.
            limit: The most tokens to say.
            end: Token id that ends a row; it is repeated up to the length of the longest row.
        """
        said = logits.argmax(-1)
        tokens, done = [said], said == end
        while len(tokens) < limit and not done.all():
            said = self.say(said[:, None].tolist()).argmax(-1).masked_fill(done, end)
            tokens.append(said)
            done = done | (said == end)
        return torch.stack(tokens, 1)

    @torch.inference_mode()
    def spell(
        self, logits: Float[Tensor, "batch vocab"], spellings: Sequence[Sequence[Sequence[int]]]
    ) -> list[Float[Tensor, " words"]]:
        """Return the probability of every word: the product of its tokens' probabilities.

        All words of a row are read in one pass over the cache: they lie side by side, each blind to the others.

        Args:
            logits: What `say` returned; the words would come next.
            spellings: For each row, the token ids of each word.
        """
        first = logits.log_softmax(-1)
        width = max(sum(len(word) - 1 for word in words) for words in spellings)
        if width == 0:
            index = [torch.tensor([word[0] for word in words], device=first.device) for words in spellings]
            return [row[words].exp() for row, words in zip(first, index, strict=True)]
        columns = self.mask.shape[1]
        ids = torch.full((len(spellings), width), self.pad, device=first.device)
        sees = torch.eye(width, dtype=torch.bool, device=first.device).repeat(len(spellings), 1, 1)
        depth = torch.zeros(len(spellings), width, dtype=torch.long, device=first.device)
        for row, words in enumerate(spellings):
            start = 0
            for word in words:
                end = start + len(word) - 1
                ids[row, start:end] = torch.tensor(word[:-1], dtype=torch.long)
                sees[row, start:end, start:end] = sees.new_ones(end - start, end - start).tril()
                depth[row, start:end] = torch.arange(end - start)
                start = end
        past = self.mask[:, None].expand(-1, width, -1)
        hidden = self._run(
            self.model.get_input_embeddings()(ids),
            torch.cat([past, sees], 2)[:, None],
            self.mask.sum(1, keepdim=True) + depth,
        )
        for layer in self._layers:
            layer.length = columns
        later = lm_head(self.model, hidden).log_softmax(-1)
        found = []
        for row, words in enumerate(spellings):
            start, total = 0, [first[row, word[0]] for word in words]
            for number, word in enumerate(words):
                for offset, token in enumerate(word[1:]):
                    total[number] = total[number] + later[row, start + offset, token]
                start += len(word) - 1
            found.append(torch.stack(total).exp())
        return found

    def _feed(
        self, inputs: Float[Tensor, "batch new d"], mask: Bool[Tensor, "batch new"]
    ) -> Float[Tensor, "batch new d"]:
        """Append columns."""
        self.mask = torch.cat([self.mask, mask], 1)
        return self._run(inputs, self.mask, positions(self.mask)[:, -inputs.shape[1] :])

    @torch.inference_mode()
    def _run(self, inputs: Tensor, mask: Tensor, position: Tensor) -> Float[Tensor, "batch new d"]:
        if mask.dim() == 4:
            # A mask of four dimensions reaches the attention as it is, which adds it to the scores.
            mask = torch.zeros(mask.shape, dtype=inputs.dtype, device=mask.device).masked_fill(
                ~mask, torch.finfo(inputs.dtype).min
            )
        return self.model.base_model(
            inputs_embeds=inputs,
            past_key_values=self._cache,
            use_cache=True,
            attention_mask=mask,
            position_ids=position,
        ).last_hidden_state


def left_padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[Int[Tensor, "batch columns"], Bool[Tensor, "batch columns"]]:
    """Return token rows of unequal length as one tensor, and its mask."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(width, device=device) >= width - lengths[:, None]
