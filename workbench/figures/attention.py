"""Figures of attention: where it goes, what it writes, which part writes it, and what is lost where it is cut."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.lines import HOVER, Look, interval, lines, maps, run_looks, where
from workbench.figures.style import CLASS_COLOURS, DASHED, GREY, figure, fit_legend, require_rows, told
from workbench.measure.class_means import CLASS_TITLES, NESTED, class_means
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.statistics import about, summarise

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
PATH_CLASSES = {"optimal": "optimal", "off the path": "frontier, off the path", "elsewhere": "all other edges"}
"""Classes of edges as one writes into thoughts, and their names on the screen."""
ARM_COLOURS = {
    "optimal": CLASS_COLOURS["optimal"],
    "other frontier": CLASS_COLOURS["frontier"],
    "elsewhere": CLASS_COLOURS["reachable elsewhere"],
}
"""Colours of edges by what is knocked out: those of the node classes they lead to."""
ANSWER = "answer"
"""Place of the slider for rows without a thought."""
TOO_SMALL = 1e-5
"""Parts that never are larger, such as the biases of a model without any, are not drawn."""


# Attention by the class of the edge


def attention_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw every figure of the reading: a figure per layer of all heads, and one of the heads."""
    require_rows(table)
    layers = sorted(table["layer"].unique().to_list(), reverse=True)
    return [*(attention_by_class(table, layer) for layer in layers), attention_by_head(table)]


def attention_by_class(table: pl.DataFrame, layer: int) -> go.Figure:
    """Draw the attention to an edge by its class and the thought being made, summed over the heads of a layer.

    Args:
        table: Frame of the reading `attention_by_class`.
        layer: Counted from 0.
    """
    rows = table.filter(pl.col("layer") == layer, pl.col("head").is_null(), pl.col("hop_read") <= pl.col("steps"))
    require_rows(rows)
    heads = table["head"].n_unique() - 1
    return lines(
        class_means(rows, "attention", "edges"),
        f"Attention to an edge when a thought is made · layer {layer}",
        f"Mean over the edges of a class (by source, one hop before the thought), sum over {heads} heads, with its "
        "95 % interval over graphs<br>classes are nested; problems whose chain is long enough",
        f"attention per edge (sum of {heads} heads)", panel="class",
        panels={name: CLASS_TITLES[name] for name in NESTED}, wide=5, chance="chance: spread evenly over all edges",
    )  # fmt: skip


def attention_by_head(table: pl.DataFrame) -> go.Figure:
    """Draw how much more each head attends to frontier edges than to an edge chosen evenly, all thoughts together.

    Args:
        table: Frame of the reading `attention_by_class`.
    """
    rows = table.filter(pl.col("head").is_not_null(), pl.col("hop_read") <= pl.col("steps"))
    require_rows(rows)
    # Thoughts of one problem are one draw: they are joined before the bootstrap.
    kept = {"frontier": NESTED["frontier"]}
    means = class_means(rows, "attention", "edges", by=(RUN, "layer", "head"), classes=kept)
    made = lines(
        means.sort("layer", "head", maintain_order=True).with_columns(head=pl.format("{}.{}", "layer", "head")),
        "Attention to a frontier edge, head by head",
        "Mean over frontier edges and all thoughts with its 95 % interval over graphs; "
        "short bar: the same attention to edges spread evenly",
        "attention per edge", x="head", axis="layer.head", bars=True, looks=run_looks(means[RUN]),
        chance="chance: spread evenly over all edges",
    )  # fmt: skip
    first = where(means, RUN, means[RUN][0]).sort("value", descending=True).row(0, named=True)
    most = f"{first['layer']}.{first['head']}: {first['value']:.2f} per edge"
    return told(made.update_xaxes(type="category"), f"Attention to frontier edges by head. Most in {most}.")


