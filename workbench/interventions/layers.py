"""Interventions inside the layers: attention knocked out, heads and sublayers ablated or patched.

`PARTS` names the columns before a thought that attention can be cut from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import unknown
from workbench.interventions.base import Context, Intervention
from workbench.model.formats import Span, TokenSpans, places
from workbench.model.prompts import Format, Prompt
from workbench.model.session import Session
from workbench.problems.graph import structure
from workbench.problems.problem import Problem

PARTS: dict[str, str] = {
    "prompt": "All tokens of the prompt.",
    "thoughts": "The thoughts fed so far, the column itself not counted.",
    "edges": "The sentences of all edges.",
    "path_edges": "Those on a shortest path from root to target.",
    "other_edges": "Those on none.",
    "frontier_edges": "Those that leave a node at hop k, which thought k is to follow; none at what is said.",
    "options": "The two options in the question.",
    "root": "The root in the question.",
}
"""What each name stands for, at thought k that stands for hop k, or at what is said after the thoughts."""


def columns_of(context: Context, session: Session, names: Sequence[str], width: int) -> Bool[Tensor, "batch width"]:
    """Return which columns are meant at the pass under way, of as many as it can see.

    Args:
        context: The batch.
        session: What runs it.
        names: Of `PARTS`, of the edges given to the run (`Context.edges`), or "edge-NUMBER".
        width: Number of columns, those of the pass itself included.

    Raises:
        WorkbenchError: There is no such part or edge.
    """
    meant = torch.zeros(len(context.prompts), width, dtype=torch.bool)
    fed = width - 1 if session.feeding else session.end
    k = session.feeding if session.feeding or session.making else None
    for row, prompt in enumerate(context.prompts):
        pad = session.begin - len(prompt.ids)
        for name in names:
            if name == "prompt":
                meant[row, pad : session.begin] = True
            elif name == "thoughts":
                meant[row, session.begin : fed] = True
                meant[row, slice(*session.again)] = True
            else:
                for start, end in _spans(context, row, k, name):
                    meant[row, pad + start : pad + end] = True
    if session.making == 1:
        meant[:, -1] = False  # the column itself, the last of the prompt
    return meant.to(session.mask.device)


def _spans(context: Context, row: int, k: int | None, name: str) -> list[Span]:
    prompt = context.prompts[row]
    stands = _places(context.checkpoint.format, prompt)
    if name == "options":
        return list(stands.options)
    if name == "root":
        return [stands.root]
    if name in context.edges:
        return [stands.edges[edge] for edge in context.edges[name][context.rows[row]]]
    return [stands.edges[edge] for edge in _edges(prompt.graph, None if k is None else context.hop(k), name)]


def _edges(problem: Problem, hop: int | None, name: str) -> list[int]:
    """Return the numbers of the edges that a name stands for; a hop of None means at what is said."""
    about, count = structure(problem), range(len(problem.edges))
    on_path = [
        bool(about.optimal[source] and about.optimal[target] and about.hops[target] == about.hops[source] + 1)
        for source, target in problem.edges
    ]
    kind, _, number = name.partition("-")
    if kind == "edge" and number.isdecimal() and int(number) in count:
        return [int(number)]
    if name == "edges":
        return list(count)
    if name in ("path_edges", "other_edges"):
        return [edge for edge in count if on_path[edge] == (name == "path_edges")]
    if name == "frontier_edges":
        return [edge for edge in count if about.hops[problem.edges[edge][0]] == hop]
    known = [*PARTS, f"edge-0 to edge-{len(problem.edges) - 1}"]
    raise unknown("part", name, known, f"Name one of these parts of problem {problem.id}.")


@lru_cache(maxsize=4096)
def _places(form: Format, prompt: Prompt) -> TokenSpans:
    return places(form, prompt)


LayerHook = tuple[str, Callable[..., Tensor | None]]
"""Name of a hook point of TransformerLens, and the function that is given its activation and `hook=`."""

Observed = Mapping[str, Mapping[str, Tensor]]
"""By source ("mean" is the mean over the set) and hook point: activations at thoughts 1..K without interventions,
[batch or 1, K, ...]."""

Part = Literal["heads", "attention", "mlp", "residual"]
_POINTS: dict[str, str] = {
    "heads": "attn.hook_z",
    "attention": "hook_attn_out",
    "mlp": "hook_mlp_out",
    "residual": "hook_resid_post",
}


@dataclass(frozen=True)
class LayerIntervention(Intervention, changes="layers"):
    """A change made while the layers compute the column of a thought, or what is said after the thoughts."""

    layers: tuple[int, ...] = field(default=(), kw_only=True)
    """Numbers of the layers, from 0; none means all."""
    where: Literal["thoughts", "answer", "both"] = field(default="thoughts", kw_only=True)
    """Whether it acts on the columns of the thoughts of `at`, on all that is said after the thoughts, or on both. From
    thought k on: `at=(k, ..., K), where="both"`."""

    def hooks(self, context: Context, session: Session, observed: Observed) -> list[LayerHook]:
        """Return what to hook where.

        Args:
            context: The batch.
            session: What runs it; says what it feeds.
            observed: Activations of sources, as far as `wants` asked for them.

        Raises:
            WorkbenchError: The model has no such layer or head.
        """
        raise NotImplementedError

    def wants(self, layers: int) -> tuple[str, list[str]] | None:
        """Return the source whose activations it needs, and at which hook points; None for none."""
        return None

    def where_described(self, count: int) -> str:
        """Return in a few words where it acts."""
        if self.where == "answer":
            return "while it answers"
        return super().where_described(count) + (" and while it answers" if self.where == "both" else "")

    def active(self, session: Session) -> bool:
        """Say whether it acts on the pass under way; thoughts that are fed again to the answer are left alone."""
        k = session.feeding
        return not session.feeding_again and (
            self.where != "thoughts" if k == 0 else self.where != "answer" and self.acts_on(k)
        )

    def chosen(self, field: str, numbers: tuple[int, ...], count: int) -> list[int]:
        """Return the layers or heads meant, of so many."""
        if any(not 0 <= one < count for one in numbers):
            self.refuse(field, f"this model has {field} 0 to {count - 1}")
        return sorted(set(numbers)) or list(range(count))


@dataclass(frozen=True)
class Knockout(
    LayerIntervention,
    kind="knockout",
    says="no attention to {to}{layers}",
    unit="share of the attention cut",
    strengths=(0.0, 1.0),
):
    """Attention to some columns cut, and the rest of it scaled up to one again, as a mask before the softmax would do.

    What the columns told others before stays with those: cut "edges" and more is left than nothing.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 4)
        >>> model.answer(problems, wb.Knockout(to=("edges",), at=(2,)))
        4 answers, accuracy 0.500 [0.018, 0.982]
    """

    to: tuple[str, ...] = ("prompt",)
    """Parts of the prompt by name, or edges as "edge-NUMBER", from 0 in the order of the question."""
    heads: tuple[int, ...] = ()
    """Numbers of the heads, from 0; none means all."""
    strength: float = 1.0
    """Share of the attention cut: 0 changes nothing."""
    making: bool = False
    """Whether it acts where the thoughts of `at` are made, the column before each (the prompt's last token for thought
    1), rather than on their own columns."""

    def __post_init__(self) -> None:
        """Refuse what is said: it makes no thought."""
        super().__post_init__()
        if self.making and self.where != "thoughts":
            self.refuse("making", "what is said makes no thought")

    def active(self, session: Session) -> bool:
        """Say whether it acts on the pass under way."""
        return session.making > 0 and self.acts_on(session.making) if self.making else super().active(session)

    def where_described(self, count: int) -> str:
        """Return in a few words where it acts."""
        return ("where it makes " if self.making else "") + super().where_described(count).removeprefix(
            "in " if self.making else ""
        )

    def hooks(self, context: Context, session: Session, observed: Observed) -> list[LayerHook]:
        """Hook the patterns."""
        config = context.checkpoint.model.config
        heads = self.chosen("heads", self.heads, config.num_attention_heads)

        def cut(pattern: Float[Tensor, "batch heads new columns"], hook: Any) -> Tensor | None:
            if self.strength == 0 or not self.active(session):
                return None
            hidden = columns_of(context, session, self.to, pattern.shape[-1])
            left = pattern * (1 - self.strength * hidden[:, None, None].to(pattern))
            total = left.sum(-1, keepdim=True)
            changed = pattern.clone()
            changed[:, heads] = torch.where(total > 0, left / total, left)[:, heads]
            # Rows without any such column keep their bits.
            return torch.where(hidden.any(1)[:, None, None, None], changed, pattern)

        layers = self.chosen("layers", self.layers, config.num_hidden_layers)
        return [(f"blocks.{layer}.attn.hook_pattern", cut) for layer in layers]


@dataclass(frozen=True)
class _Replacing(LayerIntervention):
    """An activation replaced, or mixed with another."""

    part: Part = "heads"
    """What a layer adds: "heads" one by one, the whole of "attention", "mlp"; or "residual", the stream after it."""
    heads: tuple[int, ...] = ()
    """Numbers of the heads, from 0; none means all. For "heads" alone."""
    strength: float = 1.0
    """Share replaced: 0 changes nothing."""

    def __post_init__(self) -> None:
        """Refuse heads where there are none."""
        super().__post_init__()
        if self.heads and self.part != "heads":
            self.refuse("heads", f'"{self.part}" has none')

    @property
    def puts_in(self) -> str | None:
        """Name of the source whose activation is put in the place, None for zeros."""
        return None

    def points(self, layers: int) -> list[str]:
        """Return the hook points, of a model with so many layers."""
        return [f"blocks.{layer}.{_POINTS[self.part]}" for layer in self.chosen("layers", self.layers, layers)]

    def wants(self, layers: int) -> tuple[str, list[str]] | None:
        """Ask for the activations that it puts in."""
        return None if self.puts_in is None else (self.puts_in, self.points(layers))

    def hooks(self, context: Context, session: Session, observed: Observed) -> list[LayerHook]:
        """Hook the activations."""
        config = context.checkpoint.model.config
        heads = self.chosen("heads", self.heads, config.num_attention_heads)

        def at(name: str) -> LayerHook:
            def replace(activation: Float[Tensor, "batch new *rest"], hook: Any) -> Tensor | None:
                if self.strength == 0 or not self.active(session):
                    return None
                other = torch.zeros_like(activation)
                if self.puts_in is not None:
                    given = observed[self.puts_in][name][:, session.feeding - 1, None]
                    other = given.to(activation).expand_as(activation)
                mixed = other if self.strength == 1 else (1 - self.strength) * activation + self.strength * other
                if self.part != "heads":
                    return mixed
                changed = activation.clone()
                changed[:, :, heads] = mixed[:, :, heads]
                return changed

            return name, replace

        return [at(name) for name in self.points(config.num_hidden_layers)]


@dataclass(frozen=True)
class Ablate(_Replacing, kind="ablate", says="{part} set to {to}{layers}", unit="share ablated"):
    """A head, a sublayer or the residual stream set to zero, or to its mean over the set at that thought.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 4)
        >>> model.answer(problems, wb.Ablate(part="mlp", layers=(0,), at=(1,)))
        4 answers, accuracy 0.250 [0.001, 0.989]
    """

    to: Literal["zero", "mean"] = "zero"
    """What is put in."""

    def __post_init__(self) -> None:
        """Refuse a mean of what is said: only thoughts have one over the set."""
        super().__post_init__()
        if self.to == "mean" and self.where != "thoughts":
            self.refuse("where", "only thoughts have a mean over the set")

    @property
    def puts_in(self) -> str | None:
        """The mean, or none."""
        return "mean" if self.to == "mean" else None


@dataclass(frozen=True)
class PatchLayer(
    _Replacing, kind="patch_layer", former=("patch",), says="{part} of {source}{layers}", unit="share patched in"
):
    """The activation of another run without interventions, at the same thought.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 4)
        >>> model.answer(problems, wb.PatchLayer(source="twin", at=(1,)))
        4 answers, accuracy 0.000 [0.000, 0.985]
    """

    source: str = "twin"
    """Name of the source; "own" is the model itself without interventions."""

    def __post_init__(self) -> None:
        """Refuse patches of what is said: sources say something else, in other columns."""
        super().__post_init__()
        if self.where != "thoughts":
            self.refuse("where", "sources are observed at thoughts only")
        if self.source in ("", "mean"):
            self.refuse("source", '"mean" is what ablate puts in' if self.source else "it has no name")

    @property
    def puts_in(self) -> str | None:
        """The source."""
        return self.source
