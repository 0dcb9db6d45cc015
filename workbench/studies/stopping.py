"""When to stop thinking and answer: rules that look at a thought, a classifier that is learned, and what both gain.

The Coconut paper (arXiv 2412.06769, section 3) names two ways to end the thoughts: "train a binary classifier on
latent thoughts", or a constant number; it uses the constant. Here both, and a third that needs no training. A problem
is thought about once; the answers after every number of thoughts branch off the same cache, so that any number of
rules can be judged on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import expit
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.files import replacing
from workbench.measure.provenance import checkpoint_digest
from workbench.measure.statistics import Estimate, logistic, resample
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import lm_head
from workbench.model.session import Batch, Branches, arrays_in_batches
from workbench.problems.problem import Item, Problem

LONGER = 2
"""Most thoughts tried, as a multiple of the trained number."""
ENTROPIES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
"""Thresholds tried, in nats."""
PROBABILITIES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99)
"""Thresholds tried for a classifier."""
SLACK = 0.01
"""Accuracy that is given up for fewer thoughts when a threshold is chosen."""

Label = Literal["reached", "right"]
"""What the classifier is asked of thought k. "reached": it stands for the problem's last step, or a later one; the
number of steps is known of every training problem. "right": the answer after k thoughts is right. This needs no steps,
but a guess between two options is right half of the time, and is then labelled "enough"."""
LABELS: tuple[Label, ...] = get_args(Label)
SCHEMA = "1"
"""Of the file of a classifier."""


@dataclass(frozen=True)
class Thinking:
    """What a model thought about problems, and what it got right after every number of thoughts."""

    checkpoint: str
    """Name of the checkpoint."""
    trained: int
    """Number of thoughts it was trained with."""
    thoughts: Float[np.ndarray, "problems K d"]
    """Thought 1..K of each problem: the last hidden state that would be fed."""
    entropy: Float[np.ndarray, "problems K"]
    """Entropy in nats of the LM head of each thought over the whole vocabulary, in 0..ln(vocabulary)."""
    right: Bool[np.ndarray, "problems K+1"]
    """Whether the answer after 0..K thoughts is exactly the right one."""
    needed: Int[np.ndarray, " problems"]
    """As many thoughts as stand for the problem's steps."""
    graphs: tuple[str, ...] | None = None
    """Graph of each problem, which intervals keep together; None: each problem has its own."""

    @property
    def reached(self) -> Bool[np.ndarray, "problems K"]:
        """Whether thought 1..K is the one that stands for the last step, or a later one."""
        return np.arange(1, self.thoughts.shape[1] + 1) >= self.needed[:, None]


@dataclass(frozen=True)
class Rule:
    """A way to choose the number of thoughts, problem by problem."""

    title: str
    """Name in tables."""
    kind: str
    """Rules of one kind differ in a number alone; one of them is chosen on other problems. Empty: none is."""
    stops: Callable[[Thinking, int], Int[np.ndarray, " problems"]]
    """From what was thought, and the most thoughts allowed, to the number of thoughts after which to answer."""
    least: int = 0
    """Number of thoughts that must have been tried."""


def fixed(thoughts: int) -> Rule:
    """Return the same number of thoughts for every problem, whatever most is allowed: what the paper does."""

    def stops(thinking: Thinking, most: int) -> Int[np.ndarray, " problems"]:
        if not 0 <= thoughts < thinking.right.shape[1]:
            raise WorkbenchError(
                f"Nothing was answered after {thoughts} thoughts.",
                f"The problems were thought about for {thinking.right.shape[1] - 1} thoughts.",
                "Choose a smaller number, or think longer.",
            )
        return np.full(len(thinking.right), thoughts)

    return Rule(f"fixed: {thoughts}", "fixed", stops, thoughts)


def entropy_below(threshold: float) -> Rule:
    """Stop after the first thought whose LM head is sure: its entropy in nats is below a threshold."""
    return Rule(
        f"entropy < {threshold:g}", "entropy", lambda thinking, most: first_true(thinking.entropy < threshold, most)
    )


