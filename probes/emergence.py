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
# The run in `fixtures/runs/emergence` started from a model that can name a child of a node. It was then trained on
# **answers alone**: no chain, no label on any thought. Only thought 1 had had a label before, in the model it started
# from. So hop 1 was trained, and hops 2 to 4 were not. The checkpoints were kept, and each gets the same problems here.

# %%
import os

import workbench as wb

# The bundled run, or another that kept its checkpoints.
run = os.environ.get("WORKBENCH_STAGED_RUN", str(wb.list_runs()["emergence"]))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "small"), 100)
problems

# %% [markdown]
# ## The checkpoints
#
# Training step, and stage of the training: the number of thoughts, and the most edges that a graph had.

# %%
from workbench.train.state import stage_checkpoints

for checkpoint in stage_checkpoints(run):
    print(checkpoint.step, checkpoint.stage)

# %% [markdown]
# ## Mass on the frontier, the target left out
#
# The question names the target, so mass on it may be copied and not found. The control (dotted) is the same model, but
# a pause token is fed in place of every thought. Thought 1 is the same in both, because nothing was fed before it.

# %%
from workbench.figures import training as figures
from workbench.readings.emergence import appearance, emergence, scrub

table = emergence(run, problems, controls=["pause"])
figures.by_step(table)

# %% [markdown]
# Two training steps for each thought: from `above_chance_from` on, the whole interval of the mass less chance lies
# above 0; at `halfway` the mean has made half of its rise. The interval of few problems is wide (`n`), so the first can
# come after the second.

# %%
import polars as pl

pl.Config.set_tbl_cols(-1).set_float_precision(3)
appearance(table).select(
    "thought", "n", "chance", "first", "last", "last_low", "last_high", "above_chance_from", "halfway"
)

# %% [markdown]
# From which class does the frontier take its mass? First the start of training, then the end. In a running notebook the
# slider goes through the steps in between.

# %%
figures.classes_by_step(table)

# %%
at_the_end = figures.classes_by_step(table.filter(pl.col("step") == pl.col("step").max()))
at_the_end.layout.updatemenus = []  # one step needs no slider
at_the_end.update_layout(title_text="Where the mass lies, at the last step")

# %% [markdown]
# Does the answer get better with it? Beside the right answers: those of a valid form.

# %%
figures.accuracy_by_step(table)

# %% [markdown]
# ## Any reading, at every checkpoint
#
# `scrub` takes any reading. Do thoughts spread over more dimensions while the frontier appears? The participation ratio
# counts the dimensions over which thought *k* varies from problem to problem.

# %%
from workbench.figures.lines import lines
from workbench.readings import READINGS

geometry = READINGS["geometry"]
few = problems[:50]
over_steps = scrub(run, few, geometry.frame, f"geometry-{geometry.schema}", controls=[])
name, keys = "participation_ratio", ["run", "step", "thought"]
columns = {"value": name, "low": f"{name}_low", "high": f"{name}_high", "chance": f"{name}_chance"}
rows = over_steps.unique(keys, maintain_order=True).select(*keys, n=pl.lit(len(few)), **columns)
lines(
    rows,
    "Participation ratio of thought k by training step",
    "95 % jackknife interval; dashed: random directions as long",
    "dimensions",
    x="step",
    axis="training step",
    panel="thought",
    panels={k: f"thought {k}" for k in (1, 2, 3, 4)},
    wide=4,
)
