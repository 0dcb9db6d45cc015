# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which head does it?
#
# A claim about a head needs three answers: where it looks, what it writes, and what is lost when it may not look.

# %%
import os

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"), 60)
model, problems

# %% [markdown]
# A **recording** holds all of one run over a problem set: thoughts, values, residual streams, attention. The model runs
# once, and every reading below uses this recording.

# %%
from workbench.figures import attention as figures
from workbench.measure.recording import record
from workbench.readings import READINGS
from workbench.readings.attribution import leading_head

own = record(model.checkpoint, problems)

# %% [markdown]
# ## Before any thought: the copy map
#
# To find an edge by its source and read its target, a head needs one token that holds both. In the construction of
# arXiv 2505.12514, heads of the first layer copy both ends onto the edge's separator. In `reference` the separator
# attends to its own source and its own target more than chance (right). Layers are counted from 0.

# %%
figures.copy_bars(READINGS["copy_map"].frame([own]), 0)

# %% [markdown]
# ## Where a thought looks
#
# A bar is a head. The short grey bar is chance: the same attention, spread evenly over all edges.

# %%
figures.attention_by_head(READINGS["attention_by_class"].frame([own]))

# %% [markdown]
# ## What each part writes
#
# Direct logit attribution with TransformerLens: the logits are a sum, and every head and MLP adds a part to it. For a
# thought, a part is what it adds to the mean logit of the frontier, less that of the other concepts. Dashed is chance:
# a random set of as many concepts in place of the frontier. The slider of the first figure goes through the thoughts.

# %%
parts = READINGS["attribution"].frame([own])
figures.thought_parts(parts)

# %%
figures.answer_parts(parts)

# %%
print("the head that writes most towards the frontier: layer {}, head {}".format(*leading_head(own)))

# %% [markdown]
# ## The route of one problem
#
# A point is an edge. Its height is what the attention to this edge adds to the logit of the edge's own target. The line
# follows a shortest path to the target.

# %%
figures.route_figure(READINGS["edge_path"].frame([own]), problems[0].id)

# %% [markdown]
# ## What is lost without it
#
# A thought may not attend to the optimal edge, the one that leads on to the target. Beside it are two controls: as many
# other edges that leave the frontier, and as many edges elsewhere. Where few problems are left, the intervals are wide.

# %%
figures.knockout_by_thought(READINGS["edge_knockout"].frame([own]))
