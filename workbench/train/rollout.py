"""Answers sampled from a model, and their probabilities under another: what training with a reward runs.

    first part · rest of the question · thought 1 · ... · thought K · opening · words
    (once for each problem)           (once for each answer, on the keys and values of the question)

One function makes the thoughts, for sampling and for scoring alike, in the same `ForwardPass` with the same mask and
positions, so that under unchanged weights what is scored is what was sampled. All that is random is drawn before and
held: a uniform number for each word, and the noise of the thoughts. Scoring makes the thoughts anew from that noise,
with a gradient through all of them. Where thoughts count as choices (`density`), they are held instead of the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import guard, lm_head
from workbench.model.prompts import Prompt
from workbench.model.recurrence import Recurrence, mixed
from workbench.train.batch import OnDevice
from workbench.train.fast import FastPass, supports
from workbench.train.forward import ForwardPass, ModelPass
from workbench.train.reward import RewardConfig

MIXTURE = Recurrence("mixture")
"""How thoughts are made with `variety: gumbel`, without the noise."""


@dataclass(frozen=True)
class Asked(OnDevice):
    """Problems to be answered, `group` times each."""

    prefix: Int[Tensor, "G T"]
    """The first tokens of each prompt: all but one of the shortest."""
    question: Int[Tensor, "G 1 q"]
    """Its other tokens, padded on the left."""
    pads: Int[Tensor, "G 1"]
    """Columns of padding."""
    opening: Int[Tensor, " o"]
    """The forced tokens before what is said."""
    slots: int
    """Thoughts, or pauses, K."""
    pause: int | None
    """The token that is fed in the slots; None for thoughts."""
    limit: int
    """Most tokens to say."""
    end: int
    """The token that ends an answer."""

    @classmethod
    def of(cls, checkpoint: Checkpoint, prompts: Sequence[Prompt], limit: int = 0) -> "Asked":
        """Lay prompts out.

        Args:
            checkpoint: Its format, its number of thoughts and whether it says a chain decide how it is asked.
            prompts: The problems.
            limit: Most tokens of an answer; 0: as many as the format has.

        Raises:
            WorkbenchError: A prompt and its answer are longer than the model has positions.
        """
        form, chain = checkpoint.format, checkpoint.says == "chain"
        (opening,) = {(form.chain_opening if chain else form.answer_opening)(prompt) for prompt in prompts}
        limit = limit or (form.continuation_limit if chain else form.answer_limit)
        lengths = torch.tensor([len(prompt.ids) for prompt in prompts])
        shared = int(lengths.min()) - 1
        rows = torch.full((len(prompts), int(lengths.max())), form.pad)
        for row, prompt in zip(rows, prompts, strict=True):
            row[:shared] = torch.tensor(prompt.ids[:shared])
            row[len(row) - len(prompt.ids) + shared :] = torch.tensor(prompt.ids[shared:])
        more = checkpoint.thoughts + len(opening) + limit
        guard(checkpoint.model, rows[:, :1], torch.ones(len(rows), 1), more + rows.shape[1] - 1)
        pads = (lengths.max() - lengths)[:, None]
        ids = (rows[:, :shared], rows[:, None, shared:], pads, torch.tensor(opening))
        return cls(*ids, checkpoint.thoughts, checkpoint.pause, limit, form.end)


@dataclass(frozen=True)
class Noise(OnDevice):
    """All that is drawn for the answers of a step."""

    words: Float[Tensor, "G M t"]
    """Uniform, which word is said."""
    thoughts: Float[Tensor, "G M k n"] | None
    """Of the thoughts: k is 1 where all thoughts of an answer share it."""

    @classmethod
    def draw(cls, config: RewardConfig, asked: Asked, answers: int, width: int, vocab: int, seed: int) -> "Noise":
        """Draw it, on the CPU: the same on every device.

        Args:
            config: What is noisy.
            asked: The problems.
            answers: M, to each problem.
            width: Of the model, d.
            vocab: Number of tokens.
            seed: Of everything that is drawn.
        """
        generator, shape = torch.Generator().manual_seed(seed), (len(asked.prefix), answers)
        words = torch.rand(*shape, asked.limit, generator=generator)
        if config.variety in ("words", "none"):
            return cls(words, None)
        if config.variety == "dropout":
            return cls(words, torch.rand(*shape, 1, width, generator=generator))
        if config.variety == "gaussian":
            return cls(words, torch.randn(*shape, asked.slots, width, generator=generator))
        uniform = torch.rand(*shape, asked.slots, vocab, generator=generator).clamp(min=1e-20)
        return cls(words, -(-uniform.log()).clamp(min=1e-20).log())


@dataclass(frozen=True)
class Thinker:
    """How thoughts are made from hidden states, and what they are worth as choices.

    A choice is what is drawn: the thought itself, or for mixtures the log-probabilities with their noise, from which
    the thought follows.
    """

    config: RewardConfig
    spread: float
    """Standard deviation of the start's embeddings."""

    @property
    def scale(self) -> float:
        """Scale of the noise."""
        return self.config.noise * (self.spread if self.config.variety == "gaussian" else 1.0)

    def choose(
        self, model: PreTrainedModel, read: Float[Tensor, "G M 1 d"], noise: Float[Tensor, "G M 1 n"] | None
    ) -> Float[Tensor, "G M 1 n"]:
        """Return the choice at hidden states."""
        kind = self.config.variety
        if noise is None:
            return read
        if kind == "dropout":
            return read * (noise >= self.config.noise) / (1 - self.config.noise)
        middle = lm_head(model, read).log_softmax(-1) if kind == "gumbel" else read
        return middle + self.scale * noise

    def vector(self, model: PreTrainedModel, choice: Float[Tensor, "G M 1 n"]) -> Float[Tensor, "G M 1 d"]:
        """Return what is fed, of a choice."""
        if self.config.variety != "gumbel":
            return choice
        flat = choice.flatten(0, 2)
        return mixed(model, MIXTURE, flat, torch.zeros_like(flat)).view(*choice.shape[:3], -1)

    def log_density(
        self, model: PreTrainedModel, read: Float[Tensor, "G M K d"], choice: Float[Tensor, "G M K n"]
    ) -> Float[Tensor, "G M K"]:
        """Return the log-density of choices at hidden states, its sum or mean over entries as configured."""
        if self.config.variety == "gaussian":
            each = torch.distributions.Normal(read, self.scale).log_prob(choice)
        else:
            gap = (choice - lm_head(model, read).log_softmax(-1)) / self.scale
            each = -gap - (-gap).exp() - torch.tensor(self.scale).log()
        return each.sum(-1) if self.config.density == "sum" else each.mean(-1)


