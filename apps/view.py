"""What is on the screen, as one value: the choices made, and what was read for them."""

from dataclasses import dataclass
from pathlib import Path

from workbench.checkpoint import Checkpoint
from workbench.problem import Problem
from workbench.scores import NodeScores, Readout
from workbench.trace import Trace


@dataclass(frozen=True)
class Source:
    """Where the problem came from, so that a link and a script can fetch it again."""

    code: str
    """Python that sets `problem`."""
    imports: tuple[str, ...]
    """The import lines that it needs."""
    unlinked: str = ""
    """Why a link to this page cannot hold the problem; empty if it can."""


@dataclass(frozen=True)
class Run:
    """A chosen run or checkpoint."""

    name: str
    path: Path
    checkpoint: Checkpoint


@dataclass(frozen=True)
class View:
    """Everything chosen outside the picture."""

    run: Run
    beside: Run | None
    """A second run to compare with."""
    problem: Problem
    source: Source
    thoughts: int
    """Number of thoughts, K."""
    readout: Readout


@dataclass(frozen=True)
class Reading:
    """What one run thinks about the problem."""

    run: Run
    trace: Trace
    scores: NodeScores
