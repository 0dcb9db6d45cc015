"""Measure ours against a peer, in turn in one run."""

import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from scipy import stats


@dataclass(frozen=True)
class Timed:
    """Seconds of one side."""

    wall: float
    """On the clock."""
    cpu: float
    """Of this process's time on all cores: hardly touched by what else the machine does."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    work: Callable[[], float]
    """Does the work once and returns how many units (problems, questions) it did."""


def timed(side: Side) -> tuple[Timed, float]:
    """Run a side once and return its seconds per unit, and the units."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    units = side.work()
    return Timed((time.perf_counter() - wall) / units, (time.process_time() - cpu) / units), units


def compare(name: str, ours: Side, peer: Side, *, rounds: int, warm: bool = True, **more: object) -> dict[str, object]:
    """Run both sides in turn and return the ratio of their time per unit, peer over ours.

    The order alternates from round to round. The ratio is that of the medians; `low` and `high` are the ends of a
    95 % bootstrap interval over rounds. `cpu_ratio` compares processor time, which is steadier on a busy machine.

    Args:
        name: Of the claim.
        ours: What is claimed to be fast.
        peer: What it is compared with.
        rounds: How often both are run.
        warm: Whether to run each once before, untimed.
        more: Further keys of the result.
    """
    if warm:
        for side in (ours, peer):
            side.work()
    seconds: dict[str, list[Timed]] = {ours.name: [], peer.name: []}
    units = {}
    for turn in range(rounds):
        for side in (ours, peer) if turn % 2 == 0 else (peer, ours):
            one, units[side.name] = timed(side)
            seconds[side.name].append(one)
            say(f"round {turn + 1}/{rounds}  {side.name}: {1000 * one.wall:.3f} ms a unit ({units[side.name]:g} units)")
    wall = {side: np.array([one.wall for one in each]) for side, each in seconds.items()}
    cpu = {side: float(np.median([one.cpu for one in each])) for side, each in seconds.items()}
    ratio, low, high = _ratio(wall[peer.name], wall[ours.name])
    return {
        "name": name,
        "ratio": round(ratio, 2),
        "low": round(low, 2),
        "high": round(high, 2),
        "cpu_ratio": round(cpu[peer.name] / cpu[ours.name], 2),
        "rounds": rounds,
        "ours": ours.name,
        "peer": peer.name,
        "ours_ms": round(1000 * float(np.median(wall[ours.name])), 4),
        "peer_ms": round(1000 * float(np.median(wall[peer.name])), 4),
        "ours_cpu_ms": round(1000 * cpu[ours.name], 4),
        "peer_cpu_ms": round(1000 * cpu[peer.name], 4),
        "ours_units": units[ours.name],
        "peer_units": units[peer.name],
        **more,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def _ratio(peer: np.ndarray, ours: np.ndarray) -> tuple[float, float, float]:
    ratio = float(np.median(peer) / np.median(ours))
    if len(ours) < 2:
        return ratio, ratio, ratio
    interval = stats.bootstrap(
        (peer, ours),
        lambda p, o, axis: np.median(p, axis=axis) / np.median(o, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return ratio, float(interval.low), float(interval.high)


def say(line: str) -> None:
    """Show what is going on."""
    print(line, file=sys.stderr, flush=True)


def finish(result: dict[str, object]) -> None:
    """Print the result as the last line."""
    print(json.dumps(result))
