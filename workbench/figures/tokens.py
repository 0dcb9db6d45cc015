"""What the raw LM head says at each thought."""

import plotly.graph_objects as go
import polars as pl

from workbench.trace import Trace


def token_frame(trace: Trace) -> pl.DataFrame:
    """Return the likeliest tokens of each thought: columns thought, rank, token, probability, class, hop.

    class and hop are those of the node that the token names, null if it names none.
    """
    raise NotImplementedError


def token_table(trace: Trace, depth: int | None = None, *, top: int = 8) -> go.Figure:
    """Draw the likeliest tokens, a column per thought.

    Args:
        trace: A run on one problem.
        depth: Number of thoughts to mark as the current one.
        top: Tokens per thought.
    """
    raise NotImplementedError
