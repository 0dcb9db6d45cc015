"""What the LM head would say at every layer of every thought: the logit lens and a tuned lens.

The last layer of column k becomes thought k + 1, which stands for hop k + 1; layer 0 is what was fed, thought k, which
stands for hop k. So in a model that walks the graph a hop a thought, mass moves from hop k to hop k + 1 on the way up.

The tuned lens is an affine translator for each layer, so that the LM head can read what the layer writes (Belrose et
al., Eliciting Latent Predictions from Transformers with the Tuned Lens, arXiv 2303.08112, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from workbench.figures.layers import divergence_by_layer, mass_by_layer
from workbench.measure.recording import Recording, memoize
from workbench.measure.splits import source_key, source_rows, sources, splits
from workbench.model.checkpoint import Checkpoint
from workbench.model.lens import decode, logit_lens
from workbench.readings.base import Reading, rows

RAW, TUNED = "raw logit lens (unadjusted)", "tuned lens"
STEPS = 300
"""Of the tuned lens's training."""
BATCH = 256
"""Residual vectors in a step, of all layers at once."""
RATE = 1e-3


@dataclass(frozen=True)
class TunedLens:
    """Translators of the layers 0 to L - 1: h becomes h + weight h + bias, and at zero the lens is the logit lens."""

    weight: Float[Tensor, "L d d"]
    """How far the matrix is from the identity; the last axis is that of the input."""
    bias: Float[Tensor, "L d"]

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
    return TunedLens(weight.detach(), bias.detach())


Fitted = Sequence[tuple[Int[np.ndarray, "_"], TunedLens]]
"""Tuned lenses, each with the numbers of a recording's problems that it may read."""


def lens_frame(
    recordings: Sequence[Recording], count: int | None = None, steps: int = STEPS, seed: int = 0
) -> pl.DataFrame:
    """Read both lenses at every layer and column.

    A tuned lens belongs to a model as it is fed. It is fitted on its run without interventions (`splits.splits`), and
    runs under interventions are read with the same translators.

    Args:
        recordings: The model's own first, then its controls, or runs under interventions.
        count: Problems to generate for the tuned lens; see `splits.splits`.
        steps: Of its training.
        seed: Of its training.

    Returns:
        One row per (run, lens, problem, column, layer): fed_hop and next_hop (k and k + 1; null where no thought was
        fed), mass_fed and mass_next (raw, on the frontier at those hops; null where it is empty) and their chance
        (frontier / concepts), kl (bits, final layer from this one) and kl_chance (the final layer from a uniform
        guess over the vocabulary), top_token and top_probability.
    """
    found, frames = sources(recordings), []
    for recording in recordings:
        source = found[source_key(recording.checkpoint)]
        place, fitted = source_rows(recording, source), _fit(source, count, steps, seed)
        frames.append(read_lenses(recording, [(np.flatnonzero(np.isin(place, held)), lens) for held, lens in fitted]))
    return pl.concat(frames)


@memoize
def _fit(recording: Recording, count: int | None, steps: int, seed: int) -> Fitted:
    checkpoint = recording.checkpoint
    return [(split.rows, fit_lens(checkpoint, split.residual, steps, seed)) for split in splits(recording, count, seed)]


def for_all(lens: TunedLens, count: int) -> Fitted:
    """Let one lens read all of so many problems: none of them may be among those it is fitted on."""
    return [(np.arange(count), lens)]


def read_lenses(recording: Recording, fitted: Fitted) -> pl.DataFrame:
    """Read a recording with fitted lenses: the rows of `lens_frame`, or those of the logit lens alone without any.

    Args:
        recording: What to read.
        fitted: Tuned lenses that read each of its problems once; or none.
    """
    model, residual = recording.checkpoint.model, recording.residual[:, : recording.count + 1]
    layers = residual.shape[2] - 1
    final = logit_lens(model, residual[:, :, layers])
    numbers, parts = _Numbers(recording, final), []
    for layer in range(layers + 1):
        parts.append(numbers.frame(RAW, layer, logit_lens(model, residual[:, :, layer])))
        if not fitted:
            continue
        tuned = torch.empty_like(final)
        for held, lens in fitted:
            said = lens.log_probabilities(recording.checkpoint, residual[held][:, :, layer], layer)
            tuned[torch.from_numpy(held)] = said
        parts.append(numbers.frame(TUNED, layer, tuned))
    return pl.concat(parts)


