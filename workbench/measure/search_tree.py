"""Probabilities of the nodes' names, token by token, after 0..K thoughts of one problem; and its search tree.

A trace holds only their products.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from workbench.errors import WorkbenchError
from workbench.interventions.base import Context, Intervention, Thoughts, composed
from workbench.measure.arrays import Trace
from workbench.measure.run_labels import MODEL
from workbench.model.checkpoint import Checkpoint
from workbench.model.prompts import Prompt
from workbench.model.session import Branches, Session
from workbench.problems.graph import hop_read, structure, walk_frontier
from workbench.problems.problem import Problem

SEARCH_TREE_SCHEMA = 1
"""Version of the columns of `search_tree_frame`."""

_AT_A_TIME = 64
"""Beginnings of names read side by side."""


@dataclass(frozen=True)
class Spelling:
    """Probabilities of the nodes' names after one number of thoughts, token by token."""

    thoughts: int
    """Number of thoughts."""
    hop: int
    """The hop whose nodes are read: that of the thought; 1 without thoughts."""
    prefix: str
    """The forced beginning of the next step, marker included."""
    tokens: tuple[tuple[str, ...], ...]
    """Tokens of each node's name."""
    probabilities: tuple[tuple[float, ...], ...]
    """Probability of each of them after the prefix and the tokens before it, among all tokens."""

    @cached_property
    def value(self) -> Float[np.ndarray, " nodes"]:
        """Raw probability of each node: the product over its tokens (Coconut v3, section 4)."""
        return np.array([np.prod(each) for each in self.probabilities])


@torch.inference_mode()
def spell(
    checkpoint: Checkpoint,
    problem: Problem,
    thoughts: int | None = None,
    *,
    interventions: Sequence[Intervention] = (),
    set_thoughts: Thoughts | None = None,
    row: int = 0,
) -> tuple[Spelling, ...]:
    """Return the probabilities of the nodes' names after 0..K thoughts; their products are a trace's forced language.

    Args:
        checkpoint: The model to run.
        problem: The problem asked.
        thoughts: Largest number of thoughts, K; by default as many as the model was trained with.
        interventions: Changes made to thoughts before they are fed.
        set_thoughts: Source thoughts of interventions.
        row: Number of the problem in that set; seeds and sources go by it.

    Raises:
        WorkbenchError: The problem cannot be written in the checkpoint's format, or is too long for the model.
    """
    count, form = checkpoint.thoughts if thoughts is None else thoughts, checkpoint.format
    (prompt,) = form.prompts([problem])
    openings = [form.step_opening(prompt, k) for k in range(count + 1)]
    needed = count + max(map(len, openings)) + max(map(len, prompt.nodes))
    session = Session(checkpoint.model, [prompt.ids], pad=form.pad, more=needed)
    session.think(
        count, composed(interventions, Context(checkpoint, (prompt,), (row,), set_thoughts)), checkpoint.pause
    )
    text = _Texts(checkpoint, prompt)
    found = []
    for k, opening in enumerate(openings):
        # What may stand before a token of a name: nothing, or the tokens of a name before it.
        begun = sorted(
            {word[:length] for word in prompt.nodes for length in range(len(word))}, key=lambda b: (len(b), b)
        )
        chances: dict[tuple[int, ...], torch.Tensor] = {}
        for start in range(0, len(begun), _AT_A_TIME):
            part = begun[start : start + _AT_A_TIME]
            logits = Branches(session, [k] * len(part)).say([[(*opening, *begin) for begin in part]])
            session.rewind(session.begin + count)
            chances |= dict(zip(part, logits[0].float().softmax(-1), strict=True))
        found.append(
            Spelling(
                k,
                max(hop_read(k, checkpoint.thoughts_per_step), 1),
                text.joined(opening),
                tuple(tuple(text.of(token) for token in word) for word in prompt.nodes),
                tuple(tuple(float(chances[word[:i]][token]) for i, token in enumerate(word)) for word in prompt.nodes),
            )
        )
    return tuple(found)


