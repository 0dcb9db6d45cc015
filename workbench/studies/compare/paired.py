"""Methods against a reference on the same problems: exact McNemar tests, corrected for their number."""

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.measure.statistics import PairedComparison, mcnemar
from workbench.studies.compare.outcome import RunOutcome

REFERENCE = "coconut"


def against(outcomes: Sequence[RunOutcome], reference: str = REFERENCE) -> dict[str, tuple[PairedComparison, float]]:
    """Compare each method with the reference, first shared seed with first shared seed.

    Several seeds are not pooled: answers of one problem by two seeds are no two independent problems.

    Args:
        outcomes: Of one task and problem set.
        reference: A method.

    Returns:
        For each other method the comparison (first: the method, second: the reference) and its p-value after Holm's
        correction over all of them.
    """
    runs = {(outcome.method, outcome.seed): outcome for outcome in outcomes}
    methods = dict.fromkeys(outcome.method for outcome in outcomes if outcome.method != reference)
    found: dict[str, PairedComparison] = {}
    for method in methods:
        shared = [seed for one, seed in sorted(runs) if one == method and (reference, seed) in runs]
        if shared:
            ours, theirs = runs[method, shared[0]], runs[reference, shared[0]]
            if ours.problems == theirs.problems:
                found[method] = mcnemar(ours.values["accuracy"] > 0, theirs.values["accuracy"] > 0)
    corrected = holm({method: comparison.p_value for method, comparison in found.items()})
    return {method: (comparison, corrected[method]) for method, comparison in found.items()}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct p-values for their number so that the chance of any false alarm stays below the level (Holm 1979).

    scipy corrects the share of false alarms (Benjamini and Hochberg), not their chance.

    Args:
        p_values: By name.
    """
    names = sorted(p_values, key=lambda name: p_values[name])
    steps = [(len(names) - place) * p_values[name] for place, name in enumerate(names)]
    return dict(zip(names, np.minimum(np.maximum.accumulate(steps), 1.0).tolist(), strict=True)) if names else {}
