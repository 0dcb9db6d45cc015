"""One row per problem: what a checkpoint answered, and whether it follows when the problem changes.

`evaluate` and the report are both made from these rows, so they cannot disagree.

The figures that a model is judged by, each with its interval, its chance level and its controls.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.measure.provenance import Provenance, provenance
from workbench.measure.scores import node_scores
from workbench.measure.statistics import Estimate, resample
from workbench.measure.trace import Answer, Trace, answers, run
from workbench.model.checkpoint import Checkpoint
from workbench.problems.graph import hop_read, structure
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import blind_score, nearest_source
from workbench.problems.variants import drawn_rewrite, edge_rewrites, entity_swap

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
            one = drawn_rewrite(trace.problem, seed, twins)
            chosen = next(number for number, twin in enumerate(twins) if twin is one)
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


EVALUATION_SCHEMA = 1
"""Version of the JSON that `save_evaluation` writes."""

_PART = 256
"""Problems whose traces are held at a time."""
_COIN = "a coin between the options"
_RULE = "blind rule: nearest source"
_EVEN = "uniform over the concepts"


@dataclass(frozen=True)
class Figure:
    """One measured figure."""

    name: str
    """Key in the JSON, with the number of thoughts or hops after a colon where there are several."""
    title: str
    """Name on the screen."""
    estimate: Estimate
    """Mean over problems with its interval, in 0..1; nan where no problem defines it."""
    chance: float | None
    """What a reader without knowledge would get, None where that is no number."""
    baseline: str
    """What chance is, in words."""

    @property
    def shown(self) -> str:
        """Value and interval, "0.891 [0.862, 0.917]"; a dash where no problem defines it."""
        return "–" if math.isnan(self.estimate.value) else str(self.estimate)

    @property
    def shown_chance(self) -> str:
        """Chance level with three digits, a dash for none."""
        return "–" if self.chance is None else f"{self.chance:.3f}"


@dataclass(frozen=True)
class Evaluation:
    """All figures of one checkpoint on one set of problems."""

    checkpoint: str
    """Its name."""
    thoughts: int
    """Number of thoughts, K."""
    n: int
    """Number of problems."""
    figures: tuple[Figure, ...]
    """In the order shown."""
    provenance: Provenance
    """Seed, versions, commit."""

    def figure(self, name: str) -> Figure:
        """Return a figure by its name."""
        return next(figure for figure in self.figures if figure.name == name)

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON: `n`, then every figure as value, low and high (null where undefined).

        Figures that exist per thought are lists in its order, those per hop are tables by hop. `chance` and `counts`
        have the same form and hold chance levels and the numbers of problems behind the figures.
        """
        values = {f.name: {k: _finite(v) for k, v in f.estimate.as_dict().items()} for f in self.figures}
        return {
            "schema": EVALUATION_SCHEMA,
            "checkpoint": self.checkpoint,
            "thoughts": self.thoughts,
            "n": self.n,
            **_nested(values),
            "chance": _nested({f.name: _finite(f.chance) for f in self.figures}),
            "counts": _nested({f.name: f.estimate.n for f in self.figures}),
            **self.provenance.as_dict(),
        }


