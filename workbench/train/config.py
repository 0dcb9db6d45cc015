"""The training configuration: one frozen dataclass, one YAML file, no other state.

Where a run stands in its curriculum: how many thoughts are open, how large the graphs are, what comes next.
"""

import dataclasses
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from workbench.errors import WorkbenchError
from workbench.settings import build, read_settings
from workbench.train.methods import find_method, mixing_share


@dataclass(frozen=True)
class ModelConfig:
    """A Qwen2-type model from scratch."""

    width: int = 256
    """Of the residual stream, d."""
    layers: int = 2
    heads: int = 4
    mlp_width: int = 640
    rope_base: float = 1e6
    """Rotary base: content is matched by slow frequencies."""
    embedding_std: float = 0.3
    """Of the embeddings and, equally, the final norm's gain: a thought is then as long as an embedding."""


@dataclass(frozen=True)
class Curriculum:
    """Deep before wide: open all thoughts on tiny graphs, then grow the graphs, then mix all sizes."""

    thoughts: int = 6
    """K, the last stage."""
    small_edges: int = 8
    """Edges of a graph while thoughts are being opened."""
    open_at_mass: float = 0.75
    """Mean frontier mass over the open thoughts at which the next one opens."""
    widen_at_mass: float = 0.72
    """The same for letting in larger graphs."""
    widen_by: int = 2
    largest_edges: int = 52
    typical_edges: int = 36
    """Half of the batches, once all sizes are open, have about this many edges, the others any number."""
    stage_steps: int = 40
    """Least steps between two openings."""
    stage_max_steps: int = 1500
    """Most steps to wait for a mass before opening all the same."""
    widen_max_steps: int = 100
    """The same for letting in larger graphs."""
    walk_share: float = 0.5
    """Share of batches without candidates, with sampled walks as the label."""
    walk_share_late: float = 0.15
    """The same from `late_from` on."""
    late_from: int = 8000
    """Step from which most batches have candidates."""
    walks: int = 24
    """Sampled walks of each such question."""
    chain_graphs: int = 2
    """Graphs of a batch with candidates whose remaining chains are asked in language as well."""
    special: float = 0.6
    """Share of questions from one of the two special roots to a leaf, as in ProsQA."""
    by: Literal["mass", "clock"] = "mass"
    """What moves it on: the frontier mass, or the step alone, the same for every method."""
    remove_from: int = 0
    """By the clock: step at which the first step of the chain is removed."""
    remove_every: int = 60
    """By the clock: steps of training for each step of the chain."""
    widen_from: int = 400
    """By the clock: step from which larger graphs are let in."""
    widen_every: int = 40
    hop_weights: dict[int, float] = field(default_factory=lambda: {1: 0.03, 2: 0.07, 3: 0.25, 4: 0.3, 5: 0.2, 6: 0.15})
    """Relative weight of each distance from root to target."""


@dataclass(frozen=True)
class RowsConfig:
    """Training by ordinary token rows: every task but `edges`."""

    problems: str = ""
    """File to train on; by default problems are generated."""
    validation: str = ""
    """File to watch; by default problems are generated."""
    count: int = 20000
    """Generated problems."""
    batch: int = 32
    """Rows per process and step."""
    steps_per_stage: int = 300
    """Steps of training in each stage but the last."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run; the file in the run directory is the same as the one given."""

    name: str = "reference"
    seed: int = 0
    task: Literal["edges", "prosqa", "prontoqa", "arithmetic"] = "edges"
    """Problems: ProsQA by the packed step (edges), the others by rows of tokens."""
    method: str = "coconut"
    """One of `methods.METHODS`."""
    mixing: str = "packed"
    """Stage mixing: none, a share such as 0.1, proportional, or packed (all open stages at once)."""
    reset_optimizer: bool = False
    """Whether the optimizer forgets at every new stage."""
    start: str = ""
    """A checkpoint to begin from: a directory or a hub name. By default a small model from scratch."""
    model: ModelConfig = field(default_factory=ModelConfig)
    rows: RowsConfig = field(default_factory=RowsConfig)
    curriculum: Curriculum = field(default_factory=Curriculum)
    graphs: int = 16
    """Graphs per process and step."""
    questions: int = 16
    """Questions of each graph."""
    processes: int = 2
    """One-thread processes that average their gradients."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 4e-4
    muon_learning_rate: float = 0.01
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest gradient norm."""
    warmup_steps: int = 100
    steps: int = 16000
    decay_from: int = 8000
    """Step at which the learning rate begins its linear way to zero at the last step."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the matrix products; everything else is fp32."""
    evaluate_every: int = 200
    watched: int = 100
    """Problems that are answered at every evaluation."""
    keep_every: int = 2000
    """Steps between two small checkpoints that stay, beside those at each opened thought."""
    checkpoint_seconds: float = 45.0
    """A run that is killed loses at most this much."""


