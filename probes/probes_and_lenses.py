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
# What is in a thought that its LM head does not show? A **lens** decodes every layer; a **probe** is fitted to find a
# property of each node. A probe can also memorise, so each stands beside a control task (Hewitt & Liang) and beside
# the LM head, which needs no fitting.

# %%
import os
from pathlib import Path

from workbench.figures.layers import (
    auc_by_layer,
    auc_by_thought,
    divergence_by_layer,
    hops_by_thought,
    mass_by_layer,
    problem_lens,
)
from workbench.interventions.thoughts import Noise
from workbench.measure.recording import record
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems
from workbench.readings.lenses import RAW, TUNED, lens_frame
from workbench.readings.probes import probe_frame

HERE = Path.cwd() if (Path.cwd() / "fixtures").exists() else Path.cwd().parent
RUN = os.environ.get("WORKBENCH_RUN", str(HERE / "fixtures/runs/reference"))
PROBLEMS = Path(os.environ.get("WORKBENCH_PROBLEM_FILE", HERE / "fixtures/problems/released.json"))

FITTED_ON = int(os.environ.get("WORKBENCH_FITTED_ON", "600"))  # generated problems, on other graphs
checkpoint = load_checkpoint(RUN)
problems = load_problems(PROBLEMS)[:100]
own = record(checkpoint, problems)

# %% [markdown]
# ## The lens, layer by layer
#
# Column *k* is where thought *k* was fed. Through the layers the mass moves from hop *k* to hop *k* + 1.

# %%
lens = lens_frame([own], count=FITTED_ON)
mass_by_layer(lens, RAW)

# %%
mass_by_layer(lens, TUNED)

# %%
divergence_by_layer(lens)

# %%
problem_lens(lens, problems[0].id, RAW)

# %% [markdown]
# It respects interventions: with noise fed in place of thought 2, what comes before is as it was.

# %%
noisy = record(checkpoint, problems, interventions=[Noise(at=(2,))], label="noise")
same = abs(noisy.residual[:, :2] - own.residual[:, :2]).max() < 1e-4
other = abs(noisy.residual[:, 2] - own.residual[:, 2]).max() > 1e-2
print("before thought 2 as it was:", bool(same), "| from thought 2 on changed:", bool(other))

# %% [markdown]
# ## Probes

# %%
probes = probe_frame([own], count=FITTED_ON)
auc_by_thought(probes)

# %%
hops_by_thought(probes)

# %%
auc_by_layer(probes)