class _Numbers:
    """What is read of log-probabilities, given what does not change with layer and lens."""

    def __init__(self, recording: Recording, final: Float[Tensor, "n columns vocab"]) -> None:
        self.recording, self.final = recording, final
        self.hops = np.array([recording.traces[0].hop(k) for k in range(recording.count + 2)])
        tokens = recording.first_tokens
        same = (tokens[:, :, None] == tokens[:, None, :]) & recording.is_node[:, None, :]
        self.shared = np.maximum(same.sum(2), 1)  # as in `Trace.lm_head`: a shared first token is divided
        self.tokens = torch.from_numpy(np.where(recording.is_node, tokens, 0))
        form = recording.checkpoint.format
        self.names = [form.token_names(prompt) for prompt in form.prompts(recording.problems)]
        self.text: dict[int, str] = {}

    def frame(self, lens: str, layer: int, said: Float[Tensor, "n columns vocab"]) -> pl.DataFrame:
        shape, final = said.shape[:2], self.final
        nodes = said.gather(2, self.tokens[:, None].expand(-1, shape[1], -1)).exp().double().numpy()
        bits = 1 / np.log(2)
        kl = (final.exp() * (final - said)).sum(-1).double().numpy() * bits
        best = said.max(-1)
        at, column = (axis.ravel() for axis in np.indices(shape))
        fed, following = self.hops[:-1], self.hops[1:]
        mass_fed, chance_fed = self._mass(nodes / self.shared[:, None], fed)
        mass_next, chance_next = self._mass(nodes / self.shared[:, None], following)
        columns = {
            "lens": lens,
            "column": column,
            "layer": layer,
            "fed_hop": np.where(fed > 0, fed, -1)[column],
            "next_hop": following[column],
            "mass_fed": mass_fed,
            "mass_fed_chance": chance_fed,
            "mass_next": mass_next,
            "mass_next_chance": chance_next,
            "kl": np.maximum(kl, 0),  # below zero by rounding only
            "kl_chance": (np.log(said.shape[2]) + (final.exp() * final).sum(-1).double().numpy()) * bits,
            "top_token": self._texts(best.indices.numpy()),
            "top_probability": best.values.exp().double().numpy(),
        }
        table = rows(self.recording, at, columns)
        return table.select("run", "lens", pl.exclude("run", "lens"))

    def _mass(
        self, nodes: Float[np.ndarray, "n columns nodes"], hops: Int[np.ndarray, " columns"]
    ) -> tuple[Float[np.ndarray, "n columns"], Float[np.ndarray, "n columns"]]:
        """Return raw mass on the frontiers and its chance; nan where there is none, and at hop 0, the root."""
        frontier = self.recording.hops[:, None] == hops[:, None]
        there = np.where(frontier.any(2) & (hops > 0), 0.0, np.nan)
        chance = frontier.sum(2) / self.recording.is_concept.sum(1)[:, None]
        return np.where(frontier, nodes, 0).sum(2) + there, chance + there

    def _texts(self, ids: Int[np.ndarray, "n columns"]) -> list[str]:
        tokenizer = self.recording.checkpoint.tokenizer
        for number in set(ids.ravel().tolist()) - self.text.keys():
            self.text[number] = str(tokenizer.decode([number], clean_up_tokenization_spaces=False))
        return [
            own.get(number) or self.text[number]
            for own, row in zip(self.names, ids.tolist(), strict=True)
            for number in row
        ]


LENS_LAYERS = Reading(
    name="lens_layers",
    title="Lens over layers and thoughts",
    question="At which layer does a thought's column turn from the hop it was fed to the next one?",
    source="Logit lens: nostalgebraist 2020; tuned lens: Belrose et al., arXiv 2303.08112, section 3",
    chance="Uniform over the problem's concepts (mass); a uniform guess over the vocabulary (KL)",
    schema=1,
    frame=lens_frame,
    figures=lambda frame: [mass_by_layer(frame, TUNED), mass_by_layer(frame, RAW), divergence_by_layer(frame)],
)
