"""The runs of a suite: one for each task, method and seed, and how far each of them is."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.settings import build
from workbench.studies.compare.suite import Suite, SuiteTask
from workbench.train.config import TrainConfig, load_config, save_config
from workbench.train.launch import EXTENDABLE
from workbench.train.methods import METHODS, Method
from workbench.train.state import newest_model


@dataclass(frozen=True)
class PlannedRun:
    """One training of a suite."""

    task: SuiteTask
    method: Method
    seed: int
    config: TrainConfig
    directory: Path
    """The run directory."""

    @property
    def key(self) -> str:
        """Its name in logs and tables: "prosqa/coconut-0"."""
        return f"{self.task.name}/{self.method.name}-{self.seed}"


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    step: int
    """Of the newest model that can be opened, 0 where there is none."""
    model: Path | None
    """Directory of that model."""
    finished: bool
    differs: tuple[str, ...] = ()
    """Settings in which the run on disk differs from the plan; such a run is neither trained nor measured."""


def plan_runs(suite: Suite, out: Path) -> list[PlannedRun]:
    """Return the runs of a suite in the order of training: the first seed of every method, then the others.

    So a suite that is cut off has a number for every method before it has a second one for any.

    Raises:
        WorkbenchError: If a base configuration or an override is wrong.
    """
    runs, order = [], list(METHODS)
    for task in suite.tasks:
        base = load_config(Path(task.base))
        for name in task.methods:
            config = with_overrides(base, task.overrides.get(name, {}), f"overrides of {name} in task {task.name}")
            for seed in range(base.seed, base.seed + task.seeds_of(name)):
                directory = out / task.name / f"{name}-{seed}"
                own = {"method": name, "seed": seed, "name": f"{task.name}-{name}-{seed}"}
                place = (seed - base.seed, order.index(name))
                made = PlannedRun(task, METHODS[name], seed, dataclasses.replace(config, **own), directory)
                runs.append((place, made))
    runs.sort(key=lambda pair: pair[0])
    return [run for _, run in runs]


def with_overrides(base: TrainConfig, overrides: dict[str, Any], source: str) -> TrainConfig:
    """Return a configuration with some keys changed, those inside its parts included.

    Raises:
        WorkbenchError: If a key is unknown or a value of the wrong type.
    """
    return build(TrainConfig, _merged(dataclasses.asdict(base), overrides), source)


def write_config(run: PlannedRun, out: Path) -> Path:
    """Write what the training command is given, and return the file."""
    path = out / "configs" / f"{run.key}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_config(run.config, path)
    return path


def standing(run: PlannedRun) -> Standing:
    """Return how far a run is, read from its directory."""
    stored = run.directory / "config.yaml"
    if not stored.exists():
        return Standing(0, None, False)
    before = load_config(stored)
    differs = tuple(
        name
        for name in before.__dataclass_fields__
        if getattr(before, name) != getattr(run.config, name) and name not in EXTENDABLE
    )
    step, model = newest_model(run.directory)
    return Standing(step, model, step >= run.config.steps and not differs, differs)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a nested mapping with the keys of another put in its place."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "hop_weights"
        merged[key] = _merged(merged[key], value) if both else value
    return merged