class _Texts:
    """Tokens as text, in the problem's own names."""

    def __init__(self, checkpoint: Checkpoint, prompt: Prompt) -> None:
        self.tokenizer, self.own = checkpoint.tokenizer, checkpoint.format.token_names(prompt)

    def of(self, token: int) -> str:
        """Return one token, blanks included."""
        return self.own.get(token) or str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))

    def joined(self, tokens: Sequence[int]) -> str:
        """Return several: with blanks between them where a token is a word, as they come where it is a piece of one."""
        if self.own:
            return " ".join(self.of(token) for token in tokens)
        return str(self.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))


def search_tree_frame(
    problem: Problem,
    spellings: Sequence[Spelling],
    *,
    thoughts: int | None = None,
    controls: Mapping[str, Trace] | None = None,
) -> pl.DataFrame:
    """Return the search tree of one problem: a row for each run, layer and node.

    Layer d holds the ends of all walks of d edges from the root (children, grandchildren, ...), each node once; a node
    with walks of several lengths is in several layers. Layer d is read after as many thoughts as stand for d steps.

    Columns: run, problem, layer, node, name, role ("root", "target", "negative" or ""), parents (nodes in the layer
    above, the first is drawn as the parent), thoughts (null for the root), prefix, tokens, probabilities (null for
    controls and the root), value (raw, their product), chance (uniform over the concepts), height_longest,
    height_shortest, reaches_target, optimal, earlier (whether the node is in a layer above too: it is then not on the
    BFS frontier of this one).

    Args:
        problem: What was asked.
        spellings: `spell` of it.
        thoughts: One number of thoughts to read every layer after; by default each layer after its own.
        controls: Traces of the same problem by label of the control; only their values are known.

    Raises:
        WorkbenchError: There is no such number of thoughts.
    """
    if thoughts is not None and thoughts >= len(spellings):
        raise WorkbenchError(
            f"There is no reading after {thoughts} thoughts.",
            f"The problem was run with {len(spellings) - 1}.",
            "Choose fewer, or run it with more thoughts.",
        )
    about = structure(problem)
    read = {spelling.hop: spelling.thoughts for spelling in spellings}  # the last of several that stand for one step
    layers = [np.flatnonzero(walk_frontier(problem.adjacency, problem.root, d)).tolist() for d in range(max(read) + 1)]
    roles = {problem.root: "root", problem.target: "target", problem.negative: "negative"}
    rows = []
    for run, trace in [(MODEL, None), *(controls or {}).items()]:
        for layer, nodes in enumerate(layers):
            k = (read[layer] if thoughts is None else thoughts) if layer else None
            spelling = None if k is None else spellings[k]
            for node in nodes:
                own = spelling if trace is None else None
                value = (
                    own.value[node] if own else None if k is None or trace is None else trace.forced_language[k, node]
                )
                parents = [p for p in (layers[layer - 1] if layer else []) if problem.adjacency[p, node]]
                rows.append(
                    {
                        "run": run, "problem": problem.id, "layer": layer, "node": node, "name": problem.names[node],
                        "role": roles.get(node, ""), "parents": parents, "thoughts": k,
                        "prefix": spelling.prefix if spelling else None,
                        "tokens": list(own.tokens[node]) if own else None,
                        "probabilities": list(own.probabilities[node]) if own else None,
                        "value": None if value is None else float(value),
                        "chance": None if k is None else 1 / int(about.concepts.sum()),
                        "height_longest": int(about.longest_height[node]),
                        "height_shortest": int(about.shortest_height[node]),
                        "reaches_target": bool(about.reaches_target[node]), "optimal": bool(about.optimal[node]),
                        "earlier": bool(about.hops[node] < layer),
                    }
                )  # fmt: skip
    return pl.DataFrame(rows, schema=_COLUMNS)


_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "run": pl.String, "problem": pl.String, "layer": pl.Int16, "node": pl.Int16, "name": pl.String, "role": pl.String,
    "parents": pl.List(pl.Int16), "thoughts": pl.Int16, "prefix": pl.String, "tokens": pl.List(pl.String),
    "probabilities": pl.List(pl.Float64), "value": pl.Float64, "chance": pl.Float64, "height_longest": pl.Int16,
    "height_shortest": pl.Int16, "reaches_target": pl.Boolean, "optimal": pl.Boolean, "earlier": pl.Boolean,
}  # fmt: skip
