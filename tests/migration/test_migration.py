"""What earlier versions wrote opens: `2026-11` holds a run and a report as they were written in November 2026.

The files are never written again. Where a schema changes, a folder of the new one joins them, and both must pass.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from workbench.measure.provenance import provenance
from workbench.measure.trace import run
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems
from workbench.studies.report import SCHEMAS, ReportOptions, write_page
from workbench.train.config import load_config
from workbench.train.launch import claim
from workbench.train.loop import read_metrics, train

KEPT = sorted(path for path in Path(__file__).parent.iterdir() if (path / "run").is_dir())


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each version's folder."""
    return Path(shutil.copytree(request.param, tmp_path / "kept"))


def test_a_run_thinks_what_it_thought_then(kept: Path) -> None:
    then = pl.read_parquet(kept / "report" / "traces.parquet").filter(pl.col("thought") == 1)
    now = list(run(load_checkpoint(kept / "run"), load_problems(kept / "problems.json"), 1))

    assert then["problem"].to_list() == [trace.problem.id for trace in now]
    for before, trace in zip(then["vector"], now, strict=True):
        np.testing.assert_allclose(trace.thoughts[0], before.to_numpy(), rtol=1e-3, atol=1e-4)


def test_a_run_goes_on(kept: Path) -> None:
    config = load_config(kept / "run" / "config.yaml")
    before = read_metrics(kept / "run")
    longer = replace(config, steps=config.steps + 1)
    claim(longer, kept / "run")

    assert train(longer, kept / "run").step == config.steps + 1
    after = read_metrics(kept / "run")
    assert after[: len(before)] == before
    assert after[-1]["step"] == config.steps + 1


def test_the_page_of_a_report_is_made_again_with_the_same_figures(kept: Path) -> None:
    report = kept / "report"
    then = json.loads((report / "evaluation.json").read_text())
    assert then["schema"] >= 1
    page = write_page(report, then["checkpoint"], ReportOptions(thoughts=1), provenance(then["seed"]))

    assert page.read_text().count("<tr data-right") == then["n"]
    now = json.loads((report / "evaluation.json").read_text())
    assert {name: now[name] for name in ("n", "accuracy", "chance", "counts")} == {
        name: then[name] for name in ("n", "accuracy", "chance", "counts")
    }


def test_every_table_says_the_version_of_its_columns(kept: Path) -> None:
    listed = json.loads((kept / "report" / "report.json").read_text())["inputs"]["schema versions"]
    said = {file.stem: pq.read_schema(file).metadata[b"schema_version"] for file in kept.glob("report/*.parquet")}

    assert {name: int(version) for name, version in said.items()} == listed
    assert listed.keys() == SCHEMAS.keys()
    assert all(listed[name] <= SCHEMAS[name] for name in listed)