def as_many_as_steps() -> Rule:
    """Return the oracle: as many thoughts as the problem has steps, known only to those who have solved it."""
    return Rule("oracle", "", lambda thinking, most: np.minimum(thinking.needed, most))


def first_true(enough: Bool[np.ndarray, "problems K"], most: int) -> Int[np.ndarray, " problems"]:
    """Return for each row the place, from 1, of the first True among the first `most`; `most` where there is none."""
    some = enough[:, :most]
    if some.shape[1] == 0:
        return np.zeros(len(enough), dtype=np.int64)
    return np.where(some.any(axis=1), some.argmax(axis=1) + 1, some.shape[1]).astype(np.int64)


def think_through(
    checkpoint: Checkpoint,
    problems: Sequence[Problem | Item],
    thoughts: int | None = None,
    batch_size: int = 64,
    says: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Thinking:
    """Think about problems once, and answer after every number of thoughts.

    Args:
        checkpoint: What to run; one without thoughts gives a single column, the answer after none.
        problems: At least one.
        thoughts: Largest number of thoughts, K; by default twice the trained number.
        batch_size: Problems run at a time.
        says: "answer" or "chain", see `trace.answers`; by default what the checkpoint was trained to.
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: There is no problem, or one cannot be run.
    """
    if not problems:
        raise WorkbenchError("There is nothing to think about.", "The list of problems is empty.", "Give some.")
    count = LONGER * checkpoint.thoughts if thoughts is None else thoughts
    form, chain = checkpoint.format, (says or checkpoint.says) == "chain"
    limit, depths = form.continuation_limit if chain else form.answer_limit, range(count + 1)

    def think(batch: Batch) -> dict[str, np.ndarray | Tensor]:
        openings = [form.chain_opening(one) if chain else form.answer_opening(one) for one in batch.prompts]
        session = batch.session(count + max(map(len, openings)) + limit)
        vectors = session.think(count, pause=checkpoint.pause)
        ends = Branches(session, depths)
        said = ends.go_on(ends.say([[opening] * len(depths) for opening in openings]), limit, form.end)
        right = [
            [form.right(one.problem, form.said_answer(one, ids) if chain else form.decode(one, ids)) for ids in told]
            for one, told in zip(batch.prompts, said, strict=True)
        ]
        shares = lm_head(session.model, vectors).log_softmax(-1)
        return {"vectors": vectors, "entropy": -(shares.exp() * shares).sum(-1), "right": np.array(right, dtype=bool)}

    found = arrays_in_batches(checkpoint, problems, think, batch_size, on_progress)
    needed = np.array([len(problem.steps) for problem in problems]) * checkpoint.thoughts_per_step
    graphs = tuple(problem.graph for problem in problems)
    return Thinking(
        checkpoint.name, checkpoint.thoughts, found["vectors"], found["entropy"], found["right"], needed, graphs
    )


# A rule that is learned


@dataclass(frozen=True)
class Classifier:
    """Logistic regression on standardised thought vectors."""

    weights: Float[np.ndarray, " d"]
    """Of the standardised vector."""
    bias: float
    mean: Float[np.ndarray, " d"]
    """Of the training thoughts."""
    scale: Float[np.ndarray, " d"]
    """Their standard deviation; 1 where a component never changes."""
    label: Label
    """What it was asked."""
    checkpoint: str
    """Digest of the checkpoint whose thoughts it was fitted on."""

    def probability(self, thoughts: Float[np.ndarray, "*rows d"]) -> Float[np.ndarray, "*rows"]:
        """Return for each thought the probability that it is enough."""
        return expit((thoughts - self.mean) / self.scale @ self.weights + self.bias)


def learned(classifier: Classifier, threshold: float = 0.5) -> Rule:
    """Stop after the first thought that a classifier finds enough.

    Args:
        classifier: Of the same checkpoint.
        threshold: Probability from which on it is enough.
    """
    return Rule(
        f"{classifier.label} > {threshold:g}",
        f"classifier {classifier.label}",
        lambda thinking, most: first_true(classifier.probability(thinking.thoughts) > threshold, most),
    )


def fit(thinking: Thinking, checkpoint: Checkpoint, label: Label = "reached", penalty: float = 1.0) -> Classifier:
    """Fit a classifier on all thoughts up to the trained number, each problem's thoughts as examples of their own.

    Minimises the summed logistic loss + penalty / 2 * |weights|^2 by L-BFGS; convex, so that there is one result.

    Args:
        thinking: Of training problems; judge it on others.
        checkpoint: What thought.
        label: What to ask of a thought.
        penalty: Weight of the squared norm.

    Raises:
        WorkbenchError: The model has no thoughts, or all of them have the same label.
    """
    most = min(thinking.trained, thinking.thoughts.shape[1])
    asked = thinking.reached if label == "reached" else thinking.right[:, 1:]
    yes = asked[:, :most].ravel().astype(np.float64)
    if yes.size == 0:
        raise WorkbenchError(
            f"{thinking.checkpoint} has no thoughts to stop.",
            "It was trained with none, so a stop rule has nothing to look at.",
            "Leave out --fit, or choose a checkpoint with thoughts.",
        )
    if yes.min() == yes.max():
        raise WorkbenchError(
            "A stop classifier cannot be fitted on these problems.",
            f'All {len(yes)} thoughts have the same label, "{label}" is {bool(yes[0])} for each of them.',
            "Fit it on more problems, of different numbers of steps.",
        )
    vectors = thinking.thoughts[:, :most].reshape(len(yes), -1).astype(np.float64)
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    fitted = logistic((vectors - mean) / scale, yes, penalty=penalty)
    return Classifier(fitted.weights, float(fitted.bias), mean, scale, label, checkpoint_digest(checkpoint))


def save_classifier(classifier: Classifier, file: Path) -> None:
    """Write a classifier as safetensors."""
    tensors = {
        "weights": classifier.weights, "bias": np.array([classifier.bias]), "mean": classifier.mean,
        "scale": classifier.scale,
    }  # fmt: skip
    about = {"schema": SCHEMA, "label": classifier.label, "checkpoint": classifier.checkpoint}
    with replacing(file) as part:
        save_file(tensors, part, about)


def load_classifier(file: Path, checkpoint: Checkpoint) -> Classifier:
    """Read a classifier and check that it belongs to the checkpoint.

    Raises:
        WorkbenchError: The file is damaged, of another kind, or was fitted on another checkpoint's thoughts.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            about, names = opened.metadata() or {}, opened.keys()
            tensors = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise WorkbenchError(f"{file} cannot be read.", str(error), "Fit it again with --fit.") from error
    label: Label | None = next((known for known in LABELS if known == about.get("label")), None)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    width = shapes.get("weights", (0,))
    wanted = {"weights": width, "bias": (1,), "mean": width, "scale": width}
    sound = shapes == wanted and len(width) == 1 and all(np.isfinite(tensor).all() for tensor in tensors.values())
    if about.get("schema") != SCHEMA or label is None or not sound:
        raise WorkbenchError(
            f"{file} is no stop classifier.",
            f"It should hold {', '.join(wanted)} as finite numbers, and a label; it holds {shapes}, {about}.",
            "Fit it again with --fit.",
        )
    if about.get("checkpoint") != checkpoint_digest(checkpoint):
        raise WorkbenchError(
            f"{file} belongs to another checkpoint than {checkpoint.name}.",
            "It was fitted on other weights, and the thoughts of two models have nothing in common.",
            "Fit it again with --fit.",
        )
    return Classifier(
        tensors["weights"], float(tensors["bias"][0]), tensors["mean"], tensors["scale"], label, about["checkpoint"]
    )


# How good the rules are


@dataclass(frozen=True)
class StopFigure:
    """One rule on one set of problems."""

    title: str
    """Name of the rule."""
    thoughts: Estimate
    """Mean number of thoughts."""
    accuracy: Estimate
    """Share of exact answers."""
    shuffled: Estimate
    """The control: the same numbers of thoughts, shuffled over the problems (the exact mean over all
    orders). A rule that adapts to the problem must beat it."""
    gain: Estimate
    """Accuracy less the control's, paired by problem; where its interval holds 0, adapting gained nothing."""
    counts: tuple[int, ...]
    """Number of problems answered after 0, 1, 2 ... thoughts."""
    chosen: bool = False
    """Whether it was chosen among its kind, on other problems."""


def rules_of(thinking: Thinking, classifiers: Sequence[Classifier] = ()) -> list[Rule]:
    """Return the rules to compare: every fixed number, the oracle, every threshold of entropy and of classifiers."""
    rules = [fixed(k) for k in range(thinking.right.shape[1])]
    if thinking.trained and thinking.thoughts.shape[1]:
        rules += [as_many_as_steps(), *map(entropy_below, ENTROPIES)]
        rules += [learned(classifier, threshold) for classifier in classifiers for threshold in PROBABILITIES]
    return rules


def stop_curve(
    thinking: Thinking,
    rules: Sequence[Rule],
    *,
    most: int | None = None,
    chosen_on: Thinking | None = None,
    seed: int = 0,
) -> list[StopFigure]:
    """Judge rules on problems.

    Args:
        thinking: What was thought about the problems.
        rules: The rules.
        most: Most thoughts that a rule may take (a fixed number is free to take more); by default the trained number.
        chosen_on: Other problems, on which one rule of each kind is chosen: the one with fewest thoughts among those
            whose accuracy is at most `SLACK` below the best. Its figure here is then honest, which the best of a
            column of thresholds is not.
        seed: Of the bootstrap.
    """
    limit = min(thinking.trained if most is None else most, thinking.thoughts.shape[1])
    chosen = _chosen(chosen_on, rules, limit) if chosen_on is not None else set()
    rows = np.arange(len(thinking.right))
    figures = []
    for rule in rules:
        stops = rule.stops(thinking, limit)
        right = thinking.right[rows, stops].astype(float)
        counts = np.bincount(stops, minlength=thinking.right.shape[1])
        shuffled = thinking.right @ (counts / len(rows))
        figures.append(
            StopFigure(
                rule.title,
                _mean(stops.astype(float), thinking.graphs, seed),
                resample(right, clusters=thinking.graphs, seed=seed),
                resample(shuffled, clusters=thinking.graphs, seed=seed),
                _mean(right - shuffled, thinking.graphs, seed),
                tuple(counts.tolist()),
                rule.title in chosen,
            )
        )
    return figures


def curve_frame(figures: Sequence[StopFigure]) -> pl.DataFrame:
    """Return a row per rule: its name, thoughts, accuracy, shuffled and gain with their intervals, and its counts."""
    return pl.DataFrame(
        [
            {"rule": figure.title, "chosen": figure.chosen}
            | {
                f"{name}{'' if end == 'value' else '_' + end}": number
                for name in ("thoughts", "accuracy", "shuffled", "gain")
                for end, number in getattr(figure, name).as_dict().items()
            }
            | {"counts": list(figure.counts)}
            for figure in figures
        ]
    )


def _mean(values: np.ndarray, graphs: Sequence[str] | None, seed: int) -> Estimate:
    """Return a mean with its interval; where all values are the same by construction there is nothing to resample."""
    if np.ptp(values) == 0:
        return Estimate(float(values[0]), float(values[0]), float(values[0]), len(values), "exact")
    return resample(values, clusters=graphs, seed=seed)


def _chosen(thinking: Thinking, rules: Sequence[Rule], most: int) -> set[str]:
    """Return the title of one rule of each kind that offers a choice."""
    rows = np.arange(len(thinking.right))
    kinds: dict[str, list[tuple[float, float, str]]] = {}
    for rule in rules:
        if not rule.kind or rule.least >= thinking.right.shape[1]:
            continue
        stops = rule.stops(thinking, most)
        found = (float(thinking.right[rows, stops].mean()), float(stops.mean()), rule.title)
        kinds.setdefault(rule.kind, []).append(found)
    chosen = set()
    for found in kinds.values():
        enough = max(accuracy for accuracy, _, _ in found) - SLACK
        chosen.add(min((spent, -accuracy, title) for accuracy, spent, title in found if accuracy >= enough)[2])
    return chosen
