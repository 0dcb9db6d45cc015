"""The problem's graph with a readout's values drawn on it."""

import plotly.graph_objects as go

from workbench.scores import NodeScores


def problem_graph(
    scores: NodeScores, depth: int, *, selected: int | None = None, compare: NodeScores | None = None
) -> go.Figure:
    """Draw the graph: row k holds the nodes at hop k, colour and size are the values after `depth` thoughts.

    Args:
        scores: One readout of one problem.
        depth: Number of thoughts, one of `scores.depths`.
        selected: Node to mark.
        compare: Scores of the same problem by another run, checkpoint or readout: the picture is then the difference
            of values, `scores` less `compare`.

    Returns:
        A figure whose node markers have `customdata[0]` = node number.

    Raises:
        WorkbenchError: There is no such depth, or `compare` is about another problem.
    """
    raise NotImplementedError