# The copy map: what the tokens of an edge attend to


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
        Columns run, layer, head (null for the mean over heads), token, place, value, low, high, n, chance.
    """
    require_rows(table)
    return summarise(table, "attention", [RUN, "layer", "head", "token", "place"], chance="chance", seed=seed)


def copy_bars(table: pl.DataFrame, layer: int) -> go.Figure:
    """Draw where the tokens of an edge attend to in one layer, mean over heads, a panel for each token.

    Args:
        table: Frame of the reading `copy_map`.
        layer: Counted from 0.
    """
    means = copy_means(table.filter(pl.col("layer") == layer, pl.col("head").is_null()))
    made = lines(
        means.with_columns(pl.col("place").cast(pl.String)),
        f"Where an edge's tokens attend to · layer {layer}",
        "Share of attention, mean over heads, edges and problems with its 95 % interval over graphs; "
        "short bar: spread evenly over what the token can see",
        "share of attention", x="place", axis="place attended to", bars=True, panel="token",
        panels={token: f"from the {token}" for token in TOKENS}, chance="chance: spread evenly", below=72,
    )  # fmt: skip
    said = [f"from the {t} {v['value']:.2f} to {v['place']} (chance {v['chance']:.2f})" for t, v in _strongest(means)]
    alt = f"Attention of an edge's tokens in layer {layer}: {'; '.join(said)}."
    return told(made.update_xaxes(tickangle=-40), alt)


def _strongest(means: pl.DataFrame) -> list[tuple[str, dict]]:
    """Return for each token of an edge the row of what the first run attends to most."""
    own = where(means, RUN, means[RUN][0]).sort("value", descending=True)
    return [(token, where(own, "token", token).row(0, named=True)) for token in TOKENS]


def copy_heads(table: pl.DataFrame) -> go.Figure:
    """Draw where every head's attention goes, rows of tokens and places, columns of heads, a panel for each run."""
    means = copy_means(table.filter(pl.col("head").is_not_null()))
    found = means.sort("layer", "head", maintain_order=True).select(
        RUN, "value", "low", "high", "n", "chance", head=pl.format("{}.{}", "layer", "head"),
        line=pl.format("{} → {}", "token", "place"),
    )  # fmt: skip
    present = set(found["line"])
    every = [f"{token} → {place}" for token in TOKENS for place in PLACES]
    made = maps(
        found, "Where an edge's tokens attend to, head by head",
        "Share of attention, mean over edges and problems; hover: spread evenly over what the token can see (chance)",
        "share", x="head", y="line", axes=("layer.head", "from the token → to the place"), text=None, wide=5, plot=330,
    )  # fmt: skip
    made.update_xaxes(type="category").update_yaxes(
        type="category", categoryorder="array", categoryarray=[line for line in every if line in present]
    )
    said = [f"{t} → {v['place']} {v['value']:.2f} in {v['layer']}.{v['head']}" for t, v in _strongest(means)]
    return told(made, f"Attention of an edge's tokens by head. Strongest: {'; '.join(said)}.")


# What attention to an edge writes


