"""A factorial of start, loss and seed: its runs, what is measured of them, the verdicts and the page."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.conftest import tiny
from tests.studies.test_compare_suite import make_all
from tests.train.test_training import TINY
from workbench.errors import WorkbenchError
from workbench.measure.recording import record
from workbench.measure.trace import run
from workbench.problems.files import save_problems
from workbench.problems.graph import structure
from workbench.problems.sets import generate
from workbench.problems.variants import other_target
from workbench.readings.node_vectors import codes_frame
from workbench.studies.compare.factorial import (
    MORE_COUNTED,
    MORE_THERE,
    NOTHING,
    Cell,
    conclusion,
    effects,
    figure_of,
    judge_all,
    report,
)
from workbench.studies.compare.jobs import plan
from workbench.studies.compare.measure import is_measured
from workbench.studies.compare.suite import Suite, chosen_runs, load_suite, plan_runs, plan_starts, standing
from workbench.studies.compare.thoughts import SUMS, thoughts_frame
from workbench.train.config import load_config, save_config
from workbench.train.methods import METHODS

LOSSES = ["coconut_without_curriculum", "coconut_words", "coconut_next_node", "coconut_frontier"]
SUITE = """
name: tiny
page: superposition
tasks:
  - name: prosqa
    base: base.yaml
    starts: {words: start.yaml, none: ""}
    methods: [coconut_frontier, coconut_words]
    seeds: {default: 2}
    problems: {few: few.json}
