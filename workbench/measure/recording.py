"""Recordings: the thoughts and activations of one run over a problem set, as arrays whose first axis is the problems.

A trace holds the values of one problem; a recording adds residual stream and attention at every thought, of all
problems, so that a reading of the whole set is a function of arrays. `record_controls` runs the controls of a
recording; `memoize` keeps what several readings need of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from workbench.errors import WorkbenchError, unknown
from workbench.interventions.base import Intervention, Thoughts
from workbench.interventions.plan import Plan, as_plan
from workbench.interventions.run import InterventionRunner
from workbench.interventions.thoughts import Noise, Shuffle
from workbench.measure.arrays import Trace
from workbench.measure.run_labels import CONTROLS, MODEL, OTHER_TARGET
from workbench.measure.trace import Tracer
from workbench.model.checkpoint import Checkpoint
from workbench.model.formats import places
from workbench.model.lens import CoconutLens
from workbench.model.prompts import Prompt
from workbench.model.recurrence import attach_head, recurrence_of
from workbench.model.session import Batch, Session, as_numpy, in_batches, thought_count
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.variants import other_target


@dataclass(frozen=True, eq=False)  # a recording is itself alone: arrays have no one answer to "equal?"
class Recording:
    """One run over n problems, with K thoughts (K + 2 columns), L layers (L + 1 streams), H heads, width d.

    Arrays over nodes and edges are as wide as the largest problem; `is_node` and `is_edge` mark the entries that exist,
    the others are nan. **Columns**: column 0 is the end of the prompt, whose last hidden state is thought 1; column k
    is where thought k was fed, and its last hidden state becomes thought k + 1; column K + 1 is the last token of the
    answer's opening, after which the target is named.
    """

    label: str
    """Name of the series in figures: `MODEL`, or that of a control."""
    checkpoint: Checkpoint
    """The model that was run."""
    problems: tuple[Problem, ...]
    """What is read is about these."""
    asked: tuple[Problem, ...]
    """What stood in the prompts: the same, or the same graphs with another target in the question."""
    traces: tuple[Trace, ...]
    """Of each problem: thoughts, values under the readouts, answers, and continuations where asked for."""
    interventions: tuple[Intervention, ...]
    """Changes made to the thoughts while it ran; readings are of the changed run."""
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

    def __getstate__(self) -> dict[str, object]:
        """Travel to another process without what has been computed of it (`memoize`)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def thoughts(self) -> Float[np.ndarray, "n K d"]:
        """Thought 1..K as the LM head reads it: what readouts are of."""
        return np.stack([trace.thoughts for trace in self.traces])

    @property
    def fed(self) -> Float[np.ndarray, "n K d"]:
        """Thought 1..K as fed: what interventions act on (where pauses are fed, what Coconut would have fed)."""
        return np.stack([trace.as_fed for trace in self.traces])

    @property
    def count(self) -> int:
        """Number of thoughts, K."""
        return self.residual.shape[1] - 2

    @property
    def as_far(self) -> Bool[np.ndarray, "n"]:
        """Whether the target that was asked for is as far from the root as the problem's own."""
        both = zip(self.problems, self.asked, strict=True)
        return np.array([structure(one).length == structure(other).length for one, other in both])

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
    asked: Sequence[Problem] | None = None,
    interventions: Sequence[Intervention] = (),
    set_thoughts: Thoughts | None = None,
    batch_size: int = 64,
    continuations: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Recording:
    """Run a checkpoint on a problem set and keep its thoughts, residual stream and attention.

    Each problem is run once, under TransformerLens.

    Args:
        checkpoint: The model to run.
        problems: The set; all of it is held.
        thoughts: Number of thoughts, K; by default as many as the model was trained with.
        label: Name of the series in figures.
        asked: Problems to ask in the place of each, on the same graphs; what is read is about `problems`.
        interventions: Changes made to thoughts before they are fed.
        set_thoughts: Source thoughts of interventions, a row for each problem.
        batch_size: Problems run at a time.
        continuations: Whether to let the model go on in words after each number of thoughts (slow).
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: There is no problem, or one cannot be run.
    """
    if not problems:
        raise WorkbenchError("There is nothing to record.", "The list of problems is empty.", "Give some problems.")
    count = thought_count(checkpoint, thoughts)
    lens, plan = CoconutLens(checkpoint), as_plan(interventions)
    for one in interventions:
        one.require_fed()  # a recording is of changed thoughts only
    runner = InterventionRunner(checkpoint, [plan], count, set_thoughts=set_thoughts, batch_size=batch_size, lens=lens)
    recorder = _Recorder(runner, plan, continuations, lens, max(len(problem.edges) for problem in problems))
    questions = tuple(problems if asked is None else asked)
    rows = list(in_batches(checkpoint, questions, recorder.rows, batch_size, on_progress))
    traces = tuple(replace(trace, problem=problem) for (trace, _), problem in zip(rows, problems, strict=True))
    arrays: dict[str, Any] = {name: np.stack([row[name] for _, row in rows]) for name in rows[0][1]}
    return Recording(label, checkpoint, tuple(problems), questions, traces, tuple(interventions), **arrays)


