"""Settings files: YAML that becomes a frozen dataclass, every mistake named, the nearest right key beside it."""

import dataclasses
import difflib
import json
from collections import Counter
from contextlib import suppress
from math import isnan
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from workbench.errors import WorkbenchError

Settings = TypeVar("Settings")

MOST_YAML = 64_000
"""Characters of the longest YAML read."""
MOST_REPEATED = 500
"""Characters of the longest text that an alias may repeat."""
MOST_WHOLE = 2**63 - 1
"""The largest whole number read, as numpy and torch hold it."""


class _Strict(yaml.SafeLoader):
    """No key twice, where YAML takes the last; and aliases of short texts and numbers alone.

    Lists of aliases of lists are billions of values once built.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            node = self.anchors.get(self.peek_event().anchor)
            if not isinstance(node, yaml.ScalarNode) or len(node.value) > MOST_REPEATED:
                raise yaml.YAMLError("it has an alias (*name) of a list, a mapping or a long text; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for key, times in keys.items() if times > 1]:
            raise yaml.YAMLError(f"it has the key {twice[0]} twice; leave one of them out")
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Return what YAML says: plain values, text that a file can hold.

    Raises:
        ValueError: It is too long, or no YAML, and why.
    """
    if len(text) > MOST_YAML:
        raise ValueError(f"it has {len(text)} characters, at most {MOST_YAML} are read")
    try:
        raw = yaml.load(text, _Strict)
        # Escapes in YAML can make half of a surrogate pair, which no file can hold.
        json.dumps(raw, ensure_ascii=False, skipkeys=True, default=repr).encode()
    except Exception as error:  # PyYAML lets through what int, float and datetime raise, and a KeyError for "!!bool x"
        raise ValueError(str(error) if isinstance(error, yaml.YAMLError) else f"it cannot be read: {error}") from error
    return raw


def read_settings(path: Path, what: str) -> dict[Any, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: The file.
        what: Its name in messages: "configuration", "suite".

    Raises:
        WorkbenchError: The file cannot be read, or is no mapping.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no ordinary file")
        with path.open(encoding="utf-8") as file:
            raw = parse_yaml(file.read(MOST_YAML + 1))
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"Cannot read the {what} {path}.", str(error), "correct the file") from error
    if not isinstance(raw, dict):
        raise WorkbenchError(f"Cannot use the {what} {path}.", "it is not a mapping of keys", "see docs")
    return raw


def build(kind: type[Settings], raw: dict[Any, Any], source: str, prefix: str = "") -> Settings:
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
        return build(kind, value, source, f"{where}.")
    if origin is Literal and value in inside:
        return inside[inside.index(value)]  # True for 1
    if origin in (Union, UnionType):
        return _either(inside, value, source, where)
    if origin is tuple and isinstance(value, list | tuple):  # a tuple where a configuration is built of another
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
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):  # text, too: YAML 1.1 reads 1e6 as that
            if not isnan(number := float(value)):
                return number
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):  # mixing: 0.1
        return str(value)
    if kind in (int, str, bool) and type(value) is kind and not (type(value) is int and abs(value) > MOST_WHOLE):
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
