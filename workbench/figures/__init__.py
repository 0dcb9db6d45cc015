"""Pictures of scores: pure functions that return plotly figures and never show them or run a model.

One problem: `problem_graph`, `thought_strip`, `node_curve`, `token_table`. Many: the others.
Every figure has a transparent background and grey ink that reads on light and dark pages.
"""

from workbench.figures.aggregate import accuracy_by_hop, accuracy_by_thoughts, behaviour_shares, mass_by_thought
from workbench.figures.comparison import accuracy_after_thoughts, accuracy_in_training
from workbench.figures.dag import problem_graph
from workbench.figures.distributions import path_ranks, value_histogram
from workbench.figures.node_curve import node_curve
from workbench.figures.palette import with_ink
from workbench.figures.strip import thought_strip
from workbench.figures.tokens import token_frame, token_table

__all__ = [
    "accuracy_after_thoughts",
    "accuracy_by_hop",
    "accuracy_by_thoughts",
    "accuracy_in_training",
    "behaviour_shares",
    "mass_by_thought",
    "node_curve",
    "path_ranks",
    "problem_graph",
    "thought_strip",
    "token_frame",
    "token_table",
    "value_histogram",
    "with_ink",
]
