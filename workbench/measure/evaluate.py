"""The evaluation of a model: accuracy and the rest, each with its interval, its chance level and its controls.

`results_frame` has one row per problem: the answer, and whether it follows when the problem changes. Evaluations and
reports are both made from these rows, so they cannot disagree.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.measure.provenance import Provenance, provenance
from workbench.measure.scores import MASSES, node_scores
from workbench.measure.statistics import Estimate, graphs_of, resample
from workbench.measure.trace import Answer, Trace, Traced, answers, run_traced
from workbench.model.checkpoint import Checkpoint
from workbench.problems.files import task_of
from workbench.problems.graph import hop_read, structure
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import best_rule, blind_score, forced_choice, item_floor, nearest_source, rule_scores
from workbench.problems.variants import drawn_rewrite, edge_rewrites, twin

RESULTS_SCHEMA = 4
"""Version of the columns of `results_frame`; raised when a column changes its name, type or meaning."""

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "problem": pl.String,
    "graph": pl.String,
    "task": pl.String,
    "expected": pl.String,
    "steps": pl.Int16,
    "nodes": pl.Int16,
    "edges": pl.Int16,
    "nearest_source": pl.Float64,
    "blind_scores": pl.List(pl.Float64),
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
    "noise_right": pl.Boolean,
    "tokens": pl.Int32,
}


def results_frame(
    checkpoint: Checkpoint,
    runs: Sequence[Traced],
    seed: int = 0,
    *,
    all_rewrites: bool = False,
    batch_size: int = 64,
) -> pl.DataFrame:
    """Answer the twins of traced problems and return one row per problem, in order.

    The columns are described in `columns.columns("problems")`.

    Args:
        checkpoint: The model that was run.
        runs: Of `run_traced`.
        seed: Draws one rewrite per problem, whatever file the problem is in.
        all_rewrites: Whether to answer every rewrite (about nine per problem).
        batch_size: Problems run at a time.
    """
    thoughts = len(runs[0].trace.thoughts) if runs else 0
    asked = [one.trace.problem for one in runs]
    swaps = [twin(problem) for problem in asked]
    rewrites = [edge_rewrites(problem) if isinstance(problem, Problem) else [] for problem in asked]
    drawn = [
        drawn_rewrite(problem, seed, every) if isinstance(problem, Problem) else None
        for problem, every in zip(asked, rewrites, strict=True)
    ]
    changed = rewrites if all_rewrites else [[one] if one else [] for one in drawn]
    variants = [*filter(None, swaps), *chain.from_iterable(changed)]
    right = (one.right for one in answers(checkpoint, variants, thoughts, batch_size=batch_size))
    swap_right = [None if swap is None else next(right) for swap in swaps]
    rows = []
    for ran, swap, twin_right, every, some, one in zip(runs, swaps, swap_right, rewrites, changed, drawn, strict=True):
        trace, said, noise = ran.trace, ran.said, ran.noise
        followed, itself = [next(right) for _ in some], right_now(trace, said)
        rows.append(
            {
                **_of_trace(trace, said),
                "pair": None if swap is None else _pair_name(trace.problem, swap),
                "pair_right": None if swap is None else itself and twin_right,
                "rewrite": one and one.id,
                "rewrite_followed": followed[next(i for i, each in enumerate(some) if each is one)] if one else None,
                "rewrites": len(every),
                "rewrites_followed": float(np.mean(followed)) if all_rewrites and some else None,
                "noise_right": noise and noise.right,
                "tokens": said and said.tokens,
            }
        )
    return pl.DataFrame(rows, schema=_COLUMNS)


def right_now(trace: Trace, said: Answer | None) -> bool:
    """Return whether the answer after all thoughts is right: the one at the end of a chain where there is one."""
    return bool(trace.answer_right[-1]) if said is None else said.right


def _of_trace(trace: Trace, said: Answer | None) -> dict[str, object]:
    problem, (target, negative) = trace.problem, trace.options.tolist()
    graph: dict[str, object] = {"steps": len(problem.steps)}
    if isinstance(problem, Problem):
        heads = node_scores(trace, "lm_head")
        graph = {
            "steps": structure(problem).length,
            "nodes": len(problem.names),
            "edges": len(problem.edges),
            "nearest_source": blind_score(problem, nearest_source),
            "candidate_mass": _nulls(heads.candidate_mass),
            "candidate_mass_chance": _nulls(heads.even_mass(heads.on_frontier)),
            "mass_without_target": _nulls(heads.mass_without_target),
            "mass_without_target_chance": _nulls(heads.even_mass(heads.without_target)),
        }
    return {
        **graph,
        "problem": problem.id,
        "graph": problem.graph,
        "task": task_of([problem]),
        "expected": problem.answer,
        "blind_scores": list(rule_scores(problem)),
        "answer": trace.answer_texts[-1] if said is None else said.text,
        "thoughts_per_step": trace.thoughts_per_step,
        "right": [*trace.answer_right.tolist()[:-1], right_now(trace, said)],
        "valid": [*trace.answer_valid.tolist()[:-1], bool(trace.answer_valid[-1]) if said is None else said.valid],
        "target": target,
        "negative": negative,
    }


def _nulls(values: Float[np.ndarray, " K"]) -> list[float | None]:
    return [None if math.isnan(one) else one for one in values.tolist()]


def _pair_name(problem: Problem | Item, twin: Problem | Item) -> str:
    """Return the name of a pair, the same from both of its sides: a file may hold both."""
    return hashlib.sha256("\n".join(sorted((problem.question, twin.question))).encode()).hexdigest()[:16]


EVALUATION_SCHEMA = 1
"""Version of the JSON that `save_evaluation` writes."""

_PART = 64
"""Problems whose traces are held at a time, and after which progress is told."""
_GUESSING = "guessing between the options"
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
    supervision: str = "not known"
    """How the thoughts were supervised, in words (`Supervision`)."""

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
            "supervision": self.supervision,
            "thoughts": self.thoughts,
            "n": self.n,
            **_nested(values),
            "chance": _nested({f.name: _finite(f.chance) for f in self.figures}),
            "counts": _nested({f.name: f.estimate.n for f in self.figures}),
            **self.provenance.as_dict(),
        }


def evaluate(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    thoughts: int | None = None,
    seed: int = 0,
    *,
    all_rewrites: bool = False,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Measure a checkpoint on problems. See `evaluation_of` for what each figure means.

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
        runs = list(run_traced(checkpoint, part, thoughts, batch_size, seed=seed, continuations=False))
        parts.append(results_frame(checkpoint, runs, seed, all_rewrites=all_rewrites, batch_size=batch_size))
        if on_progress:
            on_progress(len(part))
    return evaluation_of(checkpoint.name, pl.concat(parts), seed, str(checkpoint.supervision))


def evaluation_of(checkpoint: str, results: pl.DataFrame, seed: int = 0, supervision: str = "not known") -> Evaluation:
    """Turn rows of `results_frame` into figures with intervals over graphs.

    Of items, which have no graph, there are the figures that need none. Their `accuracy_by_hop` is by steps of the
    chain, the wrong option of a forced choice is the likeliest one, and a twin is one of ProntoQA (`variants.twin`).

    - accuracy: exact answer (the likeliest of all tokens, or the whole greedy answer) after all K thoughts.
    - choice_accuracy: the forced choice, whether the target is a likelier answer than the negative; ties a half.
      choice_by_thoughts: after 0..K thoughts. A model that names neither option, because it was never asked so early
      or because its format broke, may still know the likelier one.
    - valid_format: the answer is one of the two options and nothing else.
    - accuracy_without_thoughts: exact answer after no thoughts; choice_accuracy_without_thoughts: forced choice.
    - accuracy_with_noise: with noise of their length in place of the thoughts. tokens: thoughts and tokens said, mean;
      of problems with graphs only where a chain is said.
    - swap_pair_consistency: a problem and its entity-swapped twin, both answered exactly right, over the pairs that
      exist; a pair of which the file holds both is counted once. Rules that never read the queried entity score 0.
    - edge_rewrite_following: over the problems answered right that have a single-edge rewrite (the material of arXiv
      2607.06648), one rewrite of each drawn by the seed: the share whose answer becomes exactly the new target.
      edge_rewrite_following_any: the same over all problems, answered right or not. edge_rewrite_following_all: mean
      over the problems answered right of the share of all their rewrites that is followed, where all were answered.
    - candidate_mass: raw probability that the LM head of thought k puts on the nodes at exactly the hop it is about.
    - mass_without_target: the same without the target, see `scores.NodeScores.mass_without_target`.
    - accuracy_shortcut_resistant: accuracy where the nearest-source rule is wrong or tied.
    - The chance of an accuracy is its floor on this set: what the best of `shortcuts.RULES` gets right.
    - accuracy_by_hop: accuracy by hops from root to target. accuracy_by_thoughts: after 0..K thoughts.

    Args:
        checkpoint: Name of what was measured.
        results: At least one row.
        seed: Of the bootstrap.
        supervision: How its thoughts were supervised, in words.
    """
    right = np.array(results["right"].to_list(), dtype=float)
    last = right[:, -1]
    valid = np.array([row[-1] for row in results["valid"].to_list()], dtype=float)
    target, negative = (np.array(results[column].to_list()) for column in ("target", "negative"))
    choice = forced_choice(target, negative)  # [problems, K + 1]
    pairs = results.filter(pl.col("pair").is_not_null()).unique("pair", keep="first", maintain_order=True)
    follow = results["rewrite_followed"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    following = np.where(last > 0, follow, np.nan)
    every = np.where(last > 0, results["rewrites_followed"].fill_null(np.nan).to_numpy(), np.nan)
    per_step = int(results["thoughts_per_step"][0])
    steps, graphs = results["steps"].to_numpy(), results["nearest_source"].is_not_null().all()
    absent = [pl.lit(None).alias(name) for name in ("noise_right", "tokens") if name not in results.columns]
    amounts = results.with_columns(absent)  # a table of before lacks them
    blind = results["nearest_source"].fill_null(np.nan).to_numpy()
    scores = np.array(results["blind_scores"].to_list(), dtype=float).reshape(len(results), -1)
    best, floors = (
        best_rule(scores) if graphs else item_floor(results["expected"].to_list(), results["task"][0], scores)
    )
    floor = (float(floors.mean()), f"best {'query-blind rule' if graphs else 'rule that does not reason'}: {best}")
    noise, tokens = (amounts[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("noise_right", "tokens"))
    chosen, paired = not np.isnan(choice).all(), len(pairs) > 0 or graphs

    def made(
        name: str, title: str, values: np.ndarray, chance: float | None, baseline: str, of: pl.DataFrame = results
    ) -> Figure:
        return Figure(name, title, resample(values, clusters=graphs_of(of), seed=seed), chance, baseline)

    def by_thought(name: str, title: str) -> Iterator[Figure]:
        mass, chance = (np.array(results[c].to_list(), dtype=float) for c in (name, f"{name}_chance"))
        for k, (values, level) in enumerate(zip(mass.T, chance.T, strict=True), 1):
            there = ~np.isnan(level)
            words = title.format(k=k, hop=hop_read(k, per_step))
            yield made(f"{name}:{k}", words, values, float(level[there].mean()) if there.any() else None, _EVEN)

    def figures() -> Iterator[Figure]:
        yield made("accuracy", "accuracy, exact answer", last, *floor)
        if chosen:
            yield made("choice_accuracy", "forced choice: target likelier", choice[:, -1], *floor)
        yield made("valid_format", "valid answer format", valid, None, "none")
        if not np.isnan(tokens).all():
            alike = bool((tokens == tokens[0]).all())  # of a share that is 1 there would be a doubt
            same = Estimate(float(tokens[0]), float(tokens[0]), float(tokens[0]), len(tokens))
            said = same if alike else resample(tokens, clusters=graphs_of(results), seed=seed)
            yield Figure("tokens", "thoughts and tokens said", said, None, "none")
        yield made("accuracy_without_thoughts", "accuracy without thoughts", right[:, 0], *floor)
        if chosen:
            yield made("choice_accuracy_without_thoughts", "forced choice without thoughts", choice[:, 0], *floor)
        if not np.isnan(noise).all():
            yield made("accuracy_with_noise", "accuracy with noise for thoughts", noise, *floor)
        if paired:
            yield from of_pairs()
        if graphs:
            yield from of_graphs()
        for hop in sorted(set(steps.tolist())):
            away = (
                f"target {hop} hop{'' if hop == 1 else 's'} away" if graphs else f"{hop} step{'' if hop == 1 else 's'}"
            )
            here = steps == hop
            level = float(floors[here].mean())
            yield made(f"accuracy_by_hop:{hop}", f"accuracy, {away}", np.where(here, last, np.nan), level, floor[1])
        for name, what, values in (
            ("accuracy_by_thoughts", "accuracy", right),
            *((("choice_by_thoughts", "forced choice", choice),) if chosen else ()),
        ):
            for k in range(right.shape[1]):
                title = f"{what} after {k} thought{'' if k == 1 else 's'}"
                yield made(f"{name}:{k}", title, values[:, k], *floor)

    def of_pairs() -> Iterator[Figure]:
        both = pairs["pair_right"].cast(pl.Float64).to_numpy()
        yield made(
            "swap_pair_consistency",
            "entity-swap pairs, both right",
            both,
            0.25,
            "guessing twice; blind rules: 0",
            pairs,
        )

    def of_graphs() -> Iterator[Figure]:
        yield made("edge_rewrite_following", "single-edge rewrites followed", following, 0.5, _GUESSING)
        yield made("edge_rewrite_following_any", "the same, over all problems", follow, 0.5, _GUESSING)
        if not np.isnan(every).all():
            yield made("edge_rewrite_following_all", "every single-edge rewrite followed", every, 0.5, _GUESSING)
        yield from by_thought("candidate_mass", "candidate mass of thought {k} (hop {hop})")
        yield from by_thought("mass_without_target", "the same without the target, thought {k} (hop {hop})")
        hard = np.where(blind < 1, last, np.nan)
        score = float(blind[blind < 1].mean()) if (blind < 1).any() else None
        yield made("accuracy_shortcut_resistant", "accuracy where a simple rule fails", hard, score, _RULE)

    return Evaluation(checkpoint, right.shape[1] - 1, len(results), tuple(figures()), provenance(seed), supervision)


def save_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as JSON; the file is written whole or not."""
    write_whole(path, json.dumps(evaluation.as_dict(), indent=2, allow_nan=False) + "\n")


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


_BY_THOUGHT = (*MASSES, "accuracy_by_thoughts", "choice_by_thoughts")


def _nested(flat: Mapping[str, object]) -> dict[str, object]:
    """Gather "name:key" entries under their name: in a list where they go by thoughts, else in a table."""
    nested: dict[str, object] = {}
    for name in _names(flat):
        parts = {key.partition(":")[2]: value for key, value in flat.items() if key.partition(":")[0] == name}
        if "" in parts:
            nested[name] = parts[""]
        else:
            nested[name] = list(parts.values()) if name in _BY_THOUGHT else parts
    return nested | {name: [] for name in MASSES if name not in nested}  # without thoughts there are none


def _names(flat: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key.partition(":")[0] for key in flat))
