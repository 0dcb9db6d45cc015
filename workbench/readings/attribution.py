"""Which head makes a thought, along which edges, and whether the answer rests on them.

**Attribution.** Thought k is made at column k - 1 of a recording, from edges that leave hop k - 1 (with several
thoughts to a step, the hop before the one that the thought stands for). There the question is which part of the
residual stream raises the logits of the nodes at hop k over the problem's other concepts; at the answer's column, which
part raises the target over the negative. Direct attribution says what a part writes itself, not what later parts make
of it.

**Edge, thought, answer.** For each edge and thought: how much the heads attend to the edge's tokens, and what they
write from there towards the edge's own target (its logit less the mean of the other concepts). Read along the optimal
edges this is the route root → ... → target with the weight of each step. It is direct too; the knock-out says whether
the answer rests on it.

**Edges knocked out.** The column that makes thought k does not see some edges from hop k - 1 to hop k: those that
continue a shortest path to the target (**optimal**), as many others of the same two hops (**other frontier**), or as
many edges that do not leave that hop (**elsewhere**); by all heads, by the head that direct attribution names
(**leading head**), or by all heads but that one. If the attribution is right, the answer suffers from the first and
hardly from the second, and most of the effect of all heads is that of the leading one. Where the optimal edge leads to
the target itself (the last hop), the knock-out hides the answer's name: those rows are marked, and kept apart in
figures.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from jaxtyping import Int

from workbench.figures.attention import attribution_figures, edge_path_figures, knockout_figures
from workbench.measure.class_means import EXCLUSIVE
from workbench.measure.recording import Recording, memoize
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.readings.attention import edge_codes
from workbench.readings.base import Reading, hops_read, named, rows, steps
from workbench.readings.direct_attribution import Attribution, attribute
from workbench.readings.knockout import EdgeCut, Effect, Heads, knock_out

AT_ANSWER = ("into the target", "into the negative", "into others")
"""Classes of edges where the answer is named."""
CLASSES = (*EXCLUSIVE, *AT_ANSWER)
ARMS = ("optimal", "other frontier", "elsewhere")
"""Which edges are knocked out."""
SCOPES = ("all heads", "leading head", "other heads")
"""Whose attention is knocked out."""


def attribution_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought or answer, part).

    Columns: run, problem, steps, thought (the one that is made; null where the answer is named), part ("L1H3", "L1
    MLP", "fed" for what stands in the column: the thought before, or the prompt's last token), layer, head (null where
    the part has none), attribution (logits; the parts of a place sum to the whole logit difference),
    attribution_control (the same parts read for a random set of as many concepts, or a random other pair of leaves),
    attention (share of a head's attention to edges that is on those which leave hop k - 1), attention_raw (all its
    attention to those), attention_chance (their share among the edges). null where undefined: no node at hop k, no
    other pair of leaves, parts that are no heads.
    """
    return pl.concat([_of_parts(recording, seed) for recording in recordings])


def leading_head(recording: Recording, seed: int = 0) -> tuple[int, int]:
    """Return layer and head that write most towards the frontier, averaged over thoughts and problems."""
    found = attribute(recording, seed=seed)
    mean = np.nanmean(found.thoughts, axis=(0, 1))
    heads = [(mean[i], part.layer, part.head) for i, part in enumerate(found.parts) if part.head is not None]
    _, layer, head = max(heads)
    return int(layer or 0), int(head or 0)


def _of_parts(recording: Recording, seed: int) -> pl.DataFrame:
    found, n, count = attribute(recording, seed=seed), len(recording.problems), recording.count
    raw, share, chance = _attention(recording, found)
    at, place, part = (axis.ravel() for axis in np.indices((n, count + 1, len(found.parts))))
    of_part = {
        "part": np.array([part.name for part in found.parts], dtype=object)[part],
        "layer": np.array([-1 if part.layer is None else part.layer for part in found.parts])[part],
        "head": np.array([-1 if part.head is None else part.head for part in found.parts])[part],
    }
    columns = {
        "steps": steps(recording)[at],
        "thought": np.array([*range(1, count + 1), -1])[place],
        **of_part,
        "attribution": np.concatenate([found.thoughts, found.answer[:, None]], 1),
        "attribution_control": np.concatenate([found.thoughts_control, found.answer_control[:, None]], 1),
        "attention": share,
        "attention_raw": raw,
        "attention_chance": chance,
    }
    return rows(recording, at, columns)


