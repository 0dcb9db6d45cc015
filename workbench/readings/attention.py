"""What is attended to: edges by a thought, by class of the edge or on one graph; the question by its own edges.

**Which column makes which thought.** Thought i is the last hidden state of column i - 1 of a `Recording` (column 0 is
the root at the end of the prompt, column k is where thought k was fed). So "when generating the i-th thought" is
attention *from* column i - 1, and the edges that a search would follow there have their source one hop before the hop
that thought i stands for: the first thought is made by edges that leave the root. There "reached" and "frontier" are
the same set.

**Table 1** of Reasoning by Superposition (arXiv 2505.12514): attention to an edge is the sum over its tokens (source,
target, separator); a number of the table is the mean of this over all edges of the class in all problems whose chain is
long enough, and the sum over heads. The paper has 8 heads, so its values range to 8; ours range to the number of our
heads. `table_1(frame, over="mean")` divides by it and is comparable between models. All edges count (the published
notebook loses the last of each problem). By BFS depth or by walks, the optimal edges are the same.

**The copy map**: what the tokens of an edge attend to while the question is read. In the construction of section 4,
attention choosers of layer 1 copy source and target of every edge onto its separator; only then can a thought find
edges by their source in layer 2. The paper shows one map of one problem, heads summed. Here every edge of every problem
is counted, with the mean over heads. Seen from a token of an edge, each token of the question is in exactly one place:
itself; its own source and own target (where they are another token that it can see); the previous edge (its three
tokens); the same name elsewhere (earlier, in no place before); the first token (`<eos>`, where idle heads rest);
anything else. Thoughts come after the question, so that nothing done to thoughts changes it: of runs with the same
weights only the first is in the table.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int

from workbench.errors import WorkbenchError
from workbench.figures.attention import PLACES, TOKENS, attention_figures, copy_map_figures
from workbench.figures.graph import EdgeAttention
from workbench.measure.class_means import EXCLUSIVE, NESTED, WALK, class_codes, class_means
from workbench.measure.recording import Recording
from workbench.measure.run_labels import MODEL, RUN
from workbench.model.checkpoint import Checkpoint
from workbench.model.lens import CoconutLens
from workbench.model.prompts import Prompt
from workbench.model.session import Batch, as_numpy, in_batches
from workbench.problems.graph import structure, walk_frontier
from workbench.problems.problem import Problem
from workbench.readings.base import Reading, named, rows, steps


def edge_codes(recording: Recording, hop: int) -> Int[np.ndarray, "n edges"]:
    """Return each edge's exclusive class when a thought that stands for a hop is made; -1 for no edge.

    The class, an index into `EXCLUSIVE`, is that of the edge's source one hop before. Optimal edges lead from there
    along a shortest path: their target is on one, and a hop further.
    """
    row, (source, target) = np.arange(len(recording.edges))[:, None], np.moveaxis(recording.edges, 2, 0)
    onward = recording.is_optimal[row, target] & (recording.hops[row, target] == hop)
    hops = np.where(recording.is_edge, recording.hops[row, source], -2)
    return class_codes(hops, hop - 1, onward & recording.is_edge)


def from_walk_frontier(recording: Recording, hop: int) -> Bool[np.ndarray, "n edges"]:
    """Say which edges leave a node that a walk of exactly `hop` - 1 edges reaches."""
    found = np.zeros_like(recording.is_edge)
    for row, problem in zip(found, recording.problems, strict=True):
        front = walk_frontier(structure(problem).adjacency, problem.root, hop - 1)
        row[: len(problem.edges)] = front[[source for source, _ in problem.edges]]
    return found


def attention_by_class_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return attention by class, one row per (run, problem, thought, layer, head, class that has edges).

    Columns: run, problem, steps (hops from root to target), thought (the one that is made), hop_read (the hop it stands
    for), layer and head (counted from 0 as TransformerLens does; head is null for the sum over heads), class
    (`EXCLUSIVE`; and the walk frontier, whose edges are in the other classes as well), edges (how many), attention
    (mean per edge), spread (standard deviation over them), chance (the mean if the same attention to edges were spread
    evenly over all edges; times their number it is all the attention to edges).
    """
    return pl.concat([_of(recording, thought) for recording in recordings for thought in range(1, recording.count + 1)])


