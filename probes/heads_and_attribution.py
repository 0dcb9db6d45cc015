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
# Three questions that only together make a claim: where does each head look, what does it write, and what is lost
# when it is not allowed to look?

# %%
import os

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"), 60)
model, problems

# %% [markdown]
# A **recording** holds what one run over a problem set leaves: thoughts, values, residual streams, attention. Readings
# take it as it is, so that the model runs once for all of them.

# %%
from workbench.figures import attention as figures
from workbench.measure.recording import record
from workbench.readings import READINGS
from workbench.readings.attribution import leading_head

own = record(model.checkpoint, problems)

# %% [markdown]
# ## Before any thought: the copy map
#
# A look-up needs each edge to know both of its ends. In layer 1 the tokens of an edge gather them.

# %%
figures.copy_bars(READINGS["copy_map"].frame([own]), 1)

# %% [markdown]
# ## Where a thought looks

# %%
figures.attention_by_head(READINGS["attention_by_class"].frame([own]))

# %% [markdown]
# ## What each part writes
#
# Direct logit attribution with TransformerLens, on the raw weights; the parts sum to the whole. For a thought: the
# logits of the next frontier against those of the other concepts. The dashed line is the same for random sets as
# large.

# %%
parts = READINGS["attribution"].frame([own])
figures.thought_parts(parts)

# %%
figures.answer_parts(parts)

# %%
print("the head that writes most towards the frontier: layer {}, head {}".format(*leading_head(own)))

# %% [markdown]
# ## The route of one problem

# %%
figures.route_figure(READINGS["edge_path"].frame([own]), problems[0].id)

# %% [markdown]
# ## What is lost without it
#
# A thought is made blind to the edge that leads on to the target; beside it, to as many other edges of the same hop.

# %%
figures.knockout_by_thought(READINGS["edge_knockout"].frame([own]))
