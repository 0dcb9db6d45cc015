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
# In the theory of arXiv 2505.12514, thought *k* is (1/√|V|) Σ u_v: the sum of the embeddings u_v of all nodes V within
# *k* steps of the root. A trained model may hold only the frontier, the nodes exactly *k* steps away. We ask three
# questions: which set does a thought point to, how much of it is a sum at all, and does the model still answer right
# when the sum takes the thought's place?

# %%
import os

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"), 200)
model, problems

# %% [markdown]
# ## Which set does it point to?
#
# First the cosine of a thought with the sum over each set, then how often each set has the highest cosine. The control
# is the thoughts of other problems. It should be high only for the two sets of another problem.

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
figures.closest_set(sets)

# %% [markdown]
# The inner products with node embeddings by class, as in the paper's table 5. In a model whose input and output
# embeddings are the same, these are the LM head's logits.

# %%
products = READINGS["inner_products"].frame(recordings)
figures.inner_products_by_class(products)

# %% [markdown]
# ## How much of a thought is a sum?
#
# A sum of embeddings explains less than half of the variance of thought 1. **Codes** are vectors that are learned
# instead, one for each name, from problems on other graphs. Controls: the same sum over the frontier of another graph,
# and the thoughts of other problems. Below 0 a sum is worse than the mean thought.

# %%
codes = READINGS["codes"].frame(recordings)
figures.explained_by_thought(codes)

# %%
pl.Config.set_tbl_rows(20).set_float_precision(3).set_fmt_str_lengths(60)
figures.shares(codes).filter(pl.col("run") == "model").pivot("thought", index="sum", values="value")

# %% [markdown]
# ## Does the model take the sum for its thought?
#
# One thought is replaced by the sum, scaled to the thought's length. The table has the share of right answers that is
# kept, with its 95 % interval, for thoughts 1, 2 and 3. A sum that names the answer proves nothing, so a problem counts
# only if its target is more hops away than the thought has. The controls: as many other concepts, the sum of another
# graph, the mean thought, noise. Guessing would keep one half.

# %%
kept = kept_when_replaced(own, thoughts=(1, 2, 3))
print("problems:", dict(kept.select("thought", "n").unique(maintain_order=True).iter_rows()))
share = [f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in kept.select("kept", "low", "high").iter_rows()]
kept.with_columns(share=pl.Series(share)).pivot("thought", index="in_its_place", values="share")
