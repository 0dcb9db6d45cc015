"""Variants of a training: the runs a suite means, what is measured of them, the verdicts and the page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conftest import tiny
from tests.studies.test_compare_suite import make_all
from tests.train.test_training import TINY
from workbench.errors import WorkbenchError
from workbench.measure.trace import answers, run
from workbench.problems.files import save_problems
from workbench.problems.sets import generate
from workbench.studies.compare import samples
from workbench.studies.compare.jobs import keep, plan
from workbench.studies.compare.samples import SAMPLES, sampled_right, samples_frame
from workbench.studies.compare.suite import (
    Contrast,
    Suite,
    SuiteTask,
    Variant,
    chosen_runs,
    load_suite,
    plan_runs,
    plan_starts,
)
from workbench.studies.compare.thoughts import thoughts_frame
from workbench.studies.compare.variants import NOISE, PASS_ANY, Row, chance_of, gain, judge_all, report
from workbench.train.config import save_config

SUITE = """
name: tiny
page: variants
title: What does a reward add?
tasks:
  - name: prosqa
    base: base.yaml
    starts: {words: start.yaml}
    seeds: {default: 1, rewarded: 2}
    variants:
      before: {config: {start: words, learning_rate: 0.0, steps: 1, decay_from: 1}}
      rewarded: {less: before, config: {start: words, objective: grpo, reward: {group: 2}, rows: {batch: 2}}}
      valued:
        less: before
        config:
          start: words
          objective: latent_value
          reward: {group: 2, head: {width: 4, steps: 2}}
          rows: {batch: 2}
      labelled: {less: before, config: {start: words, curriculum: {thoughts_per_step: 2}}}
    contrasts:
      - {says: A reward helps, first: rewarded, relation: more, second: before}
    problems: {few: few.json}
"""


def write_suite(folder: Path, text: str = SUITE) -> Path:
    small = replace(TINY, method="coconut_words", steps=4, decay_from=2, watched=2, evaluate_every=2, precision="fp32")
    save_config(small, folder / "base.yaml")
    save_config(small, folder / "start.yaml")
    save_problems(generate("released", 4, seed=5), folder / "few.json")
    (folder / "suite.yaml").write_text(text)
    return folder / "suite.yaml"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    """Train the start, then the first seed of every variant, and measure them."""
    folder = tmp_path_factory.mktemp("rewards")
    suite, out = load_suite(write_suite(folder)), folder / "out"
    first = [one for one in plan_runs(suite, out) if one.seed == TINY.seed]
    make_all([*plan_starts(suite, out), *first], out, "variants")
    return suite, out


def test_kept_results_give_the_same_page_without_weights_and_the_rest_goes_on(
    done: tuple[Suite, Path], tmp_path: Path
) -> None:
    suite, out = done
    kept = tmp_path / "kept"
    assert keep(suite, out, kept) == 4
    assert not [path for path in kept.rglob("*.safetensors") if "starts" not in path.parts]
    assert not [path for path in kept.rglob("tokenizer.json") if "starts" not in path.parts]
    assert not [path for path in kept.rglob("config.yaml") if str(out) in path.read_text()]

    pages = [report(suite, where, [], {}, "").with_name("tiny.md").read_text() for where in (out, kept)]
    assert pages[0] == pages[1]
    left = [one for one in plan(suite, kept) if one.train or one.measure]
    assert [one.run.key for one in left] == ["prosqa/rewarded-1"]
    assert (Path(left[0].run.config.start) / "model/model.safetensors").exists()

    table = kept / "prosqa/before-0/model/weights.sha256"
    table.write_text(table.read_text().replace(table.read_text()[:8], "00000000"))
    assert [one.run.key for one in plan(suite, kept) if one.measure and not one.train] == ["prosqa/before-0"]
    with pytest.raises(WorkbenchError, match="suite's own"):
        keep(suite, out, out)
    with pytest.raises(WorkbenchError, match="nothing to keep"):
        keep(suite, tmp_path / "absent", kept)


def test_every_variant_begins_from_the_start_that_it_names(tmp_path: Path) -> None:
    suite, out = load_suite(write_suite(tmp_path)), tmp_path / "out"
    runs = plan_runs(suite, out)

    assert [one.key for one in runs] == [
        "prosqa/before-0", "prosqa/rewarded-0", "prosqa/valued-0", "prosqa/labelled-0", "prosqa/rewarded-1",
    ]  # fmt: skip
    assert {one.config.start for one in runs} == {str(out / "prosqa/starts/words")}
    assert [one.config.objective for one in runs] == ["supervised", "grpo", "latent_value", "supervised", "grpo"]
    assert [one.config.seed for one in runs] == [0, 0, 0, 0, 1]
    assert [one.key for one in chosen_runs(suite, out, ["valued"])] == ["prosqa/valued-0"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("less: before, config", "less: nothing, config", "variants.rewarded.less: there is no variant nothing"),
        ("second: before", "second: after", "A reward helps: there is no variant after"),
        ("rewarded: 2}", "reworded: 2}", "seeds: there is no variant reworded"),
        ("before: {config", "../before: {config", "is no name of a variant"),
        ("relation: more", "relation: better", "relation"),
    ],
)
def test_a_name_that_is_none_of_the_variants_is_said_at_once(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        load_suite(write_suite(tmp_path, SUITE.replace(old, new)))


def test_samples_stand_beside_the_greedy_answer_and_the_masses_beside_the_trace() -> None:
    checkpoint, problems = tiny(thoughts=2, max_position_embeddings=512), generate("released", 5, seed=3)
    table = samples_frame(checkpoint, problems)

    assert table["right"].to_list() == [answer.right for answer in answers(checkpoint, problems)]
    assert table["sampled_right"].is_between(0, SAMPLES).all()
    assert table["noise_right"].is_not_null().all()
    for masses, trace in zip(table["masses"], run(checkpoint, problems, continuations=False), strict=True):
        assert len(masses) == 2
        assert all(mass is None or 0 <= mass <= trace.lm_head[k].sum() + 1e-6 for k, mass in enumerate(masses))


def test_likely_answers_are_sampled_as_often_as_they_are_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the model's own probabilities of a right first word, over many samples."""
    monkeypatch.setattr(samples, "SAMPLES", 400)
    checkpoint, problems = tiny(thoughts=2, max_position_embeddings=512), generate("released", 3, seed=3)
    shares = np.array(sampled_right(checkpoint, problems)) / 400
    found = list(run(checkpoint, problems, continuations=False))
    likely = np.array([trace.answers[-1][trace.graph_problem.target] for trace in found])

    assert (shares <= likely + 4 * np.sqrt(likely / 400) + 0.01).all()
    assert sampled_right(checkpoint, problems) == (400 * shares).round().astype(int).tolist()


