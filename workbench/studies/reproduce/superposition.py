"""Claims about what is inside a thought: attention, inner products, sums of node vectors, norms and probes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from workbench.figures.superposition import by_class
from workbench.measure.class_means import NESTED
from workbench.measure.run_labels import MODEL
from workbench.measure.statistics import Estimate, Rows, Weights, ratio
from workbench.readings.node_vectors import kept_when_replaced
from workbench.studies.reproduce.bounds import at
from workbench.studies.reproduce.material import Column, Finding, Material, column

CLASSES = ("optimal", "frontier", "reached", "not reached")
"""Classes of `NESTED` that the paper compares."""


def _pooled_gap(first: Rows, of_first: Rows, second: Rows, of_second: Rows, *, weights: Weights) -> np.ndarray:
    """Return the difference of two means pooled over problems, from each problem's sums and counts."""
    return ratio(first, of_first, weights=weights) - ratio(second, of_second, weights=weights)


def _sums(table: pl.DataFrame, value: str, count: str) -> pl.DataFrame:
    """Return a row per problem with the sum and the count of every class (`NESTED`) of edges or nodes, 0 for none."""
    kept = table.with_columns(pl.col("class").cast(pl.String), total=pl.col(value).cast(pl.Float64) * pl.col(count))
    of = [
        part.filter(pl.col("class").is_in(list(NESTED[name]))).sum().alias(f"{name}{kind}")
        for name in CLASSES
        for kind, part in (("", pl.col("total")), (" n", pl.col(count).cast(pl.Float64)))
    ]
    return kept.group_by("problem", maintain_order=True).agg(of)


def _classes(material: Material, run: str, tables: Sequence[pl.DataFrame], value: str, names: Sequence[str]) -> Finding:
    """Compare each class with the next, the larger first, by thought; the control beside.

    Args:
        material: Of the run.
        run: The run.
        tables: Rows by problem, thought and class, of the model and, where there is one, of its control with noise.
        value: Column of the means; the other one is their count.
        names: Of `CLASSES`.
    """
    count, found, beside = "edges" if value == "attention" else "nodes", {}, []
    for larger, smaller in pairwise(names):
        for k in sorted(tables[0]["thought"].unique()):
            sums = _sums(tables[0].filter(pl.col("thought") == k), value, count)
            columns = [sums[f"{name}{kind}"] for name in (larger, smaller) for kind in ("", " n")]
            found[at(f"{larger} less {smaller}", k)] = material.estimate(
                run, *columns, statistic=_pooled_gap, ids=sums["problem"]
            )
    for words, table in zip(("thought 2", "with noise fed"), tables, strict=False):
        sums = _sums(table.filter(pl.col("thought") == 2), value, count)
        means = (f"{name} {sums[name].to_numpy().sum() / sums[f'{name} n'].to_numpy().sum():.2f}" for name in CLASSES)
        beside.append(f"{words}: " + ", ".join(means))
    return Finding(found, "; ".join(beside))


def _runs(material: Material) -> tuple[str, ...]:
    return (MODEL, "noise") if material.controls else (MODEL,)


def _attention(material: Material, run: str, control: str = MODEL) -> pl.DataFrame:
    """Return the attention to edges of thoughts that a problem's chain reaches: last layer, sum over heads."""
    return material.frame("attention_by_class", run, control).filter(
        pl.col("head").is_null(), pl.col("layer") == pl.col("layer").max(), pl.col("hop_read") <= pl.col("steps")
    )


def edges(material: Material, run: str, *classes: str) -> Finding:
    """Compare the attention to classes of edges, pooled as published."""
    tables = [_attention(material, run, control) for control in _runs(material)]
    return _classes(material, run, tables, "attention", classes)


def _gap(table: pl.DataFrame, kind: str, value: str, first: str, second: str) -> pl.DataFrame:
    """Return the difference of two kinds of rows in each problem that has both; none where there are no thoughts."""
    parts = [
        table.filter(pl.col(kind) == name).select("problem", pl.col(value).cast(pl.Float64).alias(name))
        for name in (first, second)
    ]
    both = parts[0].join(parts[1], on="problem", maintain_order="left")
    return both.select("problem", (pl.col(first) - pl.col(second)).alias("gap")).drop_nulls()


def edges_within(material: Material, run: str) -> Finding:
    """Compare optimal edges with others of the frontier of the same problem."""
    table = _attention(material, run).with_columns(pl.col("class").cast(pl.String))
    found = {}
    for k in (1, 2, 3):
        gap = _gap(table.filter(pl.col("thought") == k), "class", "attention", "optimal", "off the path")
        found[at("optimal less other frontier edges", k)] = material.estimate(run, gap["gap"], ids=gap["problem"])
    return Finding(found, "problems that have both")


def products(material: Material, run: str, *classes: str) -> Finding:
    """Compare inner products of thoughts with the embeddings of classes of nodes, pooled as published."""
    frames = (material.frame("inner_products", run, control) for control in _runs(material))
    return _classes(material, run, [by_class(frame, "input") for frame in frames], "input", classes)