def evaluate(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    thoughts: int | None = None,
    seed: int = 0,
    *,
    all_rewrites: bool = False,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Measure a checkpoint on problems. See `summarise` for what each figure means.

    Args:
        checkpoint: What to measure.
        problems: Of one file, say.
        thoughts: Number of thoughts; by default as many as the model was trained with.
        seed: Draws the rewrites and the bootstrap's resamples.
        all_rewrites: Also answer every single-edge rewrite, about nine per problem.
        batch_size: Problems run at a time.
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: There is no problem, or one cannot be run.
    """
    if not problems:
        raise WorkbenchError("There is nothing to evaluate.", "The list of problems is empty.", "Give some problems.")
    parts = []
    for start in range(0, len(problems), _PART):
        part = problems[start : start + _PART]
        traces = list(run(checkpoint, part, thoughts, batch_size, continuations=False))
        parts.append(results_frame(checkpoint, traces, seed, all_rewrites=all_rewrites, batch_size=batch_size))
        if on_progress:
            on_progress(len(part))
    return summarise(checkpoint.name, pl.concat(parts), seed)


def summarise(checkpoint: str, results: pl.DataFrame, seed: int = 0) -> Evaluation:
    """Turn rows of `results_frame` into figures with bootstrap intervals over problems.

    - accuracy: exact answer (the likeliest of all tokens, or the whole greedy answer) after all K thoughts.
    - choice_accuracy: whether the target is a likelier answer than the negative, ties a half.
    - valid_format: the answer is one of the two options and nothing else.
    - accuracy_without_thoughts: exact answer after no thoughts; choice_accuracy_without_thoughts beside it, since a
      model that was never asked so early may say something else than an option.
    - swap_pair_consistency: a problem and its entity-swapped twin, both answered exactly right, over the pairs that
      exist; a pair of which the file holds both is counted once. Rules that never read the queried entity score 0.
    - edge_rewrite_following: over the problems answered right that have a single-edge rewrite (the material of arXiv
      2607.06648), one rewrite of each drawn by the seed: the share whose answer becomes exactly the new target.
      edge_rewrite_following_any: the same, right before or not. edge_rewrite_following_all: mean over the problems
      answered right of the share of all their rewrites that is followed; only where they were all answered.
    - candidate_mass: raw probability that the LM head of thought k puts on the nodes at exactly the hop it is about.
    - mass_without_target: the same on that frontier less the target. The question names the target, so that mass on it
      may be copied; mass on the others cannot.
    - accuracy_shortcut_resistant: accuracy where the nearest-source rule is wrong or tied.
    - accuracy_by_hop: accuracy by hops from root to target. accuracy_by_thoughts: after 0..K thoughts.

    Args:
        checkpoint: Name of what was measured.
        results: At least one row.
        seed: Of the bootstrap.
    """
    right = np.array(results["right"].to_list(), dtype=float)
    last = right[:, -1]
    valid = np.array([row[-1] for row in results["valid"].to_list()], dtype=float)
    target, negative = (np.array(results[column].to_list()) for column in ("target", "negative"))
    choice = np.where(target == negative, 0.5, target > negative)  # [problems, K + 1]
    pairs = results.filter(pl.col("pair").is_not_null()).unique("pair", keep="first", maintain_order=True)
    follow = results["rewrite_followed"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    following = np.where(last > 0, follow, np.nan)
    every = np.where(last > 0, results["rewrites_followed"].fill_null(np.nan).to_numpy(), np.nan)
    mass, chance = (np.array(results[c].to_list(), dtype=float) for c in ("candidate_mass", "candidate_mass_chance"))
    rest, rest_chance = (
        np.array(results[c].to_list(), dtype=float) for c in ("mass_without_target", "mass_without_target_chance")
    )
    per_step = int(results["thoughts_per_step"][0])
    blind, steps = results["nearest_source"].to_numpy(), results["steps"].to_numpy()

    def made(name: str, title: str, values: np.ndarray, chance: float | None, baseline: str) -> Figure:
        return Figure(name, title, resample(values, seed=seed), chance, baseline)

    def figures() -> Iterator[Figure]:
        yield made("accuracy", "accuracy, exact answer", last, 0.5, _COIN)
        yield made("choice_accuracy", "target likelier than negative", choice[:, -1], float(blind.mean()), _RULE)
        yield made("valid_format", "valid answer format", valid, None, "none")
        yield made("accuracy_without_thoughts", "accuracy without thoughts", right[:, 0], 0.5, _COIN)
        yield made("choice_accuracy_without_thoughts", "the same, target likelier", choice[:, 0], 0.5, _COIN)
        both = pairs["pair_right"].cast(pl.Float64).to_numpy()
        yield made("swap_pair_consistency", "entity-swap pairs, both right", both, 0.25, "two coins; blind rules: 0")
        yield made("edge_rewrite_following", "single-edge rewrites followed", following, 0.5, _COIN)
        yield made("edge_rewrite_following_any", "the same, right before or not", follow, 0.5, _COIN)
        if not np.isnan(every).all():
            yield made("edge_rewrite_following_all", "the same, every rewrite", every, 0.5, _COIN)
        for k in range(1, mass.shape[1] + 1):
            open_ = ~np.isnan(chance[:, k - 1])
            level = float(chance[open_, k - 1].mean()) if open_.any() else None
            title = f"candidate mass of thought {k} (hop {hop_read(k, per_step)})"
            yield made(f"candidate_mass:{k}", title, mass[:, k - 1], level, _EVEN)
        for k in range(1, rest.shape[1] + 1):
            open_ = ~np.isnan(rest_chance[:, k - 1])
            level = float(rest_chance[open_, k - 1].mean()) if open_.any() else None
            title = f"the same without the target, thought {k} (hop {hop_read(k, per_step)})"
            yield made(f"mass_without_target:{k}", title, rest[:, k - 1], level, _EVEN)
        hard = np.where(blind < 1, last, np.nan)
        score = float(blind[blind < 1].mean()) if (blind < 1).any() else None
        yield made("accuracy_shortcut_resistant", "accuracy, shortcut-resistant", hard, score, _RULE)
        for hop in sorted(set(steps.tolist())):
            at_hop = np.where(steps == hop, last, np.nan)
            title = f"accuracy, target {hop} hop{'' if hop == 1 else 's'} away"
            yield made(f"accuracy_by_hop:{hop}", title, at_hop, 0.5, _COIN)
        for k in range(right.shape[1]):
            title = f"accuracy after {k} thought{'' if k == 1 else 's'}"
            yield made(f"accuracy_by_thoughts:{k}", title, right[:, k], 0.5, _COIN)

    return Evaluation(checkpoint, right.shape[1] - 1, len(results), tuple(figures()), provenance(seed))


def save_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as JSON; the file is written whole or not."""
    write_whole(path, json.dumps(evaluation.as_dict(), indent=2, allow_nan=False) + "\n")


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


_BY_THOUGHT = ("candidate_mass", "mass_without_target", "accuracy_by_thoughts")


def _nested(flat: Mapping[str, object]) -> dict[str, object]:
    """Gather "name:key" entries under their name: in a list where they go by thoughts, else in a table."""
    nested: dict[str, object] = {}
    for name in _names(flat):
        parts = {key.partition(":")[2]: value for key, value in flat.items() if key.partition(":")[0] == name}
        if "" in parts:
            nested[name] = parts[""]
        else:
            nested[name] = list(parts.values()) if name in _BY_THOUGHT else parts
    if "candidate_mass" not in nested:  # without thoughts
        nested["candidate_mass"] = []
    return nested


def _names(flat: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key.partition(":")[0] for key in flat))
