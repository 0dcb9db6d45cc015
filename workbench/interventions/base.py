"""What an intervention is, and what it may know of the batch it acts on."""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal, NoReturn, get_args, get_origin

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from workbench.errors import WorkbenchError, unknown
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import Edit, lm_head
from workbench.model.prompts import Prompt
from workbench.problems.graph import hop_read
from workbench.settings import convert

Thoughts = Float[Tensor, "problems K d"]
"""Thoughts 1..K about every problem of a set, in the set's order, as they were fed."""

MOST = 1000
"""No number in an intervention is larger, and no list in it is longer."""

MOST_CHARACTERS = 128
"""No text in one is longer."""

SPACES = ("embedding", "unembedding")
"""Where a node has a direction in every model: its row of the input embedding, and of the LM head."""


@dataclass(frozen=True)
class Context:
    """A batch of prompts about to think."""

    checkpoint: Checkpoint
    """What will run."""
    prompts: tuple[Prompt, ...]
    """Of the batch's rows, in their order."""
    rows: tuple[int, ...]
    """Number of each row in the whole set. Seeds and sources go by it, so the batch size changes no result."""
    set_thoughts: Thoughts | None = None
    """What the model thought about the whole set without interventions, None if the caller gave none."""
    own: Float[Tensor, "batch K d"] | None = None
    """What was fed to this batch without interventions; by default its rows of `set_thoughts`."""
    read: Float[Tensor, "batch K d"] | None = None
    """What values are read of: where pauses are fed, the hidden states that Coconut would have fed; by default the same
    as `own`."""
    sources: Mapping[str, Thoughts] = field(default_factory=dict)
    """Thoughts about other sets, by name; row i belongs to problem i of this one."""
    spaces: Mapping[str, Float[Tensor, "*K vocab d"]] = field(default_factory=dict)
    """Learned directions of every token, by name: those of a probe, a lens; for all thoughts, or by thought."""
    edges: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """By name, numbers of edges of each problem of the whole set, which attention can be cut from."""

    def thoughts(self, source: str) -> Float[Tensor, "batch K d"]:
        """Return the thoughts of a source about this batch's problems.

        Args:
            source: Its name; "own" for what the model thinks itself.

        Raises:
            WorkbenchError: There is no such source, or it has fewer problems.
        """
        if source == "own" and self.own is not None:
            return self.own
        found = self.set_thoughts if source == "own" else self.sources.get(source)
        if found is None or max(self.rows) >= len(found):
            known = ", ".join(sorted(self.sources)) or "none"
            raise WorkbenchError(
                f'The source "{source}" has no thoughts about these problems.',
                f"The sources given are: {known}." if found is None else f"It thought about {len(found)} problems.",
                "Give sources={name: problems}, one problem for each of those that are run.",
            )
        return found[list(self.rows)]

    def thoughts_of_set(self, kind: str) -> Thoughts:
        """Return the thoughts about the whole set, for an intervention of a kind.

        Raises:
            WorkbenchError: There are none, or too few.
        """
        if self.set_thoughts is None or max(self.rows) >= len(self.set_thoughts):
            raise WorkbenchError(
                f'The intervention "{kind}" has no thoughts of the whole set.',
                "None were given." if self.set_thoughts is None else f"There are {len(self.set_thoughts)} problems.",
                "Run the problems without it first, and give their thoughts as set_thoughts.",
            )
        return self.set_thoughts

    @cached_property
    @torch.no_grad()
    def values(self) -> Float[Tensor, "batch K vocab"]:
        """Probability of each token under the LM head of the thoughts that the model thinks without interventions."""
        read = self.thoughts("own") if self.read is None else self.read
        return lm_head(self.checkpoint.model, read.to(self.checkpoint.model.device)).softmax(-1)

    def hop(self, k: int) -> int:
        """Return the hop that thought k stands for."""
        return hop_read(k, self.checkpoint.thoughts_per_step)

    def space(self, name: str, k: int) -> Float[Tensor, "vocab d"]:
        """Return the directions of all tokens in a space, for thought k.

        Raises:
            WorkbenchError: There is no such space.
        """
        model = self.checkpoint.model
        if name == "embedding":
            return model.get_input_embeddings().weight.detach()  # type: ignore[union-attr, return-value]
        if name == "unembedding":
            return model.get_output_embeddings().weight.detach()  # type: ignore[union-attr, return-value]
        if name not in self.spaces:
            raise unknown("space", name, [*SPACES, *sorted(self.spaces)])
        found = self.spaces[name].to(model.device)
        return found if found.dim() == 2 else found[k - 1]

    def random_directions(self, seed: int, k: int, like: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        """Draw a unit vector for each problem by its number and that of the thought, so that batches change nothing."""
        drawn = [np.random.default_rng([seed, row, k]).standard_normal(like.shape[1]) for row in self.rows]
        return normalize(torch.from_numpy(np.stack(drawn)).to(like), dim=-1)

    def directions(self, row: int, k: int, nodes: Int[Tensor, " m"], space: str) -> Float[Tensor, "m d"]:
        """Return the directions of nodes of one row for thought k: those of the tokens that their names begin with."""
        first = torch.tensor([word[0] for word in self.prompts[row].nodes])
        return self.space(space, k)[first[nodes]]


KINDS: dict[str, type["Intervention"]] = {}
"""Every kind of intervention by the name it is written with; a kind enters itself."""

Control = Literal["other nodes", "random direction"]
"""How a control of an intervention is drawn; see `controls.controls`."""


@dataclass(frozen=True)
class Option:
    """A field of a kind of intervention, as a page, a form or a table shows it."""

    name: str
    type: Any
    """Annotation of the field: int, float, str, bool, a Literal, or a tuple of one of these."""
    default: Any
    help: str
    """Docstring of the field."""
    choices: tuple[str, ...] = ()
    """Values of a Literal."""
    nodes: bool = False
    """Whether it names nodes (`nodes.SETS`, names, or numbers)."""


@dataclass(frozen=True)
class Intervention:
    """A change made while a model thinks.

    A new kind is one class, and nothing else:

        @dataclass(frozen=True)
        class Flip(Intervention, kind="flip", title="Flip"):
            '''The thought with its sign turned.'''

            strength: float = 1.0
            '''Share of the thought taken away twice: 0 changes nothing.'''

            def change(self, context: Context, k: int, vectors: Tensor) -> Tensor:
                return vectors * (1 - 2 * self.strength)

    It can then be written in YAML, in a link and on the command line, has controls, and with a `title` is offered by
    the explorer. Kinds are frozen dataclasses of numbers, strings and tuples of them. Their docstrings are what the
    explorer says of them.

    Raises:
        WorkbenchError: A value is of the wrong type, a number too large, or a list too long.
    """

    kind: ClassVar[str] = ""
    """Name in YAML, in a link, and on the screen."""
    former: ClassVar[tuple[str, ...]] = ()
    """Names it had before, which are still read."""
    title: ClassVar[str] = ""
    """What the explorer calls it; one without a title is not offered there."""
    says: ClassVar[str] = ""
    """A few words on what is done, with fields in braces: "remove {nodes}{space}"."""
    changes: ClassVar[Literal["fed", "columns", "layers"]] = "fed"
    """Whether it changes what is fed, takes columns away, or acts inside the layers."""
    place: ClassVar[str] = "in"
    """Word before the thought in a description: "in", "out of", "in place of"."""
    unit: ClassVar[str] = ""
    """What a strength of 1 is, for axes."""
    strengths: ClassVar[tuple[float, float]] = (-MOST, MOST)
    """Smallest and largest strength that mean something, for a kind that has a `strength`."""
    most: ClassVar[float] = 1.0
    """Largest strength worth showing in a slider or a curve."""
    node_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that name nodes."""
    needs_set: ClassVar[bool] = False
    """Whether it needs what was thought about the whole set (`Context.set_thoughts`)."""

    at: tuple[int, ...] = field(default=(), kw_only=True)
    """Numbers of the thoughts it acts on, from 1; none means all."""

    def __init_subclass__(cls, **facts: Any) -> None:
        """Set what the header of the class says of the kind, and enter it in `KINDS`, unless the class is private."""
        super().__init_subclass__()
        for name, value in facts.items():
            getattr(Intervention, name)  # an error where there is no such fact
            setattr(cls, name, value)
        if "kind" in vars(cls) and not cls.__name__.startswith("_"):
            KINDS[cls.kind] = cls

    def __post_init__(self) -> None:
        """Refuse what no run could mean; lists become tuples, and whole numbers what the field asks for."""
        for one in fields(self):
            given = getattr(self, one.name)
            given = list(given) if isinstance(given, tuple) else given
            value = convert(one.type, given, f'intervention "{self.kind}"', one.name)
            object.__setattr__(self, one.name, value)
            inside = value if isinstance(value, tuple) else (value,)
            for item in inside:
                size = len(item) if isinstance(item, str) else abs(item)
                if not size <= (MOST_CHARACTERS if isinstance(item, str) else MOST) or len(inside) > MOST:
                    self.refuse(one.name, f"{item!r:.80} is too large")
        if getattr(self, "seed", 0) < 0:
            self.refuse("seed", "it must be 0 or more")
        least, most = self.strengths
        if not least <= getattr(self, "strength", most) <= most:
            self.refuse("strength", f"it lies between {least:g} and {most:g}")
        if any(k < 1 for k in self.at):
            self.refuse("at", "thoughts are counted from 1")

    def refuse(self, field: str, why: str) -> NoReturn:
        """Raise the error about a field that cannot have its value."""
        raise WorkbenchError(f'The intervention "{self.kind}" cannot be made.', f"{field}: {why}.", "Change the value.")

    @classmethod
    def help(cls) -> str:
        """Return the first paragraph of the docstring: what the kind does."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())

    @classmethod
    def options(cls) -> list[Option]:
        """Return the fields of the kind, `at` apart, with their documentation."""
        helps = {name: text for base in reversed(cls.__mro__) for name, text in _field_docs(base).items()}
        return [
            Option(
                one.name, one.type, one.default, helps.get(one.name, ""),
                get_args(one.type) if get_origin(one.type) is Literal else (), one.name in cls.node_fields,
            )
            for one in fields(cls) if one.name != "at"
        ]  # fmt: skip

    @property
    def label(self) -> str:
        """What is done, in a few words, without where: `says` with its fields filled in."""
        values = {one.name: _shown(one.name, getattr(self, one.name)) for one in fields(self)}
        return (self.says or self.kind).format(**values)

    def described(self, count: int) -> str:
        """Return in a few words what is done, where, and how strongly, in a run of so many thoughts."""
        strength = getattr(self, "strength", 1.0)
        return f"{self.label} {self.where_described(count)}" + ("" if strength == 1 else f", strength {strength:g}")

    def where_described(self, count: int) -> str:
        """Return in a few words where it acts."""
        thoughts, before = [k for k in range(1, count + 1) if self.acts_on(k)], f"{self.place} " if self.place else ""
        if not thoughts:
            return f"in thought {', '.join(map(str, self.at))}, which this run does not think"
        if len(thoughts) == count:
            return f"{before}every thought"
        if len(thoughts) > 2 and thoughts == list(range(thoughts[0], thoughts[-1] + 1)):
            return f"{before}thoughts {thoughts[0]} to {thoughts[-1]}"
        return f"{before}thought{'s' if len(thoughts) > 1 else ''} {' and '.join(map(str, thoughts))}"

    @property
    def controls(self) -> tuple[Control, ...]:
        """Which controls it has, the closer one first."""
        near: tuple[Control, ...] = ("other nodes",) if self.node_fields else ()
        return (*near, "random direction") if self.changes == "fed" else ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the runs that it takes thoughts or activations from; "own" needs none."""
        source = getattr(self, "source", "own")
        return () if source == "own" else (source,)

    def at_strength(self, strength: float) -> "Intervention":
        """Return the same with another strength.

        Raises:
            WorkbenchError: The kind has none.
        """
        if not hasattr(self, "strength"):
            raise WorkbenchError(
                f'The intervention "{self.kind}" has no strength.', "It acts or it does not.", "Choose another one."
            )
        return replace(self, **{"strength": strength})

    def change(self, context: Context, k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        """Return what is fed as thought k in place of these vectors, whatever `at` says.

        Raises:
            WorkbenchError: It does not act by changing what is fed.
        """
        self.require_fed()
        raise NotImplementedError

    def require_fed(self) -> None:
        """Check that it acts by changing what is fed.

        Raises:
            WorkbenchError: It takes columns away, or acts inside the layers.
        """
        if self.changes != "fed":
            raise WorkbenchError(
                f'The intervention "{self.kind}" does not change what is fed.',
                "It takes columns away, or acts inside the layers.",
                "Run it with workbench.measure.trace.run or run_intervened.",
            )

    def acts_on(self, k: int) -> bool:
        """Say whether it acts on thought k."""
        return not self.at or k in self.at

    def edit(self, context: Context) -> Edit:
        """Return the function that changes the thoughts of `at`; with no strength it changes nothing, to the bit."""

        def confined(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            acts = self.acts_on(k) and getattr(self, "strength", 1.0) != 0
            return self.change(context, k, vectors) if acts else vectors

        return confined


SET_PHRASES = {
    "frontier": "the nodes at its hop",
    "within": "the nodes up to its hop",
    "optimal": "the shortest-path nodes at its hop",
    "on_path": "the shortest-path nodes at its hop, target excluded",
    "off_path": "as many other nodes at its hop",
    "others": "the nodes at its hop on no shortest path",
    "leading": "the nodes at its hop that reach the target",
    "leading_and_target": "the nodes at its hop that reach the target, and the target",
    "all_on_path": "the shortest-path nodes of all hops",
    "all_off_path": "as many other nodes of all hops",
    "other_side": "the shortest-path nodes of the twin",
    "strangers": "as many nodes out of reach",
    "top": "its likeliest node",
    "reachable": "the nodes within reach",
    "distractor": "the nodes out of reach",
    "concepts": "all concepts",
    "root": "the root",
    "target": "the target",
    "negative": "the other option",
}
"""The sets of nodes (`nodes.SETS`) as a description names them."""


def _shown(name: str, value: Any) -> str:
    """Return a field as a description shows it; those with a usual value say nothing where they have it."""
    match name, value:
        case (("nodes" | "to"), tuple()):
            return " + ".join(SET_PHRASES.get(one, str(one)) for one in value) or "nothing"
        case "source", _:
            return {"twin": "the twin", "own": "its own run"}.get(str(value), str(value))
        case "thought", _:
            return f"thought {value}" if value else "the thought"
        case "space", _:
            return "" if value == "embedding" else f" ({value})"
        case "rest", _:
            return ", the rest kept" if value else ""
        case "layers", _:
            return f" in layer {', '.join(map(str, value))}" if value else ""
        case _, tuple():
            return " + ".join(map(str, value)) or "nothing"
    return str(value)


@cache
def _field_docs(kind: type) -> dict[str, str]:
    """Return the docstrings below the fields of a class; none where its source is out of reach."""
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(body.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def composed(interventions: Sequence[Intervention], context: Context) -> Edit | None:
    """Return one function that makes all changes, one after the other; None where there is nothing to change."""
    edits = [intervention.edit(context) for intervention in interventions]
    if not edits:
        return None

    def all_of_them(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        for edit in edits:
            vectors = edit(k, vectors)
        return vectors

    return all_of_them


def require_thoughts(interventions: Sequence[Intervention], count: int) -> None:
    """Check that there are the thoughts that interventions act on.

    Raises:
        WorkbenchError: One acts on a thought that is not thought.
    """
    for one in interventions:
        if beyond := [k for k in one.at if k > count]:
            one.refuse("at", f"there is no thought {beyond[0]}, only thoughts 1 to {count}")


def require_shape(what: str, given: Tensor, *shape: int | str) -> None:
    """Check that arrays given to a run are as large as it is.

    Args:
        what: What they are, for the message.
        given: The array.
        shape: The size of each axis, or the name of one that may have any.

    Raises:
        WorkbenchError: They are not.
    """
    fits = [isinstance(size, str) or size == found for size, found in zip(shape, given.shape, strict=False)]
    if given.dim() != len(shape) or not all(fits):
        raise WorkbenchError(
            f"The {what} does not fit this run.",
            f"It is {list(given.shape)}; [{', '.join(map(str, shape))}] is needed.",
            "Make it with the same checkpoint and as many thoughts; thoughts with interventions.run.think_about.",
        )
