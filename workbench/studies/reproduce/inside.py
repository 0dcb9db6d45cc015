"""Claims about what is inside: norms, and what linear probes read."""

import numpy as np
import polars as pl

from workbench.studies.claims import Check, Claim, Finding
from workbench.studies.reproduce.material import Material, column


def _norms(material: Material) -> Finding:
    table = material.frame("geometry").filter(pl.col("thought") == 1)
    ratio = material.mean(column(table, "norm") / column(table, "concept_norm"))
    beside = f"thought {table['norm'].mean():.2f}, embeddings of concepts {table['concept_norm'].mean():.2f}"
    why = "Thoughts pass the final norm, whose gain training chooses; ours is tied to embeddings of like length."
    return Finding(material.on, (Check("length of thought 1 over that of embeddings", ratio, 1.5),), beside, why)


def _auc(material: Material, name: str, thought: int, what: str = "reachable") -> np.ndarray:
    table = material.frame("probes")
    return column(table, name, property=what, column=thought - 1, layer=table["layer"].max())


def _falls(material: Material) -> Finding:
    last = material.checkpoint().thoughts
    first, end = (_auc(material, "auc", k) for k in (1, last))
    beside = "areas by thought: " + " ".join(f"{np.nanmean(_auc(material, 'auc', k)):.2f}" for k in range(1, last + 1))
    check = Check(f"area, reachable nodes, thought 1 less {last}", material.difference(first, end), 0.0)
    return Finding(
        material.on, (check,), beside + "; chance .50", "Theirs are probes of arithmetic steps.", comparable=False
    )


def _selective(material: Material) -> Finding:
    checks, beside = [], []
    for what, k in (("reachable", 3), ("optimal", 3)):
        own, control = (_auc(material, name, k, what) for name in ("auc", "control_auc"))
        checks.append(
            Check(f"area less that of the control task, {what}, thought {k}", material.difference(own, control), 0.0)
        )
        head = np.nanmean(_auc(material, "lm_head_auc", k, what))
        beside.append(
            f"{what}: {np.nanmean(own):.3f}, control task {np.nanmean(control):.3f}, LM head without a probe {head:.3f}"
        )
    why = "Theirs is accuracy over positions of the graph; ours the area within a problem, on graphs never fitted on."
    return Finding(material.on, tuple(checks), "; ".join(beside), why)


CLAIMS = (
    Claim("Thoughts are much longer than embeddings", "official repository, issue 29", "large", _norms),
    Claim(
        "Probes read more than their control task",
        "bmarti44, The Curriculum Is the Mechanism",
        "+52 points at thought 3",
        _selective,
    ),
    Claim("What probes read falls over thoughts", "2604.23460", "89.4 to 58.3", _falls),
)
"""In the order shown."""
