"""The copy map: what the tokens of an edge attend to, layer by layer and head by head."""

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.figures.palette import GREY, LEGEND, RUN_COLOURS, SERIES, VALUE_SCALE, figure, require_rows
from workbench.measure.run_labels import MODEL, RUN, title
from workbench.measure.statistics import Estimate, bootstrap_mean

TOKENS = ("source", "target", "separator")
"""The tokens of an edge."""
PLACES = (
    "itself",
    "own source",
    "own target",
    "previous edge",
    "same name elsewhere",
    "first token",
    "anything else",
)
"""Where the attention of an edge's token goes; every column is in exactly one place."""


def copy_map_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw every figure of the reading: bars for each layer, and all heads as a matrix."""
    require_rows(table)
    return [*(copy_bars(table, layer) for layer in sorted(table["layer"].unique().to_list())), copy_heads(table)]


def copy_means(table: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Return means over problems with intervals, one row per (run, layer, head, token, place).

    Args:
        table: Frame of the reading `copy_map`.
        seed: Seed of the bootstrap.

    Returns:
        Columns run, layer, head (null for the mean over heads), token, place, value, low, high, chance, n.
    """
    require_rows(table)
    keys, found = (RUN, "layer", "head", "token", "place"), []
    for key, rows in table.group_by(*keys, maintain_order=True):
        estimate: Estimate = bootstrap_mean(rows["attention"].to_numpy(), seed=seed)
        found.append(
            dict(zip(keys, key, strict=True)) | estimate.as_dict() | {"chance": rows["chance"].mean(), "n": estimate.n}
        )
    return pl.DataFrame(found, infer_schema_length=None)


def copy_bars(table: pl.DataFrame, layer: int, *, seed: int = 0) -> go.Figure:
    """Draw where the tokens of an edge attend to in one layer, mean over heads, a panel for each token.

    Args:
        table: Frame of the reading `copy_map`.
        layer: Counted from 0.
        seed: Seed of the bootstrap.
    """
    means = copy_means(table.filter(pl.col("layer") == layer, pl.col("head").is_null()), seed=seed)
    made = make_subplots(1, 3, subplot_titles=[f"from the {token}" for token in TOKENS], shared_yaxes=True)
    made.update_annotations(font_size=12)
    made.update_layout(
        figure(
            f"Where an edge's tokens attend to · layer {layer}",
            "Share of attention, mean over heads, edges and problems with its 95 % interval over problems; "
            "short bar: spread evenly over what the token can see",
            "",
            height=420, barmode="group", bargap=0.25, margin={"l": 64, "r": 16, "t": 110, "b": 150}, legend=LEGEND,
            title_pad_b=50,
        ).layout
    )  # fmt: skip
    runs, told = means[RUN].unique(maintain_order=True).to_list(), []
    for place, token in enumerate(TOKENS, 1):
        for index, run in enumerate(runs):
            rows = means.filter(pl.col(RUN) == run, pl.col("token") == token)
            names = rows["place"].cast(pl.String).to_list()
            made.add_bar(
                x=names, y=rows["value"], name=title(run), legendgroup=run, showlegend=place == 1, row=1, col=place,
                marker={
                    "color": RUN_COLOURS.get(run, SERIES[index % len(SERIES)]),
                    "pattern": {"shape": "" if run == MODEL else "/"},
                },
                error_y={
                    "type": "data", "symmetric": False, "color": GREY, "thickness": 1.3, "width": 3,
                    "array": (rows["high"] - rows["value"]).to_list(),
                    "arrayminus": (rows["value"] - rows["low"]).to_list(),
                },
                customdata=rows.select("low", "high", "n").rows(),
                hovertemplate=f"{title(run)}, from the {token} to %{{x}}: %{{y:.3f}} "
                "[%{customdata[0]:.3f}, %{customdata[1]:.3f}], n = %{customdata[2]} problems<extra></extra>",
            )  # fmt: skip
        rows = means.filter(pl.col(RUN) == runs[0], pl.col("token") == token)
        made.add_scatter(
            x=rows["place"].cast(pl.String), y=rows["chance"], mode="markers", name="chance: spread evenly",
            legendgroup="chance", showlegend=place == 1, row=1, col=place,
            marker={"symbol": "line-ew-open", "size": 20, "color": GREY, "line": {"width": 2}},
            hovertemplate="chance, %{x}: %{y:.3f}<extra></extra>",
        )  # fmt: skip
        top = rows.sort("value", descending=True).row(0, named=True)
        told.append(f"from the {token} {top['value']:.2f} to {top['place']} (chance {top['chance']:.2f})")
    made.update_xaxes(showgrid=False, tickangle=-40, title="place attended to")
    made.update_yaxes(title="share of attention", col=1)
    return made.update_layout(meta={"alt": f"Attention of an edge's tokens in layer {layer}: {'; '.join(told)}."})


