"""What the LM head would say at every layer of every thought: the logit lens, unadjusted, and a tuned lens.

The last layer of column k becomes thought k + 1, which speaks of hop k + 1; layer 0 is what was fed, thought k, which
speaks of hop k. So in a model that walks the graph a hop a thought, mass moves from hop k to hop k + 1 on the way up.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.figures.layers import divergence_by_layer, mass_by_layer
from workbench.measure.recording import Recording, memoize
from workbench.measure.run_labels import RUN
from workbench.measure.splits import source_key, sources, splits
from workbench.model.lens import logit_lens
from workbench.readings.base import Reading
from workbench.readings.tuned_lens import STEPS, TunedLens, fit_lens

RAW, TUNED = "raw logit lens (unadjusted)", "tuned lens"

Fitted = Sequence[tuple[Int[np.ndarray, "_"], TunedLens]]
"""Tuned lenses, each with the numbers of a recording's problems that it may read."""


def lens_frame(
    recordings: Sequence[Recording],
    count: int | None = None,
    steps: int = STEPS,
    seed: int = 0,
) -> pl.DataFrame:
    """Read both lenses at every layer and column.

    A tuned lens belongs to a model as it is fed. It is fitted on its run without interventions (`held_out.splits`), and
    runs under interventions are read with the same translators.

    Args:
        recordings: The model's own first, then its controls, or runs under interventions.
        count: Problems to generate for the tuned lens; see `held_out.splits`.
        steps: Of its training.
        seed: Of its training.

    Returns:
        One row per (run, lens, problem, column, layer): fed_hop and next_hop (k and k + 1; null where no thought was
        fed), mass_fed and mass_next (raw, on the frontier at those hops; null where it is empty) and their chance
        (frontier / concepts), kl (bits, final layer from this one) and kl_chance (the final layer from a uniform
        guess over the vocabulary), top_token and top_probability.
    """
    fitted: dict[tuple[int, str], Fitted] = {}
    for key, source in sources(recordings).items():
        fitted[key] = _fit(source, count, steps, seed)
    return pl.concat([read_lenses(recording, fitted[source_key(recording.checkpoint)]) for recording in recordings])


@memoize
def _fit(recording: Recording, count: int | None, steps: int, seed: int) -> Fitted:
    checkpoint = recording.checkpoint
    return [(split.rows, fit_lens(checkpoint, split.residual, steps, seed)) for split in splits(recording, count, seed)]


def for_all(lens: TunedLens, count: int) -> Fitted:
    """Let one lens read all of so many problems: none of them may be among those it is fitted on."""
    return [(np.arange(count), lens)]


def read_lenses(recording: Recording, fitted: Fitted) -> pl.DataFrame:
    """Read a recording with lenses fitted before: the rows of `lens_frame`, those of the logit lens alone without any.

    Args:
        recording: What to read.
        fitted: Tuned lenses that read each of its problems once; or none.
    """
    model, columns = recording.checkpoint.model, recording.count + 1
    residual = recording.residual[:, :columns]
    layers = residual.shape[2] - 1
    final = logit_lens(model, residual[:, :, layers])
    numbers = _Numbers(recording, final)
    parts = []
    for layer in range(layers + 1):
        parts.append(numbers.frame(RAW, layer, logit_lens(model, residual[:, :, layer])))
        if not fitted:
            continue
        tuned = torch.empty_like(final)
        for rows, lens in fitted:
            held = lens.log_probabilities(recording.checkpoint, residual[rows][:, :, layer], layer)
            tuned[torch.from_numpy(rows)] = held
        parts.append(numbers.frame(TUNED, layer, tuned))
    return pl.concat(parts)


