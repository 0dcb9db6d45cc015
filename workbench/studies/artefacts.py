"""Output directories that an interrupted command can go on with, and the Parquet tables in them.

A directory names in a manifest (`report.json`, `audit.json`) all that decides its tables: digests of model and
problems, options, versions. The same inputs open it again; other inputs need another directory, or `overwrite`.
"""

import ctypes
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import WorkbenchError
from workbench.files import is_unfinished, replacing, write_whole

Inputs = Mapping[str, object]
"""All that decides the bytes of the tables."""
_KEY = "workbench"
SHARDS = "shards"


def open_directory(
    directory: Path, manifest: str, inputs: Inputs, made: Sequence[str], *, overwrite: bool = False
) -> dict | None:
    """Make a directory ready for these inputs: a new or empty one, or one that was begun with the same inputs.

    Args:
        directory: Made if it is not there.
        manifest: Name of its manifest, `report.json`; its stem is what the directory is called in messages.
        inputs: Plain values, as JSON gives them back.
        made: Patterns of the files and folders that the command writes; only these are ever removed.
        overwrite: Whether results of other inputs may be removed.

    Returns:
        The content of the manifest, None where the directory holds nothing of these inputs.

    Raises:
        WorkbenchError: It is a file, holds other files, or results of other inputs.
    """
    kind = Path(manifest).stem
    article = "an" if kind[0] in "aeiou" else "a"
    if directory.exists() and not directory.is_dir():
        raise WorkbenchError(f"Cannot write {article} {kind} to {directory}.", "It is a file.", "Name a directory.")
    directory.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in directory.iterdir() if not is_unfinished(path))
    if names and manifest not in names:
        raise WorkbenchError(
            f"Cannot write {article} {kind} to {directory}.",
            f"It holds other files, among them {names[0]}.",
            "Name an empty or a new directory.",
        )
    if not names:
        return None
    held = read_manifest(directory / manifest)
    before = held.get("inputs", held)
    if before == inputs:
        return held
    if not overwrite:
        differing = ", ".join(name for name in inputs if before.get(name) != inputs[name])
        raise WorkbenchError(
            f"{directory} holds another {kind}{', not yet complete' if held.get('complete') is False else ''}.",
            f"It was made from other inputs ({differing})." if before else f"Its {manifest} cannot be read.",
            f"Name another directory, or replace that {kind} with --overwrite.",
        )
    for path in [path for pattern in made for path in directory.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (directory / manifest).unlink()  # the last to go: it says that the rest may be removed
    return None


def read_manifest(path: Path) -> dict:
    """Return the content of a manifest, an empty mapping where it cannot be read."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) and isinstance(held.get("inputs", {}), dict) else {}


def write_manifest(path: Path, content: Mapping[str, object]) -> None:
    """Write a manifest, keys in order."""
    write_whole(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


class TableWriter:
    """Writes a Parquet file part by part, a row group each; the file appears when all of it is written.

    Args:
        path: Of the file.
        schema: Version of its columns.
        origin: Seed, versions, commit and digests; with the version they are the file's metadata.
    """

    def __init__(self, path: Path, schema: int, origin: Inputs) -> None:
        self._path, self._stack = path, ExitStack()
        self._metadata = {"schema_version": str(schema), _KEY: json.dumps(origin, sort_keys=True)}
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "TableWriter":
        """Begin."""
        return self

    def write(self, part: pa.Table) -> None:
        """Append a part; all have the same columns."""
        if self._writer is None:
            unfinished = self._stack.enter_context(replacing(self._path))
            schema = part.schema.with_metadata({**(part.schema.metadata or {}), **self._metadata})
            self._writer = self._stack.enter_context(pq.ParquetWriter(unfinished, schema, compression="zstd"))
        self._writer.write_table(part.replace_schema_metadata(self._writer.schema.metadata), len(part))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and give it its name if nothing went wrong."""
        self._stack.__exit__(kind, error, trace)


def write_table(path: Path, frame: pl.DataFrame, schema: int, origin: Inputs) -> None:
    """Write one frame as a Parquet file, whole or not at all (see `TableWriter`)."""
    with TableWriter(path, schema, origin) as writer:
        writer.write(to_arrow(frame))


def made_from(path: Path, inputs: Inputs) -> bool:
    """Say whether a table is there, can be read, and was made from these inputs."""
    try:
        held = (pq.read_schema(path).metadata or {}).get(_KEY.encode(), b"{}")
        return json.loads(held) == json.loads(json.dumps(inputs))
    except (OSError, ValueError):  # not there, cut off, or no Parquet file at all
        return False


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return a frame as an Arrow table with the types that every Parquet reader knows."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _give_back() -> None:
    """Return memory that is free to the system: glibc keeps what lies between blocks in use, more with every part."""
    with suppress(AttributeError):  # of other C libraries, which have no such function
        ctypes.CDLL(None).malloc_trim(0)


class Shards:
    """Tables of a large set, made and kept a part of the problems at a time.

    Args:
        directory: Of the tables, see `open_directory`.
        manifest: Name of its manifest, which says whether the tables are complete.
        inputs: What the tables will be made from.
        schemas: Version of the columns of each table, by name.
        others: Patterns of other files that belong to the same results.
        overwrite: Whether results of other inputs may be removed.

    Raises:
        WorkbenchError: The directory holds something else.
    """

    def __init__(
        self,
        directory: Path,
        manifest: str,
        inputs: Inputs,
        schemas: Mapping[str, int],
        others: Sequence[str] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        self.directory, self.schemas = directory, schemas
        self.inputs = json.loads(json.dumps(inputs))
        self._parts, self._manifest = directory / SHARDS, directory / manifest
        tables = [f"{name}.parquet" for name in schemas]
        held = open_directory(directory, manifest, self.inputs, (SHARDS, *tables, *others), overwrite=overwrite)
        self.complete = bool(held and held.get("complete")) and all((directory / name).exists() for name in tables)
        if held is None:
            self._mark(complete=False)
        if self.complete:  # a process that was killed when all was done may have left them
            shutil.rmtree(self._parts, ignore_errors=True)

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
        _give_back()
        return True

    def join(self, count: int) -> None:
        """Join the parts into one file per table, a row group at a time, and remove the parts."""
        for name, schema in self.schemas.items():
            with TableWriter(self.directory / f"{name}.parquet", schema, self.inputs) as writer:
                for number in range(count):
                    writer.write(pq.read_table(self.part(number) / f"{name}.parquet"))
        self._mark(complete=True)
        self.complete = True
        shutil.rmtree(self._parts, ignore_errors=True)

    def _mark(self, complete: bool) -> None:
        write_manifest(self._manifest, {"complete": complete, "inputs": self.inputs})
