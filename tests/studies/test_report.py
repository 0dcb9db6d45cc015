"""Batch reports: the tables, the page, and what an interruption leaves."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.conftest import tiny
from workbench.errors import WorkbenchError
from workbench.measure.scores import READOUTS
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.studies import report as page
from workbench.studies.report import SCHEMAS, ReportOptions, write_report

TABLES = [f"{name}.parquet" for name in SCHEMAS]
OPTIONS = ReportOptions("a/run", Path("mine.json"), shard=4, batch_size=2)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return generate("balanced", 10, seed=1)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, problems: list[Problem]) -> Path:
    directory = tmp_path_factory.mktemp("reports") / "whole"
    write_report(tiny(max_position_embeddings=256), problems, directory, OPTIONS)
    return directory


def test_a_report_is_tables_and_a_page(report: Path) -> None:
    names = {path.name for path in report.iterdir()}

    assert names == {*TABLES, "report.json", "evaluation.json", "index.html", "plotly.min.js"}


def test_scores_have_a_row_per_problem_readout_thought_and_node(report: Path, problems: list[Problem]) -> None:
    scores = pl.read_parquet(report / "scores.parquet")
    nodes = sum(len(problem.names) for problem in problems)

    assert len(scores) == nodes * (3 + 4)  # LM head of thoughts 1..3, forced language after 0..3
    assert set(scores["readout"].cast(pl.String)) == set(READOUTS)
    assert {"class", "hop", "height_longest", "height_shortest", "raw", "value", "chance"} <= set(scores.columns)
    assert scores.n_unique(["problem", "readout", "thought", "node"]) == len(scores)


def test_traces_have_a_row_per_problem_and_number_of_thoughts(report: Path, problems: list[Problem]) -> None:
    traces = pl.read_parquet(report / "traces.parquet")

    assert len(traces) == len(problems) * 4
    assert traces.filter(pl.col("thought") == 0)["vector"].is_null().all()
    assert set(traces.filter(pl.col("thought") > 0)["vector"].list.len()) == {32}
    assert traces["behaviour"].is_not_null().all()


@pytest.mark.parametrize("table", TABLES)
def test_every_table_names_its_version_and_origin(report: Path, table: str) -> None:
    metadata = pq.read_schema(report / table).metadata

    assert int(metadata[b"schema_version"]) >= 1
    assert {"seed", "versions", "commit", "weights", "problems"} <= set(json.loads(metadata[b"workbench"]))


def test_an_interrupted_report_goes_on_and_ends_in_the_same_bytes(
    report: Path, problems: list[Problem], tmp_path: Path
) -> None:
    def interrupt(after: int) -> Callable[[int], None]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if done >= after:
                raise KeyboardInterrupt

        return advance

    checkpoint, directory = tiny(max_position_embeddings=256), tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        write_report(checkpoint, problems, directory, OPTIONS, on_progress=interrupt(4))
    assert not (directory / "scores.parquet").exists()
    (first,) = (directory / "shards").iterdir()
    written = (first / "scores.parquet").stat().st_mtime_ns
    with pytest.raises(KeyboardInterrupt):
        write_report(checkpoint, problems, directory, OPTIONS, on_progress=interrupt(8))
    assert (first / "scores.parquet").stat().st_mtime_ns == written, "what was done is not done again"
    (directory / "shards" / "000002.part").mkdir()  # as a kill in the middle of a part leaves it
    write_report(checkpoint, problems, directory, OPTIONS)

    for file in (*TABLES, "index.html", "evaluation.json"):
        assert (directory / file).read_bytes() == (report / file).read_bytes(), file
    assert not (directory / "shards").exists()


def test_progress_is_told_batch_by_batch_and_changes_no_table(
    report: Path, problems: list[Problem], tmp_path: Path
) -> None:
    counts: list[int] = []
    saved: list[int] = []

    def advance(count: int) -> None:
        counts.append(count)
        shards = tmp_path / "told" / "shards"
        saved.append(len([part for part in shards.iterdir() if not part.suffix]) if shards.exists() else 0)

    write_report(tiny(max_position_embeddings=256), problems, tmp_path / "told", OPTIONS, on_progress=advance)
    assert sum(counts) == len(problems)
    assert len(counts) > 3, "more often than part by part"
    assert all(count > 0 for count in counts)
    done = [sum(counts[: number + 1]) for number in range(len(counts))]
    for part, end in enumerate((4, 8, 10)):  # the last problem of a part is done when the part is saved
        assert saved[done.index(end)] == part + 1
    for file in TABLES:
        assert (tmp_path / "told" / file).read_bytes() == (report / file).read_bytes(), file


def test_a_complete_report_is_not_run_again(report: Path, problems: list[Problem]) -> None:
    before = (report / "scores.parquet").stat().st_mtime_ns
    write_report(tiny(max_position_embeddings=256), problems, report, OPTIONS)

    assert (report / "scores.parquet").stat().st_mtime_ns == before


def test_other_files_are_never_overwritten(problems: list[Problem], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")

    for overwrite in (False, True):
        with pytest.raises(WorkbenchError, match=r"(?s)holds other files, among them thesis\.tex.*empty or a new"):
            write_report(tiny(max_position_embeddings=256), problems[:2], tmp_path, OPTIONS, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_another_report_is_replaced_only_when_asked(problems: list[Problem], tmp_path: Path) -> None:
    write_report(tiny(max_position_embeddings=256), problems[:2], tmp_path, OPTIONS)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkbenchError, match=r"(?s)holds another report.*problems.*--overwrite"):
        write_report(tiny(max_position_embeddings=256), problems[2:4], tmp_path, OPTIONS)

    write_report(tiny(max_position_embeddings=256), problems[2:4], tmp_path, OPTIONS, overwrite=True)
    assert set(pl.read_parquet(tmp_path / "problems.parquet")["problem"]) == {p.id for p in problems[2:4]}
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_report_into_a_file_or_of_nothing_is_refused(problems: list[Problem], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(WorkbenchError, match="It is a file"):
        write_report(tiny(max_position_embeddings=256), problems[:1], file, OPTIONS)
    with pytest.raises(WorkbenchError, match="There is nothing to report on"):
        write_report(tiny(max_position_embeddings=256), [], tmp_path / "new", OPTIONS)
    with pytest.raises(WorkbenchError, match="no address of an explorer"):
        write_report(
            tiny(max_position_embeddings=256),
            problems[:1],
            tmp_path / "new",
            ReportOptions(explorer="javascript:alert(1)"),
        )


def test_the_page_opens_offline_and_links_to_the_explorer(report: Path, problems: list[Problem]) -> None:
    html = (report / "index.html").read_text()

    fetched = re.findall(r'(?:src|srcset|@import|<link[^>]*href)="?=?"?([^"\s>]+)', html)
    assert set(fetched) <= {"plotly.min.js", "data:,"}
    assert f"http://localhost:8501/?run=tiny-qwen2&amp;set=mine&amp;problem={problems[0].id}" in html
    assert html.count("<tr data-right") == len(problems)
    assert html.count("<figure") >= 10
    assert "plotly.js v" in (report / "plotly.min.js").read_text()[:400]


def test_names_from_outside_cannot_become_markup(problems: list[Problem], tmp_path: Path) -> None:
    options = ReportOptions("<script>alert(1)</script>", Path("<b>.json"), shard=2)
    write_report(tiny(max_position_embeddings=256), problems[:2], tmp_path, options)

    html = (tmp_path / "index.html").read_text()
    assert "<script>alert(1)" not in html
    assert "<b>" not in html


def test_a_large_set_is_sampled_for_the_figures_and_says_so(
    problems: list[Problem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_IN_FIGURES", 4)
    monkeypatch.setattr(page, "MOST_IN_TABLE", 3)
    write_report(tiny(max_position_embeddings=256), problems, tmp_path, OPTIONS)

    html = (tmp_path / "index.html").read_text()
    assert "made from 4 problems drawn by the seed" in html
    assert "10 to 10 of 10" in html
    last = json.loads(f"[{(tmp_path / 'problems' / '000003.js').read_text()[5:-2]}]")
    assert last[0] == "000003"
    shown = re.findall("<tr .*?<a href[^>]*>([^<]*)", "".join([html, *(
        json.loads(f"[{file.read_text()[5:-2]}]")[1] for file in sorted((tmp_path / "problems").iterdir())
    )]))  # fmt: skip
    assert shown == [problem.id for problem in problems]
    assert json.loads((tmp_path / "evaluation.json").read_text())["n"] == 4


def test_a_report_without_thoughts_is_a_report(problems: list[Problem], tmp_path: Path) -> None:
    write_report(tiny(max_position_embeddings=256), problems[:2], tmp_path, ReportOptions(thoughts=0))

    assert set(pl.read_parquet(tmp_path / "scores.parquet")["readout"].cast(pl.String)) == {"forced_language"}
