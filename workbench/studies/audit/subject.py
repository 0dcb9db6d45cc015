"""What is audited: a checkpoint and problems, and what it answers to them under many plans."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan
from workbench.interventions.run import Outcome, Sources, run_intervened
from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem

Advance = Callable[[int], None]
"""Called with the number of answers given since the last call."""


def quiet(count: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Options:
    """How a checkpoint is audited."""

    seed: int = 0
    """Of noise, exchanges, drawn rewrites, generated problems and the bootstrap."""
    batch_size: int = 64
    """Problems run at a time."""
    fit: int = 600
    """Problems generated to learn codes and the query-blind classifier from; on other graphs than the audited ones."""
    further: int = 200
    """Problems generated for each kind of larger graphs."""


@dataclass(frozen=True)
class Answered:
    """Answers to n problems without plan."""

    right: Bool[np.ndarray, " n"]
    """Whether each is exactly right."""
    wrong_option: Bool[np.ndarray, " n"]
    """Whether it is the other option and nothing else."""
    thoughts: Float[Tensor, "n K d"] | None
    """Thoughts 1..K, None where there are none."""


@dataclass(frozen=True)
class Subject:
    """A checkpoint, as it answers problems."""

    checkpoint: Checkpoint
    problems: Sequence[Problem]
    options: Options = field(default_factory=Options)
    advance: Advance = quiet

    @property
    def thoughts(self) -> int:
        """Number of thoughts, K."""
        return self.checkpoint.thoughts

    @property
    def thinks(self) -> bool:
        """Whether what is fed between prompt and answer differs from problem to problem."""
        return self.thoughts > 0 and self.checkpoint.pause is None

    def operated(
        self,
        plans: Sequence[Plan | Sequence[Intervention]],
        problems: Sequence[Problem] | None = None,
        *,
        sources: Sources | None = None,
        spaces: Mapping[str, Float[Tensor, "vocab d"]] | None = None,
        set_thoughts: Float[Tensor, "problems K d"] | None = None,
        keep_thoughts: bool = False,
    ) -> list[Outcome]:
        """Answer problems under plans, see `run_intervened`.

        Raises:
            WorkbenchError: As there.
        """
        asked = self.problems if problems is None else problems
        return run_intervened(
            self.checkpoint, asked, plans,
            sources=sources, spaces=spaces, set_thoughts=set_thoughts, keep_thoughts=keep_thoughts,
            batch_size=self.options.batch_size, on_progress=lambda count: self.advance(count * len(plans)),
        )  # fmt: skip

    def answered(self, problems: Sequence[Problem]) -> "Answered":
        """Answer problems without plan, a model without thoughts as it was trained to: at once, or after a chain."""
        if self.thoughts:
            (own,) = self.operated([[]], problems, keep_thoughts=True)
            return Answered(
                own.right, own.wrong_option, None if own.thoughts is None else torch.from_numpy(own.thoughts)
            )
        found = list(answers(self.checkpoint, problems, batch_size=self.options.batch_size))
        self.advance(len(found))
        right = np.array([answer.right for answer in found], dtype=bool)
        wrong = np.array([answer.valid and not answer.right for answer in found], dtype=bool)
        return Answered(right, wrong, None)


def require_problems(problems: Sequence[Problem]) -> None:
    """Refuse a set on which nothing can be exchanged.

    Raises:
        WorkbenchError: There are fewer than two problems.
    """
    if len(problems) < 2:
        raise WorkbenchError(
            "Nothing can be audited.",
            f"There {'is one problem' if problems else 'are no problems'}; thoughts are exchanged between problems.",
            "Give some hundred.",
        )
