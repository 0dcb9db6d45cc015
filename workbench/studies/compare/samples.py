"""What training with a reward is judged by: answers, some of them sampled, and the thoughts; a row per problem."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch

from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Noise
from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import embedding_rows
from workbench.problems.problem import Item, Problem
from workbench.studies.compare.thoughts import head_scores
from workbench.train.reward import Reply, RewardConfig
from workbench.train.rollout import Asked, Thinker, sample
from workbench.train.rollout import Noise as Draws

SAMPLES_SCHEMA = 1
"""Version of the columns of `samples_frame`."""
SAMPLES = 8
"""Answers sampled for each problem, at temperature 1."""
BATCH = 32
"""Problems sampled at a time."""
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "problem": pl.String,
    "graph": pl.String,
    "right": pl.Boolean,
    "valid": pl.Boolean,
    "sampled_right": pl.Int16,
    "noise_right": pl.Boolean,
    "masses": pl.List(pl.Float64),
}


def samples_frame(checkpoint: Checkpoint, problems: Sequence[Problem | Item], seed: int = 0) -> pl.DataFrame:
    """Let a checkpoint answer problems once by the likeliest words and `SAMPLES` times by words drawn at random.

    Columns are described in the data dictionary (`measure.columns`, table "samples"). Noise and masses are there for
    models that feed thoughts, masses for problems with a graph as well.

    Args:
        checkpoint: The model.
        problems: Of its task.
        seed: Of the samples and of the noise.
    """
    sampled, noised, masses = sampled_right(checkpoint, problems, seed), {}, {}
    feeds = bool(checkpoint.thoughts) and checkpoint.pause is None
    if feeds:
        noise = answers(checkpoint, problems, interventions=[Noise(seed=seed)])
        noised = {problem.id: answer.right for problem, answer in zip(problems, noise, strict=True)}
    graphs = [problem for problem in problems if isinstance(problem, Problem)]
    if feeds and graphs and checkpoint.says == "answer":
        (own,) = run_intervened(checkpoint, graphs, [[]], keep_thoughts=True)
        for scores in head_scores(checkpoint, graphs, own):
            found = scores.mass_without_target
            masses[scores.problem.id] = [None if np.isnan(mass) else float(mass) for mass in found]
    rows = []
    for problem, answer, right in zip(problems, answers(checkpoint, problems), sampled, strict=True):
        made = (answer.right, answer.valid, right, noised.get(problem.id), masses.get(problem.id))
        rows.append((problem.id, problem.graph, *made))
    return pl.DataFrame(rows, COLUMNS, orient="row")


def sampled_right(checkpoint: Checkpoint, problems: Sequence[Problem | Item], seed: int = 0) -> list[int]:
    """Return how many of the `SAMPLES` sampled answers to each problem are right.

    Words alone are drawn: thoughts are made as the checkpoint makes them, mixtures of embeddings without noise.

    Args:
        checkpoint: The model.
        problems: Of its task.
        seed: Of the samples; every model has the same random numbers for a problem in the same place.
    """
    mixture = checkpoint.recurrence.kind == "mixture"
    # Scale 0: the mixture without its noise.
    config = RewardConfig(variety="gumbel", noise=0.0) if mixture else RewardConfig()
    model, form = checkpoint.model.eval(), checkpoint.format
    found = []
    for first in range(0, len(problems), BATCH):
        prompts = form.prompts(list(problems[first : first + BATCH]))
        asked = Asked.of(checkpoint, prompts)
        width, vocab = model.config.hidden_size, embedding_rows(model)
        draws = Draws.draw(config, asked, SAMPLES, width, vocab, seed + first)
        with torch.no_grad():
            said, _ = sample(model, Thinker(config, 1.0), asked.to(model.device), draws.to(model.device))
        for prompt, group in zip(prompts, said.words.tolist(), strict=True):
            found.append(sum(Reply.of(form, prompt, ids, checkpoint.says).right for ids in group))
    return found
