"""Where a run stands in its curriculum: how many thoughts are open, how large the graphs are, what comes next."""

from dataclasses import dataclass, replace

import numpy as np

from workbench.train_config import Curriculum


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
