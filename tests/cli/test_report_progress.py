"""What a report says of the time that it takes: from the first batch on, whatever was done before."""

from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from workbench.cli import terminal
from workbench.cli.report import Forecast, readings_cost
from workbench.measure.run_labels import CONTROLS
from workbench.problems.sets import generate, generate_items
from workbench.readings import COSTS, READINGS, RECORDING, TABLES_COST
from workbench.studies.report import ReportOptions


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(terminal.time, "monotonic", made)
    return made


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[Progress]:
    """The bars that are shown, on the clock."""
    shown: list[Progress] = []
    monkeypatch.setattr(terminal, "Console", partial(Console, file=StringIO(), get_time=clock))
    make: Callable[..., Any] = terminal.bars
    monkeypatch.setattr(terminal, "bars", lambda *columns: [shown.append(make(*columns)), shown[-1]][1])
    return shown


def test_the_time_left_is_known_after_the_first_batch_however_slow(clock: Clock, bar: list[Progress]) -> None:
    with terminal.progress("Running", 10) as advance:
        assert bar[0].tasks[0].time_remaining is None
        clock.now += 100  # longer than rich looks back by itself
        advance(2)
        assert bar[0].tasks[0].time_remaining == 400
        clock.now += 100
        advance(2)
        assert bar[0].tasks[0].time_remaining == 300


def test_what_an_earlier_run_made_is_no_measure_of_the_time_left(clock: Clock, bar: list[Progress]) -> None:
    with terminal.progress("Running", 100) as advance:
        clock.now += 0.1
        advance(80)
        assert bar[0].tasks[0].completed == 80
        clock.now += 50
        advance(10)
        assert bar[0].tasks[0].time_remaining == 50
        clock.now += 50
        advance(10)
        assert bar[0].finished


def test_a_report_says_once_how_long_it_will_take(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    counts: list[int] = []
    forecast = Forecast(100, 50.0, counts.append)
    clock.now += 0.1
    forecast(20)  # by an earlier run
    clock.now += 7.9
    forecast(4)  # 2 seconds for each problem: 76 problems and what costs as much as 50 are left
    clock.now += 100
    forecast(4)
    assert capsys.readouterr().err == ("This will take about 4 min: 3 min for the tables, 2 min for the readings.\n")
    assert counts == [20, 4, 4]


def test_a_short_report_says_nothing_and_one_without_readings_does_not_name_them(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    short, long = (Forecast(count, 0.0, lambda _: None) for count in (4, 40))
    clock.now += 2
    for forecast in (short, long):
        forecast(1)
    assert capsys.readouterr().err == "This will take about 78 s.\n"


def test_whatreadings_cost_follows_from_what_was_measured() -> None:
    problems = generate("released", 20, seed=1)
    options = ReportOptions(problems=Path("p.json"), readings=("breadth", "probes"), controls=tuple(CONTROLS))
    each = (COSTS[RECORDING] + COSTS["breadth"]) / 2500  # of a recorded problem; there are the model's and 5 controls
    tables = TABLES_COST / 500
    assert readings_cost(problems, options) == pytest.approx((20 * 6 * each + COSTS["probes"]) / tables)
    few = ReportOptions(problems=Path("p.json"), readings=("breadth", "probes"), controls=(), most=10)
    assert readings_cost(problems, few) == pytest.approx((10 * each + COSTS["probes"]) / tables)
    assert readings_cost(problems, ReportOptions()) == 0
    items = generate_items("arithmetic", 5, 0)
    assert readings_cost(items, ReportOptions(readings=("arithmetic",))) > 0
    assert set(options.readings) <= set(READINGS)