def _of(recording: Recording, thought: int) -> pl.DataFrame:
    each = recording.attention[:, thought - 1]  # n L H edges, of the column that makes this thought
    attention = np.nan_to_num(np.concatenate([each.sum(2, keepdims=True), each], 2).astype(np.float64))
    even = attention.sum(3) / recording.is_edge.sum(1)[:, None, None]
    hop, parts = recording.traces[0].hop(thought), []
    codes = edge_codes(recording, hop)
    sets = {name: codes == code for code, name in enumerate(EXCLUSIVE)}
    for name, members in (sets | {WALK: from_walk_frontier(recording, hop)}).items():
        some = np.flatnonzero(members.any(1))
        inside, size = members[some][:, None, None], members[some].sum(1)[:, None, None]
        mean = (attention[some] * inside).sum(3) / size
        spread = np.sqrt((((attention[some] - mean[..., None]) * inside) ** 2).sum(3) / size)
        at, layer, head = (axis.ravel() for axis in np.indices(mean.shape))
        columns = {
            "steps": steps(recording)[some[at]],
            "thought": thought,
            "hop_read": hop,
            "layer": layer,
            "head": head - 1,
            "class": pl.Series([name] * len(at), dtype=pl.Enum((*EXCLUSIVE, WALK))),
            "edges": np.broadcast_to(size, mean.shape),
            "attention": mean.astype(np.float32),
            "spread": spread.astype(np.float32),
            "chance": even[some].astype(np.float32),
        }
        parts.append(rows(recording, some[at], columns))
    return pl.concat(parts)


def table_1(
    table: pl.DataFrame, *, over: Literal["sum", "mean"] = "sum", layer: int | None = None, seed: int = 0
) -> pl.DataFrame:
    """Return Table 1: one row per (run, thought, class of `NESTED`), pooled over the edges of all problems.

    Args:
        table: `attention_by_class_frame`.
        over: The sum over heads, as published, or the mean over heads, to compare models of unequally many.
        layer: Counted from 0; by default the last one (the paper's layer 2).
        seed: Seed of the bootstrap.

    Returns:
        Columns of `class_means`; only problems whose chain reaches the thought's hop count, as published.
    """
    heads = table["head"].n_unique() - 1 if over == "mean" else 1
    kept = table.filter(
        pl.col("head").is_null(),
        pl.col("layer") == (table["layer"].max() if layer is None else layer),
        pl.col("hop_read") <= pl.col("steps"),
    ).with_columns(pl.col("attention", "spread", "chance") / heads)
    return class_means(kept, "attention", "edges", classes=NESTED, seed=seed)


ATTENTION_BY_CLASS = Reading(
    name="attention_by_class",
    title="Attention of thoughts to edges",
    question="Does a thought attend to the edges that leave the frontier when the next thought is made?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 5, table 1; its notebook",
    chance="The same attention to edges, spread evenly over all edges of the problem.",
    schema=1,
    frame=attention_by_class_frame,
    figures=attention_figures,
)


def attention_arrows(
    recording: Recording, thoughts: int, layer: int, head: int | None = None, *, problem: int = 0
) -> EdgeAttention:
    """Return the attention of one thought to the edges of one problem, to be drawn on its graph.

    It is that of the column where thought k was fed, whose last hidden state becomes thought k + 1.

    Args:
        recording: Of a run.
        thoughts: Number of thoughts, k: 0 is the end of the prompt, K the last thought.
        layer: Counted from 0, as TransformerLens does.
        head: Counted from 0; None sums over all heads of the layer.
        problem: Number of the problem in the recording.

    Raises:
        WorkbenchError: There is no such number of thoughts, layer or head.
    """
    _, columns, layers, heads, _ = recording.attention.shape
    for what, asked, high in (
        ("number of thoughts", thoughts, columns - 2),
        ("layer", layer, layers - 1),
        ("head", head or 0, heads - 1),
    ):
        if not 0 <= asked <= high:
            raise WorkbenchError(
                f"There is no {what} {asked} here.", f"This recording has 0 to {high}.", "Choose one of these."
            )
    chosen = slice(None) if head is None else slice(head, head + 1)

    def summed(array: np.ndarray) -> Any:
        return array[problem, thoughts, layer][chosen].sum(0)

    weights = summed(recording.attention)[: len(recording.problems[problem].edges)].astype(np.float64)
    total = heads if head is None else 1
    elsewhere = {
        "the two options": float(summed(recording.attention_options).sum()),
        "the root in the question": float(summed(recording.attention_root)),
        "thoughts": float(summed(recording.attention_thoughts).sum()),
    }
    fed = "thought" if recording.checkpoint.fed != "pause" else "pause"
    return EdgeAttention(
        f"{fed} {thoughts}" if thoughts else "the end of the prompt",
        layer,
        head,
        total,
        weights,
        elsewhere | {"the rest": total - float(weights.sum()) - sum(elsewhere.values())},
    )


def place_codes(prompt: Prompt) -> Int[np.ndarray, "edges 3 columns"]:
    """Return where every column of a question in the edges format stands seen from each edge token.

    Values are indices into `PLACES`, -1 for columns that the token cannot see, because they come later.
    """
    ids, end = np.array(prompt.ids), 1 + 3 * len(prompt.graph.edges)
    column = np.arange(len(ids))
    token = np.arange(1, end)[:, None]  # one row for each edge token, source, target, separator in turn
    start = token - (token - 1) % 3
    conditions = [
        column > token, column == token, column == start, column == start + 1,
        (column >= start - 3) & (column < start) & (column > 0), column == 0,
        (ids == ids[token]) & ((token - 1) % 3 < 2),  # separators are all alike: the same sign is no name
    ]  # fmt: skip
    names = ("own source", "own target", "previous edge", "first token", "same name elsewhere")
    codes = [-1, PLACES.index("itself"), *map(PLACES.index, names)]
    return np.select(conditions, codes, PLACES.index("anything else")).reshape(-1, 3, len(ids))


