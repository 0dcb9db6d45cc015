"""What probes read of every node: by thought, hop and layer, with the control task, the LM head and chance beside."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.figures.palette import GREY, LEGEND, RUN_COLOURS, VALUE_SCALE, VERMILION, alpha, figure, require_rows
from workbench.measure.run_labels import MODEL, RUN, title
from workbench.measure.statistics import Estimate, bootstrap_difference, bootstrap_mean

_OVER = "AUC within a problem over its concepts without the options"


def auc_by_thought(frame: pl.DataFrame, layer: int | None = None, *, seed: int = 0) -> go.Figure:
    """Draw how well probes tell reachable, optimal and next-hop nodes from the others, thought by thought.

    The model's probe stands beside the same of its controls, the control task, and the LM head without any probe.

    Args:
        frame: `probe_frame` of a problem set.
        layer: Of the residual stream; by default the last, whose norm is the next thought.
        seed: Seed of the bootstrap.
    """
    require_rows(frame)
    at = int(frame["layer"].max()) if layer is None else layer  # type: ignore[arg-type]
    rows = frame.filter(pl.col("layer") == at)
    require_rows(rows)
    panels = {
        "reachable": rows.filter(pl.col("property") == "reachable"),
        "optimal": rows.filter(pl.col("property") == "optimal"),
        "at the next thought's hop": rows.filter(pl.col("hop") == pl.col("next_hop")),
    }
    columns = sorted(frame["column"].unique().to_list())
    made = figure(
        f"What a linear probe reads of each node · layer {at}",
        f"{_OVER}, held-out graphs, mean with its 95 % interval;<br>dashed: chance, one half",
        "",
        height=460, margin={"l": 60, "r": 16, "t": 146, "b": 120}, legend=LEGEND, title_pad_b=70,
    )  # fmt: skip
    make_subplots(1, 3, subplot_titles=list(panels), figure=made, shared_yaxes=True, horizontal_spacing=0.03)
    told = []
    for place, (name, part) in enumerate(panels.items(), 1):
        for run in rows[RUN].unique(maintain_order=True).to_list():
            own, colour = part.filter(pl.col(RUN) == run), RUN_COLOURS.get(run, GREY)
            lines = [("auc", f"{title(run)}, probe", colour, "solid" if run == MODEL else "dot", 2.5)]
            if run == MODEL:
                lines.append(("control_auc", "control task (random by names), probe", VERMILION, "dot", 1.5))
                lines.append(("lm_head_auc", f"{title(run)}, LM head without a probe", colour, "longdash", 1.5))
            for column, label, ink, dash, width in lines:
                estimates = _by_column(own, column, seed)
                _line(made, estimates, label, ink, dash, width, place)
                if run == MODEL:
                    values = ", ".join(f"{e.value:.2f} after {k}" for k, e in estimates.items())
                    told.append(f"{name}, {label}: {values}")
    made.add_hline(y=0.5, line={"color": GREY, "dash": "dash", "width": 1.5}, row="all", col="all")  # type: ignore[arg-type]
    made.update_xaxes(
        tickvals=columns, ticktext=_ticks(columns), showgrid=False, title="thought fed", range=_range(columns)
    )
    made.update_yaxes(range=[0, 1.04])  # a few problems with a rare hop can fall far below chance
    made.update_yaxes(title="AUC", col=1)
    return made.update_layout(meta={"alt": f"AUC of probes, chance .5. {'; '.join(told)}."})


def hops_by_thought(frame: pl.DataFrame, layer: int | None = None, *, seed: int = 0) -> go.Figure:
    """Draw how well the nodes at each hop are told from the others after each thought, a map for each run.

    Args:
        frame: `probe_frame` of a problem set.
        layer: Of the residual stream; by default the last.
        seed: Seed of the bootstrap.
    """
    require_rows(frame)
    at = int(frame["layer"].max()) if layer is None else layer  # type: ignore[arg-type]
    rows = frame.filter((pl.col("layer") == at) & pl.col("hop").is_not_null())
    return _maps(rows, "hop", f"Nodes at which hop a probe finds · layer {at}", "hop of the nodes", seed)


def auc_by_layer(frame: pl.DataFrame, name: str = "reachable", *, seed: int = 0) -> go.Figure:
    """Draw how well one property is read at each layer and thought, a map for each run.

    Args:
        frame: `probe_frame` of a problem set.
        name: The property.
        seed: Seed of the bootstrap.
    """
    rows = frame.filter(pl.col("property") == name)
    return _maps(rows, "layer", f"Where a probe finds it: {name}", "layer", seed)


def _maps(rows: pl.DataFrame, by: str, heading: str, axis: str, seed: int) -> go.Figure:
    require_rows(rows)
    runs = rows[RUN].unique(maintain_order=True).to_list()
    across = min(len(runs), 3)
    down = -(-len(runs) // across)
    columns, levels = (sorted(rows[name].unique().to_list()) for name in ("column", by))
    made = figure(
        heading,
        f"{_OVER}, mean over problems; chance one half (grey); hover: interval, selectivity, LM head",
        "",
        height=170 + 230 * down, margin={"l": 60, "r": 20, "t": 130, "b": 60}, title_pad_b=56,
        coloraxis={
            "colorscale": VALUE_SCALE, "cmin": 0.5, "cmax": 1, "colorbar": {"title": {"text": "AUC"}, "thickness": 12}
        },
    )  # fmt: skip
    make_subplots(
        down, across, subplot_titles=[title(run) for run in runs], figure=made, shared_yaxes=True,
        horizontal_spacing=0.04, vertical_spacing=0.28 / down,
    )  # fmt: skip
    told = []
    for number, run in enumerate(runs):
        own = rows.filter((pl.col(RUN) == run) & pl.col("auc").is_not_null())
        if own.is_empty():  # in a handful of problems no node of one class may stand beside one of the other
            told.append(f"{title(run)} undefined")
            continue
        cells = [_cell(key, group, seed) for key, group in own.group_by("column", by, maintain_order=True)]
        made.add_heatmap(
            x=[cell[0] for cell in cells], y=[cell[1] for cell in cells], z=[cell[2] for cell in cells],
            text=[f"{cell[2]:.2f}".removeprefix("0") for cell in cells], texttemplate="%{text}",
            textfont={"size": 10}, coloraxis="coloraxis", customdata=[cell[3:] for cell in cells],
            hovertemplate=f"{title(run)}, after %{{x}}, {by} %{{y}}: AUC %{{z:.3f}} "
            "[%{customdata[0]:.3f}, %{customdata[1]:.3f}], n = %{customdata[2]}<br>%{customdata[3]}"
            "LM head %{customdata[4]:.3f}<extra></extra>",
            row=number // across + 1, col=number % across + 1,
        )  # fmt: skip
        best = max(cells, key=lambda cell: cell[2])
        told.append(f"{title(run)} at most {best[2]:.2f} ({by} {best[1]}, after {best[0]})")
    made.update_annotations(font={"size": 12})
    made.update_xaxes(
        tickvals=columns, ticktext=_ticks(columns), showgrid=False, title="thought fed", range=_range(columns)
    )
    made.update_yaxes(tickvals=levels, showgrid=False, zeroline=False, range=_range(levels))
    made.update_yaxes(title=axis, col=1)
    return made.update_layout(meta={"alt": f"{heading}; AUC, chance .5: {'; '.join(told)}."})


def selectivity(rows: pl.DataFrame, *, seed: int = 0) -> Estimate:
    """Return AUC less that of the control task, paired by problem, of the rows of one cell of `probe_frame`."""
    values, control = (rows[name].fill_null(float("nan")).to_numpy() for name in ("auc", "control_auc"))
    return bootstrap_difference(values, control, seed=seed)


def _cell(key: tuple, group: pl.DataFrame, seed: int) -> tuple:
    estimate = bootstrap_mean(group["auc"].to_numpy(), seed=seed)
    chosen = selectivity(group, seed=seed) if group["control_auc"].is_not_null().any() else None
    head = group["lm_head_auc"].mean()
    told = "" if chosen is None else f"selectivity {chosen}, "
    return (*key, estimate.value, estimate.low, estimate.high, estimate.n, told, head)


def _by_column(rows: pl.DataFrame, name: str, seed: int) -> dict[int, Estimate]:
    found = {
        int(key[0]): bootstrap_mean(group[name].fill_null(float("nan")).to_numpy(), seed=seed)
        for key, group in sorted(rows.group_by("column"), key=lambda pair: pair[0])
    }
    return {column: estimate for column, estimate in found.items() if estimate.n}


def _line(
    made: go.Figure, estimates: dict[int, Estimate], label: str, colour: str, dash: str, width: float, place: int
) -> None:
    made.add_scatter(
        x=list(estimates), y=[e.value for e in estimates.values()], mode="lines+markers", name=label,
        legendgroup=label, showlegend=place == 1, line={"color": colour, "dash": dash, "width": width},
        marker={"size": 6},
        error_y={
            "type": "data", "symmetric": False, "color": alpha(colour, 0.7), "thickness": 1.2, "width": 3,
            "array": [e.high - e.value for e in estimates.values()],
            "arrayminus": [e.value - e.low for e in estimates.values()],
        },
        customdata=[(e.low, e.high, e.n) for e in estimates.values()],
        hovertemplate=f"{label}, after %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
        "n = %{customdata[2]}<extra></extra>",
        row=1, col=place,
    )  # fmt: skip


def _range(cells: list[int]) -> list[float]:
    return [cells[0] - 0.5, cells[-1] + 0.5]


def _ticks(columns: list[int]) -> list[str]:
    return ["none" if column == 0 else str(column) for column in columns]
