"""Settings files: YAML that becomes a frozen dataclass, every mistake named, the nearest right key beside it."""

import dataclasses
import difflib
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from workbench.errors import WorkbenchError

Settings = TypeVar("Settings")


def read_settings(path: Path, what: str) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: The file.
        what: Its name in messages: "configuration", "suite".

    Raises:
        WorkbenchError: The file cannot be read, or is no mapping.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WorkbenchError(f"Cannot read the {what} {path}.", str(error), "give a YAML file") from error
    if not isinstance(raw, dict):
        raise WorkbenchError(f"Cannot use the {what} {path}.", "it is not a mapping of keys", "see docs")
    return raw


def build(kind: type[Settings], raw: dict[str, Any], source: str, prefix: str = "") -> Settings:
    """Build a dataclass from a mapping, and its fields that are dataclasses from the mappings inside.

    Args:
        kind: A dataclass.
        raw: Keys and values; those left out take their defaults.
        source: Named in messages: "configuration mine.yaml".
        prefix: Put before the keys in messages.

    Raises:
        WorkbenchError: A key is unknown (the nearest known one is named) or missing, or a value has the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in raw.items():
        where = f"{prefix}{key}"
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known keys: {', '.join(fields)}"
            raise WorkbenchError(f"Cannot use the {source}.", f"unknown key {where}", hint)
        values[key] = convert(fields[key].type, value, source, where)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise WorkbenchError(f"Cannot use the {source}.", f"{prefix}{name} is missing", "add it")
    return kind(**values)


def convert(kind: Any, value: Any, source: str, where: str) -> Any:
    """Return a value in the type of a field: a list as a tuple, a whole number as a float."""
    origin, inside = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return build(kind, value, source, f"{where}.")  # type: ignore[arg-type]
    if origin is Literal and value in inside:
        return value
    if origin in (Union, UnionType):
        return _either(inside, value, source, where)
    if origin is tuple and isinstance(value, list):
        return tuple(convert(inside[0], item, source, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {
            convert(inside[0], key, source, f"the key {key!r} of {where}"): convert(
                inside[1], item, source, f"{where}.{key}"
            )
            for key, item in value.items()
        }
    if kind is Any:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e6 as text
        try:
            return float(value)
        except ValueError:
            pass
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):  # mixing: 0.1
        return str(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise WorkbenchError(
        f"Cannot use the {source}.", f"{where} is {value!r}, expected {_expected(kind)}", "change the value"
    )


def _either(kinds: tuple[Any, ...], value: Any, source: str, where: str) -> Any:
    """Return the value as the first of several types that takes it."""
    if value is None and type(None) in kinds:
        return None
    error: WorkbenchError | None = None
    for kind in kinds:
        try:
            return convert(kind, value, source, where)
        except WorkbenchError as one:
            error = error or one
    raise error or WorkbenchError(f"Cannot use the {source}.", f"{where} is {value!r}", "change the value")


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) is tuple:
        return "a list"
    if get_origin(kind) is dict or dataclasses.is_dataclass(kind):
        return "a mapping"
    return getattr(kind, "__name__", str(kind))
