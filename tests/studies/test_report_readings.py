"""Readings in a report: a table for each, a page that opens offline, and what interruptions and small sets leave."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.errors import WorkbenchError
from workbench.measure import splits as held_out
from workbench.measure.run_labels import CONTROLS, MODEL, RUN
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.readings import COSTS, ITEM_READINGS, READINGS, RECORDING, find_reading
from workbench.studies import report_readings as readings
from workbench.studies.pages import drawing
from workbench.studies.report import ReportOptions
from workbench.studies.report_readings import Spent, drawn, possible, write_readings

QUICK = ReportOptions(
    "a/run", Path("sets/mine.json"), readings=("breadth", "behaviour"), controls=("untrained", "shuffled")
)

FEW, BESIDE = 4, ("pause", "other_target")


def model() -> Checkpoint:
    return tiny(max_position_embeddings=256)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return generate("balanced", 6, seed=1)


@dataclass(frozen=True)
class Whole:
    """Every reading of the model and two controls; beside others each is read in tests/readings."""

    directory: Path
    html: str
    figures: list[go.Figure]
    """All that the page shows, in its order."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, problems: list[Problem]) -> Whole:
    """Written once; what lenses and probes are fitted on is a handful of problems."""
    directory, figures = tmp_path_factory.mktemp("reports") / "whole", []

    def kept(made: go.Figure, place: str) -> dict[str, str]:
        figures.append(made)
        return drawing(made, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "COUNT", 12)
        patch.setattr(readings, "drawing", kept)
        page = write_readings(
            model(), problems[:FEW], directory, replace(QUICK, readings=tuple(READINGS), controls=BESIDE)
        )
    return Whole(directory, unescape(page.read_text()), figures)


def test_every_reading_has_a_table_of_the_model_and_its_controls(whole: Whole) -> None:
    for name in READINGS:
        frame = pl.read_parquet(whole.directory / "readings" / f"{name}.parquet")
        labels = frame[RUN].unique(maintain_order=True).to_list()
        assert labels[0] == MODEL, name
        # A reading of the prompt alone has no thought to change.
        assert set(labels) == {MODEL, *BESIDE} or name == "copy_map", name


def test_the_page_names_every_reading_its_figures_and_their_chance(whole: Whole) -> None:
    for name in READINGS:
        assert f'<li><a href="#{name}">' in whole.html
        section = whole.html.split(f'<section id="{name}">')[1].split("</section>")[0]
        assert section.count("<figure") == section.count(f"n = {FEW} problems at most") > 0
        assert "<strong>Chance:</strong>" in section
        assert f'find_reading("{name}")' in section
    assert whole.html.count("<figure") == whole.html.count('<script type="text/plain">') == len(whole.figures)
    assert "workbench report a/run sets/mine.json" in whole.html
    for name in BESIDE:
        assert CONTROLS[name].what in whole.html


def test_the_page_opens_offline_and_points_open_the_explorer(whole: Whole) -> None:
    fetched = re.findall(r'(?:src|srcset|@import|<link[^>]*href)="?=?"?([^"\s>]+)', whole.html)

    assert set(fetched) <= {"plotly.min.js", "data:,"}
    assert (whole.directory / "plotly.min.js").stat().st_size > 1_000_000
    assert 'const link = "http://localhost:8501/?run=tiny-qwen2\\u0026set=mine"' in whole.html


def test_every_figure_names_its_axes_and_says_what_it_shows(whole: Whole) -> None:
    for figure in whole.figures:
        layout = figure.to_dict()["layout"]
        title = layout["title"]["text"]
        assert title
        assert layout["title"]["subtitle"]["text"], title
        assert layout["meta"]["alt"], title
        for axis in ("xaxis", "yaxis"):
            named = [layout[key].get("title", {}).get("text") for key in layout if key.startswith(axis)]
            assert any(named), f"{title}: {axis}"


def test_interrupted_readings_go_on_and_end_in_the_same_bytes(problems: list[Problem], tmp_path: Path) -> None:
    def interrupt(title: str, left: float | None) -> None:
        assert left is not None
        assert left > 0
        if title == READINGS["breadth"].title:
            raise KeyboardInterrupt

    def recorded(of: list[int]) -> Callable[[int], None]:
        return of.append

    one, two, problems = tmp_path / "one", tmp_path / "two", problems[:FEW]
    write_readings(model(), problems, one, QUICK)
    with pytest.raises(KeyboardInterrupt):
        write_readings(model(), problems, two, QUICK, on_reading=interrupt)
    first = two / "readings" / "behaviour.parquet"  # the cheaper one, though it comes later on the page
    written = first.stat().st_mtime_ns
    assert not (two / "readings.html").exists()
    write_readings(model(), problems, two, QUICK)

    assert first.stat().st_mtime_ns == written, "what was done is not done again"
    for name in QUICK.readings:
        table = f"readings/{name}.parquet"
        assert (one / table).read_bytes() == (two / table).read_bytes(), name
    pages = [(place / "readings.html").read_text().replace(str(place), "OUT") for place in (one, two)]
    assert pages[0] == pages[1]
    counts: list[int] = []
    write_readings(model(), problems, two, QUICK, on_problems=recorded(counts))
    assert counts == [3 * len(problems)], "nothing is recorded where every table is there"