def edge_path_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw what edges of each class write over the set, and the route of the first problem that is answered rightly.

    Args:
        table: `readings.attribution.edge_path_frame`.
    """
    require_rows(table)
    right = table.filter(pl.col("right"))
    return [written_by_class(table), route_figure(table, (table if right.is_empty() else right)["problem"][0])]


def written_by_class(table: pl.DataFrame, column: str = "written") -> go.Figure:
    """Draw the mean of an edge by its class as thought k is made; a panel per class.

    Args:
        table: `readings.attribution.edge_path_frame`.
        column: "written" or "attention".
    """
    require_rows(table)
    title, unit = {
        "written": ("What attention to an edge writes towards the edge's target", "logits per edge"),
        "attention": ("Attention to an edge, mean over heads", "attention per edge"),
    }[column]
    rows, keys = table.drop_nulls("thought").with_columns(_path_class()), (RUN, *about(table.columns), "thought")
    every = rows.group_by(keys).agg(pl.mean(column).alias("chance"))
    each = rows.group_by(*keys, "class", maintain_order=True).agg(pl.mean(column).alias("value"))
    # Chance is the mean over all edges, of all problems, whether they have edges of the class or not.
    even = every.group_by(RUN, "thought").agg(pl.mean("chance"))
    found = summarise(each, "value", [RUN, "class", "thought"])
    return lines(
        found.drop("chance").join(even, on=[RUN, "thought"], maintain_order="left"), title,
        "Mean over problems of the mean over edges, by the edge's source; 95 % interval; dashed: all edges",
        unit, axis="thought made", panel="class", panels=PATH_CLASSES, chance="chance: all edges",
    )  # fmt: skip


def route_figure(table: pl.DataFrame, problem: str) -> go.Figure:
    """Draw what attention to each edge of one problem writes as each thought is made; the optimal edges are joined.

    Args:
        table: `readings.attribution.edge_path_frame`.
        problem: Its id.
    """
    rows = table.filter((pl.col("problem") == problem) & pl.col("thought").is_not_null())
    require_rows(rows)
    looks = run_looks(rows[RUN])
    own = where(rows, RUN, next(iter(looks)))
    best = where(own, "class", "optimal").sort("thought", "written", descending=[False, True])
    best = best.unique("thought", keep="first", maintain_order=True)
    steps = " → ".join([*best["source"].head(1), *best["target"]])
    made = figure(
        f"The route through {problem}",
        f"{steps}; a point is an edge, what attention to it writes towards its own target; dashed: mean over all edges",
        plot=270, xaxis={"title": "thought made", "dtick": 1, "showgrid": False}, yaxis={"title": "logits"},
    )  # fmt: skip
    colours = {"elsewhere": GREY, "off the path": CLASS_COLOURS["frontier"], "optimal": CLASS_COLOURS["optimal"]}
    for name, colour in colours.items():
        part = own.filter(_path_class() == name)
        made.add_scatter(
            x=part["thought"], y=part["written"], mode="markers", name=PATH_CLASSES[name],
            marker={"color": colour, "size": 6 if name == "elsewhere" else 10, "opacity": 0.85},
            customdata=part.select("problem", "source", "target", "attention").rows(),
            hovertemplate="%{customdata[1]} → %{customdata[2]}: %{y:.3f}, attention %{customdata[3]:.3f}"
            "<extra></extra>",
        )  # fmt: skip
    for run, look in looks.items():
        joined = where(where(rows, RUN, run), "class", "optimal").group_by("thought").agg(pl.max("written"))
        joined = joined.sort("thought")
        made.add_scatter(
            x=joined["thought"], y=joined["written"], mode="lines", name=f"route, {look.title}",
            line={"color": look.colour, "dash": look.dash, "width": 2.5 if run == MODEL else 1.5},
            hovertemplate=f"best optimal edge, {look.title}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    every = own.group_by("thought").agg(pl.mean("written")).sort("thought")
    made.add_scatter(
        x=every["thought"], y=every["written"], mode="lines", name="chance: all edges",
        line=DASHED, hovertemplate="all edges: %{y:.3f}<extra></extra>",
    )  # fmt: skip
    said = ", ".join(f"{s} to {t} {w:.2f}" for s, t, w in best.select("source", "target", "written").iter_rows())
    return fit_legend(made, f"Route through {problem}: {said}.")


def _path_class() -> pl.Expr:
    name = pl.col("class").cast(pl.String)
    return pl.when(name.is_in(list(PATH_CLASSES)[:2])).then(name).otherwise(pl.lit("elsewhere")).alias("class")


# What is lost where attention to an edge is cut


def knockout_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw the loss of accuracy and the change of the logit difference by thought, and by whose attention is cut.

    Args:
        table: `readings.knockout.edge_knockout_frame`.
    """
    return [knockout_by_thought(table, "loss"), knockout_by_thought(table, "change"), knockout_by_scope(table)]