@dataclass(frozen=True)
class Said(OnDevice):
    """Answers as they were sampled: all that is needed to score them under other weights."""

    asked: Asked
    noise: Noise
    choices: Float[Tensor, "G M K n"] | None
    """The thoughts as choices, held where `density` counts them."""
    words: Int[Tensor, "G M t"]
    """What was said after the opening; after the end token it goes on with end tokens."""
    counts: Bool[Tensor, "G M t"]
    """Which words were chosen: all up to the end token, which is one of them."""

    def take(self, rows: Int[Tensor, " rows"]) -> "Said":
        """Return the answers to some of the problems."""
        asked, noise = self.asked, self.noise
        held = replace(asked, prefix=asked.prefix[rows], question=asked.question[rows], pads=asked.pads[rows])
        thoughts = None if noise.thoughts is None else noise.thoughts[rows]
        choices = None if self.choices is None else self.choices[rows]
        return Said(held, Noise(noise.words[rows], thoughts), choices, self.words[rows], self.counts[rows])


@dataclass(frozen=True)
class Scores(OnDevice):
    """Answers under some weights."""

    words: Float[Tensor, "G M t"]
    """Log-probability of each word, at the temperature at which they are sampled."""
    thoughts: Float[Tensor, "G M K"] | None
    """Log-density of each thought where `density` counts it."""
    read: Float[Tensor, "G M K d"]
    """The hidden state that each thought was made of."""


