"""Claims about what the model says after k thoughts and about the values of nodes: the search tree of the paper."""

from collections.abc import Callable

import numpy as np
import polars as pl

from workbench.measure.statistics import Estimate, auroc, resample, spearman
from workbench.studies.claims import MARGIN, Check, Claim, Finding
from workbench.studies.reproduce.material import REFERENCE, Material, column

COCONUT, OBSERVABLE = "2412.06769, section 4", "2606.12689"
_FORCED, _HEAD = "forced_language", "lm_head"
_CONTROLS = ("noise", "shuffled", "pause")
WELL_SEPARATED = 0.75
"""Area under the ROC curve that we take the paper's "well separated" to mean; it prints no number."""
_STYLE = "Forced readout: the model of the paper finished `Every`, ours names a node after its separator."


def _accuracy_rises(material: Material) -> Finding:
    most = material.checkpoint().thoughts
    first, last = (material.right_after(REFERENCE, k) for k in (1, most))
    of = material.frame("behaviour", control="noise").filter(pl.col("thought") == most)
    beside = f"{first.mean():.3f} after 1, {last.mean():.3f} after {most}; with noise fed {of['correct'].mean():.3f}"
    return Finding(material.on, (Check(f"{most} thoughts less 1", material.difference(last, first), 0.0),), beside)


