"""The tuned lens: an affine translator for each layer, so that the LM head can read what the layer writes.

Belrose et al., Eliciting Latent Predictions from Transformers with the Tuned Lens, arXiv 2303.08112, section 3.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from workbench.errors import WorkbenchError
from workbench.files import replacing
from workbench.measure.provenance import checkpoint_digest
from workbench.model.checkpoint import Checkpoint
from workbench.model.lens import decode

SCHEMA = "1"
STEPS = 300
BATCH = 256
"""Residual vectors in a step, of all layers at once."""
RATE = 1e-3


@dataclass(frozen=True)
class TunedLens:
    """Translators of the layers 0 to L - 1: h becomes h + weight h + bias, and at zero the lens is the logit lens."""

    weight: Float[Tensor, "L d d"]
    """How far the matrix is from the identity; the last axis is that of the input."""
    bias: Float[Tensor, "L d"]
    checkpoint: str
    """Digest of the checkpoint it was fitted on."""

    def translate(self, residual: Float[Tensor, "*rows d"], layer: int) -> Float[Tensor, "*rows d"]:
        """Return what the final norm is given in place of the residual stream; the last layer's stays as it is."""
        if layer == len(self.weight):
            return residual
        return residual + residual @ self.weight[layer].T + self.bias[layer]

    @torch.inference_mode()
    def log_probabilities(
        self, checkpoint: Checkpoint, residual: Float[np.ndarray, "n columns d"], layer: int, batch_size: int = 64
    ) -> Float[Tensor, "n columns vocab"]:
        """Return the log-probabilities that the lens reads at a layer."""
        model = checkpoint.model
        held = torch.from_numpy(residual).to(model.device).split(batch_size)
        return torch.cat([decode(model, self.translate(part, layer).to(model.dtype)).cpu() for part in held])


def fit_lens(
    checkpoint: Checkpoint, residual: Float[np.ndarray, "n columns streams d"], steps: int = STEPS, seed: int = 0
) -> TunedLens:
    """Fit a tuned lens: from the identity, minimise KL(final distribution || lens) over all columns by Adam.

    Args:
        checkpoint: Whose norm and LM head are used; they are not changed.
        residual: Residual stream of problems other than those it will be read on.
        steps: Of Adam, the rate falling to zero.
        seed: Of the batches.
    """
    model = checkpoint.model
    vectors = torch.from_numpy(residual).flatten(0, 1).transpose(0, 1).to(model.device)  # streams, vectors, d
    layers, width = len(vectors) - 1, vectors.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        weight = torch.zeros(layers, width, width, device=model.device, requires_grad=True)
        bias = torch.zeros(layers, width, device=model.device, requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], lr=RATE)
        for step in range(steps):
            chosen = torch.randint(vectors.shape[1], (min(BATCH, vectors.shape[1]),), generator=generator)
            batch = vectors[:, chosen.to(model.device)]
            with torch.no_grad():
                final = decode(model, batch[-1].to(model.dtype))
            translated = batch[:-1] + torch.baddbmm(bias[:, None], batch[:-1], weight.transpose(1, 2))
            read = decode(model, translated.to(model.dtype))
            loss = F.kl_div(read, final.expand_as(read), log_target=True, reduction="sum") / len(chosen)
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
            weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])  # the model's own weights get none
            optimizer.step()
    return TunedLens(weight.detach(), bias.detach(), checkpoint_digest(checkpoint))


def save_lens(lens: TunedLens, file: Path) -> None:
    """Write a lens as safetensors."""
    tensors = {"weight": lens.weight.cpu().contiguous(), "bias": lens.bias.cpu().contiguous()}
    with replacing(file) as part:
        save_file(tensors, part, {"schema": SCHEMA, "checkpoint": lens.checkpoint})


def load_lens(file: Path, checkpoint: Checkpoint) -> TunedLens:
    """Read a lens and check that it belongs to the checkpoint.

    Raises:
        WorkbenchError: The file is damaged, of another kind, or was fitted on another checkpoint.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            about, names = opened.metadata() or {}, opened.keys()
            tensors = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise WorkbenchError(f"{file} cannot be read.", str(error), "Fit the lens again.") from error
    config = checkpoint.model.config
    layers, width = config.num_hidden_layers, config.hidden_size
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if about.get("schema") != SCHEMA or shapes != {"weight": (layers, width, width), "bias": (layers, width)}:
        raise WorkbenchError(
            f"{file} is no tuned lens of {checkpoint.name}.",
            f"It should hold a weight [{layers}, {width}, {width}] and a bias; it holds {shapes}.",
            "Fit the lens again.",
        )
    if about.get("checkpoint") != checkpoint_digest(checkpoint):
        raise WorkbenchError(
            f"{file} belongs to another checkpoint than {checkpoint.name}.",
            "It was fitted on other weights, and the layers of two models have nothing in common.",
            "Fit the lens again.",
        )
    return TunedLens(tensors["weight"], tensors["bias"], about["checkpoint"])
