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
# # Is a thought a superposition?
#
# Theory (arXiv 2505.12514) constructs thought *k* as (1/√|V|) Σ u_v, u_v the embeddings of all nodes V reached within
# *k* steps. A trained model may hold the frontier alone, the nodes exactly *k* steps away. We ask in three
# steps: which set does a thought point to, how much of it is a sum at all, and does the model go on as if nothing had
# happened when the sum takes the thought's place?

# %%
import os

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"), 200)
model, problems

# %% [markdown]
# ## Which set does it point to?

# %%
import polars as pl

from workbench.figures import superposition as figures
from workbench.measure.recording import record, record_controls
from workbench.readings import READINGS
from workbench.readings.node_vectors import kept_when_replaced

own = record(model.checkpoint, problems)
recordings = [own, *record_controls(own, ["shuffled"])]
sets = READINGS["superposition"].frame(recordings)
figures.set_cosines(sets)

# %%
figures.closest(sets)

# %% [markdown]
# The inner products with node embeddings by class, in the layout of the paper's table 5. Where the model ties its
# embeddings these are the LM head's logits, nothing more.

# %%
products = READINGS["inner_products"].frame(recordings)
figures.by_class(products, "input").filter(pl.col("run") == "model").head(20)

# %% [markdown]
# ## How much of a thought is a sum?
#
# The embeddings explain less than half of thought 1. Then the vectors are learned, one for each name, from problems
# on other graphs. The control: the same sums over the frontier of another problem.

# %%
codes = READINGS["codes"].frame(recordings)
figures.explained_by_thought(codes)

# %%
figures.shares(codes).filter(pl.col("run") == "model").pivot("thought", index="sum", values="value")

# %% [markdown]
# ## Does the model take the sum for its thought?
#
# One thought is replaced by what the graph alone predicts, brought to the thought's length. Targets that would stand
# in the sum are left out: a sum that names the answer proves nothing.

# %%
kept_when_replaced(own, thoughts=(1, 2, 3))
