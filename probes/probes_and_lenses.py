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
# # Probes and lenses
#
# What is in a thought that its LM head does not show? A **lens** decodes every layer. A **probe** is fitted to find a
# property of each node. A probe can also memorise, so beside each we show a control task (Hewitt & Liang) and the LM
# head, which needs no fitting.

# %%
import os

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"), 100)
fitted_on = int(os.environ.get("WORKBENCH_FITTED_ON", "600"))  # generated problems, on other graphs
model, problems

# %% [markdown]
# ## The lens, layer by layer
#
# Column *k* is where thought *k* was fed. From the lowest layer to the highest, the mass moves from hop *k* (left) to
# hop *k* + 1 (right). The raw lens applies the LM head to every layer as it is; the tuned lens was first fitted to each
# layer. The third figure says how far each is from the last layer.

# %%
from workbench.figures import layers as figures
from workbench.measure.recording import record
from workbench.readings.lenses import RAW, TUNED, lens_frame
from workbench.readings.probes import probe_frame

own = record(model.checkpoint, problems)
lens = lens_frame([own], count=fitted_on)
figures.mass_by_layer(lens, RAW)

# %%
figures.mass_by_layer(lens, TUNED)

# %%
figures.divergence_by_layer(lens)

# %% [markdown]
# One problem, with the likeliest token in each cell:

# %%
figures.problem_lens(lens, problems[0].id, RAW).update_layout(width=1000)

# %% [markdown]
# Readings see interventions. With noise fed in place of thought 2, everything before it is as it was, and what comes
# from it on is not.

# %%
noisy = record(model.checkpoint, problems, interventions=[wb.Noise(at=(2,))], label="noise")
same = abs(noisy.residual[:, :2] - own.residual[:, :2]).max() < 1e-4
other = abs(noisy.residual[:, 2] - own.residual[:, 2]).max() > 1e-2
print("before thought 2 as it was:", bool(same), "| from thought 2 on changed:", bool(other))

# %% [markdown]
# ## Probes
#
# AUC is the chance that the probe puts a node with the property above one without it; one half is chance. In the
# control task every name has a random label, so the probe can only memorise names. Where the control is as high as the
# probe, the probe shows nothing about the thought.

# %%
probes = probe_frame([own], count=fitted_on)
figures.auc_by_thought(probes)

# %%
figures.hops_by_thought(probes)

# %%
figures.auc_by_layer(probes)
