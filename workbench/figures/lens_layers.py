"""What a lens reads at every layer of every thought: heat maps over a set and of one problem, and distances."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.figures.palette import GREY, LEGEND, RUN_COLOURS, SERIES, VALUE_SCALE, figure, require_rows
from workbench.measure.run_labels import MODEL, RUN, title
from workbench.measure.statistics import Estimate, bootstrap_mean

_CELL = 36
"""Pixels that two lines in a cell need."""
_SIDES = (("mass_fed", "fed_hop", "hop of the thought fed"), ("mass_next", "next_hop", "hop of the next thought"))


def mass_by_layer(frame: pl.DataFrame, lens: str, *, seed: int = 0) -> go.Figure:
    """Draw raw mass on the frontier of the thought fed and of the next, layer by thought, a row of maps for each run.

    Args:
        frame: `lens_frame` of a problem set.
        lens: Which of its lenses.
        seed: Seed of the bootstrap.

    Raises:
        WorkbenchError: The table has no row for this lens.
    """
    rows = frame.filter(pl.col("lens") == lens)
    require_rows(rows)
    runs = rows[RUN].unique(maintain_order=True).to_list()
    made = figure(
        f"Mass on the frontier by layer and thought · {lens}",
        "Raw probability among all tokens, mean over problems; in brackets chance, uniform over the problem's concepts",
        _told(rows, lens),
        height=130 + 190 * len(runs), margin={"l": 60, "r": 20, "t": 130, "b": 60}, title_pad_b=56,
        coloraxis=_coloraxis("raw mass"),
    )  # fmt: skip
    names = [f"{title(run)}: {what}" for run in runs for _, _, what in _SIDES]
    _grid(made, len(runs), 2, names, 0.3 / len(runs))
    for number, run in enumerate(runs, 1):
        for place, (name, hop, _) in enumerate(_SIDES, 1):
            part = rows.filter((pl.col(RUN) == run) & pl.col(name).is_not_null())
            cells = [_cell(key, group, name, hop, seed) for key, group in part.group_by("column", "layer")]
            made.add_heatmap(
                x=[cell[0] for cell in cells], y=[cell[1] for cell in cells], z=[cell[2] for cell in cells],
                text=[_two(cell[2], cell[6]) for cell in cells], texttemplate="%{text}", textfont={"size": 10},
                customdata=[cell[3:] for cell in cells], coloraxis="coloraxis",
                hovertemplate=f"{title(run)}, column %{{x}}, layer %{{y}}: mass on hop %{{customdata[4]}} %{{z:.3f}} "
                "[%{customdata[0]:.3f}, %{customdata[1]:.3f}], chance %{customdata[3]:.3f}, n = %{customdata[2]}"
                "<extra></extra>",
                row=number, col=place,
            )  # fmt: skip
    return _axes(made, rows)


def divergence_by_layer(frame: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw how far each lens is from the final layer, layer by layer, for the model and its controls.

    Args:
        frame: `lens_frame` of a problem set; the mean over columns of each problem is one number.
        seed: Seed of the bootstrap.
    """
    require_rows(frame)
    layers = sorted(frame["layer"].unique().to_list())
    made = figure(
        "Distance of each layer's reading from the final layer",
        "KL divergence, mean over thoughts and problems with its 95 % interval; dashed: a uniform guess (chance)",
        "",
        height=470, margin={"l": 60, "r": 16, "t": 92, "b": 190}, legend=LEGEND,
        xaxis={"title": "layer (0: what was fed)", "tickvals": layers, "showgrid": False},
        yaxis={"title": "KL from the final layer (bits)", "rangemode": "tozero"},
    )  # fmt: skip
    told = []
    means = frame.group_by(RUN, "lens", "layer", "problem", maintain_order=True).agg(pl.col("kl", "kl_chance").mean())
    for number, ((run, lens), rows) in enumerate(means.group_by(RUN, "lens", maintain_order=True)):
        of = {layer: rows.filter(pl.col("layer") == layer)["kl"].to_numpy() for layer in layers}
        estimates = {layer: bootstrap_mean(values, seed=seed) for layer, values in of.items()}
        # No distance from itself, by definition: an interval for a share of zero would mean nothing here.
        estimates[layers[-1]] = Estimate(0.0, 0.0, 0.0, len(of[layers[-1]]), "definition")
        colour = RUN_COLOURS.get(str(run), SERIES[number % len(SERIES)])
        tuned = str(lens).startswith("tuned")
        name = f"{title(str(run))}, {lens}"
        made.add_scatter(
            x=layers, y=[e.value for e in estimates.values()], mode="lines+markers", name=name,
            line={"color": colour, "width": 2.5 if run == MODEL else 1.5, "dash": "solid" if run == MODEL else "dot"},
            marker={"size": 8, "symbol": "circle" if tuned else "circle-open"},
            error_y={
                "type": "data", "symmetric": False, "color": colour, "thickness": 1.5, "width": 4,
                "array": [e.high - e.value for e in estimates.values()],
                "arrayminus": [e.value - e.low for e in estimates.values()],
            },
            customdata=[(e.low, e.high, e.n) for e in estimates.values()],
            hovertemplate=f"{name}, layer %{{x}}: %{{y:.2f}} bits [%{{customdata[0]:.2f}}, %{{customdata[1]:.2f}}], "
            "n = %{customdata[2]}<extra></extra>",
        )  # fmt: skip
        told.append(f"{name}: " + ", ".join(f"{e.value:.1f} at layer {layer}" for layer, e in estimates.items()))
    first = means.filter(pl.col(RUN) == means[RUN][0])
    blind = float(first["kl_chance"].mean())  # type: ignore[arg-type]
    made.add_scatter(
        x=[layers[0], layers[-1]], y=[blind, blind], mode="lines", hoverinfo="skip",
        name=f"chance: a uniform guess ({title(str(means[RUN][0]))})",
        line={"color": GREY, "dash": "dash", "width": 1.5},
    )  # fmt: skip
    return made.update_layout(meta={"alt": f"KL from the final layer in bits. {'; '.join(told)}; chance {blind:.1f}."})