def load_config(path: Path) -> TrainConfig:
    """Read a training configuration.

    Raises:
        WorkbenchError: If the file cannot be read, a key is unknown (the nearest known one is named) or a value is
            of the wrong type.
    """
    config = build(TrainConfig, read_settings(path, "configuration"), f"configuration {path}")
    if not 0 < config.decay_from <= config.steps:
        raise WorkbenchError(
            f"Cannot use the configuration {path}.",
            f"decay_from ({config.decay_from}) must be between 1 and steps ({config.steps})",
            "change one of them",
        )
    _check_ranges(config, path)
    find_method(config.method)
    mixing_share(config.mixing)
    return config


def _check_ranges(config: TrainConfig, path: Path) -> None:
    """Refuse values that would fail, or train nothing, only after a while."""
    least_one = ("graphs", "questions", "processes", "steps", "evaluate_every", "keep_every", "watched")
    for name in (*least_one, "curriculum.remove_every", "curriculum.widen_every"):
        if attrgetter(name)(config) < 1:
            raise WorkbenchError(
                f"Cannot use the configuration {path}.",
                f"{name} is {attrgetter(name)(config)}, expected 1 or more",
                "change the value",
            )
    width, heads = config.model.width, config.model.heads
    if heads < 1 or width < 1 or width % (2 * heads):
        raise WorkbenchError(
            f"Cannot use the configuration {path}.",
            f"model.width ({width}) must be a multiple of twice model.heads ({heads}): rotary positions turn pairs",
            "change one of them",
        )


def save_config(config: TrainConfig, path: Path) -> None:
    """Write a configuration as YAML."""
    path.write_text(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))


def checkpoint_fields(config: TrainConfig) -> dict[str, object]:
    """Return the fields of `config.coconut` that follow from task and method; the format is not among them.

    Where there are no slots there are no markers either (the official repository: `no_special_marker`); the task edges
    never has any.
    """
    method = find_method(config.method)
    return {
        "version": 1,
        "task": "prosqa" if config.task == "edges" else config.task,
        "markers": config.task != "edges" and method.fed != "nothing",
        "thoughts": method.slots(config.curriculum.thoughts),
        "thoughts_per_step": method.per_step,
        "fed": "pause" if method.fed == "pause" else "hidden",
        "says": "chain" if method.speaks else "answer",
        "method": method.name,
    }


@dataclass(frozen=True)
class Stage:
    """The state of the curriculum; a checkpoint stores it, a metric moves it on."""

    thoughts: int = 1
    edges: int = 8
    """Largest graphs that are drawn."""
    since: int = 0
    """Step at which the last change was made; by the clock, the step itself."""
    mass: float = 0.0
    """Running mean of the frontier mass over the open thoughts."""

    @property
    def name(self) -> str:
        """A folder name for the checkpoint taken when this stage ends."""
        return f"thoughts{self.thoughts}-edges{self.edges:02d}"


def advance(stage: Stage, plan: Curriculum, step: int, mass: float) -> Stage:
    """Return the stage after a step whose mean frontier mass was `mass`."""
    stage = replace(stage, mass=0.95 * stage.mass + 0.05 * mass)
    waited = step - stage.since
    opening = stage.thoughts < plan.thoughts
    needed = plan.open_at_mass if opening else plan.widen_at_mass
    patience = plan.stage_max_steps if opening else plan.widen_max_steps
    if waited < plan.stage_steps or (stage.mass < needed and waited < patience):
        return stage
    if opening:
        return replace(stage, thoughts=stage.thoughts + 1, since=step)
    if stage.edges < plan.largest_edges:
        return replace(stage, edges=min(stage.edges + plan.widen_by, plan.largest_edges), since=step)
    return stage


def by_clock(plan: Curriculum, step: int, mass: float = 0.0) -> Stage:
    """Return the stage that the clock says: thoughts (removed steps, 0 before the first) and the largest graphs."""
    removed = 0 if step < plan.remove_from else 1 + (step - plan.remove_from) // plan.remove_every
    wider = 0 if step < plan.widen_from else 1 + (step - plan.widen_from) // plan.widen_every
    thoughts = min(removed, plan.thoughts)
    return Stage(thoughts, min(plan.small_edges + wider * plan.widen_by, plan.largest_edges), step, mass)


def removed_tokens(plan: Curriculum, stage: Stage, per_step: int) -> int | None:
    """Return how many tokens of the chain the clock has removed, None for all: evenly, `per_step` a stage."""
    if plan.by != "clock":
        return None
    late = stage.since - plan.remove_from
    gone = 0 if late < 0 else 1 + late * per_step // plan.remove_every
    return gone if gone < per_step * plan.thoughts else None


def draw_edges(stage: Stage, plan: Curriculum, rng: np.random.Generator) -> int:
    """Draw the number of edges of a batch: never above what is open, every size kept in the mix to the end."""
    small = plan.small_edges
    if stage.edges <= small + plan.widen_by:
        return int(rng.integers(small, stage.edges + 1))
    if stage.edges < plan.largest_edges:
        # While widening, the newest sizes are likelier.
        return (
            max(small, int(stage.edges - abs(rng.normal(0, stage.edges / 4))))
            if rng.random() < 0.7
            else int(rng.integers(small, stage.edges + 1))
        )
    if rng.random() < 0.5:
        return int(np.clip(rng.normal(plan.typical_edges, 6), small, plan.largest_edges))
    return int(rng.integers(small, plan.largest_edges + 1))
