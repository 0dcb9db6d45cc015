"""Claims about what is inside a thought: attention, inner products, sums of node vectors, norms and probes."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from workbench.figures.superposition import shares
from workbench.measure.class_means import within_problems
from workbench.measure.run_labels import RUN
from workbench.measure.statistics import Estimate
from workbench.measure.verdicts import MARGIN, Check
from workbench.readings.attention import table_1
from workbench.readings.superposition import table_5
from workbench.studies.reproduce.material import REFERENCE, Finding, Material, column

_THOUGHTS = (1, 2, 3, 4)
Classes = Mapping[tuple[int, str], Estimate]
"""By thought and class."""


def _estimates(table: pl.DataFrame) -> Classes:
    return {
        (row["thought"], row["class"]): Estimate(row["value"], row["low"], row["high"], row["n"])
        for row in table.iter_rows(named=True)
    }


def _ordered(found: Classes, larger: str, smaller: str, thoughts: Sequence[int] = _THOUGHTS) -> tuple[Check, ...]:
    """Check for each thought that one class's whole interval lies above the other's."""
    return tuple(
        Check(f"{larger}, thought {k} (above {smaller} {found[k, smaller]}):", found[k, larger], found[k, smaller].high)
        for k in thoughts
    )


def _attention(material: Material, control: str = "model") -> Classes:
    return _estimates(table_1(material.frame("attention_by_class", control=control), seed=material.seed))


def _beside(material: Material) -> str:
    noise = _attention(material, "noise")
    shown = (f"{name} {noise[2, name].value:.2f}" for name in ("frontier", "reached", "not reached", "optimal"))
    return "with noise fed, thought 2: " + ", ".join(shown) + "; sums over heads"


def edges(material: Material, larger: str, smaller: str, thoughts: Sequence[int] = _THOUGHTS) -> Finding:
    """Compare the attention to two classes of edges."""
    return Finding(material.on, _ordered(_attention(material), larger, smaller, thoughts), _beside(material))


def within(material: Material) -> Finding:
    """Compare optimal edges with others of the frontier of the same problem."""
    table = material.frame("attention_by_class").filter(
        pl.col("head").is_null(), pl.col("layer") == pl.col("layer").max(), pl.col("hop_read") <= pl.col("steps")
    )
    checks, pooled = [], []
    for row in within_problems(table, "attention", "edges", (RUN, "thought"), seed=material.seed).iter_rows(named=True):
        if row["thought"] in (1, 2, 3):
            estimate = Estimate(row["value"], row["low"], row["high"], row["n"])
            checks.append(
                Check(f"optimal less other frontier edges of the problem, thought {row['thought']}", estimate, 0.0)
            )
            pooled.append(f"{row['pooled']:.2f}")
    return Finding(material.on, tuple(checks), f"pooled as published {', '.join(pooled)}")


def products(material: Material, run: str, pairs: Sequence[Sequence[str]]) -> Finding:
    """Compare inner products of thoughts with the embeddings of classes of nodes, each pair the larger one first."""
    found = _estimates(table_5(material.frame("inner_products", run), seed=material.seed))
    checks = tuple(check for larger, smaller in pairs for check in _ordered(found, larger, smaller, (1, 2, 3)))
    noise = _estimates(table_5(material.frame("inner_products", run, "noise"), seed=material.seed))
    beside = ", ".join(
        f"{name} {noise[2, name].value:.2f}" for name in ("optimal", "frontier", "reached", "not reached")
    )
    on = material.on if run == REFERENCE else material.on_methods
    return Finding(on, checks, f"with noise fed, thought 2: {beside}")


def copies(material: Material) -> Finding:
    """Hold the attention of separators to their own edge against chance."""
    table = material.frame("copy_map").filter(
        pl.col("head").is_null(), pl.col("layer") == 0, pl.col("token") == "separator",
        pl.col("place").cast(pl.String).is_in(["own source", "own target"]),
    )  # fmt: skip
    checks = []
    for place in ("own source", "own target"):
        rows = table.filter(pl.col("place").cast(pl.String) == place)
        both = rows.select("attention", "chance").to_numpy().astype(float)
        checks.append(Check(f"attention to its {place} less chance", material.difference(*both.T), 0.0))
    least = table.group_by("place", maintain_order=True).agg(pl.mean("attention"), pl.mean("chance"))
    beside = ", ".join(f"{place} {a:.3f} against {c:.3f}" for place, a, c in least.iter_rows())
    return Finding(material.on, tuple(checks), beside + "; mean over heads")


def reached_set(material: Material) -> Finding:
    """Compare the cosine to the sum over all that is reached with that to the sum over the frontier."""
    table, checks, beside = material.frame("superposition"), [], []
    for k in (2, 3):
        own = table.filter(pl.col("thought") == k, pl.col("hop") == k).with_columns(pl.col("set").cast(pl.String))
        wide = own.pivot("set", index="problem", values="cosine").select("reached", "frontier").drop_nulls()
        reached, frontier = wide.to_numpy().astype(float).T
        difference = material.difference(reached, frontier)
        checks.append(Check(f"cosine to reached less frontier, thought {k}", difference, 0.0))
        beside.append(f"thought {k}: {reached.mean():.3f} and {frontier.mean():.3f}")
    return Finding(material.on, tuple(checks), "; ".join(beside))


def variance(material: Material, name: str, at_least: float) -> Finding:
    """Hold the variance that a sum over the frontier explains against a bound."""
    found, noise = (shares(material.frame("codes", control=control)) for control in ("model", "noise"))
    checks = []
    for k in (1, 2, 3):
        row = found.filter(pl.col("sum") == name, pl.col("thought") == k).row(0, named=True)
        estimate = Estimate(row["value"], row["low"], row["high"], len(material.problems))
        checks.append(Check(f"variance explained, thought {k}", estimate, at_least))
    other = found.filter(pl.col("sum") == "codes, other graph", pl.col("thought") == 1)["value"].item()
    fed = noise.filter(pl.col("sum") == name, pl.col("thought") == 2)["value"].item()
    beside = f"codes of another graph {other:.2f}; with noise fed, thought 2: {fed:.2f}"
    return Finding(material.on, tuple(checks), beside)


def kept(material: Material, name: str) -> Finding:
    """Replace a thought by a sum over its frontier, and count the right answers that stay."""
    checks, beside = [], []
    for k in (1, 2, 3):
        rows = material.replaced.filter(pl.col("thought") == k)
        row = rows.filter(pl.col("in_its_place") == name).row(0, named=True)
        estimate = Estimate(row["kept"], row["low"], row["high"], row["n"])
        checks.append(Check(f"right answers kept, thought {k} replaced", estimate, 1 - 5 * MARGIN))
        noise, other = (
            rows.filter(pl.col("in_its_place") == control)["kept"].item() for control in ("noise", "codes, other graph")
        )
        beside.append(f"thought {k}: noise {noise:.3f}, another problem's frontier {other:.3f}")
    return Finding(material.on, tuple(checks), "; ".join(beside))


# Norms, and what linear probes read


def norms(material: Material) -> Finding:
    """Compare the length of thought 1 with that of embeddings."""
    table = material.frame("geometry").filter(pl.col("thought") == 1)
    ratio = material.mean(column(table, "norm") / column(table, "concept_norm"))
    beside = f"thought {table['norm'].mean():.2f}, embeddings of concepts {table['concept_norm'].mean():.2f}"
    return Finding(material.on, (Check("length of thought 1 over that of embeddings", ratio, 1.5),), beside)


def _auc(material: Material, name: str, thought: int, what: str = "reachable") -> np.ndarray:
    """Return an area of a probe of the last layer, a number per problem."""
    table = material.frame("probes")
    return column(table, name, property=what, column=thought - 1, layer=table["layer"].max())


def falls(material: Material) -> Finding:
    """Compare what a probe reads from the first and the last thought."""
    last = material.checkpoint().thoughts
    areas = [_auc(material, "auc", k) for k in range(1, last + 1)]
    check = Check(f"area, reachable nodes, thought 1 less {last}", material.difference(areas[0], areas[-1]), 0.0)
    beside = "areas by thought: " + " ".join(f"{np.nanmean(one):.2f}" for one in areas)
    return Finding(material.on, (check,), beside + "; chance .50")


def selective(material: Material) -> Finding:
    """Compare probes with those of their control task."""
    checks, beside = [], []
    for what, k in (("reachable", 3), ("optimal", 3)):
        own, control, head = (_auc(material, name, k, what) for name in ("auc", "control_auc", "lm_head_auc"))
        difference = material.difference(own, control)
        checks.append(Check(f"area less that of the control task, {what}, thought {k}", difference, 0.0))
        beside.append(
            f"{what}: {np.nanmean(own):.3f}, control task {np.nanmean(control):.3f}, "
            f"LM head without a probe {np.nanmean(head):.3f}"
        )
    return Finding(material.on, tuple(checks), "; ".join(beside))
