"""Figures of what lenses and probes read at each layer, and of the geometry of a set of thoughts."""

from html import escape
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.figures.lines import Look, grid, lines, maps, place, run_looks, two, where
from workbench.figures.style import (
    BLUE,
    GREEN,
    GREY,
    SERIES,
    VERMILION,
    alpha,
    fit_legend,
    plural,
    require_rows,
    told,
)
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.run_labels import title as run_title
from workbench.measure.statistics import Estimate, about, difference, graphs_of, resample, summarise

OTHER = "in thoughts of other items"
"""The map of chance beside those of runs, for values of arithmetic steps."""
_CELL = 36
"""Pixels that two lines in a cell need."""
_SIDES = (("mass_fed", "fed_hop", "hop of the thought fed"), ("mass_next", "next_hop", "hop of the next thought"))
_AUC = "AUC within a problem over its concepts without the options"
_SYMBOLS = ("circle", "x")


# Lenses


def mass_by_layer(frame: pl.DataFrame, lens: str) -> go.Figure:
    """Draw raw mass on the frontier of the thought fed and of the next, layer by thought, a row of maps for each run.

    Args:
        frame: `lens_frame` of a problem set.
        lens: Which of its lenses.

    Raises:
        WorkbenchError: The table has no row for this lens.
    """
    rows = where(frame, "lens", lens)
    require_rows(rows)
    parts = []
    for name, hop, _ in _SIDES:
        note = rows.drop_nulls(name).group_by(RUN, "column", "layer").agg(
            note=pl.format("<br>mass on hop {}", pl.col(hop).first())
        )  # fmt: skip
        means = summarise(rows, name, [RUN, "column", "layer"])
        means = means.join(note, on=[RUN, "column", "layer"], maintain_order="left")
        parts.append(means.with_columns(panel=pl.format("{} {}", RUN, pl.lit(name))))
    runs = rows[RUN].unique(maintain_order=True).to_list()
    panels = {f"{run} {name}": f"{run_title(run)}: {what}" for run in runs for name, _, what in _SIDES}
    made = maps(
        pl.concat(parts), f"Mass on the frontier by layer and thought · {lens}",
        "Raw probability among all tokens, mean over problems; in brackets chance, uniform over the problem's concepts",
        "raw mass", x="column", y="layer", axes=("column", "layer"), panel="panel", panels=panels, wide=2,
        text="chance", up=True, plot=max(110, _CELL * rows["layer"].n_unique()),
    )  # fmt: skip
    own, said = where(rows, RUN, runs[0]).filter(pl.col("column") > 0), []
    for layer in (rows["layer"].min(), rows["layer"].max()):
        fed, following = (own.filter(pl.col("layer") == layer)[name].mean() for name, *_ in _SIDES)
        said.append(f"layer {layer}: {fed:.2f} at hop k, {following:.2f} at hop k + 1")
    alt = f"Mass on the frontier by layer and thought, {lens}. Mean over thoughts, {'; '.join(said)}."
    return told(_lens_axes(made, rows), alt)


