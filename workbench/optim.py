"""Optimizers: AdamW for everything, or Muon for the hidden matrices and AdamW for the rest."""

import torch
from transformers import PreTrainedModel

from workbench.train_config import TrainConfig


def build_optimizer(model: PreTrainedModel, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Build the optimizers of a run.

    Muon (torch.optim.Muon) takes the matrices of the layers; embeddings, norms and biases always go to AdamW, and only
    matrices decay.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    hidden = [p for n, p in named if p.dim() == 2 and "embed" not in n and "lm_head" not in n]
    taken = {id(p) for p in hidden} if config.optimizer == "muon" else set()
    rest = [p for _, p in named if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.dim() == 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)
    ]
    if config.optimizer == "muon":
        optimizers.append(
            torch.optim.Muon(hidden, lr=config.muon_learning_rate, weight_decay=config.weight_decay, momentum=0.95)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers
