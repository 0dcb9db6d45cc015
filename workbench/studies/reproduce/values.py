"""Claims about answers (methods side by side, thoughts removed, changed or exchanged) and about the values of nodes."""

import numpy as np
import polars as pl

from workbench.interventions.run import Outcome
from workbench.interventions.thoughts import Noise, Patch, Permute, Shuffle
from workbench.measure.run_labels import MODEL, OTHER_TARGET
from workbench.measure.statistics import Estimate, Rows, Weights, auroc, ratio, spearman
from workbench.measure.trace import answers
from workbench.problems.variants import drawn_rewrite
from workbench.studies.reproduce.bounds import at
from workbench.studies.reproduce.material import Column, Finding, Material, column

_FORCED, _HEAD = "forced_language", "lm_head"


def thoughts_help(material: Material, run: str) -> Finding:
    """Compare the accuracy after all thoughts with that after none, said in words and as a forced choice."""
    most = material.checkpoint(run).thoughts
    words = material.said_right(run).T
    choices = [material.chosen_after(run, k) for k in range(most + 1)]
    found = {
        f"{name}, all thoughts less none": material.difference(run, by_thought[-1], by_thought[0])
        for name, by_thought in (("said right", words), ("forced choice", choices))
    }
    beside = (
        f"{name} after 0 to {most}: " + " ".join(f"{one.mean():.2f}" for one in by_thought)
        for name, by_thought in (("said", words), ("chosen", choices))
    )
    return Finding(found, "; ".join(beside))


def says(material: Material, run: str, category: str) -> Finding:
    """Compare how often Coconut with no thought, and CoT, say what is of a category."""
    coconut, cot = (
        (material.frame("behaviour", name).filter(pl.col("thought") == 0)["behaviour"].cast(pl.String) == category)
        .cast(pl.Float64)
        .to_numpy()
        for name in (run, "cot")
    )
    beside = f"{category}: Coconut with no thought {coconut.mean():.3f}, CoT {cot.mean():.3f}"
    return Finding({"Coconut less CoT": material.difference(run, coconut, cot)}, beside)


def too_many_thoughts(material: Material, run: str, more: int) -> Finding:
    """Compare the trained number of thoughts with some more."""
    trained, found, beside = material.checkpoint(run).thoughts, {}, []
    for name, of in (("exact answers", material.right_after), ("forced choices", material.chosen_after)):
        own, other = (of(run, k) for k in (trained, trained + more))
        found[f"{name} lost"] = material.difference(run, own, other)
        beside.append(f"{name} {own.mean():.3f} after {trained}, {other.mean():.3f} after {trained + more}")
    return Finding(found, "; ".join(beside))


# Values of candidates


def _gap(material: Material, run: str, readout: str, thought: int, control: str = MODEL) -> Column:
    """Return by how much the three best candidates together outdo the best."""
    table = material.frame("parallelism", run, control).filter(pl.col("thought") == thought)
    return column(table, "top3", readout=readout) - column(table, "top1", readout=readout)


def narrows(material: Material, run: str, readout: str) -> Finding:
    """Compare how far the three best candidates lie apart at thoughts 1 and 2."""
    one, two = (_gap(material, run, readout, k) for k in (1, 2))
    beside = f"top 3 less top 1: {np.nanmean(one):.3f} and {np.nanmean(two):.3f}"
    if material.controls:
        noise = " and ".join(f"{np.nanmean(_gap(material, run, readout, k, 'noise')):.3f}" for k in (1, 2))
        beside += f"; with noise fed {noise}"
    return Finding({"thought 1 less thought 2": material.difference(run, one, two)}, beside)


def _candidates(material: Material, run: str, readout: str, thought: int, control: str = MODEL) -> pl.DataFrame:
    return material.frame("height", run, control).filter(pl.col("readout") == readout, pl.col("thought") == thought)


def _area_gap(first: Rows, second: Rows, positive: Rows, *, weights: Weights) -> np.ndarray:
    """Return how much better one column of scores tells the positive rows apart than another."""
    return auroc(first, positive > 0, weights=weights) - auroc(second, positive > 0, weights=weights)


def _low_gap(scores: Rows, positive: Rows, low: Rows, *, weights: Weights) -> np.ndarray:
    """Return how much better the positive rows are told apart among the low ones than among the others."""
    within = (auroc(scores, positive > 0, weights=weights * part) for part in (low, 1 - low))
    return next(within) - next(within)


def value_function(material: Material, run: str, readout: str) -> Finding:
    """Tell the candidates that reach the target apart by their values; the same where another target is asked for.

    Values that are large because of the question fall where the question changes; those that are large because of
    the place in the graph do not.
    """
    found, gaps, beside = {}, {}, []
    for k in (1, 2):
        rows = _candidates(material, run, readout, k)
        found[at("area", k)] = material.estimate(
            run, rows["value"], rows["reaches_target"], statistic=auroc, ids=rows["problem"]
        )
        other = _candidates(material, run, readout, k, OTHER_TARGET).select("problem", "node", other="value")
        both = rows.join(other, on=["problem", "node"], how="inner")
        columns = (both["value"], both["other"], both["reaches_target"])
        gaps[at("area less that with another target asked", k)] = material.estimate(
            run, *columns, statistic=_area_gap, ids=both["problem"]
        )
        areas = (float(auroc(one.to_numpy(), both["reaches_target"].to_numpy())) for one in columns[:2])
        beside.append(f"thought {k}: asked {next(areas):.3f}, another asked {next(areas):.3f}")
    return Finding(found | gaps, "; ".join([*beside, "chance .500"]))


def low_separated(material: Material, run: str, readout: str) -> Finding:
    """Compare the area under the ROC curve of candidates of height 0 and 1 with that of higher ones."""
    found, beside = {}, []
    for k in (1, 2):
        rows = _candidates(material, run, readout, k).with_columns(low=pl.col("height_shortest") <= 1)
        columns = [rows[name].cast(pl.Float64) for name in ("value", "reaches_target", "low")]
        name = at("area of low less that of high", k)
        found[name] = material.estimate(run, *columns, statistic=_low_gap, ids=rows["problem"])
        areas = (
            float(auroc(part["value"].to_numpy(), part["reaches_target"].to_numpy()))
            for part in (rows.filter("low"), rows.filter(~pl.col("low")))
        )
        beside.append(f"thought {k}: low {next(areas):.3f}, high {next(areas):.3f}")
    return Finding(found, "; ".join([*beside, "chance .500"]))


def low_certain(material: Material, run: str, readout: str) -> Finding:
    """Correlate the height and the value of wrong candidates."""
    found = {}
    for k in (1, 2):
        rows = _candidates(material, run, readout, k).filter(~pl.col("reaches_target"))
        both = (rows["height_shortest"], rows["value"])
        found[at("Spearman", k)] = material.estimate(run, *both, statistic=spearman, ids=rows["problem"])
    return Finding(found, "no relation 0")


def _breadth(material: Material, run: str, name: str, readout: str, k: int, control: str = MODEL) -> Column:
    return column(material.frame("breadth", run, control), name, readout=readout, thought=k)


def candidate_mass(material: Material, run: str, readout: str) -> Finding:
    """Measure the raw mass on the candidates less its chance by thought."""
    depths = range(0 if readout == _FORCED else 1, min(4, material.checkpoint(run).thoughts) + 1)
    found, mass = {}, []
    for k in depths:
        own, chance = (_breadth(material, run, f"candidate_mass{kind}", readout, k) for kind in ("", "_chance"))
        found[f"mass less chance, k = {k}"] = material.difference(run, own, chance)
        mass.append(f"{np.nanmean(own):.2f}")
    return Finding(found, f"mass for k = {depths[0]}..{depths[-1]}: {' '.join(mass)}; k = 0 needs no thought")


