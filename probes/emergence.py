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
from pathlib import Path

from workbench.figures.training import accuracy_by_step, by_step, classes_by_step
from workbench.problems.files import load_problems
from workbench.readings import READINGS
from workbench.readings.emergence import appearance, emergence, scrub
from workbench.train.state import stage_checkpoints

HERE = Path.cwd() if (Path.cwd() / "fixtures").exists() else Path.cwd().parent
RUN = os.environ.get("WORKBENCH_STAGED_RUN", str(HERE / "fixtures/runs/emergence"))
PROBLEMS = Path(os.environ.get("WORKBENCH_PROBLEM_FILE", HERE / "fixtures/problems/small.json"))

os.chdir(HERE)  # config.yaml names the run it started from as seen from there
problems = load_problems(PROBLEMS)[:100]
for checkpoint in stage_checkpoints(RUN):
    print(checkpoint.step, checkpoint.stage)

# %% [markdown]
# ## Mass on the frontier, the target left out
#
# The question names the target, so mass on it may be copied and not found. Dotted: the same weights fed a pause in
# place of every thought.

# %%
table = emergence(RUN, problems, controls=["pause"])
by_step(table)

# %%
appearance(table)

# %% [markdown]
# Drag the slider: from which class does the frontier take its mass?

# %%
classes_by_step(table)

# %%
accuracy_by_step(table)

# %% [markdown]
# ## Any reading, scrubbed
#
# `scrub` takes any reading. Do thoughts spread over more dimensions while the search appears?

# %%
geometry = READINGS["geometry"]
over_steps = scrub(RUN, problems[:50], geometry.frame, f"geometry-{geometry.schema}", controls=[])
print(over_steps.shape, over_steps["step"].unique(maintain_order=True).to_list())
over_steps.head(3)
