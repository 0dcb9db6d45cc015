"""The training configuration (one frozen dataclass, one YAML file), and the schedule that a run follows.

The schedule says how many steps of the chain are removed, how large the graphs are, and what comes next. It is the
same for every task: by the frontier mass of the thoughts, or by the clock.
"""

import dataclasses
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from jaxtyping import Int

from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.model.coconut import AnswerReads
from workbench.model.recurrence import IDENTITY, Recurrence
from workbench.model.supervision import Supervision
from workbench.problems.arithmetic import LIMIT, MOST
from workbench.problems.prontoqa import HOPS
from workbench.problems.vocabulary import ConceptNames
from workbench.settings import build, read_settings
from workbench.train.methods import Method, find_method, mixing_share
from workbench.train.reward import Objective, RewardConfig, reward_faults

RUN_SCHEMA = 1
"""Version of a run directory: of config.yaml, where it stands, and of metrics.jsonl; 1 in a file without one."""


@dataclass(frozen=True)
class ModelConfig:
    """A Qwen2 model with random weights."""

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
    """Mean frontier mass at which larger graphs are let in."""
    widen_by: int = 2
    """Edges by which the largest graph grows."""
    largest_edges: int = 52
    typical_edges: int = 36
    """Half of the batches, once all sizes are open, have about this many edges, the others any number."""
    stage_steps: int = 40
    """Fewest steps between two openings."""
    stage_max_steps: int = 1500
    """Most steps to wait for a mass before the next thought opens."""
    widen_max_steps: int = 100
    """Most steps to wait for a mass before larger graphs are let in."""
    walk_share: float = 0.5
    """Share of batches whose questions name no options, with sampled walks as the label."""
    walk_share_late: float = 0.15
    """The same from `late_from` on."""
    late_from: int = 8000
    """Step from which most batches have questions with options."""
    walks: int = 24
    """Sampled walks of each question without options."""
    chain_graphs: int = 2
    """Graphs of a batch, where its questions name options, whose remaining chains are learned in words as well."""
    special: float = 0.6
    """Share of questions from one of the two special roots to a leaf, as in ProsQA."""
    by: Literal["mass", "clock", "accuracy"] = "mass"
    """What moves the run on: the frontier mass, the step alone, the same for every method, or (text) how many of the
    rows of a batch the model would say right, word by word after the right words before."""
    open_at_accuracy: float = 0.9
    """By accuracy: running share of such rows at which the next step of the chain is removed."""
    thoughts_per_step: int = 0
    """Slots for each removed step, c; 0: those of the method."""
    remove: Literal["steps", "tokens"] = "steps"
    """What the chain of a text loses from the left: whole steps, or tokens one by one through each stage."""
    remove_from: int = 0
    """By the clock: step at which the first step of the chain is removed."""
    remove_every: int = 60
    """By the clock: training steps for each step of the chain."""
    widen_from: int = 400
    """By the clock: step from which larger graphs are let in."""
    widen_every: int = 40
    """By the clock: training steps between two larger sizes."""
    hop_weights: dict[int, float] = field(default_factory=lambda: {1: 0.03, 2: 0.07, 3: 0.25, 4: 0.3, 5: 0.2, 6: 0.15})
    """Relative weight of each distance from root to target."""


