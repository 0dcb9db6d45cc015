"""Methods against a reference on the same problems: exact McNemar tests, corrected for their number."""

from collections.abc import Sequence

from workbench.measure.statistics import PairedComparison, holm, mcnemar
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
