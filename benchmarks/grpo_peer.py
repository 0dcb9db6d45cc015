"""The loss and the gradient of GRPO on words, beside those of trl's `GRPOTrainer` on the same answers.

    pip install trl==1.16.0
    python -m benchmarks.grpo_peer

The bundled run `cot` answers ProsQA problems in words, a group of answers each. Old log-probabilities are moved away
from the present ones, so that ratios are clipped, and rewards are drawn, so that every group has variance. Ours is
`workbench.train.policy.RewardStep`; the peer is `GRPOTrainer.compute_loss` (loss_type "grpo") on the unmodified Hugging
Face model. Printed are both losses, the relative error of the gradient and its cosine. trl knows no thoughts: with
thoughts inside the model its loss leaves them out without a warning, so there is nothing to compare there. trl is no
dependency: its scoring path has changed from release to release.
"""

import copy
import tempfile
from typing import Any

import torch
from torch import Tensor

import workbench as wb
from workbench.train.policy import RewardStep, Rollout, advantages
from workbench.train.reward import RewardConfig
from workbench.train.rollout import Asked, Noise, Scores, Thinker, sample

GROUP, PROBLEMS, CLIP, KL = 4, 12, 0.2, 0.05


def rollout(checkpoint: Any, config: RewardConfig) -> Rollout:
    """Sample answers of different lengths, with old and reference log-probabilities that are not the present ones."""
    problems = list(wb.load_problems("small", PROBLEMS))
    asked = Asked.of(checkpoint, checkpoint.format.prompts(problems))
    vocab = checkpoint.model.config.vocab_size
    noise = Noise.draw(config, asked, GROUP, checkpoint.model.config.hidden_size, vocab, seed=1)
    said, scores = sample(checkpoint.model, Thinker(config, 1.0), asked, noise)
    drawn = torch.Generator().manual_seed(2)
    before, start = (scores.words + 0.3 * torch.randn(scores.words.shape, generator=drawn) for _ in range(2))
    reward = torch.rand(PROBLEMS, GROUP, generator=drawn)
    held = Scores(before, None, scores.read)
    return Rollout(said, held, start, reward, advantages(reward), True, reward.numel(), {})


def gradients(model: torch.nn.Module, loss: Tensor) -> Tensor:
    """Return the gradient of all weights in one row."""
    model.zero_grad()
    loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def peer_loss(model: Any, tokenizer: Any, batch: Rollout) -> Tensor:
    """Return trl's loss of the same answers: prompts padded on the left, completions with the forced opening inside."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer  # only this benchmark needs it

    asked, said = batch.said.asked, batch.said
    with tempfile.TemporaryDirectory() as folder:
        given = GRPOConfig(
            folder, loss_type="grpo", beta=KL, epsilon=CLIP, num_generations=GROUP, report_to=[], use_cpu=True,
            per_device_train_batch_size=GROUP, bf16=False, disable_dropout=True,
            use_bias_correction_kl=False,  # else trl multiplies the paper's estimate of the divergence by the ratio
        )  # fmt: skip
        trainer = GRPOTrainer(
            model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=given,
            train_dataset=Dataset.from_dict({"prompt": ["x"] * GROUP}), processing_class=tokenizer,
        )  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    questions = torch.cat([asked.prefix, asked.question[:, 0]], 1)
    shared, pads = asked.prefix.shape[1], asked.pads[:, 0].tolist()
    # In our rows the padding stands between the shared part and the rest; a plain row has it on the left.
    plain = [torch.cat([row[:shared], row[shared + pad :]]) for row, pad in zip(questions, pads, strict=True)]
    width = questions.shape[1]
    prompts = torch.stack([torch.cat([row.new_zeros(width - len(row)), row]) for row in plain])
    mask = torch.stack([torch.arange(width) >= width - len(row) for row in plain])
    opening = asked.opening.expand(len(prompts), -1)
    prompts, mask = torch.cat([prompts, opening], 1), torch.cat([mask, torch.ones_like(opening, dtype=torch.bool)], 1)
    inputs = {
        "prompt_ids": prompts.repeat_interleave(GROUP, 0), "prompt_mask": mask.repeat_interleave(GROUP, 0).long(),
        "completion_ids": said.words.flatten(0, 1), "completion_mask": said.counts.flatten(0, 1).long(),
        "advantages": batch.advantage.flatten(), "old_per_token_logps": batch.before.words.flatten(0, 1),
        "ref_per_token_logps": batch.start.flatten(0, 1) if batch.start is not None else None,
        "num_items_in_batch": said.counts.sum(),
    }  # fmt: skip
    return trainer.compute_loss(trainer.model.eval(), inputs)


def main() -> None:
    """Compare and print."""
    torch.set_num_threads(1)
    config = RewardConfig(group=GROUP, ratio_clip=CLIP, kl=KL)
    checkpoint = wb.load("cot").checkpoint
    batch = rollout(checkpoint, config)
    theirs = copy.deepcopy(checkpoint.model).float()
    result = RewardStep(checkpoint.model, "fp32", Thinker(config, 1.0))(batch, 0)
    ours = gradients(checkpoint.model, result.loss)
    peer = peer_loss(theirs, checkpoint.tokenizer, batch)
    other = gradients(theirs, peer)
    error = float((ours - other).norm() / other.norm())
    cosine = float(torch.nn.functional.cosine_similarity(ours, other, 0))
    lengths = batch.said.counts.sum(-1)
    print(f"{batch.answers} answers of {int(lengths.min())} to {int(lengths.max())} words")
    print(f"loss: ours {result.loss.item():.7f}, trl {peer.item():.7f}")
    print(f"gradient: relative error {error:.1e}, cosine {cosine:.7f}")


if __name__ == "__main__":
    main()
