"""Which step's value stands in which thought: a matrix of thought and step for each run."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.figures.palette import VALUE_SCALE, figure, require_rows
from workbench.measure.run_labels import RUN, title
from workbench.measure.statistics import bootstrap_difference, bootstrap_mean

OTHER = "in thoughts of other items"


def step_values(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the mean probability of each step's value in each thought; the last panel is the chance level.

    Args:
        table: `readings.arithmetic.arithmetic_frame`.
        seed: Of the bootstrap.
    """
    require_rows(table)
    runs = table[RUN].unique(maintain_order=True).to_list()
    names = [*(title(run) for run in runs), OTHER]
    made = figure(
        "Values of the steps in the thoughts",
        "Mean probability of step j's value under the LM head of thought k; last panel: the same in the thoughts about "
        "other items (chance)",
        "",
        height=380, margin={"l": 60, "r": 20, "t": 130, "b": 60}, title_pad_b=56,
        coloraxis={"colorscale": VALUE_SCALE, "cmin": 0, "colorbar": {"title": {"text": "probability"}}},
    )  # fmt: skip
    make_subplots(1, len(names), subplot_titles=names, figure=made, shared_yaxes=True, horizontal_spacing=0.04)
    told = []
    for place, name in enumerate(names, 1):
        run, column = (runs[0], "other") if place > len(runs) else (runs[place - 1], "raw")
        cells = []
        for (step, thought), rows in table.filter(pl.col(RUN) == run).group_by("step", "thought", maintain_order=True):
            found = bootstrap_mean(rows[column].to_numpy(), seed=seed)
            more = bootstrap_difference(rows["raw"].to_numpy(), rows["other"].to_numpy(), seed=seed)
            cells.append((thought, step, found.value, found.low, found.high, found.n, str(more)))
        made.add_heatmap(
            x=[cell[0] for cell in cells], y=[cell[1] for cell in cells], z=[cell[2] for cell in cells],
            text=[f"{cell[2]:.2f}".removeprefix("0") for cell in cells], texttemplate="%{text}",
            coloraxis="coloraxis", customdata=[cell[3:] for cell in cells],
            hovertemplate=f"{name}: step %{{y}} in thought %{{x}} %{{z:.3f}} [%{{customdata[0]:.3f}}, "
            "%{customdata[1]:.3f}], n = %{customdata[2]}<br>less other items %{customdata[3]}<extra></extra>",
            row=1, col=place,
        )  # fmt: skip
        best = max(cells, key=lambda cell: cell[2])
        told.append(f"{name} at most {best[2]:.2f} (step {best[1]}, thought {best[0]})")
    made.update_annotations(font={"size": 12})
    made.update_xaxes(title="thought", dtick=1, showgrid=False)
    made.update_yaxes(dtick=1, showgrid=False, autorange="reversed")
    made.update_yaxes(title="step", col=1)
    return made.update_layout(meta={"alt": f"Values of the steps in the thoughts. {'; '.join(told)}."})
