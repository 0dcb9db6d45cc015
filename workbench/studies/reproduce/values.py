"""Claims about what the model says after k thoughts and about the values of nodes: the search tree of the paper."""

import numpy as np
import polars as pl

from workbench.measure.statistics import Estimate, auroc, resample, spearman
from workbench.measure.verdicts import MARGIN, Check
from workbench.studies.reproduce.material import REFERENCE, Finding, Material, column

_FORCED, _HEAD = "forced_language", "lm_head"


def accuracy_rises(material: Material) -> Finding:
    """Compare the accuracy after one thought and after all."""
    most = material.checkpoint().thoughts
    first, last = (material.right_after(REFERENCE, k) for k in (1, most))
    of = material.frame("behaviour", control="noise").filter(pl.col("thought") == most)
    beside = f"{first.mean():.3f} after 1, {last.mean():.3f} after {most}; with noise fed {of['correct'].mean():.3f}"
    return Finding(material.on, (Check(f"{most} thoughts less 1", material.difference(last, first), 0.0),), beside)


def _without_a_thought(material: Material, category: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return whether CoT, and Coconut with no thought, say what is of this category, and both shares in words."""
    found = []
    for name in ("cot", "coconut_words"):
        said = material.frame("behaviour", name).filter(pl.col("thought") == 0)["behaviour"].cast(pl.String)
        found.append((said == category).to_numpy().astype(float))
    cot, coconut = found
    return cot, coconut, f"CoT {cot.mean():.3f}, Coconut, words only, with no thought {coconut.mean():.3f}"


def hallucinates_less(material: Material) -> Finding:
    """Compare how often CoT and Coconut with no thought name an edge that is not there."""
    cot, coconut, both = _without_a_thought(material, "Hallucination")
    check = Check("CoT less Coconut, words only", material.difference(cot, coconut), 0.0)
    return Finding(material.on_methods, (check,), f"hallucinations: {both}")


def better_chain(material: Material) -> Finding:
    """Compare how often CoT and Coconut with no thought say a correct path."""
    cot, coconut, both = _without_a_thought(material, "Correct Path")
    check = Check("Coconut, words only, less CoT", material.difference(coconut, cot), 0.0)
    return Finding(material.on_methods, (check,), f"correct paths: {both}")


def more_thoughts(material: Material) -> Finding:
    """Compare the trained number of thoughts with four more."""
    trained = material.checkpoint().thoughts
    own, more = (material.right_after(REFERENCE, k) for k in (trained, trained + 4))
    beside = f"{own.mean():.3f} after {trained}, {more.mean():.3f} after {trained + 4}"
    check = Check(f"{trained} thoughts less {trained + 4}", material.difference(own, more), 0.0)
    return Finding(material.on, (check,), beside)


def _gap(table: pl.DataFrame, readout: str, thought: int) -> np.ndarray:
    top1, top3 = (column(table, name, readout=readout, thought=thought) for name in ("top1", "top3"))
    return top3 - top1


def narrows(material: Material) -> Finding:
    """Compare how far the three best candidates lie apart at thoughts 1 and 2."""
    table = material.frame("parallelism")
    one, two = (_gap(table, _FORCED, k) for k in (1, 2))
    head = ", ".join(f"{np.nanmean(_gap(table, _HEAD, k)):.3f}" for k in (1, 2, 3))
    noise = material.frame("parallelism", control="noise")
    beside = (
        f"thought 1 {np.nanmean(one):.3f}, thought 2 {np.nanmean(two):.3f}; LM head, thoughts 1 to 3: {head}; "
        f"with noise fed {np.nanmean(_gap(noise, _FORCED, 1)):.3f} and {np.nanmean(_gap(noise, _FORCED, 2)):.3f}"
    )
    check = Check("top 3 less top 1: thought 1 less thought 2", material.difference(one, two), 0.0)
    return Finding(material.on, (check,), beside)


def _auroc(rows: pl.DataFrame, seed: int) -> Estimate:
    """Return how well values tell apart the candidates that reach the target."""
    return resample(rows["value"], rows["reaches_target"], statistic=auroc, clusters=rows["problem"], seed=seed)


def separated(material: Material, at_least: float) -> Finding:
    """Hold the area under the ROC curve of low candidates against a bound."""
    checks, beside = [], []
    table = material.frame("height").filter(pl.col("readout") == _FORCED)
    for k in (1, 2):
        rows = table.filter(pl.col("thought") == k, pl.col("height_shortest") <= 1)
        other = table.filter(pl.col("thought") == k, pl.col("height_shortest") > 1)
        checks.append(Check(f"area under ROC, height 0 and 1, thought {k}", _auroc(rows, material.seed), at_least))
        beside.append(f"greater heights, thought {k}: {_auroc(other, material.seed)}")
    return Finding(material.on, tuple(checks), "; ".join(beside))


def correct_valued(material: Material) -> Finding:
    """Hold the area under the ROC curve of all candidates against chance."""
    checks = []
    table = material.frame("height").filter(pl.col("readout") == _HEAD)
    for k in (1, 2, 3):
        rows = table.filter(pl.col("thought") == k)
        checks.append(Check(f"area under ROC, thought {k}", _auroc(rows, material.seed), 0.5))
    noise = material.frame("height", control="noise").filter(pl.col("readout") == _HEAD, pl.col("thought") == 1)
    fed = _auroc(noise, material.seed).value
    return Finding(material.on, tuple(checks), f"chance .500; with noise fed, thought 1: {fed:.3f}")


def low_is_certain(material: Material) -> Finding:
    """Correlate the height and the value of wrong candidates."""
    table = material.frame("height").filter(pl.col("readout") == _FORCED, ~pl.col("reaches_target"))
    checks = []
    for k in (1, 2):
        rows = table.filter(pl.col("thought") == k)
        rho = resample(
            rows["height_shortest"], rows["value"], statistic=spearman, clusters=rows["problem"], seed=material.seed
        )
        checks.append(Check(f"Spearman, height and value of wrong candidates, thought {k}", rho, 0.0))
    return Finding(material.on, tuple(checks), "no relation 0")


def _mass_of(material: Material, name: str, readout: str, k: int) -> np.ndarray:
    table = material.frame("breadth", name)
    return column(table, "candidate_mass", readout=readout, thought=k)


def mixed_mass(material: Material) -> Finding:
    """Hold the mass on the candidates against chance, and thought 3 against thought 1."""
    table = material.frame("breadth")
    chance = [column(table, "candidate_mass_chance", readout=_FORCED, thought=k) for k in range(5)]
    mass = [_mass_of(material, REFERENCE, _FORCED, k) for k in range(5)]
    checks = [Check(f"mass less chance, k = {k}", material.difference(mass[k], chance[k]), 0.0) for k in (0, 1, 2)]
    checks.append(Check("k = 1 less k = 3", material.difference(mass[1], mass[3]), 0.0))
    beside = "mass for k = 0..4: " + " ".join(f"{np.nanmean(one):.2f}" for one in mass)
    return Finding(material.on, tuple(checks), beside + "; k = 0 needs no thought and is no evidence of one")


def unmixed_mass(material: Material) -> Finding:
    """Hold the mass on the candidates of a model without curriculum against nothing."""
    name = "coconut_without_curriculum"
    checks = [
        Check(f"candidate mass, k = {k}", material.mean(_mass_of(material, name, _FORCED, k)), at_most=0.05)
        for k in (0, 1, 2)
    ]
    return Finding(material.on_methods, tuple(checks))


def _top1(material: Material, k: int, control: str = "model") -> tuple[np.ndarray, np.ndarray]:
    table = material.frame("breadth", control=control)
    own, chance = (column(table, c, readout=_FORCED, thought=k) for c in ("top1_correct", "top1_correct_chance"))
    return own, chance


def top1_chance(material: Material) -> Finding:
    """Hold how often the top candidate is correct against chance."""
    checks = [
        Check(f"top 1 correct less chance, k = {k}", material.difference(*_top1(material, k)), 0.0) for k in (1, 2, 3)
    ]
    noise = ", ".join(f"{np.nanmean(np.subtract(*_top1(material, k, 'noise'))):+.3f}" for k in (1, 2, 3))
    return Finding(material.on, tuple(checks), f"chance 0; with noise fed {noise}")


def top1_level(material: Material, *levels: float) -> Finding:
    """Hold how often the top candidate is correct after k = 1, 2 ... thoughts against published numbers."""
    checks = [
        Check(f"top 1 correct, k = {k}", material.mean(_top1(material, k)[0]), level - MARGIN)
        for k, level in enumerate(levels, 1)
    ]
    chance = ", ".join(f"{np.nanmean(_top1(material, k)[1]):.3f}" for k in range(1, len(levels) + 1))
    return Finding(material.on, tuple(checks), f"chance {chance}")


def _entropy(material: Material, k: int) -> np.ndarray:
    """Return H / log N under the LM head for each problem, nan where the frontier is a single node or none."""
    table = material.frame("breadth").filter(pl.col("readout") == _HEAD, pl.col("thought") == k)
    breadth, size = (table[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("breadth", "frontier_size"))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1, np.log2(breadth) / np.log2(size), np.nan)


def entropy_falls(material: Material) -> Finding:
    """Compare the entropy over the frontier from thought to thought."""
    share = [_entropy(material, k) for k in (1, 2, 3)]
    checks = [Check(f"thought {k} less {k + 1}", material.difference(share[k - 1], share[k]), 0.0) for k in (1, 2)]
    beside = "H over log N, thoughts 1 to 3: " + " ".join(f"{np.nanmean(one):.2f}" for one in share)
    return Finding(material.on, tuple(checks), beside + "; 1.00 is an even spread over the frontier")


def without_recurrence(material: Material, run: str) -> Finding:
    """Hold the mass on the candidates of a model without recurrence against chance."""
    table, checks = material.frame("breadth", run), []
    for k in (1, 2, 3):
        mass, chance = (column(table, c, readout=_HEAD, thought=k) for c in ("candidate_mass", "candidate_mass_chance"))
        checks.append(Check(f"mass less chance, slot {k}", material.difference(mass, chance), 0.0))
    own, ours = (
        " ".join(f"{np.nanmean(_mass_of(material, name, _HEAD, k)):.2f}" for k in (1, 2, 3))
        for name in (run, "coconut_next_node")
    )
    return Finding(material.on_methods, tuple(checks), f"mass {own}; Coconut, next node asked alike, {ours}")


def target_dominates(material: Material) -> Finding:
    """Compare the value of a target that lies farther away with the mass on the frontier."""
    table = material.frame("breadth")
    checks = []
    for k in (1, 2):
        rows = table.filter(pl.col("readout") == _HEAD, pl.col("thought") == k, pl.col("steps") > pl.col("hop_read"))
        ours = rows.select("target", "candidate_mass").to_numpy().astype(float)
        checks.append(Check(f"target less its hop's frontier, thought {k}", material.difference(*ours.T), 0.0))
    return Finding(material.on, tuple(checks), "problems whose target lies beyond the hop of the thought")