def copies(material: Material, run: str) -> Finding:
    """Hold the attention of separators to their own edge against chance."""
    table = material.frame("copy_map", run).filter(
        pl.col("head").is_null(), pl.col("layer") == 0, pl.col("token") == "separator"
    )
    found, beside = {}, []
    for place in ("own source", "own target"):
        rows = table.filter(pl.col("place").cast(pl.String) == place)
        both = [rows[name].cast(pl.Float64) for name in ("attention", "chance")]
        found[f"{place} less chance"] = material.estimate(run, both[0] - both[1], ids=rows["problem"])
        beside.append(f"{place} {both[0].mean():.3f} against {both[1].mean():.3f}")
    return Finding(found, ", ".join(beside) + "; mean over heads")


# Sums of node vectors


def reached_set(material: Material, run: str) -> Finding:
    """Compare the cosine to the sum over all that is reached with that to the sum over the frontier."""
    table, found = material.frame("superposition", run), {}
    for k in (2, 3):
        own = table.filter(pl.col("thought") == k, pl.col("hop") == k).with_columns(pl.col("set").cast(pl.String))
        gap = _gap(own, "set", "cosine", "reached", "frontier")
        found[at("cosine to reached less frontier", k)] = material.estimate(run, gap["gap"], ids=gap["problem"])
    return Finding(found)


def _explained(error: Rows, spread: Rows, *, weights: Weights) -> np.ndarray:
    return 1 - ratio(error, spread, weights=weights)


def variance(material: Material, run: str, name: str) -> Finding:
    """Measure the variance that a sum over the frontier explains."""

    def explained(control: str, kind: str, k: int) -> Estimate:
        rows = material.frame("codes", run, control).filter(pl.col("sum") == kind, pl.col("thought") == k)
        return material.estimate(run, rows["error"], rows["spread"], statistic=_explained, ids=rows["problem"])

    found = {at("variance explained", k): explained(MODEL, name, k) for k in (1, 2, 3)}
    if not material.controls:
        return Finding(found)
    other, fed = explained(MODEL, "codes, other graph", 1).value, explained("noise", name, 2).value
    return Finding(found, f"codes of another graph {other:.2f}; with noise fed, thought 2: {fed:.2f}")


def kept(material: Material, run: str, name: str) -> Finding:
    """Replace a thought by a sum over its frontier, and count the right answers that stay."""
    replaced = material.once(
        ("replaced", run),
        f"replacing thoughts of {run} by sums",
        lambda: kept_when_replaced(material.recording(run), (1, 2, 3), material.seed, material.batch_size),
    )
    found, beside = {}, []
    for k in (1, 2, 3):
        rows = replaced.filter(pl.col("thought") == k)
        row = rows.filter(pl.col("in_its_place") == name).row(0, named=True)
        found[at("right answers kept", k)] = Estimate(
            row["kept"], row["low"], row["high"], row["n"], graphs=row["graphs"]
        )
        noise, other = (
            rows.filter(pl.col("in_its_place") == control)["kept"].item() for control in ("noise", "codes, other graph")
        )
        beside.append(f"thought {k}: noise {noise:.3f}, another problem's frontier {other:.3f}")
    return Finding(found, "; ".join(beside))


# Norms, and what linear probes read


def norms(material: Material, run: str) -> Finding:
    """Compare the length of thought 1 with that of embeddings."""
    table = material.frame("geometry", run).filter(pl.col("thought") == 1)
    longer = (table["norm"] / table["concept_norm"]).cast(pl.Float64)
    beside = f"thought {table['norm'].mean():.2f}, embeddings of concepts {table['concept_norm'].mean():.2f}"
    found = {"length of thought 1 over that of embeddings": material.estimate(run, longer, ids=table["problem"])}
    return Finding(found, beside)


def _auc(material: Material, run: str, name: str, thought: int, what: str = "reachable") -> Column:
    """Return an area of a probe of the last layer, a number per problem."""
    table = material.frame("probes", run)
    return column(table, name, property=what, column=thought - 1, layer=table["layer"].max())


def falls(material: Material, run: str) -> Finding:
    """Compare what a probe reads from the first and the last thought."""
    last = material.checkpoint(run).thoughts
    areas = [_auc(material, run, "auc", k) for k in range(1, last + 1)]
    beside = "areas by thought: " + " ".join(f"{np.nanmean(one):.2f}" for one in areas)
    found = {f"area, reachable nodes, thought 1 less {last}": material.difference(run, areas[0], areas[-1])}
    return Finding(found, beside + "; chance .50")


def selective(material: Material, run: str) -> Finding:
    """Compare probes with those of their control task."""
    found, beside = {}, []
    for what in ("reachable", "optimal"):
        own, control, head = (_auc(material, run, name, 3, what) for name in ("auc", "control_auc", "lm_head_auc"))
        found[at(f"{what}: area less that of the control task", 3)] = material.difference(run, own, control)
        beside.append(
            f"{what}: {np.nanmean(own):.3f}, control task {np.nanmean(control):.3f}, "
            f"LM head without a probe {np.nanmean(head):.3f}"
        )
    return Finding(found, "; ".join(beside))
