"""TransformerLens over every thought: hooks and activation caches with its names, on the live model.

The bridge of TransformerLens rebuilds the model that it wraps. It is therefore given a second module tree that shares
every parameter with the first: no memory is spent, and the model can still be trained and saved. The loop itself is
`coconut.forward`.

`residual_streams` is cheaper than a recording; `logit_lens` decodes the residual stream at any layer.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import Pass, Rows, answer_reads, collate, forward, lm_head, positions, said_columns
from workbench.model.recurrence import recurrence_of
from workbench.model.session import Batch, as_numpy, in_batches
from workbench.problems.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformer_lens import ActivationCache
    from transformer_lens.model_bridge import TransformerBridge


HookFunction = Callable[..., Tensor | None]
"""TransformerLens's own: gets an activation and `hook=` the hook point; returns what replaces it, or None."""

Hook = tuple[str, HookFunction] | tuple[str, HookFunction, int]
"""A hook point's name and a function, for every column, or for the thought of the given number (from 1) only."""

THOUGHT = "hook_thought"
"""Hook point of what is fed as a thought, [batch, 1, d]."""
_PATTERNS = ("hook_pattern", "hook_attn_scores")


@dataclass(frozen=True)
class LensRun(Pass):
    """What a run under hooks computed."""

    rows: Rows


