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
# # When does the frontier appear?
#
# The run in `fixtures/runs/emergence` began from a model that can name a child of a node, and was then trained on
# **answers alone**: no chain, no label on any thought. Its checkpoints were kept. We ask each of them the same
# problems.

# %%
import os

import workbench as wb

# The bundled run, or another that kept its checkpoints.
run = os.environ.get("WORKBENCH_STAGED_RUN", str(wb.list_runs()["emergence"]))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "small"), 100)
problems

# %% [markdown]
# ## The checkpoints

# %%
from workbench.train.state import stage_checkpoints

for checkpoint in stage_checkpoints(run):
    print(checkpoint.step, checkpoint.stage)

# %% [markdown]
# ## Mass on the frontier, the target left out
#
# The question names the target, so mass on it may be copied and not found. Dotted: the same weights fed a pause in
# place of every thought.

# %%
from workbench.figures import training as figures
from workbench.readings.emergence import appearance, emergence, scrub

table = emergence(run, problems, controls=["pause"])
figures.by_step(table)

# %%
appearance(table)

# %% [markdown]
# Drag the slider: from which class does the frontier take its mass?

# %%
figures.classes_by_step(table)

# %%
figures.accuracy_by_step(table)

# %% [markdown]
# ## Any reading, scrubbed
#
# `scrub` takes any reading. Do thoughts spread over more dimensions while the search appears?

# %%
from workbench.readings import READINGS

geometry = READINGS["geometry"]
over_steps = scrub(run, problems[:50], geometry.frame, f"geometry-{geometry.schema}", controls=[])
print(over_steps.shape, over_steps["step"].unique(maintain_order=True).to_list())
over_steps.head(3)