def problem_lens(
    frame: pl.DataFrame, problem: str, lens: str, run: str = MODEL, chosen: tuple[int, int] | None = None
) -> go.Figure:
    """Draw one problem's mass on the frontiers, layer by thought, with the likeliest token and chance in each cell.

    Args:
        frame: `lens_frame` that holds the problem.
        problem: Its id.
        lens: Which lens.
        run: Of which run.
        chosen: Column and layer of a cell to mark, and with it all cells that a change of the layer there can affect.

    Returns:
        A figure whose cells have `customdata[0]` = problem id, and on each a point with `customdata` = column, layer.

    Raises:
        WorkbenchError: The table has no such row.
    """
    rows = where(where(where(frame, "problem", problem), "lens", lens), RUN, run)
    require_rows(rows)
    tokens = rows.filter(pl.col("layer") == pl.col("layer").max()).sort("column")["top_token"].to_list()
    rows = rows.with_columns(top_token=pl.Series([escape(token, quote=False) for token in rows["top_token"]]))
    sides = []
    for name, hop, what in _SIDES:
        words = [
            row["top_token"] + ("" if row[name] is None else f"<br>{two(row[name])} ({two(row[f'{name}_chance'])})")
            for row in rows.iter_rows(named=True)
        ]
        sides.append(
            rows.select(
                "column", "layer", "top_token", "top_probability", value=name, chance=f"{name}_chance", hop=hop,
                low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64), n=pl.lit(1), panel=pl.lit(what),
            ).with_columns(text=pl.Series(words))
        )  # fmt: skip
    made = maps(
        pl.concat(sides), f"What each layer says · {lens} · {run_title(run)}",
        "The likeliest token, raw mass on the frontier (colour) and in brackets chance, uniform over the concepts; "
        "no colour: no frontier there",
        "raw mass", x="column", y="layer", axes=("column", "layer"), panel="panel",
        panels={what: what for *_, what in _SIDES}, wide=2, text="text", up=True,
        plot=max(200, _CELL * rows["layer"].n_unique()),
    )  # fmt: skip
    for heat, side in zip(made.data, sides, strict=True):
        about = side.select(
            pl.lit(problem), "top_probability", pl.col("chance").fill_null(float("nan")), "hop", "top_token"
        )
        cells: Any = heat
        cells.update(
            customdata=about.rows(), textfont={"size": 11},
            hovertemplate="column %{x}, layer %{y}: %{customdata[4]} (%{customdata[1]:.3f})<br>mass on hop "
            "%{customdata[3]} %{z:.3f}, chance %{customdata[2]:.3f}<extra></extra>",
        )  # fmt: skip
        # Cells of a heat map cannot be clicked: an unseen point on each can, with the same words.
        made.add_scatter(
            x=side["column"], y=side["layer"], xaxis=cells.xaxis, yaxis=cells.yaxis, mode="markers", showlegend=False,
            marker={"symbol": "square", "size": _CELL - 6, "opacity": 0}, hoverinfo="text",
            selected={"marker": {"opacity": 0}}, unselected={"marker": {"opacity": 0}},
            customdata=side.select("column", "layer").rows(),
            hovertext=[
                f"column {row['column']}, layer {row['layer']}: {row['top_token']} ({row['top_probability']:.3f})<br>"
                f"mass on hop {row['hop']} {_or_none(row['value'])}, chance {_or_none(row['chance'])}"
                for row in side.iter_rows(named=True)
            ],
        )  # fmt: skip
        if chosen is not None:
            _mark(made, cells.xaxis, cells.yaxis, chosen, int(rows["column"].max()), int(rows["layer"].max()))  # type: ignore[arg-type]
    alt = f"Layers and thoughts of problem {problem}. Likeliest token at the last layer: {', '.join(tokens)}."
    return told(_lens_axes(made, rows), alt)


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _mark(made: go.Figure, xaxis: str, yaxis: str, chosen: tuple[int, int], columns: int, layers: int) -> None:
    """Mark a cell, and the cells that a change there can affect: those above it, and all columns after it."""
    column, layer = chosen
    for left, right, low, colour, width in (
        (column, column, layer, BLUE, 2), (column + 1, columns, 0, BLUE, 2), (column, column, layer, VERMILION, 3),
    ):  # fmt: skip
        if left <= right:
            high = layer if colour == VERMILION else layers
            made.add_shape(
                type="rect", xref=xaxis, yref=yaxis, x0=left - 0.48, x1=right + 0.48, y0=low - 0.48, y1=high + 0.48,
                line={"color": colour, "width": width},
            )  # fmt: skip


