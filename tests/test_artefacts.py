"""The tables of a report, killed before every file operation: the same command goes on to the same bytes."""

import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import polars as pl

from tests.test_files import killed_at
from workbench.files import is_unfinished
from workbench.studies.artefacts import Shards

PARTS, NEVER = 2, 10**9


def write_tables(directory: Path) -> None:
    """Do what a report does, with tables that take no model."""
    shards = Shards(directory, "report.json", {"problems": "x"}, {"one": 1})
    if not shards.complete:
        for number in range(PARTS):
            frames = {
                name: pl.DataFrame({"problem": [f"{name}-{number}"], "value": [number]}) for name in shards.schemas
            }
            shards.make(number, lambda frames=frames: frames)
        shards.join(PARTS)


def content(directory: Path) -> dict[str, bytes]:
    """Return the files that count, by their path."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files if not is_unfinished(path)}


def main(home: Path) -> int:
    """Kill at each operation in turn, and return how many there are.

    All is written by children, and this process has no threads: a child would wait for those of its parent for ever.
    """
    for name in ("pandas", "pyarrow.dataset"):  # Arrow imports them when it writes: children begin with them
        with suppress(ImportError):
            import_module(name)
    assert not killed_at(NEVER, lambda: write_tables(home / "whole"), home / "whole")
    expected, number = content(home / "whole"), 0
    assert set(expected) == {"report.json", "one.parquet"}
    while killed_at(number, lambda: write_tables(home / "killed"), home / "killed"):
        found = content(home / "killed").get("one.parquet")
        assert found in (None, expected["one.parquet"]), number  # a table is there whole or not at all
        killed_at(NEVER, lambda: write_tables(home / "killed"), home / "killed")
        assert content(home / "killed") == expected, number
        shutil.rmtree(home / "killed")
        number += 1
    assert content(home / "killed") == expected
    return number


def test_tables_killed_anywhere_are_finished_by_the_same_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "tests.test_artefacts"], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 15


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(main(Path(place)))