def test_the_page_shows_every_variant_and_what_is_not_there(done: tuple[Suite, Path]) -> None:
    suite, out = done
    page = report(suite, out, [], {"prosqa/rewarded-1": "it broke"}, "workbench compare x")
    about = json.loads((page.parent / "tiny.json").read_text())["tasks"]["prosqa"]

    assert [(one["name"], one["seeds"]) for one in about["variants"]] == [
        ("before", [0]), ("rewarded", [0]), ("valued", [0]), ("labelled", [0]),
    ]  # fmt: skip
    assert [one["verdict"] for one in about["claims"]] == ["too few"]
    for name in ("index.html", "tiny.md"):
        text = (page.parent / name).read_text()
        for part in (
            "What does a reward add?", "A reward helps", "rewarded is above before", "it broke",
            "4 of 5 runs are finished and measured", "Start words: trained by start.yaml, 4 steps", "processor minutes",
            "Value heads", "AUC by thought", "pass at 8", "thought 2",
        ):  # fmt: skip
            assert part in text, (name, part)
    assert page.read_text().count("Plotly.newPlot") == 3


def test_the_chance_of_a_mass_is_that_of_the_trace() -> None:
    checkpoint, problems = tiny(thoughts=2, max_position_embeddings=512), generate("released", 5, seed=3)
    row = made("any", 0.5)
    for k, chance in enumerate(chance_of(problems, [row]), 1):
        table = thoughts_frame(checkpoint, problems).filter(pl.col("thought") == k)
        assert chance == pytest.approx(table["mass_without_target_chance"].mean())


# Hand-made rows


def made(name: str, right: float, seeds: int = 3, graphs: int = 200, less: str = "") -> Row:
    """Return a row whose seeds answer the same share rightly, each a little otherwise."""
    tables = []
    for seed in range(seeds):
        hit = np.random.default_rng(seed).permutation(graphs) < right * graphs
        tables.append(
            pl.DataFrame(
                {
                    "problem": [str(i) for i in range(graphs)], "graph": [str(i) for i in range(graphs)],
                    "right": hit, "valid": True, "sampled_right": hit * 5, "noise_right": None, "masses": None,
                }
            )
        )  # fmt: skip
    return Row(name, Variant(less=less), TINY, "words", seeds, tuple(range(seeds)), tuple(tables), ([],) * seeds)


def test_a_start_of_one_seed_stands_beside_every_seed_of_a_variant() -> None:
    before, after = made("before", 0.5, seeds=1), made("after", 0.8)

    found = gain(after, before)
    assert found.value == pytest.approx(0.3)
    assert found.low > 0.15
    assert gain(after, before, PASS_ANY).value == pytest.approx(0.3)
    assert np.isnan(gain(after, before, NOISE).value)
    assert gain(after, after).value == 0


def test_a_variant_or_start_that_is_not_in_the_suite_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    suite = load_suite(write_suite(tmp_path))
    with pytest.raises(WorkbenchError, match="rewarded"):
        chosen_runs(suite, tmp_path / "out", ["reward"])
    misspelt = load_suite(write_suite(tmp_path, SUITE.replace("{start: words, objective", "{start: word, objective")))
    with pytest.raises(WorkbenchError, match='"words"'):
        plan_runs(misspelt, tmp_path / "out")


@pytest.mark.parametrize(("right", "verdict"), [(0.9, "holds"), (0.1, "does not hold"), (0.52, "undecided")])
def test_a_claim_is_judged_by_its_whole_interval(right: float, verdict: str) -> None:
    task = SuiteTask(
        "prosqa", "base.yaml", variants={"before": Variant(), "after": Variant()},
        contrasts=(Contrast("It helps", "after", "more", "before"),),
    )  # fmt: skip

    ((_, check, ruling),) = judge_all(task, [made("before", 0.5, seeds=1), made("after", right)])
    assert ruling.verdict == verdict
    assert check.estimate.value == pytest.approx(right - 0.5)
