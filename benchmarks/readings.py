"""Every reading of 500 problems beside every control: time and memory stage by stage, and batches against one by one.

    python -m benchmarks.readings

Ours records the model and each control over the whole set (thoughts, activations, continuations in words), then makes
every reading's table and its figures as the report does: seconds on the clock and of processor time for each, and the
largest resident memory so far. The peer of the ratio records the same problems one at a time, by the same function in
the same process, on a subset; both sides leave the same recordings (checked first).
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.timing import Side, Timed, compare, finish, say, timed
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import CONTROLS, MODEL
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.files import load_problems
from workbench.problems.problem import Problem
from workbench.readings import READINGS, find_reading
from workbench.studies.pages import drawing


def main(
    run_name: Annotated[str, typer.Option("--run", help="Run or checkpoint.")] = "fixtures/runs/reference",
    problem_file: Annotated[Path, typer.Option("--problems")] = Path("fixtures/problems/released.json"),
    count: Annotated[int, typer.Option(help="Problems that are read.")] = 500,
    peer_count: Annotated[int, typer.Option(help="Problems that are recorded both ways.")] = 32,
    rounds: Annotated[int, typer.Option(help="How often both ways are run.")] = 3,
    names: Annotated[str, typer.Option("--readings", help="With commas between; by default all.")] = ",".join(READINGS),
    threads: Annotated[int, typer.Option(help="Threads; 0 for as many as there are cores.")] = 1,
) -> None:
    """Measure recording and reading, stage by stage."""
    if threads:
        torch.set_num_threads(threads)
    checkpoint = load_checkpoint(run_name)
    problems = load_problems(problem_file)[:count]
    few = problems[:: max(1, len(problems) // peer_count)][:peer_count]
    _agree(checkpoint, few[:3])
    ratio = compare(
        "readings",
        Side("batches of 64", lambda: len(record(checkpoint, few).problems)),
        Side("one problem at a time", lambda: sum(len(record(checkpoint, [problem]).problems) for problem in few)),
        rounds=rounds,
        unit="problem",
    )
    stages: list[dict[str, object]] = []

    def stage(kind: str, name: str, work: Callable[[], float]) -> None:
        one, units = timed(Side(name, work))
        stages.append(_numbers(kind, name, one, units))
        say(
            "{stage:10} {name:20} {wall_s:8.1f} s   processor {cpu_s:8.1f} s   peak {peak_mb:6.0f} MB".format(
                **stages[-1]
            )
        )

    recordings: list[Recording] = []

    def recorded(label: str) -> float:
        if label == MODEL:
            recordings.append(record(checkpoint, problems, continuations=True))
        else:
            recordings.extend(record_controls(recordings[0], [label]))
        return 1.0

    for label in (MODEL, *CONTROLS):
        stage("record", label, lambda label=label: recorded(label))
    rows, size = 0, 0
    for name in names.split(","):
        reading = find_reading(name)
        held: list = []

        def table(reading=reading, held=held) -> float:
            held.append(reading.frame(recordings))
            return 1.0

        def figures(reading=reading, held=held) -> float:
            held.extend(drawing(made) for made in reading.figures(held[0]))
            return 1.0

        stage("table", name, table)
        stage("figures", name, figures)
        rows, size = rows + len(held[0]), size + sum(len(made["html"]) for made in held[1:])
    total = {kind: round(sum(float(str(s[f"{kind}_s"])) for s in stages), 1) for kind in ("wall", "cpu")}
    activations = sum(array.nbytes for array in vars(recordings[0]).values() if isinstance(array, np.ndarray))
    finish(
        {
            **ratio, "problems": len(problems), "runs": len(recordings), "thoughts": recordings[0].count,
            "readings": len(names.split(",")), "total_wall_s": total["wall"], "total_cpu_s": total["cpu"],
            "peak_mb": _peak(), "recording_mb": round(activations / 2**20, 1), "table_rows": rows,
            "page_mb": round(size / 2**20, 2), "stages": stages,
        }
    )  # fmt: skip


def _numbers(kind: str, name: str, one: Timed, units: float) -> dict[str, object]:
    seconds = {"wall_s": round(one.wall * units, 2), "cpu_s": round(one.cpu * units, 2)}
    return {"stage": kind, "name": name, **seconds, "peak_mb": _peak()}


def _peak() -> int:
    """Return the largest resident memory of this process so far, in MB of 2^20 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _agree(checkpoint: Checkpoint, problems: list[Problem]) -> None:
    """Check that both ways leave the same recording, or the comparison means nothing."""
    together = record(checkpoint, problems)
    for row, problem in enumerate(problems):
        alone = record(checkpoint, [problem])
        edges = len(problem.edges)
        for one, other in (
            (alone.residual[0], together.residual[row]),
            (alone.attention[0, ..., :edges], together.attention[row, ..., :edges]),
            (alone.lm_head[0], together.lm_head[row, :, : alone.lm_head.shape[2]]),
        ):
            if not np.allclose(one, other, atol=1e-3):
                raise SystemExit(f"the two ways disagree about {problem.id}: {np.nanmax(np.abs(one - other))}")


if __name__ == "__main__":
    typer.run(main)