def divergence_by_layer(frame: pl.DataFrame) -> go.Figure:
    """Draw how far each lens is from the final layer, layer by layer, for the model and its controls.

    Args:
        frame: `lens_frame` of a problem set; the mean over columns of each problem is one number.
    """
    require_rows(frame)
    keys = [RUN, "lens", "layer"]
    each = frame.group_by(*keys, *about(frame.columns), maintain_order=True).agg(pl.col("kl", "kl_chance").mean())
    found = summarise(each, "kl", keys)
    # No distance from itself, by definition: an interval for a share of zero would mean nothing here.
    last = pl.col("layer") == frame["layer"].max()
    ends = (pl.when(last).then(0.0).otherwise(pl.col(name)).alias(name) for name in ("value", "low", "high"))
    first = each.filter(pl.col(RUN) == each[RUN][0])["kl_chance"].mean()
    found = found.with_columns(*ends, line=pl.format("{} {}", RUN, "lens"), chance=pl.lit(first))
    looks, runs = {}, run_looks(found[RUN])
    for run, lens, key in found.select(RUN, "lens", "line").unique(maintain_order=True).iter_rows():
        symbol = "circle" if lens.startswith("tuned") else "circle-open"
        looks[key] = Look(f"{runs[run].title}, {lens}", runs[run].colour, runs[run].dash, symbol)
    made = lines(
        found, "Distance of each layer's reading from the final layer",
        "KL divergence, mean over thoughts and problems with its 95 % interval; dashed: a uniform guess (chance)",
        "KL from the final layer (bits)", x="layer", axis="layer (0: what was fed)", by="line", looks=looks,
        chance=f"chance: a uniform guess ({run_title(found[RUN][0])})", plot=250,
    )  # fmt: skip
    return made.update_yaxes(rangemode="tozero")


def _lens_axes(made: go.Figure, rows: pl.DataFrame) -> go.Figure:
    columns, layers = (sorted(rows[name].unique().to_list()) for name in ("column", "layer"))
    made.update_xaxes(
        tickvals=columns, ticktext=["prompt", *map(str, columns[1:])], range=[columns[0] - 0.5, columns[-1] + 0.5],
        title=None,
    )  # fmt: skip
    bottom = len(made._grid_ref)  # type: ignore[arg-type]
    made.update_xaxes(title="end of the prompt, then the thought fed", row=bottom)
    return made.update_yaxes(
        tickvals=layers, ticktext=["fed", *map(str, layers[1:])], range=[layers[0] - 0.5, layers[-1] + 0.5]
    )


# Probes


def auc_by_thought(frame: pl.DataFrame, layer: int | None = None) -> go.Figure:
    """Draw how well probes tell reachable, optimal and next-hop nodes from the others, thought by thought.

    The model's probe stands beside the same of its controls, the control task, and the LM head without any probe.

    Args:
        frame: `probe_frame` of a problem set.
        layer: Of the residual stream; by default the last, whose norm is the next thought.
    """
    rows, at = _at_layer(frame, layer)
    panels = {
        "reachable": rows.filter(pl.col("property") == "reachable"),
        "optimal": rows.filter(pl.col("property") == "optimal"),
        "at the next thought's hop": rows.filter(pl.col("hop") == pl.col("next_hop")),
    }
    looks, parts = {}, []
    for run, look in run_looks(rows[RUN]).items():
        drawn = {"auc": Look(f"{look.title}, probe", look.colour, look.dash)}
        if run == MODEL:
            drawn["control_auc"] = Look("control task (random by names), probe", VERMILION, "dot")
            drawn["lm_head_auc"] = Look(f"{look.title}, LM head without a probe", look.colour, "longdash")
        for column, own in drawn.items():
            looks[f"{run} {column}"] = own
            parts += [
                summarise(where(part, RUN, run), column, ["column"], chance=0.5).with_columns(
                    panel=pl.lit(name), line=pl.lit(f"{run} {column}")
                )
                for name, part in panels.items()
            ]
    made = lines(
        pl.concat(parts), f"What a linear probe reads of each node · layer {at}",
        f"{_AUC}, held-out graphs, mean with its 95 % interval; dashed: chance, one half", "AUC",
        x="column", axis="thought fed", by="line", looks=looks, panel="panel", panels={name: name for name in panels},
        tell=3, limits=(0.0, 1.04),  # a few problems with a rare hop can fall far below chance
    )  # fmt: skip
    layout: Any = made.layout
    _thoughts_fed(made, frame)
    return told(made, f"AUC of probes, chance .5. {layout.meta['alt']}")


