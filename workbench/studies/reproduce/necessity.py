"""Claims about whether thoughts are needed: removed, replaced, exchanged, transplanted, or the problem edited."""

from collections.abc import Callable

import numpy as np

from workbench.interventions.run import Outcome
from workbench.interventions.thoughts import Noise, Patch, Permute, Shuffle
from workbench.studies.claims import MARGIN, Check, Claim, Finding
from workbench.studies.reproduce.material import REFERENCE, Material

_ALL = "all thoughts changed"
OBSERVABLE, CURRICULUM = "2606.12689", "bmarti44, The Curriculum Is the Mechanism"
_NEEDED = "Ours was trained from scratch, every thought asked for the next node; theirs was fine-tuned from words."


def _removed(run: str, at_least: float, at_most: float, why: str = "") -> Callable[[Material], Finding]:
    def measure(material: Material) -> Finding:
        most = material.checkpoint(run).thoughts
        own, without = (material.right_after(run, k) for k in (most, 0))
        beside = f"{own.mean():.3f} with, {without.mean():.3f} without; a coin .500"
        if run == REFERENCE:
            beside += f", noise of the same length in their place {_changed(material)['noise'].right.mean():.3f}"
        check = Check("accuracy lost without thoughts", material.difference(own, without), at_least, at_most)
        return Finding(material.on if run == REFERENCE else material.on_methods, (check,), beside, why)

    return measure


def _changed(material: Material) -> dict[str, Outcome]:
    every = [[Noise(seed=material.seed)], [Permute()], [Shuffle(seed=material.seed)]]
    outcomes = material.under(_ALL, every)
    return dict(zip(("own", "noise", "permuted", "shuffled"), outcomes, strict=True))


def _noise(material: Material) -> Finding:
    found = _changed(material)
    lost = material.difference(found["own"].right, found["noise"].right)
    beside = f"{found['own'].right.mean():.3f} and {found['noise'].right.mean():.3f}; a coin .500"
    return Finding(material.on, (Check("accuracy lost to noise", lost, at_most=0.10),), beside, _NEEDED)


def _flips(material: Material, name: str) -> np.ndarray:
    found = _changed(material)
    return np.array([a != b for a, b in zip(found["own"].texts, found[name].texts, strict=True)], dtype=float)


def _permuted(material: Material) -> Finding:
    flips = material.mean(_flips(material, "permuted"))
    noise = _flips(material, "noise").mean()
    check = Check("answers changed by another order", flips, at_most=0.01)
    return Finding(material.on, (check,), f"by noise {noise:.3f}", _NEEDED)


def _foreign(material: Material) -> Finding:
    found = _changed(material)
    accuracy = material.mean(found["shuffled"].right)
    check = Check("accuracy with thoughts of other problems", accuracy, 0.97 - MARGIN)
    return Finding(material.on, (check,), f"with its own {found['own'].right.mean():.3f}, a coin .500", _NEEDED)


def _swapped(material: Material) -> Finding:
    flips = material.mean(_flips(material, "shuffled"))
    why = "Models of 7 to 8 billion on ProntoQA and MMLU; here our number for ProsQA."
    return Finding(material.on, (Check("answers changed by the thoughts of others", flips),), "", why, comparable=False)


def _single(material: Material) -> Finding:
    count = material.checkpoint().thoughts
    plans = [[Patch(at=(k,))] for k in range(1, count + 1)]
    own, *each = material.under("one thought of the twin", plans, twins=True)
    follow = [np.where(own.right, one.wrong_option, np.nan) for one in each]
    check = Check("answers that follow the twin's thought 1", material.mean(follow[0]), at_most=0.10)
    beside = "thought 1 to " + f"{count}: " + " ".join(f"{np.nanmean(one):.2f}" for one in follow)
    return Finding(material.on + ", with twins", (check,), beside + "; of answers right before", _NEEDED)


def _together(material: Material) -> Finding:
    own, twin = material.under("all thoughts of the twin", [[Patch()]], twins=True)
    follow = np.where(own.right, twin.wrong_option, np.nan)
    check = Check("answers that follow the twin's thoughts", material.mean(follow), at_most=0.10)
    why = "Full restoration of the divergence would be 0, none 15.3; we count answers instead. " + _NEEDED
    return Finding(material.on + ", with twins", (check,), "of answers right before", why)


def _edits(material: Material) -> Finding:
    table = material.results(REFERENCE)
    right = np.array([row[-1] for row in table["right"].to_list()], dtype=bool)
    followed = table["rewrite_followed"].cast(float).fill_null(np.nan).to_numpy()
    check = Check("edge rewrites followed", material.mean(np.where(right, followed, np.nan)), at_most=0.5)
    why = "Ours was asked sixteen questions about each graph in training."
    return Finding(material.on, (check,), "a coin .500; of problems right before", why)


CLAIMS = (
    Claim(
        "Thoughts can be removed at no cost",
        "2604.06374 v2 and 2606.12689, fine-tuned GPT-2",
        "99.0 and 99.0; 98.0 and 97.8",
        _removed(REFERENCE, -MARGIN, MARGIN, _NEEDED),
    ),
    Claim(
        "From scratch, removing thoughts costs most of the accuracy",
        "2604.06374, two layers",
        "94.5 and 13.8",
        _removed(REFERENCE, 0.5, 1.0),
    ),
    Claim(
        "Pauses can be removed at no cost",
        OBSERVABLE,
        "95.4 and 95.6",
        _removed(
            "pause_as_thought",
            -MARGIN,
            MARGIN,
            "Without its pauses ours gives no valid answer: a matter of form, not of thought.",
        ),
    ),
    Claim(
        "Noise in place of thoughts costs less than ten points", "2602.22441, GPT-2 Coconut", "97.8 and 89.0", _noise
    ),
    Claim("The order of thoughts does not matter", CURRICULUM, "0 of 5000 flips", _permuted),
    Claim("Thoughts of other problems do as well", CURRICULUM, "97.0", _foreign),
    Claim("Exchanging thoughts changes 18 % of answers", "2512.21711", "17.9", _swapped),
    Claim("No single thought carries the answer", OBSERVABLE, "KL 15.3 of 15.3 left", _single),
    Claim("Not even all thoughts together carry it", OBSERVABLE, "KL 14.2 of 15.3 left", _together),
    Claim("Coconut does not follow edits of an edge", "2607.06648", "27.4 at the end of training", _edits),
)
"""In the order shown."""
