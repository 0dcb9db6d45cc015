"""The data dictionary describes every column that is written; those of the readings are checked where they are read."""

import pytest

from workbench.errors import WorkbenchError
from workbench.measure.columns import Column, columns, tables
from workbench.measure.evaluate import _COLUMNS as PROBLEMS
from workbench.measure.scores import scores_frame, statistics_frame
from workbench.readings.emergence import _SCHEMA as EMERGENCE
from workbench.studies.audit.base import SCHEMA as AUDIT
from workbench.studies.compare.measure import COLUMNS as ANSWERS
from workbench.studies.compare.thoughts import COLUMNS as THOUGHTS
from workbench.studies.report import SCHEMAS, traces_frame

WRITTEN = {
    "problems": list(PROBLEMS),
    "traces": traces_frame([]).columns,
    "scores": scores_frame([]).columns,
    "statistics": statistics_frame([]).columns,
    "emergence": ["step", *EMERGENCE],
    "audit": list(AUDIT),
    "answers": list(ANSWERS),
    "thoughts": list(THOUGHTS),
}


@pytest.mark.parametrize("table", WRITTEN)
def test_every_column_that_is_written_is_described_and_no_other(table: str) -> None:
    found = columns(table, WRITTEN[table])
    assert [column.name for column in found] == WRITTEN[table]
    assert {column.name for column in columns(table)} <= set(WRITTEN[table])
    assert set(SCHEMAS) <= WRITTEN.keys()


def test_descriptions_are_one_line_and_say_where_chance_lies() -> None:
    every = [column for table in tables() for column in columns(table)]
    for column in every:
        assert isinstance(column, Column)
        assert column.what.endswith("."), column
        assert "\n" not in column.what
        assert all(isinstance(text, str) for text in (column.unit, column.range, column.chance))
    assert [column.chance for column in columns("statistics", ["entropy", "breadth_share"])] == [
        "log2(concepts)", "1, uniform over the frontier",
    ]  # fmt: skip
    (level,) = columns("statistics", ["candidate_mass_chance"])
    assert (level.what, level.unit) == ("Chance level of candidate_mass: frontier / concepts.", "probability")


def test_a_table_or_column_that_is_not_described_is_refused() -> None:
    with pytest.raises(WorkbenchError, match='There is no table "coffee"'):
        columns("coffee")
    with pytest.raises(WorkbenchError, match='There is no column of audit "coffee"'):
        columns("audit", ["coffee"])
