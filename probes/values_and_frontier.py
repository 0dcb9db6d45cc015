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
# # Values and the frontier
#
# The figures of the Coconut paper's section on latent search: the tree with its values, how many candidates share the
# value, and whether candidates near a leaf are told apart better. Each stands beside its chance level and a control;
# the paper's have neither.

# %%
import os

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"), 100)
model, problems

# %% [markdown]
# ## The search tree of one problem
#
# After *k* thoughts the opening of the next step is forced, and a node's value is the product of its name's token
# probabilities. Hover over a node: prefix, tokens, product.

# %%
from workbench.figures.thoughts import search_tree
from workbench.measure.search_tree import search_tree_frame, spell

problem = problems[0]
tree = search_tree_frame(problem, spell(model.checkpoint, problem))
search_tree(tree)

# %% [markdown]
# ## Is there anything to read?
#
# **Candidate mass** first: the raw probability on the frontier. Where it is near zero a normalised value is noise.
# On `reference` the LM head of thought *k* names hop *k*, and the words forced after *k* thoughts name hop *k* as
# well (hop 1 after none). The words fade sooner.

# %%
from workbench.figures import values as figures
from workbench.measure.recording import record, record_controls
from workbench.readings import READINGS

own = record(model.checkpoint, problems, continuations=True)
recordings = [own, *record_controls(own, ["shuffled"])]
breadth = READINGS["breadth"].frame(recordings)
figures.statistic_by_run(breadth, "candidate_mass")

# %%
figures.statistic_by_run(breadth, "top1_correct")

# %% [markdown]
# ## Parallelism
#
# Three curves: the value of the best candidate, the two best, the three best, each sorted over the problems. A gap
# means that the value is shared.

# %%
figures.parallelism(READINGS["parallelism"].frame(recordings), "lm_head")

# %% [markdown]
# ## Height
#
# The paper finds low candidates told apart better. It has two definitions of height; both are here. The correlation's
# interval resamples problems, because the nodes of one problem are not independent.

# %%
heights = READINGS["height"].frame(recordings)
figures.value_by_height(heights, "lm_head", "height_longest")

# %%
figures.correlations(heights, apart=False).head(8)

# %% [markdown]
# ## And what does it say?

# %%
behaviour = READINGS["behaviour"].frame(recordings)
figures.behaviour_shares(behaviour)

# %%
READINGS["behaviour"].figures(behaviour)[0]
