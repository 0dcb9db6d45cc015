"""One small report here and on Ray with one and two workers: `python -m benchmarks.engines --problems 48`.

Wall time of each report, the start of the cluster apart, with the load of the machine before it; and whether the tables
have the same bytes. Every worker computes on one thread.
"""

import os
import tempfile
import time
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.timing import finish
from workbench.model.checkpoint import load_checkpoint
from workbench.model.engines import engine
from workbench.problems.sets import generate
from workbench.studies.report import ReportOptions, write_report


def main(
    problems: Annotated[int, typer.Option(help="Number of problems, of released size.")] = 48,
    run: Annotated[str, typer.Option(help="Run or checkpoint.")] = "fixtures/runs/reference",
    batch: Annotated[int, typer.Option(help="Problems of a batch, and of a task.")] = 8,
    most: Annotated[int, typer.Option(help="Largest number of workers.")] = 2,
) -> None:
    """Run the benchmark."""
    torch.set_num_threads(1)
    checkpoint, asked = load_checkpoint(run), generate("released", problems, seed=1)
    found, digests = {}, set()
    for workers in range(most + 1):
        load, began = os.getloadavg()[0], time.perf_counter()
        with engine("ray", workers=workers) if workers else nullcontext(), tempfile.TemporaryDirectory() as place:
            started = time.perf_counter()
            options = ReportOptions(batch_size=batch, shard=problems)
            write_report(checkpoint, asked, Path(place), options)
            ended = time.perf_counter()
            tables = sorted(Path(place).glob("*.parquet"))
            digests.add(sha256(b"".join(table.read_bytes() for table in tables)).hexdigest())
        found[f"ray, {workers}" if workers else "local"] = {
            "seconds": round(ended - started, 1), "start_seconds": round(started - began, 1), "load": round(load, 1),
        }  # fmt: skip
    finish({"name": "engines", "problems": problems, "same bytes": len(digests) == 1, **found})


if __name__ == "__main__":
    typer.run(main)
