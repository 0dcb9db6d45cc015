"""What a problem of a report costs: processor time, memory, bytes written, by number of problems, model and thoughts.

    python -m benchmarks.scale --problems 500,5000
    python -m benchmarks.scale --problems 100 --copies 200
    python -m benchmarks.scale --problems 200 --width 256,512 --layers 2,4 --thoughts 3,6

Every report is written in a process of its own, on one thread, from problems that are generated before the clock
starts. A size gives a model with random weights in the edges format, which says no end token: its continuations are as
long as they may be. Columns are tokens and thoughts fed to the model, padding included. Time is processor time; `run`
is what is done shard by shard, `page` is made once from the tables.
`MB_between_shards` is held after the first shard, one in the middle and the last; the other figures in MB are the most
that was held so far. The last line has `ratio`: processor time per problem, of the most problems over the fewest, with
the page and without.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated

import polars as pl
import torch
import typer
from torch import Tensor

from benchmarks.timing import finish
from workbench.measure.provenance import provenance
from workbench.model.checkpoint import Checkpoint, load_checkpoint, make_checkpoint
from workbench.model.session import Session
from workbench.problems.sets import generate
from workbench.problems.vocabulary import edges_tokenizer
from workbench.studies.artefacts import TableWriter, to_arrow
from workbench.studies.report import SCHEMAS, ReportOptions, write_page, write_report
from workbench.train.config import ModelConfig
from workbench.train.init import build_model


def peak() -> float:
    """Return the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def held() -> float:
    """Return the memory that this process holds now, in MB; nan where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return float("nan")


@contextmanager
def counting() -> Iterator[list[int]]:
    """Count the columns that are fed to a model within the block, padding included."""
    fed, feed = [0], Session.feed

    def counted(session: Session, inputs: Tensor, *given: Tensor) -> Tensor:
        fed[0] += inputs.shape[0] * inputs.shape[1]
        return feed(session, inputs, *given)

    Session.feed = counted  # type: ignore[method-assign, assignment]
    try:
        yield fed
    finally:
        Session.feed = feed  # type: ignore[method-assign]


def once(checkpoint: Checkpoint, count: int, thoughts: int | None) -> dict[str, object]:
    """Write one report into a folder that is removed, and return what it cost."""
    problems = generate("released", count, seed=1)
    parameters, before, done = sum(p.numel() for p in checkpoint.model.parameters()), peak(), 0
    began, at, between = time.process_time(), {"run": 0.0, "MB": 0.0}, []

    def advance(more: int) -> None:
        nonlocal done
        done += more
        at.update(run=time.process_time() - began, MB=peak())
        between.append(held())

    with tempfile.TemporaryDirectory() as place, counting() as fed:
        write_report(checkpoint, problems, Path(place), ReportOptions(thoughts=thoughts), on_progress=advance)
        whole = time.process_time() - began
        tables = sum(path.stat().st_size for path in Path(place).glob("*.parquet"))
        page = (Path(place) / "index.html").stat().st_size
    return {
        "problems": done, "parameters": parameters,
        "thoughts": checkpoint.thoughts if thoughts is None else thoughts,
        "run_seconds": round(at["run"], 2), "page_seconds": round(whole - at["run"], 2),
        "run_ms_per_problem": round(1000 * at["run"] / done, 2), "MB_before": round(before),
        "MB_between_shards": [round(one) for one in (between[0], between[len(between) // 2], between[-1])],
        "MB_after_run": round(at["MB"]), "MB_after_page": round(peak()),
        "columns_per_problem": round(fed[0] / done), "table_bytes_per_problem": round(tables / done),
        "page_MB": round(page / 1e6, 2),
    }  # fmt: skip


def page_of(checkpoint: Checkpoint, count: int, times: int) -> dict[str, object]:
    """Write a report, copy its tables so many times under other names, and return what their page costs."""
    options = ReportOptions()
    with tempfile.TemporaryDirectory() as place:
        small, large = Path(place) / "small", Path(place) / "large"
        write_report(checkpoint, generate("released", count, seed=1), small, options)
        large.mkdir()
        for name, schema in SCHEMAS.items():
            table = pl.read_parquet(small / f"{name}.parquet")
            names = [column for column in ("problem", "graph", "pair") if column in table.columns]
            with TableWriter(large / f"{name}.parquet", schema, {}) as writer:
                for number in range(times):
                    writer.write(to_arrow(table.with_columns(pl.col(names) + f"-{number}")))
        before, began = peak(), time.process_time()
        page = write_page(large, checkpoint.name, options, provenance(0))
        return {
            "problems": count * times, "page_seconds": round(time.process_time() - began, 2),
            "MB_before": round(before), "MB_after_page": round(peak()), "page_MB": round(page.stat().st_size / 1e6, 2),
            "table_MB": round(sum(path.stat().st_size for path in large.glob("*.parquet")) / 1e6),
        }  # fmt: skip


def main(
    problems: Annotated[str, typer.Option(help="Numbers of problems.")] = "500,5000",
    run: Annotated[str, typer.Option(help="Run or checkpoint, where no width is given.")] = "fixtures/runs/base",
    width: Annotated[str, typer.Option(help="Widths of random models, each with the layers of the same place.")] = "",
    layers: Annotated[str, typer.Option(help="Their layers.")] = "",
    thoughts: Annotated[str, typer.Option(help="Numbers of thoughts; by default the trained one.")] = "",
    copies: Annotated[int, typer.Option(help="Only the page, of the tables of one report so many times.")] = 0,
    alone: Annotated[bool, typer.Option(hidden=True, help="Write one report in this process.")] = False,
) -> None:
    """Run the benchmark."""
    if copies:
        finish(page_of(load_checkpoint(run), int(problems), copies))
        return
    if alone:
        torch.set_num_threads(1)
        if width:
            size = ModelConfig(width=int(width), layers=int(layers), heads=int(width) // 64, mlp_width=4 * int(width))
            meta: dict[str, object] = {"version": 1, "format": "edges", "thoughts": 6}
            checkpoint = make_checkpoint(build_model(size, 0), edges_tokenizer(), meta, "random")
        else:
            checkpoint = load_checkpoint(run)
        finish(once(checkpoint, int(problems), int(thoughts) if thoughts else None))
        return
    sizes = list(zip(width.split(","), layers.split(","), strict=True))
    found = []
    for (wide, deep), count, k in product(sizes, problems.split(","), thoughts.split(",")):
        given = {"problems": count, "run": run, "width": wide, "layers": deep, "thoughts": k}
        asked = [part for name, value in given.items() if value for part in (f"--{name}", value)]
        command = [sys.executable, "-m", "benchmarks.scale", *asked, "--alone"]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(ran.stdout.splitlines()[-1]))
        print(json.dumps(found[-1]), flush=True)
    few, many = (pick(found, key=lambda one: one["problems"]) for pick in (min, max))
    each = [(one["run_seconds"] + one["page_seconds"]) / one["problems"] for one in (few, many)]
    finish(
        {
            "name": "scale", "ratio": round(each[1] / each[0], 3),
            "ratio_run": round(many["run_ms_per_problem"] / few["run_ms_per_problem"], 3),
            "MB_more": many["MB_after_page"] - few["MB_after_page"],
            "MB_more_run": many["MB_after_run"] - few["MB_after_run"],
        }
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
