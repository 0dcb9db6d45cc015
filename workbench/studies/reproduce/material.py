"""What claims are measured on: bundled runs on two problem sets, each run once and kept; and what a finding is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from workbench.interventions.base import Intervention
from workbench.interventions.run import Outcome, run_intervened
from workbench.measure.evaluate import results_frame
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import MODEL
from workbench.measure.statistics import Estimate, difference, resample
from workbench.measure.trace import run
from workbench.measure.verdicts import Check
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap
from workbench.readings import find_reading
from workbench.readings.node_vectors import kept_when_replaced

T = TypeVar("T")
Column = Float[np.ndarray, " n"]
"""A number per problem, nan where it is undefined."""

REFERENCE = "reference"
"""Name of the run that most claims are measured on."""


@dataclass(frozen=True)
class Finding:
    """What our runs say of a claim."""

    on: str
    """Run and problem set."""
    checks: tuple[Check, ...] = ()
    beside: str = ""
    """Controls and chance levels."""


@dataclass
class Material:
    """Runs and problems, and what was already measured of them.

    Everything is made when it is first asked for: a run that no claim asks for is never loaded.
    """

    runs: Path
    """Directory of run directories, `REFERENCE` and those of the methods among them."""
    problems: Sequence[Problem]
    """The reference is measured on these."""
    method_problems: Sequence[Problem]
    """Methods are compared on these: the distribution that they were trained on."""
    on: str = "reference"
    """The reference and its problem set, in words."""
    on_methods: str = "runs of the methods"
    """The same of methods."""
    seed: int = 0
    batch_size: int = 64
    on_step: Callable[[str], None] = lambda _: None
    """Called with what is made next."""
    _kept: dict[object, object] = field(default_factory=dict)

    def _once(self, key: object, words: str, make: Callable[[], T]) -> T:
        if key not in self._kept:
            self.on_step(words)
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[return-value]

    def checkpoint(self, name: str = REFERENCE) -> Checkpoint:
        """Return the checkpoint of a run.

        Raises:
            WorkbenchError: There is no such run.
        """
        return self._once(("checkpoint", name), f"loading {name}", lambda: load_checkpoint(self.runs / name))

    def of(self, name: str) -> Sequence[Problem]:
        """Return the problems that a run is measured on."""
        return self.problems if name == REFERENCE else self.method_problems

    def recording(self, name: str = REFERENCE, control: str = MODEL, thoughts: int | None = None) -> Recording:
        """Return the recording of a run, or of a control of it."""

        def make() -> Recording:
            if control == MODEL:
                given, count = self.of(name), self.batch_size
                return record(self.checkpoint(name), given, thoughts, batch_size=count, continuations=True)
            return record_controls(self.recording(name), (control,), self.seed, batch_size=self.batch_size)[0]

        words = f"running {name}" + ("" if control == MODEL else f", control {control}")
        return self._once(("recording", name, control, thoughts), words, make)

    def frame(self, reading: str, name: str = REFERENCE, control: str = MODEL) -> pl.DataFrame:
        """Return a reading of one run, or of a control of it."""
        make = partial(find_reading(reading).frame, [self.recording(name, control)])
        return self._once(("frame", reading, name, control), f"reading {reading} of {name}, {control}", make)

    def results(self, name: str) -> pl.DataFrame:
        """Return a row per problem with what a run answered (`results_frame`)."""

        def make() -> pl.DataFrame:
            checkpoint, problems = self.checkpoint(name), self.of(name)
            traces = list(run(checkpoint, problems, None, self.batch_size, continuations=False))
            return results_frame(checkpoint, traces, self.seed, batch_size=self.batch_size)

        return self._once(("results", name), f"answers of {name}", make)

    def right(self, name: str) -> Float[np.ndarray, " n"]:
        """Return whether each problem is answered exactly right, as the method answers."""
        return np.array([row[-1] for row in self.results(name)["right"].to_list()], dtype=float)

    def right_after(self, name: str, thoughts: int) -> Float[np.ndarray, " n"]:
        """Return whether each problem is answered right after a number of thoughts, the answer forced at once."""
        return self._right_after(name, max(thoughts, self.checkpoint(name).thoughts))[:, thoughts]

    def _right_after(self, name: str, most: int) -> Float[np.ndarray, "n counts"]:
        def make() -> Float[np.ndarray, "n counts"]:
            traces = run(self.checkpoint(name), self.of(name), most, self.batch_size, continuations=False)
            return np.array([trace.answer_right for trace in traces], dtype=float)

        return self._once(("right", name, most), f"answers of {name} after 0 to {most} thoughts", make)

    @cached_property
    def replaced(self) -> pl.DataFrame:
        """Answers kept when a thought of the reference is replaced by a sum (`kept_when_replaced`)."""
        self.on_step("replacing thoughts by sums")
        return kept_when_replaced(self.recording(), (1, 2, 3), self.seed, self.batch_size)

    @cached_property
    def paired(self) -> list[Problem]:
        """Problems of the reference's set that have an entity-swapped twin."""
        return [problem for problem in self.problems if entity_swap(problem) is not None]

    def under(self, key: str, plans: Sequence[Sequence[Intervention]], twins: bool = False) -> list[Outcome]:
        """Return outcomes of the reference: an empty plan first, then those given.

        Args:
            key: Names the call, which is made once.
            plans: In the loop.
            twins: Run `paired` with the entity-swapped twins as the source "twin".
        """
        problems = self.paired if twins else list(self.problems)
        sources = {"twin": [entity_swap(problem) or problem for problem in problems]} if twins else None
        make = partial(
            run_intervened, self.checkpoint(), problems, [[], *plans], sources=sources, batch_size=self.batch_size
        )
        return self._once(("under", key), f"interventions: {key}", make)

    @cached_property
    def lengths(self) -> Float[np.ndarray, " n"]:
        """Hops from root to target of the reference's problems."""
        return np.array([structure(problem).length for problem in self.problems], dtype=float)

    def mean(self, values: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> Estimate:
        """Return the mean over problems, nan left out."""
        return resample(values.astype(float), seed=self.seed)

    def difference(
        self,
        first: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"],
        second: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"],
    ) -> Estimate:
        """Return the mean difference over the same problems."""
        return resample(first.astype(float), second.astype(float), statistic=difference, seed=self.seed)


def column(table: pl.DataFrame, name: str, **equal: object) -> Float[np.ndarray, " n"]:
    """Return a column of the rows where other columns have these values, nan for null.

    Args:
        table: A frame of a reading; the rows kept must be one per problem for paired differences to make sense.
        name: The column.
        equal: Column names and the values they must have.
    """
    kept = table.filter(*(pl.col(key) == value for key, value in equal.items()))
    return kept[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
