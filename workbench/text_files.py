"""Text files of others, read with care: size, encoding, foreign kinds, and every shape fault in words."""

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from workbench.errors import WorkbenchError
from workbench.oracle import Fault
from workbench.sentences import clip, listed

Shape = TypeVar("Shape", bound=BaseModel)

MOST_OF_ITEM = 10
"""Faults of one item printed one by one."""

_FOREIGN = {
    b"\x80": "it is a pickle, which can run code when it is read",
    b"PK\x03\x04": "it is a zip archive (or a checkpoint)",
    b"\x1f\x8b": "it is compressed with gzip",
    b"PAR1": "it is a Parquet table",
    b"\xff\xfe": "it is encoded in UTF-16",
    b"\xfe\xff": "it is encoded in UTF-16",
}


def read_text(path: Path, most_bytes: int, kind: str, do: str) -> str:
    """Read a text file.

    Args:
        path: The file.
        most_bytes: The largest file read.
        kind: What it should be, for messages: "JSON file".
        do: What to give instead, for messages.

    Raises:
        WorkbenchError: It is no ordinary file, too large, of a foreign kind, or no UTF-8.
    """
    what = f"Cannot read problems from {path}."
    try:
        if path.is_dir():
            raise WorkbenchError(what, "It is a directory, not a file.", f"Name a {kind}.")
        if path.exists() and not path.is_file():
            raise WorkbenchError(what, "It is no ordinary file.", f"Name a {kind}.")
        size = path.stat().st_size
        if size > most_bytes:
            why = f"It has {size / 2**20:.0f} MB; {most_bytes // 2**20} MB are allowed."
            raise WorkbenchError(what, why, "Split the file.")
        data = path.read_bytes()
    except OSError as error:
        raise WorkbenchError(what, f"{error.strerror or error}.", "Check the path.") from error
    for magic, reason in _FOREIGN.items():
        if data.startswith(magic):
            raise WorkbenchError(what, f"It is not a {kind.removesuffix(' file')} text: {reason}.", do)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkbenchError(what, f"Byte {error.start} is not UTF-8 text.", do) from error


def read_json(text: str, path: Path, do: str) -> Any:
    """Parse the JSON text of a file.

    Raises:
        WorkbenchError: It is no JSON, or cut off.
    """
    try:
        return from_json(text)
    except ValueError as error:
        cut = " The file seems to be cut off." if str(error).startswith("EOF") else ""
        raise WorkbenchError(
            f"Cannot read problems from {path}.", f"It is not valid JSON: {error}.{cut}", do
        ) from error


def read_shape(shape: type[Shape], data: object) -> tuple[Shape | None, list[Fault]]:
    """Check an object of JSON against its shape: the shape filled in, or everything that is wrong."""
    try:
        return shape.model_validate(data), []
    except ValidationError as error:
        return None, [_shape_fault(dict(one)) for one in error.errors(include_url=False)]


def in_words(number: int, faults: list[Fault]) -> str:
    """Return the faults of one item for a message."""
    reasons = [f"{fault.field}: {fault.reason}" for fault in faults]
    return f"item {number}, " + "; ".join(listed(reasons, MOST_OF_ITEM))


def refuse(path: Path, total: int, bad: list[str]) -> None:
    """Say what is wrong with the items of a file.

    Raises:
        WorkbenchError: There are bad ones.
    """
    if bad:
        raise WorkbenchError(
            f"Nothing was loaded from {path}: {len(bad)} of its {total} problems are faulty.",
            "\n       ".join(listed(bad)),
            "Correct these items (counted from 0) or take them out of the file.",
        )


def write_whole(data: bytes, path: Path) -> None:
    """Write a file so that it is there whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)


def _shape_fault(error: dict[str, Any]) -> Fault:
    """Put one of pydantic's findings into a fault: the field, the place in it, the value found."""
    field, *place = error["loc"] or ("the problem",)
    where = "".join(f"[{part}]" for part in place)
    value = "" if error["type"] == "missing" else f", got {clip(repr(error['input']), 60)}"
    return Fault(f"{field}{where}", error["msg"][0].lower() + error["msg"][1:] + value)
