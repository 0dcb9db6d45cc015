"""One node over the thoughts."""

import plotly.graph_objects as go

from workbench.scores import NodeScores


def node_curve(scores: NodeScores, node: int, *, depth: int | None = None) -> go.Figure:
    """Draw a node's value over the thoughts with its chance level, target and negative beside it.

    Args:
        scores: One readout of one problem.
        node: The node to draw.
        depth: Number of thoughts to mark as the current one.
    """
    raise NotImplementedError
