"""How many sampled answers a minute training with a reward gets from the small arithmetic model.

    python -m benchmarks.rollouts

The models of `configs/reward-start-coconut.yaml` and `reward-start-cot.yaml` (width 192, three layers), with random
weights, answer the first 48 problems of `fixtures/tasks/arithmetic_small.json` eight times each, as a step of
`configs/reward.yaml` does, on one thread. Random weights seldom end an answer, so most answers have as many words as
they may have and the rate is that of the longest answers.
"""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from workbench.problems.files import load_any
from workbench.train.config import load_config
from workbench.train.init import begin
from workbench.train.reward import RewardConfig
from workbench.train.rollout import Asked, Noise, Thinker, sample

ROOT = Path(__file__).resolve().parents[1]


def main(
    configs: Annotated[list[Path] | None, typer.Argument(help="Of trainings; by default both starts.")] = None,
    problems: Annotated[int, typer.Option(help="Of a step.")] = 48,
    answers: Annotated[int, typer.Option(help="To each problem.")] = 8,
    rounds: Annotated[int, typer.Option(help="Steps that are measured; the fastest counts.")] = 3,
) -> None:
    """Print answers, words and processor seconds of a step, and answers a minute."""
    torch.set_num_threads(1)
    starts = configs or [ROOT / "configs" / f"reward-start-{name}.yaml" for name in ("coconut", "cot")]
    items = load_any(ROOT / "fixtures" / "tasks" / "arithmetic_small.json")[:problems]
    for path in starts:
        config = load_config(path)
        checkpoint, given = begin(config), RewardConfig(group=answers)
        model, form = checkpoint.model.eval(), checkpoint.format
        asked = Asked.of(checkpoint, form.prompts(items))
        seconds, words = [], 0
        for seed in range(rounds):
            vocabulary = model.config.vocab_size
            noise = Noise.draw(given, asked, answers, model.config.hidden_size, vocabulary, seed=seed)
            began = time.process_time()
            said, _ = sample(model, Thinker(given, 1.0), asked, noise)
            seconds.append(time.process_time() - began)
            words = int(said.counts.sum())
        count = len(items) * answers
        print(
            f"{path.stem}: {count} answers, {words / count:.1f} words each, {min(seconds):.2f} processor seconds, "
            f"{60 * count / min(seconds):,.0f} answers a minute"
        )


if __name__ == "__main__":
    typer.run(main)
