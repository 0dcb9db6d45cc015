"""Files of problems of any task: ProsQA's, which have graphs, and those that are words alone."""

from collections.abc import Sequence
from pathlib import Path

from workbench.problem import Problem
from workbench.problem_files import load_problems
from workbench.tasks.item import Item
from workbench.tasks.item_files import load_items

_PROSQA = b'"idx_to_symbol"'
_LOOK = 1 << 20
"""Bytes looked at: more than a problem has."""


def load_any(path: Path) -> Sequence[Problem] | Sequence[Item]:
    """Read a file of problems; whether they have graphs shows in its first problem.

    Raises:
        WorkbenchError: naming file, item, field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            prosqa = _PROSQA in file.read(_LOOK)
    except OSError:
        prosqa = False  # the reader below says what is wrong
    return load_problems(path) if prosqa else load_items(path)
