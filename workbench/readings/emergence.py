"""Emergence: any reading at every checkpoint that a run kept. When does the frontier appear?

The question names the target, so mass on it may be copied and not found. Judge by the mass on the frontier without the
target (`scores.NodeScores.mass_without_target`); it is read beside the mass on the whole frontier.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from workbench.figures.style import require_rows
from workbench.files import replacing
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.scores import MASS_CLASSES, node_scores, statistics
from workbench.measure.statistics import difference, graphs_of, resample
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.problem import Problem
from workbench.train.state import StageCheckpoint, stage_checkpoints

EMERGENCE_SCHEMA = 1
"""Version of the columns of `emergence_frame`."""

CONTROLS_BESIDE = ("untrained", "pause")
"""Controls of every checkpoint, by default: they are run anew at each step."""

Frame = Callable[[Sequence[Recording]], pl.DataFrame]
"""From recordings of the same problems, the model's own first, to a table: `Reading.frame`, or any function like it."""


def emergence(
    run: str | Path,
    problems: Sequence[Problem],
    *,
    controls: Sequence[str] = CONTROLS_BESIDE,
    thoughts: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    cache: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Return `emergence_frame` at every checkpoint of a run: `scrub` says what the arguments are."""
    return scrub(
        run, problems, emergence_frame, f"emergence-{EMERGENCE_SCHEMA}", controls=controls, thoughts=thoughts,
        seed=seed, batch_size=batch_size, cache=cache, on_progress=on_progress,
    )  # fmt: skip


def scrub(
    run: str | Path,
    problems: Sequence[Problem],
    frame: Frame,
    name: str,
    *,
    controls: Sequence[str] = CONTROLS_BESIDE,
    thoughts: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    cache: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Take a reading at every checkpoint of a run, on the same problems: its table with the columns step and stage.

    One checkpoint is held at a time. With a cache, an interrupted call goes on where it stopped.

    Args:
        run: A run directory; see `stage_checkpoints`.
        problems: The set.
        frame: What is read, such as `READINGS["breadth"].frame`.
        name: What the reading is called in the cache, its version included: two functions must not share one.
        controls: Of `run_labels.CONTROLS`, run at each checkpoint.
        thoughts: Number of thoughts, K; by default as many as the run's newest model was trained with.
        seed: Of the controls.
        batch_size: Problems run at a time.
        cache: Directory where the table of each checkpoint is kept as Parquet.
        on_progress: Called with the number of problems done since the last call; there are
            `len(problems) * (1 + len(controls)) * len(stage_checkpoints(run))` in all.

    Raises:
        WorkbenchError: The run kept no checkpoints, or one of them cannot be read or run on these problems.
    """
    checkpoints = stage_checkpoints(run)
    count = load_checkpoint(checkpoints[-1].path).thoughts if thoughts is None else thoughts
    told, tables = on_progress or (lambda _: None), []
    for checkpoint in checkpoints:
        kept = None
        if cache is not None:
            key = _key(checkpoint, problems, controls, count, seed)
            kept = Path(cache) / name / f"step{checkpoint.step:06d}-{key}.parquet"
        if kept is not None and kept.is_file():
            tables.append(pl.read_parquet(kept))
            told(len(problems) * (1 + len(controls)))
            continue
        own = record(load_checkpoint(checkpoint.path), problems, count, batch_size=batch_size, on_progress=told)
        recordings = [own, *record_controls(own, controls, seed, batch_size=batch_size, on_progress=told)]
        table = frame(recordings).select(
            pl.lit(checkpoint.step, pl.Int32).alias("step"), pl.lit(checkpoint.stage).alias("stage"), pl.all()
        )
        if kept is not None:
            with replacing(kept) as part:
                table.write_parquet(part)
        tables.append(table)
    return pl.concat(tables)


def emergence_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, thought).

    Columns: run, problem, thought, hop_read, steps (hops from root to target); right, valid (whether the answer forced
    after so many thoughts is exactly right, of a valid form).
    norm: length of the thought. Of its LM head: mass (raw, on the nodes at the hop read), mass_without_target (the same
    without the target), breadth (effective number of frontier nodes), `class NAME` (raw mass on each of
    `scores.MASS_CLASSES`), each with its level under a uniform distribution over the problem's concepts (for breadth:
    over the frontier) under `NAME_chance`. null where undefined.
    """
    return pl.DataFrame([row for recording in recordings for row in _rows(recording)], _SCHEMA)


def appearance(frame: pl.DataFrame, name: str = "mass_without_target", seed: int = 0, run: str = MODEL) -> pl.DataFrame:
    """Say for each thought of a run when a mass on the frontier appears: one row per thought.

    Columns: thought, n (problems), chance; first, last (mean at the first and last step) with `last_low`, `last_high`;
    rise, with its interval (paired over problems: last less first). above_chance_from: the first step from which the
    interval of mass less chance, paired, lies above 0 and stays there. halfway: the first step at which the mean has
    made half of its rise; null where the interval of the rise does not lie above 0.

    Args:
        frame: `emergence`.
        name: "mass_without_target" or "mass".
        seed: Of the bootstrap.
        run: The model's own, or a control of it.

    Raises:
        WorkbenchError: The table has no such run.
    """
    rows = frame.filter((pl.col(RUN) == run) & pl.col(name).is_not_null()).sort("step", "problem")
    require_rows(rows)
    found = []
    for (thought,), part in sorted(rows.group_by("thought"), key=lambda pair: pair[0]):
        at = {step: mass for (step,), mass in part.group_by("step", maintain_order=True)}
        steps, first, last = list(at), *(list(at.values())[end] for end in (0, -1))
        means = [float(mass[name].mean()) for mass in at.values()]  # type: ignore[arg-type]
        graphs = graphs_of(last)
        end = resample(last[name], clusters=graphs, seed=seed)
        rise, *excess = (
            resample(one, other, statistic=difference, clusters=graphs, seed=seed)
            for one, other in ((last[name], first[name]), *((m[name], m[f"{name}_chance"]) for m in at.values()))
        )
        above = [one.low > 0 for one in excess]
        stays = next((i for i in range(len(steps)) if all(above[i:])), None)
        half = next(i for i, mean in enumerate(means) if mean >= (means[0] + means[-1]) / 2) if rise.low > 0 else None
        found.append(
            {
                "thought": thought, "n": end.n, "chance": last[f"{name}_chance"].mean(), "first": means[0],
                "last": end.value, "last_low": end.low, "last_high": end.high,
                "rise": rise.value, "rise_low": rise.low, "rise_high": rise.high,
                "above_chance_from": None if stays is None else steps[stays],
                "halfway": None if half is None else steps[half],
            }
        )  # fmt: skip
    return pl.DataFrame(found, schema_overrides={"above_chance_from": pl.Int32, "halfway": pl.Int32})


_NUMBERS = ("mass", "mass_without_target", "breadth", *(f"class {name}" for name in MASS_CLASSES))
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    RUN: pl.String,
    "problem": pl.String,
    "graph": pl.String,
    "thought": pl.Int16,
    "hop_read": pl.Int16,
    "steps": pl.Int16,
    "right": pl.Boolean,
    "valid": pl.Boolean,
    "norm": pl.Float64,
    **{column: pl.Float64 for name in _NUMBERS for column in (name, f"{name}_chance")},
}


def _rows(recording: Recording) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for trace in recording.traces:
        scores = node_scores(trace, "lm_head")
        named = statistics(scores)
        norms = np.linalg.norm(trace.thoughts, axis=1)
        for row, thought in enumerate(scores.depths):
            mass, breadth, other = named["candidate_mass"], named["breadth"], named["mass_without_target"]
            numbers = {
                "mass": mass.values[row],
                "mass_chance": mass.chance[row],
                "mass_without_target": other.values[row],
                "mass_without_target_chance": other.chance[row],
                "breadth": breadth.values[row],
                "breadth_chance": breadth.chance[row],
                "norm": norms[row],
            }
            for name in MASS_CLASSES:
                numbers[f"class {name}"] = scores.mass_by_class[name][row]
                numbers[f"class {name}_chance"] = scores.chance_by_class[name][row]
            found.append(
                {
                    RUN: recording.label,
                    "problem": trace.problem.id,
                    "graph": trace.problem.graph,
                    "thought": thought,
                    "hop_read": scores.hops_read[row],
                    "steps": scores.structure.length,
                    "right": bool(trace.answer_right[thought]),
                    "valid": bool(trace.answer_valid[thought]),
                    **{key: _or_null(value) for key, value in numbers.items()},
                }
            )
    return found


def _or_null(value: float | np.floating | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _key(
    checkpoint: StageCheckpoint, problems: Sequence[Problem], controls: Sequence[str], count: int, seed: int
) -> str:
    """Return a hash of all that a table depends on beside the function that makes it: weights and problems included."""
    folder = checkpoint.path if (checkpoint.path / "config.json").is_file() else checkpoint.path / "model"
    files = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".json"})
    held = hashlib.sha256(
        json.dumps([list(controls), count, seed, [asdict(p) for p in problems]], default=int).encode()
    )
    for path in files:
        held.update(hashlib.sha256(path.read_bytes()).digest())
    return held.hexdigest()[:16]