def _attention(recording: Recording, found: Attribution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return attention to the edges that leave hop k - 1, [n, K + 1, parts]: raw, as a share, and by chance."""
    n, count = len(recording.problems), recording.count
    filled = np.full((3, n, count + 1, len(found.parts)), np.nan, np.float32)
    row, source = np.arange(n)[:, None], np.maximum(recording.edges[..., 0], 0)
    hop = np.where(recording.is_edge, recording.hops[row, source], -2)
    for k in range(1, count + 1):
        leaves = hop == recording.traces[0].hop(k) - 1
        chance = np.where(leaves.any(1), leaves.sum(1) / recording.is_edge.sum(1), np.nan)
        for number, part in enumerate(found.parts):
            if part.head is None:
                continue
            seen = recording.attention[:, k - 1, part.layer, part.head]
            on, total = np.where(leaves, seen, 0).sum(1), np.nansum(seen, 1)
            filled[0, :, k - 1, number] = np.where(leaves.any(1), on, np.nan)
            filled[1, :, k - 1, number] = np.where(leaves.any(1), on / np.maximum(total, 1e-9), np.nan)
            filled[2, :, k - 1, number] = chance
    return filled[0], filled[1], filled[2]


ATTRIBUTION = Reading(
    name="attribution",
    title="Which head does it",
    question="Which heads and MLPs lift the frontier in a thought, and the target over the negative in the answer?",
    source="Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; TransformerLens",
    chance="Attribution: a random set of as many concepts, a random other pair of leaves (0 in the mean). Attention: "
    "the share of edges that leave the frontier.",
    schema=1,
    frame=attribution_frame,
    figures=attribution_figures,
)


def edge_path_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought or answer, edge).

    Columns: run, problem, right, thought (the one that is made; null where the answer is named), edge (its number in
    the problem), source, target (names), class (of its source as the thought is made, as in `attention.edge_codes`; for
    the answer `AT_ANSWER`), attention (to the edge's tokens, mean over all heads), written (logits that this attention
    writes towards the edge's own target less the mean of the other concepts; for the answer towards target less
    negative).
    """
    return pl.concat([_of_edges(recording, seed) for recording in recordings])


def route(table: pl.DataFrame, problem: str) -> pl.DataFrame:
    """Return the optimal edges of one problem, root first: a row per (run, thought, edge).

    Columns: run, thought, source, target, attention, written, rank (among all edges of the problem by what is written,
    1 is the most), edges (how many there are).
    """
    rows = table.filter((pl.col("problem") == problem) & pl.col("thought").is_not_null())
    ranked = rows.with_columns(
        rank=pl.col("written").rank("min", descending=True).over(RUN, "thought").cast(pl.Int32),
        edges=pl.len().over(RUN, "thought").cast(pl.Int32),
    )
    return ranked.filter(pl.col("class") == "optimal").select(
        RUN, "thought", "source", "target", "attention", "written", "rank", "edges"
    )


def _of_edges(recording: Recording, seed: int) -> pl.DataFrame:
    found, count = attribute(recording, seed=seed), recording.count
    written = np.concatenate([found.edges, found.answer_edges[:, None]], 1)
    columns = [*range(count), count + 1]  # those that make thoughts 1..K, and the one that names the answer
    attention = recording.attention[:, columns].mean((2, 3))
    code = np.stack([*(edge_codes(recording, hop) for hop in hops_read(recording)), _answer_codes(recording)], 1)
    there = np.broadcast_to(recording.is_edge[:, None], written.shape)
    at, place, edge = np.nonzero(there)
    source, target = (
        [recording.problems[row].names[node] for row, node in zip(at, ends, strict=True)]
        for ends in recording.edges[at, edge].T
    )
    columns = {
        "right": recording.right[at],
        "thought": np.array([*range(1, count + 1), -1])[place],
        "edge": edge,
        "source": source,
        "target": target,
        "class": named(CLASSES, code[there]),
        "attention": attention[there],
        "written": written[there],
    }
    return rows(recording, at, columns)


def _answer_codes(recording: Recording) -> Int[np.ndarray, "n edges"]:
    target = np.array([problem.target for problem in recording.problems])[:, None]
    negative = np.array([problem.negative for problem in recording.problems])[:, None]
    into = recording.edges[..., 1]
    return len(EXCLUSIVE) + np.select([into == target, into == negative], [0, 1], default=2)


EDGE_PATH = Reading(
    name="edge_path",
    title="Edge, thought, answer",
    question="Along which edges does a thought come about, and does the route lead to the answer?",
    source="Attention with what it writes: Kobayashi et al. 2020, arXiv 2004.10102; per edge and thought, none known",
    chance="The mean over all edges of the problem.",
    schema=1,
    frame=edge_path_frame,
    figures=edge_path_figures,
)


def edge_knockout_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
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
    return pl.concat([_of_knockouts(recording, head, seed) for recording in recordings])


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
def _of_knockouts(recording: Recording, head: tuple[int, int], seed: int) -> pl.DataFrame:
    config, problems = recording.checkpoint.model.config, recording.problems
    leads = np.zeros((config.num_hidden_layers, config.num_attention_heads), bool)
    leads[head] = True
    edges = [[chosen(problem, hop, row, seed) for row, problem in enumerate(problems)] for hop in hops_read(recording)]
    conditions = list(_conditions(recording.count, leads))
    knockouts = [
        EdgeCut(k, tuple(arms.get(arm, ()) for arms in edges[k - 1]), heads) for k, _, arm, heads in conditions
    ]
    effect = knock_out(recording, knockouts)
    parts = [
        _of_one(recording, effect, number, *condition[:3], edges) for number, condition in enumerate(conditions, 1)
    ]
    return pl.concat(parts).with_columns(head=pl.lit("L{}H{}".format(*head)))


def _of_one(
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
    before, after = effect.logit_difference[0, kept], effect.logit_difference[number, kept]
    columns = {
        "steps": steps(recording)[kept],
        "thought": thought,
        "scope": scope,
        "arm": arm,
        "edges": np.array([len(edges[thought - 1][row][arm]) for row in kept], dtype=int),
        "names_target": steps(recording)[kept] == recording.traces[0].hop(thought),
        "before": before,
        "after": after,
        "change": after - before,
        "right_before": effect.right[0, kept],
        "right": effect.right[number, kept],
    }
    return rows(recording, kept, columns)


EDGE_KNOCKOUT = Reading(
    name="edge_knockout",
    title="Edges knocked out",
    question="Does the answer suffer when a thought is made blind to the edge that leads on to the target?",
    source="Attention knock-out: Geva et al. 2023, arXiv 2304.14767; on thoughts, none known to us",
    chance="As many other edges between the same two hops, and as many elsewhere.",
    schema=1,
    frame=edge_knockout_frame,
    figures=knockout_figures,
)
