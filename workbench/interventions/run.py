"""Runs of a model under plans of interventions: each prompt is read once, and thought about once for every plan.

`run_intervened` answers a problem set under several plans. `InterventionRunner` is what it, traces and all other
experiments run under a plan with.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.interventions.base import Context, Intervention, Thoughts, composed, require_shape, require_thoughts
from workbench.interventions.layers import Knockout, Observed
from workbench.interventions.plan import Plan, as_plan
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import Edit, embedding_rows, lm_head
from workbench.model.lens import CoconutLens
from workbench.model.prompts import Prompt, first_token_shares
from workbench.model.recurrence import recurrence_of
from workbench.model.session import Batch, Branches, Session, arrays_in_batches, as_numpy, in_batches, thought_count
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import forced_choice

Sources = Mapping[str, Sequence[Problem | Item] | Thoughts]
"""By name, problems that a source thinks about, or thoughts as they are: one for each problem that is run."""


class Given(TypedDict, total=False):
    """What plans may take from outside: arguments of `run_intervened`, `InterventionRunner`, and all that call them."""

    sources: Sources | None
    """Problems that named sources think about, one for each of the problems: {"twin": twins}."""
    set_thoughts: Thoughts | None
    """What was thought about the whole set without interventions; made where it is needed and not given."""
    spaces: Mapping[str, Float[Tensor, "*K vocab d"]] | None
    """Learned directions of every token that interventions name, the same for all thoughts or by thought."""
    edges: Mapping[str, Sequence[Sequence[int]]]
    """See `Context.edges`."""


class InterventionRunner:
    """Prepares what plans need of sources and of the whole set, and runs batches under them.

    An experiment under a plan is a function of a batch, given to `session.in_batches`:

        runner = InterventionRunner(checkpoint, [plan], count)

        def lengths(batch):
            ((context, session, thoughts),) = runner.thinking(batch, count, [plan])
            return thoughts.norm(dim=-1).cpu().numpy()  # [batch, K]: an entry for each problem

        found = np.stack(list(in_batches(checkpoint, problems, lengths)))  # [n, K]

    What the model says after the thoughts is said within the loop over `thinking`, while the plan still acts:

        for context, session, thoughts in runner.thinking(batch, more, plans):
            ends = Branches(session, [count])
            ...

    Args:
        checkpoint: What runs.
        plans: All that will be asked for.
        count: Number of thoughts, K.
        problems: The whole set, from which thoughts and means are made where they are needed and not given.
        batch_size: Problems run at a time here.
        lens: Runs everything under this lens, so that its hook points fire; by default only what changes layers.
        given: Fields of `Given`.

    Raises:
        WorkbenchError: A source's problem cannot be run, or the model has no such layer, or the run no such thought.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        plans: Sequence[Plan],
        count: int,
        problems: Sequence[Problem | Item] | None = None,
        batch_size: int = 64,
        lens: CoconutLens | None = None,
        **given: Unpack[Given],
    ) -> None:
        self.checkpoint, self.count, self.edges = checkpoint, count, dict(given.get("edges", {}))
        self.spaces, self.set_thoughts = dict(given.get("spaces") or {}), given.get("set_thoughts")
        for plan in plans:
            require_thoughts(plan.interventions, count)
        self._busy = any(plan.interventions for plan in plans)
        inside = any(plan.inside for plan in plans)
        if inside and recurrence_of(checkpoint.model).sweeps:
            raise WorkbenchError(
                f"The layers of {checkpoint.name} cannot be changed thought by thought.",
                "Its thoughts are made all at once, in sweeps, and no pass makes one of them.",
                "Change what is fed.",
            )
        if lens is None and inside:
            lens = CoconutLens(checkpoint)
        self._lens = lens
        self._asked: dict[str, set[str]] = {}
        for one in (one for plan in plans for one in plan.inside):
            if wanted := one.wants(checkpoint.model.config.num_hidden_layers):
                self._asked.setdefault(wanted[0], set()).update(wanted[1])
        sources = dict(given.get("sources") or {})
        if taken := {"own", "mean"} & sources.keys():
            raise WorkbenchError(
                f'A source cannot be called "{min(taken)}".',
                '"own" is the model without interventions, "mean" the mean over the set.',
                "Give it another name.",
            )
        self.sources: dict[str, Thoughts] = {name: one for name, one in sources.items() if isinstance(one, Tensor)}
        self._sources = {name: one for name, one in sources.items() if not isinstance(one, Tensor)}
        self.sources |= {name: self._fed(one, batch_size) for name, one in self._sources.items()}
        width = checkpoint.model.config.hidden_size
        thoughts = {f'source "{name}"': one for name, one in self.sources.items()}
        for name, one in (thoughts | {"set of thoughts": self.set_thoughts}).items():
            if one is not None:
                require_shape(name, one, "problems", count, width)
        for name, directions in self.spaces.items():
            by_thought = (count,) if directions.dim() == 3 else ()
            require_shape(f'space "{name}"', directions, *by_thought, embedding_rows(checkpoint.model), width)
        self._mean: dict[str, Tensor] | None = None
        self._seen: tuple[Context | None, dict[str, Mapping[str, Tensor]]] = (None, {})
        if problems and self.set_thoughts is None and any(plan.needs_set for plan in plans):
            self.set_thoughts = self._fed(problems, batch_size)
        if problems and "mean" in self._asked:
            self._mean = self._means(problems, batch_size)

    @property
    def _bridge(self) -> Any:
        return self._lens and self._lens.bridge

    @property
    def model(self) -> PreTrainedModel:
        """What sessions must run: the live model, or its view under TransformerLens."""
        return self.checkpoint.model if self._bridge is None else self._bridge.original_model

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without what was seen of the batch before."""
        return self.__dict__ | {"_seen": (None, {})}

    def thinking(
        self, batch: Batch, more: int, plans: Sequence[Plan]
    ) -> Iterator[tuple[Context, Session, Float[Tensor, "batch K d"]]]:
        """Read a batch once and let it think under each of several plans.

        Args:
            batch: What `in_batches` gives.
            more: Positions that thoughts and the longest continuation will take.
            plans: Of those that the runner was made for.

        Yields:
            For each plan: what is known of the batch; the session, in which the plan goes on acting on what is said
            until the next step of the loop, and whose `vectors` were fed; and what the LM head reads of the thoughts.

        Raises:
            WorkbenchError: An intervention lacks what it needs, or asks for what the model does not have.
        """
        session = batch.session(more, self.model)
        context = self.context(session, batch.prompts, batch.rows)
        for plan in plans:
            with self.under(plan, session, context) as thoughts:
                yield context, session, thoughts

    def session(self, prompts: Sequence[Prompt], more: int) -> Session:
        """Read prompts, for so many positions more."""
        return Session(self.model, [prompt.ids for prompt in prompts], pad=self.checkpoint.format.pad, more=more)

    def context(self, session: Session, prompts: Sequence[Prompt], rows: Sequence[int]) -> Context:
        """Let a batch think without interventions once, if there will be any, and return what is known of it."""
        own, read = self._clean(session) if self._busy else (None, None)
        about = (self.set_thoughts, own, read, self.sources, self.spaces, self.edges)
        return Context(self.checkpoint, tuple(prompts), tuple(rows), *about)

    @contextmanager
    def under(self, plan: Plan, session: Session, context: Context) -> Iterator[Float[Tensor, "batch K d"]]:
        """Let the batch think under a plan, which goes on acting on what is said within the block.

        Yields:
            What the LM head reads of the thoughts, as `Session.think` returns it.

        Raises:
            WorkbenchError: An intervention lacks what it needs, or asks for what the model does not have.
        """
        session.restart()
        session.one_by_one = self._bridge is not None
        edit = composed(plan.fed, context)
        if plan.freeze and plan.interventions:
            edit = _freeze(edit, context.thoughts("own"))
        hooks = []
        if plan.inside:
            observed = self._observed(plan, context, session)
            hooks = [hook for one in plan.inside for hook in one.hooks(context, session, observed)]
        with self._bridge.hooks(fwd_hooks=hooks) if hooks else nullcontext():
            if any(isinstance(one, Knockout) and one.making and one.strength and one.acts_on(1) for one in plan.inside):
                session.reread_end()
            yield session.think(self.count, edit, self.checkpoint.pause, plan.without(self.count))

    def _observed(self, plan: Plan, context: Context, session: Session) -> Observed:
        """Return the activations that a plan puts in, and those that others put in on the same batch before it."""
        if self._seen[0] is not context:
            self._seen = (context, {})
        layers, seen = self.checkpoint.model.config.num_hidden_layers, self._seen[1]
        for who in {wanted[0] for one in plan.inside if (wanted := one.wants(layers))} - seen.keys():
            seen[who] = self._activations(who, context, session)
        return seen

    def _activations(self, who: str, context: Context, session: Session) -> Mapping[str, Tensor]:
        """Return the activations of a source, which thinks beside the batch, or of the batch itself."""
        if who == "mean":
            if self._mean is None:
                raise WorkbenchError(
                    "There is no mean activation.",
                    "It is taken over a whole set, and none was given.",
                    "Use run_intervened, or ablate to zero.",
                )
            return self._mean
        if who == "own":
            found = self._watch(session, self._asked[who])
            session.restart()
            return found
        context.thoughts(who)  # says what is wrong where there is no such source
        if who not in self._sources:
            raise WorkbenchError(
                f'The source "{who}" has no activations.',
                "Its thoughts were given as they are, and no problem to think about.",
                "Give problems as the source, or patch its thoughts.",
            )
        prompts = self.checkpoint.format.prompts([self._sources[who][row] for row in context.rows])
        return self._watch(self.session(prompts, self.count), self._asked[who])

    def _watch(self, session: Session, names: set[str]) -> dict[str, Tensor]:
        """Return activations [batch, K, ...] at the thoughts of a batch that thinks without interventions.

        There are none where it thinks no thoughts.
        """
        kept: dict[str, list[Tensor]] = {name: [] for name in sorted(names)}

        def keep(name: str) -> tuple[str, Callable[..., None]]:
            return name, lambda activation, hook: kept[name].append(activation.clone())

        with self._bridge.hooks(fwd_hooks=[keep(name) for name in kept]):
            session.think(self.count, pause=self.checkpoint.pause)
        return {name: torch.cat(parts, 1) for name, parts in kept.items() if parts}

    def _means(self, problems: Sequence[Problem | Item], batch_size: int) -> dict[str, Tensor]:
        """Return the mean of each activation over a set, [1, K, ...]."""
        total: dict[str, Tensor] = {}

        def sums(batch: Batch) -> Sequence[Mapping[str, Tensor]]:
            watched = self._watch(batch.session(self.count, self.model), self._asked["mean"])
            whole = {name: activation.double().sum(0, keepdim=True) for name, activation in watched.items()}
            return [whole, *({} for _ in batch.rows[1:])]

        for part in in_batches(self.checkpoint, problems, sums, batch_size):
            for name, summed in part.items():
                total[name] = total.get(name, torch.zeros(())) + summed
        return {name: summed / len(problems) for name, summed in total.items()}

    def _fed(self, problems: Sequence[Problem | Item], batch_size: int) -> Thoughts:
        """Return what is fed for each of the problems without interventions."""

        def fed(batch: Batch) -> Tensor:
            return self._clean(batch.session(self.count, self.model))[0].cpu()

        found = list(in_batches(self.checkpoint, problems, fed, batch_size))
        return torch.stack(found) if found else torch.zeros(0, self.count, self.checkpoint.model.config.hidden_size)

    def _clean(self, session: Session) -> tuple[Float[Tensor, "batch K d"], Float[Tensor, "batch K d"]]:
        """Return what is fed without interventions, and what the LM head reads of it."""
        read = session.think(self.count, pause=self.checkpoint.pause)
        return session.vectors, read


def _freeze(change: Edit | None, clean: Float[Tensor, "batch K d"]) -> Edit:
    """Return the function that changes thoughts as they were, whatever has become of them."""

    def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        kept = clean[:, k - 1].to(vectors)
        return kept if change is None else change(k, kept)

    return edit


def think_about(checkpoint: Checkpoint, problems: Sequence[Problem | Item], thoughts: int | None = None) -> Thoughts:
    """Return what is fed as thoughts 1..K for each problem, without interventions."""
    count = checkpoint.thoughts if thoughts is None else thoughts
    return InterventionRunner(checkpoint, [], count, sources={"these": problems}).sources["these"]


@dataclass(frozen=True)
class Outcome:
    """What came of one plan on n problems, with K thoughts."""

    plan: Plan
    texts: tuple[str, ...]
    """The greedy answer to each problem."""
    right: Bool[np.ndarray, " n"]
    """Whether it is exactly the right one."""
    valid: Bool[np.ndarray, " n"]
    """Whether it is one of the two options and nothing else."""
    target: Float[np.ndarray, " n"]
    """Logarithm of the probability of the target as the answer, among all tokens."""
    negative: Float[np.ndarray, " n"]
    """The same of the negative; of an item, of its likeliest wrong option. Both are nan where it has no options."""
    thoughts: Float[np.ndarray, "n K d"] | None
    """What the LM head reads of the thoughts; of one removed, as if it had been fed. None where they were not kept."""
    lm_head: Float[np.ndarray, "n K nodes"] | None
    """Raw probability of each node under the LM head of thought 1..K, nan beyond a problem's nodes."""
    fed: Float[np.ndarray, "n K d"] | None = None
    """What was fed, where that is another vector (`Recurrence.apart`); else None, as for pauses."""

    @property
    def as_fed(self) -> Float[np.ndarray, "n K d"] | None:
        """What was fed, as interventions take it for a source; of a pause, what Coconut would have fed."""
        return self.thoughts if self.fed is None else self.fed

    @property
    def wrong_option(self) -> Bool[np.ndarray, " n"]:
        """Whether the answer is the negative and nothing else: that of an entity-swapped twin or a rewrite."""
        return self.valid & ~self.right

    @property
    def preference(self) -> Float[np.ndarray, " n"]:
        """How much likelier the target is than the negative, in nats; negative where the negative is likelier."""
        return self.target - self.negative

    @property
    def choice(self) -> Float[np.ndarray, " n"]:
        """The forced choice: 1 where the target is likelier than the negative, 0 where it is not, 0.5 tied."""
        return forced_choice(self.target, self.negative)


