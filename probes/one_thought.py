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
# # Looking into one thought
#
# We take one problem and look at the model's thoughts. Then we ask a question that a picture cannot answer:
# **is this attention head what moves the frontier one hop on?** To find out, we take the head away at one thought only
# and see how the next thought changes.
#
# `wb` is enough for the pictures. For the head we open the model with TransformerLens.

# %%
import os

import workbench as wb

# The bundled model and problems, or others: a directory, a file.
model = wb.load(os.environ.get("WORKBENCH_RUN", "reference"))
problems = wb.load_problems(os.environ.get("WORKBENCH_PROBLEM_FILE", "released"))
model

# %% [markdown]
# ## One problem, traced
#
# We look for a problem with something to see at thought 2: the target is at least three hops away, and there are
# at least three nodes on the second hop.

# %%
from workbench.problems.graph import hops

THOUGHT = 2


def worth_a_look(problem) -> bool:
    """Say whether the target is far enough and the second hop wide enough."""
    depth = hops(problem.adjacency, problem.root)
    return depth[problem.target] > THOUGHT and (depth == THOUGHT).sum() >= 3


problem = next((problem for problem in problems if worth_a_look(problem)), problems[0])
trace = model.trace(problem)
print(problem.question.split(". ")[-1])
print("right answer:", problem.answer, " the model:", trace.answer)

# %% [markdown]
# Row *k* of the graph holds the nodes *k* hops from the root. If thought 2 is a step of a breadth-first search, its
# mass lies on row 2. The second figure shows how much of it does. The slim bars are chance: an even spread over the
# problem's concepts.

# %%
trace.graph(THOUGHT)

# %%
trace.strip()

# %% [markdown]
# ## What does each head look at?
#
# `CoconutLens` is TransformerLens on this model, with hook points that fire at every thought. The third entry of a
# hook says at which thought it acts. Here it only watches the attention pattern of the last layer while the model reads
# thought 2, and so makes thought 3.

# %%
lens = model.lens
layer = model.checkpoint.model.config.num_hidden_layers - 1
PATTERN = f"blocks.{layer}.attn.hook_pattern"
rows = lens.rows([problem], THOUGHT + 1)
seen = {}


def watch(pattern, hook):
    """Keep the pattern, change nothing."""
    seen["pattern"] = pattern.detach().clone()


before = lens.run_with_hooks(rows, [(PATTERN, watch, THOUGHT)])
pattern = seen["pattern"][0, :, -1]  # heads x columns: what thought 2 attends to
print("heads, columns:", tuple(pattern.shape))

# %% [markdown]
# In the `edges` format an edge is three tokens, *source target |*. In the last layer each of them may hold both ends,
# so we sum a head's attention over the three. A head that moves the search on should look at the edges that **leave**
# the frontier, those whose source is at hop 2. A head that looked at all edges alike would look at these in proportion
# to their number; the first line of the output gives that share.

# %%
import polars as pl

pl.Config.set_tbl_rows(20).set_float_precision(3)
depth = hops(problem.adjacency, problem.root)
leaving = [edge for edge, (source, _) in enumerate(problem.edges) if depth[source] == THOUGHT]
on_edges = pattern[:, 1 : 1 + 3 * len(problem.edges)].reshape(len(pattern), -1, 3).sum(-1)  # heads x edges
on_leaving = on_edges[:, leaving].sum(-1)
print(f"share of the edges that leave hop {THOUGHT}: {len(leaving) / len(problem.edges):.3f}")


def spoken(edge: int) -> str:
    """Return an edge in words."""
    return " → ".join(problem.names[node] for node in problem.edges[edge])


pl.DataFrame(
    {
        "head": list(range(len(pattern))),
        "on edges": on_edges.sum(-1).tolist(),
        "on edges that leave hop 2": on_leaving.tolist(),
        "looks most at": [spoken(int(row.argmax())) for row in on_edges],
    }
)

# %% [markdown]
# ## Take the head away
#
# The head that looks most at those edges is the suspect. We set its pattern to zero, at thought 2 and nowhere else, so
# that it writes nothing there. The model makes thought 3 from thought 2, so we look at thought 3. The table has the
# eight nodes with the highest probability, with the head and without it. Hop -1 means: not reachable.

# %%
suspect = int(on_leaving.argmax())


def without(head: int):
    """Make a hook that zeroes one head's pattern."""

    def zero(pattern, hook):
        pattern = pattern.clone()
        pattern[:, head] = 0
        return pattern

    return zero


def frontier_mass(distribution) -> float:
    """Return the raw mass on the nodes at hop 3."""
    return float(distribution[depth == THOUGHT + 1].sum().detach())


after = lens.run_with_hooks(rows, [(PATTERN, without(suspect), THOUGHT)])
untouched = lens.node_distribution(problem, before, THOUGHT + 1)
ablated = lens.node_distribution(problem, after, THOUGHT + 1)
pl.DataFrame(
    {"node": problem.names, "hop": depth, "thought 3": untouched.tolist(), f"without head {suspect}": ablated.tolist()}
).sort("thought 3", descending=True).head(8)

# %% [markdown]
# One head alone says little, so each head is taken away in turn. If another head costs more mass on hop 3 than the
# suspect, the attention pattern named the wrong head. Chance is what an even spread over the problem's concepts would
# put on hop 3.

# %%
taken = []
for head in range(len(pattern)):
    ran = lens.run_with_hooks(rows, [(PATTERN, without(head), THOUGHT)])
    taken.append(frontier_mass(lens.node_distribution(problem, ran, THOUGHT + 1)))
concepts = trace.scores().structure.concepts
chance = (depth == THOUGHT + 1).sum() / concepts.sum()
print(f"mass of thought 3 on hop 3: {frontier_mass(untouched):.3f}; chance {chance:.3f}; the suspect is head {suspect}")
pl.DataFrame({"head taken away": list(range(len(taken))), "mass left on hop 3": taken})

# %% [markdown]
# Here the suspect is head 5, and without it the mass on hop 3 rises. Head 4 costs the most. So on this problem the
# attention pattern named the wrong head.
#
# Last, three checks of the method itself. A hook that returns what it got must leave every number as it was. Taking the
# head away must leave thoughts 1 and 2 as they were. And it must change thought 3.

# %%
again = lens.run_with_hooks(rows, [(PATTERN, lambda pattern, hook: pattern, THOUGHT)])
start = int(rows.is_thought[0].nonzero()[0])  # the column of thought 1
unchanged = (before.inputs == again.inputs).all().item()
same_before = (before.inputs[0, : start + THOUGHT] == after.inputs[0, : start + THOUGHT]).all().item()
changed_after = (before.inputs[0, start + THOUGHT] != after.inputs[0, start + THOUGHT]).any().item()
print("identity changes nothing:", unchanged)
print("thoughts 1 and 2 as before:", same_before)
print("thought 3 changed:", changed_after)

# %% [markdown]
# This was one problem, and a head may do something else on another graph. Before you believe it, run it over a problem
# set and give the mass an interval (`workbench.measure.statistics.resample`).
