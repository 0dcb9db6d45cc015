"""Engines: where the batches of `session.in_batches` run.

`local` runs them in this process, one after the other. `ray` runs them on the workers of a Ray cluster (`on_ray`). What
a batch gives does not depend on where it runs, and results come in the order of the problems, so that tables have the
same bytes under every engine and any number of workers.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Protocol, TypeVar, runtime_checkable

import torch

from workbench.errors import WorkbenchError, unknown

NAMES = ("local", "ray")
Batch = TypeVar("Batch")
Result = TypeVar("Result")


@runtime_checkable
class Engine(Protocol):
    """What runs batches."""

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[list[Result]]:
        """Apply a function to batches, and yield what it gives in their order; only a few batches are held at a time.

        Args:
            function: Returns one result for each problem of a batch. It may run in another process: what it changes
                outside of itself is not seen here.
            batches: May be a generator.
        """
        ...


class Local:
    """Runs batches in this process."""

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[list[Result]]:
        """Run one batch after the other; see `Engine.run`."""
        for batch in batches:
            with torch.inference_mode():
                found = list(function(batch))
            yield found


_CURRENT: ContextVar[Engine | None] = ContextVar("engine", default=None)


def current_engine() -> Engine:
    """Return the engine that batches run on: the one of the innermost `engine` block, else the local one."""
    return _CURRENT.get() or Local()


@contextmanager
def engine(
    name: str = "local", *, address: str | None = None, workers: int | None = None, gpus: float = 0.0
) -> Iterator[Engine]:
    """Run all batches of the block on an engine; weights must not change within it.

    Args:
        name: "local" or "ray".
        address: Of a Ray cluster ("auto" for the one that runs on this machine); by default a cluster of this machine
            is started, and ends with the block.
        workers: Processes that hold the model; by default as many as the cluster has room for. Each computes with as
            many threads as this process would.
        gpus: GPUs that each worker asks Ray for, a fraction to share one. The model runs there; 0 is the CPU.

    Raises:
        WorkbenchError: There is no such engine, Ray is not installed, or the cluster cannot be reached or is too small.

    Examples:
        >>> model, problems = wb.load("reference_asked"), wb.load_problems("balanced", 4)
        >>> with wb.engine("local"):  # "ray", workers=8: the same on eight workers
        ...     len(model.answer(problems))
        4
    """
    if name not in NAMES:
        raise unknown("engine", name, NAMES)
    if name == "local" and (address, workers, gpus) != (None, None, 0.0):
        raise WorkbenchError(
            "The local engine has no cluster.",
            "An address, workers or GPUs were given, and they are those of a cluster.",
            "Add --engine ray, or leave them out.",
        )
    with nullcontext(Local()) if name == "local" else _cluster(address, workers, gpus) as made:
        token = _CURRENT.set(made)
        try:
            yield made
        finally:
            _CURRENT.reset(token)


@contextmanager
def counted(on_results: Callable[[int], None]) -> Iterator[None]:
    """Tell how far the batches of a block are, whatever engine they run on.

    Args:
        on_results: Called after each batch with the number of results that it gave.
    """
    token = _CURRENT.set(_Counted(current_engine(), on_results))
    try:
        yield
    finally:
        _CURRENT.reset(token)


class _Counted:
    """An engine that tells how many results each batch gave."""

    def __init__(self, engine: Engine, on_results: Callable[[int], None]) -> None:
        self.engine, self.on_results = engine, on_results

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[list[Result]]:
        """Run batches on the other engine; see `Engine.run`."""
        for results in self.engine.run(function, batches):
            self.on_results(len(results))
            yield results


def _cluster(address: str | None, workers: int | None, gpus: float) -> AbstractContextManager[Engine]:
    if find_spec("ray") is None:
        raise WorkbenchError(
            "The engine ray needs Ray.", "It is not installed.", "Type: pip install 'coconut-workbench[ray]'"
        )
    from workbench.model.engines.on_ray import cluster

    return cluster(address, workers, gpus)