class _Numbers:
    """What is read of log-probabilities, given what does not change with layer and lens."""

    def __init__(self, recording: Recording, final: Float[Tensor, "n columns vocab"]) -> None:
        self.recording, self.final, self.columns = recording, final, recording.count + 1
        trace = recording.traces[0]
        self.fed = [trace.hop(k) for k in range(self.columns)]
        self.next = [trace.hop(k + 1) for k in range(self.columns)]
        tokens = recording.first_tokens
        same = (tokens[:, :, None] == tokens[:, None, :]) & recording.is_node[:, None, :]
        self.shared = np.maximum(same.sum(2), 1)  # as in `Trace.lm_head`: a shared first token is divided
        self.tokens = torch.from_numpy(np.where(recording.is_node, tokens, 0))
        form = recording.checkpoint.format
        self.names = [form.token_names(prompt) for prompt in form.prompts(recording.problems)]
        self.text: dict[int, str] = {}

    def frame(self, lens: str, layer: int, said: Float[Tensor, "n columns vocab"]) -> pl.DataFrame:
        n, columns = said.shape[:2]
        index = self.tokens[:, None].expand(-1, columns, -1)
        nodes = said.gather(2, index).exp().double().numpy() / self.shared[:, None]
        bits = 1 / np.log(2)
        kl = (self.final.exp() * (self.final - said)).sum(-1).double().numpy() * bits
        blind = (np.log(said.shape[2]) + (self.final.exp() * self.final).sum(-1).double().numpy()) * bits
        best = said.max(-1)
        mass_fed, chance_fed = self._mass(nodes, self.fed)
        mass_next, chance_next = self._mass(nodes, self.next)
        ids = np.array([problem.id for problem in self.recording.problems], dtype=object)

        def over(values: Sequence[int | None]) -> list[int | None]:
            return list(values) * n

        return pl.DataFrame(
            {
                RUN: pl.Series([self.recording.label] * (n * columns), dtype=pl.String),
                "lens": pl.Series([lens] * (n * columns), dtype=pl.String),
                "problem": pl.Series(np.repeat(ids, columns), dtype=pl.String),
                "column": pl.Series(over(range(columns)), dtype=pl.Int16),
                "layer": pl.Series([layer] * (n * columns), dtype=pl.Int16),
                "fed_hop": pl.Series(over([hop or None for hop in self.fed]), dtype=pl.Int16),
                "next_hop": pl.Series(over(self.next), dtype=pl.Int16),
                "mass_fed": mass_fed.ravel(),
                "mass_fed_chance": chance_fed.ravel(),
                "mass_next": mass_next.ravel(),
                "mass_next_chance": chance_next.ravel(),
                "kl": np.maximum(kl, 0).ravel(),  # below zero by rounding only
                "kl_chance": blind.ravel(),
                "top_token": pl.Series(self._texts(best.indices.numpy()), dtype=pl.String),
                "top_probability": best.values.exp().double().numpy().ravel(),
            }
        ).with_columns(pl.col(pl.Float64).fill_nan(None))

    def _mass(
        self, nodes: Float[np.ndarray, "n columns nodes"], hops: list[int]
    ) -> tuple[Float[np.ndarray, "n columns"], Float[np.ndarray, "n columns"]]:
        """Return raw mass on the frontiers and its chance; nan where there is none, and at hop 0, the root."""
        recording = self.recording
        frontier = recording.hops[:, None] == np.array(hops)[:, None]
        there = np.where(frontier.any(2) & (np.array(hops) > 0), 0.0, np.nan)
        chance = frontier.sum(2) / recording.is_concept.sum(1)[:, None]
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


READING = Reading(
    name="lens_layers",
    title="Lens over layers and thoughts",
    question="At which layer does a thought's column turn from the hop it was fed to the next one?",
    source="Logit lens: nostalgebraist 2020; tuned lens: Belrose et al., arXiv 2303.08112, section 3",
    chance="Uniform over the problem's concepts (mass); a uniform guess over the vocabulary (KL)",
    schema=1,
    frame=lens_frame,
    figures=lambda frame: [mass_by_layer(frame, TUNED), mass_by_layer(frame, RAW), divergence_by_layer(frame)],
)
