"""How good stop rules are: accuracy against the number of thoughts spent, beside what the lengths alone would do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.measure.statistics import Estimate, bootstrap_mean
from workbench.studies.stop_classifier import Classifier, Learned
from workbench.studies.stopping import AsManyAsSteps, Entropy, Fixed, Rule, Thinking

ENTROPIES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
"""Thresholds tried, in nats."""
PROBABILITIES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99)
"""Thresholds tried for a classifier."""
SLACK = 0.01
"""Accuracy that is given up for fewer thoughts when a threshold is chosen."""


@dataclass(frozen=True)
class StopFigure:
    """One rule on one set of problems."""

    title: str
    """Name of the rule."""
    thoughts: Estimate
    """Mean number of thoughts."""
    accuracy: Estimate
    """Share of exact answers."""
    shuffled: Estimate
    """The control: the same numbers of thoughts, dealt out to the problems at random (the exact mean over all ways to
    deal them). A rule that adapts to the problem must beat it."""
    gain: Estimate
    """Accuracy less the control's, paired by problem; where its interval holds 0, adapting gained nothing."""
    counts: tuple[int, ...]
    """Number of problems answered after 0, 1, 2 ... thoughts."""
    chosen: bool = False
    """Whether it was chosen among its kind, on other problems."""


def rules_of(thinking: Thinking, classifiers: Sequence[Classifier] = ()) -> list[Rule]:
    """Return the rules to compare: every fixed number, the oracle, every threshold of entropy and of classifiers."""
    rules: list[Rule] = [Fixed(k) for k in range(thinking.right.shape[1])]
    if thinking.trained and thinking.thoughts.shape[1]:
        rules += [AsManyAsSteps(), *(Entropy(threshold) for threshold in ENTROPIES)]
        rules += [Learned(classifier, threshold) for classifier in classifiers for threshold in PROBABILITIES]
    return rules


def stop_curve(
    thinking: Thinking,
    rules: Sequence[Rule],
    *,
    most: int | None = None,
    chosen_on: Thinking | None = None,
    seed: int = 0,
) -> list[StopFigure]:
    """Judge rules on problems.

    Args:
        thinking: What was thought about the problems.
        rules: The rules.
        most: Most thoughts that a rule may take (a fixed number is free to take more); by default the trained number.
        chosen_on: Other problems, on which one rule of each kind is chosen: the one with fewest thoughts among those
            whose accuracy is at most `SLACK` below the best. Its figure here is then honest, which the best of a
            column of thresholds is not.
        seed: Of the bootstrap.
    """
    limit = min(thinking.trained if most is None else most, thinking.thoughts.shape[1])
    chosen = _chosen(chosen_on, rules, limit) if chosen_on is not None else set()
    rows = np.arange(len(thinking.right))
    figures = []
    for rule in rules:
        stops = rule.stops(thinking, limit)
        right = thinking.right[rows, stops].astype(float)
        counts = np.bincount(stops, minlength=thinking.right.shape[1])
        dealt = thinking.right @ (counts / len(rows))
        figures.append(
            StopFigure(
                rule.title,
                _mean(stops.astype(float), seed),
                bootstrap_mean(right, seed=seed),
                bootstrap_mean(dealt, seed=seed),
                _mean(right - dealt, seed),
                tuple(counts.tolist()),
                rule.title in chosen,
            )
        )
    return figures


def curve_frame(figures: Sequence[StopFigure]) -> pl.DataFrame:
    """Return a row per rule: its name, thoughts, accuracy, shuffled and gain with their intervals, and its counts."""
    return pl.DataFrame(
        [
            {"rule": figure.title, "chosen": figure.chosen}
            | {
                f"{name}{'' if end == 'value' else '_' + end}": number
                for name in ("thoughts", "accuracy", "shuffled", "gain")
                for end, number in getattr(figure, name).as_dict().items()
            }
            | {"counts": list(figure.counts)}
            for figure in figures
        ]
    )


def _mean(values: np.ndarray, seed: int) -> Estimate:
    """Return a mean with its interval; where all values are the same by construction there is nothing to resample."""
    if np.ptp(values) == 0:
        return Estimate(float(values[0]), float(values[0]), float(values[0]), len(values), "exact")
    return bootstrap_mean(values, seed=seed)


def _chosen(thinking: Thinking, rules: Sequence[Rule], most: int) -> set[str]:
    """Return the title of one rule of each kind that offers a choice."""
    rows = np.arange(len(thinking.right))
    kinds: dict[str, list[tuple[float, float, str]]] = {}
    for rule in rules:
        if isinstance(rule, AsManyAsSteps) or (isinstance(rule, Fixed) and rule.thoughts >= thinking.right.shape[1]):
            continue
        stops = rule.stops(thinking, most)
        kind = f"classifier {rule.classifier.label}" if isinstance(rule, Learned) else type(rule).__name__
        found = (float(thinking.right[rows, stops].mean()), float(stops.mean()), rule.title)
        kinds.setdefault(kind, []).append(found)
    chosen = set()
    for found in kinds.values():
        enough = max(accuracy for accuracy, _, _ in found) - SLACK
        chosen.add(min((spent, -accuracy, title) for accuracy, spent, title in found if accuracy >= enough)[2])
    return chosen
