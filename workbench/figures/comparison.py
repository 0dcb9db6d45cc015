"""Several methods in one figure: accuracy while they train, and after every number of thoughts."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import GREY, LEGEND, SERIES, figure, require_rows
from workbench.train.methods import METHODS

_DASHES = ("solid", "dash", "dot")
_PLACES = {method.title: place for place, method in enumerate(METHODS.values())}


def accuracy_in_training(metrics: pl.DataFrame, coin: float | None = 0.5) -> go.Figure:
    """Draw exact answers on each run's validation problems over the steps of training, a line per run.

    Args:
        metrics: A row per record of `metrics.jsonl`; columns method (title), seed, step, accuracy, stage (what the
            hover says of it).
        coin: Chance level drawn in, None for none.
    """
    require_rows(metrics)
    made = _figure(
        "Accuracy while training",
        "Exact answers on the validation problems of each run; thin lines: further seeds",
        "steps",
    )
    told = []
    for index, method in enumerate(metrics["method"].unique(maintain_order=True).to_list()):
        rows = metrics.filter(pl.col("method") == method)
        for place, seed in enumerate(sorted(rows["seed"].unique().to_list())):
            run = rows.filter(pl.col("seed") == seed).sort("step")
            made.add_scatter(
                x=run["step"], y=run["accuracy"], mode="lines", name=method, legendgroup=method, showlegend=place == 0,
                line=_line(method, index) | {"width": 1.2 if place else 2.5}, opacity=0.7 if place else 1.0,
                customdata=run["stage"].to_list(),
                hovertemplate=f"{method}, seed {seed}, step %{{x}}: %{{y:.3f}}<br>%{{customdata}}<extra></extra>",
            )  # fmt: skip
            if place == 0:
                told.append(f"{method} ends at {run['accuracy'][-1]:.2f}")
    last = metrics["step"].max()
    _chance(made, 0, last, coin)
    return made.update_layout(meta={"alt": f"Accuracy while training. {'; '.join(told)}."})


def accuracy_after_thoughts(results: pl.DataFrame, coin: float | None = 0.5) -> go.Figure:
    """Draw accuracy after k thoughts, a line per method, from none to twice the trained number.

    Args:
        results: Columns method (title), thoughts, accuracy, low, high, trained (bool: the number it was trained with).
        coin: Chance level drawn in, None for none.
    """
    require_rows(results)
    made = _figure(
        "Accuracy after k thoughts",
        "From none to twice the trained number (ringed), with intervals; pause tokens count as thoughts",
        "thoughts",
    )
    told = []
    for index, method in enumerate(results["method"].unique(maintain_order=True).to_list()):
        rows = results.filter(pl.col("method") == method).sort("thoughts")
        colour = _line(method, index)["color"]
        made.add_scatter(
            x=rows["thoughts"], y=rows["accuracy"], mode="lines+markers", name=method,
            line=_line(method, index) | {"width": 2.2},
            marker={
                "size": [13 if trained else 6 for trained in rows["trained"]],
                "symbol": ["circle-open-dot" if trained else "circle" for trained in rows["trained"]],
                "color": colour,
            },
            error_y={
                "type": "data", "symmetric": False, "array": rows["high"] - rows["accuracy"],
                "arrayminus": rows["accuracy"] - rows["low"], "thickness": 1, "width": 2, "color": colour,
            },
            hovertemplate=f"{method}, %{{x}} thoughts: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
        said = ", ".join(f"{a:.2f} after {k}" for k, a in rows.select("thoughts", "accuracy").iter_rows())
        told.append(f"{method}: {said}")
    _chance(made, 0, results["thoughts"].max(), coin)
    return made.update_layout(meta={"alt": f"Accuracy after k thoughts. {'; '.join(told)}."})


def _figure(title: str, subtitle: str, unit: str) -> go.Figure:
    return figure(
        title, subtitle, "",
        height=460, margin={"l": 60, "r": 16, "t": 92, "b": 150}, legend=LEGEND,
        xaxis={"title": unit, "showgrid": False}, yaxis={"title": "accuracy", "range": [-0.02, 1.04]},
    )  # fmt: skip


def _line(method: str, index: int) -> dict[str, object]:
    """Return colour and dash of a method, the same in every figure: six colours, then the same ones dashed.

    Args:
        method: Its title.
        index: Its place in this figure, for one that is not among `METHODS`.
    """
    index = _PLACES.get(method, index)
    return {"color": SERIES[index % len(SERIES)], "dash": _DASHES[index // len(SERIES) % len(_DASHES)]}


def _chance(made: go.Figure, start: object, end: object, coin: float | None) -> None:
    if coin is not None:
        made.add_scatter(
            x=[start, end], y=[coin, coin], mode="lines", name="a coin", hoverinfo="skip",
            line={"color": GREY, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
