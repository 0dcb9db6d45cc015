"""What is on the screen, as values: the choices made, and what was read for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.measure.scores import NodeScores, Readout
from workbench.measure.trace import Answer, Trace
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap, other_target

TWIN, OTHER_TARGET, THOUGHT = "the swapped question", "another target asked", "its thought"
"""What of the same run another of its readings can be compared with; a number follows the last."""


KEPT = "plan kept"
"""Key in the session of the plan that was being made on the page Interventions, as text, and what of it is off."""


@dataclass(frozen=True)
class Source:
    """Where the problem came from, so that a link and a script can fetch it again."""

    code: str
    """Python that sets `problem` or `problems`, with `workbench` as `wb`."""
    unlinked: str = ""
    """Why a link to this page cannot hold the problem; empty if it can."""
    problems: tuple[Problem, ...] = ()
    """The set it is from, itself included; empty where it stands alone."""


@dataclass(frozen=True)
class Run:
    """A chosen run or checkpoint, and how it is run."""

    name: str
    path: Path
    checkpoint: Checkpoint
    thoughts: int = 0
    """Number of thoughts, K."""
    says: str = "answer"
    """What follows the thoughts: the "answer" at once, or the "chain" in words first."""


@dataclass(frozen=True)
class View:
    """Everything chosen outside the picture."""

    run: Run
    beside: Run | None
    """A second run to compare with."""
    against: str
    """Or what else of the same run (`TWIN`, `OTHER_TARGET`, "its thought 2"); "" for nothing."""
    problem: Problem
    source: Source
    readout: Readout

    @property
    def thought(self) -> int | None:
        """The number of the thought that is compared with, None where it is something else."""
        return int(self.against.removeprefix(f"{THOUGHT} ")) if self.against.startswith(THOUGHT) else None

    def other_question(self, problem: Problem) -> Problem | None:
        """Return what is asked about a problem's graph for comparison, None where nothing else can be."""
        if self.against == TWIN:
            return entity_swap(problem)
        return other_target(problem, 0) if self.against == OTHER_TARGET else problem


@dataclass(frozen=True)
class Reading:
    """What one run thinks about the problem."""

    run: Run
    trace: Trace
    scores: NodeScores
    answer: Answer
    """The answer after all its thoughts, in the way that was chosen."""
    told: str = ""
    """What sets it apart from another reading of the same run, in a few words."""
    fixed: int | None = None
    """The number of thoughts that it shows whatever is chosen; None: it follows the choice."""

    @property
    def name(self) -> str:
        """What it is called on the page, and in the keys of its elements."""
        return f"{self.run.name}, {self.told}" if self.told else self.run.name

    @property
    def problem(self) -> Problem:
        """The problem that was read."""
        return self.trace.graph_problem

    def depth_beside(self, leader: "Reading", depth: int) -> int:
        """Return how many of its own thoughts to show beside `depth` thoughts of another reading.

        The same number; where a step takes them different numbers of thoughts, as many as stand for the same hop. The
        nearest that there is where it has not thought so long. A fixed number where there is one.
        """
        wanted = depth if self.fixed is None else self.fixed
        if self.fixed is None and self.trace.thoughts_per_step != leader.trace.thoughts_per_step:
            wanted = leader.trace.hop(depth) * self.trace.thoughts_per_step
        return min(self.scores.depths, key=lambda own: abs(own - wanted))


def comparable(readings: Sequence[Reading], depths: Sequence[int]) -> bool:
    """Return whether readings are of the same readout after the same number of thoughts, or one that was chosen."""
    apart = any(reading.fixed is not None for reading in readings)
    return len({(one.scores.readout, not apart and depth) for one, depth in zip(readings, depths, strict=True)}) == 1
