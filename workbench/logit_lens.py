"""The logit lens: what the final norm and the LM head make of the residual stream at any layer."""

from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from workbench.coconut import lm_head
from workbench.errors import WorkbenchError


def final_norm(model: PreTrainedModel) -> nn.Module:
    """Return the model's own norm before the LM head, with its gain and, where it has one, its bias.

    It is the one norm that stands beside the blocks and not inside them: `transformer.ln_f` of GPT-2 (LayerNorm),
    `model.norm` of Llama and Qwen2 (RMSNorm).

    Raises:
        WorkbenchError: There is none, or several.
    """
    base = cast(nn.Module, model.base_model)
    norms = {name: part for name, part in base.named_children() if "norm" in type(part).__name__.lower()}
    if len(norms) != 1:
        raise WorkbenchError(
            f"The final norm of {type(model).__name__} is not known.",
            f"Beside its blocks there are {len(norms)} norms: {', '.join(norms) or 'none'}.",
            "Use a model of the families GPT-2, Llama or Qwen2.",
        )
    return next(iter(norms.values()))


def decode(model: PreTrainedModel, residual: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows vocab"]:
    """Return log-probabilities (natural) of the vocabulary: log softmax of the LM head of the final norm.

    At the last layer that is what the model itself says. At layer 0 of a thought's column stands the thought as it was
    fed, which has been through the norm before; it goes through it once more, as every layer does.
    """
    return lm_head(model, final_norm(model)(residual)).log_softmax(-1)


@torch.inference_mode()
def logit_lens(
    model: PreTrainedModel, residual: Float[np.ndarray, "n columns d"], batch_size: int = 64
) -> Float[Tensor, "n columns vocab"]:
    """Return the log-probabilities that the logit lens (nostalgebraist 2020) reads, unadjusted.

    Args:
        model: Whose norm and LM head are used.
        residual: Of one layer.
        batch_size: Problems decoded at a time.
    """
    held = torch.from_numpy(residual).to(model.device, model.dtype).split(batch_size)
    return torch.cat([decode(model, part).cpu() for part in held])