def hops_by_thought(frame: pl.DataFrame, layer: int | None = None) -> go.Figure:
    """Draw how well the nodes at each hop are told from the others after each thought, a map for each run.

    Args:
        frame: `probe_frame` of a problem set.
        layer: Of the residual stream; by default the last.
    """
    rows, at = _at_layer(frame, layer)
    return _auc_maps(
        rows.drop_nulls("hop"), "hop", f"Nodes at which hop a probe finds · layer {at}", "hop of the nodes"
    )


def auc_by_layer(frame: pl.DataFrame, name: str = "reachable") -> go.Figure:
    """Draw how well one property is read at each layer and thought, a map for each run.

    Args:
        frame: `probe_frame` of a problem set.
        name: The property.
    """
    rows = where(frame, "property", name)
    return _auc_maps(rows, "layer", f"Where a probe finds it: {name}", "layer")


def selectivity(rows: pl.DataFrame, *, seed: int = 0) -> Estimate:
    """Return AUC less that of the control task, paired by problem, of the rows of one cell of `probe_frame`."""
    values, control = (rows[name].fill_null(float("nan")).to_numpy() for name in ("auc", "control_auc"))
    return resample(values, control, statistic=difference, clusters=graphs_of(rows), seed=seed)


def _at_layer(frame: pl.DataFrame, layer: int | None) -> tuple[pl.DataFrame, int]:
    require_rows(frame)
    at = int(frame["layer"].to_numpy().max()) if layer is None else layer
    rows = frame.filter(pl.col("layer") == at)
    require_rows(rows)
    return rows, at


def _auc_maps(rows: pl.DataFrame, by: str, heading: str, axis: str) -> go.Figure:
    require_rows(rows)
    keys, notes = [RUN, "column", by], []
    for key, group in rows.drop_nulls("auc").group_by(keys, maintain_order=True):
        head, found = group["lm_head_auc"].mean(), group["control_auc"].count()
        beside = [f"selectivity {selectivity(group)}"] if found else []
        beside += [] if head is None else [f"LM head {head:.3f}"]
        notes.append((*key, "<br>" + ", ".join(beside)))
    found = summarise(rows, "auc", keys, chance=0.5)
    note = pl.DataFrame(notes, {key: rows.schema[key] for key in keys} | {"note": pl.String}, orient="row")
    made = maps(
        found.join(note, on=keys, maintain_order="left"), heading,
        f"{_AUC}, mean over problems; chance one half (grey); hover: interval, selectivity, LM head", "AUC",
        x="column", y=by, axes=("thought fed", axis), limits=(0.5, 1.0), up=True,
        panels={run: look.title for run, look in run_looks(rows[RUN]).items()},
    )  # fmt: skip
    layout: Any = made.layout
    told(made, layout.meta["alt"].replace(heading, f"{heading}; AUC, chance .5", 1))
    levels = sorted(rows[by].unique().to_list())
    made.update_yaxes(tickvals=levels, range=[levels[0] - 0.5, levels[-1] + 0.5])
    return _thoughts_fed(made, rows)


def _thoughts_fed(made: go.Figure, rows: pl.DataFrame) -> go.Figure:
    columns = sorted(rows["column"].unique().to_list())
    ticks = ["none" if column == 0 else str(column) for column in columns]
    return made.update_xaxes(tickvals=columns, ticktext=ticks, range=[columns[0] - 0.5, columns[-1] + 0.5])


# Geometry


def geometry_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw lengths, cosines, dimensions and the map (table: `readings.geometry.geometry_frame`)."""
    return [
        norms(table),
        cosines(table),
        spreads(table, "effective_rank"),
        spreads(table, "participation_ratio"),
        *(thought_map(table, colour) for colour in ("thought", "steps", "right")),
    ]


def norms(table: pl.DataFrame) -> go.Figure:
    """Draw the mean length of thought k, beside that of the embeddings of the problem's concepts."""
    require_rows(table)
    return lines(
        summarise(table, "norm", [RUN, "thought"], chance="concept_norm"),
        "Length of thoughts against token embeddings",
        "Mean over problems with its 95 % interval; dashed: mean length of the embeddings of the problem's concepts",
        "length (L2 norm)", chance="embeddings", each=True,
    ).update_yaxes(rangemode="tozero")  # fmt: skip


