"""What the thoughts of a run hold, and whether they are needed: a row per problem and thought, kept beside the run."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from workbench.interventions.run import Outcome, run_intervened
from workbench.interventions.thoughts import Noise
from workbench.measure.scores import NodeScores
from workbench.model.checkpoint import Checkpoint
from workbench.problems.graph import hop_read
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import blind_score, nearest_source
from workbench.problems.variants import other_target
from workbench.readings.node_vectors import embedding_of, nodes_of, predict, squared_errors

THOUGHTS_SCHEMA = 1
"""Version of the columns of `thoughts_frame`."""
SUMS = {"embeddings": "embeddings", "codes": "codes", "other": "codes, other graph"}
"""The sums of `node_vectors.SUMS` whose errors are kept, by the end of their column's name."""
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "problem": pl.String,
    "graph": pl.String,
    "steps": pl.Int16,
    "thought": pl.Int16,
    "hop_read": pl.Int16,
    "right": pl.Boolean,
    "choice": pl.Float64,
    "noise_right": pl.Boolean,
    "noise_choice": pl.Float64,
    "nearest_source": pl.Float64,
    "frontier_size": pl.Int16,
    "mass": pl.Float64,
    "mass_chance": pl.Float64,
    "mass_without_target": pl.Float64,
    "mass_without_target_chance": pl.Float64,
    "breadth": pl.Float64,
    "mass_of_others": pl.Float64,
    "mass_of_others_chance": pl.Float64,
    "mass_other_asked": pl.Float64,
    **{f"error_{name}": pl.Float64 for name in SUMS},
    "spread": pl.Float64,
}


def thoughts_frame(checkpoint: Checkpoint, problems: Sequence[Problem], seed: int = 0) -> pl.DataFrame:
    """Run a checkpoint with its own thoughts, with noise, and asked for another target: a row per problem and thought.

    Columns are described in the data dictionary (`measure.columns`, table "thoughts"). What is known of a problem as a
    whole (its answer) stands in each of its rows.

    Args:
        checkpoint: Feeds its hidden states.
        problems: On two graphs or more: node vectors are learned from other graphs.
        seed: Of the noise and of the other target.
    """
    own, noised = run_intervened(checkpoint, problems, [[], [Noise(seed=seed)]], keep_thoughts=True)
    assert own.thoughts is not None
    tokens, hops = nodes_of(checkpoint, problems)
    read = [hop_read(k, checkpoint.thoughts_per_step) for k in range(1, own.thoughts.shape[1] + 1)]
    thoughts, embedding = own.thoughts.astype(np.float64), embedding_of(checkpoint)
    predicted = predict(thoughts, tokens, hops, read, embedding, problems)
    errors = {name: squared_errors(thoughts, predicted[sum_]) for name, sum_ in SUMS.items()}
    others = masses_of_others(checkpoint, problems, own, seed)
    rows = []
    for at, (problem, scores) in enumerate(zip(problems, head_scores(checkpoint, problems, own), strict=True)):
        whole = {
            "problem": problem.id, "graph": problem.graph,
            "steps": scores.structure.length, "right": bool(own.right[at]), "choice": own.choice[at],
            "noise_right": bool(noised.right[at]), "noise_choice": noised.choice[at],
            "nearest_source": blind_score(problem, nearest_source),
        }  # fmt: skip
        columns = {
            "thought": scores.depths, "hop_read": scores.hops_read, "frontier_size": scores.frontier_size,
            "mass": scores.candidate_mass, "mass_chance": scores.even_mass(scores.on_frontier),
            "mass_without_target": scores.mass_without_target,
            "mass_without_target_chance": scores.even_mass(scores.without_target), "breadth": scores.breadth,
            **{name: made[at] for name, made in others.items()}, "spread": errors["codes"][at, :, 1],
            **{f"error_{name}": made[at, :, 0] for name, made in errors.items()},
        }  # fmt: skip
        rows += [whole | dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return pl.DataFrame(rows, COLUMNS).with_columns(pl.col(pl.Float64).fill_nan(None))


def masses_of_others(
    checkpoint: Checkpoint, problems: Sequence[Problem], own: Outcome, seed: int
) -> dict[str, Float[np.ndarray, "n K"]]:
    """Return the mass on the nodes at each thought's hop that are neither target, with each of the two targets asked.

    Args:
        checkpoint: The model.
        problems: Whose root reaches no other leaf have nan.
        own: Of the problems themselves.
        seed: Draws the other target (`variants.other_target`).

    Returns:
        mass_of_others as the problem asks, mass_other_asked with the other target in the question; chance of both.
    """
    asked = {at: found for at, problem in enumerate(problems) if (found := other_target(problem, seed))}
    before = head_scores(checkpoint, problems, own)
    made = {
        name: np.full((len(problems), len(before[0].depths)), np.nan)
        for name in ("mass_of_others", "mass_of_others_chance", "mass_other_asked")
    }
    if asked:
        (outcome,) = run_intervened(checkpoint, [*asked.values()], [[]], keep_thoughts=True)
        for at, after in zip(asked, head_scores(checkpoint, [*asked.values()], outcome), strict=True):
            neither = before[at].without_target & after.without_target  # the same graph and root
            made["mass_of_others"][at] = before[at].mass_on(neither)
            made["mass_of_others_chance"][at] = before[at].even_mass(neither)
            made["mass_other_asked"][at] = after.mass_on(neither)
    return made


def head_scores(checkpoint: Checkpoint, problems: Sequence[Problem], outcome: Outcome) -> list[NodeScores]:
    """Return what the LM head of the thoughts says of every node, for each problem of an outcome that kept them."""
    assert outcome.lm_head is not None
    depths = tuple(range(1, outcome.lm_head.shape[1] + 1))
    read = tuple(hop_read(k, checkpoint.thoughts_per_step) for k in depths)
    return [
        NodeScores(problem, checkpoint.name, "lm_head", depths, read, raw[:, : len(problem.names)].astype(np.float64))
        for problem, raw in zip(problems, outcome.lm_head, strict=True)
    ]
