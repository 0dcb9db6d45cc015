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
# We take one problem, watch the model think it through, and then ask a question that a picture cannot answer:
# **is this attention head what moves the frontier one hop on?** To find out we take the head away, at one thought
# only, and see what becomes of the distribution.
#
# `wb` is all we need for the picture; for the head we open the model with TransformerLens.

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
# We look for a problem with something to see at thought 2: a target at least three hops away and several nodes on the
# second hop, so that the model cannot get by with a single candidate.

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
# Row *k* of the graph is the frontier after *k* thoughts. If thought 2 is a step of a breadth-first search, its mass
# lies on row 2. The strip below shows how much of it does, beside what an even spread over the concepts would put
# there.

# %%
trace.graph(THOUGHT)

# %%
trace.strip()

# %% [markdown]
# ## What does each head look at?
#
# `CoconutLens` is TransformerLens on the live model, with hook points that fire inside the loop. The third entry of a
# hook says at which thought it acts. Here it only watches: the attention pattern of the last layer while thought 2 is
# being read, that is, while the model turns thought 2 into thought 3.

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
# In the `edges` format an edge is three tokens, *source target |*, and by the last layer all three may know both ends.
# So we sum each head's attention over whole edges. A head that moves the search on should look at the edges that
# **leave** the frontier, those whose source is at hop 2. Beside it: the share of the edges that do, which is what a
# head would have there if it looked at all edges alike.

# %%
import polars as pl

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
# The head that looks most at those edges is the suspect. We set its pattern to zero, at thought 2 and nowhere else: it
# writes nothing there, and everything before stays as it was. Thought 3 is what the model makes of thought 2, so
# that is where we look.

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
# One head proves nothing without the others: each is taken away in turn, so that the suspect can be compared with its
# neighbours; where another head costs more, the attention pattern named the
# wrong one. Chance is what an even spread over the problem's concepts would put on hop 3.

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
# And two checks on the instrument itself. A hook that changes nothing changes nothing, to the last bit; and taking the
# head away did change thought 3 while thoughts 1 and 2 are what they were.

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
# This was one problem. Before you believe it, run it over a problem set and give the mass an interval
# (`workbench.measure.statistics.resample`); what a head does on one graph may be what it does on no other.
