"""The code of a thought: one learned vector per node name, so that a thought is the sum of its frontier's vectors.

Theory says that a thought is (1/√|V|) Σ u_v over the nodes v of its frontier, u_v their embeddings (Reasoning by
Superposition, arXiv 2505.12514). Nothing makes a trained model use the embeddings for it: here the vectors are learned,
by ridge regression of thoughts on which names stand at which hop. What they explain on other problems says how much of
a thought is a superposition at all, in whatever directions.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from workbench.errors import WorkbenchError

Base = Literal["frontier", "both"]
"""Whose codes are summed: the nodes at the thought's own hop, or those and the nodes one hop before it."""
BASES: tuple[Base, ...] = ("frontier", "both")

RIDGE = 1.0
"""Weight of the squared codes; the constant part is not held back."""


@dataclass(frozen=True)
class NodeDictionary:
    """What one model's thoughts are made of."""

    constant: Float[np.ndarray, "K d"]
    """The part of thought 1..K that every problem has."""
    now: Float[np.ndarray, "K vocab d"]
    """Of each name (by its first token) standing at hop k, in thought k."""
    before: Float[np.ndarray, "K vocab d"]
    """Of each name standing at hop k - 1, in thought k; zeros where only the frontier was asked for."""

    def thoughts(
        self, tokens: Int[np.ndarray, "n nodes"], hops: Int[np.ndarray, "n nodes"]
    ) -> Float[np.ndarray, "n K d"]:
        """Return the thoughts that the graph alone predicts.

        Args:
            tokens: First token of every node's name, anything where there is no node.
            hops: Hop of every node from the root, negative for unreachable and where there is no node.
        """
        vocab, found = self.now.shape[1], []
        for k in range(1, len(self.constant) + 1):
            sums = names_at(tokens, hops, k, vocab) @ self.now[k - 1] + self.constant[k - 1]
            found.append(sums + names_at(tokens, hops, k - 1, vocab) @ self.before[k - 1])
        return np.stack(found, 1)


def names_at(
    tokens: Int[np.ndarray, "n nodes"], hops: Int[np.ndarray, "n nodes"], hop: int, vocab: int
) -> Float[np.ndarray, "n vocab"]:
    """Return which names stand at a hop, each with the weight 1/√|V| of the theory."""
    rows, nodes = np.nonzero(hops == hop)
    there = np.zeros((len(hops), vocab))
    np.add.at(there, (rows, tokens[rows, nodes]), 1.0)
    return there / np.sqrt(np.maximum(there.sum(1, keepdims=True), 1))


def fit_node_dictionary(
    thoughts: Float[np.ndarray, "n K d"],
    tokens: Int[np.ndarray, "n nodes"],
    hops: Int[np.ndarray, "n nodes"],
    vocab: int,
    base: Base = "both",
    ridge: float = RIDGE,
) -> NodeDictionary:
    """Learn the codes of a model from its thoughts about many problems.

    Args:
        thoughts: Thought 1..K of every problem.
        tokens: First token of every node's name.
        hops: Hop of every node from the root, negative where there is none.
        vocab: Number of tokens.
        base: Whose codes are summed.
        ridge: See `RIDGE`.

    Raises:
        WorkbenchError: There are fewer than two problems.
    """
    if len(thoughts) < 2:
        why = f"There {'is one problem' if len(thoughts) else 'are no problems'}."
        raise WorkbenchError("A code cannot be learned.", why, "Give some hundred problems.")
    constant, now, before = [], [], []
    for k in range(1, thoughts.shape[1] + 1):
        there = [names_at(tokens, hops, k, vocab)]
        if base == "both":
            there.append(names_at(tokens, hops, k - 1, vocab))
        names = np.concatenate(there, 1)
        centre, mean = names.mean(0), thoughts[:, k - 1].mean(0)
        names = names - centre
        gram = names.T @ names + ridge * np.eye(names.shape[1])
        codes = np.linalg.solve(gram, names.T @ (thoughts[:, k - 1] - mean))
        constant.append(mean - centre @ codes)
        now.append(codes[:vocab])
        before.append(codes[vocab:] if base == "both" else np.zeros_like(codes))
    return NodeDictionary(np.stack(constant), np.stack(now), np.stack(before))


def cross_fitted(
    thoughts: Float[np.ndarray, "n K d"],
    tokens: Int[np.ndarray, "n nodes"],
    hops: Int[np.ndarray, "n nodes"],
    vocab: int,
    fold: Int[np.ndarray, " n"],
    base: Base = "both",
) -> Float[np.ndarray, "n K d"]:
    """Return for every problem the thoughts that codes learned from the other folds predict.

    Args:
        thoughts: As in `fit_codebook`.
        tokens: As there.
        hops: As there.
        vocab: As there.
        fold: Part of each problem, see `held_out.folds`.
        base: As there.
    """
    predicted = np.empty(thoughts.shape)
    for number in np.unique(fold):
        held = fold == number
        book = fit_node_dictionary(thoughts[~held], tokens[~held], hops[~held], vocab, base)
        predicted[held] = book.thoughts(tokens[held], hops[held])
    return predicted


def of_embeddings(
    thoughts: Float[np.ndarray, "n K d"],
    tokens: Int[np.ndarray, "n nodes"],
    hops: Int[np.ndarray, "n nodes"],
    embedding: Float[np.ndarray, "vocab d"],
    fold: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "n K d"]:
    """Return the thoughts of the theory: a constant and one number times (1/√|V|) Σ u_v, both from the other folds."""
    predicted = np.empty(thoughts.shape)
    for k in range(1, thoughts.shape[1] + 1):
        sums = names_at(tokens, hops, k, len(embedding)) @ embedding
        for number in np.unique(fold):
            held = fold == number
            centre, mean = sums[~held].mean(0), thoughts[~held, k - 1].mean(0)
            off, about = sums[~held] - centre, thoughts[~held, k - 1] - mean
            size = float((off * about).sum() / max(float((off**2).sum()), 1e-12))
            predicted[held, k - 1] = mean + size * (sums[held] - centre)
    return predicted


def explained(
    thoughts: Float[np.ndarray, "n K d"], predicted: Float[np.ndarray, "n K d"]
) -> Float[np.ndarray, "n K 2"]:
    """Return for every problem and thought the squared error of a prediction, and that of the mean thought.

    One less the ratio of their sums is the share of variance explained (R²); it is below zero where the prediction is
    worse than the mean.
    """
    error = np.square(thoughts - predicted).sum(-1)
    spread = np.square(thoughts - thoughts.mean(0)).sum(-1)
    return np.stack([error, spread], -1)