def _top1(material: Material, run: str, k: int, control: str = MODEL) -> tuple[Column, Column]:
    return tuple(_breadth(material, run, f"top1_correct{kind}", _FORCED, k, control) for kind in ("", "_chance"))  # type: ignore[return-value]


def top1_chance(material: Material, run: str) -> Finding:
    """Hold how often the top candidate is correct against chance."""
    found = {at("top 1 correct less chance", k): material.difference(run, *_top1(material, run, k)) for k in (1, 2, 3)}
    if not material.controls:
        return Finding(found)
    noise = ", ".join(f"{np.nanmean(np.subtract(*_top1(material, run, k, 'noise'))):+.3f}" for k in (1, 2, 3))
    return Finding(found, f"with noise fed {noise}")


def top1_level(material: Material, run: str) -> Finding:
    """Measure how often the top candidate is correct."""
    found = {at("top 1 correct", k): material.estimate(run, _top1(material, run, k)[0]) for k in (1, 2, 3)}
    chance = ", ".join(f"{np.nanmean(_top1(material, run, k)[1]):.3f}" for k in (1, 2, 3))
    return Finding(found, f"chance {chance}")


def entropy(material: Material, run: str, readout: str) -> Finding:
    """Measure H / log N over the frontier, where it has more than one node."""
    found = {}
    for k in (1, 2, 3):
        breadth, size = (_breadth(material, run, name, readout, k) for name in ("breadth", "frontier_size"))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(size > 1, np.log2(breadth) / np.log2(size), np.nan)
        found[at("H / log N", k)] = material.estimate(run, share)
    return Finding(found, "1 is an even spread over the frontier")


def target_dominates(material: Material, run: str) -> Finding:
    """Compare the value of a target that lies farther away with the mass on the frontier."""
    found = {}
    rows = material.frame("breadth", run).filter(pl.col("readout") == _HEAD, pl.col("steps") > pl.col("hop_read"))
    for k in (1, 2):
        of = rows.filter(pl.col("thought") == k)
        gap = (of["target"] - of["candidate_mass"]).cast(pl.Float64)
        found[at("target less its hop's frontier", k)] = material.estimate(run, gap, ids=of["problem"])
    return Finding(found, "problems whose target lies beyond the hop of the thought")


# Accuracy


EXACT, CHOICE = "exact answers", "forced choice"
"""What is answered, and the same where an answer that is neither option counts as half: a lost format is no error."""


def accuracy(material: Material, run: str, *hops: int) -> Finding:
    """Measure accuracy, on problems of these numbers of hops only where any are named."""
    there = np.isin(material.lengths(run), hops) if hops else np.ones(len(material.of(run)), bool)
    both = {EXACT: material.right(run), CHOICE: material.chosen(run)}
    blind = material.blind(run)[there].mean()
    found = {name: material.estimate(run, np.where(there, one, np.nan)) for name, one in both.items()}
    return Finding(found, f"chance .500, nearest-source rule {blind:.3f}")


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
    return Finding({"nearest-source rule": rule}, "chance .500, CoT of the paper .775")


# Thoughts removed, changed, exchanged


def removed(material: Material, run: str) -> Finding:
    """Compare the answer after all thoughts with the answer after none."""
    found, beside = {}, []
    for name, of in (("exact answers", material.right_after), ("forced choices", material.chosen_after)):
        own, without = (of(run, k) for k in (material.checkpoint(run).thoughts, 0))
        found[f"share of {name} lost"] = material.estimate(run, own - without, own, statistic=ratio)
        beside.append(f"{name} {own.mean():.3f} with, {without.mean():.3f} without")
    return Finding(found, "; ".join([*beside, "chance .500"]))


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
    return Finding({"accuracy lost to noise": lost}, f"{own.mean():.3f} and {other.mean():.3f}; chance .500")


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
    return Finding(found, f"with its own {own.mean():.3f}, chance .500")


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
    return Finding({"edge rewrites followed": followed}, "chance .500; of problems right before")
