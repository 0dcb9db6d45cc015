"""The Coconut recurrence on plain Hugging Face causal language models, differentiable: the reference.

Thought k is made of the last hidden state after the final norm and fed as the next input embedding: that state itself
(Coconut, arXiv 2412.06769, section 3), or what `recurrence` makes of it. Works with unmodified GPT-2, Llama and Qwen2
models: they are called with `inputs_embeds`, so torch hooks and TransformerLens hook points inside them fire at every
pass.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.model.recurrence import Recurrence, fed_of, prompt_keys, recurrence_of

if not torch.cuda.is_available():
    # Read by transformers at every attention with a mask: keys and values that several heads share are then not copied
    # for each. On processors the digits are the same. Attention of one new token takes about a fifth of the time in
    # fp32 and gains less in bf16 and for whole prompts. GPUs would leave their fast kernel.
    os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")

Edit = Callable[[int, Float[Tensor, "batch d"]], Float[Tensor, "batch d"]]
"""An intervention: gets the number of a thought (from 1) and its vectors, returns what is fed instead."""

AnswerReads = Literal["all", "thoughts", "prompt"]
"""What is read by the words after the thoughts: all that came before, the thoughts alone, or the prompt alone."""


def answer_reads(model: PreTrainedModel) -> AnswerReads:
    """Return what the words after the thoughts read, `config.coconut.answer_reads`.

    They are computed, and counted in positions, as if what they do not read were not there. So after "thoughts" they
    are a function of the vectors that were fed and of nothing else: even the columns where those were fed, which did
    read the prompt, are not read. After "prompt" they are what they would be without any thought.
    """
    return (getattr(model.config, "coconut", None) or {}).get("answer_reads", "all")


@dataclass(frozen=True)
class Pass:
    """What one run over token rows computed."""

    logits: Float[Tensor, "batch columns vocab"]
    """Of the LM head, in fp32 at least."""
    hidden: Float[Tensor, "batch columns d"]
    """Last hidden states after the final norm: what enters the LM head, and what the next thought is made of."""
    inputs: Float[Tensor, "batch columns d"]
    """The input embeddings, thoughts among them (as edited)."""


@dataclass(frozen=True)
class Rows:
    """A batch of token rows."""

    ids: Int[Tensor, "batch columns"]
    is_thought: Bool[Tensor, "batch columns"]
    """Where a thought is fed; the token id there is not read."""
    mask: Bool[Tensor, "batch columns"]
    """False on padding."""


def positions(mask: Bool[Tensor, "batch columns"]) -> Int[Tensor, "batch columns"]:
    """Return the position of every column, counted over the columns that are no padding."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def collate(
    prompts: Sequence[Sequence[int]],
    thoughts: Sequence[int],
    rests: Sequence[Sequence[int]],
    *,
    pad: int,
    thought: int,
) -> Rows:
    """Lay out prompt, thoughts and what follows so that all rows think in the same columns.

    Prompts are padded on the left; a row with fewer thoughts goes on at once and is padded on the right. So the number
    of passes is one more than the largest number of thoughts, whatever the lengths.

    Args:
        prompts: Token ids up to the one whose hidden state is thought 1.
        thoughts: Number of thoughts of each row.
        rests: Token ids after the thoughts.
        pad: Token id of padding.
        thought: Token id that holds the place of a thought.
    """
    begin = max(map(len, prompts))
    width = begin + max(count + len(rest) for count, rest in zip(thoughts, rests, strict=True))
    ids = torch.full((len(prompts), width), pad)
    is_thought, mask = torch.zeros(2, len(prompts), width, dtype=torch.bool)
    for row, (prompt, count, rest) in enumerate(zip(prompts, thoughts, rests, strict=True)):
        start, end = begin - len(prompt), begin + count + len(rest)
        ids[row, start:end] = torch.tensor([*prompt, *[thought] * count, *rest])
        is_thought[row, begin : begin + count] = True
        mask[row, start:end] = True
    return Rows(ids, is_thought, mask)


def embedding_rows(model: PreTrainedModel) -> int:
    """Return the number of tokens a model has embeddings for."""
    return cast(nn.Embedding, model.get_input_embeddings()).num_embeddings


