"""Logit lens, tuned lens, and what they are fitted on."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch

from tests.conftest import FAMILIES, chain, tiny
from workbench.errors import WorkbenchError
from workbench.figures.layers import divergence_by_layer, mass_by_layer, problem_lens
from workbench.interventions.thoughts import Noise
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.splits import FOLDED, GENERATED, alike, folds, graph_key, others, splits
from workbench.model.checkpoint import Checkpoint
from workbench.model.lens import final_norm, logit_lens, residual_streams
from workbench.problems.graph import structure
from workbench.problems.sets import generate
from workbench.readings.lenses import LENS_LAYERS, RAW, TUNED, TunedLens, fit_lens, lens_frame, read_lenses

PROBLEMS = [chain(0, 2), chain(1, 4), chain(2, 3)]
K = 3


@pytest.fixture(scope="module")
def own() -> Recording:
    return record(tiny(), PROBLEMS)


@pytest.fixture(scope="module")
def frame(own: Recording) -> pl.DataFrame:
    noisy = record(own.checkpoint, PROBLEMS, label="noise", interventions=[Noise(at=(2,))])
    return lens_frame([own, noisy], count=0, steps=3)


@pytest.mark.parametrize("family", FAMILIES)
def test_at_the_last_layer_the_logit_lens_is_what_the_model_says(family: str) -> None:
    checkpoint = tiny(family)
    norm = final_norm(checkpoint.model)
    with torch.no_grad():
        for parameter in norm.parameters():  # gain and bias that matter
            parameter.copy_(torch.linspace(0.5, 2, len(parameter)))
    recording = record(checkpoint, PROBLEMS, K)
    said = logit_lens(checkpoint.model, recording.residual[:, :K, -1]).exp().numpy()

    for row, trace in enumerate(recording.traces):
        tokens = recording.first_tokens[row, : len(trace.graph_problem.names)]
        np.testing.assert_allclose(said[row][:, tokens], trace.lm_head, atol=1e-5)


def test_a_model_whose_final_norm_is_not_known_is_refused(tiny_checkpoint: Checkpoint) -> None:
    del tiny_checkpoint.model.base_model.norm
    with pytest.raises(WorkbenchError, match="final norm of Qwen2ForCausalLM is not known"):
        final_norm(tiny_checkpoint.model)


@pytest.mark.parametrize("fed", ["hidden", "pause"])
def test_streams_are_those_of_a_recording(fed: str) -> None:
    checkpoint = replace(tiny("gpt2"), fed=fed)
    expected = record(checkpoint, PROBLEMS, K).residual[:, : K + 1]

    done: list[int] = []
    held = residual_streams(checkpoint, PROBLEMS, K, batch_size=2, on_progress=done.append)
    np.testing.assert_allclose(held, expected, atol=1e-4)
    assert done == [2, 1]


def test_a_tuned_lens_begins_as_the_logit_lens_and_comes_closer_to_the_last_layer(own: Recording) -> None:
    residual, model = own.residual[:, : K + 1], own.checkpoint.model
    final = logit_lens(model, residual[:, :, -1])

    def distance(lens: TunedLens) -> float:
        said = lens.log_probabilities(own.checkpoint, residual[:, :, 0], 0)
        return float((final.exp() * (final - said)).sum(-1).mean())

    start, end = fit_lens(own.checkpoint, residual, steps=0), fit_lens(own.checkpoint, residual, steps=60)

    torch.testing.assert_close(
        start.log_probabilities(own.checkpoint, residual[:, :, 1], 1), logit_lens(model, residual[:, :, 1])
    )
    assert distance(end) < 0.5 * distance(start)
    torch.testing.assert_close(end.log_probabilities(own.checkpoint, residual[:, :, 2], 2), final)
    assert all(parameter.grad is None for parameter in model.parameters())
    again = fit_lens(own.checkpoint, residual, steps=60)
    assert torch.equal(again.weight, end.weight)


def test_a_frame_holds_masses_and_chance_of_the_hop_fed_and_the_next(own: Recording, frame: pl.DataFrame) -> None:
    for (lens, name, column, layer), rows in frame.filter(pl.col("run") == "model").group_by(
        "lens", "problem", "column", "layer"
    ):
        row = next(i for i, problem in enumerate(PROBLEMS) if problem.id == name)
        about, problem = structure(PROBLEMS[row]), PROBLEMS[row]
        (got,) = rows.to_dicts()
        for side, hop in (("fed", column), ("next", column + 1)):
            on = np.flatnonzero(about.hops == hop)
            if hop == 0 or len(on) == 0:
                assert got[f"mass_{side}"] is None
                continue
            assert got[f"mass_{side}_chance"] == pytest.approx(len(on) / about.concepts.sum())
            if lens == RAW:
                said = logit_lens(own.checkpoint.model, own.residual[row : row + 1, :, layer])[0, column].exp()
                ids = own.checkpoint.tokenizer.convert_tokens_to_ids([problem.names[node] for node in on])
                assert got[f"mass_{side}"] == pytest.approx(float(said[ids].sum()), abs=1e-6)
                assert got["top_probability"] == pytest.approx(float(said.max()), abs=1e-6)
                assert own.checkpoint.tokenizer.convert_tokens_to_ids(got["top_token"]) == int(said.argmax())
        if layer == 2:
            assert got["kl"] == pytest.approx(0, abs=1e-5)
        else:
            assert got["kl"] > 0.01


def test_a_lens_fitted_before_reads_one_problem_as_the_whole_set(own: Recording) -> None:
    lens = fit_lens(own.checkpoint, own.residual[:, : K + 1], steps=2)
    whole = read_lenses(own, [(np.arange(3), lens)])
    one = read_lenses(record(own.checkpoint, PROBLEMS[1:2]), [(np.arange(1), lens)])

    alone = whole.filter(pl.col("problem") == PROBLEMS[1].id)
    assert one["top_token"].to_list() == alone["top_token"].to_list()
    np.testing.assert_allclose(one["top_probability"], alone["top_probability"], atol=1e-4)
    assert read_lenses(own, [])["lens"].unique().to_list() == [RAW]


@pytest.mark.parametrize("lens", [RAW, TUNED])
def test_both_lenses_see_an_intervention_from_its_thought_on_and_not_before(frame: pl.DataFrame, lens: str) -> None:
    rows = frame.filter(pl.col("lens") == lens)
    key = ["problem", "column", "layer"]
    both = rows.filter(pl.col("run") == "model").join(rows.filter(pl.col("run") == "noise"), on=key)
    moved = both.with_columns(d=(pl.col("top_probability") - pl.col("top_probability_right")).abs())

    assert moved.filter(pl.col("column") < 2)["d"].max() < 1e-4  # type: ignore[operator]
    assert (moved.group_by("column").agg(pl.col("d").max()).filter(pl.col("column") >= 2)["d"] > 1e-3).all()


def test_what_is_fitted_on_shares_no_graph_with_what_is_read() -> None:
    problems = generate("balanced", 12, 3, {3: 1.0}, 18)
    recording = record(tiny(), problems)
    for found, source in ((splits(recording, 0), FOLDED), (splits(recording, 8), GENERATED)):
        assert sorted(np.concatenate([split.rows for split in found]).tolist()) == list(range(12))
        for split in found:
            assert split.source == source
            assert not {graph_key(p) for p in split.problems} & {graph_key(problems[row]) for row in split.rows}
            assert split.residual.shape == (len(split.problems), K + 1, 3, 32)
    for count, source in ((0, FOLDED), (8, GENERATED)):
        apart, said = others(tiny(), problems, problems[3], count)
        assert said == source
        assert len(apart) >= 6
        assert graph_key(problems[3]) not in {graph_key(problem) for problem in apart}
    assert folds(problems)[::2].tolist() == folds(problems)[1::2].tolist()  # twins
    made = alike(problems, 8)
    assert {structure(problem).length for problem in made} == {3}
    assert graph_key(made[0]) == graph_key(made[1])
    with pytest.raises(WorkbenchError, match="share one graph"):
        folds(problems[:2])


def test_figures_show_the_model_and_its_controls_beside_chance(own: Recording) -> None:
    frame = lens_frame([own, *record_controls(own, ["untrained"])], count=0, steps=1)
    tuned, raw, distance = LENS_LAYERS.figures(frame)

    assert len(tuned.data) == 4
    assert {"model: hop of the thought fed", "untrained model: hop of the next thought"} < {
        note.text for note in raw.layout.annotations
    }
    rows = frame.filter((pl.col("run") == "model") & (pl.col("lens") == TUNED) & pl.col("mass_next").is_not_null())
    heat = tuned.data[1]
    cell = [i for i, (x, y) in enumerate(zip(heat.x, heat.y, strict=True)) if (x, y) == (1, 2)]
    here = rows.filter((pl.col("column") == 1) & (pl.col("layer") == 2))
    assert heat.z[cell[0]] == pytest.approx(here["mass_next"].mean())
    assert heat.customdata[cell[0]][3] == pytest.approx(here["mass_next_chance"].mean())
    assert len(distance.data) == 5  # two lenses of two runs, and chance
    assert "chance" in distance.data[-1].name
    one = problem_lens(frame, PROBLEMS[1].id, TUNED)
    heat = cast(Any, one.data[1])
    assert heat.customdata[0][0] == PROBLEMS[1].id
    assert {text.split("<br>")[0] for text in heat.text} <= set(frame["top_token"])
    assert all(
        (f"({mass[2]:.2f})".replace("0.", ".") in text) == (mass[2] == mass[2])
        for text, mass in zip(heat.text, heat.customdata, strict=True)
    )
    for made in (tuned, raw, distance, one, divergence_by_layer(frame), mass_by_layer(frame, RAW)):
        assert made["layout"]["meta"]["alt"]
    with pytest.raises(WorkbenchError, match="nothing to draw"):
        problem_lens(frame, "none", TUNED)
