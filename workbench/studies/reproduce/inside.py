"""Claims about what is inside: norms, and what linear probes read."""

import numpy as np
import polars as pl

from workbench.studies.claims import Check
from workbench.studies.reproduce.material import Finding, Material, column


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
