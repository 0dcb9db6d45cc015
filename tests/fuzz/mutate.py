"""Damage to text and to JSON, drawn from a seeded generator: what others might send."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import yaml

TOKENS = (
    "9" * 5000, "-1", "1e999", "NaN", "9223372036854775808", "0x" + "f" * 5000, "1:" + "9" * 5000, "null",
    "true", "~", '"', "'", "\\ud800", "\\u0000", "\x00", "\x1b[2J", "\ufeff", "\u202e", "é" * 300, "x" * 20_000,
    "../", "%", "{{", "}", "[" * 500, "]", "{" * 500, "- " * 500, ": ", "&a ", "*a", "<<: *a",
    "!!python/object:os.system ", "!!bool x", "? ", "|\n", "%TAG", "---\n", ",", ";", "=", "~",
    "<!DOCTYPE x [<!ENTITY a 'b'>]>", "</script>", "<node/>", "####", "||", "<<1/0=0>>", "Every ", "Is ", " a ",
    " or ", ".", "?", "0.1", "1e-9", "freeze", "2026-02-30", "b'x'",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 63, 64, 255, 256, 1000, 10**6, 10**9, 2**31, 2**63, 10**30, 0.5, 1e300, 1e-300,
    float("nan"), float("inf"), "", "x", "0", "half \ud800", "x" * 20_000, "../x", "a/b", "\x00", [], [[]], [None], {},
    {"": None}, {"a": {"b": 1}}, [0] * 300, "text", "edges", "hidden", "eager", "someone/kernel", "torch.float8_e4m3fn",
)  # fmt: skip
"""In place of any value of a JSON document."""


def damage(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """Return a text with one to four spans removed, repeated, exchanged or overwritten."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 1, 2, 8, 64, 1024)))
        kind, other = rng.randrange(6), rng.choice(others)
        place = rng.randint(0, len(other))
        middle = (
            "",
            text[start:end] * rng.choice((2, 3, 50)),
            rng.choice(TOKENS),
            other[place : place + rng.choice((1, 16, 256, 4096))],
            chr(rng.choice((0, 9, 10, 34, 39, 44, 45, 58, 91, 123, 0x7F, 0x85, 0xD7FF, 0x1F600))),
            rng.choice(TOKENS),
        )[kind]
        text = text[:start] + middle + text[end:]
        if rng.random() < 0.03:
            text = text[:start]
    return text[:200_000]


def damage_value(rng: random.Random, value: Any) -> Any:
    """Return a JSON value with one to three of the values in it replaced, removed, repeated or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(rng.choice(VALUES))
        inside, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, dict):
            inside[rng.choice(("", "x", "id", "a b", "\ud800", str(key) + "s"))] = inside.pop(key)
        elif kind == 2:
            inside[key] = [inside[key]] * rng.choice((1, 2, 300))
        elif kind == 3:
            inside[key] = str(inside[key])
        elif kind == 4:
            inside[key] = _deep(rng.choice((30, 40, 900)), inside[key])
        else:
            inside[key] = copy.deepcopy(rng.choice(VALUES))  # they are damaged in turn
    return value


def damage_json(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """Return a JSON text damaged by its structure or, one time in three or where it is none, as text."""
    value = None
    if rng.random() < 0.67:
        with suppress(ValueError):
            value = json.loads(text)
    return damage(rng, text, others) if value is None else json.dumps(damage_value(rng, value))


def damage_yaml(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """Return a YAML text damaged by its structure or, half of the time or where it is none, as text."""
    if rng.random() < 0.5:
        with suppress(yaml.YAMLError, ValueError, RecursionError):
            value = damage_value(rng, yaml.safe_load(text))
            return yaml.safe_dump(value, sort_keys=False, allow_unicode=rng.random() < 0.5)
    return damage(rng, text, others)


Damage = Callable[[random.Random, str, Sequence[str]], str]


def _places(value: Any) -> Any:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield value, key
        yield from _places(one)


def _deep(levels: int, value: Any) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value