def copy_map(
    checkpoint: Checkpoint, problems: Sequence[Problem], *, label: str = MODEL, batch_size: int = 32
) -> pl.DataFrame:
    """Return the attention of edge tokens, one row per (problem, layer, head, token of the edge, place).

    Args:
        checkpoint: In the edges format.
        problems: What to read.
        label: Of the run.
        batch_size: Problems run at a time.

    Returns:
        Columns run, problem, layer (from 0), head (from 0; null for the mean over heads), token (`TOKENS`), place
        (`PLACES`), attention (mean over the edges of the problem; the places of a token sum to 1), chance (the same
        spread evenly over all columns that the token can see). Rows whose place does not exist for a token are left
        out (a source cannot see its target).

    Raises:
        WorkbenchError: The checkpoint is not in the edges format.
    """
    if checkpoint.format.name != "edges":
        raise WorkbenchError(
            "The copy map needs the edges format.",
            f'{checkpoint.name} reads questions in the format "{checkpoint.format.name}", where an edge is a sentence '
            "without a separator.",
            "Use a checkpoint in the edges format, or look at patterns with CoconutLens.",
        )
    lens = CoconutLens(checkpoint)
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(checkpoint.model.config.num_hidden_layers)]

    def run(batch: Batch) -> Iterator[pl.DataFrame]:
        laid = lens.rows([prompt.graph for prompt in batch.prompts], 0)
        _, cache = lens.run_with_cache(laid, names_filter=lambda name: name in names)
        patterns = as_numpy(torch.stack([cache[name] for name in names], 1))  # batch L H columns columns
        return map(_of_prompt, batch.prompts, patterns)

    parts = in_batches(checkpoint, problems, run, batch_size)
    return pl.concat(parts).select(pl.lit(label).alias(RUN), pl.all())


def _of_prompt(prompt: Prompt, pattern: Float[np.ndarray, "L H columns columns"]) -> pl.DataFrame:
    pad, codes = pattern.shape[-1] - len(prompt.ids), place_codes(prompt)
    end = pad + 1 + 3 * len(codes)
    seen = pattern[:, :, pad + 1 : end, pad:].reshape(*pattern.shape[:2], *codes.shape)
    seen = np.concatenate([seen.mean(1, keepdims=True), seen], 1)
    inside = codes[None] == np.arange(len(PLACES))[:, None, None, None]  # places edges 3 columns
    by_token = np.moveaxis(seen, 3, 0).reshape(3, seen.shape[0] * seen.shape[1], -1)
    sums = by_token @ inside.transpose(2, 1, 3, 0).reshape(3, -1, len(PLACES)).astype(seen.dtype)
    attention = np.moveaxis(sums.reshape(3, *seen.shape[:2], -1), 0, 2) / len(codes)  # L heads 3 places
    chance = (inside.sum(3) / (codes >= 0).sum(2)).mean(1).T  # 3 places
    layer, head, token, place = (axis.ravel() for axis in np.indices(attention.shape))
    table = pl.DataFrame(
        {
            "problem": pl.Series([prompt.problem.id] * len(layer), dtype=pl.String),
            "graph": pl.Series([prompt.problem.graph] * len(layer), dtype=pl.String),
            "layer": pl.Series(layer, dtype=pl.Int16),
            "head": pl.Series(head - 1, dtype=pl.Int16).replace(-1, None),
            "token": named(TOKENS, token),
            "place": named(PLACES, place),
            "attention": pl.Series(attention.ravel(), dtype=pl.Float32),
            "chance": pl.Series(np.broadcast_to(chance, attention.shape).ravel(), dtype=pl.Float32),
        }
    )
    return table.filter(pl.col("chance") > 0)


def copy_map_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return the copy map of each recording's checkpoint on its problems; of equal weights the first run only.

    Raises:
        WorkbenchError: A checkpoint is not in the edges format.
    """
    first: dict[int, Recording] = {}
    for recording in recordings:
        first.setdefault(id(recording.checkpoint.model), recording)
    return pl.concat([copy_map(one.checkpoint, one.problems, label=one.label) for one in first.values()])


COPY_MAP = Reading(
    name="copy_map",
    title="Copy map",
    question="Do the tokens of an edge gather its source and its target before any thought is made?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 5 (the map of layer 1, heads summed)",
    chance="Attention spread evenly over all columns that a token can see.",
    schema=1,
    frame=copy_map_frame,
    figures=copy_map_figures,
)