def lm_head(model: PreTrainedModel, hidden: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch vocab"]:
    """Return the logits of hidden states, computed in fp32 or better (bf16 would round a logit of 20 to 1/8)."""
    head = cast(nn.Linear, model.get_output_embeddings())
    bias = cast(Tensor | None, head.bias)
    wide = torch.promote_types(torch.float32, hidden.dtype)
    logits = F.linear(hidden.to(wide), head.weight.to(wide), None if bias is None else bias.to(wide))
    rows = getattr(model, "token_rows", None)  # trained beside a matrix that is not (`model.adapters`)
    return rows.say(hidden, logits) if rows is not None and model.config.tie_word_embeddings else logits


def forward(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch columns"],
    is_thought: Bool[Tensor, "batch columns"],
    mask: Bool[Tensor, "batch given"] | Int[Tensor, "batch given"] | None = None,
    edit: Edit | None = None,
) -> Pass:
    """Run token rows with thoughts anywhere in them; gradients flow back through every thought.

    Args and errors: as `states`.
    """
    hidden, inputs = states(model, ids, is_thought, mask, edit)
    return Pass(lm_head(model, hidden), hidden, inputs)


def states(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch columns"],
    is_thought: Bool[Tensor, "batch columns"],
    mask: Bool[Tensor, "batch given"] | Int[Tensor, "batch given"] | None = None,
    edit: Edit | None = None,
    passes: int = 1,
) -> tuple[Float[Tensor, "batch columns d"], Float[Tensor, "batch columns d"]]:
    """Run token rows as `forward` does, without the LM head: of a large vocabulary, few logits may be needed.

    One pass per column that holds a thought in some row, and one more; each goes on from the cache of those before it.

    Args:
        model: A causal language model of Hugging Face.
        ids: Token ids; ignored where a thought is fed.
        is_thought: Where the hidden state of the column before is fed in place of an embedding.
        mask: False or 0 on padding, on the left, on the right, or both; may be left out where there is none.
        edit: Changes thoughts before they are fed.
        passes: At least so many passes are made, whatever the thoughts: the question is cut into pieces, which changes
            no number. Processes that share the weights of one model must all run its layers equally often. Not where
            all thoughts are made at once.

    Returns:
        Last hidden states after the final norm, and input embeddings (`Pass.hidden`, `Pass.inputs`).

    Raises:
        WorkbenchError: Gradient checkpointing is on in training, a mask is missing, there are more positions than the
            model has, or a thought has nothing before it.
    """
    seen = guard(model, ids, mask)
    _guard_thoughts(is_thought, seen)
    position, embeddings = positions(seen), model.get_input_embeddings()(ids)
    number = is_thought.long().cumsum(1)
    recurrence = recurrence_of(model)
    keys = prompt_keys(ids, seen & (number == 0)) if recurrence.apart else []
    if recurrence.sweeps and is_thought.any():
        whole, fed = _at_once(model, recurrence, embeddings, is_thought, seen, edit)
        return _answered(model, whole, fed, is_thought, seen)
    cache = DynamicCache(config=model.config)
    hidden, inputs, start = [], [], 0
    for end in _ends(is_thought, passes):
        segment = embeddings[:, start:end]
        if hidden:
            here, before = is_thought[:, start, None], hidden[-1][:, -1]
            if edit is not None or recurrence.apart:
                made = before
                for k in number[is_thought[:, start], start].unique().tolist():
                    thought = thoughts_of(model, recurrence, before, k, keys)
                    thought = thought if edit is None else edit(k, thought)
                    made = torch.where(here & (number[:, start, None] == k), thought, made)
                before = made
            first = torch.where(here, before, segment[:, 0])
            segment = torch.cat([first[:, None], segment[:, 1:]], 1)  # a write in place would cut the gradient
        hidden.append(
            model.base_model(
                inputs_embeds=segment,
                past_key_values=cache,
                use_cache=True,
                attention_mask=seen[:, :end],
                position_ids=position[:, start:end],
            ).last_hidden_state
        )
        inputs.append(segment)
        start = end
    return _answered(model, torch.cat(hidden, 1), torch.cat(inputs, 1), is_thought, seen)


def thoughts_of(
    model: PreTrainedModel, recurrence: Recurrence, read: Float[Tensor, "batch d"], k: int, keys: Sequence[int]
) -> Float[Tensor, "batch d"]:
    """Return what is fed as thought k of the hidden states before it (`recurrence.fed_of`)."""
    logits = lm_head(model, read) if recurrence.kind == "mixture" else None
    return fed_of(model, recurrence, read, k, keys, logits)


def _at_once(
    model: PreTrainedModel,
    recurrence: Recurrence,
    embeddings: Float[Tensor, "batch columns d"],
    is_thought: Bool[Tensor, "batch columns"],
    seen: Bool[Tensor, "batch columns"],
    edit: Edit | None,
) -> tuple[Float[Tensor, "batch columns d"], Float[Tensor, "batch columns d"]]:
    """Make all thoughts in sweeps over whole rows; returns hidden states and inputs of the last one."""
    held = model.get_input_embeddings()(torch.tensor(recurrence.token, device=seen.device))
    fed, number = torch.where(is_thought[..., None], held, embeddings), is_thought.long().cumsum(1)
    count = int(number.max())

    def run() -> Float[Tensor, "batch columns d"]:
        given = {"attention_mask": seen, "position_ids": positions(seen), "use_cache": False}
        return model.base_model(inputs_embeds=fed, **given).last_hidden_state

    hidden = run()
    for _ in range(recurrence.sweeps):
        made = fed
        for k in range(1, count + 1):
            # One column at most holds thought k in each row; a row without it reads its first column, for nothing.
            here = is_thought & (number == k)
            rows, column = torch.arange(len(here), device=here.device), (here.long().argmax(1) - 1).clamp(min=0)
            thought = thoughts_of(model, recurrence, hidden[rows, column], k, [])
            thought = thought if edit is None else edit(k, thought)
            made = torch.where(here[..., None], thought[:, None], made)
        fed = made
        hidden = run()
    return hidden, fed


def _answered(
    model: PreTrainedModel,
    whole: Float[Tensor, "batch columns d"],
    fed: Float[Tensor, "batch columns d"],
    is_thought: Bool[Tensor, "batch columns"],
    seen: Bool[Tensor, "batch columns"],
) -> tuple[Float[Tensor, "batch columns d"], Float[Tensor, "batch columns d"]]:
    """Compute the words after the thoughts again where they do not read all that came before."""
    reads, said = answer_reads(model), said_columns(is_thought, seen)
    if reads == "all" or not said.any():
        return whole, fed
    visible = seen & (is_thought.cumsum(1) > 0 if reads == "thoughts" else ~is_thought)
    again = model.base_model(
        inputs_embeds=fed, attention_mask=visible, position_ids=positions(visible), use_cache=False
    )
    return torch.where(said[..., None], again.last_hidden_state, whole), fed


def said_columns(
    is_thought: Bool[Tensor, "batch columns"], mask: Bool[Tensor, "batch columns"]
) -> Bool[Tensor, "batch columns"]:
    """Return where words stand after a thought."""
    return mask & ~is_thought & (is_thought.cumsum(1) > 0)


def _ends(is_thought: Bool[Tensor, "batch columns"], passes: int) -> list[int]:
    """Return the column before which each pass ends: at each thought, at the end, and as many more as are asked for."""
    ends = [*is_thought.any(0).nonzero().flatten().tolist(), is_thought.shape[1]]
    return [*range(max(1, ends[0] - (passes - len(ends))), ends[0]), *ends]


def guard(
    model: PreTrainedModel, ids: Int[Tensor, "batch columns"], mask: Tensor | None, more: int = 0
) -> Bool[Tensor, "batch columns"]:
    """Check a batch and return its mask.

    Args:
        model: What will run it.
        ids: Token ids.
        mask: Its attention mask, None for no padding.
        more: Columns still to come (thoughts and what follows them).

    Raises:
        WorkbenchError: The model would silently compute something else.
    """
    config = model.config
    if model.training and model.is_activation_checkpointing:
        raise WorkbenchError(
            "Thoughts cannot be trained with gradient checkpointing.",
            "It drops the key-value cache, so that every pass after the first would forget the question.",
            "Call model.activation_checkpointing_disable(), and use a smaller batch if memory is short.",
        )
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        raise WorkbenchError(
            f"This {config.model_type} model does not attend to all that came before.",
            f"config.layer_types has {', '.join(sorted(set(config.layer_types)))}.",
            "Use a model with full attention in every layer.",
        )
    if mask is None:
        pad = config.pad_token_id
        # A tokenizer without padding pads with its end token, which may also end a row.
        padding = (ids[:, :1] if pad == config.eos_token_id else ids) == pad if pad is not None else ids[:0] < 0
        if padding.any() and ids.shape[1] > 1 and config.pad_token_id is not None:
            raise WorkbenchError(
                "The batch is padded, but has no attention mask.",
                f"Row {int(padding.any(1).nonzero()[0])} holds the padding token {pad}, which would be read as text.",
                "Pass the mask of the tokenizer or of collate().",
            )
        mask = torch.ones_like(ids)
    elif mask.shape != ids.shape:
        raise WorkbenchError(
            "The attention mask does not fit the batch.",
            f"The mask is {tuple(mask.shape)}, the token ids are {tuple(ids.shape)}.",
            "Pass one entry for every token and thought.",
        )
    seen = mask.bool()
    longest, room = int(seen.sum(1).max()) + more, getattr(config, "max_position_embeddings", None)
    if room is not None and longest > room:
        raise WorkbenchError(
            f"The longest row needs {longest} positions; the model has {room}.",
            "Question, thoughts and continuation together are longer than what it was trained on.",
            "Use a shorter question, fewer thoughts, or a model with more positions.",
        )
    return seen


def _guard_thoughts(is_thought: Bool[Tensor, "batch columns"], mask: Bool[Tensor, "batch columns"]) -> None:
    before = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], 1)
    orphan = is_thought & ~(before & mask)
    if orphan.any():
        row, column = orphan.nonzero()[0].tolist()
        raise WorkbenchError(
            f"Row {row} has a thought at column {column} with nothing before it.",
            "A thought is the hidden state of the column before it, and that is padding or does not exist.",
            "Put at least one token of the question before the first thought.",
        )


