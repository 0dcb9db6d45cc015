"""Group relative policy optimisation (GRPO; DeepSeekMath, arXiv 2402.03300, section 4.1) of answers after thoughts.

A step samples a group of answers to each problem, scores them, and updates the weights `updates` times: an answer
better than its group becomes likelier, a worse one less likely. Each update makes the thoughts anew from the held
noise, with a gradient through the recurrence (the code of arXiv 2512.11816 scores stored thoughts, which get none).
Forced tokens are no choices, so they are not in the loss; thoughts are only where `density` counts them.
"""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from transformers import PreTrainedModel

from workbench.measure.statistics import auroc
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import embedding_rows
from workbench.model.value_head import value_head
from workbench.problems.files import load_any
from workbench.problems.problem import Item, Problem
from workbench.problems.sets import generate
from workbench.train.batch import OnDevice, TrainBatch, draw_seed
from workbench.train.config import Schedule, Stage, TrainConfig
from workbench.train.graphs import GraphData, asked_hops, node_slots
from workbench.train.objective import Result, TrainStep
from workbench.train.reward import Reply, find_reward
from workbench.train.rollout import Asked, Noise, Said, Scores, Thinker, sample, score
from workbench.train.text import TextData


def advantages(reward: Float[Tensor, "G M"]) -> Float[Tensor, "G M"]:
    """Return the rewards of each problem's answers less their mean, in units of their standard deviation.

    The deviation is that of the M answers (divided by M). Where all are alike the result is exactly 0.
    """
    spread = reward.std(1, correction=0, keepdim=True)
    same = (reward == reward[:, :1]).all(1, keepdim=True)
    return torch.where(same, 0.0, (reward - reward.mean(1, keepdim=True)) / spread.clamp(min=1e-8))


def surrogate(
    log_p: Float[Tensor, "G M n"],
    before: Float[Tensor, "G M n"],
    advantage: Float[Tensor, "G M"],
    counts: Bool[Tensor, "G M n"],
    clip: float,
) -> Float[Tensor, "G M"]:
    """Return what GRPO maximises for each answer, a mean over its choices (arXiv 2402.03300, equation 3, without KL).

    Args:
        log_p: Log-probability of each choice now.
        before: The same when it was sampled.
        advantage: Of each answer.
        counts: Which entries are choices; at least one of each answer.
        clip: How far the ratio may be from 1 on the side that is rewarded.
    """
    ratio, better = (log_p - before).exp(), advantage[..., None]
    gain = torch.minimum(ratio * better, ratio.clamp(1 - clip, 1 + clip) * better)
    return _mean(gain, counts)


def divergence(
    log_p: Float[Tensor, "G M t"], start: Float[Tensor, "G M t"], counts: Bool[Tensor, "G M t"]
) -> Float[Tensor, "G M"]:
    """Return the estimate of the KL divergence from the start at said words, never below 0 (ibid., equation 4)."""
    gap = start - log_p
    return _mean(gap.exp() - gap - 1, counts)


def _mean(values: Float[Tensor, "G M n"], counts: Bool[Tensor, "G M n"]) -> Float[Tensor, "G M"]:
    return values.where(counts, 0.0).sum(-1) / counts.sum(-1)


@dataclass(frozen=True)
class Rollout(OnDevice):
    """The answers of one step of one process: what an update learns from."""

    said: Said
    before: Scores
    """As they were sampled."""
    start: Float[Tensor, "G M t"] | None
    """Log-probability of the words in the start, where the loss has a divergence."""
    reward: Float[Tensor, "G M"]
    advantage: Float[Tensor, "G M"]
    moves: bool
    """Whether the policy is trained; with `latent_value` the head alone is in the first steps."""
    answers: int
    """Answers of the step; those of problems whose answers are all alike may be left out of the tensors."""
    measured: dict[str, float]
    """Of all answers of the step."""


class RewardStep(TrainStep):
    """Computes the loss of a rollout.

    Args:
        model: What is trained.
        precision: "bf16" or "fp32", of the matrix products.
        thinker: How it thinks.
    """

    def __init__(self, model: PreTrainedModel, precision: str, thinker: Thinker) -> None:
        super().__init__(model, precision)
        self.thinker = thinker

    def forward(self, batch: Rollout, seed: int) -> Result:  # type: ignore[override]
        """Return the loss, a mean over all answers of the step.

        Args:
            batch: On any device.
            seed: Not read: all that is drawn is in the rollout.
        """
        batch, config = batch.to(self.model.device), self.thinker.config
        now = score(self.model.eval(), self.thinker, batch.said, self.dtype)
        log_p, before, counts = now.words, batch.before.words, batch.said.counts
        if now.thoughts is not None and batch.before.thoughts is not None:
            log_p, before = torch.cat([log_p, now.thoughts], 2), torch.cat([before, batch.before.thoughts], 2)
            counts = F.pad(counts, (0, now.thoughts.shape[2]), value=True)
        gain = surrogate(log_p, before, batch.advantage, counts, config.ratio_clip)
        if batch.start is not None:
            gain = gain - config.kl * divergence(now.words, batch.start, batch.said.counts)
        with torch.no_grad():
            off = ((log_p - before).exp() - 1).abs().where(counts, 0.0)
            measured = batch.measured | {"ratio_off": float(off.max())}
        none = torch.zeros(0, device=gain.device)
        return Result(-gain.sum() / batch.answers, none, none, measured)