class _Recorder(Tracer):
    """Traces batches under TransformerLens and keeps what its hook points see at the columns of a recording.

    Each of these columns is the last of a pass: the end of the prompt (prompts are padded on the left), a thought, and
    the last token of the answer's opening in the branch after all thoughts.
    """

    def __init__(
        self, runner: InterventionRunner, plan: Plan, continuations: bool, lens: CoconutLens, widest: int
    ) -> None:
        super().__init__(runner, plan, 10, continuations)
        self.lens, self.widest = lens, widest
        layers = range(self.checkpoint.model.config.num_hidden_layers)
        self._residual = [*(f"blocks.{n}.hook_resid_pre" for n in layers), f"blocks.{layers[-1]}.hook_resid_post"]
        self._patterns = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]
        self._passes: list[dict[str, Tensor]] = []
        self._arrays: dict[str, np.ndarray] = {}
        for name in (*self._residual, *self._patterns):
            lens.bridge.hook_dict[name].add_hook(partial(self._keep, name), is_permanent=True)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[type["_Recorder"], tuple[object, ...]]:
        """Travel to another process as what it is made of: hooks are put in place there."""
        return _Recorder, (self.runner, self.plan, self.continuations, self.lens, self.widest)

    def rows(self, batch: Batch) -> Iterator[tuple[Trace, dict[str, np.ndarray]]]:
        """Return the trace of each problem of a batch, and its part of every array."""
        self._passes = []
        traces = self.traces(batch)
        return ((trace, {name: a[row] for name, a in self._arrays.items()}) for row, trace in enumerate(traces))

    def _keep(self, name: str, activation: Tensor, hook: object) -> None:
        if name == self._residual[0]:  # a new pass
            self._passes.append({})
        self._passes[-1][name] = activation[:, -1].clone() if name in self._residual else activation[:, :, -1].clone()

    def thought(self, batch: Batch, session: Session) -> None:
        # Before the last K passes the model may have thought without the interventions, which need its own thoughts.
        self._passes = [self._passes[0], *self._passes[len(self._passes) - self.count :]]

    def opened(self, batch: Batch, session: Session) -> None:
        passes, begin = [*self._passes[: self.count + 1], self._passes[-1]], session.begin
        residual = torch.stack([torch.stack([one[name] for name in self._residual], 1) for one in passes], 1)
        columns = begin + self.count  # thoughts to come get no attention; columns of other branches are left out
        seen = [[F.pad(one[name], (0, columns))[..., :columns] for name in self._patterns] for one in passes]
        if session.again[1]:  # an answer that reads the thoughts alone reads them where they are fed again
            for shares, name in zip(seen[-1], self._patterns, strict=True):
                shares[..., begin:] = passes[-1][name][..., slice(*session.again)]
        attention = torch.stack([torch.stack(layers, 1) for layers in seen], 1)
        self._arrays = {"residual": as_numpy(residual), **self._attention(batch.prompts, attention, begin)}

    def _attention(
        self, prompts: Sequence[Prompt], attention: Float[Tensor, "n C L H columns"], begin: int
    ) -> dict[str, np.ndarray]:
        """Sum the attention of the recorded columns over the tokens of edges, options and root in the prompt."""
        shape = attention.shape[:-1]
        edges = np.full((*shape, self.widest), np.nan, dtype=np.float32)
        options, root = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
        # Sums over spans are differences of running sums.
        running = F.pad(attention.double().cumsum(-1), (1, 0)).cpu().numpy()
        for row, prompt in enumerate(prompts):
            stands, pad = places(self.checkpoint.format, prompt), begin - len(prompt.ids)
            spans = np.array([*stands.edges, *stands.options, stands.root]) + pad
            sums = running[row][..., spans[:, 1]] - running[row][..., spans[:, 0]]
            edges[row][..., : len(stands.edges)] = sums[..., :-3]
            options[row], root[row] = sums[..., -3:-1], sums[..., -1]
        thoughts = as_numpy(attention[..., begin:])
        return {
            "attention": edges, "attention_options": options, "attention_root": root, "attention_thoughts": thoughts,
        }  # fmt: skip