@dataclass(frozen=True)
class RowsConfig:
    """Training on problems as text, every task but `edges`; and on problems of any task, for a reward."""

    problems: str = ""
    """File to train on; by default problems are generated."""
    validation: str = ""
    """File of problems to answer at every evaluation; by default problems are generated."""
    count: int = 20000
    """Generated problems."""
    batch: int = 32
    """Problems per process and step."""
    questions: int = 1
    """Problems on one graph that stand together, their sentences run once (ProsQA). Generated ones are made so; of a
    file, problems are taken together that follow each other and have the same sentences."""
    edges: int = 0
    """Most edges of a generated graph of ProsQA, with targets as `curriculum.hop_weights` has them; 0: as released."""
    names: ConceptNames = "released"
    """What concepts of generated ProsQA in sentences are called: as in the released files (nonsense), or "nouns"."""
    hops: int = HOPS
    """Hops of a generated proof of ProntoQA."""
    operations: int = MOST
    """Most operations of a generated arithmetic story; the fewest is two, or one where the most is one."""
    limit: int = LIMIT
    """Largest number of a generated arithmetic story, in every step."""
    epochs_per_stage: float = 0.0
    """Passes over the problems in each stage but the last, in place of `steps_per_stage`; every problem once a pass."""
    steps_per_stage: int = 300
    """Training steps in each stage but the last; `curriculum.by: clock` has `remove_from`, `remove_every` instead."""


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates in place of the matrices of a pre-trained model (arXiv 2106.09685), by the library peft.

    Beside them norms, biases, the thought markers and the thought head are trained; an export holds merged matrices.
    """

    rank: int = 0
    """0: all weights are trained."""
    alpha: float = 32.0
    """An update is multiplied by alpha / rank."""
    full_layers: int = 0
    """Last layers whose own weights are trained."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run; the file in the run directory is the same as the one given."""

    name: str = "reference"
    """Of the run; its folder under `runs/` by default."""
    seed: int = 0
    """Of the initial weights and of every draw."""
    objective: Objective = "supervised"
    """What is trained for: words, or a reward (section `reward`)."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    task: Literal["edges", "prosqa", "prontoqa", "arithmetic"] = "edges"
    """Problems: random graphs as lists of edges, or ProsQA, ProntoQA and arithmetic as text."""
    method: str = "coconut_next_node"
    """One of `methods.METHODS`."""
    mixing: str = "packed"
    """Stage mixing: none, a share such as 0.1, proportional, or packed (all open stages at once)."""
    answer_reads: AnswerReads = "all"
    """What the words after the thoughts read: "all" that came before, the "thoughts" alone, or the "prompt" alone."""
    reset_optimizer: Literal[False, True, "epoch"] = False
    """Whether the optimizer's moments are cleared at every new stage; or there and after every pass over the problems
    within a stage ("epoch", with `rows.epochs_per_stage`)."""
    start: str = ""
    """A checkpoint to begin from: a directory or a hub name. By default a small model with random weights."""
    layers: int = 0
    """First layers of `start` that are kept; 0: all."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    recurrence: Recurrence = field(default_factory=Recurrence)
    """How a thought is made of the hidden state before it: as it is (identity), by an MLP (projection), or as a mean
    of embeddings (mixture)."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes of the model with random weights. Beside `start` they are those of the checkpoint, or larger ones (a
    model from scratch is made wider or deeper without a change of what it computes), or are left out."""
    rows: RowsConfig = field(default_factory=RowsConfig)
    curriculum: Curriculum = field(default_factory=Curriculum)
    graphs: int = 16
    """Graphs per process and step."""
    questions: int = 16
    """Questions of each graph."""
    accumulate: int = 1
    """Batches of each process whose gradients are one step's: as one batch of so many times the size."""
    processes: int = 2
    """One-thread processes that average their gradients."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 4e-4
    muon_learning_rate: float = 0.01
    betas: tuple[float, ...] = (0.9, 0.95)
    """Of AdamW: what the running means of the gradient and of its square keep at each step."""
    weight_decay: float = 0.01
    decay_all: bool = False
    """Whether weights of one dimension (norms, biases) decay as matrices do."""
    clip: float = 1.0
    """Largest gradient norm."""
    warmup_steps: int = 100
    steps: int = 16000
    decay_from: int = 0
    """Step at which the learning rate begins its linear decay to zero at the last step; 0: half of `steps`."""
    rate_factor: float = 1.0
    """What every learning rate is multiplied by after each `rate_every` steps, counted from the last time that
    `reset_optimizer` cleared the moments."""
    rate_every: int = 0
    """Steps between two such changes; 0: never."""
    average_from: int = 0
    """Step from which the evaluated and exported model is an average of the weights over steps; 0: never."""
    average_decay: float = 1.0
    """What an average keeps at each step (0.999: about the last 1,000 steps); 1: all steps count equally."""
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
            of the wrong type or out of range.
    """
    given = read_settings(path, "configuration")
    schema = given.pop("schema", RUN_SCHEMA)
    if schema not in range(1, RUN_SCHEMA + 1):
        raise WorkbenchError(
            f"Cannot use the configuration {path}.",
            f"Its schema is {schema!r:.60}; this version of the workbench knows 1 to {RUN_SCHEMA}",
            "Update the workbench.",
        )
    config = build(TrainConfig, given, f"configuration {path}")
    least_one = (
        *("graphs", "questions", "processes", "steps", "evaluate_every", "keep_every", "watched", "rows.batch"),
        *("rows.questions", "accumulate"),
    )
    clock = ("curriculum.remove_every", "curriculum.widen_every", "rows.steps_per_stage")
    faults = [
        (f"{name} is {attrgetter(name)(config)}, expected 1 or more", attrgetter(name)(config) < 1)
        for name in (*least_one, *clock)
    ]
    method = method_of(config)
    slots = method.slots(config.curriculum.thoughts)
    width, heads = config.model.width, config.model.heads
    faults += [
        (
            f"decay_from ({config.decay_from}) must be between 1 and steps ({config.steps}), or be left out",
            not 0 <= config.decay_from <= config.steps,
        ),
        (
            f"model.width ({width}) must be a multiple of twice model.heads ({heads}): rotary positions turn pairs",
            heads < 1 or width < 1 or bool(width % (2 * heads)),
        ),
        (
            f"betas ({list(config.betas)}) must be two numbers from 0 to below 1",
            len(config.betas) != 2 or not all(0 <= beta < 1 for beta in config.betas),
        ),
        (f"weight_decay ({config.weight_decay}) is below 0", config.weight_decay < 0),
        (
            f"rate_factor ({config.rate_factor}) must be above 0 and at most 1; a factor below 1 needs rate_every "
            f"({config.rate_every}) above 0, and rate_every needs a factor below 1",
            not 0 < config.rate_factor <= 1
            or config.rate_every < 0
            or (config.rate_factor < 1) != (config.rate_every > 0),
        ),
        (
            "reset_optimizer: epoch needs passes over problems: rows.epochs_per_stage, objective: supervised, and "
            "another task than edges",
            config.reset_optimizer == "epoch"
            and (not config.rows.epochs_per_stage or config.task == "edges" or config.objective != "supervised"),
        ),
        (f"average_decay ({config.average_decay}) must be above 0 and at most 1", not 0 < config.average_decay <= 1),
        (
            f"rows.batch ({config.rows.batch}) must be a multiple of rows.questions ({config.rows.questions})",
            bool(config.rows.batch % max(config.rows.questions, 1)),
        ),
        (
            "rows.names is of generated problems of ProsQA in sentences",
            config.rows.names != "released" and (config.task != "prosqa" or bool(config.rows.problems)),
        ),
        (
            "lora.rank and layers need a pre-trained model: name one in `start`",
            bool(config.lora.rank or config.layers) and not config.start,
        ),
        (
            "curriculum.by: accuracy and remove: tokens are of problems as text, not of the task edges",
            config.task == "edges" and (config.curriculum.by == "accuracy" or config.curriculum.remove == "tokens"),
        ),
        ("accumulate must be 1 where answers are rewarded", config.objective != "supervised" and config.accumulate > 1),
        (
            f"training makes thoughts one after the other, without noise; recurrence is {config.recurrence}",
            config.recurrence.kind == "gaussian" or bool(config.recurrence.sweeps or config.recurrence.gumbel),
        ),
        (f"average_from ({config.average_from}) is below 0", config.average_from < 0),
        (
            "answer_reads must be all where answers are rewarded",
            config.objective != "supervised" and config.answer_reads != "all",
        ),
        *reward_faults(config.objective, config.reward, config.task, method.fed, slots, config.processes),
    ]
    for why, holds in faults:
        if holds:
            raise WorkbenchError(f"Cannot use the configuration {path}.", why, "change the value")
    mixing_share(config.mixing)
    return replace(config, method=method.name)


