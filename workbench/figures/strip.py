"""Where the mass lies, thought by thought."""

import plotly.graph_objects as go

from workbench.scores import NodeScores


def thought_strip(scores: NodeScores, *, depth: int | None = None) -> go.Figure:
    """Draw raw mass by node class as one stacked bar per number of thoughts, chance beside it.

    Args:
        scores: One readout of one problem.
        depth: Number of thoughts to mark as the current one.
    """
    raise NotImplementedError