@torch.inference_mode()
def self_check(model: PreTrainedModel, thought: int, name: str) -> None:
    """Check on a few made-up tokens that the loop does what every reading relies on; takes some milliseconds.

    The LM head of a thought gives the logits of that pass; no column sees a later one; an intervention that changes
    nothing changes nothing, to the last bit; a zeroed thought changes something.

    Args:
        model: What is checked.
        thought: Token id that holds the place of a thought.
        name: What the error calls the model.

    Raises:
        WorkbenchError: One of these does not hold.
    """
    room = getattr(model.config, "max_position_embeddings", None) or 16
    width, rows = min(10, room), embedding_rows(model)
    ids = (torch.arange(2 * width).view(2, width) * 7919 + 11) % rows
    ids[1, :-1] = ids[0, :-1]
    ids[1, -1] = (ids[0, -1] + 1) % rows
    ids[:, width - 4 : width - 2] = thought
    is_thought = torch.zeros_like(ids, dtype=torch.bool)
    is_thought[:, width - 4 : width - 2] = True
    ids, is_thought = ids.to(model.device), is_thought.to(model.device)
    mask = torch.ones_like(ids)

    ran = forward(model, ids, is_thought, mask)
    same = forward(model, ids, is_thought, mask, edit=lambda k, fed: fed)
    zeroed = forward(model, ids, is_thought, mask, edit=lambda k, fed: torch.zeros_like(fed))
    plain = model(inputs_embeds=ran.inputs, attention_mask=mask, use_cache=False).logits
    near = 1e-3 * max(1.0, float(plain.abs().max()))
    reads = answer_reads(model)
    # Of words that do not read all before them, no single pass computes the logits; those that read the prompt alone
    # are the same whatever is thought, and the second thought is looked at instead.
    same_pass = slice(0, width if reads == "all" else width - 2)
    read_by = width - 3 if reads == "prompt" else width - 1
    apart = (plain - ran.logits)[:, same_pass].abs().max()
    faults = {
        "the LM head of a thought does not give that pass's logits": bool(apart > near),
        "attention is not causal": bool((ran.hidden[0, :-1] - ran.hidden[1, :-1]).abs().max() > 1e-3),
        "an intervention that changes nothing changes the result": not torch.equal(ran.logits, same.logits),
        "a thought set to zero changes nothing": torch.equal(ran.logits[:, read_by], zeroed.logits[:, read_by]),
        "it computes numbers that are not finite": not bool(ran.logits.isfinite().all()),
    }
    found = [fault for fault, holds in faults.items() if holds]
    if found:
        raise WorkbenchError(
            f"{name} does not run as a Coconut model should.",
            f"In the self-check {found[-1]}.",
            "Check that the weights belong to this config.json, and that the architecture is GPT-2, Llama or Qwen2.",
        )
