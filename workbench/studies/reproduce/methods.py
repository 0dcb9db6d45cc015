"""Claims about accuracy: the methods of the paper side by side, each trained from scratch with the same budget."""

from collections.abc import Callable

import numpy as np

from workbench.measure.statistics import Estimate
from workbench.studies.claims import MARGIN, Check, Claim, Finding
from workbench.studies.reproduce.material import REFERENCE, Material

TABLE_1 = "2412.06769, table 1"
SUPERPOSITION = "2505.12514, section 5"
TITLES = {
    "coconut": "Coconut",
    "cot": "CoT",
    "no_cot": "No-CoT",
    "icot": "iCoT",
    "pause_as_thought": "pause as thought",
    "pause_token": "pause token",
    "coconut_without_thought": "Coconut without thought",
    "coconut_without_curriculum": "Coconut without curriculum",
    "coconut_frontier": "frontier supervision (COCONUT-BFS)",
}
_SCALE = "Ours have two layers, read edge lists and were trained on two cores; theirs is GPT-2 on sentences."


def _against(first: str, second: str, at_least: float, at_most: float) -> Callable[[Material], Finding]:
    def measure(material: Material) -> Finding:
        one, two = material.right(first), material.right(second)
        check = Check(f"{TITLES[first]} less {TITLES[second]}", material.difference(one, two), at_least, at_most)
        beside = f"{TITLES[first]} {one.mean():.3f}, {TITLES[second]} {two.mean():.3f}, a coin .500"
        return Finding(material.on_methods, (check,), beside, "" if check.holds else _SCALE)

    return measure


def _level(name: str, at_least: float, at_most: float, why: str) -> Callable[[Material], Finding]:
    def measure(material: Material) -> Finding:
        check = Check(f"accuracy of {TITLES[name]}", material.mean(material.right(name)), at_least, at_most)
        return Finding(material.on_methods, (check,), "a coin .500", why)

    return measure


def _reference(material: Material) -> Finding:
    accuracy = material.mean(material.right(REFERENCE))
    blind = material.results(REFERENCE)["nearest_source"].to_numpy()
    beside = f"a coin .500, nearest-source rule {blind.mean():.3f}"
    return Finding(material.on, (Check("accuracy", accuracy, 0.97 - MARGIN),), beside, _SCALE)


def _short(material: Material) -> Finding:
    short = np.isin(material.lengths, (3, 4))
    accuracy: Estimate = material.mean(np.where(short, material.right(REFERENCE), np.nan))
    return Finding(material.on + ", 3 and 4 hops", (Check("accuracy", accuracy, 0.962 - MARGIN),), "a coin .500")


def _blind(material: Material) -> Finding:
    rule = material.mean(material.results(REFERENCE)["nearest_source"].to_numpy())
    why = "A finding about data: generated problems that follow the released ones in their moments."
    return Finding(material.on, (Check("nearest-source rule", rule, 0.775),), "a coin .500, CoT of the paper .775", why)


def _any(_: Material) -> Finding:
    why = "No model of that scale is bundled, and none can be trained on two cores; `workbench train` loads one."
    return Finding("–", why=why, comparable=False)


CLAIMS = (
    Claim("Coconut solves ProsQA", TABLE_1, "97.0 ± 0.3 (GPT-2)", _reference),
    Claim("From scratch, two layers: nearly perfect on 3 and 4 hops", "2509.23365", "96.2", _short),
    Claim("Coconut is better than CoT", TABLE_1, "97.0 and 77.5", _against("coconut", "cot", 0.0, 1.0)),
    Claim("Coconut is better than No-CoT", TABLE_1, "97.0 and 76.7", _against("coconut", "no_cot", 0.0, 1.0)),
    Claim(
        "From scratch, CoT gets about 75 %",
        SUPERPOSITION + ", figure 4",
        "about 75",
        _level("cot", 0.70, 0.80, "The same small budget for all methods; the paper trained for a day on two A100."),
    ),
    Claim(
        "From scratch, No-CoT gets about 75 %",
        SUPERPOSITION + ", figure 4",
        "about 75",
        _level("no_cot", 0.70, 0.80, "The set leaves no shortcut: query-blind rules score .500 on it."),
    ),
    Claim("iCoT is no worse than Coconut", TABLE_1, "98.2 and 97.0", _against("icot", "coconut", -MARGIN, 1.0)),
    Claim(
        "Pauses in place of thoughts do as well",
        TABLE_1,
        "96.6 and 97.0",
        _against("pause_as_thought", "coconut", -MARGIN, MARGIN),
    ),
    Claim(
        "The curriculum alone, without thoughts, does as well",
        TABLE_1,
        "95.5 and 97.0",
        _against("coconut_without_thought", "coconut", -MARGIN, MARGIN),
    ),
    Claim(
        "Without curriculum, thoughts are no better than none",
        TABLE_1,
        "76.1 and 76.7",
        _against("coconut_without_curriculum", "no_cot", -1.0, MARGIN),
    ),
    Claim(
        "Pause tokens without curriculum are no better than No-CoT",
        TABLE_1,
        "75.9 and 76.7",
        _against("pause_token", "no_cot", -1.0, MARGIN),
    ),
    Claim(
        "A random node of the frontier as label teaches as well",
        SUPERPOSITION,
        "near-perfect both",
        _against("coconut_frontier", "coconut", -MARGIN, 1.0),
    ),
    Claim(
        "A rule that never reads the question beats published CoT", "measured on the official test set", "91.1", _blind
    ),
    Claim("Llama-3.2-1B Coconut solves ProsQA", "2602.22441", "99.4", _any),
    Claim("Coconut is worse than CoT on GSM8K", TABLE_1, "34.1 and 42.9", _any),
)
"""In the order shown."""
