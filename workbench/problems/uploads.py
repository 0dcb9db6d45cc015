"""Files of others, read with care: size, encoding, foreign kinds, and everything that is wrong with them in words."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from workbench.errors import WorkbenchError, clip, listed
from workbench.problems.problem import Fault, Item, Problem

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


Sound = TypeVar("Sound", bound=Problem | Item)


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
    except (OSError, ValueError) as error:  # a name may hold a null byte
        raise WorkbenchError(what, f"{getattr(error, 'strerror', None) or error}.", "Check the path.") from error
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
        why = f"It is not valid JSON: {error}.{cut}"
        raise WorkbenchError(f"Cannot read problems from {path}.", why, do) from error


def read_shape(shape: type[Shape], data: object) -> tuple[Shape | None, list[Fault]]:
    """Return an object of JSON as its shape, or None and everything that is wrong: field, place in it, value found."""
    try:
        return shape.model_validate(data), []
    except ValidationError as error:
        faults = []
        for one in error.errors(include_url=False):
            field, *place = one["loc"] or ("the problem",)
            value = "" if one["type"] == "missing" else f", got {clip(repr(one['input']), 60)}"
            where = f"{field}{''.join(f'[{part}]' for part in place)}"
            faults.append(Fault(where, one["msg"][0].lower() + one["msg"][1:] + value))
        return None, faults


def all_sound(path: Path, read: Iterable[tuple[Sound | None, list[Fault]]]) -> list[Sound]:
    """Return the problems or items of a file, if nothing is wrong with any of them.

    Args:
        path: The file, for messages.
        read: For each in turn what was read, if anything, and what is wrong with it.

    Raises:
        WorkbenchError: Naming item (from 0), field and reason of every fault; an id that comes twice is one.
    """
    sound: list[Sound] = []
    bad: list[str] = []
    places: dict[str, int] = {}
    total = 0
    for number, (item, faults) in enumerate(read):
        total += 1
        if item is not None:
            if places.setdefault(item.id, number) != number:
                faults = [*faults, Fault("id", f"{item.id!r} is the id of item {places[item.id]} too")]
            sound.append(item)
        if faults:
            reasons = [f"{fault.field}: {fault.reason}" for fault in faults]
            bad.append(f"item {number}, " + "; ".join(listed(reasons, MOST_OF_ITEM)))
    if bad:
        raise WorkbenchError(
            f"Nothing was loaded from {path}: {len(bad)} of its {total} problems are faulty.",
            "\n       ".join(listed(bad)),
            "Correct these items (counted from 0) or take them out of the file.",
        )
    return sound
