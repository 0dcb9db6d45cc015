"""Attention of thoughts to edges by class: all heads together by thought, and head by head."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.class_panels import class_panels
from workbench.figures.palette import GREY, LEGEND, RUN_COLOURS, SERIES, figure, require_rows
from workbench.measure.class_means import CLASS_TITLES, NESTED, class_means
from workbench.measure.run_labels import MODEL, RUN, title


def attention_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw every figure of the reading: a figure per layer of all heads, and one of the heads."""
    require_rows(table)
    layers = sorted(table["layer"].unique().to_list(), reverse=True)
    return [*(attention_by_class(table, layer) for layer in layers), attention_by_head(table)]


def attention_by_class(table: pl.DataFrame, layer: int, *, seed: int = 0) -> go.Figure:
    """Draw the attention to an edge by its class and the thought being made, summed over the heads of a layer.

    Args:
        table: Frame of the reading `attention_by_class`.
        layer: Counted from 0.
        seed: Seed of the bootstrap.
    """
    rows = table.filter(pl.col("layer") == layer, pl.col("head").is_null(), pl.col("hop_read") <= pl.col("steps"))
    require_rows(rows)
    heads = table["head"].n_unique() - 1
    return class_panels(
        class_means(rows, "attention", "edges", seed=seed),
        {name: CLASS_TITLES[name] for name in NESTED},
        f"Attention to an edge when a thought is made · layer {layer}",
        f"Mean over the edges of a class (by source, one hop before the thought), sum over {heads} heads, with its "
        "95 % interval over problems<br>classes are nested; problems whose chain is long enough",
        f"attention per edge (sum of {heads} heads)",
        "spread evenly over all edges",
    )


def attention_by_head(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw how much more each head attends to frontier edges than to an edge chosen evenly, all thoughts together.

    Args:
        table: Frame of the reading `attention_by_class`.
        seed: Seed of the bootstrap.
    """
    rows = table.filter(pl.col("head").is_not_null(), pl.col("hop_read") <= pl.col("steps"))
    require_rows(rows)
    # Thoughts of one problem are one draw: they are joined before the bootstrap.
    kept = {"frontier": NESTED["frontier"]}
    means = class_means(rows, "attention", "edges", by=(RUN, "layer", "head"), classes=kept, seed=seed)
    places = sorted(means.select("layer", "head").unique().rows())
    names = [f"{layer}.{head}" for layer, head in places]
    made = figure(
        "Attention to a frontier edge, head by head",
        "Mean over frontier edges and all thoughts with its 95 % interval over problems; "
        "short bar: the same attention to edges spread evenly",
        "",
        height=380, barmode="group", bargap=0.25, margin={"l": 64, "r": 16, "t": 92, "b": 104}, legend=LEGEND,
        xaxis={"title": "layer.head", "type": "category", "showgrid": False},
        yaxis={"title": "attention per edge"},
    )  # fmt: skip
    runs = means[RUN].unique(maintain_order=True).to_list()
    for index, run in enumerate(runs):
        own = means.filter(pl.col(RUN) == run).sort("layer", "head")
        made.add_bar(
            x=names, y=own["value"], name=title(run), offsetgroup=run,
            marker={
                "color": RUN_COLOURS.get(run, SERIES[index % len(SERIES)]),
                "pattern": {"shape": "" if run == MODEL else "/"},
            },
            error_y={
                "type": "data", "symmetric": False, "color": GREY, "thickness": 1.3, "width": 2,
                "array": (own["high"] - own["value"]).to_list(), "arrayminus": (own["value"] - own["low"]).to_list(),
            },
            customdata=own.select("low", "high", "n", "chance").rows(),
            hovertemplate=f"{title(run)}, head %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
            "evenly %{customdata[3]:.3f}, n = %{customdata[2]} problems<extra></extra>",
        )  # fmt: skip
    first = means.filter(pl.col(RUN) == runs[0]).sort("layer", "head")
    made.add_scatter(
        x=names, y=first["chance"], mode="markers", name="chance: spread evenly over all edges",
        marker={"symbol": "line-ew-open", "size": 22, "color": GREY, "line": {"width": 2}}, hoverinfo="skip",
    )  # fmt: skip
    top = first.sort("value", descending=True).row(0, named=True)
    alt = f"Attention to frontier edges by head. Most in {top['layer']}.{top['head']}: {top['value']:.2f} per edge."
    return made.update_layout(meta={"alt": alt})
