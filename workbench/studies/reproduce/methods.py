"""Claims about accuracy: methods side by side, and a model whose thoughts are removed, changed or exchanged."""

import numpy as np

from workbench.interventions.run import Outcome
from workbench.interventions.thoughts import Noise, Patch, Permute, Shuffle
from workbench.measure.verdicts import MARGIN, Check, bounds
from workbench.studies.claims import Claim
from workbench.studies.reproduce.material import REFERENCE, Finding, Material

TITLES = {
    "coconut_next_node": "Coconut, next node asked",
    "cot": "CoT",
    "no_cot": "No-CoT",
    "icot": "iCoT",
    "pause_as_thought": "pause as thought, next node asked",
    "pause_token": "pause token",
    "coconut_without_thought": "Coconut without thought",
    "coconut_without_curriculum": "Coconut without curriculum",
    "coconut_frontier": "frontier asked (COCONUT-BFS)",
}
"""Methods in the text of a finding."""


def pair(material: Material, claim: Claim) -> Finding:
    """Compare the accuracy of the two methods that a claim is about (`Claim.pair`)."""
    _, first, relation, second = claim.pair
    one, two = material.right(first), material.right(second)
    what = f"{TITLES[first]} less {TITLES[second]}"
    check = Check(what, material.difference(one, two), **bounds(relation))  # type: ignore[arg-type]
    beside = f"{TITLES[first]} {one.mean():.3f}, {TITLES[second]} {two.mean():.3f}, a coin .500"
    return Finding(material.on_methods, (check,), beside)


def level(material: Material, name: str, at_least: float, at_most: float) -> Finding:
    """Hold the accuracy of a method against a range."""
    check = Check(f"accuracy of {TITLES[name]}", material.mean(material.right(name)), at_least, at_most)
    return Finding(material.on_methods, (check,), "a coin .500")


def solved(material: Material) -> Finding:
    """Hold the reference's accuracy against that of the paper."""
    blind = material.results(REFERENCE)["nearest_source"].to_numpy()
    check = Check("accuracy", material.mean(material.right(REFERENCE)), 0.97 - MARGIN)
    return Finding(material.on, (check,), f"a coin .500, nearest-source rule {blind.mean():.3f}")


def solved_short(material: Material) -> Finding:
    """The same on problems of 3 and 4 hops."""
    short = np.isin(material.lengths, (3, 4))
    accuracy = material.mean(np.where(short, material.right(REFERENCE), np.nan))
    return Finding(material.on + ", 3 and 4 hops", (Check("accuracy", accuracy, 0.962 - MARGIN),), "a coin .500")


def query_blind(material: Material) -> Finding:
    """Hold the best rule that does not read the question against CoT of the paper."""
    rule = material.mean(material.results(REFERENCE)["nearest_source"].to_numpy())
    return Finding(material.on, (Check("nearest-source rule", rule, 0.775),), "a coin .500, CoT of the paper .775")


# Thoughts removed, changed, exchanged


def removed(material: Material, run: str, at_least: float, at_most: float) -> Finding:
    """Compare the answer after all thoughts with the answer after none."""
    own, without = (material.right_after(run, k) for k in (material.checkpoint(run).thoughts, 0))
    beside = f"{own.mean():.3f} with, {without.mean():.3f} without; a coin .500"
    if run == REFERENCE:
        beside += f", noise of the same length in their place {_changed(material)['noise'].right.mean():.3f}"
    check = Check("accuracy lost without thoughts", material.difference(own, without), at_least, at_most)
    return Finding(material.on if run == REFERENCE else material.on_methods, (check,), beside)


def _changed(material: Material) -> dict[str, Outcome]:
    """Return outcomes of the reference with its own thoughts, noise, another order, and those of other problems."""
    every = [[Noise(seed=material.seed)], [Permute()], [Shuffle(seed=material.seed)]]
    outcomes = material.under("all thoughts changed", every)
    return dict(zip(("own", "noise", "permuted", "shuffled"), outcomes, strict=True))


def _flips(material: Material, name: str) -> np.ndarray:
    """Return which answers become others."""
    found = _changed(material)
    return np.array([a != b for a, b in zip(found["own"].texts, found[name].texts, strict=True)], dtype=float)


def noise(material: Material) -> Finding:
    """Feed noise of the same length in the place of all thoughts."""
    own, other = (_changed(material)[name].right for name in ("own", "noise"))
    check = Check("accuracy lost to noise", material.difference(own, other), at_most=0.10)
    return Finding(material.on, (check,), f"{own.mean():.3f} and {other.mean():.3f}; a coin .500")


def permuted(material: Material) -> Finding:
    """Feed the thoughts in another order."""
    check = Check("answers changed by another order", material.mean(_flips(material, "permuted")), at_most=0.01)
    return Finding(material.on, (check,), f"by noise {_flips(material, 'noise').mean():.3f}")


def foreign(material: Material) -> Finding:
    """Feed the thoughts of other problems."""
    own, other = (_changed(material)[name].right for name in ("own", "shuffled"))
    check = Check("accuracy with thoughts of other problems", material.mean(other), 0.97 - MARGIN)
    return Finding(material.on, (check,), f"with its own {own.mean():.3f}, a coin .500")


def swapped(material: Material) -> Finding:
    """Count the answers that the thoughts of other problems change."""
    check = Check("answers changed by the thoughts of others", material.mean(_flips(material, "shuffled")))
    return Finding(material.on, (check,))


def single(material: Material) -> Finding:
    """Exchange one thought for that of the entity-swapped twin."""
    count = material.checkpoint().thoughts
    plans = [[Patch(at=(k,))] for k in range(1, count + 1)]
    own, *each = material.under("one thought of the twin", plans, twins=True)
    follow = [np.where(own.right, one.wrong_option, np.nan) for one in each]
    check = Check("answers that follow the twin's thought 1", material.mean(follow[0]), at_most=0.10)
    beside = f"thought 1 to {count}: " + " ".join(f"{np.nanmean(one):.2f}" for one in follow)
    return Finding(material.on + ", with twins", (check,), beside + "; of answers right before")


def together(material: Material) -> Finding:
    """Exchange all thoughts for those of the twin."""
    own, twin = material.under("all thoughts of the twin", [[Patch()]], twins=True)
    follow = np.where(own.right, twin.wrong_option, np.nan)
    check = Check("answers that follow the twin's thoughts", material.mean(follow), at_most=0.10)
    return Finding(material.on + ", with twins", (check,), "of answers right before")


def edits(material: Material) -> Finding:
    """Count the single-edge rewrites that the answer follows."""
    followed = material.results(REFERENCE)["rewrite_followed"].cast(float).fill_null(np.nan).to_numpy()
    follow = np.where(material.right(REFERENCE) > 0, followed, np.nan)
    check = Check("edge rewrites followed", material.mean(follow), at_most=0.5)
    return Finding(material.on, (check,), "a coin .500; of problems right before")
