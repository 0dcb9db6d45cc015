"""Figures of answers and of node values over many problems: accuracy, mass, breadth, ranks, height."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError, unknown
from workbench.figures.lines import Look, grid, lines, place, run_looks, two, where
from workbench.figures.style import (
    BLUE,
    CLASS_COLOURS,
    DASHED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    READOUT_COLOURS,
    SKY,
    VERMILION,
    YELLOW,
    figure,
    fit_legend,
    plural,
    require_rows,
)
from workbench.figures.thoughts import CLASS_TITLES
from workbench.measure.behaviour import Behaviour
from workbench.measure.run_labels import RUN
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import READOUT_TITLES, READOUTS, TITLES
from workbench.measure.statistics import auroc, graphs_of, resample, spearman, summarise
from workbench.problems.graph import NODE_CLASSES

BEHAVIOUR_COLOURS = dict(
    zip(Behaviour, (GREEN, SKY, VERMILION, PURPLE, BLUE, ORANGE, GREY), strict=True)
)  # in the order of the categories
RANKS = ("1", "2", "3", "4-5", "6-10", "beyond 10")
_RANK_ENDS = (1, 2, 3, 5, 10)
_RANK_COLOURS = ("#007A5A", "#35B890", "#93D9C3", YELLOW, ORANGE, GREY)
HEIGHTS = {
    "height_longest": "longest distance to a leaf",
    "height_shortest": "shortest distance to a leaf",
}
"""The two heights in use: figure 5 of Coconut v3 has the first, its section 4.4 the second."""
FEWEST = 10
"""Nodes (of each kind, for a separation) that a number needs at least: below that its interval says nothing."""
TOP_COLOURS = {1: BLUE, 2: VERMILION, 3: GREEN}
"""Colour of the model's curves of the top candidates; controls have their own colours."""
_POINTS = 41
"""Points of a control's curve."""


# Answers


def accuracy_by_hop(results: pl.DataFrame, *, seed: int = 0, of: str = "hop") -> go.Figure:
    """Draw accuracy by hops from root to target, or by steps of the chain.

    Args:
        results: One row per problem; columns steps (int), correct (bool), optionally a string column `run`, one set
            of bars for each.
        seed: Seed of the bootstrap.
        of: What is counted: "hop", or "step" of problems without graphs, which have no two options to guess between.
    """
    require_rows(results)
    steps = sorted(results["steps"].unique().to_list())
    table = _with_run(results)
    counts = dict(table.group_by("steps").agg(pl.len() / table[RUN].n_unique()).iter_rows())
    made = lines(
        summarise(table, "correct", [RUN, "steps"], chance=0.5 if of == "hop" else None, seed=seed),
        "Accuracy by hops to the target" if of == "hop" else "Accuracy by steps of the chain",
        "Share of problems answered exactly right, with its 95 % interval"
        + ("; dashed: guessing between the two options" if of == "hop" else ""),
        "accuracy", x="steps", axis=f"{of}s", bars=True, limits=(0.0, 1.04), below=16,
    )  # fmt: skip
    ticks = [f"{plural(s, of)}<br>n = {counts[s]:.0f}" for s in steps]
    return made.update_xaxes(tickvals=steps, ticktext=ticks, title="")


def option_by_thought(shares: Sequence[float], options: int) -> go.Figure:
    """Draw the share of the right option among all options of one problem's answer, after 0..K thoughts.

    Args:
        shares: After 0, 1, ... thoughts.
        options: Number of options; chance is one of them drawn evenly.
    """
    table = pl.DataFrame(
        {"run": "right option", "thoughts": range(len(shares)), "value": [float(share) for share in shares]}
    ).with_columns(chance=pl.lit(1 / options))
    return lines(
        table, "The right option after k thoughts", "Its share of the probability of all options; one problem",
        "share", x="thoughts", axis="thoughts", by="run", looks={"right option": Look("right option", BLUE)},
        limits=(-0.02, 1.04), chance="an even draw",
    )  # fmt: skip


