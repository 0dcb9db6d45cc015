"""A recording: what one run over a problem set leaves, thoughts and activations, as arrays with the problems first.

A trace says what was read of one problem; a recording adds what the layers held and attended to at every thought, of
all problems, so that a reading of the whole set is a function of arrays.

Controls: runs that should not show what the model shows, to be drawn in the same axes.

What several readings need of one recording is computed once: kept with the recording, and gone with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from workbench.errors import WorkbenchError
from workbench.interventions.base import Bank, Context, Intervention, composed, require_thoughts
from workbench.interventions.thoughts import Noise, Shuffle
from workbench.measure.arrays import Trace
from workbench.measure.run_labels import CONTROLS, MODEL
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint
from workbench.model.formats import places
from workbench.model.lens import THOUGHT, CoconutLens, Hook
from workbench.model.prompts import Prompt
from workbench.problems.graph import structure
from workbench.problems.problem import Problem


@dataclass(frozen=True, eq=False)  # a recording is itself alone: arrays have no one answer to "equal?"
class Recording:
    """What one run over n problems left, with K thoughts (K + 2 columns), L layers (L + 1 streams), H heads, width d.

    Arrays over nodes and edges are as wide as the largest problem; `is_node` and `is_edge` say what is there, and what
    is not there is nan. **Columns**: column 0 is the end of the prompt, whose last hidden state is thought 1; column k
    is where thought k was fed, and its last hidden state becomes thought k + 1; column K + 1 is the last token of the
    answer's opening, after which the target is named.
    """

    label: str
    """Name of the series in figures: `MODEL`, or that of a control."""
    checkpoint: Checkpoint
    """What was run."""
    problems: tuple[Problem, ...]
    traces: tuple[Trace, ...]
    """Of each problem: thoughts, values under the readouts, answers, and continuations where asked for."""
    interventions: tuple[Intervention, ...]
    """What was changed in the thoughts while it ran; readings are of the changed run."""
    residual: Float[np.ndarray, "n columns streams d"]
    """Residual stream at the columns: 0 is what was fed, l what block l left, the final norm not applied."""
    attention: Float[np.ndarray, "n columns L H edges"]
    """Attention of the columns to each edge: the sum over the tokens of its sentence."""
    attention_options: Float[np.ndarray, "n columns L H 2"]
    """The same to the two options in the question, in the order listed."""
    attention_root: Float[np.ndarray, "n columns L H"]
    """The same to the root in the question."""
    attention_thoughts: Float[np.ndarray, "n columns L H K"]
    """The same to the thoughts fed so far; 0 for those to come."""

    @property
    def thoughts(self) -> Float[np.ndarray, "n K d"]:
        """Thought 1..K as fed (where pauses are fed, what Coconut would have fed)."""
        return np.stack([trace.thoughts for trace in self.traces])

    @property
    def count(self) -> int:
        """Number of thoughts, K."""
        return self.residual.shape[1] - 2

    @cached_property
    def is_node(self) -> Bool[np.ndarray, "n nodes"]:
        """Whether a problem has so many nodes."""
        sizes = np.array([len(problem.names) for problem in self.problems])
        return np.arange(sizes.max()) < sizes[:, None]

    @cached_property
    def is_edge(self) -> Bool[np.ndarray, "n edges"]:
        """Whether a problem has so many edges."""
        sizes = np.array([len(problem.edges) for problem in self.problems])
        return np.arange(sizes.max()) < sizes[:, None]

    @cached_property
    def edges(self) -> Int[np.ndarray, "n edges 2"]:
        """Source and target of each edge, -1 where there is none."""
        filled = np.full((*self.is_edge.shape, 2), -1)
        for row, problem in zip(filled, self.problems, strict=True):
            row[: len(problem.edges)] = problem.edges
        return filled

    @cached_property
    def hops(self) -> Int[np.ndarray, "n nodes"]:
        """BFS depth of each node from the root, -1 for unreachable, -2 where there is no node."""
        return self._per_node([structure(problem).hops for problem in self.problems], -2)

    @cached_property
    def is_optimal(self) -> Bool[np.ndarray, "n nodes"]:
        """Whether a node is on a shortest path from root to target."""
        return self._per_node([structure(problem).optimal for problem in self.problems], False)

    @cached_property
    def is_concept(self) -> Bool[np.ndarray, "n nodes"]:
        """Whether a node is a concept."""
        return self._per_node([structure(problem).concepts for problem in self.problems], False)

    @cached_property
    def lm_head(self) -> Float[np.ndarray, "n K nodes"]:
        """Raw probability of each node under the LM head of thought 1..K."""
        return self._per_thought([trace.lm_head for trace in self.traces])

    @cached_property
    def forced_language(self) -> Float[np.ndarray, "n depths nodes"]:
        """Raw probability of each node after the forced step opening, after 0..K thoughts."""
        return self._per_thought([trace.forced_language for trace in self.traces])

    @cached_property
    def first_tokens(self) -> Int[np.ndarray, "n nodes"]:
        """Token id that a node's name begins with, -1 where there is no node."""
        prompts = self.checkpoint.format.prompts(self.problems)
        return self._per_node([np.array([word[0] for word in prompt.nodes]) for prompt in prompts], -1)

    @cached_property
    def embedding(self) -> Float[np.ndarray, "vocab d"]:
        """Input embedding of every token; `embedding[first_tokens]` are those of the nodes."""
        return _weight(self.checkpoint.model.get_input_embeddings())

    @cached_property
    def unembedding(self) -> Float[np.ndarray, "vocab d"]:
        """Row of the LM head of every token; the same array's values where the model ties the two."""
        return _weight(self.checkpoint.model.get_output_embeddings())

    @property
    def right(self) -> Bool[np.ndarray, "n"]:
        """Whether the answer forced after all thoughts is exactly right."""
        return np.array([bool(trace.answer_right[-1]) for trace in self.traces])

    def _per_node(self, rows: list[np.ndarray], missing: int | bool) -> np.ndarray:
        filled = np.full(self.is_node.shape, missing)
        for row, values in zip(filled, rows, strict=True):
            row[: len(values)] = values
        return filled

    def _per_thought(self, rows: list[np.ndarray]) -> np.ndarray:
        filled = np.full((len(rows), len(rows[0]), self.is_node.shape[1]), np.nan)
        for row, values in zip(filled, rows, strict=True):
            row[:, : values.shape[1]] = values
        return filled