def _without_a_thought(material: Material, category: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return whether CoT, and Coconut with no thought, say what is of this category, and both shares in words."""
    found = []
    for name in ("cot", "coconut_language"):
        said = material.frame("behaviour", name).filter(pl.col("thought") == 0)["behaviour"].cast(pl.String)
        found.append((said == category).to_numpy().astype(float))
    cot, coconut = found
    return cot, coconut, f"CoT {cot.mean():.3f}, Coconut with no thought {coconut.mean():.3f}"


def _hallucinates_less(material: Material) -> Finding:
    cot, coconut, both = _without_a_thought(material, "Hallucination")
    check = Check("CoT less Coconut (language only)", material.difference(cot, coconut), 0.0)
    return Finding(material.on_methods, (check,), f"hallucinations: {both}")


def _better_chain(material: Material) -> Finding:
    cot, coconut, both = _without_a_thought(material, "Correct Path")
    why = "Stage mixing gives each stage a share of the budget; CoT has all of it for the chain."
    check = Check("Coconut less CoT", material.difference(coconut, cot), 0.0)
    return Finding(material.on_methods, (check,), f"correct paths: {both}", why)


def _more_thoughts(material: Material) -> Finding:
    trained = material.checkpoint().thoughts
    own, more = (material.right_after(REFERENCE, k) for k in (trained, trained + 4))
    beside = f"{own.mean():.3f} after {trained}, {more.mean():.3f} after {trained + 4}"
    check = Check(f"{trained} thoughts less {trained + 4}", material.difference(own, more), 0.0)
    return Finding(material.on, (check,), beside)


def _gap(table: pl.DataFrame, readout: str, thought: int) -> np.ndarray:
    top1, top3 = (column(table, name, readout=readout, thought=thought) for name in ("top1", "top3"))
    return top3 - top1


def _narrows(material: Material) -> Finding:
    table = material.frame("parallelism")
    one, two = (_gap(table, _FORCED, k) for k in (1, 2))
    head = ", ".join(f"{np.nanmean(_gap(table, _HEAD, k)):.3f}" for k in (1, 2, 3))
    noise = material.frame("parallelism", control="noise")
    beside = (
        f"thought 1 {np.nanmean(one):.3f}, thought 2 {np.nanmean(two):.3f}; LM head, thoughts 1 to 3: {head}; "
        f"with noise fed {np.nanmean(_gap(noise, _FORCED, 1)):.3f} and {np.nanmean(_gap(noise, _FORCED, 2)):.3f}"
    )
    check = Check("top 3 less top 1: thought 1 less thought 2", material.difference(one, two), 0.0)
    return Finding(material.on, (check,), beside, _STYLE)


def _auroc(rows: pl.DataFrame, seed: int) -> Estimate:
    return resample(rows["value"], rows["reaches_target"], statistic=auroc, clusters=rows["problem"], seed=seed)


def _separated(material: Material) -> Finding:
    checks, beside = [], []
    table = material.frame("height").filter(pl.col("readout") == _FORCED)
    for k in (1, 2):
        rows = table.filter(pl.col("thought") == k, pl.col("height_shortest") <= 1)
        other = table.filter(pl.col("thought") == k, pl.col("height_shortest") > 1)
        area = _auroc(rows, material.seed)
        high = _auroc(other, material.seed)
        checks.append(Check(f"area under ROC, height 0 and 1, thought {k}", area, WELL_SEPARATED))
        beside.append(f"greater heights, thought {k}: {high}")
    why = f"The paper prints no number; an area of {WELL_SEPARATED} or more is our reading of the figure. Chance .500."
    return Finding(material.on, tuple(checks), "; ".join(beside), why)


def _correct_valued(material: Material) -> Finding:
    checks = []
    table = material.frame("height").filter(pl.col("readout") == _HEAD)
    for k in (1, 2, 3):
        rows = table.filter(pl.col("thought") == k)
        area = _auroc(rows, material.seed)
        checks.append(Check(f"area under ROC, thought {k}", area, 0.5))
    noise = material.frame("height", control="noise").filter(pl.col("readout") == _HEAD, pl.col("thought") == 1)
    area = _auroc(noise, material.seed)
    return Finding(material.on, tuple(checks), f"chance .500; with noise fed, thought 1: {area.value:.3f}")


def _low_is_certain(material: Material) -> Finding:
    table = material.frame("height").filter(pl.col("readout") == _FORCED, ~pl.col("reaches_target"))
    checks = []
    for k in (1, 2):
        rows = table.filter(pl.col("thought") == k)
        rho = resample(
            rows["height_shortest"], rows["value"], statistic=spearman, clusters=rows["problem"], seed=material.seed
        )
        checks.append(Check(f"Spearman, height and value of wrong candidates, thought {k}", rho, 0.0))
    return Finding(material.on, tuple(checks), "no relation 0", "The paper draws it and prints no coefficient.")


def _mass_of(material: Material, name: str, readout: str, k: int) -> np.ndarray:
    table = material.frame("breadth", name)
    return column(table, "candidate_mass", readout=readout, thought=k)


def _mixed_mass(material: Material) -> Finding:
    table = material.frame("breadth")
    chance = [column(table, "candidate_mass_chance", readout=_FORCED, thought=k) for k in range(5)]
    mass = [_mass_of(material, REFERENCE, _FORCED, k) for k in range(5)]
    checks = [Check(f"mass less chance, k = {k}", material.difference(mass[k], chance[k]), 0.0) for k in (0, 1, 2)]
    checks.append(Check("k = 1 less k = 3", material.difference(mass[1], mass[3]), 0.0))
    beside = "mass for k = 0..4: " + " ".join(f"{np.nanmean(one):.2f}" for one in mass)
    return Finding(material.on, tuple(checks), beside + "; k = 0 needs no thought and is no evidence of one")


def _unmixed_mass(material: Material) -> Finding:
    name = "coconut_without_curriculum"
    checks = [
        Check(f"candidate mass, k = {k}", material.mean(_mass_of(material, name, _FORCED, k)), at_most=0.05)
        for k in (0, 1, 2)
    ]
    why = "No curriculum at all, which is more than no mixing; it began from a model that can name a child (k = 0)."
    return Finding(material.on_methods, tuple(checks), "", why)


def _top1(material: Material, k: int, control: str = "model") -> tuple[np.ndarray, np.ndarray]:
    table = material.frame("breadth", control=control)
    own, chance = (column(table, c, readout=_FORCED, thought=k) for c in ("top1_correct", "top1_correct_chance"))
    return own, chance


def _top1_chance(material: Material) -> Finding:
    checks = [
        Check(f"top 1 correct less chance, k = {k}", material.difference(*_top1(material, k)), 0.0) for k in (1, 2, 3)
    ]
    noise = ", ".join(f"{np.nanmean(np.subtract(*_top1(material, k, 'noise'))):+.3f}" for k in (1, 2, 3))
    return Finding(material.on, tuple(checks), f"chance 0; with noise fed {noise}")


def _top1_level(material: Material) -> Finding:
    published = {1: 0.907, 2: 0.891, 3: 0.866}
    checks = [
        Check(f"top 1 correct, k = {k}", material.mean(_top1(material, k)[0]), level - MARGIN)
        for k, level in published.items()
    ]
    chance = ", ".join(f"{np.nanmean(_top1(material, k)[1]):.3f}" for k in published)
    return Finding(material.on, tuple(checks), f"chance {chance}", "Ours spreads its mass: see the entropy below.")


def _entropy(material: Material, k: int) -> np.ndarray:
    """Return H / log N under the LM head for each problem, nan where the frontier is a single node or none."""
    table = material.frame("breadth").filter(pl.col("readout") == _HEAD, pl.col("thought") == k)
    breadth, size = (table[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("breadth", "frontier_size"))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1, np.log2(breadth) / np.log2(size), np.nan)


def _entropy_falls(material: Material) -> Finding:
    share = [_entropy(material, k) for k in (1, 2, 3)]
    checks = [Check(f"thought {k} less {k + 1}", material.difference(share[k - 1], share[k]), 0.0) for k in (1, 2)]
    beside = "H over log N, thoughts 1 to 3: " + " ".join(f"{np.nanmean(one):.2f}" for one in share)
    return Finding(material.on, tuple(checks), beside + "; 1.00 is an even spread over the frontier")


def _without_recurrence(readout_of: str, text: str) -> Callable[[Material], Finding]:
    def measure(material: Material) -> Finding:
        table = material.frame("breadth", readout_of)
        checks = []
        for k in (1, 2, 3):
            mass, chance = (
                column(table, c, readout=_HEAD, thought=k) for c in ("candidate_mass", "candidate_mass_chance")
            )
            checks.append(Check(f"mass less chance, slot {k}", material.difference(mass, chance), 0.0))
        own = " ".join(f"{np.nanmean(_mass_of(material, readout_of, _HEAD, k)):.2f}" for k in (1, 2, 3))
        ours = " ".join(f"{np.nanmean(_mass_of(material, 'coconut', _HEAD, k)):.2f}" for k in (1, 2, 3))
        return Finding(material.on_methods, tuple(checks), f"mass {own}; Coconut trained alike {ours}", text)

    return measure


def _target_dominates(material: Material) -> Finding:
    table = material.frame("breadth")
    checks = []
    for k in (1, 2):
        rows = table.filter(pl.col("readout") == _HEAD, pl.col("thought") == k, pl.col("steps") > pl.col("hop_read"))
        ours = rows.select("target", "candidate_mass").to_numpy().astype(float)
        checks.append(Check(f"target less its hop's frontier, thought {k}", material.difference(*ours.T), 0.0))
    return Finding(material.on, tuple(checks), "problems whose target lies beyond the hop of the thought")


def _seconds(_: Material) -> Finding:
    why = "Times of two machines; the ratio of our own runs is in the comparison of the methods."
    return Finding("–", why=why, comparable=False)


def _arithmetic(_: Material) -> Finding:
    why = "The reading exists (`readings.arithmetic`); no arithmetic run is bundled."
    return Finding("–", why=why, comparable=False)


CLAIMS = (
    Claim("More thoughts, more right answers", COCONUT + ", figure 3", "rising from k = 0 to 6", _accuracy_rises),
    Claim(
        "With no thought, Coconut hallucinates less than CoT", "v1, section 5.2", "less (figure)", _hallucinates_less
    ),
    Claim(
        "With no thought, Coconut finds more correct paths than CoT", "v1, section 5.2", "more (figure)", _better_chain
    ),
    Claim("More thoughts than trained make it worse", "official repository, issue 17", "worse", _more_thoughts),
    Claim("Parallelism narrows from thought 1 to 2", COCONUT + ", figure 6", "gap wide at 1, narrow at 2", _narrows),
    Claim("Candidates that reach the target are valued more", COCONUT + ", figure 7", "figure", _correct_valued),
    Claim("Low candidates are well separated", COCONUT + ", figure 7", "figure", _separated),
    Claim("Wrong candidates are valued less the lower they are", COCONUT + ", figure 7", "figure", _low_is_certain),
    Claim(
        "With stage mixing, candidates hold the mass, less and less",
        OBSERVABLE,
        ".95 .97 .81 .40 .24 for k = 0..4",
        _mixed_mass,
    ),
    Claim("Without mixing, the forced readout is noise", OBSERVABLE, ".00 .00 .00 for k = 0..2", _unmixed_mass),
    Claim(
        "The top candidate is correct more often than by chance",
        OBSERVABLE,
        ".907 .891 .866 for k = 1..3",
        _top1_chance,
    ),
    Claim("The top candidate is correct nine times in ten", OBSERVABLE, ".907 .891 .866 for k = 1..3", _top1_level),
    Claim("The frontier narrows: entropy falls", OBSERVABLE, ".46 .32 .37 for k = 1..3", _entropy_falls),
    Claim(
        "The pattern appears without recurrence (pause as thought)",
        OBSERVABLE,
        "H / log N .51 .51 .48 .23",
        _without_recurrence(
            "pause_as_thought",
            "Slot 1 is a look-up and needs no recurrence; the later ones were asked alike and did not learn it.",
        ),
    ),
    Claim(
        "The target dominates thoughts from the first on",
        "2604.06374, fine-tuned GPT-2",
        "from step 0",
        _target_dominates,
    ),
    Claim("Coconut answers in a third of CoT's time", "2412.06769, table 4", ".15 and .47 s", _seconds),
    Claim("The first thought on 3 × 3 × 60 reads 180 and 9", "2412.06769, figure 9", "180, 9", _arithmetic),
)
"""In the order shown."""