def said_steps(table: pl.DataFrame, others: int) -> go.Figure:
    """Draw how likely each step was that a model said in words about one problem.

    Args:
        table: `measure.chains.SaidChain.frame`.
        others: How many other problems the chance level is the mean over.
    """
    made = table.select(
        pl.lit("this problem").alias("run"), pl.format("step {}", "step").alias("step"), "chance", value="probability"
    )
    return lines(
        made, "Probability of each step that it said",
        "Product of its tokens' probabilities after what came before"
        + (f"; grey: the same words where {plural(others, 'other problem')} are asked, the mean" if others else ""),
        "probability", x="step", axis="step", by="run", looks={"this problem": Look("this problem", BLUE)}, bars=True,
        limits=(0.0, 1.04), chance="other problems" if others else "",
    )  # fmt: skip


def accuracy_by_thoughts(results: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw accuracy by number of thoughts.

    Args:
        results: One row per (problem, thought); columns thought (int), correct (bool), optionally valid (bool, share
            drawn beside), choice (forced choice, a panel of its own), floor (chance level; one half without it) and run
            (string, one line for each).
        seed: Seed of the bootstrap.
    """
    require_rows(results)
    table, looks = _with_run(results), run_looks(_with_run(results)[RUN])
    panels = {"correct": "exact answer"} | ({"choice": "forced choice"} if "choice" in results.columns else {})
    floor, guessing = ("floor", "the set's best query-blind rule"), (0.5, "guessing between the options")
    level, meaning = floor if "floor" in results.columns else guessing
    summary = pl.concat(
        summarise(table, name, [RUN, "thought"], chance=level, seed=seed).with_columns(panel=pl.lit(name))
        for name in panels
    )
    # Where controls are dotted, the share of valid answers has to look otherwise.
    dash, mark = (
        ("dashdot", "dash and dot") if any(look.dash == "dot" for look in looks.values()) else ("dot", "dotted")
    )
    made = lines(
        summary,
        "Accuracy by number of thoughts",
        f"Share answered exactly right, with its 95 % interval; {mark}: answers of a valid form; dashed: {meaning}",
        "accuracy", axis="thoughts", looks=looks, limits=(0.0, 1.04), below=19 if "valid" in results.columns else 0,
        panel="panel" if len(panels) > 1 else None, panels=panels if len(panels) > 1 else None, wide=2,
    )  # fmt: skip
    for run, look in looks.items() if "valid" in results.columns else ():
        add_valid(made, where(table, RUN, run), "thought", look, dash, "" if run == "accuracy" else look.title)
    return made


def add_valid(made: go.Figure, rows: pl.DataFrame, x: str, look: Look, dash: str, name: str) -> None:
    """Add the share of answers of a valid form as a thin line; only that of a solid line is in the legend."""
    valid = rows.group_by(x).agg(pl.col("valid").cast(pl.Float64).mean()).sort(x)
    label = ", ".join(filter(None, ("valid form", name)))
    made.add_scatter(
        x=valid[x], y=valid["valid"], mode="lines", opacity=0.8, name=label, showlegend=look.dash == "solid",
        line={"color": look.colour, "width": 1.5, "dash": dash}, hovertemplate=f"{label}: %{{y:.3f}}<extra></extra>",
    )  # fmt: skip


def behaviour_shares(results: pl.DataFrame) -> go.Figure:
    """Draw the share of each behaviour category after k thoughts as stacked bars (Coconut v3, figure 3).

    Args:
        results: One row per (problem, thought); columns thought (int), behaviour (a value of `Behaviour`), optionally
            run (string, a panel for each).

    Raises:
        WorkbenchError: There is no row, or what the model goes on to say was not recorded.
    """
    require_rows(results)
    if results["behaviour"].null_count():
        raise WorkbenchError(
            "There are no behaviour categories to draw.",
            "What the model goes on to say after its thoughts was not recorded.",
            "Record with continuations=True; accuracy alone needs none.",
        )
    table = _with_run(results).with_columns(pl.col("behaviour").cast(pl.String))
    runs, thoughts = table[RUN].unique(maintain_order=True).to_list(), sorted(table["thought"].unique().to_list())
    one, total = len(runs) == 1, table.group_by(RUN, "thought").len()["len"].max()
    made = grid(
        "What the model goes on to say after k thoughts",
        f"Share of problems in each category; n = {total} for each number of thoughts",
        ["" if one else run_title(run) for run in runs], 3,
    )  # fmt: skip
    told = []
    for index, run in enumerate(runs):
        rows = where(table, RUN, run)
        totals = dict(rows.group_by("thought").len().iter_rows())
        counts = {(k, b): n for k, b, n in rows.group_by("thought", "behaviour").len().iter_rows()}
        for behaviour, colour in BEHAVIOUR_COLOURS.items():
            values = [counts.get((k, behaviour.value), 0) / totals.get(k, 1) for k in thoughts]
            made.add_bar(
                x=thoughts, y=values, name=behaviour.value, marker={"color": colour},
                text=[two(v) if v >= 0.06 else "" for v in values], textposition="inside",
                insidetextanchor="middle", textangle=0, legendgroup=behaviour.value, showlegend=index == 0,
                hovertemplate=f"{behaviour.value}: %{{y:.3f}} after %{{x}}<extra></extra>",
                **place(index, 3, len(runs)),
            )  # fmt: skip
            if behaviour is Behaviour.CORRECT_PATH:
                path = ", ".join(f"{v:.2f} after {k}" for k, v in zip(thoughts, values, strict=True))
                told.append(path if one else f"{run_title(run)} {path}")
    made.update_xaxes(tickvals=thoughts, range=[thoughts[0] - 0.5, thoughts[-1] + 0.5], title="thoughts")
    made.update_xaxes(showgrid=False).update_yaxes(range=[0, 1]).update_yaxes(title="share of problems", col=1)
    made.update_layout(barmode="stack", bargap=0.3, uniformtext={"minsize": 10 if one else 8, "mode": "hide"})
    return fit_legend(made, f"Behaviour categories by number of thoughts. Correct Path: {'; '.join(told)}.")


def _with_run(results: pl.DataFrame) -> pl.DataFrame:
    """Return a table with a run: where there is none, all of it is one, named "accuracy"."""
    return results if RUN in results.columns else results.with_columns(pl.lit("accuracy").alias(RUN))


# Values


def mass_by_thought(statistics: pl.DataFrame, name: str = "candidate_mass", *, seed: int = 0) -> go.Figure:
    """Draw a statistic's mean over problems per number of thoughts, a line per readout, chance dashed.

    Means are over the problems for which the statistic is defined; the hover says how many.

    Args:
        statistics: `statistics_frame` of many problems.
        name: One of its statistics.
        seed: Seed of the bootstrap.

    Raises:
        WorkbenchError: There is no such statistic, or no problem.
    """
    title, unit, baseline, limits = _about(statistics, name)
    return lines(
        summarise(statistics, name, ["readout", "thought"], seed=seed),
        f"{title[0].upper()}{title[1:]} by number of thoughts",
        f"Mean over problems with its 95 % interval; dashed: chance, {baseline}",
        f"{title} ({unit})", axis="thoughts", by="readout", limits=limits, each=True,
        looks={name: Look(READOUT_TITLES[name], READOUT_COLOURS[name]) for name in READOUTS},
    )  # fmt: skip


def statistic_by_run(table: pl.DataFrame, name: str) -> go.Figure:
    """Draw a statistic's mean over problems by number of thoughts: a panel per readout, a line per run, chance dashed.

    Means are over the problems for which the statistic is defined; the hover says how many.

    Args:
        table: `statistics_frame` of many problems with the column run.
        name: One of its statistics.

    Raises:
        WorkbenchError: There is no such statistic, or no problem.
    """
    title, unit, baseline, limits = _about(table, name)
    summary = summarise(table, name, [RUN, "readout", "thought"])
    return lines(
        summary,
        f"{title[0].upper()}{title[1:]} by number of thoughts",
        f"Mean over problems with its 95 % interval; dotted: controls; dashed: chance, {baseline}",
        f"{title} ({unit})", axis="thoughts", panel="readout", panels={name: READOUT_TITLES[name] for name in READOUTS},
        limits=limits, empty="" if len(summary) else "not defined for any of these problems",
    )  # fmt: skip


def _about(table: pl.DataFrame, name: str) -> tuple[str, str, str, tuple[float, float] | None]:
    """Return title, unit, chance in words and the range of a statistic."""
    if name not in TITLES:
        raise unknown("statistic", name, TITLES)
    require_rows(table)
    title, unit, baseline = TITLES[name]
    return title, unit, baseline, (-0.02, 1.04) if unit in ("probability", "share") else None


def value_histogram(scores: pl.DataFrame, thought: int, readout: str = "lm_head") -> go.Figure:
    """Draw the distribution of values by node class at one thought.

    Args:
        scores: `scores_frame` of many problems.
        thought: Number of thoughts.
        readout: One of `READOUTS`.
    """
    rows = where(scores, "readout", readout).filter(pl.col("thought") == thought, pl.col("value").is_not_null())
    require_rows(rows)
    chance, bins = float(rows["chance"].to_numpy().mean()), np.linspace(0, 1, 21)
    made = figure(
        f"Values by node class {after(thought)} · {READOUT_TITLES[readout]}",
        f"Share of the nodes of each class, log scale; value: share of the mass on the concepts; chance {chance:.3f}",
        barmode="group", bargap=0.12, xaxis={"title": "value", "range": [0, 1], "showgrid": False},
        yaxis={"title": "share of the class", "type": "log", "range": [-3.3, 0.05], "tickvals": [1e-3, 1e-2, 0.1, 1]},
    )  # fmt: skip
    told = []
    for name in NODE_CLASSES:
        values = where(rows, "class", name)["value"].to_numpy()
        if len(values) == 0:
            continue
        counts = np.histogram(values, bins)[0]
        made.add_bar(
            x=(bins[:-1] + bins[1:]) / 2, y=counts / len(values), customdata=counts,
            marker={"color": CLASS_COLOURS[name]},
            name=f"{CLASS_TITLES[name]} (n = {len(values)}, mean {values.mean():.3f})",
            hovertemplate="value %{x:.3f} ± .025: %{y:.3f} of the class, %{customdata} nodes<extra></extra>",
        )  # fmt: skip
        told.append(f"{name} {values.mean():.3f}")
    made.add_vline(x=chance, line=DASHED)
    return fit_legend(
        made, f"Histogram of values by node class. Means: {', '.join(sorted(told))}; chance {chance:.3f}."
    )


def path_ranks(statistics: pl.DataFrame, readout: str = "lm_head") -> go.Figure:
    """Draw how often the best on-path node of the frontier has rank 1, 2, 3, ... at each thought, and its chance rank.

    Args:
        statistics: `statistics_frame` of many problems.
        readout: One of `READOUTS`.
    """
    rows = where(statistics, "readout", readout).drop_nulls("path_rank")
    require_rows(rows)
    thoughts = sorted(rows["thought"].unique().to_list())
    parts = {k: rows.filter(pl.col("thought") == k) for k in thoughts}
    groups = {k: np.searchsorted(_RANK_ENDS, part["path_rank"].to_numpy()) for k, part in parts.items()}
    ticks = [
        f"{plural(k, 'thought')}<br>n = {len(part)}<br>chance rank {part['path_rank_chance'].mean():.1f}"
        for k, part in parts.items()
    ]
    first = ", ".join(f"{np.mean(g == 0):.2f} after {k}" for k, g in groups.items())
    made = figure(
        f"Rank of the best on-path node at the hop read · {READOUT_TITLES[readout]}",
        "Among all concepts of the problem; chance rank: its mean in a random order",
        f"Share of problems by rank of the best on-path node. Rank 1: {first}.",
        below=20, barmode="stack", bargap=0.3,
        xaxis={"tickvals": thoughts, "ticktext": ticks, "showgrid": False},
        yaxis={"title": "share of problems", "range": [0, 1]},
    )  # fmt: skip
    for index, (rank, colour) in enumerate(zip(RANKS, _RANK_COLOURS, strict=True)):
        made.add_bar(
            x=thoughts, y=[float(np.mean(g == index)) for g in groups.values()], marker={"color": colour},
            name=f"rank {rank}" if index < len(_RANK_ENDS) else rank,
            hovertemplate=f"rank {rank}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    return fit_legend(made)


def parallelism(table: pl.DataFrame, readout: str, *, normalised: bool = False) -> go.Figure:
    """Draw for each number of thoughts three sorted curves (Coconut v3, figure 6): the top 1, 2, 3 candidates' value.

    Each curve is sorted by itself. The area between the lowest and the highest is the value that candidates other than
    the best one share; its mean with its interval stands above each panel. Controls are dotted, three curves each.

    Args:
        table: `parallelism_frame`.
        readout: One of `READOUTS`.
        normalised: Whether to draw values normalised over the problem's concepts, not raw ones.

    Returns:
        A figure whose points of the model have `customdata[0]` = problem id.
    """
    rows = where(table, "readout", readout)
    require_rows(rows)
    kind, looks = "_normalised" if normalised else "", run_looks(rows[RUN])
    own = where(rows, RUN, next(iter(looks)))
    gap = pl.col(f"top3{kind}") - pl.col(f"top1{kind}")
    gaps = {r["thought"]: r for r in summarise(own, gap, "thought").sort("thought").iter_rows(named=True)}
    heads = [
        f"{after(k)}<br>top 3 less top 1: {r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for k, r in gaps.items()
    ]
    made = grid(
        f"Value of the top 1, 2, 3 candidates · {READOUT_TITLES[readout]}",
        f"{'Normalised over the concepts' if normalised else 'Raw'}; every curve sorted over the problems by itself; "
        "dotted: controls; dashed: chance of 1, 2, 3, uniform over the problem's concepts",
        heads, 4, plot=190, below=15,
    )  # fmt: skip
    at = np.linspace(0, 100, _POINTS)
    for index, k in enumerate(gaps):
        spot = place(index, 4, len(gaps))
        # The model last: of points in one place, the last one drawn is the one that a click meets.
        for (run, look), (n, colour) in ((a, b) for a in reversed(looks.items()) for b in TOP_COLOURS.items()):
            column = f"top{n}{kind}"
            part = where(rows, RUN, run).filter(pl.col("thought") == k).drop_nulls(column).sort(column, "problem")
            if part.is_empty():
                continue
            percent = (np.arange(len(part)) + 0.5) / len(part) * 100
            if look is next(iter(looks.values())):
                made.add_scatter(
                    x=percent, y=part[column], mode="lines+markers", marker={"size": 3}, name=f"top {n}",
                    line={"color": colour, "width": 2}, legendgroup=f"top {n}", showlegend=index == 0,
                    customdata=part.select("problem", "frontier_size", "candidate_mass").rows(),
                    hovertemplate=f"top {n}: %{{y:.3f}} at %{{x:.0f}} %, n = {len(part)}<br>problem "
                    "%{customdata[0]}, %{customdata[1]} candidates of raw mass %{customdata[2]:.3f}<extra></extra>",
                    **spot,
                )  # fmt: skip
                made.add_scatter(
                    x=[0, 100], y=[part[f"top{n}_chance"].mean()] * 2, mode="lines", name=f"chance, top {n}",
                    line={"color": colour, "width": 1.2, "dash": "dash"}, legendgroup="chance", showlegend=index == 0,
                    hovertemplate=f"chance, top {n}: %{{y:.3f}}<extra></extra>", **spot,
                )  # fmt: skip
            else:
                made.add_scatter(
                    x=at, y=np.interp(at, percent, part[column]), mode="lines", name=look.title, legendgroup=run,
                    line={"color": look.colour, "width": 1.2, "dash": look.dash}, showlegend=index == 0 and n == 1,
                    legendrank=1000 + list(looks).index(run),
                    hovertemplate=f"{look.title}, top {n}: %{{y:.3f}}, n = {len(part)}<extra></extra>", **spot,
                )  # fmt: skip
    made.update_xaxes(range=[0, 100], tickvals=[0, 50, 100], title="percentile<br>of problems")
    made.update_yaxes(range=[-0.02, 1.04])
    made.update_yaxes(title=f"{'normalised' if normalised else 'raw'} value (probability)", col=1)
    told = "; ".join(f"{row['value']:.2f} {after(k)}" for k, row in gaps.items())
    alt = f"Cumulative value of the best candidates over problems. Top 3 less top 1, mean of the model: {told}."
    return fit_legend(made, alt)


def after(k: int) -> str:
    """Return "after 2 thoughts"."""
    return f"after {plural(k, 'thought')}"


# Height: intervals resample graphs and not nodes, since the nodes of one problem are not independent


def value_by_height(table: pl.DataFrame, readout: str, height: str) -> go.Figure:
    """Draw the mean raw value of candidates by height: those that reach the target, and those that do not.

    Args:
        table: `height_frame`.
        readout: One of `READOUTS`.
        height: One of `HEIGHTS`.
    """
    rows = where(table, "readout", readout)
    require_rows(rows)
    found = summarise(rows, "raw", [RUN, "thought", "reaches_target", height], chance="chance")
    # Chance is that of all candidates after so many thoughts, whatever their height and run.
    even = rows.group_by("thought").agg(pl.col("chance").mean())
    kinds = {True: ("reaches the target", "circle", 1.0), False: ("does not", "x-thin-open", 0.6)}
    looks = {
        f"{run} {reaches}": Look(f"{look.title}, {words}", look.colour, look.dash, symbol, opacity)
        for run, look in run_looks(rows[RUN]).items()
        for reaches, (words, symbol, opacity) in kinds.items()
    }
    found = found.drop("chance").join(even, on="thought", maintain_order="left").with_columns(
        line=pl.format("{} {}", RUN, pl.when("reaches_target").then(pl.lit("True")).otherwise(pl.lit("False")))
    )  # fmt: skip
    return _over_heights(
        found, readout, height, "Value by height of candidates", "mean raw value (probability)",
        "Nodes at the hop read; points: those that reach the target, crosses: those that do not;<br>"
        "95 % intervals over graphs; dotted: controls; dashed: chance, uniform over the problem's concepts",
        by="line", looks=looks,
    ).update_yaxes(rangemode="tozero")  # fmt: skip


def separation_by_height(table: pl.DataFrame, readout: str, height: str) -> go.Figure:
    """Draw by height how well the raw value tells candidates that reach the target from those that do not.

    Area under the ROC curve over all candidates of that height; heights with fewer than ten of either kind are left
    out.

    Args:
        table: `height_frame`.
        readout: One of `READOUTS`.
        height: One of `HEIGHTS`.
    """
    rows = where(table, "readout", readout)
    require_rows(rows)
    keys, above = [RUN, "thought", height], pl.col("reaches_target").sum()
    enough = rows.filter(pl.min_horizontal(above, pl.len() - above).over(keys) >= FEWEST)
    found = summarise(enough, ["raw", "reaches_target"], keys, chance=0.5, statistic=auroc)
    return _over_heights(
        found, readout, height, "Separation by height of candidates", "area under the ROC curve",
        "How often a candidate that reaches the target has a larger value than one that does not; "
        "<br>95 % intervals over graphs; dotted: controls; dashed: chance, 0.5",
        thoughts=sorted(rows["thought"].unique().to_list()), limits=(0.0, 1.04),
        empty=f"fewer than {FEWEST}<br>of either kind",
    )  # fmt: skip


def separation_by_thought(table: pl.DataFrame) -> go.Figure:
    """Draw how well values tell candidates that reach the target from others: those that no question names.

    Where another target is asked for ("other_target" among the controls) and the separation stays, the values do not
    judge a candidate by the target: they are those of a breadth-first expansion and not of a value function.

    Args:
        table: `height_frame`.
    """
    rows = table.filter(~pl.col("named"))
    require_rows(rows)
    return lines(
        summarise(rows, ["raw", "reaches_target"], [RUN, "readout", "thought"], chance=0.5, statistic=auroc),
        "Separation of candidates that no question names",
        "How often a candidate that reaches the target has a larger value than one that does not; targets left out. "
        "<br>If it stays where another target is asked for, it is no value function. Dotted: controls; dashed: chance",
        "area under the ROC curve", axis="thoughts", limits=(0.0, 1.04), empty="one kind alone",
        panel="readout", panels={name: READOUT_TITLES[name] for name in READOUTS},
    )  # fmt: skip


def correlations(table: pl.DataFrame, *, apart: bool = True, seed: int = 0) -> pl.DataFrame:
    """Return Spearman's correlation of height and raw value over candidates, with intervals over graphs.

    Args:
        table: `height_frame`.
        apart: Whether to correlate the candidates that reach the target, and those that do not, by themselves too.
        seed: Seed of the bootstrap over graphs.

    Returns:
        Columns run, readout, thought, height (one of `HEIGHTS`), reaches_target (correlation over the candidates that
        do, that do not, null for all), correlation, low, high, n (nodes), problems.
    """
    rows = []
    for key, part in table.group_by(RUN, "readout", "thought", maintain_order=True):
        for reaches in (None, True, False) if apart else (None,):
            one = part if reaches is None else part.filter(pl.col("reaches_target") == reaches)
            for height in HEIGHTS:
                found = resample(one[height], one["raw"], statistic=spearman, clusters=graphs_of(one), seed=seed)
                numbers = (found.value, found.low, found.high, len(one), one["problem"].n_unique())
                rows.append((*key, height, reaches, *numbers))
    columns = (RUN, "readout", "thought", "height", "reaches_target", "correlation", "low", "high", "n", "problems")
    types = (pl.String, pl.String, pl.Int16, pl.String, pl.Boolean, *[pl.Float64] * 3, pl.Int64, pl.Int64)
    made = pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row")
    return made.with_columns(pl.selectors.float().fill_nan(None))


def correlation_by_thought(table: pl.DataFrame) -> go.Figure:
    """Draw Spearman's correlation of height and raw value by number of thoughts: a panel for each readout and height.

    Numbers of thoughts with fewer than ten candidates in all are left out.

    Args:
        table: `height_frame`.
    """
    require_rows(table)
    found = correlations(table, apart=False).drop_nulls("correlation").filter(pl.col("n") >= FEWEST)
    panels = {f"{r} {h}": f"{READOUT_TITLES[r]}, {HEIGHTS[h]}" for r in READOUTS for h in HEIGHTS}
    return lines(
        found.with_columns(panel=pl.format("{} {}", "readout", "height"), value="correlation", chance=0.0),
        "Rank correlation of height and value",
        "Spearman, over candidates (nodes at the hop read, ten at least), raw value; 95 % intervals over graphs; "
        "dotted: controls; dashed: chance, 0",
        "Spearman correlation", axis="thoughts", panel="panel", panels=panels, wide=2, limits=(-1.04, 1.04),
        empty=f"fewer than {FEWEST} candidates", plot=190,
    )  # fmt: skip


def _over_heights(
    found: pl.DataFrame, readout: str, height: str, title: str, unit: str, subtitle: str, *,
    by: str = RUN, looks: dict[str, Look] | None = None, thoughts: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None, empty: str = "",
) -> go.Figure:  # fmt: skip
    """Return a panel per number of thoughts with a line or two for each run, and chance."""
    kept = sorted(found["thought"].unique().to_list()) if thoughts is None else thoughts
    return lines(
        found, f"{title} · {READOUT_TITLES[readout]} · {HEIGHTS[height]}", subtitle, unit, x=height,
        axis="height (edges)", by=by, looks=looks, panel="thought", panels={k: after(k) for k in kept}, wide=4,
        limits=limits, empty=empty, plot=190,
    )  # fmt: skip
