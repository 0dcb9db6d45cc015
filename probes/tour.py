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
# word. On ProsQA, questions about random graphs, a thought seems to hold many next steps at once. This notebook
# shows that on one problem. One problem proves little, so it then takes a hundred problems and shows controls beside
# the model.

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
# Row *k* of the graph holds the nodes *k* hops from the root: the frontier after *k* steps of a breadth-first search.
# Colour and size of a node are its value: the probability that the LM head of thought *k* gives its name, normalised
# over the problem's concepts.

# %%
problem = problems[0]
trace = model.trace(problem)
print(problem.question.split(". ")[-1], "| right:", problem.answer, "| the model:", trace.answer)
trace.graph(thought=1)

# %% [markdown]
# The same for every thought, as shares of the probability. This target is four hops away, so thoughts 5 and 6 have no
# frontier to hold.

# %%
trace.strip()

# %% [markdown]
# ## Many problems, and controls
#
# A **reading** asks one question about the thoughts of a whole set. Controls are run on the same problems: here an
# untrained model, and the thoughts of other problems. Neither should show a frontier.

# %%
breadth = wb.read("breadth", model, problems, controls=["untrained", "shuffled"])
breadth.figures[0]

# %% [markdown]
# The model's mass is on the frontier, that of the two controls is not. This still does not say whether the answer needs
# the thoughts. So we put noise of the same length in the place of every thought. Guessing between the two options
# would be right half of the time, but an answer that is not of the right form counts as wrong.

# %%
own, noise = model.answer(problems), model.answer(problems, wb.Noise())
print("with its own thoughts: right", own.accuracy, "of the right form", own.valid)
print("with noise:            right", noise.accuracy, "of the right form", noise.valid)

# %% [markdown]
# ## Every reading
#
# Each is a question, a table and figures; the other notebooks take them one by one.

# %%
for name, question in wb.list_readings().items():
    print(f"{name:20} {question}")