class ValueStep(RewardStep):
    """Computes the loss of latent reinforcement learning (arXiv 2512.11816): arguments as `RewardStep`.

    A value head learns to predict the reward of an answer from each of its thoughts. Then the model is moved so that
    the head predicts more; the words are in the loss by their divergence from the start alone.
    """

    def forward(self, batch: Rollout, seed: int) -> Result:  # type: ignore[override]
        """Return the loss, a mean over all answers and thoughts of the step."""
        batch, config = batch.to(self.model.device), self.thinker.config
        head = value_head(self.model)
        with nullcontext() if batch.moves else torch.no_grad():
            now = score(self.model.eval(), self.thinker, batch.said, self.dtype)
        learned = F.binary_cross_entropy_with_logits(
            head(now.read.detach()), batch.reward[..., None].expand(now.read.shape[:3])
        )
        still = {name: weight.detach() for name, weight in head.named_parameters()}
        value = functional_call(head, still, now.read).sigmoid().mean()
        loss = torch.zeros((), device=value.device)
        if not (batch.moves and config.head.frozen):
            loss = loss + learned
        if batch.moves:
            loss = loss - value
            if batch.start is not None:
                loss = loss + config.kl * divergence(now.words, batch.start, batch.said.counts).mean()
        none = torch.zeros(0, device=value.device)
        measured = {"head_loss": float(learned.detach()), "batch_value": float(value.detach())}
        return Result(loss, none, none, batch.measured | measured)


