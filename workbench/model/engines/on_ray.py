"""Batches on a Ray cluster: an actor for each worker holds the model, a task for each batch.

Ray places, retries and ends everything. What is ours is how a function of a batch travels: models and tokenizers go
into Ray's object store once, and each worker takes them out once.
"""

import copy
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from inspect import unwrap
from itertools import count
from types import FunctionType
from typing import Any, TypeVar

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported; it would report to its makers
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what it will do in later versions
import ray
import torch
from ray import cloudpickle
from ray.cloudpickle.cloudpickle import Pickler
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util import ActorPool
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from workbench.errors import WorkbenchError

Batch = TypeVar("Batch")
Result = TypeVar("Result")

_RETRIES = 3
"""Times that a batch is run again after the death of its worker."""
_AHEAD = 2
"""Batches that wait at each worker, the one that it runs included."""
_START_SECONDS = 600
"""How long workers may take to start, which on a busy cluster is a wait for others."""
_ALIKE = ("coconut-workbench", "torch", "transformers", "transformer-lens", "numpy")
"""Packages whose versions a worker must share with this process: else the last bits may differ."""


def _versions() -> dict[str, str]:
    return {name: next((one.version for one in distributions(name=name)), "not installed") for name in _ALIKE}


@contextmanager
def cluster(address: str | None, workers: int | None, gpus: float) -> Iterator["RayEngine"]:
    """Start or join a cluster, and start the workers; both end with the block, a cluster that was joined goes on.

    Args:
        address: See `engines.engine`.
        workers: See `engines.engine`.
        gpus: See `engines.engine`.

    Raises:
        WorkbenchError: The cluster cannot be reached, or is too small.
    """
    threads, ours = torch.get_num_threads(), not ray.is_initialized()
    if ours:
        given: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": "error"}
        if address is None:
            given |= {"include_dashboard": False}
            given |= {} if workers is None else {"num_cpus": workers * threads}
        try:
            ray.init(**given)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise WorkbenchError(
                f"The Ray cluster {address or 'of this machine'} cannot be used.", str(error), "Type: ray status"
            ) from error
    try:
        has = ray.cluster_resources()
        room = int(min(has.get("CPU", 0) // threads, has.get("GPU", 0) // gpus if gpus else float("inf")))
        if not 1 <= (workers or room) <= room:
            raise WorkbenchError(
                f"The Ray cluster has no room for {workers or 'any'} workers.",
                f"With {threads} threads and {gpus:g} GPUs each there is room for {room}.",
                "Ask for fewer workers, or set OMP_NUM_THREADS=1 for workers of one thread.",
            )
        yield RayEngine(workers or room, threads, gpus)
    finally:
        if ours:
            ray.shutdown()


class RayEngine:
    """Runs batches on the workers of the cluster that this process is connected to.

    Args:
        workers: How many.
        threads: Of each, as many as here: another number changes the last bits.
        gpus: Of each.

    Raises:
        WorkbenchError: The workers do not start, or one has other versions of what computes.
    """

    def __init__(self, workers: int, threads: int, gpus: float) -> None:
        actor: Any = ray.remote(_Worker).options(
            num_cpus=threads, num_gpus=gpus, max_restarts=-1, max_task_retries=_RETRIES
        )
        self.workers = [actor.remote(threads, gpus > 0) for _ in range(workers)]
        self._shared: list[tuple[object, ray.ObjectRef]] = []
        self._numbers: Iterator[int] = count()
        here = _versions()
        try:
            there = ray.get([worker.versions.remote() for worker in self.workers], timeout=_START_SECONDS)
        except GetTimeoutError as error:
            raise WorkbenchError(
                f"{workers} Ray workers did not start within {_START_SECONDS} seconds.",
                "Others hold the processors or GPUs that they ask for.",
                "Ask for fewer workers, or wait; ray status says what is free.",
            ) from error
        for found in there:
            if found != here:
                other = ", ".join(f"{name} {found[name]}" for name in _ALIKE if found[name] != here[name])
                raise WorkbenchError(
                    "The workers' packages are not those of this machine.",
                    f"Workers have {other}.",
                    "Install constraints.txt on every node.",
                )

    def run(self, function: Callable[[Batch], Iterable[Result]], batches: Iterable[Batch]) -> Iterator[list[Result]]:
        """Run batches side by side, and yield what they give in their order; see `engines.Engine.run`.

        Raises:
            WorkbenchError: A batch raised it, or its worker died each time that it was run.
        """
        number, packed = next(self._numbers), ray.put(self._packed(function))
        pool = ActorPool(self.workers * _AHEAD)

        def submit(worker: Any, batch: object) -> ray.ObjectRef:
            inside = self._packed(batch)  # first: it may add to what is shared
            return worker.run.remote(number, [packed], [ref for _, ref in self._shared], inside)

        for batch in batches:
            if not pool.has_free():
                yield _next(pool)
            pool.submit(submit, batch)
        while pool.has_next():
            yield _next(pool)

    def _packed(self, one: object) -> bytes:
        """Return a function or a batch as bytes, in which models and tokenizers are numbers."""
        file = io.BytesIO()
        _Packer(file, self._share).dump(one)
        return file.getvalue()

    def _share(self, one: object) -> int:
        """Return the number of a model or tokenizer, which is put into the object store when it is first met."""
        for number, (known, _) in enumerate(self._shared):
            if known is one:
                return number
        kept = one
        if isinstance(one, PreTrainedModel) and one.device.type != "cpu":
            kept = copy.deepcopy(one).cpu()  # a worker may be where this device is not
        self._shared.append((one, ray.put(kept)))
        return len(self._shared) - 1


def _next(pool: ActorPool) -> Any:
    try:
        return pool.get_next()
    except RayTaskError as error:
        if isinstance(error.cause, WorkbenchError):
            raise error.cause from None
        raise
    except RayActorError as error:
        raise WorkbenchError(
            f"A worker died {_RETRIES + 1} times on the same batch.",
            str(error),
            "Give each worker more memory: fewer workers, or a smaller --batch-size.",
        ) from error


class _Worker:
    """Runs batches; an actor of Ray. Started again after its death, it takes the model out of the store again."""

    def __init__(self, threads: int, gpu: bool) -> None:
        torch.set_num_threads(threads)
        self.device = "cuda" if gpu else "cpu"
        self.function: tuple[int, Any] = (-1, None)

    def versions(self) -> dict[str, str]:
        """Return the versions of what computes."""
        return _versions()

    def run(self, number: int, packed: list[ray.ObjectRef], shared: list[ray.ObjectRef], batch: bytes) -> list[Any]:
        """Run one batch with function `number`, which is unpacked when it is another one than before."""
        for place, ref in enumerate(shared[len(_HERE) :], len(_HERE)):
            found: Any = ray.get(ref)
            _HERE[place] = found
            if isinstance(found, PreTrainedModel):
                nn.Module.to(found, self.device)
        if self.function[0] != number:
            self.function = (-1, None)  # what was held goes first
            self.function = (number, cloudpickle.loads(ray.get(packed[0])))
        with torch.inference_mode():
            return list(self.function[1](cloudpickle.loads(batch)))


_HERE: dict[int, Any] = {}
"""Models and tokenizers that this worker has taken out of the store, by their number."""


class _Packer(Pickler):
    """Writes a function or a batch for a worker, in which models and tokenizers are numbers."""

    def __init__(self, file: io.BytesIO, share: Callable[[object], int]) -> None:
        super().__init__(file)
        self._share = share

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, PreTrainedModel | PreTrainedTokenizerBase):
            return _here, (self._share(obj),)
        if isinstance(obj, FunctionType) and "<locals>" in obj.__qualname__ and hasattr(obj, "__wrapped__"):
            obj = unwrap(obj)  # in the tests, from the checks of types that are put around it, which cannot travel
        return super().reducer_override(obj)


def _here(number: int) -> Any:
    return _HERE[number]
