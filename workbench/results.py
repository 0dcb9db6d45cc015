"""One row per problem: what a checkpoint answered, and whether it follows when the problem changes.

`evaluate` and the report are both made from these rows, so they cannot disagree.
"""

import hashlib
import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from workbench.blind import blind_score, nearest_source
from workbench.checkpoint import Checkpoint
from workbench.graph import structure
from workbench.problem import Problem
from workbench.scores import node_scores
from workbench.trace import Answer, Trace, answers
from workbench.variants import edge_rewrites, entity_swap

RESULTS_SCHEMA = 2
"""Version of the columns of `results_frame`; raised when a column changes its name, type or meaning."""

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "problem": pl.String,
    "steps": pl.Int16,
    "nodes": pl.Int16,
    "edges": pl.Int16,
    "nearest_source": pl.Float64,
    "answer": pl.String,
    "thoughts_per_step": pl.Int16,
    "right": pl.List(pl.Boolean),
    "valid": pl.List(pl.Boolean),
    "target": pl.List(pl.Float64),
    "negative": pl.List(pl.Float64),
    "candidate_mass": pl.List(pl.Float64),
    "candidate_mass_chance": pl.List(pl.Float64),
    "mass_without_target": pl.List(pl.Float64),
    "mass_without_target_chance": pl.List(pl.Float64),
    "pair": pl.String,
    "pair_right": pl.Boolean,
    "rewrite": pl.String,
    "rewrite_followed": pl.Boolean,
    "rewrites": pl.Int32,
    "rewrites_followed": pl.Float64,
}


def results_frame(
    checkpoint: Checkpoint,
    traces: Sequence[Trace],
    seed: int = 0,
    *,
    all_rewrites: bool = False,
    batch_size: int = 64,
) -> pl.DataFrame:
    """Answer the twins of traced problems and return one row per problem, in order.

    Columns:
        problem: id. steps: hops from root to target. nodes, edges: of the graph.
        nearest_source: score of that query-blind rule: 1 right, 0.5 tied, 0 wrong; below 1 the problem is
        shortcut-resistant.
        answer: after all K thoughts, given as the model was trained to: at once, or at the end of a chain in words.
        right, valid: whether the answer after 0..K thoughts is exactly right, of a valid form; after fewer than K it is
        always forced at once. thoughts_per_step: thought j is about hop j / thoughts_per_step, rounded up.
        target, negative: probabilities of the two as the answer after 0..K thoughts, forced at once.
        candidate_mass: raw probability that the LM head of thought 1..K puts on the nodes at exactly hop 1..K, null
        where there are none; candidate_mass_chance: the same of a uniform distribution over the problem's concepts.
        mass_without_target, mass_without_target_chance: the same on the frontier less the target, null where nothing is
        left: the question names the target, so mass on it may be copied and not found.
        pair: names the pair of this problem and its entity-swapped twin, null where there is no twin; pair_right:
        whether both are answered exactly right.
        rewrite: id of the single-edge rewrite drawn for this problem, null where there is none; rewrite_followed:
        whether its answer is the new target. rewrites: number of rewrites there are; rewrites_followed: share of all
        of them that is followed, null unless asked for.

    Args:
        checkpoint: What was run.
        traces: Of `run`.
        seed: Draws one rewrite per problem, whatever file the problem is in.
        all_rewrites: Whether to answer every rewrite (about nine per problem).
        batch_size: Problems run at a time.
    """
    thoughts = len(traces[0].thoughts) if traces else 0
    spoken: list[Answer | None] = [None] * len(traces)
    if checkpoint.says == "chain":
        spoken = list(answers(checkpoint, [trace.problem for trace in traces], thoughts, batch_size=batch_size))
    swapped: list[tuple[int, Problem]] = []
    rewritten: list[tuple[int, Problem]] = []
    drawn: dict[int, tuple[int, int]] = {}
    for row, trace in enumerate(traces):
        if (twin := entity_swap(trace.problem)) is not None:
            swapped.append((row, twin))
        if twins := edge_rewrites(trace.problem):
            chosen = int(np.random.default_rng([seed, zlib.crc32(trace.problem.id.encode())]).integers(len(twins)))
            drawn[row] = (len(rewritten) + (chosen if all_rewrites else 0), len(twins))
            rewritten += [(row, twin) for twin in (twins if all_rewrites else [twins[chosen]])]
    asked = [twin for _, twin in (*swapped, *rewritten)]
    right = [answer.right for answer in answers(checkpoint, asked, thoughts, batch_size=batch_size)]
    swap_right = {row: (twin, ok) for (row, twin), ok in zip(swapped, right, strict=False)}
    rewrite_right = right[len(swapped) :]
    followed: dict[int, list[bool]] = {}
    for (row, _), ok in zip(rewritten, rewrite_right, strict=True):
        followed.setdefault(row, []).append(ok)
    return pl.DataFrame(
        [
            {
                **_of_trace(trace, said),
                **_of_pair(trace, right_now(trace, said), swap_right.get(row)),
                "rewrite": rewritten[drawn[row][0]][1].id if row in drawn else None,
                "rewrite_followed": rewrite_right[drawn[row][0]] if row in drawn else None,
                "rewrites": drawn[row][1] if row in drawn else 0,
                "rewrites_followed": float(np.mean(followed[row])) if all_rewrites and row in drawn else None,
            }
            for row, (trace, said) in enumerate(zip(traces, spoken, strict=True))
        ],
        schema=_COLUMNS,
    )