def run_intervened(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    plans: Sequence[Plan | Sequence[Intervention]],
    thoughts: int | None = None,
    *,
    batch_size: int = 64,
    keep_thoughts: bool = False,
    on_progress: Callable[[int], None] | None = None,
    **given: Unpack[Given],
) -> list[Outcome]:
    """Answer problems under each of several plans, after all thoughts.

    Put an empty plan first for what the model does without: where a plan acts inside the layers, all plans of a call
    run under TransformerLens, whose last bits differ from those of the live model.

    Args:
        checkpoint: What runs.
        problems: The whole set.
        plans: Each a plan, or a list of interventions in the loop.
        thoughts: Number of thoughts, K; by default as many as the model was trained with.
        batch_size: Problems run at a time.
        keep_thoughts: Whether to keep thoughts and their LM-head values.
        on_progress: Called with the number of problems done since the last call.
        given: Fields of `Given`: sources, set_thoughts, spaces.

    Returns:
        An outcome for each plan, in their order; arrays in the order of the problems.

    Raises:
        WorkbenchError: There is no problem or one cannot be run, or an intervention asks for what there is not.
    """
    if not problems:
        raise WorkbenchError("There is nothing to run.", "The list of problems is empty.", "Give some problems.")
    count, asked = thought_count(checkpoint, thoughts), [as_plan(one) for one in plans]
    runner = InterventionRunner(checkpoint, asked, count, problems, batch_size, **given)
    form = checkpoint.format
    nodes = max(len(problem.names) if isinstance(problem, Problem) else 0 for problem in problems)

    def outcomes(batch: Batch) -> dict[str, np.ndarray]:
        opening = max(len(form.value_opening(prompt)) for prompt in batch.prompts)
        names = max((len(word) for prompt in batch.prompts for word in form.choices(prompt)), default=0)
        ran = enumerate(runner.thinking(batch, count + opening + max(form.answer_limit, names), asked))
        return {
            f"{number} {name}": array
            for number, (context, session, thought) in ran
            for name, array in _read(context, session, thought if keep_thoughts else None, nodes).items()
        }

    found = arrays_in_batches(checkpoint, problems, outcomes, batch_size, on_progress)
    _, *names = (one.name for one in fields(Outcome))
    of_plans: list[dict[str, Any]] = [
        {name: found.get(f"{number} {name}") for name in names} for number in range(len(asked))
    ]
    return [Outcome(plan, tuple(of.pop("texts")), **of) for plan, of in zip(asked, of_plans, strict=True)]