def knockout_by_thought(table: pl.DataFrame, column: str = "loss") -> go.Figure:
    """Draw what changes without the edges, all heads, by the thought that is made without them; a panel per run.

    Args:
        table: `readings.knockout.edge_knockout_frame`.
        column: "loss" (share of the problems answered right before that are not any more) or "change" (logit of target
            less negative, all problems).
    """
    title, unit = {
        "loss": ("Right answers lost", "share of right answers"),
        "change": ("Change of the logit difference", "logits, target less negative"),
    }[column]
    rows = _measured(table).filter(pl.col("scope") == "all heads")
    return lines(
        summarise(rows, column, [RUN, "arm", "thought"], chance=0.0),
        f"{title} when a thought cannot attend to an edge",
        "All heads; as many edges in each arm, those that lead to the target itself left out; 95 % interval; "
        "dashed: no change", unit, axis="thought made without the edge", by="arm", looks=_arms(),
        chance="no change", tell=3,
        panel=RUN, panels={run: look.title for run, look in run_looks(rows[RUN]).items()}, empty=_NOTHING,
    )  # fmt: skip


def knockout_by_scope(table: pl.DataFrame) -> go.Figure:
    """Draw the loss of right answers by whose attention is knocked out: all heads, the leading one, all others."""
    rows, head = _measured(table), table["head"][0]
    # A problem has several thoughts: its own mean comes first, so that each counts once.
    each = rows.group_by(RUN, "arm", "scope", *about(rows.columns), maintain_order=True).agg(pl.col("loss").mean())
    found = summarise(each, "loss", [RUN, "arm", "scope"])
    arms = {name: look for name, look in _arms().items() if name != "elsewhere"}
    made = lines(
        found, f"Whose attention to the edge it is: the leading head is {head}",
        "Share of right answers lost, mean over problems and thoughts (each problem counts once), 95 % interval; "
        "the leading head writes most towards the frontier", "share of right answers lost",
        x="scope", axis="whose attention is knocked out", by="arm", looks=arms, chance="", bars=True, tell=2,
        panel=RUN, panels={run: look.title for run, look in run_looks(rows[RUN]).items()}, empty=_NOTHING, below=44,
    )  # fmt: skip
    return made


_NOTHING = "no right answer to lose"


def _arms() -> dict[str, Look]:
    return {arm: Look(arm, colour, "solid" if arm == "optimal" else "dot") for arm, colour in ARM_COLOURS.items()}


