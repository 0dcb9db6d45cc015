"""What claims are measured on: runs and problem sets, each run once and kept; and what a finding is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.run import Outcome, run_intervened
from workbench.measure.recording import Recording, record, record_controls
from workbench.measure.run_labels import MODEL
from workbench.measure.splits import graph_key
from workbench.measure.statistics import Estimate, Statistic, difference, mean, resample
from workbench.measure.trace import Trace, answers, run, sweep
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import blind_score, nearest_source
from workbench.problems.variants import entity_swap
from workbench.readings import find_reading
from workbench.studies.reproduce.bounds import frozen

T = TypeVar("T")
Column = Float[np.ndarray, " n"]
"""A number per problem, nan where it is undefined."""


class NoRunError(WorkbenchError):
    """A run that a claim is about is not there."""


@dataclass(frozen=True)
class Finding:
    """What a run says of a claim."""

    statistics: Mapping[str, Estimate]
    """By the names that bounds.yaml has for them."""
    beside: str = ""
    """Controls and chance levels."""


@dataclass
class Material:
    """Runs and problems, and what was already measured of them.

    Everything is made when it is first asked for: a run that no claim asks for is never loaded.
    """

    runs: Path
    """Directory of run directories."""
    sets: Mapping[str, Sequence[Problem]]
    """Problems by the name of their set; `bounds.Bounds.problems` says which run is measured on which."""
    seed: int = 0
    controls: bool = True
    """Whether to measure what stands beside a number, too: the same with noise fed."""
    batch_size: int = 64
    on_step: Callable[[str], None] = lambda _: None
    """Called with what is made next."""
    _kept: dict[object, object] = field(default_factory=dict)

    def once(self, key: object, words: str, make: Callable[[], T]) -> T:
        """Return what was made under a key, made now if it is asked for the first time."""
        if key not in self._kept:
            self.on_step(words)
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[return-value]

    def checkpoint(self, name: str) -> Checkpoint:
        """Return the checkpoint of a run.

        Raises:
            NoRunError: There is no such run.
        """
        if not (self.runs / name).is_dir():  # a former name would open another run
            raise NoRunError(f"There is no run {name}.", f"{self.runs} does not hold it.", "Give another directory.")
        return self.once(("checkpoint", name), f"loading {name}", lambda: load_checkpoint(self.runs / name))

    def of(self, name: str) -> Sequence[Problem]:
        """Return the problems that a run is measured on."""
        return self.sets[frozen().set_of(name)]

    def recording(self, name: str, control: str = MODEL) -> Recording:
        """Return the recording of a run, or of a control of it."""

        def make() -> Recording:
            if control == MODEL:
                return record(self.checkpoint(name), self.of(name), batch_size=self.batch_size, continuations=True)
            return record_controls(self.recording(name), (control,), self.seed, batch_size=self.batch_size)[0]

        words = f"running {name}" + ("" if control == MODEL else f", control {control}")
        return self.once(("recording", name, control), words, make)

    def frame(self, reading: str, name: str, control: str = MODEL) -> pl.DataFrame:
        """Return a reading of one run, or of a control of it."""

        def make() -> pl.DataFrame:
            return find_reading(reading).frame([self.recording(name, control)])

        return self.once(("frame", reading, name, control), f"reading {reading} of {name}, {control}", make)

    def answered(self, name: str) -> tuple[Column, Column]:
        """Return for each problem whether the answer is exactly right, and whether it is one of the two options.

        The answer is that after all thoughts, at the end of a chain where the method says one.
        """

        def make() -> tuple[Column, Column]:
            checkpoint = self.checkpoint(name)
            if checkpoint.says == "chain":
                said = list(answers(checkpoint, self.of(name), batch_size=self.batch_size))
                pairs = [(one.right, one.valid) for one in said]
            else:
                traces = self.traces(name, checkpoint.thoughts)
                pairs = [(trace.answer_right[-1], trace.answer_valid[-1]) for trace in traces]
            right, valid = np.array(pairs, dtype=float).T
            return right, valid

        return self.once(("answered", name), f"answers of {name}", make)

    def right(self, name: str) -> Column:
        """Return whether each problem is answered exactly right, as the method answers."""
        return self.answered(name)[0]

    def chosen(self, name: str) -> Column:
        """Return the same as a forced choice: 1 for the target, 0 for the negative, .5 for whatever is neither."""
        right, valid = self.answered(name)
        return right + (1 - valid) / 2

    def blind(self, name: str) -> Column:
        """Return what the nearest-source rule, which ignores the question's entity, gets on the problems of a run."""
        return np.array([blind_score(problem, nearest_source) for problem in self.of(name)], dtype=float)

    def traces(self, name: str, thoughts: int) -> list[Trace]:
        """Return traces with so many thoughts, or with as many as the run was trained with where that is more."""
        most = max(thoughts, self.checkpoint(name).thoughts)

        def make() -> list[Trace]:
            return list(run(self.checkpoint(name), self.of(name), most, self.batch_size, continuations=False))

        return self.once(("traces", name, most), f"answers of {name} after 0 to {most} thoughts", make)

    def said_right(self, name: str) -> Float[np.ndarray, "n counts"]:
        """Return whether the answer at the end of what is said in words after 0, 1 ... thoughts is exactly right."""

        def make() -> Float[np.ndarray, "n counts"]:
            checkpoint = self.checkpoint(name)
            asked = [(k, "chain") for k in range(checkpoint.thoughts + 1)]
            said = sweep(checkpoint, self.of(name), asked, self.batch_size)
            return np.array([[answer.right for answer in each] for each in said], dtype=float)

        return self.once(("said", name), f"what {name} says after each number of thoughts", make)

    def right_after(self, name: str, thoughts: int) -> Column:
        """Return whether each problem is answered exactly right after a number of thoughts, the answer forced."""
        return np.array([trace.answer_right[thoughts] for trace in self.traces(name, thoughts)], dtype=float)

    def chosen_after(self, name: str, thoughts: int) -> Column:
        """Return whether the target is then a likelier answer than the negative, .5 for a tie."""
        traces = self.traces(name, thoughts)
        options = [
            trace.answers[thoughts, [trace.graph_problem.target, trace.graph_problem.negative]] for trace in traces
        ]
        target, negative = np.array(options).T
        return np.where(target == negative, 0.5, target > negative)

    def under(self, key: str, name: str, plans: Sequence[Sequence[Intervention]], twins: bool = False) -> list[Outcome]:
        """Return outcomes of a run: an empty plan first, then those given.

        Args:
            key: Names the call, which is made once for each run.
            name: Of the run.
            plans: In the loop.
            twins: Run the problems that have one with their entity-swapped twins as the source "twin".
        """
        problems, sources = self.paired(name) if twins else list(self.of(name)), None
        if twins:
            sources = {"twin": [entity_swap(one) or one for one in problems]}
        make = partial(
            run_intervened, self.checkpoint(name), problems, [[], *plans], sources=sources, batch_size=self.batch_size
        )
        return self.once(("under", key, name), f"interventions: {key}", make)

    def paired(self, name: str) -> list[Problem]:
        """Return the problems of a run that have an entity-swapped twin."""
        return [problem for problem in self.of(name) if entity_swap(problem) is not None]

    def lengths(self, name: str) -> Int[np.ndarray, " n"]:
        """Return the hops from root to target of the problems of a run."""
        return np.array([structure(problem).length for problem in self.of(name)])

    def graphs(self, name: str, ids: Sequence[str] | None = None) -> list[int]:
        """Return the number of the graph of each problem of a run, or of the problems with these ids."""
        number: dict[object, int] = {}
        of = {one.id: number.setdefault(graph_key(one), len(number)) for one in self.of(name)}
        return list(of.values()) if ids is None else [of[one] for one in ids]

    def size(self, name: str) -> tuple[int, int]:
        """Return the number of problems and of graphs of a set."""
        return len(self.sets[name]), len({graph_key(problem) for problem in self.sets[name]})

    def estimate(
        self,
        name: str,
        *columns: np.ndarray | pl.Series,
        statistic: Statistic = mean,
        ids: Sequence[str] | pl.Series | None = None,
    ) -> Estimate:
        """Return a statistic over the problems of a run; graphs are resampled, rows with a nan are left out.

        Args:
            name: Of the run.
            columns: A number per problem, or per id.
            statistic: Of `measure.statistics`.
            ids: The problem of each row; all problems in their order by default.
        """
        clusters = self.graphs(name, None if ids is None else list(ids))
        return resample(*columns, statistic=statistic, clusters=clusters, seed=self.seed)

    def difference(self, name: str, first: Column, second: Column) -> Estimate:
        """Return the mean difference over the same problems of a run."""
        return self.estimate(name, first, second, statistic=difference)


def column(table: pl.DataFrame, name: str, **equal: object) -> Column:
    """Return a column of the rows where other columns have these values, nan for null.

    Args:
        table: A frame of a reading; the rows kept must be one per problem for paired differences to make sense.
        name: The column.
        equal: Column names and the values they must have.
    """
    kept = table.filter(*(pl.col(key) == value for key, value in equal.items()))
    return kept[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
