"""The directory of a report under way: what went into it, and which parts of the problems are done."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from workbench.errors import WorkbenchError
from workbench.files import replacing, write_whole
from workbench.studies.tables import SCHEMAS, TableWriter, to_arrow

MANIFEST = "report.json"
_SHARDS = "shards"
READINGS_PAGE, READINGS_FOLDER = "readings.html", "readings"
"""What `report.readings` writes beside the rest; it knows by itself what is done and what is not."""
_OURS = (MANIFEST, "index.html", "plotly.min.js", "evaluation.json", *(f"{name}.parquet" for name in SCHEMAS))

Inputs = dict[str, object]
"""All that decides the bytes of the tables: digests, options, versions, schema versions."""


class Shards:
    """A report's directory, opened for these inputs: empty, half done by the same inputs, or complete.

    Args:
        directory: Made if it is not there.
        inputs: What the tables will be made from.
        overwrite: Whether to remove another report from it. Files that are no report's are never touched.

    Raises:
        WorkbenchError: The directory holds something else.
    """

    def __init__(self, directory: Path, inputs: Inputs, *, overwrite: bool = False) -> None:
        self.directory, self.inputs = directory, json.loads(json.dumps(inputs))
        self._parts = directory / _SHARDS
        held = _held(directory)
        if held is not None and held.get("inputs") != self.inputs:
            if not overwrite:
                raise _another(directory, held, self.inputs)
            self._clear()
            held = None
        self.complete = bool(held and held.get("complete")) and all((directory / name).exists() for name in _OURS[4:])
        directory.mkdir(parents=True, exist_ok=True)
        if held is None:
            self._mark(complete=False)

    def part(self, number: int) -> Path:
        """Return the directory of a part; it exists once the part is done."""
        return self._parts / f"{number:06d}"

    def make(self, number: int, tables: Callable[[], dict[str, pl.DataFrame]]) -> bool:
        """Write the tables of a part unless they are there; a kill on the way leaves nothing of it.

        Returns:
            Whether they had to be made.
        """
        part = self.part(number)
        if part.exists():
            return False
        with replacing(part, folder=True) as unfinished:
            for name, frame in tables().items():
                pq.write_table(to_arrow(frame), unfinished / f"{name}.parquet", compression="zstd")
        return True

    def join(self, count: int) -> None:
        """Join the parts into one file per table, a row group at a time, and let the parts go."""
        for name, schema in SCHEMAS.items():
            with TableWriter(self.directory / f"{name}.parquet", schema, self.inputs) as writer:
                for number in range(count):
                    writer.write(pq.read_table(self.part(number) / f"{name}.parquet"))
        self._mark(complete=True)
        self.complete = True
        shutil.rmtree(self._parts, ignore_errors=True)

    def _mark(self, complete: bool) -> None:
        text = json.dumps({"complete": complete, "inputs": self.inputs}, indent=2, sort_keys=True)
        write_whole(self.directory / MANIFEST, text + "\n")

    def _clear(self) -> None:
        shutil.rmtree(self._parts, ignore_errors=True)
        for table in (self.directory / READINGS_FOLDER).glob("*.parquet"):
            table.unlink()
        for name in (*_OURS[1:], READINGS_PAGE, MANIFEST):  # the manifest last: it says that the rest may be removed
            (self.directory / name).unlink(missing_ok=True)


def _held(directory: Path) -> dict | None:
    """Return the manifest of a report in the directory, None if there is nothing at all."""
    if directory.exists() and not directory.is_dir():
        raise WorkbenchError(f"Cannot write a report to {directory}.", "It is a file.", "Name a directory.")
    if not directory.exists() or not any(directory.iterdir()):
        return None
    manifest = directory / MANIFEST
    if not manifest.exists():
        if all(path.name == MANIFEST + ".part" for path in directory.iterdir()):  # killed in its first moment
            return None
        raise WorkbenchError(
            f"Cannot write a report to {directory}.",
            f"It holds other files, among them {min(path.name for path in directory.iterdir())}.",
            "Name an empty or a new directory.",
        )
    try:
        held = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        held = {}
    return held if isinstance(held, dict) else {}


def _another(directory: Path, held: dict, inputs: dict) -> WorkbenchError:
    before = held.get("inputs")
    before = before if isinstance(before, dict) else {}
    differing = [name for name in inputs if before.get(name) != inputs[name]]
    return WorkbenchError(
        f"{directory} holds another report{'' if held.get('complete') else ', not yet complete'}.",
        f"It was made from other inputs ({', '.join(differing)})." if before else "Its report.json cannot be read.",
        "Name another directory, or replace that report with --overwrite.",
    )
