"""Where the names in a problem's graph stand: under their nodes, so that none touches another in the narrowest picture.

A figure does not know how wide it will be drawn. Names are set for the narrowest picture that the pages draw; in a
wider one they only move apart. Widths are summed from the advances of Helvetica, wider than the explorer's own font.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from workbench.figures.layout import Layout
from workbench.problems.problem import Problem

NARROWEST = 480
"""Pixels of the narrowest picture; pages scroll sideways where they have less."""
MARGINS = 84, 16
"""Pixels left and right of the plot."""
FONT, ROLE_FONT = 11.5, 9.0
"""Pixels of a name and of the role after it."""
BOLD = 1.07
"""How much wider bold letters are, at most."""
APART = 4.0
"""Pixels between two names, at least."""
ADVANCES = {
    **dict.fromkeys("ijl'|", 222), **dict.fromkeys("ftI .,:;!/()[]", 278), **dict.fromkeys('r-"', 355),
    **dict.fromkeys("ckJsvxyz", 500), **dict.fromkeys("abdeghnopqu0123456789_", 556), **dict.fromkeys("FLTZ", 611),
    **dict.fromkeys("+−<>=", 584),
    **dict.fromkeys("AEBKPSVXYCDHNRUw&", 722), **dict.fromkeys("GOQ", 778), "m": 833, **dict.fromkeys("MW%@", 1015),
}  # fmt: skip
"""Widths of letters in thousandths of the font's size: Helvetica's, those of a kind rounded up."""
WIDE = 1000
"""The same for all other letters."""
DROP = 0.3
"""Rows from a node to its name: clear of the largest circle, the same whatever the value."""
STAGGER = 0.15
"""Rows from one level of names to the next."""
LEVELS = 3
"""Levels on which the names of a row hang; where all are full, names are shortened."""
UNDER = 0.17
"""Rows from the middle of a name to where edges leave below it."""
LEAST_PAD, LEAST_FOOT = 0.75, 0.62
"""From the outermost nodes to the sides of the plot, in node distances, and to its foot, in rows, at least."""
LONGEST, LEAST = 120.0, 12.0
"""Pixels of the longest label, a longer name is shortened; and how short names get in a row that has no room."""


@dataclass(frozen=True)
class Labels:
    """What is written under each node and where, and how far the plot reaches sideways."""

    names: tuple[str, ...]
    """As written: whole, or shortened."""
    drop: Float[np.ndarray, "nodes"]
    """Rows from each node to the middle of its name."""
    span: tuple[float, float]
    """Both ends of the x axis, in node distances."""
    foot: float
    """The lower end of the y axis, in rows: under the last name."""

    @property
    def below(self) -> Float[np.ndarray, "nodes"]:
        """Rows from each node to where its edges leave: under its name."""
        return self.drop + UNDER


def text_width(text: str, size: float = FONT) -> float:
    """Return how many pixels a text takes at most, on one line.

    Examples:
        >>> round(text_width("scrompus"), 1)
        50.1
    """
    return sum(ADVANCES.get(letter, WIDE) for letter in text) * size / 1000


def shortened(name: str, room: float, size: float = FONT) -> str:
    """Return a name that takes no more than `room` pixels: whole, or its first letters and an ellipsis.

    Examples:
        >>> shortened("scrompus", 40.0)
        'scro…'
    """
    if text_width(name, size) <= room:
        return name
    kept = next((end for end in range(len(name) - 1, 1, -1) if text_width(f"{name[:end]}…", size) <= room), 1)
    return f"{name[:kept]}…"


def place_labels(problem: Problem, made: Layout, roles: Mapping[int, str]) -> Labels:
    """Return where the names of a problem's nodes stand; they depend on the problem alone.

    Args:
        problem: The problem.
        made: Its layout.
        roles: Node to what is written after its name.
    """
    bold = np.array([BOLD if node in roles else 1.0 for node in range(len(problem.names))])
    after = np.array([
        text_width(" ") + text_width(roles[node].upper(), ROLE_FONT) if node in roles else 0.0
        for node in range(len(problem.names))
    ])  # fmt: skip
    names = [shortened(name, (LONGEST - after[n]) / bold[n]) for n, name in enumerate(problem.names)]

    def widths() -> Float[np.ndarray, "nodes"]:
        return np.array([text_width(name) for name in names]) * bold + after + APART

    low, high, scale = _span(made, widths() / 2)
    drop, middle = np.full(len(names), DROP), made.x * scale
    for level in np.unique(made.y.round(3)):
        row = np.flatnonzero(np.isclose(made.y, level, atol=1e-3))
        limit = LONGEST
        while (hung := _hang(middle[row], widths()[row])) is None and limit > LEAST:
            limit *= 0.9
            for node in row.tolist():
                names[node] = shortened(names[node], (limit - after[node]) / bold[node])
        drop[row] += STAGGER * (np.arange(len(row)) % LEVELS if hung is None else hung)
    foot = max(made.bottom + LEAST_FOOT, float((made.y + drop).max()) + UNDER)
    return Labels(tuple(names), drop, (low, high), foot)


def _hang(middle: Float[np.ndarray, "row"], width: Float[np.ndarray, "row"]) -> Int[np.ndarray, "row"] | None:
    """Return the level of each name of a row, None where there are too few."""
    ends, hung = np.full(LEVELS, -np.inf), np.zeros(len(middle), int)
    # From left to right, each on the first level that is free: no other order needs fewer levels.
    for place in np.argsort(middle - width / 2, kind="stable").tolist():
        free = np.flatnonzero(ends <= middle[place] - width[place] / 2)
        if not len(free):
            return None
        hung[place] = free[0]
        ends[free[0]] = middle[place] + width[place] / 2
    return hung


def _span(made: Layout, half: np.ndarray) -> tuple[float, float, float]:
    """Return both ends of the x axis and the pixels of a node distance in the narrowest picture."""
    right = made.band[1] + 0.1 if made.band else made.right + LEAST_PAD
    low, high, plot = made.left - LEAST_PAD, right, NARROWEST - sum(MARGINS)
    for _ in range(8):
        scale = plot / (high - low)
        low = min(low, float((made.x - half / scale).min()))
        high = max(high, float((made.x + half / scale).max()))
    return low, high, plot / (high - low)