def _weight(layer: Any) -> np.ndarray:
    return as_numpy(cast(nn.Embedding, layer).weight)


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

    "other_target" leaves out the problems whose root reaches no other leaf (`variants.other_target`).

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
    set_thoughts, found = torch.from_numpy(own.fed), []
    for name in names:
        problems, asked, ran, interventions = own.problems, None, own.checkpoint, ()
        if name == OTHER_TARGET:
            problems, asked = _with_another_target(own.problems, seed)
        else:
            ran, interventions = control(own.checkpoint, name, seed, pause=pause)
        found.append(
            record(
                ran, problems, own.count, label=name, asked=asked, interventions=interventions,
                set_thoughts=set_thoughts, batch_size=batch_size, on_progress=on_progress,
                continuations=bool(own.traces[0].continuations),
            )
        )  # fmt: skip
    return found


def _with_another_target(problems: Sequence[Problem], seed: int) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return the problems that can be asked for another target, and those that ask for it."""
    pairs = [(problem, other) for problem in problems if (other := other_target(problem, seed))]
    if not pairs:
        raise WorkbenchError(
            "No other target can be asked for.",
            "In none of these problems does the root reach another leaf.",
            f'Leave out the control "{OTHER_TARGET}", or take problems on larger graphs.',
        )
    first, second = zip(*pairs, strict=True)
    return first, second


def control(
    checkpoint: Checkpoint, name: str, seed: int = 0, *, pause: Checkpoint | None = None
) -> tuple[Checkpoint, tuple[Intervention, ...]]:
    """Return the checkpoint that a control runs, and its interventions, which need the model's own thoughts.

    Args:
        checkpoint: The model.
        name: Of `CONTROLS`.
        seed: As in `record_controls`.
        pause: As in `record_controls`.

    Raises:
        WorkbenchError: There is no such control, or it changes the question and not the run.
    """
    if name not in CONTROLS:
        raise unknown("control", name, CONTROLS)
    if name == OTHER_TARGET:
        raise WorkbenchError(
            "Another target cannot be asked for here.",
            "This control changes the question about a graph and not the run.",
            "Take it of a recording of ProsQA problems, or choose another control.",
        )
    if name == "untrained":
        return untrained(checkpoint, seed), ()
    if name == "pause":
        return pause or replace(checkpoint, fed="pause"), ()
    return checkpoint, (Shuffle(seed=seed) if name == "shuffled" else Noise(seed=seed),)


def untrained(checkpoint: Checkpoint, seed: int = 0) -> Checkpoint:
    """Return a checkpoint of the same architecture whose weights are drawn anew.

    Every matrix is Gaussian with the mean and spread of the trained one; gains and biases of norms and layers keep
    their values in another order. So lengths of embeddings and thoughts stay comparable, and nothing learned is left.
    """
    model = AutoModelForCausalLM.from_config(checkpoint.model.config).eval()
    attach_head(model, recurrence_of(model))
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
    """Return a function of a recording that keeps its results for as long as the recording is held.

    A result is shared by all who ask, so it must not be written to.

    Args:
        function: Of a recording and of further arguments, hashable ones; depends on nothing else.
    """

    @wraps(function)
    def remembered(recording: Recording, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        kept, key = vars(recording).setdefault("_kept", {}), (function, args, frozenset(kwargs.items()))
        if key not in kept:
            kept[key] = function(recording, *args, **kwargs)
        return kept[key]

    return remembered
