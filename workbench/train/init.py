"""A small model from scratch, initialised so that it leaves the plateau.

Optimizers: AdamW for everything, or Muon for the hidden matrices and AdamW for the rest.
"""

from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.config import ModelConfig, TrainConfig


def build_model(
    config: ModelConfig, seed: int, max_positions: int = 1024, tokenizer: PreTrainedTokenizerBase | None = None
) -> Qwen2ForCausalLM:
    """Build a Qwen2 model for the words of a tokenizer, by default that of the edges format.

    Matrices at 1/sqrt(fan-in), projections back into the residual stream divided by sqrt(2 * layers). The final norm's
    gain equals the embeddings' spread, so that a thought fed back is as long as an embedding; at gain 1 it would drown
    what the layers write. Biases on q, k, v let a head look one token back whatever the content.
    """
    words = tokenizer or edges_tokenizer()
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(words),
            hidden_size=config.width,
            intermediate_size=config.mlp_width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=max_positions,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base},
            tie_word_embeddings=True,
            pad_token_id=cast(int, words.pad_token_id),
            eos_token_id=cast(int, words.eos_token_id),
            bos_token_id=cast(int, words.eos_token_id),
        )
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_tokens" in name:
                parameter.normal_(0, config.embedding_std, generator=generator)
            elif name == "model.norm.weight":
                parameter.fill_(config.embedding_std)
            elif parameter.dim() == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                spread = parameter.shape[1] ** -0.5
                if "o_proj" in name or "down_proj" in name:
                    spread /= (2 * config.layers) ** 0.5
                parameter.normal_(0, spread, generator=generator)
    return model


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