class CoconutLens:
    """A checkpoint seen through TransformerLens.

    Hooks fire inside the loop: what they change at thought k changes all later thoughts. A hook function sees the
    columns of the pass under way, so it must not count columns; say where with the third entry of the hook.

    Args:
        checkpoint: The model is left as it is; changes of its weights are seen here. After the model was moved to
            another device or precision, make a new lens.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.bridge: TransformerBridge = _bridge(checkpoint)
        """TransformerLens's own object, with `hook_thought` added."""
        self._live: Any = self.bridge.original_model

    def __reduce__(self) -> tuple[type["CoconutLens"], tuple[Checkpoint]]:
        """Travel to another process as the checkpoint, which is seen through TransformerLens anew there."""
        return CoconutLens, (self.checkpoint,)

    def rows(
        self, problems: Sequence[Problem], thoughts: int | None = None, rests: Sequence[Sequence[int]] | None = None
    ) -> Rows:
        """Lay out problems with thoughts, and token ids after them where given (say, an answer opening).

        Args:
            problems: What to ask.
            thoughts: How many thoughts are fed; by default as many as the model was trained with.
            rests: For each problem, token ids after the thoughts.
        """
        form = self.checkpoint.format
        count = self.checkpoint.thoughts if thoughts is None else thoughts
        prompts = [prompt.ids for prompt in form.prompts(problems)]
        rests = [()] * len(prompts) if rests is None else rests
        return collate(prompts, [count] * len(prompts), rests, pad=form.pad, thought=form.marker.thought)

    def run_with_hooks(self, rows: Rows, fwd_hooks: Sequence[Hook] = ()) -> LensRun:
        """Run the loop with hooks in place.

        Args:
            rows: What to run; see `rows`.
            fwd_hooks: (name, function) for every column, (name, function, k) for thought k only. Names are those of
                TransformerLens (`blocks.1.attn.hook_pattern`), and `hook_thought`.

        Raises:
            WorkbenchError: There is no hook point of that name, no row has that thought, or all thoughts are made at
                once.
        """
        if fwd_hooks and recurrence_of(self.checkpoint.model).sweeps:
            raise WorkbenchError(
                f"Hooks cannot follow the thoughts of {self.checkpoint.name}.",
                "They are made all at once, in sweeps, and no pass makes one of them.",
                "Use run_with_cache without hooks, or change what is fed by an intervention.",
            )
        scope = _Scope(rows)
        with self._hooked(scope, fwd_hooks):
            ran = self._loop(rows, scope)
        return LensRun(ran.logits, ran.hidden, ran.inputs, rows)

    def run_with_cache(
        self,
        rows: Rows,
        fwd_hooks: Sequence[Hook] = (),
        names_filter: str | list[str] | Callable[[str], bool] | None = None,
    ) -> "tuple[LensRun, ActivationCache]":
        """Run the loop, then read every activation, over tokens and thoughts, in one pass.

        By causality one pass over the inputs that the loop unrolled computes what the loop computed; so the cache is an
        ordinary one, with square patterns [batch, heads, columns, columns].

        Args:
            rows: What to run; see `rows`.
            fwd_hooks: As in `run_with_hooks`.
            names_filter: Which activations to keep, as in TransformerLens.

        Raises:
            WorkbenchError: Words follow the thoughts, and they do not read all that came before: no one pass computes
                them.
        """
        reads = answer_reads(self.checkpoint.model)
        if reads != "all" and said_columns(rows.is_thought, rows.mask).any():
            raise WorkbenchError(
                "There is no cache of what is said after the thoughts.",
                f"{self.checkpoint.name} answers from the {reads} alone, and no single pass computes that.",
                "Leave out what follows the thoughts, or use run_with_hooks.",
            )
        ran = self.run_with_hooks(rows, fwd_hooks)
        scope = _Scope(rows)
        scope.span = (0, rows.ids.shape[1])
        again = [hook for hook in fwd_hooks if hook[0] != THOUGHT]  # a changed thought is already among the inputs
        with self._hooked(scope, again):
            _, cache = self.bridge.run_with_cache(
                ran.inputs,
                attention_mask=rows.mask.long(),
                position_ids=positions(rows.mask),
                names_filter=names_filter,
            )
        cache.cache_dict["hook_embed"] = ran.inputs.detach()  # inputs go past the embedding's own hook point
        cache.has_embed = True
        return ran, cache

    def at_thought(self, cache: "ActivationCache", rows: Rows, k: int) -> dict[str, Tensor]:
        """Return every cached activation at the column where thought k was fed, for the rows that have it.

        Patterns come as [rows, heads, columns]: what the thought attends to. The other activations keep their shape
        without the columns. `ln_final.hook_normalized` there is what thought k + 1 is made of.

        Raises:
            WorkbenchError: No row has thought k.
        """
        selected, found = _Scope(rows).where(k), {}
        for name, activation in cache.items():
            if name.endswith(_PATTERNS) and activation.dim() == 4:
                found[name] = activation.transpose(1, 2)[selected]
            elif activation.dim() >= 2 and activation.shape[:2] == selected.shape:
                found[name] = activation[selected]
        return found

    def node_distribution(self, problem: Problem, ran: LensRun, k: int, row: int = 0) -> Float[Tensor, " nodes"]:
        """Return the raw probability of each of a problem's nodes under the LM head of thought k of one row.

        Thought k must have been fed; names of several tokens count with their first one (see `trace.Trace.lm_head`).
        """
        column = int(_Scope(ran.rows).where(k)[row].nonzero()[0])
        (prompt,) = self.checkpoint.format.prompts([problem])
        # What the LM head reads of a pause, and of a thought that is fed as another vector, is the state before it.
        apart = self.checkpoint.pause is not None or recurrence_of(self.checkpoint.model).apart
        thought = ran.hidden[row, column - 1] if apart else ran.inputs[row, column]
        share = lm_head(self.checkpoint.model, thought).softmax(-1)
        first = [spelling[0] for spelling in prompt.nodes]
        return torch.stack([share[token] / first.count(token) for token in first])

    def _loop(self, rows: Rows, scope: "_Scope") -> Pass:
        hook, pause = self.bridge.hook_thought, self.checkpoint.pause
        embedding = self._live.get_input_embeddings()

        def feed(k: int, thought: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            scope.thought = k
            if pause is not None:
                thought = embedding(torch.full((len(thought),), pause, device=thought.device))
            return hook(thought[:, None])[:, 0]

        # The pass about to run is known to the scope through the base model's own pre-hook.
        watch = self._live.base_model.register_forward_pre_hook(scope.advance, with_kwargs=True)
        try:
            return forward(self._live, rows.ids, rows.is_thought, rows.mask, feed)
        finally:
            watch.remove()

    @contextmanager
    def _hooked(self, scope: "_Scope", hooks: Sequence[Hook]) -> "Iterator[None]":
        known, confined = self.bridge.hook_dict, []
        for name, function, *where in hooks:
            confined.append(scope.wrap(name, function, where[0] if where else None))
            if name not in known:
                raise WorkbenchError(
                    f"There is no hook point {name}.",
                    f"This model has {len(known)}, such as blocks.0.attn.hook_pattern and {THOUGHT}.",
                    "List them with lens.bridge.hook_dict.",
                )
        with self.bridge.hooks(fwd_hooks=confined):
            yield


class _Scope:
    """Knows which columns the pass under way computes, and confines hooks to one thought."""

    def __init__(self, rows: Rows) -> None:
        count = rows.is_thought.long().cumsum(1)
        self.number: Int[Tensor, "batch columns"] = torch.where(rows.is_thought, count, 0)
        self.span = (0, 0)
        self.thought = 0

    def advance(self, module: nn.Module, given: tuple, named: dict[str, Any]) -> None:
        """Move on to the columns of the pass about to run."""
        self.span = (self.span[1], self.span[1] + named["inputs_embeds"].shape[1])

    def where(self, k: int) -> Bool[Tensor, "batch columns"]:
        """Return where thought k is fed."""
        selected = self.number == k
        if k < 1 or not selected.any():
            raise WorkbenchError(
                f"There is no thought {k}.",
                f"Thoughts are counted from 1; these rows have {int(self.number.max())}.",
                "Choose another thought, or run more.",
            )
        return selected

    def wrap(self, name: str, function: HookFunction, k: int | None = None) -> tuple[str, HookFunction]:
        """Return a hook that acts at thought k only."""
        if k is None:
            return name, function
        selected = self.where(k)

        def confined(activation: Tensor, hook: Any) -> Tensor | None:
            if hook.name == THOUGHT:
                here = selected.any(1, keepdim=True) if self.thought == k else selected[:, :1] & False
            else:
                here = selected[:, slice(*self.span)]
            if not here.any():
                return None
            changed = function(activation, hook=hook)
            if changed is None:
                return None
            if hook.name.endswith(_PATTERNS):
                return torch.where(here[:, None, :, None], changed, activation)
            return torch.where(here.reshape(*here.shape, *[1] * (activation.dim() - 2)), changed, activation)

        return name, confined


def _bridge(checkpoint: Checkpoint) -> "TransformerBridge":
    """Build the bridge over a module tree that shares the model's parameters."""
    # Imported here: it takes seconds. It also silences the warnings of transformers, which is undone.
    logger = logging.getLogger("transformers")
    level = logger.level
    from transformer_lens.hook_points import HookPoint
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    logger.setLevel(level)
    model: PreTrainedModel = checkpoint.model
    shared: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    shared.update({id(buffer): buffer for buffer in model.buffers()})
    view = copy.deepcopy(model, shared)
    view.set_attn_implementation("eager")
    # The bridge tries its tokenizer on words that are not in the vocabulary of the edges format.
    tokenizer = checkpoint.tokenizer if checkpoint.format.name == "text" else None
    bridge = build_bridge_from_module(view, type(model).__name__, hf_config=view.config, tokenizer=tokenizer)
    bridge.hook_thought = HookPoint()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)  # where the bridge splits a fused matrix it makes parameters of its own
    return bridge.eval()  # TransformerLens refuses a hook point in training mode


