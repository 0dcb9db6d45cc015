"""A small model from scratch, initialised so that it leaves the plateau."""

from typing import cast

import torch
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from workbench.tokenizer import edges_tokenizer
from workbench.train_config import ModelConfig


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
