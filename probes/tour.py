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

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"), 100)
model, problems

# %% [markdown]
# ## One problem
#
# Row *k* of the graph is the frontier after *k* steps of a breadth-first search. Colour and size of a node are its
# value: the probability that the LM head of thought *k* gives its name, normalised over the problem's concepts.

# %%
problem = problems[0]
trace = model.trace(problem)
print(problem.question.split(". ")[-1], "| right:", problem.answer, "| the model:", trace.answer)
trace.graph(thought=1)

# %%
trace.strip()

# %% [markdown]
# ## Many problems, and what should not show it
#
# A **reading** puts one question to the thoughts of a whole set. Controls are run on the same problems: here an
# untrained model, and the thoughts of other problems.

# %%
breadth = wb.read("breadth", model, problems, controls=["untrained", "shuffled"])
breadth.figures[0]

# %% [markdown]
# The mass is on the frontier for the model, and not for these two controls. That is a picture still. Does
# the answer need it? Noise of the thoughts' own length takes their place:

# %%
print("right with its own thoughts:", model.answer(problems).accuracy)
print("right with noise:", model.answer(problems, wb.Noise()).accuracy, "(chance: .50)")

# %% [markdown]
# ## Every reading
#
# Each is a question, a table and figures; the other notebooks take them one by one.

# %%
for name, question in wb.list_readings().items():
    print(f"{name:20} {question}")
