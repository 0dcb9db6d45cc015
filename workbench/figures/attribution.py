"""Figures of which part writes the frontier and the answer, and which head attends to the frontier's edges."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import require_rows
from workbench.figures.parts import over_parts


def attribution_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw attribution by part for the answer and for thoughts, and the heads' attention.

    Args:
        table: `readings.attribution.frame`.
    """
    return [answer_parts(table), thought_parts(table), head_attention(table)]


def answer_parts(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw what each part writes towards target less negative, where the answer is named."""
    require_rows(table)
    words = (
        "Who writes the answer",
        "Direct attribution to the logit of target less negative, mean over problems with 95 % interval",
        "chance: a random other pair of leaves",
    )
    rows = table.filter(pl.col("thought").is_null())
    return over_parts(rows, "attribution", "attribution_control", words, "logits", seed=seed)


def thought_parts(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw what each part writes towards the frontier less the other concepts, where thought k is made."""
    require_rows(table)
    words = (
        "Who moves the frontier",
        "Direct attribution to the mean logit of the nodes at hop k less the other concepts, as thought k is made; "
        "95 % interval",
        "chance: a random set of as many concepts",
    )
    rows = table.filter(pl.col("thought").is_not_null())
    return over_parts(rows, "attribution", "attribution_control", words, "logits", seed=seed)


def head_attention(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw which share of a head's attention to edges is on the edges that leave hop k - 1, as thought k is made."""
    require_rows(table)
    words = (
        "Who attends to the edges that leave the frontier",
        "Share of a head's attention to edges that is on edges from hop k - 1, as thought k is made; 95 % interval",
        "chance: share of such edges",
    )
    rows = table.filter(pl.col("thought").is_not_null() & pl.col("head").is_not_null())
    return over_parts(rows, "attention", "attention_chance", words, "share of attention to edges", seed=seed)
