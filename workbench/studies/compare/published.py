"""The numbers that papers print, with source and section; they stand beside ours and never among them."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from workbench.settings import build, read_settings
from workbench.train.methods import find_method

GRAPH_TASKS = ("edges", "prosqa")
"""Tasks of the training configuration whose problems are ProsQA's."""
FILE = Path(__file__).with_name("published.yaml")
TITLES = {"prosqa": "ProsQA", "prontoqa": "ProntoQA", "gsm8k": "GSM8k"}


@dataclass(frozen=True)
class Source:
    """Where numbers come from."""

    short: str
    """In the heading of a column."""
    title: str
    about: str
    """Model, data and whatever else differs from ours."""


@dataclass(frozen=True)
class Column:
    """One published column."""

    source: str
    section: str
    measure: str


@dataclass(frozen=True)
class Published:
    """All published numbers."""

    sources: dict[str, Source]
    columns: tuple[Column, ...]
    numbers: dict[str, dict[str, dict[str, dict[str, tuple[float, ...]]]]] = field(default_factory=dict)
    """Source, measure, task, method: value, and spread over runs where one is printed."""

    def number(self, column: Column, task: str, method: str) -> tuple[float, ...] | None:
        """Return value (and spread) as printed, None where nothing is."""
        return self.numbers.get(column.source, {}).get(column.measure, {}).get(task, {}).get(method)

    def columns_for(self, task: str) -> list[Column]:
        """Return the columns that have a number for a task."""
        return [c for c in self.columns if self.numbers.get(c.source, {}).get(c.measure, {}).get(task)]


@cache
def load_published() -> Published:
    """Read the published numbers that ship."""
    published = build(Published, read_settings(FILE, "published numbers"), "published numbers")
    for measures in published.numbers.values():
        for tasks in measures.values():
            for methods in tasks.values():
                for method in methods:
                    find_method(method)
    return published


def published_task(task: str) -> str:
    """Return the papers' task that one of ours stands beside: ours are generated in its likeness."""
    return {**dict.fromkeys(GRAPH_TASKS, "prosqa"), "arithmetic": "gsm8k"}.get(task, task)


def shown(number: tuple[float, ...] | None, measure: str) -> str:
    """Return a published number as printed: a share in percent with its spread, tokens and seconds as they are."""
    if number is None:
        return "–"
    scale, digits = (100, 1) if measure not in ("tokens", "seconds") else (1, 2 if measure == "seconds" else 1)
    value = f"{number[0] * scale:.{digits}f}"
    return f"{value} ± {number[1] * scale:.{digits}f}" if len(number) > 1 else value