def _two(choices: Float[Tensor, " words"]) -> Float[Tensor, "2"]:
    """Return the value of the right answer and of the likeliest wrong one, nan where there are none to choose from."""
    return torch.stack([choices[0], choices[1:].max()]) if len(choices) > 1 else choices.new_full((2,), float("nan"))


def _read(
    context: Context, session: Session, thoughts: Float[Tensor, "batch K d"] | None, nodes: int
) -> dict[str, np.ndarray]:
    """Read the answer after all thoughts, greedily and as the options' probabilities: fields of `Outcome`."""
    form, prompts = context.checkpoint.format, context.prompts
    spellings = [form.choices(prompt) for prompt in prompts]
    count = len(session.fed) - 1
    ends = Branches(session, [count])
    logits = ends.say([[form.answer_opening(prompt)] for prompt in prompts])
    spelt = ends.spell_log(logits, spellings) if form.value_is_answer else []
    told = ends.go_on(logits, form.answer_limit, form.end)
    if not form.value_is_answer:
        session.rewind(session.end)
        ends = Branches(session, [count])
        spelt = ends.spell_log(ends.say([[form.value_opening(prompt)] for prompt in prompts]), spellings)
    texts = [form.decode(prompt, ids) for prompt, (ids,) in zip(prompts, told, strict=True)]
    asked = [(prompt.problem, text) for prompt, text in zip(prompts, texts, strict=True)]
    options = as_numpy(torch.stack([_two(one[0]) for one in spelt]))
    found = {
        "texts": np.array(texts, dtype=object), "right": np.array([form.right(*one) for one in asked]),
        "valid": np.array([form.valid(*one) for one in asked]), "target": options[:, 0], "negative": options[:, 1],
    }  # fmt: skip
    if thoughts is not None:
        shares = as_numpy(lm_head(session.model, thoughts).softmax(-1))
        heads = np.full((*shares.shape[:2], nodes), np.nan, dtype=np.float32)
        for row, prompt in enumerate(prompts):
            heads[row, :, : len(prompt.nodes)] = first_token_shares(shares[row], prompt)
        found |= {"thoughts": as_numpy(thoughts), "lm_head": heads}
        if recurrence_of(session.model).apart:
            found["fed"] = as_numpy(session.vectors)
    return found
