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
from pathlib import Path

from workbench.figures.attention import (
    answer_parts,
    attention_by_head,
    copy_bars,
    knockout_by_thought,
    route_figure,
    thought_parts,
)
from workbench.measure.recording import record
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems
from workbench.readings import READINGS
from workbench.readings.attribution import leading_head

HERE = Path.cwd() if (Path.cwd() / "fixtures").exists() else Path.cwd().parent
RUN = os.environ.get("WORKBENCH_RUN", str(HERE / "fixtures/runs/reference"))
PROBLEMS = Path(os.environ.get("WORKBENCH_PROBLEM_FILE", HERE / "fixtures/problems/released.json"))

checkpoint = load_checkpoint(RUN)
problems = load_problems(PROBLEMS)[:60]
own = record(checkpoint, problems)

# %% [markdown]
# ## Before any thought: the copy map
#
# A look-up needs each edge to know both of its ends. In layer 1 the tokens of an edge gather them.

# %%
copy_bars(READINGS["copy_map"].frame([own]), 1)

# %% [markdown]
# ## Where a thought looks

# %%
attention_by_head(READINGS["attention_by_class"].frame([own]))

# %% [markdown]
# ## What each part writes
#
# Direct logit attribution with TransformerLens, on the raw weights; the parts sum to the whole. For a thought: the
# logits of the next frontier against those of the other concepts. The dashed line is the same for random sets as
# large.

# %%
parts = READINGS["attribution"].frame([own])
thought_parts(parts)

# %%
answer_parts(parts)

# %%
print("the head that lifts the frontier most: layer {}, head {}".format(*leading_head(own)))

# %% [markdown]
# ## The route of one problem

# %%
route_figure(READINGS["edge_path"].frame([own]), problems[0].id)

# %% [markdown]
# ## What is lost without it
#
# A thought is made blind to the edge that leads on to the target; beside it, to as many other edges of the same hop.

# %%
knockout_by_thought(READINGS["edge_knockout"].frame([own]))
