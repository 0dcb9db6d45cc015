"""Linear probes of every node, their control task, and how they are judged."""

from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from scipy.stats import mannwhitneyu

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.figures.layers import auc_by_layer, auc_by_thought, hops_by_thought, selectivity
from workbench.interventions.thoughts import Noise
from workbench.measure.recording import record, record_controls
from workbench.measure.splits import FOLDED, GENERATED
from workbench.measure.statistics import auroc
from workbench.problems.graph import structure
from workbench.problems.sets import generate
from workbench.readings.probes import PROBES, Asked, asked, centred, control, first_tokens, fit_probe, probe_frame

PROBLEMS = generate("released", 15, 3, {3: 1.0}, 18)
TOKENS, NAMES, D = 12, 8, 6


def auc(scores: np.ndarray, asked: Asked, labels: np.ndarray) -> float:
    """Mean over problems of the AUC of the first property."""
    return float(np.nanmean(auroc(scores[..., 0], labels[..., 0], weights=asked.there.astype(float))))


def test_every_concept_but_the_options_is_asked_about_by_its_name() -> None:
    form = tiny().format
    tokens = first_tokens(form, PROBLEMS)
    got = asked(form, PROBLEMS, tokens, 2)

    for row, problem in enumerate(PROBLEMS):
        about = structure(problem)
        expected = {
            problem.names[node]: [bool(about.reachable[node]), bool(about.optimal[node])]
            + [about.hops[node] == hop for hop in (1, 2)]
            for node in np.flatnonzero(about.concepts)
            if node not in problem.options
        }
        names = tiny().tokenizer.convert_ids_to_tokens(tokens[got.there[row]].tolist())
        assert dict(zip(names, got.labels[row][got.there[row]].tolist(), strict=True)) == expected
        assert tiny().tokenizer.convert_ids_to_tokens(int(tokens[got.roots[row]])) == problem.names[problem.root]


