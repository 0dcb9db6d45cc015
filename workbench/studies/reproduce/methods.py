"""Claims about accuracy: methods side by side, and a model whose thoughts are removed, changed or exchanged."""

import numpy as np

from workbench.interventions.run import Outcome
from workbench.interventions.thoughts import Noise, Patch, Permute, Shuffle
from workbench.measure.statistics import Estimate, ratio
from workbench.measure.trace import answers
from workbench.problems.variants import drawn_rewrite
from workbench.studies.reproduce.material import Finding, Material

EXACT, CHOICE = "exact answers", "forced choice"
"""What is answered, and the same where an answer that is neither option is worth a coin: a lost format is no error."""


def accuracy(material: Material, run: str, *hops: int) -> Finding:
    """Measure accuracy, on problems of these numbers of hops only where any are named."""
    there = np.isin(material.lengths(run), hops) if hops else np.ones(len(material.of(run)), bool)
    both = {EXACT: material.right(run), CHOICE: material.chosen(run)}
    blind = material.blind(run)[there].mean()
    found = {name: material.estimate(run, np.where(there, one, np.nan)) for name, one in both.items()}
    return Finding(found, f"a coin .500, nearest-source rule {blind:.3f}")


def less(material: Material, run: str, other: str) -> Finding:
    """Compare the accuracy of a method with that of another."""
    exact, choice = ((of(run), of(other)) for of in (material.right, material.chosen))
    found = {EXACT: material.difference(run, *exact), CHOICE: material.difference(run, *choice)}
    beside = "; ".join(
        f"{name}: {one.mean():.3f} less {two.mean():.3f}" for name, (one, two) in ((EXACT, exact), (CHOICE, choice))
    )
    return Finding(found, beside + f" ({other})")


def blind_rule(material: Material, run: str) -> Finding:
    """Measure the best rule that does not read the question's entity; the run lends its problems."""
    rule = material.estimate(run, material.blind(run))
    return Finding({"nearest-source rule": rule}, "a coin .500, CoT of the paper .775")


# Thoughts removed, changed, exchanged


def removed(material: Material, run: str) -> Finding:
    """Compare the answer after all thoughts with the answer after none."""
    found, beside = {}, []
    for name, of in (("exact answers", material.right_after), ("forced choices", material.chosen_after)):
        own, without = (of(run, k) for k in (material.checkpoint(run).thoughts, 0))
        found[f"share of {name} lost"] = material.estimate(run, own - without, own, statistic=ratio)
        beside.append(f"{name} {own.mean():.3f} with, {without.mean():.3f} without")
    return Finding(found, "; ".join([*beside, "a coin .500"]))


def _changed(material: Material, run: str) -> dict[str, Outcome]:
    """Return outcomes with a run's own thoughts, noise, another order, and those of other problems."""
    every = [[Noise(seed=material.seed)], [Permute()], [Shuffle(seed=material.seed)]]
    outcomes = material.under("all thoughts changed", run, every)
    return dict(zip(("own", "noise", "permuted", "shuffled"), outcomes, strict=True))


def _flips(material: Material, run: str, name: str) -> Estimate:
    """Return the share of answers that become others."""
    found = _changed(material, run)
    same = zip(found["own"].texts, found[name].texts, strict=True)
    return material.estimate(run, np.array([a != b for a, b in same], dtype=float))


def noise(material: Material, run: str) -> Finding:
    """Feed noise of the same length in the place of all thoughts."""
    own, other = (_changed(material, run)[name].right.astype(float) for name in ("own", "noise"))
    lost = material.difference(run, own, other)
    return Finding({"accuracy lost to noise": lost}, f"{own.mean():.3f} and {other.mean():.3f}; a coin .500")


def permuted(material: Material, run: str) -> Finding:
    """Feed the thoughts in another order."""
    changed = _flips(material, run, "permuted")
    return Finding(
        {"answers changed by another order": changed}, f"by noise {_flips(material, run, 'noise').value:.3f}"
    )


def foreign(material: Material, run: str) -> Finding:
    """Feed the thoughts of other problems."""
    own, other = (_changed(material, run)[name].right.astype(float) for name in ("own", "shuffled"))
    found = {"accuracy with thoughts of other problems": material.estimate(run, other)}
    return Finding(found, f"with its own {own.mean():.3f}, a coin .500")


def swapped(material: Material, run: str) -> Finding:
    """Count the answers that the thoughts of other problems change."""
    return Finding({"answers changed by the thoughts of others": _flips(material, run, "shuffled")})


def _followed(material: Material, run: str, outcome: Outcome, own: Outcome) -> Estimate:
    """Return the share of answers, right before, that become those of the twins."""
    follow = np.where(own.right, outcome.wrong_option, np.nan)
    return material.estimate(run, follow, ids=[problem.id for problem in material.paired(run)])


def single(material: Material, run: str) -> Finding:
    """Exchange one thought for that of the entity-swapped twin."""
    plans = [[Patch(at=(k,))] for k in range(1, material.checkpoint(run).thoughts + 1)]
    own, *each = material.under("one thought of the twin", run, plans, twins=True)
    followed = [_followed(material, run, one, own) for one in each]
    beside = "each thought in turn: " + " ".join(f"{one.value:.2f}" for one in followed)
    return Finding({"answers that follow the twin's thought 1": followed[0]}, beside + "; of answers right before")


def together(material: Material, run: str) -> Finding:
    """Exchange all thoughts for those of the twin."""
    own, twin = material.under("all thoughts of the twin", run, [[Patch()]], twins=True)
    found = {"answers that follow the twin's thoughts": _followed(material, run, twin, own)}
    return Finding(found, "of answers right before; restored KL would be 0, not restored 15.3: we count answers")


def edits(material: Material, run: str) -> Finding:
    """Count the single-edge rewrites that the answers follow."""
    rewrites = [drawn_rewrite(problem, material.seed) for problem in material.of(run)]
    answered = answers(material.checkpoint(run), filter(None, rewrites), batch_size=material.batch_size)
    follow = np.array([np.nan if one is None else next(answered).right for one in rewrites])
    followed = material.estimate(run, np.where(material.right(run) > 0, follow, np.nan))
    return Finding({"edge rewrites followed": followed}, "a coin .500; of problems right before")