def test_a_table_of_other_inputs_or_cut_off_is_made_again(problems: list[Problem], tmp_path: Path) -> None:
    only = replace(QUICK, readings=("behaviour",))
    table = tmp_path / "readings" / "behaviour.parquet"
    write_readings(model(), problems[:3], tmp_path, only)
    write_readings(model(), problems[:3], tmp_path, replace(only, controls=("noise",)))
    assert set(pl.read_parquet(table)[RUN]) == {MODEL, "noise"}

    whole = table.read_bytes()
    table.write_bytes(whole[:100])
    write_readings(model(), problems[:3], tmp_path, replace(only, controls=("noise",)))
    assert table.read_bytes() == whole


def test_one_problem_is_read_without_the_thoughts_of_others(
    problems: list[Problem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "COUNT", 0)  # nothing is generated to fit on, and one graph cannot be divided
    names = ("breadth", "height", "probes")
    html = write_readings(model(), problems[:1], tmp_path, replace(QUICK, readings=names)).read_text()

    assert "Left out: thoughts of other problems." in html
    assert set(pl.read_parquet(tmp_path / "readings" / "breadth.parquet")[RUN]) == {MODEL, "untrained"}
    probes = html.split('<section id="probes">')[1].split("</section>")[0]
    assert "Nothing is left to fit on." in probes
    assert "<figure" not in probes
    assert "n = 1 problem at most" in html
    assert not list((tmp_path / "readings").glob("*.part"))


def test_the_time_left_follows_from_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(COSTS) == {RECORDING, *READINGS, *ITEM_READINGS}
    clock = iter([0.0, COSTS[RECORDING] * 2, 500.0, 500.0 + COSTS["height"] * 2])
    monkeypatch.setattr(readings.time, "monotonic", lambda: next(clock))
    spent = Spent()
    assert spent.left(READINGS) is None
    for name in (RECORDING, "height"):
        assert spent.on(name, lambda name=name: name) == name
    assert spent.left({"edge_knockout", "probes"}) == pytest.approx(2 * (COSTS["edge_knockout"] + COSTS["probes"]))
    assert spent.left(()) == 0


def test_controls_need_the_problems_they_need() -> None:
    two = generate("released", 2, seed=1)
    assert possible(tuple(CONTROLS), two) == tuple(CONTROLS)
    assert "shuffled" not in possible(tuple(CONTROLS), two[:1])
    assert possible(tuple(CONTROLS), [chain(0, 2), chain(1, 2)]) == tuple(CONTROLS)[:-1]  # no other leaf


def test_a_large_set_is_drawn_by_the_seed_in_its_order(problems: list[Problem], tmp_path: Path) -> None:
    some = drawn(problems, 4, seed=3)

    assert some == drawn(problems, 4, seed=3)
    assert some == [problem for problem in problems if problem in some]
    assert len(some) == 4
    assert len({tuple(p.id for p in drawn(problems, 4, seed)) for seed in range(9)}) > 1
    html = write_readings(
        model(), problems, tmp_path, replace(QUICK, readings=("behaviour",), controls=(), most=4)
    ).read_text()
    assert "4 of 6 problems, drawn by the seed" in html
    assert "No control was asked for" in html


def test_mistakes_are_said(problems: list[Problem], tmp_path: Path) -> None:
    for options, words in (
        (replace(QUICK, readings=("mood",)), 'There is no reading "mood"'),
        (replace(QUICK, controls=("placebo",)), 'There is no control "placebo"'),
        (replace(QUICK, thoughts=0), "There are no thoughts to read"),
    ):
        with pytest.raises(WorkbenchError, match=words):
            write_readings(model(), problems[:2], tmp_path / "out", options)
    assert not (tmp_path / "out" / "readings.html").exists()
    with pytest.raises(WorkbenchError, match="nothing to record"):
        write_readings(model(), [], tmp_path / "none", QUICK)
    assert find_reading("breadth") is READINGS["breadth"]


def test_names_from_outside_cannot_become_markup(problems: list[Problem], tmp_path: Path) -> None:
    options = replace(
        QUICK, readings=("behaviour",), controls=(), run="<script>alert(1)</script>", problems=Path("<b>.json")
    )
    html = write_readings(model(), problems[:2], tmp_path, options).read_text()

    assert "<script>alert(1)" not in html
    assert "<b>" not in html.replace("<b>.json", "")[:2000]
