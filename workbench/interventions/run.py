"""Where plans are done: a batch thinks under one, with all that its interventions need at hand.

Many plans on many problems: each prompt is read once, and thought about once for every plan.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.interventions.base import Bank, Context, Intervention, composed, require_shape, require_thoughts
from workbench.interventions.layers import Observed
from workbench.interventions.plan import Plan, as_plan
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import Edit, embedding_rows, lm_head
from workbench.model.lens import CoconutLens
from workbench.model.prompts import Prompt, first_token_shares, with_graph
from workbench.model.session import Branches, Session, prompt_batches, thought_count
from workbench.problems.problem import Problem

Donors = Mapping[str, Sequence[Problem] | Bank]
"""By name, problems that a donor thinks about, or thoughts as they are: one for each problem that is run."""


class InterventionRunner:
    """Prepares what plans need of donors and of the whole set, and does them.

    Args:
        checkpoint: What is operated on.
        plans: All that will be asked for.
        count: Number of thoughts, K.
        donors: See `Donors`.
        bank: What was thought about the whole set without interventions.
        problems: The whole set, from which bank and means are made where they are needed and not given.
        spaces: Learned directions of every token, by name.
        batch_size: Problems run at a time here.

    Raises:
        WorkbenchError: A donor's problem cannot be run, or the model has no such layer, or the run no such thought.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        plans: Sequence[Plan],
        count: int,
        donors: Donors | None = None,
        bank: Bank | None = None,
        problems: Sequence[Problem] | None = None,
        spaces: Mapping[str, Float[Tensor, "vocab d"]] | None = None,
        batch_size: int = 64,
    ) -> None:
        self.checkpoint, self.count, self.spaces = checkpoint, count, dict(spaces or {})
        for plan in plans:
            require_thoughts(plan.interventions, count)
        self._busy = any(plan.interventions for plan in plans)
        self._bridge: Any = None
        if any(plan.inside for plan in plans):
            self._bridge = CoconutLens(checkpoint).bridge
        self.model: PreTrainedModel = checkpoint.model if self._bridge is None else self._bridge.original_model
        """What sessions must run: the live model, or its view under TransformerLens where layers are operated on."""
        self._asked: dict[str, set[str]] = {}
        for one in (one for plan in plans for one in plan.inside):
            if wanted := one.wants(checkpoint.model.config.num_hidden_layers):
                self._asked.setdefault(wanted[0], set()).update(wanted[1])
        given = dict(donors or {})
        if taken := {"own", "mean"} & given.keys():
            raise WorkbenchError(
                f'A donor cannot be called "{min(taken)}".',
                '"own" is the model without interventions, "mean" the mean over the set.',
                "Give it another name.",
            )
        self.donors: dict[str, Bank] = {name: one for name, one in given.items() if isinstance(one, Tensor)}
        self._donors = {
            name: checkpoint.format.prompts(one) for name, one in given.items() if not isinstance(one, Tensor)
        }
        self.donors |= {name: self._bank(prompts, batch_size) for name, prompts in self._donors.items()}
        width = checkpoint.model.config.hidden_size
        for name, thoughts in self.donors.items():
            require_shape(f'donor "{name}"', thoughts, "problems", count, width)
        if bank is not None:
            require_shape("bank", bank, "problems", count, width)
        for name, directions in self.spaces.items():
            require_shape(f'space "{name}"', directions, embedding_rows(checkpoint.model), width)
        self.bank: Bank | None = bank
        self._mean: dict[str, Tensor] | None = None
        self._seen: tuple[Context | None, dict[str, Mapping[str, Tensor]]] = (None, {})
        prompts = None if problems is None else checkpoint.format.prompts(problems)
        if prompts and bank is None and any(one.whole_set for plan in plans for one in plan.interventions):
            self.bank = self._bank(prompts, batch_size)
        if prompts and "mean" in self._asked:
            self._mean = self._means(prompts, batch_size)

    def session(self, prompts: Sequence[Prompt], more: int) -> Session:
        """Read prompts, for so many positions more."""
        return Session(self.model, [prompt.ids for prompt in prompts], pad=self.checkpoint.format.pad, more=more)

    def context(self, session: Session, prompts: Sequence[Prompt], rows: Sequence[int]) -> Context:
        """Let a batch think without interventions once, if there will be any, and return what is known of it."""
        own, read = self._clean(session) if self._busy else (None, None)
        return Context(
            self.checkpoint, tuple(prompts), tuple(rows), self.bank, own, read, donors=self.donors, spaces=self.spaces
        )

    @contextmanager
    def under(self, plan: Plan, session: Session, context: Context) -> Iterator[Float[Tensor, "batch K d"]]:
        """Let the batch think under a plan, which goes on acting on what is said within the block.

        Yields:
            The thoughts; of one that is removed, what would have been fed.

        Raises:
            WorkbenchError: An intervention lacks what it needs, or asks for what the model does not have.
        """
        session.restart()
        edit = composed(plan.fed, context)
        if plan.frozen and plan.interventions:
            edit = _frozen(edit, context.thoughts("own"))
        hooks = []
        if plan.inside:
            observed = self._observed(plan, context, session)
            hooks = [hook for one in plan.inside for hook in one.hooks(context, session, observed)]
        with self._bridge.hooks(fwd_hooks=hooks) if hooks else nullcontext():
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
        """Return the activations of a donor, who thinks beside the batch, or of the batch itself."""
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
        context.thoughts(who)  # says what is wrong where there is no such donor
        if who not in self._donors:
            raise WorkbenchError(
                f'The donor "{who}" has no activations.',
                "Its thoughts were given as they are, and no problem to think about.",
                "Give problems as the donor, or transplant its thoughts.",
            )
        return self._watch(self.session([self._donors[who][row] for row in context.rows], self.count), self._asked[who])

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

    def _means(self, prompts: Sequence[Prompt], batch_size: int) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for batch, _ in _by_length(prompts, batch_size):
            for name, activation in self._watch(self.session(batch, self.count), self._asked["mean"]).items():
                summed = activation.double().sum(0, keepdim=True)
                total[name] = total[name] + summed if name in total else summed
        return {name: summed / len(prompts) for name, summed in total.items()}

    def _bank(self, prompts: Sequence[Prompt], batch_size: int) -> Bank:
        """Return what is fed to each of the prompts without interventions."""
        found, order = [torch.zeros(0, self.count, self.checkpoint.model.config.hidden_size)], []
        for batch, rows in _by_length(prompts, batch_size):
            fed, _ = self._clean(self.session(batch, self.count))
            found.append(fed.cpu())
            order += rows
        return torch.cat(found)[torch.tensor(order).argsort()]

    def _clean(self, session: Session) -> tuple[Float[Tensor, "batch K d"], Float[Tensor, "batch K d"]]:
        """Return what is fed without interventions, and the thoughts; the same but where pauses are fed."""
        fed: list[Tensor] = []

        def keep(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            fed.append(vectors)
            return vectors

        thoughts = session.think(self.count, keep, self.checkpoint.pause)
        return torch.stack(fed, 1) if fed else thoughts, thoughts


def _frozen(change: Edit | None, clean: Float[Tensor, "batch K d"]) -> Edit:
    """Return the function that changes thoughts as they were, whatever has become of them."""

    def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        kept = clean[:, k - 1].to(vectors)
        return kept if change is None else change(k, kept)

    return edit


def _by_length(prompts: Sequence[Prompt], batch_size: int) -> Iterator[tuple[list[Prompt], list[int]]]:
    """Yield batches of prompts of like length, and their places."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield [prompts[row] for row in rows], rows


def think_about(checkpoint: Checkpoint, problems: Sequence[Problem], thoughts: int | None = None) -> Bank:
    """Return what is fed as thoughts 1..K for each problem, without interventions: a bank."""
    count = checkpoint.thoughts if thoughts is None else thoughts
    return InterventionRunner(checkpoint, [], count, {"these": problems}).donors["these"]


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
    """The same of the negative."""
    thoughts: Float[np.ndarray, "n K d"] | None
    """Thoughts as fed; of one removed, what would have been fed. None where they were not kept."""
    lm_head: Float[np.ndarray, "n K nodes"] | None
    """Raw probability of each node under the LM head of thought 1..K, nan beyond a problem's nodes."""

    @property
    def wrong_option(self) -> Bool[np.ndarray, " n"]:
        """Whether the answer is the negative and nothing else: that of an entity-swapped twin or a rewrite."""
        return self.valid & ~self.right

    @property
    def preference(self) -> Float[np.ndarray, " n"]:
        """How much likelier the target is than the negative, in nats; negative where the negative is likelier."""
        return self.target - self.negative


def run_intervened(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    plans: Sequence[Plan | Sequence[Intervention]],
    thoughts: int | None = None,
    *,
    donors: Donors | None = None,
    bank: Bank | None = None,
    spaces: Mapping[str, Float[Tensor, "vocab d"]] | None = None,
    batch_size: int = 64,
    keep_thoughts: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Answer problems under each of several plans, after all thoughts.

    Put an empty plan first for what the model does without: where layers are operated on, all plans of a call
    run under TransformerLens, whose last bits differ from those of the live model.

    Args:
        checkpoint: What is operated on.
        problems: The whole set.
        plans: Each a plan, or a list of interventions in the loop.
        thoughts: Number of thoughts, K; by default as many as the model was trained with.
        donors: Problems that named donors think about, one for each of the problems: {"twin": twins}.
        bank: What was thought about the whole set without interventions; made where it is needed and not given.
        spaces: Learned directions of every token that interventions name.
        batch_size: Problems run at a time.
        keep_thoughts: Whether to keep thoughts and their LM-head values.
        on_progress: Called with the number of problems done since the last call.

    Returns:
        An outcome for each plan, in their order; arrays in the order of the problems.

    Raises:
        WorkbenchError: There is no problem or one cannot be run, or an intervention asks for what there is not.
    """
    if not problems:
        raise WorkbenchError("There is nothing to run.", "The list of problems is empty.", "Give some problems.")
    count, asked = thought_count(checkpoint, thoughts), [as_plan(one) for one in plans]
    runner = InterventionRunner(checkpoint, asked, count, donors, bank, problems, spaces, batch_size)
    nodes = max(len(with_graph(problem).names) for problem in problems)
    found: list[list[_Part]] = [[] for _ in asked]
    numbers: list[int] = []
    for first, prompts, order in prompt_batches(checkpoint, problems, batch_size):
        for start in range(0, len(prompts), batch_size):
            places = order[start : start + batch_size]
            batch, rows = [prompts[i] for i in places], [first + i for i in places]
            form = checkpoint.format
            opening = max(len(form.value_opening(prompt)) for prompt in batch)
            names = max(len(prompt.nodes[node]) for prompt in batch for node in prompt.graph.options)
            session = runner.session(batch, count + opening + max(form.answer_limit, names))
            context = runner.context(session, batch, rows)
            for plan, parts in zip(asked, found, strict=True):
                with runner.under(plan, session, context) as thought:
                    parts.append(_read(context, session, thought if keep_thoughts else None, nodes))
            numbers += rows
            if on_progress:
                on_progress(len(rows))
    back = np.argsort(numbers)
    return [_outcome(plan, parts, back) for plan, parts in zip(asked, found, strict=True)]


@dataclass(frozen=True)
class _Part:
    """What came of one plan on a batch."""

    texts: list[str]
    right: list[bool]
    valid: list[bool]
    candidates: Float[np.ndarray, "batch 2"]
    """Log probabilities of target and negative."""
    thoughts: Float[np.ndarray, "batch K d"] | None
    lm_head: Float[np.ndarray, "batch K nodes"] | None


@torch.inference_mode()
def _read(context: Context, session: Session, thoughts: Float[Tensor, "batch K d"] | None, nodes: int) -> _Part:
    """Read the answer after all thoughts, greedily and as the candidates' probabilities."""
    form, model, prompts = context.checkpoint.format, session.model, context.prompts
    graphs = [prompt.graph for prompt in prompts]
    spellings = [
        [prompt.nodes[graph.target], prompt.nodes[graph.negative]]
        for prompt, graph in zip(prompts, graphs, strict=True)
    ]
    count = len(session.fed) - 1
    ends = Branches(session, [count])
    logits = ends.say([[form.answer_opening(prompt)] for prompt in prompts])
    spelt = ends.spell_log(logits, spellings) if form.value_is_answer else []
    told = ends.go_on(logits, form.answer_limit, form.end)
    texts = [form.decode(prompt, ids) for prompt, (ids,) in zip(prompts, told, strict=True)]
    if not form.value_is_answer:
        session.rewind(session.end)
        ends = Branches(session, [count])
        spelt = ends.spell_log(ends.say([[form.value_opening(prompt)] for prompt in prompts]), spellings)
    heads = None
    if thoughts is not None:
        shares = lm_head(model, thoughts).softmax(-1).float().cpu().numpy()
        heads = np.full((len(prompts), thoughts.shape[1], nodes), np.nan, dtype=np.float32)
        for row, prompt in enumerate(prompts):
            heads[row, :, : len(prompt.nodes)] = first_token_shares(shares[row], prompt)
    return _Part(
        texts,
        [form.right(graph, text) for graph, text in zip(graphs, texts, strict=True)],
        [form.valid(graph, text) for graph, text in zip(graphs, texts, strict=True)],
        torch.cat(spelt).float().cpu().numpy(),
        None if thoughts is None else thoughts.float().cpu().numpy(),
        heads,
    )


def _outcome(plan: Plan, parts: list[_Part], back: np.ndarray) -> Outcome:
    """Put the parts of a plan together, in the order of the problems."""
    texts = [text for part in parts for text in part.texts]
    candidates = np.concatenate([part.candidates for part in parts])[back]
    kept = [(part.thoughts, part.lm_head) for part in parts if part.thoughts is not None and part.lm_head is not None]
    return Outcome(
        plan,
        tuple(texts[i] for i in back),
        np.array([one for part in parts for one in part.right])[back],
        np.array([one for part in parts for one in part.valid])[back],
        candidates[:, 0],
        candidates[:, 1],
        np.concatenate([thoughts for thoughts, _ in kept])[back] if kept else None,
        np.concatenate([heads for _, heads in kept])[back] if kept else None,
    )