def save_config(config: TrainConfig, path: Path) -> None:
    """Write a configuration as YAML, with the version of its form."""
    write_whole(path, yaml.safe_dump({"schema": RUN_SCHEMA, **dataclasses.asdict(config)}, sort_keys=False))


def checkpoint_fields(config: TrainConfig, start: Supervision | None = None) -> dict[str, object]:
    """Return the fields of `config.coconut` that follow from a configuration; the format is not among them.

    Where there are no slots there are no markers either (the official repository: `no_special_marker`); the task edges
    never has any.

    Args:
        config: Of the run.
        start: How the thoughts of what it starts from were supervised, None for random or pre-trained weights.
    """
    method = method_of(config)
    supervision = Supervision.of(method.asked, dataclasses.asdict(config), start)
    if config.objective != "supervised":
        supervision = Supervision("rewarded", start=start)
    mixed = config.objective != "supervised" and config.reward.variety == "gumbel"
    made = Recurrence("mixture") if mixed else config.recurrence
    return {
        "version": 1,
        "task": "prosqa" if config.task == "edges" else config.task,
        "markers": config.task != "edges" and method.fed != "nothing",
        "thoughts": method.slots(config.curriculum.thoughts),
        "thoughts_per_step": method.per_step,
        "fed": "pause" if method.fed == "pause" else "hidden",
        "says": "chain" if method.speaks else "answer",
        "method": method.name,
        "supervision": dataclasses.asdict(supervision),
        "answer_reads": config.answer_reads,
        **({"recurrence": dataclasses.asdict(made)} if made != IDENTITY else {}),
    }


def method_of(config: TrainConfig) -> Method:
    """Return the method of a run, with the thoughts per step and the removal that its curriculum asks for."""
    method, plan = find_method(config.method), config.curriculum
    return replace(
        method,
        per_step=plan.thoughts_per_step or method.per_step,
        said="tail" if plan.remove == "tokens" and method.said == "rest" else method.said,
    )


ALL = 1 << 30
"""More tokens than any chain has."""


@dataclass(frozen=True)
class Stage:
    """Where a run stands in its schedule; a checkpoint stores it."""

    thoughts: int = 1
    """Steps of the chain that are removed: the newest stage."""
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


