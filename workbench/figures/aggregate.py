"""Figures over many problems, each with intervals and chance."""

import plotly.graph_objects as go
import polars as pl


def mass_by_thought(statistics: pl.DataFrame, name: str = "candidate_mass", *, seed: int = 0) -> go.Figure:
    """Draw a statistic's mean over problems per number of thoughts, a line per readout, chance dashed.

    Args:
        statistics: `statistics_frame` of many problems.
        name: One of its statistics.
        seed: Seed of the bootstrap.
    """
    raise NotImplementedError


def accuracy_by_hop(results: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw accuracy by hops from root to target.

    Args:
        results: One row per problem; columns steps (int), correct (bool), optionally a string column `run`, one set
            of bars for each.
        seed: Seed of the bootstrap.
    """
    raise NotImplementedError


def accuracy_by_thoughts(results: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw accuracy by number of thoughts.

    Args:
        results: One row per (problem, thought); columns thought (int), correct (bool), optionally valid (bool, share
            drawn beside) and run (string, one line for each).
        seed: Seed of the bootstrap.
    """
    raise NotImplementedError


def behaviour_shares(results: pl.DataFrame) -> go.Figure:
    """Draw the share of each behaviour category after k thoughts as stacked bars.

    Args:
        results: One row per (problem, thought); columns thought (int), behaviour (a value of `Behaviour`).
    """
    raise NotImplementedError


def value_histogram(scores: pl.DataFrame, thought: int, readout: str = "lm_head") -> go.Figure:
    """Draw the distribution of values by node class at one thought.

    Args:
        scores: `scores_frame` of many problems.
        thought: Number of thoughts.
        readout: One of `READOUTS`.
    """
    raise NotImplementedError


def path_ranks(statistics: pl.DataFrame, readout: str = "lm_head") -> go.Figure:
    """Draw how often the best on-path node has rank 1, 2, 3, 4-5, or worse at each thought, and chance.

    Args:
        statistics: `statistics_frame` of many problems.
        readout: One of `READOUTS`.
    """
    raise NotImplementedError