"""


def write_suite(folder: Path) -> Path:
    small = replace(TINY, steps=4, decay_from=2, watched=1)
    save_config(small, folder / "base.yaml")
    save_config(replace(small, method="cot"), folder / "start.yaml")
    save_problems(generate("released", 4, seed=5), folder / "few.json")
    (folder / "suite.yaml").write_text(SUITE)
    return folder / "suite.yaml"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    """Train the start and the runs from it, and measure them; those from scratch are left out."""
    folder = tmp_path_factory.mktemp("factorial")
    suite, out = load_suite(write_suite(folder)), folder / "out"
    runs = [*plan_starts(suite, out), *plan_runs(suite, out)]
    make_all([one for one in runs if one.start == "words"], out, "superposition")
    return suite, out


def test_every_start_is_crossed_with_every_method_and_its_training_comes_first(tmp_path: Path) -> None:
    suite, out = load_suite(write_suite(tmp_path)), tmp_path / "out"
    runs = plan_runs(suite, out)

    assert [one.key for one in runs if one.seed == runs[0].seed] == [
        "prosqa/words/coconut_words-0", "prosqa/words/coconut_frontier-0",
        "prosqa/none/coconut_words-0", "prosqa/none/coconut_frontier-0",
    ]  # fmt: skip
    assert {one.config.start for one in runs if one.start == "words"} == {str(out / "prosqa/starts/words")}
    assert {one.config.start for one in runs if one.start == "none"} == {""}
    assert [one.directory for one in runs] == [out / one.key for one in runs]
    assert [(one.run.key, one.start) for one in plan(suite, out)][:2] == [
        ("prosqa/starts/words", True), ("prosqa/words/coconut_words-0", False),
    ]  # fmt: skip


def test_a_start_is_left_alone_once_a_run_has_begun_from_it(done: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, out = done
    start = Path(suite.tasks[0].starts["words"])
    longer = tmp_path / "longer.yaml"
    save_config(replace(load_config(start), steps=50), longer)
    task = replace(suite.tasks[0], starts={"words": str(longer), "none": ""})

    assert [one.train for one in plan(replace(suite, tasks=(task,)), tmp_path / "elsewhere") if one.start] == [True]
    assert [one.train for one in plan(replace(suite, tasks=(task,)), out) if one.start] == [False]


def test_a_run_is_known_by_what_it_began_from_not_by_how_that_was_written(
    done: tuple[Suite, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, out = done
    monkeypatch.chdir(out.parent)
    here = plan_runs(suite, Path("out"))[0]

    assert here.config.start == "out/prosqa/starts/words"
    assert standing(here).finished
    other = replace(here, config=replace(here.config, start="somewhere else"))
    assert standing(other).differs == ("start",)


@pytest.mark.parametrize("given", ["starts: {words: absent.yaml}", "starts: {words: absent}"])
def test_a_start_that_is_not_there_is_said_at_once(tmp_path: Path, given: str) -> None:
    path = write_suite(tmp_path)
    path.write_text(SUITE.replace('starts: {words: start.yaml, none: ""}', given))

    with pytest.raises(WorkbenchError, match=r"starts.words: there is no checkpoint"):
        load_suite(path)


def test_a_thought_is_measured_as_the_readings_measure_it() -> None:
    checkpoint, problems = tiny(thoughts=2, max_position_embeddings=512), generate("released", 6, seed=3)
    table = thoughts_frame(checkpoint, problems)

    assert table.select("problem", "thought").rows() == [(problem.id, k) for problem in problems for k in (1, 2)]
    traces = list(run(checkpoint, problems, continuations=False))
    for row, (trace, k) in zip(table.iter_rows(named=True), ((t, k) for t in traces for k in (1, 2)), strict=True):
        about = structure(trace.graph_problem)
        there = (np.asarray(about.hops) == k) & (np.arange(len(about.hops)) != trace.graph_problem.target)
        assert row["mass_without_target"] == pytest.approx(trace.lm_head[k - 1][there].sum(), abs=1e-6)
        assert row["mass_without_target_chance"] == pytest.approx(there.sum() / np.sum(about.concepts))
        other = other_target(trace.graph_problem, 0)
        if other is not None:
            (asked,) = run(checkpoint, [other], continuations=False)
            there[other.target] = False
            assert row["mass_other_asked"] == (
                pytest.approx(asked.lm_head[k - 1][there].sum(), abs=1e-6) if there.any() else None
            )
        last = trace.answers[-1]
        assert row["choice"] == float(last[trace.graph_problem.target] > last[trace.graph_problem.negative])
        assert row["right"] == bool(trace.answer_right[-1])
    assert table["mass_other_asked"].is_not_null().any()
    read = codes_frame([record(checkpoint, problems)])
    for name, sum_ in SUMS.items():
        expected = read.filter(pl.col("sum") == sum_)["error"].to_numpy()
        np.testing.assert_allclose(table[f"error_{name}"].to_numpy(), expected, rtol=1e-3)


def test_the_page_says_what_is_trained_and_decides_nothing_from_two_seeds(done: tuple[Suite, Path]) -> None:
    suite, out = done
    page = report(suite, out, [], {"prosqa/none/coconut_words-0": "it broke"}, "workbench compare x")
    about = json.loads((page.parent / "superposition.json").read_text())

    assert [(one["start"], one["loss"], len(one["seeds"])) for one in about["cells"]] == [
        ("words", "words only", 2), ("words", "frontier asked", 2), ("none", "words only", 0),
        ("none", "frontier asked", 0),
    ]  # fmt: skip
    assert [one["superposition"] for one in about["cells"]] == ["undecided"] * 2 + ["not measured"] * 2
    for name in ("index.html", "superposition.md"):
        text = (page.parent / name).read_text()
        for part in (
            about["conclusion"], "not trained from scratch with every loss",
            "undecided (fewer than 3 seeds) after one sampled child in words with every loss",
            "4 of 8 runs are finished and measured", "Start words: trained by start.yaml, 4 steps",
            "Start none: random weights", "it broke", "chance, uniform over the concepts", "query-blind rule",
        ):  # fmt: skip
            assert part in text, (name, part)
    assert page.read_text().count("Plotly.newPlot") == 1


def test_only_what_the_page_needs_is_measured_and_once(done: tuple[Suite, Path]) -> None:
    suite, out = done
    first, file = plan_runs(suite, out)[0], Path(suite.tasks[0].problems["few"])

    assert is_measured(first.directory, "few", file, "superposition")
    assert not is_measured(first.directory, "few", file)
    left = {one.run.key: (one.train, one.measure) for one in plan(suite, out)}
    assert left[first.key] == (False, ())
    assert left["prosqa/none/coconut_words-0"] == (True, ("few",))
    assert [one.method.name for one in chosen_runs(suite, out, ["coconut_frontier"])] == ["coconut_frontier"] * 4


# Hand-made cells


def made(start: str, method: str, mass: float, breadth: float = 2.0, seeds: int = 3, graphs: int = 40) -> Cell:
    """Return a cell whose thoughts have a mass of 0.1 by chance, two problems per graph."""
    tables = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, len(method)])
        rows = 4 * 2 * graphs
        problem, thought = np.arange(rows) // 4, np.arange(rows) % 4 + 1
        columns = {
            "problem": problem.astype(str), "graph": problem // 2, "steps": 5, "thought": thought, "hop_read": thought,
            "frontier_size": 3, "right": rng.random(rows) < 0.8, "choice": 1.0, "noise_right": False,
            "noise_choice": 0.5, "mass_without_target": mass + 0.05 * rng.standard_normal(rows),
            "mass_without_target_chance": 0.1, "mass_of_others": mass, "mass_of_others_chance": 0.1,
            "mass_other_asked": mass, "breadth": breadth + 0.1 * rng.standard_normal(rows),
            "error_codes": 1.0, "error_embeddings": 2.0, "error_other": 3.0, "spread": 2.0,
        }  # fmt: skip
        tables.append(pl.DataFrame(columns))
    return Cell(start, METHODS[method], 3, tuple(range(seeds)), (), tuple(tables))


def factorial(**changes: dict[str, Any]) -> list[Cell]:
    """Return twelve cells: from scratch there is mass only where a loss asks for it."""
    given = {("none", "coconut_without_curriculum"): 0.1, ("none", "coconut_words"): 0.12}
    cells = []
    for start in ("words", "walks24", "none"):
        for loss in LOSSES:
            how: dict[str, Any] = {"mass": given.get((start, loss), 0.6), **changes.get(f"{start} {loss}", {})}
            cells.append(made(start, loss, **how))
    return cells


def test_the_sentence_follows_the_verdicts() -> None:
    cells = factorial(
        **{
            "words coconut_words": {"mass": 0.2}, "walks24 coconut_frontier": {"seeds": 2},
            "walks24 coconut_words": {"seeds": 0}, "words coconut_next_node": {"breadth": 1.1},
        }
    )  # fmt: skip
    judged = judge_all(cells, effects(cells))

    assert judged.cells["words, answers alone"].verdict == "holds"
    assert judged.cells["words, next node asked"].verdict == "does not hold"  # mass, but on one node
    assert conclusion(cells, judged) == (
        "Shown after one sampled child in words with answers alone and frontier asked, after 24 sampled walks with "
        "answers alone and next node asked and from scratch with next node asked and frontier asked; "
        "not so after one sampled child in words with next node "
        "asked and from scratch with answers alone and words only; undecided after one sampled child in words "
        "with words only; undecided (fewer than 3 seeds) after 24 sampled walks with frontier asked; not "
        "trained after 24 sampled walks with words only; more mass with start words less none and next node asked less "
        "words only; less mass with words only less answers alone. The claim: thoughts 2 and 3 hold several nodes of "
        "their hop (LM head, target excluded)."
    )


def test_where_nothing_holds_the_sentence_says_so() -> None:
    cells = [made(start, loss, 0.1) for start in ("words", "none") for loss in LOSSES]

    assert conclusion(cells, judge_all(cells, effects(cells))) == (
        "Shown in no cell; not so in every cell. The claim: thoughts 2 and 3 hold several nodes of their hop (LM head, "
        "target excluded)."
    )


def test_an_effect_is_the_mean_difference_of_the_pairs_that_are_there() -> None:
    found = {one.name: one for one in effects(factorial(**{"none coconut_frontier": {"seeds": 0}}))}

    start = found["start words less none"]
    assert (start.cells, start.seeds) == (3, 3)
    assert start.estimate.value == pytest.approx((0.5 + 0.48 + 0) / 3, abs=0.01)
    assert found["frontier asked less next node asked"].cells == 2
    assert (
        found["words only less answers alone"].estimate.low
        < 0.02 / 3
        < found["next node asked less words only"].estimate.low
    )


def test_a_share_is_the_ratio_of_the_sums() -> None:
    cell = made("none", "coconut_words", 0.5, breadth=1.6)
    counted = [table.filter(pl.col("thought") == 2)["breadth"].to_numpy() - 1 for table in cell.tables]

    found = cell.share(MORE_COUNTED, MORE_THERE, 2)
    assert found.value == pytest.approx(np.mean([one.sum() / (2 * len(one)) for one in counted]))
    assert found.low < found.value < found.high
    few = replace(cell, tables=tuple(table.with_columns(steps=2) for table in cell.tables))
    assert np.isnan(few.share(MORE_COUNTED, MORE_THERE, 2).value)  # the target is at the hop of every problem
    assert replace(cell, seeds=(), tables=()).share(MORE_COUNTED, MORE_THERE, 2) is NOTHING


def test_the_picture_has_a_point_per_seed_and_marks_what_is_not_trained() -> None:
    drawn: Any = figure_of(factorial(**{"none coconut_frontier": {"seeds": 0}}))

    assert [len(one.x) for one in drawn.data if one.marker.size == 5] == [12, 12, 9] * 2
    assert [len(one.x) for one in drawn.data if one.marker.symbol == "x-thin-open"] == [0, 0, 1] * 2
    assert [one.y[0] for one in drawn.data if one.name == "chance"] == pytest.approx([0.1, 0.1])
    assert re.search(r"hop 3, start walks24: 0\.(59|60|61) at answers alone", drawn.layout.meta["alt"])
