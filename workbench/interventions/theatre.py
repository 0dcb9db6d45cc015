"""Where surgeries are done: a batch thinks under one, with all that its interventions need at hand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from workbench.checkpoint import Checkpoint
from workbench.coconut import Edit, embedding_rows
from workbench.errors import WorkbenchError
from workbench.interventions.layers import Observed
from workbench.interventions.scene import Bank, Scene, composed, require_shape, require_thoughts
from workbench.interventions.surgery import Surgery
from workbench.lens import CoconutLens
from workbench.problem import Problem
from workbench.prompts import Prompt
from workbench.session import Session

Donors = Mapping[str, Sequence[Problem] | Bank]
"""By name, problems that a donor thinks about, or thoughts as they are: one for each problem that is run."""


class Theatre:
    """Prepares what surgeries need of donors and of the whole set, and does them.

    Args:
        checkpoint: What is operated on.
        surgeries: All that will be asked for.
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
        surgeries: Sequence[Surgery],
        count: int,
        donors: Donors | None = None,
        bank: Bank | None = None,
        problems: Sequence[Problem] | None = None,
        spaces: Mapping[str, Float[Tensor, "vocab d"]] | None = None,
        batch_size: int = 64,
    ) -> None:
        self.checkpoint, self.count, self.spaces = checkpoint, count, dict(spaces or {})
        for surgery in surgeries:
            require_thoughts(surgery.interventions, count)
        self._busy = any(surgery.interventions for surgery in surgeries)
        self._bridge: Any = None
        if any(surgery.inside for surgery in surgeries):
            self._bridge = CoconutLens(checkpoint).bridge
        self.model: PreTrainedModel = checkpoint.model if self._bridge is None else self._bridge.original_model
        """What sessions must run: the live model, or its view under TransformerLens where layers are operated on."""
        self._asked: dict[str, set[str]] = {}
        for one in (one for surgery in surgeries for one in surgery.inside):
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
        self._seen: tuple[Scene | None, dict[str, Mapping[str, Tensor]]] = (None, {})
        prompts = None if problems is None else checkpoint.format.prompts(problems)
        if prompts and bank is None and any(one.whole_set for surgery in surgeries for one in surgery.interventions):
            self.bank = self._bank(prompts, batch_size)
        if prompts and "mean" in self._asked:
            self._mean = self._means(prompts, batch_size)

    def session(self, prompts: Sequence[Prompt], more: int) -> Session:
        """Read prompts, for so many positions more."""
        return Session(self.model, [prompt.ids for prompt in prompts], pad=self.checkpoint.format.pad, more=more)

    def scene(self, session: Session, prompts: Sequence[Prompt], rows: Sequence[int]) -> Scene:
        """Let a batch think without interventions once, if there will be any, and return what is known of it."""
        own, read = self._clean(session) if self._busy else (None, None)
        return Scene(
            self.checkpoint, tuple(prompts), tuple(rows), self.bank, own, read, donors=self.donors, spaces=self.spaces
        )

    @contextmanager
    def under(self, surgery: Surgery, session: Session, scene: Scene) -> Iterator[Float[Tensor, "batch K d"]]:
        """Let the batch think under a surgery, which goes on acting on what is said within the block.

        Yields:
            The thoughts; of one that is removed, what would have been fed.

        Raises:
            WorkbenchError: An intervention lacks what it needs, or asks for what the model does not have.
        """
        session.restart()
        edit = composed(surgery.fed, scene)
        if surgery.frozen and surgery.interventions:
            edit = _frozen(edit, scene.thoughts("own"))
        hooks = []
        if surgery.inside:
            observed = self._observed(surgery, scene, session)
            hooks = [hook for one in surgery.inside for hook in one.hooks(scene, session, observed)]
        with self._bridge.hooks(fwd_hooks=hooks) if hooks else nullcontext():
            yield session.think(self.count, edit, self.checkpoint.pause, surgery.without(self.count))

    def _observed(self, surgery: Surgery, scene: Scene, session: Session) -> Observed:
        """Return the activations that a surgery puts in, and those that others put in on the same batch before it."""
        if self._seen[0] is not scene:
            self._seen = (scene, {})
        layers, seen = self.checkpoint.model.config.num_hidden_layers, self._seen[1]
        for who in {wanted[0] for one in surgery.inside if (wanted := one.wants(layers))} - seen.keys():
            seen[who] = self._activations(who, scene, session)
        return seen

    def _activations(self, who: str, scene: Scene, session: Session) -> Mapping[str, Tensor]:
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
        scene.thoughts(who)  # says what is wrong where there is no such donor
        if who not in self._donors:
            raise WorkbenchError(
                f'The donor "{who}" has no activations.',
                "Its thoughts were given as they are, and no problem to think about.",
                "Give problems as the donor, or transplant its thoughts.",
            )
        return self._watch(self.session([self._donors[who][row] for row in scene.rows], self.count), self._asked[who])

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
    return Theatre(checkpoint, [], count, {"these": problems}).donors["these"]