def _measured(table: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose edges do not name the target, with the loss: 1 where a right answer is no longer right."""
    require_rows(table)
    lost = pl.when(pl.col("right_before")).then((~pl.col("right")).cast(pl.Float64))
    return table.filter(~pl.col("names_target")).with_columns(loss=lost)


# Attribution by part


def attribution_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw attribution by part for the answer and for thoughts, and the heads' attention.

    Args:
        table: `readings.attribution.attribution_frame`.
    """
    return [answer_parts(table), thought_parts(table), head_attention(table)]


def answer_parts(table: pl.DataFrame) -> go.Figure:
    """Draw what each part writes towards target less negative, where the answer is named."""
    return over_parts(
        table.filter(pl.col("thought").is_null()), "attribution", "attribution_control", "Which parts write the answer",
        "Direct attribution to the logit of target less negative, mean over problems with 95 % interval",
        "chance: a random other pair of leaves", "logits",
    )  # fmt: skip


def thought_parts(table: pl.DataFrame) -> go.Figure:
    """Draw what each part writes towards the frontier less the other concepts, where thought k is made."""
    return over_parts(
        table.drop_nulls("thought"), "attribution", "attribution_control", "Which parts move the frontier",
        "Direct attribution to the mean logit of the nodes at hop k less the other concepts, as thought k is made; "
        "95 % interval", "chance: a random set of as many concepts", "logits",
    )  # fmt: skip


def head_attention(table: pl.DataFrame) -> go.Figure:
    """Draw which share of a head's attention to edges is on the edges that leave hop k - 1, as thought k is made."""
    return over_parts(
        table.drop_nulls(["thought", "head"]), "attention", "attention_chance",
        "Which heads attend to the edges that leave the frontier",
        "Share of a head's attention to edges that is on edges from hop k - 1, as thought k is made; 95 % interval",
        "chance: share of such edges", "share of attention to edges",
    )  # fmt: skip


def over_parts(
    table: pl.DataFrame, column: str, chance: str, title: str, subtitle: str, chance_title: str, unit: str
) -> go.Figure:
    """Draw means of a column by part as markers with intervals; a slider chooses the thought.

    Args:
        table: `readings.attribution.attribution_frame`, or rows of it.
        column: What is drawn.
        chance: Column of the chance level, drawn dashed for the model's own run.
        title: What is shown.
        subtitle: How it was estimated.
        chance_title: Name of the chance level in the legend.
        unit: Of the y-axis.
    """
    require_rows(table)
    looks = run_looks(table[RUN])
    largest = table.group_by("part").agg(pl.col(column).abs().max()).filter(pl.col(column) > TOO_SMALL)
    thoughts = sorted(table["thought"].drop_nulls().unique().to_list())
    named = pl.when(pl.col("thought").is_null()).then(pl.lit(ANSWER)).otherwise(pl.format("thought {}", "thought"))
    rows = table.join(largest, on="part", how="semi", maintain_order="left").with_columns(place=named)
    places = [*(f"thought {k}" for k in thoughts), *([ANSWER] if table["thought"].null_count() else [])]
    keys = [RUN, "place", "part"]
    means = summarise(rows, column, keys).drop("chance")
    levels = summarise(where(rows, RUN, next(iter(looks))), chance, keys)
    made = figure(
        title, subtitle, plot=250, below=110, scattermode="group", scattergap=0.3,
        xaxis={"showgrid": False, "type": "category", "title": "part"}, yaxis={"title": unit},
    )  # fmt: skip
    owner, said = [], []
    for place in places:
        for run, look in looks.items():
            own, part = run == next(iter(looks)), where(where(means, "place", place), RUN, run)
            made.add_scatter(
                x=part["part"], y=part["value"], mode="markers", name=look.title, offsetgroup=run, legendgroup=run,
                visible=place == places[0], error_y=interval(part, look.colour),
                marker={"color": look.colour, "size": 9 if own else 6, "symbol": "circle" if own else "circle-open"},
                customdata=part.select("low", "high", "n").rows(),
                hovertemplate=f"{look.title}, {place}, %{{x}}: %{{y:.3f}} [{HOVER}",
            )  # fmt: skip
            owner.append(place)
            if own:
                best = part.sort("value", descending=True, maintain_order=True).head(2)
                largest = ", ".join(f"{p} {v:.2f}" for p, v in best.select("part", "value").iter_rows())
                said.append(f"{place}: {largest}")
                part = where(levels, "place", place)
                made.add_scatter(
                    x=part["part"], y=part["value"], mode="lines", name=chance_title, legendgroup="chance",
                    visible=place == places[0], line=DASHED,
                    customdata=part.select("low", "high", "n").rows(),
                    hovertemplate=f"{chance_title}, %{{x}}: %{{y:.3f}} [{HOVER}",
                )  # fmt: skip
                owner.append(place)
    made.add_hline(y=0, line={"color": GREY, "width": 1})
    steps = [
        {"label": place, "method": "restyle", "args": [{"visible": [place == of for of in owner]}]} for place in places
    ]
    slider = {"steps": steps, "active": 0, "pad": {"t": 60}, "len": 1, "y": 0, "currentvalue": {"visible": False}}
    made.update_layout(sliders=[slider] if len(places) > 1 else [])
    return told(made, f"{title}. Largest: {'; '.join(said)}.")