def cosines(table: pl.DataFrame) -> go.Figure:
    """Draw the cosine of a thought to the one before it and to other problems' thoughts, panel by panel."""
    require_rows(table)
    shown = {
        "cosine_before": "to thought k - 1, same problem",
        "cosine_before_other": "to thought k - 1, another problem",
        "cosine_between": "to thought k, another problem",
    }
    parts = [summarise(table, name, [RUN, "thought"], chance=0.0).with_columns(panel=pl.lit(name)) for name in shown]
    return lines(
        pl.concat(parts), "Cosine between thoughts",
        "Mean over problems, 95 % interval; dashed: 0, of random directions; the middle is the control of the left",
        "cosine", axis="thought k", panel="panel", panels=shown, chance="chance: random directions",
    )  # fmt: skip


def spreads(table: pl.DataFrame, name: str) -> go.Figure:
    """Draw the effective rank or participation ratio of the set of thoughts k of all problems.

    Args:
        table: `readings.geometry.geometry_frame`.
        name: "effective_rank" or "participation_ratio".
    """
    require_rows(table)
    title, how = {
        "effective_rank": ("Effective rank of thought k over problems", "exp of the entropy of the singular values"),
        "participation_ratio": (
            "Participation ratio of thought k over problems",
            "(sum of variances)² / sum of squares",
        ),
    }[name]
    of_set = table.unique([RUN, "thought"], keep="first", maintain_order=True).select(
        RUN, "thought", value=name, low=f"{name}_low", high=f"{name}_high", chance=f"{name}_chance",
        n=pl.lit(table["problem"].n_unique()),
    )  # fmt: skip
    made = lines(
        of_set, title,
        f"{how}; 95 % jackknife interval; dashed: random directions as long; dotted grey: embeddings",
        "dimensions", each=True,
    )  # fmt: skip
    even, layout = table[f"{name}_embeddings"][0], made.layout
    made.add_hline(y=even, line={"color": GREY, "dash": "dot", "width": 1.5}, annotation_text=f"embeddings {even:.1f}")
    alt: Any = layout.meta  # type: ignore[attr-defined]
    return told(made, f"{alt['alt']} Embeddings of concepts: {even:.1f}.")


