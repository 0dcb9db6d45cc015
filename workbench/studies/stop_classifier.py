"""A stop rule that was learned: a linear classifier that looks at one thought and says whether to answer now.

The Coconut paper's first option (arXiv 2412.06769, section 3): "train a binary classifier on latent thoughts to enable
the model to autonomously decide when to terminate the latent reasoning".
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.special import expit

from workbench.errors import WorkbenchError
from workbench.files import replacing
from workbench.measure.provenance import checkpoint_digest
from workbench.model.checkpoint import Checkpoint
from workbench.studies.stopping import Thinking, first_true

Label = Literal["reached", "right"]
"""What the classifier is asked of thought k. "reached": it stands for the problem's last step, or a later one; the
number of steps is known of every training problem, and a coin flip cannot get it. "right": the answer after k thoughts
is right; needs no steps, but where there are two options half of the lucky guesses are labelled "enough"."""
LABELS: tuple[Label, ...] = get_args(Label)

SCHEMA = "1"


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


@dataclass(frozen=True)
class Learned:
    """Stop after the first thought that a classifier finds enough."""

    classifier: Classifier
    threshold: float = 0.5
    """Probability from which on it is enough."""

    @property
    def title(self) -> str:
        """Name in tables."""
        return f"{self.classifier.label} > {self.threshold:g}"

    def stops(self, thinking: Thinking, most: int) -> Int[np.ndarray, " problems"]:
        """Return the first thought that is enough; `most` where there is none."""
        return first_true(self.classifier.probability(thinking.thoughts) > self.threshold, most)


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
    features = (vectors - mean) / scale

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, logits = parameters[:-1], features @ parameters[:-1] + parameters[-1]
        wrong = expit(logits) - yes
        value = (np.logaddexp(0, logits) - yes * logits).sum() + penalty / 2 * weights @ weights
        return float(value), np.append(features.T @ wrong + penalty * weights, wrong.sum())

    best = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return Classifier(best[:-1], float(best[-1]), mean, scale, label, checkpoint_digest(checkpoint))


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
