"""Which answers of the bundled runs to the bundled sets are right: shipped, so that a filter need not wait for them.

`python -m tests.outcomes` writes the file again, after a run or a set has changed: what was made from other weights or
other problems is not found, and is answered on the spot.
"""

import json
from collections.abc import Hashable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

from workbench import catalog
from workbench.problems.problem import Item, Problem

FILE = catalog.ROOT / "fixtures" / "outcomes.json"
SETS = ("released", "small")


def shipped(key: Hashable, items: Sequence[Problem] | Sequence[Item]) -> dict[str, bool] | None:
    """Return for each problem's id whether the answer is right, None where that did not ship.

    Args:
        key: Of weights, problems, number of thoughts and what follows them.
        items: The whole set.
    """
    held = _read(FILE).get(name_of(key), "")
    ids = sorted(item.id for item in items)
    return {id: one == "1" for id, one in zip(ids, held, strict=True)} if held else None


@cache
def _read(file: Path) -> dict[str, str]:
    return json.loads(file.read_text())["right"] if file.is_file() else {}


def name_of(key: Hashable) -> str:
    """Return the name under which outcomes are kept."""
    return sha256(repr(key).encode()).hexdigest()
