"""Figures: pure functions from tables of scores to plotly figures; none is shown here, and none runs a model.

style          colours, template, alt text, room for titles and legends
lines          summaries as lines, bars and maps, in panels, with intervals, controls and chance
graph          the problem's graph with values on its nodes and attention on its edges
layout         where the nodes of a graph stand
thoughts       one problem over its thoughts: strip, node, tokens, search tree
values         answers and node values over many problems
superposition  which nodes a thought resembles
attention      where attention goes, what it writes, what is lost without it
layers         lenses, probes, geometry
interventions  conditions beside their controls
training       a run over its steps
suites         runs, methods and starts side by side

Every figure has a transparent background and grey ink that reads on light and dark pages.
"""

from workbench.figures.graph import problem_graph
from workbench.figures.style import with_ink
from workbench.figures.suites import (
    accuracy_after_thoughts,
    accuracy_by_cost,
    accuracy_in_training,
    emergence_of_runs,
    worth_of_parts,
)
from workbench.figures.thoughts import node_curve, thought_strip, token_frame, token_table
from workbench.figures.values import (
    accuracy_by_hop,
    accuracy_by_thoughts,
    behaviour_shares,
    mass_by_thought,
    path_ranks,
    value_histogram,
)

__all__ = [
    "accuracy_after_thoughts",
    "accuracy_by_cost",
    "accuracy_by_hop",
    "accuracy_by_thoughts",
    "accuracy_in_training",
    "behaviour_shares",
    "emergence_of_runs",
    "mass_by_thought",
    "node_curve",
    "path_ranks",
    "problem_graph",
    "thought_strip",
    "token_frame",
    "token_table",
    "value_histogram",
    "with_ink",
    "worth_of_parts",
]