def _think(
    model: PreTrainedModel,
    thinker: Thinker,
    asked: Asked,
    noise: Noise,
    held: Float[Tensor, "G M K n"] | None,
    dtype: torch.dtype,
) -> tuple[ForwardPass, list[Tensor], list[Tensor]]:
    """Read the problems once, then think and feed the slots once for each answer.

    Returns:
        The pass, the hidden state before each slot, and the choice at each thought.
    """
    kind, (problems, answers) = FastPass if supports(model) else ModelPass, noise.words.shape[:2]
    once = kind(model, asked.prefix, 1, asked.pads, dtype)
    read = once.feed(once.embed(asked.question), read_last=1).expand(-1, answers, -1, -1)
    run, reads, choices = once.fork(answers), [], []
    for k in range(asked.slots):
        if asked.pause is not None:
            choice = fed = run.embed(torch.full((problems, answers, 1), asked.pause, device=run.device))
        else:
            own = None if noise.thoughts is None else noise.thoughts[:, :, min(k, noise.thoughts.shape[2] - 1), None]
            choice = thinker.choose(model, read, own) if held is None else held[:, :, k, None]
            fed = thinker.vector(model, choice)
        reads.append(read)
        choices.append(choice)
        read = run.feed(fed.detach() if thinker.config.detach else fed, read_last=1)
    return run, reads, choices


def _opened(run: ForwardPass, asked: Asked) -> Int[Tensor, "G M o"]:
    return asked.opening.expand(run.graphs, run.branches, -1)


def _scores(
    model: PreTrainedModel, thinker: Thinker, reads: list[Tensor], choices: list[Tensor], words: Tensor
) -> Scores:
    read = torch.cat(reads, 2) if reads else words.new_zeros(*words.shape[:2], 0, model.config.hidden_size)
    if thinker.config.density == "none" or not reads:
        return Scores(words, None, read)
    return Scores(words, thinker.log_density(model, read, torch.cat(choices, 2)), read)


@torch.no_grad()
def sample(
    model: PreTrainedModel, thinker: Thinker, asked: Asked, noise: Noise, dtype: torch.dtype = torch.float32
) -> tuple[Said, Scores]:
    """Answer problems.

    Args:
        model: In evaluation mode.
        thinker: How it thinks.
        asked: The problems, on the model's device.
        noise: Drawn for them.
        dtype: Of the matrix products.

    Returns:
        The answers, and their scores as they were sampled.
    """
    run, reads, choices = _think(model, thinker, asked, noise, None, dtype)
    inputs, likeliest = _opened(run, asked), thinker.config.variety == "none"
    words, log_p, counts = [], [], []
    done = torch.zeros(*inputs.shape[:2], dtype=torch.bool, device=inputs.device)
    for uniform in noise.words.unbind(-1):
        logits = run.logits(run.feed(run.embed(inputs), read_last=1)[:, :, 0]) / thinker.config.temperature
        said = logits.log_softmax(-1)
        below = said.double().exp().cumsum(-1) <= uniform[..., None]
        word = said.argmax(-1) if likeliest else below.sum(-1).clamp(max=said.shape[-1] - 1)
        word = word.masked_fill(done, asked.end)
        words.append(word)
        log_p.append(said.gather(-1, word[..., None])[..., 0])
        counts.append(~done)
        done = done | (word == asked.end)
        if done.all():
            break
        inputs = word[..., None]
    scores = _scores(model, thinker, reads, choices, torch.stack(log_p, 2))
    held = None if scores.thoughts is None else torch.cat(choices, 2)
    return Said(asked, noise, held, torch.stack(words, 2), torch.stack(counts, 2)), scores


def score(model: PreTrainedModel, thinker: Thinker, said: Said, dtype: torch.dtype = torch.float32) -> Scores:
    """Return answers under a model's weights; gradients flow through its thoughts.

    Args:
        model: In evaluation mode.
        thinker: How it thinks.
        said: The answers, on the model's device.
        dtype: Of the matrix products.
    """
    run, reads, choices = _think(model, thinker, said.asked, said.noise, said.choices, dtype)
    opened, count = _opened(run, said.asked), said.words.shape[2]
    inputs = torch.cat([opened, said.words[..., :-1]], 2)
    log_p = (run.logits(run.feed(run.embed(inputs), read_last=count)) / thinker.config.temperature).log_softmax(-1)
    return _scores(model, thinker, reads, choices, log_p.gather(-1, said.words[..., None])[..., 0])