class RewardData:
    """Draws problems, lets the model answer them, and scores the answers.

    Every step is at the last stage, with all thoughts. Its evaluation batch and validation problems are those of
    supervised training.

    Args:
        config: The run.
        checkpoint: What is trained, with the weights of the start: a copy of them is kept.
    """

    def __init__(self, config: TrainConfig, checkpoint: Checkpoint) -> None:
        self.config, self.checkpoint = config, checkpoint
        self.inner = GraphData(config) if config.task == "edges" else TextData(config, checkpoint)
        plan = self.inner.schedule.plan
        plan = replace(plan, by="clock", widen_by=0, small_edges=plan.largest_edges)
        self.schedule: Schedule = replace(self.inner.schedule, plan=plan, staged=False)
        self.start = copy.deepcopy(checkpoint.model).requires_grad_(False).eval()
        spread = float(cast(nn.Embedding, checkpoint.model.get_input_embeddings()).weight.detach().float().std())
        self.thinker = Thinker(config.reward, spread)
        self.reward = find_reward(config.reward.score)
        self.dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32

    @cached_property
    def problems(self) -> Sequence[Problem | Item]:
        """Problems to practise on; empty where every step generates its own."""
        if isinstance(self.inner, TextData):
            return self.inner.problems
        return load_any(Path(self.config.rows.problems)) if self.config.rows.problems else ()

    @cached_property
    def validation(self) -> Sequence[Problem | Item]:
        """Problems to answer at every evaluation; by default none of them is practised on."""
        file = self.config.rows.validation
        return load_any(Path(file))[: self.config.watched] if file else self.inner.validation

    def evaluation(self, stage: Stage) -> TrainBatch:
        """Return the batch of every evaluation, as supervised training has it."""
        return self.inner.evaluation(stage)

    def drawn(self, step: int, rank: int) -> list[Problem | Item]:
        """Draw the problems of one step and process: from the file, else newly generated ones.

        Generated graphs are of the family "balanced", where no rule that does not read the question beats one half.
        """
        config, count = self.config, self.config.rows.batch
        if not self.problems:
            plan = config.curriculum
            hops, seed = asked_hops(plan.thoughts), draw_seed(config, step, rank)
            return list(generate("balanced", count, seed, hops, node_slots(plan), config.rows.names))
        rng = np.random.default_rng([config.seed, rank, step])
        return [self.problems[i] for i in rng.integers(0, len(self.problems), count)]

    def answered(self, problems: Sequence[Problem | Item], seed: int) -> tuple[Said, Scores, list[list[Reply]]]:
        """Answer problems, a group of answers each, with the weights of now.

        Args:
            problems: To be answered.
            seed: Of all that is drawn.
        """
        config, held = self.config.reward, self.checkpoint
        model = held.model.eval()
        prompts = held.format.prompts(list(problems))
        asked = Asked.of(held, prompts, config.limit)
        width, vocab = model.config.hidden_size, embedding_rows(model)
        noise = Noise.draw(config, asked, config.group, width, vocab, seed)
        said, scores = sample(model, self.thinker, asked.to(model.device), noise.to(model.device), self.dtype)
        return (
            said,
            scores,
            [
                [Reply.of(held.format, prompt, ids, held.says) for ids in answers]
                for prompt, answers in zip(prompts, said.words.tolist(), strict=True)
            ],
        )

    def rewards(self, replies: list[list[Reply]]) -> Float[Tensor, "G M"]:
        """Return the reward of each answer."""
        return torch.tensor([[self.reward(reply) for reply in group] for group in replies])

    @torch.no_grad()
    def under_start(self, said: Said) -> Scores:
        """Return the scores of answers in the model that the run began with."""
        return score(cast(Any, self.start).to(said.words.device), self.thinker, said, self.dtype)

    def draw(self, stage: Stage, step: int, rank: int) -> Rollout:
        """Return the answers of one step and process.

        Without a divergence in the loss, problems whose answers are all rewarded alike are left out: their gradient is
        zero. They are counted all the same.
        """
        config, seed = self.config.reward, draw_seed(self.config, step, rank)
        said, scores, replies = self.answered(self.drawn(step, rank), seed)
        reward = self.rewards(replies)
        if config.shuffle:
            order = np.random.default_rng([self.config.seed, rank, step, 1]).permutation(reward.numel())
            reward = reward.flatten()[torch.from_numpy(order)].view_as(reward)
        better = advantages(reward)
        varied = (better != 0).any(1)
        answers = reward.numel()
        measured = {"batch_reward": float(reward.mean()), "batch_alike": 1 - float(varied.float().mean())}
        start = self.under_start(said).words if config.kl else None
        if start is None and self.config.objective == "grpo":
            rows = varied.nonzero().flatten() if varied.any() else torch.tensor([0])
            said, better, reward = said.take(rows.to(said.words.device)), better[rows], reward[rows]
            thoughts = None if scores.thoughts is None else scores.thoughts[rows]
            scores = Scores(scores.words[rows], thoughts, scores.read[rows])
        reward, better = reward.to(said.words.device), better.to(said.words.device)
        moves = self.config.objective == "grpo" or step >= config.head.steps
        return Rollout(said, scores, start, reward, better, moves, answers, measured)

    def measure(self) -> dict[str, Any]:
        """Return what sampled answers to the validation problems show, always with the same random numbers.

        - reward: its mean; `pass@1` and `pass@M`: the share of right answers, and of problems with at least one right
          answer among the M of the group.
        - alike: share of problems whose answers are all rewarded alike.
        - kl: mean estimate of the divergence from the start over the words said, in nats.
        - cosine: for each thought, the mean cosine of the hidden state that it is made of with the start's, for the
          same noise: 1 at the start.
        - value, value_auc, value_f1: with a value head, what it predicts, on average; for each thought the area under
          the ROC curve of the predictions against rewards above one half, and F1 at one half. `practice_auc` and
          `practice_f1`: the same on problems that are practised on, where the task is in words.
        """
        means, head = self._answers_to(self.validation)
        names = ("reward", "pass@1", f"pass@{self.config.reward.group}", "alike", "kl")
        found = dict(zip(names, means, strict=False)) | {"cosine": means[len(names) :]}
        if head:
            found |= {"value": head["value"], "value_auc": head["auc"], "value_f1": head["f1"]}
            if self.problems:
                _, own = self._answers_to(self.problems[: self.config.watched])
                found |= {"practice_auc": own["auc"], "practice_f1": own["f1"]}
        return found

    def _answers_to(self, problems: Sequence[Problem | Item]) -> tuple[list[float], dict[str, Any]]:
        """Return the means that `measure` gives of problems, and what their value head says, where there is one."""
        config, model, parts, heads = self.config, self.checkpoint.model, [], []
        for begin in range(0, len(problems), config.rows.batch):
            said, scores, replies = self.answered(
                problems[begin : begin + config.rows.batch], draw_seed(config, begin, 1 << 22)
            )
            start, reward = self.under_start(said), self.rewards(replies)
            right = torch.tensor([[float(reply.right) for reply in group] for group in replies])
            alike = (reward == reward[:, :1]).all(1).float()
            kl = divergence(scores.words, start.words, said.counts).mean(1).cpu()
            cosine = F.cosine_similarity(scores.read, start.read, dim=-1).mean(1).cpu()
            shown = torch.stack([reward.mean(1), right.mean(1), right.amax(1), alike, kl], 1)
            parts.append(torch.cat([shown, cosine], 1))
            if config.objective == "latent_value":
                value = value_head(model)(scores.read).detach().sigmoid().cpu()
                heads.append(torch.cat([value, reward[..., None]], 2).flatten(0, 1))
        means = [round(float(value), 5) for value in torch.cat(parts).mean(0)]
        return means, _judged(torch.cat(heads).double().numpy()) if heads else {}


def _judged(values: Float[np.ndarray, "answers columns"]) -> dict[str, Any]:
    """Return what predictions (the first columns) show of rewards (the last one)."""
    value, good = values[:, :-1].T, values[:, -1] > 0.5
    area = auroc(value, np.broadcast_to(good, value.shape))
    hit = (value > 0.5) & good
    f1 = 2 * hit.sum(1) / np.maximum((value > 0.5).sum(1) + good.sum(), 1)
    return {
        "value": round(float(value.mean()), 5),
        "auc": [None if np.isnan(one) else round(float(one), 5) for one in area],
        "f1": [round(float(one), 5) for one in f1],
    }
