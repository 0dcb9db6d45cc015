"""Where the nodes of a problem's graph stand: computed from the problem alone, so that nothing moves with the thoughts.

Row k holds the nodes at hop k from the root. Rows are ordered by sweeps of barycentres (Sugiyama et al. 1981), which
on ProsQA graphs leaves about a fourth of the crossings of the plain order. Nodes that the root does not reach stand in
a band of their own at the side, in rows by their hops from the nearest source of that part.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import isotonic_regression

from workbench.problems.graph import shortest_height, structure
from workbench.problems.problem import Problem

SWEEPS = 12
GAP = 1.1
"""Room between the rows and the side band, in node distances."""
BAND_ROW = 4
"""Most nodes in a row of the side band."""
BAND_STEP = 0.75
"""Least distance of the rows of the side band, in hop rows."""


@dataclass(frozen=True)
class Layout:
    """Positions in units of one node distance (x) and one row (y, growing downwards)."""

    x: Float[np.ndarray, "nodes"]
    y: Float[np.ndarray, "nodes"]
    rows: int
    """Number of hop rows, the root's included."""
    left: float
    """Left edge of the hop rows."""
    right: float
    """Right edge of the hop rows."""
    band: tuple[float, float] | None
    """Left and right edge of the side band; None where the root reaches every node."""
    bottom: float
    """Largest y."""


@lru_cache(maxsize=512)
def layout(problem: Problem) -> Layout:
    """Lay out a problem's graph; see the module's docstring."""
    about = structure(problem)
    nodes = len(problem.names)
    x, y = np.zeros(nodes), np.zeros(nodes)
    row_of = np.where(about.reachable, about.hops, -1)
    rows = [np.flatnonzero(row_of == hop).tolist() for hop in range(int(row_of.max()) + 1)]
    _place(rows, about.adjacency, x)
    y[about.reachable] = row_of[about.reachable]
    left, right = float(x[about.reachable].min()), float(x[about.reachable].max())
    outside = ~about.reachable
    if not outside.any():
        return Layout(x, y, len(rows), left, right, None, float(len(rows) - 1))
    side = _band_rows(about.adjacency, outside)
    _place(side, about.adjacency, x)
    shift = right + GAP + 1 - x[outside].min()
    x[outside] += shift
    bottom = float(max(len(rows) - 1, BAND_STEP * (len(side) - 1)))
    centred = len(side) == 1 or bottom / len(side) >= BAND_STEP
    for level, members in enumerate(side):
        # Evenly over the height: a band packed at the top would leave most of its side empty.
        y[members] = bottom * ((level + 0.5) / len(side) if centred else level / (len(side) - 1))
    return Layout(x, y, len(rows), left, right, (right + GAP, float(x[outside].max()) + 1), bottom)


def _band_rows(adjacency: Bool[np.ndarray, "nodes nodes"], members: Bool[np.ndarray, "nodes"]) -> list[list[int]]:
    """Return the members in rows by hops from the nearest source among them, at most `BAND_ROW` in a row."""
    inside = adjacency & members[:, None] & members[None, :]
    level = shortest_height(inside.T)  # distance to a leaf of the reversed graph
    rows: list[list[int]] = []
    for depth in range(int(level[members].max()) + 1):
        row = np.flatnonzero(members & (level == depth)).tolist()
        parts = -(-len(row) // BAND_ROW)
        rows += [row[part::parts] for part in range(parts)]
    return rows


def _place(rows: list[list[int]], adjacency: Bool[np.ndarray, "nodes nodes"], x: Float[np.ndarray, "nodes"]) -> None:
    """Order each row in place and write its nodes' x: neighbours one apart or more, close to what they join."""
    links = adjacency | adjacency.T
    best, fewest = [list(row) for row in rows], np.inf
    for sweep in range(SWEEPS):
        order = range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1)
        for index in order:
            other = rows[index - 1] if sweep % 2 == 0 else rows[index + 1]
            rank = np.arange(len(other))
            centre = {
                node: (rank @ links[other, node]) / max(links[other, node].sum(), 1)
                if links[other, node].any()
                else rows[index].index(node) / max(len(rows[index]), 1) * len(other)
                for node in rows[index]
            }
            rows[index].sort(key=lambda node: (centre[node], node))
        crossed = sum(crossings(links[np.ix_(upper, lower)]) for upper, lower in pairwise(rows))
        if crossed < fewest:
            best, fewest = [list(row) for row in rows], crossed
    rows[:] = best
    half = (max(len(row) for row in rows) - 1) / 2
    for row in rows:
        x[row] = np.arange(len(row)) - (len(row) - 1) / 2
    for sweep in range(SWEEPS):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for index in order:
            row, near = rows[index], [n for r in rows[max(index - 1, 0) : index + 2] if r is not rows[index] for n in r]
            wish = np.array([x[near][links[near, n]].mean() if links[near, n].any() else x[n] for n in row])
            slots = np.arange(len(row))
            # Closest positions to the wished ones with distances of one or more: isotonic in x - slot.
            moved = isotonic_regression(wish - slots).x
            x[row] = np.clip(moved, -half, half - len(row) + 1) + slots


def crossings(links: Bool[np.ndarray, "upper lower"]) -> int:
    """Return how many pairs of straight edges between two ordered rows cross."""
    upper, lower = np.nonzero(links)
    return int(((upper[:, None] < upper[None, :]) & (lower[:, None] > lower[None, :])).sum())