def residual_streams(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    thoughts: int,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "n columns streams d"]:
    """Return what `Recording.residual` holds at columns 0 to K, in the problems' order, for a third of its time.

    Args:
        checkpoint: What to run.
        problems: What to ask.
        thoughts: Number of thoughts, K.
        batch_size: Problems run at a time.
        on_progress: Called with the number of problems done since the last call.
    """
    lens, last = CoconutLens(checkpoint), checkpoint.model.config.num_hidden_layers - 1
    names = [*(f"blocks.{layer}.hook_resid_pre" for layer in range(last + 1)), f"blocks.{last}.hook_resid_post"]

    def streams(batch: Batch) -> np.ndarray:
        kept: list[list[Tensor]] = [[] for _ in names]
        hooks = [(name, partial(_keep, into)) for name, into in zip(names, kept, strict=True)]
        lens.run_with_hooks(lens.rows([prompt.graph for prompt in batch.prompts], thoughts), hooks)
        return as_numpy(torch.stack([torch.stack(columns, 1) for columns in kept], 2))

    return np.stack(list(in_batches(checkpoint, problems, streams, batch_size, on_progress)))


def _keep(into: list[Tensor], activation: Tensor, hook: object) -> None:
    """Keep the last column of a pass: the end of the prompt or a thought, since prompts are padded on the left."""
    into.append(activation[:, -1])


def final_norm(model: PreTrainedModel) -> nn.Module:
    """Return the model's own norm before the LM head, with its gain and, where it has one, its bias.

    It is the one norm that stands beside the blocks and not inside them: `transformer.ln_f` of GPT-2 (LayerNorm),
    `model.norm` of Llama and Qwen2 (RMSNorm).

    Raises:
        WorkbenchError: There is none, or several.
    """
    base = cast(nn.Module, model.base_model)
    norms = {name: part for name, part in base.named_children() if "norm" in type(part).__name__.lower()}
    if len(norms) != 1:
        raise WorkbenchError(
            f"The final norm of {type(model).__name__} is not known.",
            f"Beside its blocks there are {len(norms)} norms: {', '.join(norms) or 'none'}.",
            "Use a model of the families GPT-2, Llama or Qwen2.",
        )
    return next(iter(norms.values()))


def decode(model: PreTrainedModel, residual: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows vocab"]:
    """Return log-probabilities (natural) of the vocabulary: log softmax of the LM head of the final norm.

    At the last layer that is what the model itself says. At layer 0 of a thought's column stands the thought as it was
    fed, which has been through the norm before; it goes through it once more, as every layer does.
    """
    return lm_head(model, final_norm(model)(residual)).log_softmax(-1)


@torch.inference_mode()
def logit_lens(
    model: PreTrainedModel, residual: Float[np.ndarray, "n columns d"], batch_size: int = 64
) -> Float[Tensor, "n columns vocab"]:
    """Return the log-probabilities that the logit lens (nostalgebraist 2020) reads, unadjusted.

    Args:
        model: Whose norm and LM head are used.
        residual: Of one layer.
        batch_size: Problems decoded at a time.
    """
    held = torch.from_numpy(residual).to(model.device, model.dtype).split(batch_size)
    return torch.cat([decode(model, part).cpu() for part in held])