def right_now(trace: Trace, said: Answer | None) -> bool:
    """Return whether the answer after all thoughts is right: the one at the end of a chain where there is one."""
    return bool(trace.answer_right[-1]) if said is None else said.right


def _of_trace(trace: Trace, said: Answer | None) -> dict[str, object]:
    problem, heads = trace.problem, node_scores(trace, "lm_head")
    mass = heads.candidate_mass
    chance = np.where(np.isnan(mass), np.nan, heads.frontier_size * heads.chance_value)
    other = mass_without_target(trace)
    return {
        "problem": problem.id,
        "steps": structure(problem).length,
        "nodes": len(problem.names),
        "edges": len(problem.edges),
        "nearest_source": blind_score(problem, nearest_source),
        "answer": trace.answer_texts[-1] if said is None else said.text,
        "thoughts_per_step": trace.thoughts_per_step,
        "right": [*trace.answer_right.tolist()[:-1], right_now(trace, said)],
        "valid": [*trace.answer_valid.tolist()[:-1], bool(trace.answer_valid[-1]) if said is None else said.valid],
        "target": trace.answers[:, problem.target].tolist(),
        "negative": trace.answers[:, problem.negative].tolist(),
        "candidate_mass": [None if np.isnan(m) else m for m in mass.tolist()],
        "candidate_mass_chance": [None if np.isnan(c) else c for c in chance.tolist()],
        "mass_without_target": [pair and pair[0] for pair in other],
        "mass_without_target_chance": [pair and pair[1] for pair in other],
    }


def mass_without_target(trace: Trace) -> list[tuple[float, float] | None]:
    """Return for thought 1..K the raw mass of its LM head on the frontier it is about less the target, and its chance.

    Chance is uniform over the problem's concepts. None where the frontier holds nothing but the target.
    """
    about = structure(trace.problem)
    found: list[tuple[float, float] | None] = []
    for k, row in enumerate(trace.lm_head, 1):
        nodes = np.asarray(about.hops) == trace.hop(k)
        nodes[trace.problem.target] = False
        chance = float(nodes.sum() / np.sum(about.concepts))
        found.append((float(row[nodes].sum()), chance) if nodes.any() else None)
    return found


def _of_pair(trace: Trace, itself: bool, answered: tuple[Problem, bool] | None) -> dict[str, object]:
    if answered is None:
        return {"pair": None, "pair_right": None}
    twin, right = answered
    # A file may hold both of a pair: they are one pair, and have one name.
    both = "\n".join(sorted((trace.problem.question, twin.question)))
    return {
        "pair": hashlib.sha256(both.encode()).hexdigest()[:16],
        "pair_right": itself and right,
    }
