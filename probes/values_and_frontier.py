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
# value, and whether candidates near a leaf are told apart better. Here each has its chance level and a control, which
# the paper's do not have.

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
# After *k* thoughts we force the first words of the next step. A node's value is the product of the probabilities of
# its name's tokens. In a running notebook, hover over a node to see them.

# %%
from workbench.figures.thoughts import search_tree
from workbench.measure.search_tree import search_tree_frame, spell

problem = problems[0]
tree = search_tree_frame(problem, spell(model.checkpoint, problem))
search_tree(tree).update_layout(width=1000)

# %% [markdown]
# ## Is there anything to read?
#
# **Candidate mass** is the raw probability on the frontier. Where it is near zero, a normalised value is noise.
# On `reference` the LM head of thought *k* names hop *k*, and so do the words forced after *k* thoughts (after no
# thought they name hop 1). The words lose their mass after fewer thoughts.

# %%
from workbench.figures import values as figures
from workbench.measure.recording import record, record_controls
from workbench.readings import READINGS

own = record(model.checkpoint, problems, continuations=True)
recordings = [own, *record_controls(own, ["shuffled"])]
breadth = READINGS["breadth"].frame(recordings)
figures.statistic_by_run(breadth, "candidate_mass")

# %% [markdown]
# Is the likeliest candidate one that reaches the target? Chance is a random candidate.

# %%
figures.statistic_by_run(breadth, "top1_correct")

# %% [markdown]
# ## Parallelism
#
# Three curves: the value of the best candidate, of the two best together, and of the three best. Each is sorted over
# the problems. A gap between them means that several candidates share the value.

# %%
figures.parallelism(READINGS["parallelism"].frame(recordings), "lm_head")

# %% [markdown]
# ## Height
#
# The paper finds that candidates near a leaf (of low height) are told apart better. It has two definitions of height:
# the longest and the shortest way to a leaf. The first figure has the longest, the second has both. Its intervals
# resample graphs, because the nodes of one graph are not independent.

# %%
heights = READINGS["height"].frame(recordings)
figures.value_by_height(heights, "lm_head", "height_longest")

# %%
figures.correlation_by_thought(heights)

# %% [markdown]
# ## And what does it say?
#
# We let the model speak after *k* thoughts. The first figure sorts what it says into the paper's categories. The second
# is the share of right answers. Its chance level is high: on this set a rule that never reads which entity is asked
# about is right that often.

# %%
behaviour = READINGS["behaviour"].frame(recordings)
figures.behaviour_shares(behaviour)

# %%
READINGS["behaviour"].figures(behaviour)[0]
