"""What is on the screen, as values: the choices made, and what was read for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.measure.scores import NodeScores, Readout
from workbench.measure.trace import Answer, Trace
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem


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
    problem: Problem
    source: Source
    readout: Readout


@dataclass(frozen=True)
class Reading:
    """What one run thinks about the problem."""

    run: Run
    trace: Trace
    scores: NodeScores
    answer: Answer
    """The answer after all its thoughts, in the way that was chosen."""

    def depth_beside(self, leader: "Reading", depth: int) -> int:
        """Return how many of its own thoughts to show beside `depth` thoughts of another reading.

        The same number; where a step takes them different numbers of thoughts, as many as stand for the same hop. The
        nearest that there is where it has not thought so long.
        """
        wanted = depth
        if self.trace.thoughts_per_step != leader.trace.thoughts_per_step:
            wanted = leader.trace.hop(depth) * self.trace.thoughts_per_step
        return min(self.scores.depths, key=lambda own: abs(own - wanted))


def comparable(readings: Sequence[Reading], depths: Sequence[int]) -> bool:
    """Return whether readings are of the same readout after the same number of thoughts."""
    return len({(reading.scores.readout, depth) for reading, depth in zip(readings, depths, strict=True)}) == 1