def record(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    thoughts: int | None = None,
    *,
    label: str = MODEL,
    interventions: Sequence[Intervention] = (),
    bank: Bank | None = None,
    batch_size: int = 64,
    continuations: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Recording:
    """Run a checkpoint on a problem set and keep what it thought, held and attended to.

    Args:
        checkpoint: What to run.
        problems: The set; all of it is held.
        thoughts: Number of thoughts, K; by default as many as the model was trained with.
        label: Name of the series in figures.
        interventions: Changes made to thoughts before they are fed.
        bank: Thoughts that interventions take donors from, a row for each problem.
        batch_size: Problems run at a time.
        continuations: Whether to let the model go on in words after each number of thoughts (slow).
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: There is no problem, or one cannot be run.
    """
    if not problems:
        raise WorkbenchError("There is nothing to record.", "The list of problems is empty.", "Give some problems.")
    count = checkpoint.thoughts if thoughts is None else thoughts
    lens, traces = CoconutLens(checkpoint), []
    kept: dict[str, list[np.ndarray]] = {}
    widest = max(len(problem.edges) for problem in problems)
    for trace in run(
        checkpoint, problems, count, batch_size, continuations=continuations, interventions=interventions, bank=bank
    ):
        traces.append(trace)
    order = sorted(range(len(problems)), key=lambda i: len(problems[i].edges))  # little padding in a batch
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        for name, array in _activations(lens, [problems[i] for i in rows], rows, count, widest, interventions, bank):
            kept.setdefault(name, []).append(array)
        if on_progress:
            on_progress(len(rows))
    back = np.argsort(order)
    arrays: dict[str, Any] = {name: np.concatenate(parts)[back] for name, parts in kept.items()}
    return Recording(label, checkpoint, tuple(problems), tuple(traces), tuple(interventions), **arrays)


@torch.inference_mode()
def _activations(
    lens: CoconutLens,
    batch: Sequence[Problem],
    rows: Sequence[int],
    count: int,
    widest: int,
    interventions: Sequence[Intervention],
    bank: Bank | None,
) -> list[tuple[str, np.ndarray]]:
    """Run one batch under TransformerLens and return its part of every array, by name."""
    form = lens.checkpoint.format
    prompts = form.prompts(batch)
    laid = lens.rows(batch, count, [form.value_opening(prompt) for prompt in prompts])
    hooks = thought_hooks(interventions, Context(lens.checkpoint, tuple(prompts), tuple(rows), bank), count)
    layers = range(lens.checkpoint.model.config.num_hidden_layers)
    residual_streams = [*(f"blocks.{layer}.hook_resid_pre" for layer in layers), f"blocks.{layers[-1]}.hook_resid_post"]
    patterns = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]
    _, cache = lens.run_with_cache(laid, hooks, names_filter=lambda name: name in (*residual_streams, *patterns))
    begin = max(len(prompt.ids) for prompt in prompts)
    openings = torch.tensor([len(form.value_opening(prompt)) for prompt in prompts])
    # The end of the prompt and the thoughts stand in the same columns for all rows, the answer's opening may not.
    columns = torch.cat([torch.arange(begin - 1, begin + count).expand(len(batch), -1), openings[:, None]], 1)
    columns[:, -1] += begin + count - 1
    row = torch.arange(len(batch))[:, None]
    residual = torch.stack([cache[name][row, columns] for name in residual_streams], 2)
    attention = torch.stack([cache[name].transpose(1, 2)[row, columns] for name in patterns], 2)
    return [("residual", _numpy(residual)), *_attention(lens, prompts, attention, begin, widest)]