@dataclass(frozen=True)
class Schedule:
    """How a run goes from stage to stage."""

    plan: Curriculum
    last: int
    """The last stage: K, or K + 1 where chains have more than K steps and the rest of them is removed at the end."""
    staged: bool = True
    """Whether the method has a curriculum; without one, every stage is the last."""
    step_tokens: int = 1
    """Tokens that each stage removes where they go one by one (iCoT)."""

    @classmethod
    def of(cls, config: TrainConfig, last: int | None = None, step_tokens: int = 1) -> "Schedule":
        """Return the schedule of a run.

        Problems of text have no graph size. They go by the clock: a new stage every `rows.steps_per_stage` steps,
        unless the curriculum says `by: clock` and gives its own steps, or `by: accuracy`.
        """
        plan = config.curriculum
        if config.task != "edges":
            plan = replace(plan, widen_by=0, largest_edges=plan.small_edges)
            if plan.by == "mass":
                every = config.rows.steps_per_stage
                plan = replace(plan, by="clock", remove_from=every, remove_every=every)
        staged = method_of(config).curriculum
        return cls(plan, plan.thoughts if last is None else last, staged, step_tokens)

    def first(self) -> Stage:
        """Return the stage of step 0."""
        if self.plan.by == "clock":
            return self._by_clock(0)
        return Stage(int(self.plan.by == "mass") if self.staged else self.last, self.plan.small_edges)

    def after(self, stage: Stage, step: int, mass: float) -> Stage:
        """Return the stage of a step, after a step at `stage` whose mean frontier mass (or accuracy) was `mass`."""
        return self._by_clock(step, mass) if self.plan.by == "clock" else self._by_mass(stage, step - 1, mass)

    def _by_clock(self, step: int, mass: float = 0.0) -> Stage:
        plan = self.plan
        removed = 0 if step < plan.remove_from else 1 + (step - plan.remove_from) // plan.remove_every
        wider = 0 if step < plan.widen_from else 1 + (step - plan.widen_from) // plan.widen_every
        thoughts = min(removed, self.last) if self.staged else self.last
        return Stage(thoughts, min(plan.small_edges + wider * plan.widen_by, plan.largest_edges), step, mass)

    def _by_mass(self, stage: Stage, step: int, mass: float) -> Stage:
        plan, stage = self.plan, replace(stage, mass=0.95 * stage.mass + 0.05 * mass)
        waited = step - stage.since
        opening = stage.thoughts < self.last
        needed = plan.open_at_mass if opening else plan.widen_at_mass
        needed = plan.open_at_accuracy if plan.by == "accuracy" else needed
        patience = plan.stage_max_steps if opening else plan.widen_max_steps
        if waited < plan.stage_steps or (stage.mass < needed and waited < patience):
            return stage
        if opening:
            return replace(stage, thoughts=stage.thoughts + 1, since=step)
        if stage.edges < plan.largest_edges:
            return replace(stage, edges=min(stage.edges + plan.widen_by, plan.largest_edges), since=step)
        return stage

    def wide(self, stage: Stage, step: int) -> bool:
        """Say whether larger graphs are being let in, or all have been."""
        return step >= self.plan.widen_from if self.plan.by == "clock" else stage.thoughts == self.last

    def removed_tokens(
        self, method: Method, stage: Stage, drawn: Int[np.ndarray, "*rows"], rng: np.random.Generator
    ) -> Int[np.ndarray, "*rows"]:
        """Return how many tokens of each chain are gone where they go one by one (iCoT, arXiv 2405.14838, section 3).

        By the clock they go evenly through the stages, and after the last one all are gone. Of a question drawn at an
        older stage, the tokens of that whole stage are gone. Now and then o more are gone than that, with probability
        ~ exp(-smoothing * o), which eases the change to the next length.

        Args:
            method: Gives the smoothing.
            stage: Where the run stands.
            drawn: Stage of each question.
            rng: Source of all randomness.
        """
        plan, each = self.plan, self.step_tokens
        now = each * stage.thoughts
        if plan.by == "clock":
            late = stage.since - plan.remove_from
            now = 0 if late < 0 else 1 + late * each // plan.remove_every
        gone = np.where(drawn == stage.thoughts, now, drawn * each)
        extra = rng.geometric(1 - np.exp(-method.smoothing), drawn.shape) - 1 if method.smoothing else 0
        return np.where(gone >= each * self.last, ALL, gone + extra)


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


def notes(config: TrainConfig) -> list[str]:
    """Return what a configuration asks for that its task does not have, a sentence each."""
    method = method_of(config)
    if method.heads != "none" and config.task in ("prontoqa", "arithmetic"):
        return [f"Problems of {config.task} have no graph: no thought's LM head is asked (method {method.name})."]
    return []
