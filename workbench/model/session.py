"""The cached run of a batch: `Session` reads prompts and thinks, `Branches` are what is said after the thoughts.

`in_batches` is the one loop over a problem set: every experiment runs through it, here or on the workers of a cluster
(`engines.engine`). `coconut.forward` computes the same without a cache that can be rewound, and is the reference.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from workbench.errors import WorkbenchError
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import Edit, answer_reads, guard, lm_head, positions, thoughts_of
from workbench.model.engines import Result, current_engine
from workbench.model.prompts import Prompt
from workbench.model.recurrence import ended, prompt_keys, recurrence_of
from workbench.problems.problem import Item, Problem


class RewindableCache(DynamicLayer):
    """Keys and values of one layer, in a buffer that is written in place and can be rewound.

    `DynamicLayer` copies everything it holds for every new token. So does this one where gradients are recorded:
    writing in place would destroy what the backward pass needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append keys and values [batch, heads, tokens, d_head] and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        end = self.length + key_states.shape[2]
        if torch.is_grad_enabled() or cast(Tensor, self.keys).requires_grad:
            held = (cast(Tensor, buffer)[:, :, : self.length] for buffer in (self.keys, self.values))
            self.keys, self.values = (
                torch.cat([old, new], 2) for old, new in zip(held, (key_states, value_states), strict=True)
            )
            self.length = end
            return self.keys, self.values
        keys, values = (self._with_room(cast(Tensor, buffer), end) for buffer in (self.keys, self.values))
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.keys, self.values, self.length = keys, values, end
        return keys[:, :, :end], values[:, :, :end]

    def _with_room(self, buffer: Tensor, end: int) -> Tensor:
        """Return the buffer if it has enough columns, else a half larger copy."""
        if end <= buffer.shape[2]:
            return buffer
        larger = buffer.new_empty(*buffer.shape[:2], end + end // 2, buffer.shape[3])
        larger[:, :, : self.length] = buffer[:, :, : self.length]
        return larger

    def get_seq_length(self) -> int:
        """Return the number of columns written."""
        return self.length


class Session:
    """Prompts that have been read, and the thoughts after them.

    Gradients flow through everything, thoughts and branches, where they are recorded; `in_batches` switches that off.

    Args:
        model: A causal language model of Hugging Face.
        prompts: Token ids of the prompts; they are padded on the left.
        pad: Token id of padding.
        more: Positions that thoughts and the longest branch will take.

    Raises:
        WorkbenchError: The rows need more positions than the model has, or the model cannot run thoughts.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], *, pad: int, more: int) -> None:
        ids, mask = left_padded(prompts, pad, model.device)
        self.model, self.pad = model, pad
        self.mask: Bool[Tensor, "batch columns"] = guard(model, ids, mask, more)
        """False on padding, over the columns of prompts and thoughts."""
        self.begin = ids.shape[1]
        """Columns of the prompts."""
        self._layers = [RewindableCache() for _ in range(model.config.num_hidden_layers)]
        self._cache = Cache(layers=[*self._layers])
        self.feeding = 0
        """Number of the thought that the pass under way feeds; 0 where it feeds tokens."""
        self.making = 0
        """Number of the thought that the pass under way makes; 0 where what it computes is not fed."""
        self.fed = [0]
        """Columns that 0, 1, ... thoughts take; one that is left out takes none."""
        self.again = (0, 0)
        """First column, and the one after the last, of the thoughts as they are fed again to an answer that reads
        nothing else."""
        self.feeding_again = False
        """Whether the pass under way does that."""
        self._vectors: list[Tensor] = []
        self._fed: list[Tensor] = []
        self.stops: Int[Tensor, " batch"] | None = None
        """After how many thoughts each row's stop rule ended them, where the model has one; words after more thoughts
        than that read no more of them."""
        self.one_by_one = False
        """Whether thoughts that are made at once are then read one after the other, so that hooks see each."""
        self._recurrence = recurrence_of(model)
        self._keys = prompt_keys(ids, self.mask) if self._recurrence.apart else []
        self.last: Float[Tensor, "batch d"] = self.feed(self.embed(ids), self.mask, positions(self.mask))[:, -1]
        """Hidden state after the final norm at the newest column."""
        self._read, self._end_ids = self.last, ids[:, -1:]
        self._end_columns: list[tuple[Tensor, Tensor]] = []

    def think(
        self, count: int, edit: Edit | None = None, pause: int | None = None, without: Collection[int] = ()
    ) -> Float[Tensor, "batch count d"]:
        """Think, and return what the LM head reads of each thought; `vectors` is what was fed.

        The two are one, the last hidden state as edited, where the model feeds that itself (`Recurrence.apart`). Else
        what is read are the hidden states that thoughts were made of; an edit changes what is fed.

        Args:
            count: How many thoughts.
            edit: An intervention on what is fed.
            pause: Feed this token's embedding in place of every thought. The hidden states that would have been
                fed are returned then, so that all readings of thoughts apply to pauses as well.
            without: Numbers of thoughts that are not fed at all: they take no column and no position, and the next one
                is made of the same hidden state.
        """
        recurrence = self._recurrence
        if recurrence.sweeps and pause is None and count:
            return self._think_at_once(count, edit, without)
        read, token = [], None
        if pause is not None:
            token = self.embed(torch.full((len(self.mask),), pause, device=self.mask.device))
        for k in range(1, count + 1):
            fed = thoughts_of(self.model, recurrence, self.last, k, self._keys) if token is None else token
            fed = fed if edit is None else edit(k, fed)
            read.append(self.last if recurrence.apart or token is not None else fed)
            self._fed.append(fed)
            self.fed.append(self.fed[-1] + (k not in without))
            if k not in without:
                self._feed_thought(fed, k, count)
        states = torch.stack(read, 1) if read else self.last[:, None][:, :0]
        if recurrence.stop != "count" and pause is None:
            self.stops = ended(recurrence, lm_head(self.model, states))
        return states

    def _feed_thought(self, fed: Float[Tensor, "batch d"], k: int, count: int) -> None:
        self._vectors.append(fed)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], 1)
        self.feeding, self.making = k, k + 1 if k < count else 0
        self.last = self.feed(fed[:, None], self.mask, positions(self.mask)[:, -1:])[:, -1]
        self.feeding = self.making = 0

    def _think_at_once(self, count: int, edit: Edit | None, without: Collection[int]) -> Float[Tensor, "batch count d"]:
        """Make all thoughts in sweeps: each of the state before it in the sweep before (`Recurrence.sweeps`)."""
        kept = [k for k in range(1, count + 1) if k not in without]
        before = [sum(k < number for k in kept) for number in range(1, count + 1)]
        begin, rows = self.columns, len(self.mask)
        held = self.embed(torch.full((rows, len(kept)), self._recurrence.token, device=self.mask.device))
        mask = torch.cat([self.mask, self.mask.new_ones(rows, len(kept))], 1)
        place = positions(mask)[:, self.mask.shape[1] :]

        def run(vectors: Float[Tensor, "batch kept d"]) -> Float[Tensor, "batch states d"]:
            self.rewind(begin)
            found = self.feed(vectors, mask, place) if kept else vectors
            return torch.cat([self.last[:, None], found], 1)

        self.feeding_again = True  # no hook acts on what is fed only to be made anew
        states, read, fed = run(held), held, held
        for _ in range(self._recurrence.sweeps):
            read = states[:, before]
            made = [thoughts_of(self.model, self._recurrence, read[:, k - 1], k, []) for k in range(1, count + 1)]
            fed = torch.stack(made if edit is None else [edit(k, one) for k, one in enumerate(made, 1)], 1)
            states = run(fed[:, [k - 1 for k in kept]])
        self.feeding_again = False
        self._fed += fed.unbind(1)
        self.fed += [before[number] + (number + 1 in kept) for number in range(count)]
        if self.one_by_one:
            self.rewind(begin)
            for k in kept:
                self._feed_thought(fed[:, k - 1], k, count)
        else:
            self._vectors += [fed[:, k - 1] for k in kept]
            self.mask, self.last = mask, states[:, -1]
        return read if self._recurrence.apart else fed

    @property
    def vectors(self) -> Float[Tensor, "batch count d"]:
        """What was fed as each thought (as edited); of one that was left out, what would have been fed."""
        return torch.stack(self._fed, 1) if self._fed else self.last[:, None][:, :0]

    def embed(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d"]:
        """Return the input embeddings of tokens."""
        return self.model.get_input_embeddings()(ids)

    @property
    def columns(self) -> int:
        """Columns in the cache: prompts, thoughts, and what branches have said."""
        return self._layers[0].length

    @property
    def end(self) -> int:
        """Columns of the prompts and the thoughts."""
        return self.begin + self.fed[-1]

    def restart(self) -> None:
        """Forget the thoughts and all that was said; the prompts stay read."""
        for layer, (keys, values) in zip(self._layers, self._end_columns, strict=False):
            cast(Tensor, layer.keys)[:, :, self.begin - 1] = keys
            cast(Tensor, layer.values)[:, :, self.begin - 1] = values
        self._end_columns = []
        self.rewind(self.begin)
        self.mask, self.fed, self.last = self.mask[:, : self.begin], [0], self._read
        self.again, self._vectors, self._fed, self.stops = (0, 0), [], [], None

    def reread_end(self) -> None:
        """Read the last token of the prompts again, alone: hooks then act where thought 1 is made. Undone by `restart`.

        No thought may be fed yet. Not where gradients are recorded.
        """
        last = self.begin - 1
        held = [(cast(Tensor, layer.keys), cast(Tensor, layer.values)) for layer in self._layers]
        self._end_columns = [(keys[:, :, last].clone(), values[:, :, last].clone()) for keys, values in held]
        self.rewind(last)
        self.making = 1
        self.last = self.feed(self.embed(self._end_ids), self.mask, positions(self.mask)[:, -1:])[:, -1]
        self.making = 0

    def seen_after(self, after: Sequence[int]) -> Bool[Tensor, "batch branches columns"]:
        """Return which columns of the cache words after so many thoughts read (`coconut.answer_reads`).

        For an answer that reads the thoughts alone, they are fed once more, blind to the prompt.
        """
        reads, columns = answer_reads(self.model), torch.arange(self.columns, device=self.mask.device)
        depths = columns.new_tensor(list(after)).expand(len(self.mask), -1)
        depths = depths if self.stops is None else torch.minimum(depths, self.stops[:, None])
        ends = columns.new_tensor(self.fed)[depths]
        if reads != "thoughts":
            ends = self.begin + (ends if reads == "all" else torch.zeros_like(ends))
            return self.mask[:, None] & (columns[: self.mask.shape[1]] < ends[..., None])
        first, count, rows = self.columns, self.fed[-1], len(self.mask)
        self.again = (first, first + count)
        if count:
            inside = self.mask.new_ones(count, count).tril()
            seen = torch.nn.functional.pad(inside, (first, 0)).expand(rows, -1, -1)
            self.feeding_again = True
            self.feed(torch.stack(self._vectors, 1), seen, columns.new_tensor(range(count)).expand(rows, -1))
            self.feeding_again = False
        columns = torch.arange(first + count, device=self.mask.device)
        return (columns >= first) & (columns < first + ends[..., None])

    def rewind(self, columns: int) -> None:
        """Forget all columns of the cache but the first ones."""
        for layer in self._layers:
            layer.length = columns

    def feed(
        self,
        inputs: Float[Tensor, "batch new d"],
        mask: Bool[Tensor, "batch columns"] | Bool[Tensor, "batch new columns"],
        position: Int[Tensor, "batch new"],
    ) -> Float[Tensor, "batch new d"]:
        """Append columns to the cache and return their hidden states after the final norm.

        Args:
            inputs: Input embeddings.
            mask: What is no padding (attention is then causal), or for each new column what it sees.
            position: Position of each new column.
        """
        given: Tensor = mask
        if mask.dim() == 3:
            # A mask of four dimensions reaches the attention as it is, which adds it to the scores.
            hidden_from = torch.finfo(inputs.dtype).min
            given = torch.zeros(mask.shape, dtype=inputs.dtype, device=mask.device).masked_fill_(~mask, hidden_from)
            given = given[:, None]
        return self.model.base_model(
            inputs_embeds=inputs,
            past_key_values=self._cache,
            use_cache=True,
            attention_mask=given,
            position_ids=position,
        ).last_hidden_state


class Branches:
    """Continuations after several numbers of thoughts, side by side on one cache; none sees the others.

    All of them are read in the same passes, so that the prompt's keys are fetched once for all.

    Args:
        session: Prompts and thoughts; nothing may be thought after this.
        after: For each branch, the number of thoughts it sees.
    """

    def __init__(self, session: Session, after: Sequence[int]) -> None:
        self.session = session
        self.sees: Bool[Tensor, "batch branches columns"] = session.seen_after(after)
        self._pad_columns()
        self.position: Int[Tensor, "batch branches"] = self.sees.sum(2)
        """Position of the next token of each branch."""

    def _pad_columns(self) -> None:
        """Hide the columns that came into the cache since the last pass: they belong to other branches."""
        missing = self.session.columns - self.sees.shape[2]
        self.sees = torch.nn.functional.pad(self.sees, (0, missing))

    def say(self, said: Sequence[Sequence[Sequence[int]]]) -> Float[Tensor, "batch branches vocab"]:
        """Feed tokens and return the logits of what comes next.

        Args:
            said: For each row and branch, its token ids, at least one.
        """
        count, device = len(said[0]), self.sees.device
        ids, real = left_padded([tokens for row in said for tokens in row], self.session.pad, device)
        width = ids.shape[1]
        real = real.view(len(said), count, width)
        hidden = self._feed(ids.view(len(said), -1), real)
        return lm_head(self.session.model, hidden.view(len(said), count, width, -1)[:, :, -1])

    def _feed(
        self, ids: Int[Tensor, "batch new"], real: Bool[Tensor, "batch branches width"]
    ) -> Float[Tensor, "batch new d"]:
        rows, count, width = real.shape
        self._pad_columns()
        inside = torch.ones(width, width, dtype=torch.bool, device=real.device).tril()
        own = (inside & real[:, :, None]).new_zeros(rows, count, width, count, width)
        branch = torch.arange(count, device=real.device)
        own[:, branch, :, branch] = (inside & real[:, :, None]).transpose(0, 1)
        mask = torch.cat([self.sees[:, :, None].expand(-1, -1, width, -1), own.flatten(3)], 3)
        place = (self.position[:, :, None] + real.long().cumsum(2) - 1).clamp(min=0)
        hidden = self.session.feed(self.session.embed(ids), mask.flatten(1, 2), place.flatten(1))
        self.sees = torch.cat([self.sees, own[:, :, -1].flatten(2)], 2)
        self.position = self.position + real.sum(2)
        return hidden

    def go_on(self, logits: Float[Tensor, "batch branches vocab"], limit: int, end: int) -> list[list[list[int]]]:
        """Continue greedily until every branch has said the end token, or for `limit` tokens; then close the branches.

        Args:
            logits: What `say` returned.
            limit: The most tokens to say.
            end: Token id that ends a branch.

        Returns:
            For each row and branch, the tokens; after the end token it goes on with end tokens.
        """
        token = logits.argmax(-1)
        tokens, active = [token], torch.arange(token.shape[1], device=token.device)
        done = token == end
        while len(tokens) < limit and not done.all():
            keep = ~done.all(0)[active]  # a branch that has ended in every row is fed no more
            active, self.sees, self.position = active[keep], self.sees[:, keep], self.position[:, keep]
            fed = token[:, active]
            hidden = self._feed(fed, torch.ones_like(fed, dtype=torch.bool)[:, :, None])
            token = token.clone()
            token[:, active] = lm_head(self.session.model, hidden).argmax(-1)
            token = token.masked_fill(done, end)
            tokens.append(token)
            done = done | (token == end)
        return torch.stack(tokens, 2).tolist()

    def spell(
        self, logits: Float[Tensor, "batch branches vocab"], spellings: Sequence[Sequence[Sequence[int]]]
    ) -> list[Float[Tensor, "branches words"]]:
        """Return for each row the probability of its words in every branch: the product of its tokens'."""
        return [row.exp() for row in self.spell_log(logits, spellings)]

    def spell_log(
        self, logits: Float[Tensor, "batch branches vocab"], spellings: Sequence[Sequence[Sequence[int]]]
    ) -> list[Float[Tensor, "branches words"]]:
        """Return the logarithms of what `spell` returns, which do not vanish.

        All words are read in one pass, side by side, and forgotten again.

        Args:
            logits: What `say` returned; the words would come next.
            spellings: For each row, the token ids of each word.
        """
        first = logits.log_softmax(-1)
        total = [row[:, [word[0] for word in words]] for row, words in zip(first, spellings, strict=True)]
        width = max(sum(len(word) - 1 for word in words) for words in spellings)
        if width == 0:
            return total
        self._pad_columns()
        (rows, count, columns), device = self.sees.shape, self.sees.device
        ids = torch.full((rows, width), self.session.pad, device=device)
        inside = torch.eye(width, dtype=torch.bool, device=device).repeat(rows, 1, 1)
        depth = torch.zeros(rows, width, dtype=torch.long, device=device)
        for row, words in enumerate(spellings):
            start = 0
            for length, word in ((len(word) - 1, word) for word in words):
                span = slice(start, start + length)
                ids[row, span] = torch.tensor(word[:-1], dtype=torch.long)
                inside[row, span, span] = torch.ones(length, length, dtype=torch.bool).tril()
                depth[row, span] = torch.arange(length)
                start += length
        for branch in range(count):  # one at a time: a branch's words may be as many tokens as the prompt
            seen = self.sees[:, branch, None].expand(-1, width, -1)
            place = self.position[:, branch, None] + depth
            hidden = self.session.feed(self.session.embed(ids), torch.cat([seen, inside], 2), place)
            self.session.rewind(columns)
            later = lm_head(self.session.model, hidden).log_softmax(-1)
            for row, words in enumerate(spellings):
                start = 0
                for number, word in enumerate(words):
                    end = start + len(word) - 1
                    total[row][branch, number] += later[row, range(start, end), word[1:]].sum()
                    start = end
        return total


def left_padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[Int[Tensor, "batch columns"], Bool[Tensor, "batch columns"]]:
    """Return token rows of unequal length as one tensor, and its mask."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(width, device=device) >= width - lengths[:, None]


_WINDOW = 4
"""Batches read ahead, so that prompts of similar length share a batch and little is spent on padding."""
_MOST_HELD = 1 << 28
"""Bytes of the keys and values of a batch's prompts on a processor. A larger model has fewer problems in a batch: its
products are large enough with them, and the prompts of a small batch differ less in length."""


@dataclass(frozen=True)
class Batch:
    """Problems of similar length that run together; `in_batches` makes them."""

    checkpoint: Checkpoint
    """What runs them."""
    prompts: tuple[Prompt, ...]
    """The problems as token ids."""
    rows: tuple[int, ...]
    """Number of each problem in the whole set. Seeds and sources go by it, so the batch size changes no result."""

    def session(self, more: int, model: PreTrainedModel | None = None) -> Session:
        """Read the prompts.

        Args:
            more: Positions that thoughts and the longest continuation will take.
            model: What runs them, by default the checkpoint's model.
        """
        form = self.checkpoint.format
        return Session(model or self.checkpoint.model, [one.ids for one in self.prompts], pad=form.pad, more=more)


def in_batches(
    checkpoint: Checkpoint,
    problems: Iterable[Problem | Item],
    run: Callable[[Batch], Iterable[Result]],
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Result]:
    """Run problems in batches of similar length, and yield a result for each problem in their order.

    The one loop over a problem set. What an experiment does with a batch is a function of the batch:

        def entropies(batch):
            session = batch.session(more=count)
            thoughts = session.think(count, pause=checkpoint.pause)
            return entropy(lm_head(session.model, thoughts)).cpu().numpy()  # [batch, K]: an entry for each problem

        found = np.stack(list(in_batches(checkpoint, problems, entropies)))  # [n, K]

    For several arrays at once see `arrays_in_batches`; to run under interventions see
    `interventions.run.InterventionRunner.under`.

    Args:
        checkpoint: Whose format writes the prompts.
        problems: May be a generator without end: only a few batches are held at a time.
        run: Returns one result for each problem of a batch, in the order of `Batch.prompts`. No gradients are recorded
            in it. On an engine (`engines.engine`) it runs in another process, so that all it finds must be in what it
            returns.
        batch_size: The most problems run at a time; on a processor fewer of a model with many keys and values.
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: The batch size is below one, or a problem cannot be written in the checkpoint's format.
    """
    if batch_size < 1:
        raise WorkbenchError(
            f"A batch cannot hold {batch_size} problems.", "The batch size is below one.", "Give 1 or more."
        )
    sent, held, following = deque[tuple[int, ...]](), dict[int, Result](), 0

    def noted() -> Iterator[Batch]:
        for batch in _batches(checkpoint, problems, batch_size):
            sent.append(batch.rows)
            yield batch

    for results in current_engine().run(run, noted()):
        rows = sent.popleft()
        held.update(zip(rows, results, strict=True))
        if on_progress:
            on_progress(len(rows))
        while following in held:
            yield held.pop(following)
            following += 1


def _batches(checkpoint: Checkpoint, problems: Iterable[Problem | Item], batch_size: int) -> Iterator[Batch]:
    """Write problems as prompts, and put those of similar length into a batch."""
    stream, first = iter(problems), 0
    each = _column_bytes(checkpoint.model) if checkpoint.model.device.type == "cpu" else 0
    while chunk := list(islice(stream, batch_size * _WINDOW)):
        prompts = checkpoint.format.prompts(chunk)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))
        while order:
            longest = len(prompts[order[min(batch_size, len(order)) - 1]].ids)
            most = max(1, min(batch_size, _MOST_HELD // (each * longest))) if each else batch_size
            places, order = order[:most], order[most:]
            yield Batch(checkpoint, tuple(prompts[i] for i in places), tuple(first + i for i in places))
        first += len(chunk)


def _column_bytes(model: PreTrainedModel) -> int:
    """Return the size of the keys and values of one token, of all layers."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize


def arrays_in_batches(
    checkpoint: Checkpoint,
    problems: Iterable[Problem | Item],
    run: Callable[[Batch], Mapping[str, np.ndarray | Tensor]],
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Run problems as `in_batches` does, where a batch gives several arrays [batch, ...] by name.

    Returns:
        The arrays [n, ...], in the order of the problems; none where there is no problem. Tensors become arrays, bf16
        becomes fp32.
    """

    def rows(batch: Batch) -> Iterator[dict[str, np.ndarray]]:
        arrays = {name: as_numpy(array) for name, array in run(batch).items()}
        return ({name: array[row] for name, array in arrays.items()} for row in range(len(batch.rows)))

    found = list(in_batches(checkpoint, problems, rows, batch_size, on_progress))
    return {name: np.stack([one[name] for one in found]) for name in (found[0] if found else ())}


def as_numpy(array: np.ndarray | Tensor) -> np.ndarray:
    """Return a tensor as an array of its own: of fp32 where NumPy has no such type (bf16)."""
    if isinstance(array, np.ndarray):
        return array
    return (array.float() if array.is_floating_point() else array).detach().cpu().numpy().copy()


def thought_count(checkpoint: Checkpoint, thoughts: int | None) -> int:
    """Return the number of thoughts asked for, by default that of the model's training.

    Raises:
        WorkbenchError: The number is negative.
    """
    count = checkpoint.thoughts if thoughts is None else thoughts
    if count < 0:
        raise WorkbenchError(
            f"A model cannot think {count} thoughts.",
            "The number of thoughts is negative.",
            "Give 0 for none, or leave it out for the number of its training.",
        )
    return count


def positions_left(model: PreTrainedModel, batch: Sequence[Prompt], used: int) -> int:
    """Return how many positions are left after the longest prompt and `used` more."""
    positions = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    return positions - max(len(prompt.ids) for prompt in batch) - used
