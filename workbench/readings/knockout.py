"""Edges knocked out: does the answer rest on the edges that a thought is made from?

The column that makes thought k does not see some edges from hop k - 1 to hop k: those that continue a shortest path to
the target (**optimal**), as many others of the same two hops (**other frontier**), or as many edges that do not leave
that hop (**elsewhere**); by all heads, by the head that direct attribution names (**leading head**), or by all heads
but that one. If the attribution is right, the answer suffers from the first and hardly from the second, and most of the
effect of all heads is that of the leading one. Where the optimal edge leads to the target itself (the last hop), the
knock-out hides the answer's name: those rows are marked, and kept apart in figures.

Attention knock-out (Geva et al. 2023, arXiv 2304.14767): the attention to an edge's tokens is cut and the rest shared
out anew, as minus infinity before the softmax would do. All columns before and after see the edge as ever, and later
thoughts change through the recurrence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int

from workbench.figures.attention import knockout_figures
from workbench.interventions.base import Intervention
from workbench.interventions.layers import Knockout
from workbench.interventions.plan import Plan
from workbench.interventions.run import InterventionRunner
from workbench.interventions.thoughts import Patch
from workbench.measure.recording import Recording, memoize
from workbench.model.session import Batch, Branches, as_numpy, in_batches
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.readings.attribution import leading_head
from workbench.readings.base import Reading, hops_read, rows, steps

ARMS = ("optimal", "other frontier", "elsewhere")
"""Which edges are knocked out."""
SCOPES = ("all heads", "leading head", "other heads")
"""Whose attention is knocked out."""

Heads = Bool[np.ndarray, "L H"]
"""Which heads of which layers do not see the edges."""


@dataclass(frozen=True)
class EdgeCut:
    """Edges that the column which makes a thought does not see."""

    thought: int
    """The thought that is made without them, from 1."""
    edges: tuple[tuple[int, ...], ...]
    """For each problem, numbers of its edges; none changes nothing."""
    heads: Heads | None = None
    """Heads that do not see them; None for all."""

    def interventions(self, name: str) -> list[Intervention]:
        """Return the knock-outs, one for each layer; the edges are given to the run by a name."""
        if self.heads is None:
            return [Knockout((name,), at=(self.thought,), making=True)]
        return [
            Knockout((name,), tuple(np.flatnonzero(heads).tolist()), layers=(layer,), at=(self.thought,), making=True)
            for layer, heads in enumerate(self.heads)
            if heads.any()
        ]


@dataclass(frozen=True)
class Effect:
    """What the answers are under knock-outs: row 0 with none, then one row for each."""

    logit_difference: Float[np.ndarray, "cuts n"]
    """Target less negative where the answer is named; first tokens."""
    right: Bool[np.ndarray, "cuts n"]
    """Whether the target is the likeliest of all tokens there."""


def knock_out(recording: Recording, cuts: Sequence[EdgeCut], *, batch_size: int = 64) -> Effect:
    """Run the problems of a recording under each knock-out, and once without.

    Thoughts that were changed (noise, another problem's) are fed as recorded, so that a knock-out acts only through
    columns that are still the model's own.

    Args:
        recording: Of the model, or of a control.
        cuts: Any number.
        batch_size: Problems run at a time.
    """
    checkpoint, form, count = recording.checkpoint, recording.checkpoint.format, recording.count
    fed = (Patch("recorded"),) if recording.interventions else ()
    problems, names = recording.problems, [f"cut {number}" for number in range(len(cuts))]
    plans = [Plan(fed), *(Plan((*fed, *cut.interventions(name))) for cut, name in zip(cuts, names, strict=True))]
    runner = InterventionRunner(
        checkpoint, plans, count,
        sources={"recorded": torch.from_numpy(recording.fed)},
        edges=dict(zip(names, (cut.edges for cut in cuts), strict=True)),
    )  # fmt: skip

    def answers(batch: Batch) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        openings = [[form.value_opening(prompt)] for prompt in batch.prompts]
        about = [problems[row] for row in batch.rows]
        options = [(prompt, one.target, one.negative) for prompt, one in zip(batch.prompts, about, strict=True)]
        tokens = [[prompt.nodes[node][0] for node in nodes] for prompt, *nodes in options]
        named = torch.tensor(tokens, device=checkpoint.model.device)
        found = []
        for _, session, _ in runner.thinking(batch, count + max(len(one) for (one,) in openings), plans):
            logits = Branches(session, [count]).say(openings)[:, 0]
            target, negative = logits.gather(1, named).unbind(1)
            found.append((as_numpy(target - negative), as_numpy(logits.argmax(1) == named[:, 0])))
        differences, right = (np.stack(one, 1) for one in zip(*found, strict=True))
        return zip(differences, right, strict=True)

    differences, right = zip(*in_batches(checkpoint, recording.asked, answers, batch_size), strict=True)
    return Effect(np.stack(differences, 1), np.stack(right, 1))


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