def problem_lens(frame: pl.DataFrame, problem: str, lens: str, run: str = MODEL) -> go.Figure:
    """Draw one problem's mass on the frontiers, layer by thought, with the likeliest token and chance in each cell.

    Args:
        frame: `lens_frame` that holds the problem.
        problem: Its id.
        lens: Which lens.
        run: Of which run.

    Raises:
        WorkbenchError: The table has no such row.
    """
    rows = frame.filter((pl.col("problem") == problem) & (pl.col("lens") == lens) & (pl.col(RUN) == run))
    require_rows(rows)
    tokens = rows.filter(pl.col("layer") == pl.col("layer").max()).sort("column")["top_token"].to_list()
    made = figure(
        f"What each layer says · {lens} · {title(run)}",
        "The likeliest token, raw mass on the frontier (colour) and in brackets chance, uniform over the concepts; "
        "no colour: no frontier there",
        f"Layers and thoughts of problem {problem}. Likeliest token at the last layer: {', '.join(tokens)}.",
        height=max(360, 190 + _CELL * rows["layer"].n_unique()), margin={"l": 60, "r": 20, "t": 130, "b": 60},
        title_pad_b=56, coloraxis=_coloraxis("raw mass"),
    )  # fmt: skip
    _grid(made, 1, 2, [what for _, _, what in _SIDES], 0.0)
    for place, (name, hop, _) in enumerate(_SIDES, 1):
        told = rows.select(
            pl.lit(problem), "top_probability", pl.col(f"{name}_chance").fill_null(float("nan")), hop, "top_token"
        ).rows()
        words = [
            row["top_token"] + ("" if row[name] is None else f"<br>{_two(row[name], row[f'{name}_chance'])}")
            for row in rows.iter_rows(named=True)
        ]
        made.add_heatmap(
            x=rows["column"], y=rows["layer"], z=rows[name], text=words, texttemplate="%{text}",
            textfont={"size": 11}, coloraxis="coloraxis", customdata=told, hoverongaps=False,
            hovertemplate="column %{x}, layer %{y}: %{customdata[4]} (%{customdata[1]:.3f})<br>mass on hop "
            "%{customdata[3]} %{z:.3f}, chance %{customdata[2]:.3f}<extra></extra>",
            row=1, col=place,
        )  # fmt: skip
    return _axes(made, rows)


def _cell(key: tuple, group: pl.DataFrame, name: str, hop: str, seed: int) -> tuple:
    estimate = bootstrap_mean(group[name].to_numpy(), seed=seed)
    chance = float(group[f"{name}_chance"].mean())  # type: ignore[arg-type]
    return (*key, estimate.value, estimate.low, estimate.high, estimate.n, chance, group[hop][0])


def _two(value: float, chance: float) -> str:
    return f"{value:.2f} ({chance:.2f})".replace("0.", ".")


def _coloraxis(name: str) -> dict:
    return {"colorscale": VALUE_SCALE, "cmin": 0, "cmax": 1, "colorbar": {"title": {"text": name}, "thickness": 12}}


def _grid(made: go.Figure, rows: int, columns: int, names: list[str], gap: float) -> None:
    """Divide a figure into maps that share their axes, a title over each, and keep its own layout."""
    make_subplots(
        rows, columns, subplot_titles=names, figure=made, shared_yaxes=True, shared_xaxes=True,
        vertical_spacing=gap, horizontal_spacing=0.05,
    )  # fmt: skip
    made.update_annotations(font={"size": 12})


def _axes(made: go.Figure, rows: pl.DataFrame) -> go.Figure:
    columns, layers = (sorted(rows[name].unique().to_list()) for name in ("column", "layer"))
    made.update_xaxes(
        tickvals=columns,
        ticktext=["prompt", *map(str, columns[1:])],
        showgrid=False,
        showticklabels=True,
        title=None,
        range=[columns[0] - 0.5, columns[-1] + 0.5],
    )
    made.update_yaxes(
        tickvals=layers,
        ticktext=["fed", *map(str, layers[1:])],
        showgrid=False,
        zeroline=False,
        range=[layers[0] - 0.5, layers[-1] + 0.5],
    )
    made.update_yaxes(title="layer", col=1)
    bottom = len(made._grid_ref)  # type: ignore[arg-type]
    return made.update_xaxes(title="column: end of the prompt, then the thought fed", row=bottom)


def _told(rows: pl.DataFrame, lens: str) -> str:
    """Say where the model's mass on the next hop is, at the first and the last layer."""
    own = rows.filter(pl.col(RUN) == rows[RUN][0])
    ends = (own["layer"].min(), own["layer"].max())
    parts = []
    for layer in ends:
        at = own.filter((pl.col("layer") == layer) & (pl.col("column") > 0))
        parts.append(f"layer {layer}: {at['mass_fed'].mean():.2f} at hop k, {at['mass_next'].mean():.2f} at hop k + 1")
    return f"Mass on the frontier by layer and thought, {lens}. Mean over thoughts, {'; '.join(parts)}."