def made(n: int, seed: int) -> tuple[np.ndarray, Asked]:
    """States that hold the root's name and, along another direction for each node name, whether it is reachable."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(9)
    roots, there = rng.integers(0, 4, n), rng.random((n, TOKENS)) < 0.7
    labels = (rng.random((n, TOKENS, 1)) < 0.4) & there[:, :, None]
    directions, names = fixed.standard_normal((TOKENS, 40)), fixed.standard_normal((TOKENS, 40))
    states = labels[..., 0] @ directions + 3 * names[roots] + 0.5 * rng.standard_normal((n, 40))
    return states.astype(np.float32), Asked(there, labels, roots)


def test_a_probe_finds_what_is_there_and_the_control_what_can_be_memorised() -> None:
    (states, real), (held, own) = made(600, 0), made(200, 1)
    both = Asked(*(np.concatenate([getattr(real, part), getattr(own, part)]) for part in ("there", "labels", "roots")))
    random = control(both, seed=2)
    probe = fit_probe(states, real.there, real.labels)
    memorising = fit_probe(states, real.there, random[:600])

    assert auc(probe.logits(held), own, own.labels) > 0.95
    # The states hold the root's name, so that names can be memorised, and are, on problems never seen.
    assert auc(memorising.logits(held), own, random[600:]) > 0.9
    # Neither is the other, and a state without anything tells nothing.
    assert abs(auc(memorising.logits(held), own, own.labels) - 0.5) < 0.1
    blank = fit_probe(np.ones_like(states), real.there, real.labels)
    assert np.isfinite(blank.logits(held)).all()
    assert abs(auc(blank.logits(np.ones_like(held)), own, own.labels) - 0.5) < 0.08


def test_a_probe_starts_from_the_lm_head_so_that_few_problems_suffice_for_what_it_shows() -> None:
    (states, real), (held, own) = made(12, 0), made(200, 1)
    rng = np.random.default_rng(3)
    shown = [
        (part.labels[..., 0] + 0.3 * rng.standard_normal(part.there.shape)).astype(np.float32) for part in (real, own)
    ]
    heads = [centred(values, part.there) for values, part in zip(shown, (real, own), strict=True)]
    assert np.where(own.there, heads[1], 0).sum(1) == pytest.approx(0, abs=1e-4)
    without, started = fit_probe(states, real.there, real.labels), fit_probe(states, real.there, real.labels, heads[0])

    assert (
        auc(started.logits(held, heads[1]), own, own.labels) > 0.9 > auc(without.logits(held), own, own.labels) + 0.05
    )
    assert float(started.gain[0]) > 1


def test_the_control_task_is_a_function_of_the_names_at_the_rate_of_the_property() -> None:
    _, real = made(600, 0)
    labels = control(real, seed=2)
    first: dict[tuple[int, int], bool] = {}
    for row, token in zip(*np.nonzero(real.there), strict=True):
        key = int(real.roots[row]), int(token)
        assert first.setdefault(key, labels[row, token, 0]) == labels[row, token, 0]
    assert np.mean(list(first.values())) == pytest.approx(0.4, abs=0.15)
    assert not labels[~real.there].any()
    assert not np.array_equal(labels, control(real, seed=3))


def test_the_fit_is_the_minimum_of_the_penalised_loss() -> None:
    states, real = made(200, 0)
    probe = fit_probe(states, real.there, real.labels, penalty=5.0, steps=200)
    wrong = (1 / (1 + np.exp(-probe.logits(states))) - real.labels) * real.there[:, :, None]
    held = (states - probe.mean.numpy()) / probe.scale
    gradient = np.einsum("nd,nvp->dvp", held, wrong) + 5.0 * probe.weight.numpy()

    assert np.abs(gradient).max() < 0.02
    assert np.abs(wrong.sum(0)).max() < 0.02


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    own = record(tiny(), PROBLEMS)
    noisy = record(own.checkpoint, PROBLEMS, label="noise", interventions=[Noise(at=(2,))])
    return probe_frame([own, *record_controls(own, ["untrained"]), noisy], count=0, steps=4)


def test_a_frame_has_a_row_for_every_problem_property_column_and_layer(frame: pl.DataFrame) -> None:
    assert len(frame) == 3 * 15 * 5 * 4 * 3
    assert set(frame["property"]) == {"reachable", "optimal", "hop 1", "hop 2", "hop 3"}
    assert set(frame["fitted_on"]) == {FOLDED}
    assert frame.filter(pl.col("run") != "model")["control_auc"].is_null().all()
    one = frame.filter((pl.col("run") == "model") & (pl.col("property") == "reachable"))
    # A few graphs have nothing but reachable concepts beside the options.
    expected = [
        0 < about.reachable[nodes].sum() < len(nodes)
        for problem in PROBLEMS
        for about in [structure(problem)]
        for nodes in [[n for n in np.flatnonzero(about.concepts) if n not in problem.options]]
    ]
    there = one.filter((pl.col("column") == 0) & (pl.col("layer") == 0))["auc"].is_not_null()
    assert there.to_list() == expected
    assert one["control_auc"].is_not_null().any()
    assert one["auc"].drop_nulls().is_between(0, 1).all()


def test_the_model_is_held_out_and_interventions_are_read_with_its_probes(frame: pl.DataFrame) -> None:
    key = ["problem", "property", "column", "layer"]
    both = frame.filter(pl.col("run") == "model").join(frame.filter(pl.col("run") == "noise"), on=key)

    assert both.filter(pl.col("column") < 2).select((pl.col("auc") - pl.col("auc_right")).abs().max()).item() < 0.15
    moved = both.filter(pl.col("column") >= 2).select((pl.col("auc") - pl.col("auc_right")).abs().mean()).item()
    assert moved > 0.02


def test_the_lm_head_needs_no_probe(frame: pl.DataFrame) -> None:
    recording = record(tiny(), PROBLEMS)
    problem = PROBLEMS[4]
    about = structure(problem)
    nodes = [n for n in np.flatnonzero(about.concepts) if n not in problem.options]
    for k in (1, 2, 3):  # the last layer of column k - 1 becomes thought k
        values, near = recording.lm_head[4, k - 1, nodes], about.hops[nodes] == 2
        expected = mannwhitneyu(values[near], values[~near]).statistic / (near.sum() * (~near).sum())
        got = frame.filter(
            (pl.col("run") == "model") & (pl.col("problem") == problem.id) & (pl.col("hop") == 2)
            & (pl.col("column") == k - 1) & (pl.col("layer") == 2)
        )  # fmt: skip
        assert got["lm_head_auc"].item() == pytest.approx(expected, abs=1e-6)


def test_problems_can_be_generated_to_fit_on() -> None:
    frame = probe_frame([record(tiny(thoughts=1), PROBLEMS[:4])], count=20, steps=2)

    assert set(frame["fitted_on"]) == {GENERATED}


def test_figures_show_control_task_lm_head_and_chance(frame: pl.DataFrame) -> None:
    lines, hops, layers = (cast(Any, figure) for figure in PROBES.figures(frame))
    names = [line.name for line in lines.data if line.showlegend]

    assert names == [
        "model, probe", "control task (random by names), probe", "model, LM head without a probe",
        "untrained model, probe", "noise of matched norm, probe", "chance",
    ]  # fmt: skip
    assert all(set(line.y) == {0.5} for line in lines.data if line.name == "chance")
    cell = frame.filter(
        (pl.col("run") == "model") & (pl.col("property") == "reachable") & (pl.col("column") == 1)
        & (pl.col("layer") == 2)
    )  # fmt: skip
    assert lines.data[0].y[1] == pytest.approx(cell["auc"].mean())
    heat = layers.data[0]
    (place,) = (i for i, at in enumerate(zip(heat.x, heat.y, strict=True)) if at == (1, 2))
    assert heat.z[place] == pytest.approx(cell["auc"].mean())
    both = cell.filter(pl.col("control_auc").is_not_null())
    assert selectivity(cell).value == pytest.approx((both["auc"] - both["control_auc"]).mean())
    assert f"selectivity {selectivity(cell)}" in heat.customdata[place][4]
    assert len(hops.data) == 3
    for figure in (lines, hops, layers, auc_by_layer(frame, "optimal"), auc_by_thought(frame, 0)):
        assert "chance .5" in cast(Any, figure).layout.meta["alt"]
    assert hops_by_thought(frame, 1).data
    with pytest.raises(WorkbenchError, match="nothing to draw"):
        auc_by_layer(frame, "purple")


def test_a_chain_whose_every_node_is_reachable_has_no_auc() -> None:
    problems = [chain(0, 2), chain(0, 3), chain(0, 4)]
    frame = probe_frame([record(tiny(), problems)], count=0, steps=2)

    assert frame.filter(pl.col("property") == "reachable")["auc"].is_null().all()
