"""What is linearly there in thoughts and residual streams about every node: reachable, optimal, at which hop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from workbench.figures.layers import auc_by_layer, auc_by_thought, hops_by_thought
from workbench.measure.recording import Recording, memoize
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.splits import Split, source_key, sources, splits
from workbench.model.lens import logit_lens
from workbench.readings.base import Reading
from workbench.readings.probe import STEPS, Asked, Probe, asked, auc, centred, control, first_tokens, fit_probe


def probe_frame(
    recordings: Sequence[Recording], count: int | None = None, steps: int = STEPS, seed: int = 0
) -> pl.DataFrame:
    """Fit a probe and its control at every column and layer, and read them on held-out graphs.

    A probe belongs to a model as it is fed: runs of the same model under interventions are read with the probes of its
    run without. The control task is fitted for the model's own run.

    Args:
        recordings: The model's own first, then its controls, or runs under interventions.
        count: Problems to generate to fit on; see `held_out.splits`.
        steps: Of each fit.
        seed: Of the generator and of the control task.

    Returns:
        One row per (run, problem, property, column, layer): property ("reachable", "optimal", "hop 1" ...), hop (null
        but for hops), next_hop (that of the thought the column becomes), auc, control_auc (null but for the model),
        lm_head_auc (the logit lens's log-probability in place of a probe; no fit), fitted_on. AUCs are within a
        problem over its concepts without the two options, chance one half; null where undefined.
    """
    fitted = {key: _fit(source, count, steps, seed) for key, source in sources(recordings).items()}
    return pl.concat([_of_run(recording, fitted[source_key(recording.checkpoint)]) for recording in recordings])


@dataclass(frozen=True)
class _Fitted:
    """What was fitted on one split."""

    split: Split
    tokens: Int[np.ndarray, " vocab"]
    probes: dict[tuple[int, int], tuple[Probe, Probe | None]]
    """By column and layer: the probe, and that of the control task."""
    seen: Bool[np.ndarray, " vocab"]
    """Whether a name was asked about in fitting; nothing can be read of others."""
    own: Asked
    """What is asked of the problems that are read."""
    random: Bool[np.ndarray, "n vocab properties"]
    """Their labels in the control task."""


@memoize
def _fit(recording: Recording, count: int | None, steps: int, seed: int) -> list[_Fitted]:
    form, found = recording.checkpoint.format, []
    for split in splits(recording, count, seed):
        both = [*recording.problems, *split.problems]
        tokens = first_tokens(form, both)
        # All at once: the control task is one function of the names, the same on both sides.
        every = asked(form, both, tokens, recording.count)
        random, n = control(every, seed), len(recording.problems)
        there, probes = every.there[n:], {}
        said = _said(recording, split.residual, tokens)
        for column, layer in np.ndindex(split.residual.shape[1:3]):
            states, head = split.residual[:, column, layer], centred(said[:, column, layer], there)
            probe = fit_probe(states, there, every.labels[n:], head, steps=steps)
            memorising = None
            if recording.label == MODEL:
                memorising = fit_probe(states, there, random[n:], head, steps=steps)
            probes[column, layer] = probe, memorising
        own = Asked(every.there[:n], every.labels[:n], every.roots[:n])
        seen = np.asarray(there.any(axis=0))
        found.append(_Fitted(split, tokens, probes, seen, own, random[:n]))
    return found


def _of_run(recording: Recording, fitted: list[_Fitted]) -> pl.DataFrame:
    n, columns, residual_streams = len(recording.problems), recording.count + 1, recording.residual.shape[2]
    real = np.full((columns, residual_streams, n, 2 + recording.count), np.nan)
    memorised, head, source = real.copy(), real.copy(), np.empty(n, dtype=object)
    for part in fitted:
        rows, own = part.split.rows, part.own
        there, labels = own.there[rows] & part.seen, own.labels[rows]
        source[rows] = part.split.source
        said = _said(recording, recording.residual[rows, :columns], part.tokens)
        for (column, layer), (probe, memorising) in part.probes.items():
            states = recording.residual[rows, column, layer]
            raw = centred(said[:, column, layer], own.there[rows])
            real[column, layer, rows] = _aucs(probe.logits(states, raw), there, labels)
            head[column, layer, rows] = _aucs(np.broadcast_to(raw[..., None], labels.shape), there, labels)
            if memorising is not None and recording.label == MODEL:
                memorised[column, layer, rows] = _aucs(memorising.logits(states, raw), there, part.random[rows])
    return _frame(recording, real, memorised, head, source)


def _said(
    recording: Recording, residual: Float[np.ndarray, "n columns streams d"], tokens: Int[np.ndarray, " vocab"]
) -> Float[np.ndarray, "n columns streams vocab"]:
    """Return the logit lens's log-probabilities of the first tokens of names, layer by layer: of all it is too much."""
    layers = range(residual.shape[2])
    model = recording.checkpoint.model
    return np.stack([logit_lens(model, residual[:, :, layer])[..., tokens].float().numpy() for layer in layers], 2)


def _aucs(
    scores: Float[np.ndarray, "n vocab properties"],
    there: Bool[np.ndarray, "n vocab"],
    labels: Bool[np.ndarray, "n vocab properties"],
) -> Float[np.ndarray, "n properties"]:
    return np.stack([auc(scores[..., i], there, labels[..., i]) for i in range(scores.shape[2])], axis=1)


def _frame(
    recording: Recording, real: np.ndarray, memorised: np.ndarray, head: np.ndarray, source: np.ndarray
) -> pl.DataFrame:
    columns, properties = len(real), real.shape[-1]
    names = ["reachable", "optimal", *(f"hop {hop}" for hop in range(1, properties - 1))]
    column, layer, row, place = (part.ravel() for part in np.indices(real.shape))
    trace = recording.traces[0]
    ids = np.array([problem.id for problem in recording.problems], dtype=object)
    return pl.DataFrame(
        {
            RUN: pl.Series([recording.label] * real.size, dtype=pl.String),
            "problem": pl.Series(ids[row], dtype=pl.String),
            "property": pl.Series(np.array(names, dtype=object)[place], dtype=pl.String),
            "hop": pl.Series([int(p) - 1 if p > 1 else None for p in place], dtype=pl.Int16),
            "column": pl.Series(column, dtype=pl.Int16),
            "layer": pl.Series(layer, dtype=pl.Int16),
            "next_hop": pl.Series(np.array([trace.hop(k + 1) for k in range(columns)])[column], dtype=pl.Int16),
            "auc": real.ravel(),
            "control_auc": memorised.ravel(),
            "lm_head_auc": head.ravel(),
            "fitted_on": pl.Series(source[row], dtype=pl.String),
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))


READING = Reading(
    name="probes",
    title="Linear probes",
    question="What can be read linearly of every node from thoughts and layers, beyond what the LM head shows?",
    source="Hewitt & Liang, arXiv 1909.03368 (control tasks, selectivity); Alain & Bengio, arXiv 1610.01644",
    chance="AUC within a problem: one half; what could be memorised of names: the control task",
    schema=1,
    frame=probe_frame,
    figures=lambda frame: [auc_by_thought(frame), hops_by_thought(frame), auc_by_layer(frame)],
)
