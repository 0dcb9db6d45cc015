"""Does the answer rest on the edges that thoughts attend to? Attention of one thought's making to edges, knocked out.

Thought k is made by edges from hop k - 1 to hop k (with several thoughts to a step, to the hop that it stands for). The
column that makes it is blinded to those of them that continue a shortest path to the target (**optimal**), to as many
others of the same two hops (**other frontier**), or to as many edges that do not leave that hop (**elsewhere**); by all
heads, by the head that direct attribution names (**leading head**), or by all heads but that one. If the attribution is
right, the answer suffers from the first and hardly from the second, and most of what all heads do is done by the
leading one.

Where the optimal edge leads to the target itself (the last hop), the knock-out hides the answer's
name: those rows are marked, and kept apart in figures.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from jaxtyping import Int

from workbench.figures.attention import knockout_figures
from workbench.measure.recording import Recording, memoize
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.readings.attribution import leading_head
from workbench.readings.base import Reading
from workbench.readings.knockout import Effect, Heads, Knockout, knock_out

ARMS = ("optimal", "other frontier", "elsewhere")
"""Which edges are knocked out."""
SCOPES = ("all heads", "leading head", "other heads")
"""Whose attention is knocked out."""


def frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought, scope, arm) where every arm has as many edges as the optimal one.

    Columns: run, problem, steps, thought (the one made without the edges), scope (`SCOPES`), head (that leads, "L1H3"),
    arm (`ARMS`), edges (how many are knocked out), names_target (whether an optimal edge leads to the target), before
    and after (logit of target less negative without and with the knock-out), change (after - before), right_before and
    right (whether the target is the likeliest token).

    Args:
        recordings: Of the model and its controls; the head that leads is the first recording's.
        seed: Of the choice among edges.
    """
    head = leading_head(recordings[0], seed)
    return pl.concat([_of(recording, head, seed) for recording in recordings])


def chosen(problem: Problem, hop: int, row: int, seed: int) -> dict[str, tuple[int, ...]]:
    """Return the edges of each arm that lead to a hop; none where an arm has fewer than the optimal one has."""
    about, draw = structure(problem), np.random.default_rng([seed, row, hop])
    ends = about.hops[np.array(problem.edges)]  # [edges, 2]
    onward = (ends[:, 0] == hop - 1) & (ends[:, 1] == hop)
    optimal = onward & about.optimal[np.array(problem.edges)].all(1)
    count = int(optimal.sum())
    arms = dict(zip(ARMS, (optimal, onward & ~optimal, ends[:, 0] != hop - 1), strict=True))
    if not count or any(edges.sum() < count for edges in arms.values()):
        return {}
    return {
        arm: tuple(sorted(draw.choice(np.flatnonzero(edges), count, replace=False).tolist()))
        for arm, edges in arms.items()
    }


def _conditions(count: int, leads: Heads) -> Iterator[tuple[int, str, str, Heads | None]]:
    """Yield thought, scope, arm and heads of every knock-out."""
    for thought in range(1, count + 1):
        for scope, heads in zip(SCOPES, (None, leads, ~leads), strict=True):
            for arm in ARMS if scope == SCOPES[0] else ARMS[:2]:
                yield thought, scope, arm, heads


@memoize
def _of(recording: Recording, head: tuple[int, int], seed: int) -> pl.DataFrame:
    config, problems = recording.checkpoint.model.config, recording.problems
    leads = np.zeros((config.num_hidden_layers, config.num_attention_heads), bool)
    leads[head] = True
    hops = [recording.traces[0].hop(k) for k in range(1, recording.count + 1)]
    edges = [[chosen(problem, hop, row, seed) for row, problem in enumerate(problems)] for hop in hops]
    conditions = list(_conditions(recording.count, leads))
    knockouts = [
        Knockout(k, tuple(arms.get(arm, ()) for arms in edges[k - 1]), heads) for k, _, arm, heads in conditions
    ]
    effect = knock_out(recording, knockouts)
    parts = [_rows(recording, effect, number, *condition[:3], edges) for number, condition in enumerate(conditions, 1)]
    return pl.concat(parts).with_columns(head=pl.lit("L{}H{}".format(*head)))


def _rows(
    recording: Recording,
    effect: Effect,
    number: int,
    thought: int,
    scope: str,
    arm: str,
    edges: list[list[dict[str, tuple[int, ...]]]],
) -> pl.DataFrame:
    """Return the rows of one knock-out, of the problems that have its edges."""
    kept: Int[np.ndarray, " kept"] = np.flatnonzero([bool(arms) for arms in edges[thought - 1]])
    problems = [recording.problems[row] for row in kept]
    steps = np.array([structure(problem).length for problem in problems], dtype=np.int16)
    before, after = effect.logit_difference[0, kept], effect.logit_difference[number, kept]
    return pl.DataFrame(
        {
            RUN: pl.Series([recording.label] * len(kept), dtype=pl.String),
            "problem": pl.Series([problem.id for problem in problems], dtype=pl.String),
            "steps": pl.Series(steps, dtype=pl.Int16),
            "thought": pl.Series([thought] * len(kept), dtype=pl.Int16),
            "scope": pl.Series([scope] * len(kept), dtype=pl.String),
            "arm": pl.Series([arm] * len(kept), dtype=pl.String),
            "edges": pl.Series([len(edges[thought - 1][row][arm]) for row in kept], dtype=pl.Int16),
            "names_target": steps == recording.traces[0].hop(thought),
            "before": before,
            "after": after,
            "change": after - before,
            "right_before": effect.right[0, kept],
            "right": effect.right[number, kept],
        }
    )


READING = Reading(
    name="edge_knockout",
    title="Edges knocked out",
    question="Does the answer suffer when a thought is made blind to the edge that leads on to the target?",
    source="Attention knock-out: Geva et al. 2023, arXiv 2304.14767; on thoughts, none known to us",
    chance="As many other edges between the same two hops, and as many elsewhere.",
    schema=1,
    frame=frame,
    figures=knockout_figures,
)