def copy_heads(table: pl.DataFrame) -> go.Figure:
    """Draw where every head's attention goes, rows of tokens and places, columns of heads, a panel for each run."""
    rows = table.filter(pl.col("head").is_not_null())
    require_rows(rows)
    means = rows.group_by(RUN, "layer", "head", "token", "place").agg(pl.col("attention", "chance").mean(), n=pl.len())
    heads = sorted(means.select("layer", "head").unique().rows())
    present = set(means.select(pl.col("token", "place").cast(pl.String)).rows())
    lines = [(token, place) for token in TOKENS for place in PLACES if (token, place) in present]
    runs = rows[RUN].unique(maintain_order=True).to_list()
    made = make_subplots(1, len(runs), subplot_titles=[title(run) for run in runs], shared_yaxes=True)
    made.update_annotations(font_size=12)
    made.update_layout(
        figure(
            "Where an edge's tokens attend to, head by head",
            "Share of attention, mean over edges and problems; hover: spread evenly over what the token can see",
            "",
            height=520, margin={"l": 64, "r": 16, "t": 108, "b": 56}, title_pad_b=48,
            coloraxis={"colorscale": VALUE_SCALE, "cmin": 0, "cmax": 1, "colorbar": {"title": "share"}},
        ).layout
    )  # fmt: skip
    for column, run in enumerate(runs, 1):
        cells, extra = np.full((len(lines), len(heads)), np.nan), np.full((len(lines), len(heads), 2), np.nan)
        for row in means.filter(pl.col(RUN) == run).iter_rows(named=True):
            at = lines.index((str(row["token"]), str(row["place"]))), heads.index((row["layer"], row["head"]))
            cells[at], extra[at] = row["attention"], (row["chance"], row["n"])
        made.add_heatmap(
            x=[f"{layer}.{head}" for layer, head in heads], y=[f"{token} → {place}" for token, place in lines],
            z=cells, customdata=extra, coloraxis="coloraxis", row=1, col=column,
            hovertemplate=f"{title(run)}, head %{{x}}, %{{y}}: %{{z:.3f}}, chance %{{customdata[0]:.3f}}, "
            "n = %{customdata[1]} problems<extra></extra>",
        )  # fmt: skip
    made.update_xaxes(type="category", title="layer.head", showgrid=False)
    made.update_yaxes(autorange="reversed", showgrid=False)
    made.update_yaxes(title="from the token → to the place", col=1)
    return made.update_layout(meta={"alt": _strongest(means.filter(pl.col(RUN) == runs[0]))})


def _strongest(means: pl.DataFrame) -> str:
    said = []
    for token in TOKENS:
        top = means.filter(pl.col("token").cast(pl.String) == token).sort("attention", descending=True)
        row = top.row(0, named=True)
        said.append(f"{token} → {row['place']} {row['attention']:.2f} in {row['layer']}.{row['head']}")
    return f"Attention of an edge's tokens by head. Strongest: {'; '.join(said)}."