def _attention(
    lens: CoconutLens, prompts: Sequence[Prompt], attention: Float[Tensor, "n C L H columns"], begin: int, widest: int
) -> list[tuple[str, np.ndarray]]:
    """Sum the attention of the recorded columns over what stands in the prompt."""
    shape, count = attention.shape[:-1], attention.shape[1] - 2
    edges = np.full((*shape, widest), np.nan, dtype=np.float32)
    options, root = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    # Sums over spans are differences of running sums.
    running = torch.nn.functional.pad(attention.double().cumsum(-1), (1, 0)).cpu().numpy()
    for row, prompt in enumerate(prompts):
        stands, pad = places(lens.checkpoint.format, prompt), begin - len(prompt.ids)
        spans = np.array([*stands.edges, *stands.options, stands.root]) + pad
        sums = running[row][..., spans[:, 1]] - running[row][..., spans[:, 0]]
        edges[row][..., : len(stands.edges)] = sums[..., :-3]
        options[row], root[row] = sums[..., -3:-1], sums[..., -1]
    return [
        ("attention", edges),
        ("attention_options", options),
        ("attention_root", root),
        ("attention_thoughts", _numpy(attention[..., begin : begin + count])),
    ]


def thought_hooks(interventions: Sequence[Intervention], context: Context, count: int) -> list[Hook]:
    """Return interventions as hooks of `CoconutLens`, one for each of so many thoughts.

    Raises:
        WorkbenchError: One acts on a thought beyond them.
    """
    require_thoughts(interventions, count)
    edit = composed(interventions, context)
    if edit is None:
        return []

    def at(k: int) -> Hook:
        return THOUGHT, lambda vectors, hook: edit(k, vectors[:, 0])[:, None], k

    return [at(k) for k in range(1, count + 1)]


def _weight(layer: Any) -> np.ndarray:
    return _numpy(cast(nn.Embedding, layer).weight.detach())


