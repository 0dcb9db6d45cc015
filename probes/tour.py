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
# # A tour
#
# A model that reasons in **continuous thoughts** feeds its last hidden state back as its next input, instead of a
# word. On ProsQA, questions over random graphs, its thoughts seem to hold many next steps at once. This notebook
# shows that picture on one problem, and then does what a picture alone cannot: it stands the controls beside it.

# %%
import os
from pathlib import Path

from workbench.figures import problem_graph, thought_strip
from workbench.figures.values import statistic_by_run
from workbench.interventions.thoughts import Noise
from workbench.measure.recording import record, record_controls
from workbench.measure.scores import node_scores
from workbench.measure.trace import answers, run
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems
from workbench.readings import READINGS

HERE = Path.cwd() if (Path.cwd() / "fixtures").exists() else Path.cwd().parent
RUN = os.environ.get("WORKBENCH_RUN", str(HERE / "fixtures/runs/reference"))
PROBLEMS = Path(os.environ.get("WORKBENCH_PROBLEM_FILE", HERE / "fixtures/problems/released.json"))

checkpoint = load_checkpoint(RUN)
problems = load_problems(PROBLEMS)[:100]

# %% [markdown]
# ## One problem
#
# Row *k* of the graph is the frontier after *k* steps of a breadth-first search. Colour and size of a node are its
# value: the probability that the LM head of thought *k* gives its name, normalised over the problem's concepts.

# %%
problem = problems[0]
(trace,) = run(checkpoint, [problem])
scores = node_scores(trace, "lm_head")
print(problem.question.split(". ")[-1], "| right:", problem.answer, "| the model:", trace.answer_texts[-1])
problem_graph(scores, scores.depths[0])

# %%
thought_strip(scores)

# %% [markdown]
# ## Many problems, and what should not show it
#
# A **recording** is what one run over a problem set leaves: thoughts, values, residual streams, attention. Controls
# are recorded on the same problems: here an untrained model, and the thoughts of other problems.

# %%
own = record(checkpoint, problems)
recordings = [own, *record_controls(own, ["untrained", "shuffled"])]
breadth = READINGS["breadth"].frame(recordings)
statistic_by_run(breadth, "candidate_mass")

# %% [markdown]
# The mass is on the frontier for the model and for nothing else. That is a picture still. Does the answer need it?
# Noise of the thoughts' own length takes their place:

# %%
thinks = [answer.right for answer in answers(checkpoint, problems)]
noisy = [answer.right for answer in answers(checkpoint, problems, interventions=[Noise()])]
print(
    f"right with its own thoughts {sum(thinks) / len(thinks):.2f}, with noise {sum(noisy) / len(noisy):.2f}; a coin .50"
)

# %% [markdown]
# ## Every reading
#
# Each is a question, a table and figures; the other notebooks take them one by one.

# %%
for reading in READINGS.values():
    print(f"{reading.name:20} {reading.question}")
