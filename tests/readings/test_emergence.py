"""A run scrubbed over its checkpoints: what is read at each, what is kept, and when a mass is said to appear."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from tests.train.test_stage_checkpoints import keep
from workbench.errors import WorkbenchError
from workbench.figures.training import BY_STEP, by_step
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import MODEL, RUN
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.graph import structure
from workbench.readings import READINGS
from workbench.readings.emergence import appearance, emergence, emergence_frame, scrub

PROBLEMS = [chain(number, 1 + number % 4) for number in range(5)]
STEPS = (3, 20, 100)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints with other weights each."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    for step in STEPS[:-1]:
        keep(directory / "checkpoints" / f"step{step}", step, f"after {step}", seed=step)
    keep(directory / "model", STEPS[-1], "end", seed=STEPS[-1])
    return directory


def test_every_number_is_that_of_the_trace() -> None:
    (recording,) = (record(tiny(), PROBLEMS),)
    frame = emergence_frame([recording])

    assert len(frame) == len(PROBLEMS) * 3
    for row in frame.iter_rows(named=True):
        (trace,) = (trace for trace in recording.traces if trace.graph_problem.id == row["problem"])
        about, k = structure(trace.graph_problem), row["thought"]
        concepts = int(about.concepts.sum())
        frontier = [node for node, hop in enumerate(about.hops) if hop == k]
        others = [node for node in frontier if node != trace.graph_problem.target]
        for name, nodes in (("mass", frontier), ("mass_without_target", others)):
            if not nodes:
                assert row[name] is None
                assert row[f"{name}_chance"] is None
                continue
            assert row[name] == pytest.approx(sum(trace.lm_head[k - 1][node] for node in nodes))
            assert row[f"{name}_chance"] == pytest.approx(len(nodes) / concepts)
        assert row["norm"] == pytest.approx(float(np.sqrt((trace.thoughts[k - 1].astype(float) ** 2).sum())), rel=1e-5)
        assert row["right"] == trace.answer_right[k]
        assert (row["hop_read"], row["steps"]) == (k, about.length)


def test_a_scrub_reads_each_checkpoint_by_step_as_if_it_were_alone(run: Path) -> None:
    done: list[int] = []
    frame = emergence(run, PROBLEMS, controls=["pause"], on_progress=done.append)

    assert frame["step"].unique(maintain_order=True).to_list() == list(STEPS)
    assert frame["stage"].unique(maintain_order=True).to_list() == ["after 3", "after 20", "end"]
    assert sum(done) == len(PROBLEMS) * 2 * len(STEPS)
    own = record(load_checkpoint(run / "checkpoints" / "step20"), PROBLEMS, 3)
    alone = emergence_frame([own, *record_controls(own, ["pause"])])
    assert frame.filter(step=20).drop("step", "stage").equals(alone)
    assert not frame.filter(step=3).drop("step", "stage").equals(alone)


def test_any_reading_can_be_scrubbed_with_another_number_of_thoughts(run: Path) -> None:
    frame = scrub(run, PROBLEMS, READINGS["breadth"].frame, "breadth-1", controls=[], thoughts=2)

    assert set(frame[RUN]) == {MODEL}
    assert frame["thought"].max() == 2
    assert frame["step"].unique(maintain_order=True).to_list() == list(STEPS)


def test_what_was_read_is_kept_and_what_was_interrupted_goes_on(run: Path, tmp_path: Path) -> None:
    calls: list[Sequence[Recording]] = []

    def count(recordings: Sequence[Recording]) -> pl.DataFrame:
        calls.append(recordings)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return emergence_frame(recordings)

    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        scrub(run, PROBLEMS, count, "count-1", controls=[], cache=tmp_path)
    kept = scrub(run, PROBLEMS, count, "count-1", controls=[], cache=tmp_path, on_progress=done.append)
    assert len(calls) == 1 + 1 + 2, "the first checkpoint is read once, the second again, the third for the first time"
    assert sum(done) == len(PROBLEMS) * len(STEPS)
    assert kept.equals(emergence(run, PROBLEMS, controls=[]))
    assert kept.equals(scrub(run, PROBLEMS, count, "count-1", controls=[], cache=tmp_path))
    assert len(calls) == 4, "everything is kept"
    assert not list(tmp_path.rglob("*.part"))

    scrub(run, PROBLEMS[:3], count, "count-1", controls=[], cache=tmp_path)
    assert len(calls) == 7, "other problems are read anew"
    keep(run / "model", STEPS[-1], "end", seed=77)
    again = scrub(run, PROBLEMS, count, "count-1", controls=[], cache=tmp_path)
    assert len(calls) == 8, "other weights of the same step are read anew, and they alone"
    assert not again.filter(step=STEPS[-1]).equals(kept.filter(step=STEPS[-1]))


def test_a_run_without_checkpoints_cannot_be_scrubbed(tmp_path: Path) -> None:
    keep(tmp_path / "run" / "model", 5)

    with pytest.raises(WorkbenchError, match="no checkpoints to scrub over"):
        emergence(tmp_path / "run", PROBLEMS)


def made(means: dict[int, float | None], label: str = MODEL, thought: int = 1, problems: int = 12) -> pl.DataFrame:
    """A table with a mass by step that scatters evenly around a mean; chance .1; None for undefined."""
    scatter = np.linspace(-0.05, 0.05, problems)
    rows = [
        (label, step, f"p{i}", thought, None if mean is None else mean + scatter[i], 0.1)
        for step, mean in means.items()
        for i in range(problems)
    ]
    names = (RUN, "step", "problem", "thought", "mass", "mass_chance")
    types = (pl.String, pl.Int32, pl.String, pl.Int16, pl.Float64, pl.Float64)
    return pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")


def test_a_mass_appears_where_it_is_above_chance_and_stays() -> None:
    rises = made({0: 0.1, 5: 0.55, 10: 0.1, 20: 0.7, 30: 0.9})
    never = made({0: 0.1, 5: 0.08, 10: 0.12, 20: 0.09, 30: 0.1}, thought=2)
    empty = made({0: None, 30: None}, thought=3)
    told = appearance(pl.concat([never, rises, empty]), "mass")

    assert told["thought"].to_list() == [1, 2]
    one, two = told.rows(named=True)
    assert (one["n"], one["chance"]) == (12, pytest.approx(0.1))
    assert (one["first"], one["last"], one["rise"]) == tuple(pytest.approx(v) for v in (0.1, 0.9, 0.8))
    assert one["last_low"] < 0.9 < one["last_high"]
    assert one["rise_low"] == pytest.approx(0.8), "the scatter is the problems' own: paired, nothing is left of it"
    assert one["above_chance_from"] == 20, "above chance at step 5 as well, but not to stay"
    assert one["halfway"] == 5
    assert (two["above_chance_from"], two["halfway"]) == (None, None)


def test_a_control_is_asked_by_its_name() -> None:
    both = pl.concat([made({0: 0.1, 9: 0.9}), made({0: 0.5, 9: 0.5}, "pause")])

    assert appearance(both, "mass")["last"].item() == pytest.approx(0.9)
    pause = appearance(both, "mass", run="pause").row(0, named=True)
    assert (pause["last"], pause["above_chance_from"], pause["halfway"]) == (pytest.approx(0.5), 0, None)
    with pytest.raises(WorkbenchError, match="nothing to draw"):
        appearance(both, "mass", run="noise")


@pytest.mark.parametrize("name", list(BY_STEP))
def test_what_is_scrubbed_is_drawn_with_a_panel_a_thought(run: Path, name: str) -> None:
    figure = by_step(scrub(run, PROBLEMS, emergence_frame, "x", controls=[]), name)

    assert len([note for note in figure.to_dict()["layout"]["annotations"] if "thought" in note["text"]]) == 3
    drawn: Any = figure
    lines = [line for line in drawn.data if line.name == MODEL]
    assert len(lines) == 3
    assert all(list(line.x) == list(STEPS) for line in lines)