def _numpy(array: Tensor) -> np.ndarray:
    return array.float().cpu().numpy()


def record_controls(
    own: Recording,
    names: Sequence[str],
    seed: int = 0,
    *,
    pause: Checkpoint | None = None,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> list[Recording]:
    """Run the controls of a recording on the same problems with as many thoughts.

    Args:
        own: The model's own recording.
        names: Of `CONTROLS`.
        seed: Of the random weights, the noise, and the exchange of thoughts.
        pause: A checkpoint trained with pauses in place of thoughts, for "pause"; by default the model itself is fed
            pauses, which it was never trained for, and the label says so.
        batch_size: Problems run at a time.
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: There is no such control, or the recording is one.
    """
    if own.label != MODEL:
        raise WorkbenchError(
            "A control has no controls.", f'This recording is "{own.label}".', "Give the model's own recording."
        )
    bank, found = torch.from_numpy(own.thoughts), []
    for name in names:
        ran, interventions = control(own.checkpoint, name, seed, pause=pause)
        found.append(
            record(
                ran, own.problems, own.count, label=name, interventions=interventions, bank=bank,
                batch_size=batch_size, continuations=bool(own.traces[0].continuations), on_progress=on_progress,
            )
        )  # fmt: skip
    return found


def control(
    checkpoint: Checkpoint, name: str, seed: int = 0, *, pause: Checkpoint | None = None
) -> tuple[Checkpoint, tuple[Intervention, ...]]:
    """Return what is run for a control, and what is changed in its thoughts; those need the model's own as a bank.

    Args:
        checkpoint: The model.
        name: Of `CONTROLS`.
        seed: As in `record_controls`.
        pause: As in `record_controls`.

    Raises:
        WorkbenchError: There is no such control.
    """
    if name not in CONTROLS:
        raise WorkbenchError(
            f'There is no control "{name}".', f"The controls are {', '.join(CONTROLS)}.", "Choose among them."
        )
    if name == "untrained":
        return untrained(checkpoint, seed), ()
    if name == "pause":
        return pause or replace(checkpoint, fed="pause"), ()
    return checkpoint, (Shuffle(seed=seed) if name == "shuffled" else Noise(seed=seed),)


def untrained(checkpoint: Checkpoint, seed: int = 0) -> Checkpoint:
    """Return a checkpoint of the same architecture whose weights are drawn anew.

    Every matrix is Gaussian with the mean and spread of the trained one, entry by entry; gains and biases of norms and
    layers keep their values in another order. So norms of embeddings and thoughts stay comparable, and nothing learned
    is left.
    """
    model = AutoModelForCausalLM.from_config(checkpoint.model.config).eval()
    generator = torch.Generator().manual_seed(seed)
    trained = dict(checkpoint.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            source = trained[name].detach()
            if source.dim() > 1:
                drawn = torch.randn(source.shape, generator=generator) * source.std() + source.mean()
            else:
                drawn = source.flatten()[torch.randperm(source.numel(), generator=generator)].view_as(source)
            parameter.copy_(drawn)
    return replace(checkpoint, model=model.to(checkpoint.model.device), name=f"{checkpoint.name}-untrained")


_P = ParamSpec("_P")
_T = TypeVar("_T")


def memoize(function: Callable[Concatenate[Recording, _P], _T]) -> Callable[Concatenate[Recording, _P], _T]:
    """Return a function of a recording that remembers what it returned, for as long as the recording is held.

    What it returns is shared by all who ask, so it must not be written to.

    Args:
        function: Of a recording and of further arguments, hashable ones, that depends on nothing else.
    """
    kept: WeakKeyDictionary[Recording, dict[object, _T]] = WeakKeyDictionary()

    @wraps(function)
    def remembered(recording: Recording, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        held, key = kept.setdefault(recording, {}), (args, tuple(sorted(kwargs.items())))
        if key not in held:
            held[key] = function(recording, *args, **kwargs)
        return held[key]

    return remembered
