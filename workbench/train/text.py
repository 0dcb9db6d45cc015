"""Training data of problems as text, in any prompt format; questions on the same sentences may share them.

A row is `question · slots · what is said`. What is said is learned, end token included; question, slots and the markers
around them are not (official repository, dataset.py).
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, takewhile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import guard
from workbench.model.prompts import Format, Ids, Prompt, path
from workbench.problems.files import load_any
from workbench.problems.graph import hops
from workbench.problems.problem import Item, Problem
from workbench.problems.sets import Split, generate, generate_asked, generate_items
from workbench.train.batch import IGNORE, Ask, Labels, TrainBatch, Words
from workbench.train.config import Schedule, Stage, TrainConfig, method_of
from workbench.train.methods import Method


@dataclass(frozen=True)
class Row:
    """What a method makes of one problem at a stage."""

    prompt: Ids
    """The question, up to the token whose last hidden state is thought 1."""
    slots: int
    """Slots before what is said."""
    rest: Ids
    """What follows the slots, its markers among it."""
    supervised: tuple[bool, ...]
    """Which tokens of the rest are learned."""


def text_row(prompt: Prompt, form: Format, method: Method, stage: int, schedule: Schedule, removed: int = 0) -> Row:
    """Return the row of a problem.

    Args:
        prompt: The encoded problem.
        form: The format that encoded it.
        method: The method.
        stage: From 0 (the whole chain in words) to `schedule.last`.
        schedule: How the chain disappears.
        removed: Tokens of the chain that are gone where they go one by one (`Schedule.removed_tokens`).
    """
    steps = len(prompt.problem.steps)
    said = form.continuation(prompt, 0)
    if method.said == "rest":
        said = form.continuation(prompt, steps if stage >= schedule.last else min(stage, steps))
    elif method.said == "none":
        said = form.continuation(prompt, steps)
    elif method.said == "tail":
        begin, end = chain_span(form, prompt)
        said = (*said[:begin], *said[min(begin + removed, end) :])
    markers = {form.marker.bot, form.marker.eot, form.marker.thought}
    slots = method.slots(min(stage, schedule.plan.thoughts))
    return Row(prompt.ids, slots, said, tuple(token not in markers for token in said))


def chain_span(form: Format, prompt: Prompt) -> tuple[int, int]:
    """Return where the chain begins and ends in the whole continuation: where it differs from the bare answer."""
    whole, bare = form.continuation(prompt, 0), form.continuation(prompt, len(prompt.problem.steps))
    begin = _alike(whole, bare)
    return begin, len(whole) - min(_alike(whole[::-1], bare[::-1]), len(bare) - begin)


def _alike(one: Ids, other: Ids) -> int:
    """Return the number of first tokens that two rows have in common."""
    same = (a == b for a, b in zip(one, other, strict=False))
    return sum(1 for _ in takewhile(bool, same))


class TextData:
    """Draws problems of a list, with replacement, in the checkpoint's prompt format.

    Args:
        config: The run.
        checkpoint: Its format is used.
        problems: To train on; by default those of the configuration.
    """

    def __init__(
        self, config: TrainConfig, checkpoint: Checkpoint, problems: Sequence[Problem | Item] | None = None
    ) -> None:
        self.config, self.method = config, method_of(config)
        self.model, self.format = checkpoint.model, checkpoint.format
        self.problems = training_problems(config) if problems is None else problems
        self.groups = together(self.problems, config.rows.questions)
        self._ordered: tuple[int, list[int]] = (-1, [])
        thoughts = config.curriculum.thoughts
        last = thoughts + any(len(problem.steps) > thoughts for problem in self.problems)
        tokens = 1
        if self.method.said == "tail":
            spans = [chain_span(self.format, prompt) for prompt in self.format.prompts(list(self.problems))]
            tokens = math.ceil(max(end - begin for begin, end in spans) / max(last, 1))
        self.epoch_steps = math.ceil(len(self.groups) * config.rows.questions / self._at_once / config.rows.batch)
        """Steps of a pass over the problems."""
        if epochs := config.rows.epochs_per_stage:
            every = max(1, round(epochs * len(self.groups) * config.rows.questions / self._at_once / config.rows.batch))
            config = replace(config, rows=replace(config.rows, steps_per_stage=every))
        self.schedule = Schedule.of(config, last, tokens)

    @property
    def _at_once(self) -> int:
        """Batches of a step, of all processes."""
        return int(os.environ.get("WORLD_SIZE", self.config.processes)) * self.config.accumulate

    def draw(self, stage: Stage, step: int, rank: int) -> TrainBatch:
        """Draw the batch of one step and process."""
        config, rng = self.config, np.random.default_rng([self.config.seed, rank, step])
        count, total = config.rows.batch // config.rows.questions, len(self.groups)
        if config.rows.epochs_per_stage:  # without replacement, in an order of its own in every pass
            places = (step * self._at_once + rank) * count + np.arange(count)
            chosen = [self._order(place // total)[place % total] for place in places.tolist()]
        else:
            chosen = rng.integers(0, total, count).tolist()
        problems = [problem for i in chosen for problem in self.groups[i]]
        return self.batch(problems, stage, rng, config.rows.questions)

    def _order(self, epoch: int) -> list[int]:
        if self._ordered[0] != epoch:
            order = np.random.default_rng([self.config.seed, 1 << 22, epoch]).permutation(len(self.groups))
            self._ordered = epoch, order.tolist()
        return self._ordered[1]

    def evaluation(self, stage: Stage) -> TrainBatch:
        """Return the first problems of every evaluation, asked at the last stage."""
        problems = self.validation[: self.config.rows.batch]
        batch = self.batch(problems, replace(stage, thoughts=self.schedule.last), np.random.default_rng(0))
        return replace(batch, measured=False)

    @cached_property
    def validation(self) -> Sequence[Problem | Item]:
        """Problems to answer at every evaluation; by default none of them is trained on."""
        return validation_problems(self.config)

    def batch(
        self, problems: Sequence[Problem | Item], stage: Stage, rng: np.random.Generator, questions: int = 1
    ) -> TrainBatch:
        """Return what is run and learned of problems at a stage.

        Args:
            problems: So many of each graph side by side as `questions` says.
            stage: Where the run stands.
            rng: Source of all randomness.
            questions: Of each graph; what their prompts begin with is run once.

        Raises:
            WorkbenchError: A row is longer than the model has positions.
        """
        ask, form = Ask.of(self.config, stage, self.schedule), self.format
        prompts = form.prompts(list(problems))
        drawn = ask.draw(np.array([len(problem.steps) for problem in problems]), rng)
        gone = np.zeros_like(drawn)
        if self.method.said == "tail":
            gone = self.schedule.removed_tokens(self.method, stage, drawn, rng)
        rows = [
            text_row(prompt, form, self.method, at, self.schedule, removed)
            for prompt, at, removed in zip(prompts, drawn.tolist(), gone.tolist(), strict=True)
        ]
        longest = max(len(row.prompt) + row.slots + len(row.rest) for row in rows)
        guard(
            self.model, torch.zeros(1, longest, dtype=torch.long), torch.ones(1, longest)
        )  # are there as many positions?
        opened = ask.opened(drawn)
        slots = self.method.slots(opened)
        shape = (len(rows) // questions, questions)
        paths, frontier = (part.view(*shape, *part.shape[2:]) for part in _labels_of(prompts, opened if slots else 0))
        shared = shared_tokens([row.prompt for row in rows], questions)
        prefix = torch.tensor([row.prompt[:shared] for row in rows[::questions]], dtype=torch.long)
        rows = [replace(row, prompt=row.prompt[shared:]) for row in rows]
        question, pads, words = _laid_out(rows, form.pad, shape)
        return TrainBatch(
            prefix.view(shape[0], shared),
            question,
            pads,
            slots,
            form.marker.thought if self.method.fed == "pause" else None,
            self.method.per_step,
            ask.heads(paths, frontier, drawn.reshape(shape)),
            frontier,
            (words,),
            measured=True,
        )


def together(problems: Sequence[Problem | Item], questions: int) -> list[Sequence[Problem | Item]]:
    """Return problems in groups of so many that follow each other and have the same sentences before the question.

    What is left over of a graph is left out.

    Raises:
        WorkbenchError: No graph has so many questions.
    """
    if questions == 1:
        return [[problem] for problem in problems]
    groups = []
    for _, same in groupby(problems, key=lambda problem: problem.question.rpartition(". ")[0]):
        held = list(same)
        groups += [held[i : i + questions] for i in range(0, len(held) - questions + 1, questions)]
    if not groups:
        why = f"No {questions} problems that follow each other have the same sentences."
        raise WorkbenchError("The problems cannot be asked together.", why, "Lower rows.questions, or generate them.")
    return groups


def shared_tokens(prompts: Sequence[Ids], questions: int) -> int:
    """Return how many first tokens the prompts of every graph have in common; two tokens of each stay its own."""
    if questions == 1:
        return 0
    groups = [prompts[i : i + questions] for i in range(0, len(prompts), questions)]
    return min(min(_alike(group[0], one), len(one) - 2) for group in groups for one in group)


def _laid_out(
    rows: Sequence[Row], pad: int, shape: tuple[int, int]
) -> tuple[Int[Tensor, "G M q"], Int[Tensor, "G M"], Words]:
    """Return questions, padded on the left, their padding, and what is said after their slots.

    What is said begins with the token whose hidden state the first label is read from: a marker, and where there is
    neither marker nor slot the last token of the question.
    """
    split = [
        (row.prompt[:-1], (*row.prompt[-1:], *row.rest))
        if row.supervised[0] and not row.slots
        else (row.prompt, row.rest)
        for row in rows
    ]
    width, longest = (max(map(len, part)) for part in zip(*split, strict=True))
    question = torch.tensor([[pad] * (width - len(asked)) + list(asked) for asked, _ in split]).view(*shape, width)
    ids = torch.tensor([list(said[:-1]) + [pad] * (longest - len(said)) for _, said in split]).view(*shape, -1)
    labels = torch.tensor([list(said[1:]) + [IGNORE] * (longest - len(said)) for _, said in split])
    after = torch.tensor([width - 1 + row.slots for row in rows]).view(shape)
    pads = torch.tensor([width - len(asked) for asked, _ in split]).view(shape)
    return question, pads, Words(ids, after, Labels.of(labels))


def _labels_of(prompts: Sequence[Prompt], thoughts: int) -> tuple[Int[Tensor, "G 1 K 1"], Int[Tensor, "G 1 K F"]]:
    """Return the first token of the node at hop 1..K on each problem's chain, and of all nodes at that hop.

    IGNORE beyond the chain, and where a problem has no graph; K is 0 where none has.
    """
    if not any(isinstance(prompt.problem, Problem) for prompt in prompts):
        thoughts = 0
    paths = torch.full((len(prompts), 1, thoughts, 1), IGNORE)
    tokens: list[list[list[int]]] = [[[] for _ in range(thoughts)] for _ in prompts]
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt.problem, Problem):
            continue
        chain, distance = path(prompt.problem), hops(prompt.problem.adjacency, prompt.problem.root)
        for hop in range(1, thoughts + 1):
            if hop < len(chain):
                paths[number, 0, hop - 1, 0] = prompt.nodes[chain[hop]][0]
            tokens[number][hop - 1] = sorted({prompt.nodes[node][0] for node in (distance == hop).nonzero()[0]})
    width = max((len(one) for row in tokens for one in row), default=0)
    frontier = [[one + [IGNORE] * (width - len(one)) for one in row] for row in tokens]
    return paths, torch.tensor(frontier, dtype=torch.long).view(len(prompts), 1, thoughts, width)


def training_problems(config: TrainConfig) -> Sequence[Problem | Item]:
    """Return the problems to train on: those of `config.rows.problems`, or generated ones.

    Raises:
        WorkbenchError: The file cannot be read.
    """
    if config.rows.problems:
        return load_any(Path(config.rows.problems))
    if config.task == "prosqa":
        rows, hop_weights = config.rows, config.curriculum.hop_weights
        if rows.edges or rows.questions > 1:
            edges = rows.edges or None
            return generate_asked(rows.count, rows.questions, config.seed, hop_weights, edges, names=rows.names)
        return generate("released", rows.count, config.seed, names=rows.names)
    return _items(config, config.rows.count, "train")


def validation_problems(config: TrainConfig) -> Sequence[Problem | Item]:
    """Return the first problems of `config.rows.validation`, or generated ones.

    Generated ones are never trained on; those on graphs of `config.rows.edges` come in pairs that differ in the root
    asked about; those of arithmetic have sentences that training never has.

    Raises:
        WorkbenchError: The file cannot be read.
    """
    if config.rows.validation:
        return load_any(Path(config.rows.validation))[: config.watched]
    if config.task == "prosqa":
        if edges := config.rows.edges:
            hop_weights = config.curriculum.hop_weights
            seed = config.seed + (1 << 30)
            return generate_asked(config.watched, 2, seed, hop_weights, edges, balanced=True, names=config.rows.names)
        return generate("released", config.watched, config.seed + (1 << 30), names=config.rows.names)
    return _items(config, config.watched, "test")


def _items(config: TrainConfig, count: int, split: Split) -> list[Item]:
    rows = config.rows
    size = {"hops": rows.hops, "limit": rows.limit, "operations": rows.operations}
    return generate_items(config.task, count, config.seed, split, **size)
