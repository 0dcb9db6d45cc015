"""The data dictionary: what every column of every Parquet table holds, with unit, range and chance.

The texts are in `columns.yaml`; the tables of a report, of its readings by their names, of an audit ("audit") and of a
comparison ("answers", "thoughts"). Where a model feeds another vector than its LM head reads, they say which of the two
a column is of: "fed" or "read" (`model.recurrence`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from workbench.errors import unknown

_CHANCE = "_chance"


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    what: str
    """In one line."""
    unit: str = ""
    """Such as "probability", "bits", "nats"; empty where there is none."""
    range: str = ""
    """The values it can have; empty where any."""
    chance: str = ""
    """What a reader without knowledge would get; empty where there is no such number."""


@cache
def _described() -> dict[str, dict[str, Column]]:
    given = yaml.load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), _Loader)
    return {
        table: {
            name: Column(name, **about)
            for names, about in columns.items()
            for name in (names if isinstance(names, tuple) else (names,))
        }
        for table, columns in given.items()
    }


class _Loader(yaml.SafeLoader):
    """Reads a list of names as one key."""


def _tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[str, ...]:
    return tuple(loader.construct_sequence(node))


_Loader.add_constructor("tag:yaml.org,2002:seq", _tuple)


def tables() -> list[str]:
    """Return the names of the tables that are described."""
    return [name for name in _described() if name != "shared"]


def columns(table: str, names: Iterable[str] | None = None) -> list[Column]:
    """Return the description of a table's columns.

    Args:
        table: Of `tables`.
        names: The columns of the table in their order; by default those that only this table has.

    Raises:
        WorkbenchError: There is no such table, or a column is not described.

    Examples:
        >>> [column] = columns("statistics", ["entropy"])
        >>> column.unit, column.range
        ('bits', '0 to log2(concepts)')
    """
    known = _described()
    if table not in tables():
        raise unknown("table", table, tables())
    own = known["shared"] | known[table]
    found = []
    for name in known[table] if names is None else names:
        base = own.get(name.removesuffix(_CHANCE))
        if name in own:
            found.append(own[name])
        elif base and name.endswith(_CHANCE):
            found.append(Column(name, f"Chance level of {base.name}: {base.chance}.", base.unit, base.range))
        else:
            raise unknown(f"column of {table}", name, own)
    return found
