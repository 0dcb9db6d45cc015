"""Training a part of a pre-trained model: low-rank updates (LoRA, by the library peft), markers, the last layers.

The layers stay what they are in a model that transformers knows; only their matrices have an update beside them. What
is saved of it is a plain model again: `merged_state` adds the updates to the matrices.
"""

from importlib.util import find_spec
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workbench.errors import WorkbenchError

ADAPTER = "default"
"""The name that peft gives to an adapter."""
ROWS = "token_rows"


class TokenRows(nn.Module):
    """Rows of an embedding matrix that are trained while the others are not.

    Args:
        ids: Their tokens.
        rows: What they are before.
    """

    def __init__(self, ids: list[int], rows: Float[Tensor, "n d"]) -> None:
        super().__init__()
        self.register_buffer("ids", torch.tensor(ids), persistent=False)
        self.weight = nn.Parameter(rows.detach().clone())

    def embed(self, ids: Int[Tensor, "*batch"], embedded: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Return the embeddings of tokens, those of its own tokens replaced."""
        for token, row in zip(cast(Tensor, self.ids), self.weight, strict=True):
            embedded = torch.where((ids == token)[..., None], row.to(embedded.dtype), embedded)
        return embedded

    def say(
        self, hidden: Float[Tensor, "*batch d"], logits: Float[Tensor, "*batch vocab"]
    ) -> Float[Tensor, "*batch vocab"]:
        """Return the logits of hidden states, those of its own tokens replaced."""
        own = F.linear(hidden.to(logits.dtype), self.weight.to(logits.dtype))
        return logits.index_copy(-1, cast(Tensor, self.ids), own)


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the layers of a GPT-2, Llama or Qwen2."""
    body: Any = model.base_model
    return body.h if hasattr(body, "h") else body.layers


def keep_layers(model: PreTrainedModel, count: int) -> None:
    """Keep the first layers of a model, which is changed.

    Raises:
        WorkbenchError: It has fewer.
    """
    layers, config = layers_of(model), cast(Any, model.config)
    if count > len(layers):
        why = f"The model has {len(layers)} layers."
        raise WorkbenchError(f"{count} layers cannot be kept.", why, "Lower `layers` in the configuration.")
    del layers[count:]
    config.num_hidden_layers = count  # GPT-2 calls it n_layer, and knows this name too
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:count]


def add_lora(
    model: PreTrainedModel, rank: int, alpha: float, tokens: list[int], full_layers: int = 0, seed: int = 0
) -> None:
    """Give the matrices of a model's layers a low-rank update, and let nothing else train but what is small.

    Small are norms, biases, the embeddings of a few tokens and the thought head; the last layers may train in full.

    Args:
        model: Changed.
        rank: Of the updates.
        alpha: They are multiplied by alpha / rank.
        tokens: Whose embeddings are trained.
        full_layers: Last layers whose own weights are trained.
        seed: Of the updates' first factor; the second is 0, so that at first nothing changes.

    Raises:
        WorkbenchError: peft is not installed.
    """
    if find_spec("peft") is None:
        why = "LoRA is done by the library peft, which is not installed."
        raise WorkbenchError("LoRA cannot be trained.", why, "Type: pip install 'coconut-workbench[base]'")
    from peft import LoraConfig, inject_adapter_in_model

    layers = list(layers_of(model))
    in_full = layers[len(layers) - full_layers :]
    kept = {id(p) for layer in in_full for p in layer.parameters()}
    kept |= {id(p) for p in model.parameters() if p.dim() == 1}
    head = getattr(model, "thought_head", None)
    kept |= {id(p) for p in head.parameters()} if head is not None else set()
    others = {id(module) for layer in layers[: len(layers) - full_layers] for module in layer.modules()}
    targets = [n for n, m in model.named_modules() if id(m) in others and isinstance(m, nn.Linear | Conv1D)]
    turned = any(isinstance(module, Conv1D) for module in model.modules())
    if targets:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            lora = LoraConfig(r=rank, lora_alpha=cast(int, alpha), target_modules=targets, fan_in_fan_out=turned)
            inject_adapter_in_model(lora, model, ADAPTER)
    for name, parameter in model.named_parameters():  # peft has frozen all but its own
        parameter.requires_grad_(id(parameter) in kept or ".lora_" in name)
    embedding = cast(nn.Embedding, model.get_input_embeddings())
    rows = TokenRows(tokens, embedding.weight[tokens])
    setattr(model, ROWS, rows)
    embedding.register_forward_hook(lambda _module, given, out: rows.embed(given[0], cast(Tensor, out)))


def update_of(module: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Return the two factors of a matrix's update, [r, in] and [out, r], scaled; None where it has none."""
    if not hasattr(module, "lora_A"):
        return None
    held = cast(Any, module)
    return held.lora_A[ADAPTER].weight, held.lora_B[ADAPTER].weight * held.scaling[ADAPTER]


def merged_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the `state_dict` of a plain model that computes the same."""
    state = {n.replace(".base_layer.", "."): w for n, w in model.state_dict().items() if ".lora_" not in n}
    rows = state.pop(f"{ROWS}.weight", None)
    if rows is not None:
        tokens = cast(TokenRows, getattr(model, ROWS)).ids
        embedding = cast(nn.Embedding, model.get_input_embeddings()).weight
        for name, weight in list(state.items()):
            if weight.data_ptr() == embedding.data_ptr():  # an LM head that is tied to it as well
                state[name] = weight.detach().clone().index_copy(0, cast(Tensor, tokens), rows)
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            state[f"{name}.weight"] = state[f"{name}.weight"] + cast(Any, module).get_delta_weight(ADAPTER)
    return {name: weight.detach() for name, weight in state.items()}