def thought_map(table: pl.DataFrame, colour: str = "thought", most: int = 150) -> go.Figure:
    """Draw every thought of every problem on the two principal axes of all thoughts of its run, a panel per run.

    Args:
        table: `readings.geometry.geometry_frame`.
        colour: "thought", "steps" (hops from root to target) or "right".
        most: Problems drawn, evenly spaced over the set; axes and shares are those of all.

    Returns:
        A figure whose points have `customdata[0]` = problem id.
    """
    require_rows(table)
    names = {"thought": "number of the thought", "steps": "hops to the target", "right": "whether the answer is right"}
    problems = table["problem"].unique(maintain_order=True)
    drawn = problems.gather_every(-(-len(problems) // most))
    kept = table.filter(pl.col("problem").is_in(drawn.to_list()))
    several = {run: where(kept, RUN, run) for run in run_looks(kept[RUN])}
    heads = [
        f"{run_title(run)}: {rows['map_share'][0]:.0%} of the variance (chance {rows['map_share_chance'][0]:.0%})"
        for run, rows in several.items()
    ]
    made = grid(
        f"Map of all thoughts, coloured by {names[colour]}",
        f"Principal axes of all thoughts of a run; chance: of random directions as long; {len(drawn)} problems drawn",
        heads, 2, plot=260,
    )  # fmt: skip
    for index, rows in enumerate(several.values()):
        for number, key in enumerate(sorted(rows[colour].unique().to_list(), reverse=colour == "right")):
            part = rows.filter(pl.col(colour) == key)
            label, shade = _legend(colour, key, number)
            made.add_scatter(
                x=part["x"], y=part["y"], mode="markers", name=label, legendgroup=label, showlegend=index == 0,
                marker={"color": alpha(shade, 0.55), "size": 4, "symbol": _SYMBOLS[colour == "right" and not key]},
                customdata=part.select("problem", "thought", "steps", "right").rows(),
                hovertemplate="%{customdata[0]}, thought %{customdata[1]}, %{customdata[2]} hops, right: "
                "%{customdata[3]}<extra></extra>",
                **place(index, 2, len(several)),
            )  # fmt: skip
    made.update_xaxes(title="first axis", zeroline=False)
    # The axes of two runs have nothing in common.
    made.update_yaxes(matches=None, showticklabels=True).update_yaxes(title="second axis", col=1)
    return fit_legend(made, f"Map of thoughts by {names[colour]}. {'; '.join(heads)}.")


def _legend(colour: str, key: Any, number: int) -> tuple[str, str]:
    if colour == "right":
        return ("right", GREEN) if key else ("wrong", VERMILION)
    label = f"thought {key}" if colour == "thought" else plural(key, "hop")
    return label, (*SERIES, GREY)[number % 7]


# Arithmetic


def step_values(table: pl.DataFrame) -> go.Figure:
    """Draw the mean probability of each step's value in each thought; the last map is the chance level.

    Args:
        table: `readings.arithmetic.arithmetic_frame`.
    """
    require_rows(table)
    items, left_out = table.select("items", "left_out").row(0)
    without = f"<br>{left_out} of {plural(items, 'problem')} left out: no values of steps" if left_out else ""
    keys, runs = [RUN, "step", "thought"], run_looks(table[RUN])
    parts = [summarise(table, "raw", keys, chance="other")]
    parts.append(summarise(where(table, RUN, next(iter(runs))), "other", keys).with_columns(pl.lit(OTHER).alias(RUN)))
    more = summarise(table, ["raw", "other"], keys, statistic=difference)
    notes = more.select(
        *keys,
        note=pl.format("<br>less other items {} [{}, {}]", *(pl.col(c).round(3) for c in ("value", "low", "high"))),
    )
    return maps(
        pl.concat(parts).join(notes, on=keys, how="left", maintain_order="left").with_columns(
            pl.col("note").fill_null("")
        ),
        "Values of the steps in the thoughts",
        "Mean probability of step j's value under the LM head of thought k; last panel: the same in the thoughts about "
        f"other items (chance){without}",
        "probability", x="thought", y="step", axes=("thought", "step"), limits=(0.0, None), wide=4,
        panels={run: look.title for run, look in runs.items()} | {OTHER: OTHER},
    ).update_xaxes(dtick=1).update_yaxes(dtick=1)  # fmt: skip


FAINTEST = 0.1
"""Smallest top of the colours of `values_of_steps`: noise must not glow."""


def values_of_steps(table: pl.DataFrame, others: int) -> go.Figure:
    """Draw the probability of each step's value in each thought about one problem; second map: in other problems.

    Args:
        table: `readings.arithmetic.values_beside_others`.
        others: How many other problems the chance level is the mean over.
    """
    require_rows(table)
    own, elsewhere = "this problem", "chance"
    highest = max(*table["raw"], *table["chance"].fill_null(0.0))
    label = pl.format("{}: {}", "step", "value")
    cells = [
        table.select("thought", label.alias("step"), value=column, panel=pl.lit(name))
        for name, column in ((own, "raw"), (elsewhere, "chance"))
        if others or name == own
    ]
    empty = [pl.lit(None, pl.Float64).alias(name) for name in ("low", "high", "n")]
    made = maps(
        pl.concat(cells).with_columns(*empty), "Values of the steps in the thoughts",
        "Probability of step j's value, its first token, under the LM head of thought k; chance: the mean in the "
        f"thoughts about {plural(others, 'other problem')}", "probability", x="thought", y="step",
        axes=("thought", "step: value"), panel="panel", wide=2, limits=(0.0, max(FAINTEST, highest)),
    )  # fmt: skip
    hover = "thought %{x}, step %{y}: %{z:.3f}<extra></extra>"
    return made.update_traces(hovertemplate=hover, selector={"type": "heatmap"}).update_xaxes(dtick=1)
