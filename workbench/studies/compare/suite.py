"""A suite file (methods, starts, seeds, tasks, the problems they are judged on), and the training runs it means."""

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from workbench.catalog import FORMER_METHODS
from workbench.errors import WorkbenchError, unknown
from workbench.measure.verdicts import Relation
from workbench.settings import build, read_settings
from workbench.studies.audit.run import require_batteries
from workbench.train.config import TrainConfig, load_config, save_config
from workbench.train.launch import EXTENDABLE
from workbench.train.loop import read_metrics
from workbench.train.methods import METHODS, Method, find_method
from workbench.train.state import newest_model

T = TypeVar("T")

Page = Literal["comparison", "superposition", "variants"]
STARTS = "starts"
"""Folder of a task: the trainings that its runs begin from."""
MOST_NAME = 100
"""Bytes of a task's name, which is a folder's."""
MOST_SEEDS = 1000
"""Runs of a method in a suite, and settings tried for it."""
DEFAULT = "default"
"""Key of a per-method setting that holds for every method without its own."""


@dataclass(frozen=True)
class Variant:
    """A run of a task under a name of its own, where a method's name does not say what it is: a reward, a control."""

    config: dict[str, Any] = field(default_factory=dict)
    """Keys of the training configuration that differ from the base, the method among them. `start` may be the name of
    one of the task's starts."""
    less: str = ""
    """The variant that its answers are compared with, as a rule the one that it begins from, not trained."""


@dataclass(frozen=True)
class Contrast:
    """A claim about the accuracy of two variants, written down before it is measured."""

    says: str
    first: str
    relation: Relation
    """Of the first variant's share of right answers to the second's; a margin of two points (`verdicts.bounds`)."""
    second: str


@dataclass(frozen=True)
class SuiteTask:
    """Methods on one task, all from the same base configuration."""

    name: str
    """Folder of its runs, and what the report calls it."""
    base: str
    """Training configuration (YAML), relative to the suite file."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Keys of `METHODS`, in any order."""
    starts: dict[str, str] = field(default_factory=dict)
    """What runs begin from, by a name of your choice: "" for random weights, the directory of a checkpoint, or a
    training configuration (YAML), which is trained first; paths relative to the suite file. Every method is trained
    from each of them. Without any, all begin as the base says."""
    variants: dict[str, Variant] = field(default_factory=dict)
    """Runs by a name of your choice, in place of methods. Each begins from one of the starts."""
    contrasts: tuple[Contrast, ...] = ()
    """Claims about variants."""
    seeds: dict[str, int] = field(default_factory=lambda: {DEFAULT: 1})
    """Number of seeds of a method or variant, or of all others under "default"; numbered from the base's seed on."""
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For a method: keys of the training configuration that differ from the base. The report lists each of them."""
    tried: dict[str, int] = field(default_factory=lambda: {DEFAULT: 1})
    """How many settings were tried for a method before this one; for an honest comparison the same for each."""
    problems: dict[str, str] = field(default_factory=dict)
    """Problem sets to judge on: name to file, relative to the suite file. Claims are judged on the first."""
    optional: dict[str, str] = field(default_factory=dict)
    """The same for files that may be absent (the official ones do not ship); a note then says so."""

    def seeds_of(self, method: str) -> int:
        """Return the number of seeds of a method."""
        return self.seeds.get(method, self.seeds.get(DEFAULT, 1))

    def tried_for(self, method: str) -> int:
        """Return the number of settings that were tried for a method."""
        return self.tried.get(method, self.tried.get(DEFAULT, 1))


@dataclass(frozen=True)
class SuiteAudit:
    """An audit (`workbench audit`) of every finished run on the set that claims are judged on."""

    first: int = 60
    """Problems of the set, the first so many."""
    batteries: tuple[str, ...] = ()
    """Names of batteries; none for all six."""
    fit: int = 600
    """Problems generated to learn codes and a query-blind classifier from."""
    further: int = 200
    """Problems generated for each kind of larger graphs."""


@dataclass(frozen=True)
class SuiteEmergence:
    """What the thoughts show at every checkpoint that a finished run kept (`keep_every`), beside an untrained model."""

    first: int = 100
    """Problems of the set that claims are judged on, the first so many."""


@dataclass(frozen=True)
class Suite:
    """What `workbench compare` is asked to do."""

    name: str
    tasks: tuple[SuiteTask, ...]
    jobs: int = 2
    """Runs trained side by side, one thread per process."""
    timed: int = 20
    """Problems that every method is timed on."""
    page: Page = "comparison"
    """What is measured, and the page about it: the answers of methods, what the thoughts hold by start and loss, or
    what the variants of a training change."""
    title: str = ""
    """Of the page about variants, by default the suite's name."""
    note: str = ""
    """Markdown above the command in the comparison's comparison.md: what has to be there first."""
    audit: SuiteAudit | None = None
    """Whether every run has an audit card, and of what. None by default: with all batteries it takes minutes a run."""
    emergence: SuiteEmergence | None = None
    """Whether the thoughts are read at every kept checkpoint; none by default."""


def load_suite(path: Path) -> Suite:
    """Read a suite; the paths in it come out as paths from here.

    Raises:
        WorkbenchError: If the file cannot be read, names an unknown key (the nearest known one is named), method or
            task, or a file that is not there.
    """
    suite = build(Suite, read_settings(path, "suite"), f"suite {path}")
    if not suite.tasks:
        raise _wrong(path, "tasks is empty", "name at least one task")
    for key in ("jobs", "timed"):
        if getattr(suite, key) < 1:
            raise _wrong(path, f"{key} is {getattr(suite, key)}, expected 1 or more", "change the value")
    _check_extras(suite, path)
    names = [task.name for task in suite.tasks]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _wrong(path, f"two tasks are called {twice}", "give each another name")
    return dataclasses.replace(suite, tasks=tuple(_checked(task, path) for task in suite.tasks))


def with_problems(suite: Suite, extra: dict[str, Path], task: str | None = None) -> Suite:
    """Return a suite that is judged on more problem sets.

    Args:
        suite: As loaded.
        extra: Name to file.
        task: The task they belong to; by default the first.
    """
    chosen = task or suite.tasks[0].name
    more = {name: str(file) for name, file in extra.items()}
    tasks = tuple(
        dataclasses.replace(one, problems=one.problems | more) if one.name == chosen else one for one in suite.tasks
    )
    return dataclasses.replace(suite, tasks=tasks)


def _checked(task: SuiteTask, path: Path) -> SuiteTask:
    """Check what only this file's readers know: methods, counts, files."""
    where = f"tasks, {task.name}"
    if not 0 < len(task.name.encode()) <= MOST_NAME or Path(task.name).name != task.name or "\0" in task.name:
        raise _wrong(
            path, f"the task name {task.name!r} is no name of a folder", "use up to 100 letters, digits and dashes"
        )
    try:
        methods = tuple(find_method(method).name for method in task.methods)
        named = dict if task.variants else _by_method
        seeds, tried, overrides = named(task.seeds), named(task.tried), named(task.overrides)
    except WorkbenchError as error:
        raise _wrong(path, f"{where}: {error.what} {error.why}", error.do) from error
    task = dataclasses.replace(task, methods=methods, seeds=seeds, tried=tried, overrides=overrides)
    _check_variants(task, path, where)
    if not task.methods or len(set(task.methods)) < len(task.methods):
        raise _wrong(path, f"{where}: methods must name at least one, and none twice", "change the list")
    for method, count in (*task.seeds.items(), *task.tried.items()):
        if not 1 <= count <= MOST_SEEDS:
            why = f"{where}: {method} has {count} of them, expected 1 or more, {MOST_SEEDS} at most"
            raise _wrong(path, why, "change the number")
    folder = path.parent
    problems = {name: _file(folder, file, path, f"{where}, problems.{name}") for name, file in task.problems.items()}
    optional = {name: str(folder / file) for name, file in task.optional.items()}
    base = _file(folder, task.base, path, f"{where}, base")
    starts = {name: _start(folder, given, path, f"{where}, starts.{name}") for name, given in task.starts.items()}
    return dataclasses.replace(task, base=base, problems=problems, optional=optional, starts=starts)


def _check_extras(suite: Suite, path: Path) -> None:
    """Check what is asked for beside the answers: cards and curves."""
    audit, curves = suite.audit, suite.emergence
    if suite.page != "comparison" and (audit or curves):
        why = f"audit and emergence are parts of the page comparison, and this one is {suite.page}"
        raise _wrong(path, why, "leave them out")
    counts = [(f"audit.{key}", getattr(audit, key), 2) for key in ("first", "fit", "further") if audit]
    counts += [("emergence.first", curves.first, 1)] if curves else []
    for key, count, least in counts:
        if count < least:
            raise _wrong(path, f"{key} is {count}, expected {least} or more", "change the value")
    try:
        require_batteries(audit.batteries if audit else ())
    except WorkbenchError as error:
        raise _wrong(path, f"audit.batteries: {error.what} {error.why}", error.do) from error


def _check_variants(task: SuiteTask, path: Path, where: str) -> None:
    """Check the names of variants, and that contrasts name them."""
    for name in task.variants:
        if not 0 < len(name.encode()) <= MOST_NAME or not name.replace("_", "").replace("-", "").isalnum():
            raise _wrong(path, f"{where}: {name!r} is no name of a variant", "use letters, digits and dashes")
    named = [
        *((f"variants.{name}.less", variant.less) for name, variant in task.variants.items() if variant.less),
        *((f"contrasts, {one.says}", name) for one in task.contrasts for name in (one.first, one.second)),
        *(("seeds", name) for name in task.seeds if task.variants and name != DEFAULT),
    ]
    for key, name in named:
        if name not in task.variants:
            raise _wrong(path, f"{where}, {key}: there is no variant {name}", "name one of the variants")


def _start(folder: Path, given: str, path: Path, where: str) -> str:
    """Return a start's path as seen from here, as short as it can be: runs keep it in their configuration."""
    found = folder / given
    if given and not (os.path.isfile(found) if found.suffix == ".yaml" else os.path.isdir(found)):
        raise _wrong(path, f"{where}: there is no checkpoint {found}", "write the path as seen from the suite's folder")
    return os.path.normpath(found) if given else ""


def _by_method(given: Mapping[str, T]) -> dict[str, T]:
    """Return settings of methods by their names of today."""
    return {key if key == DEFAULT else find_method(key).name: value for key, value in given.items()}


def _file(folder: Path, file: str, path: Path, where: str) -> str:
    found = folder / file
    if not os.path.isfile(found):  # False, and no error, for a name that no file system takes
        raise _wrong(path, f"{where}: there is no file {found}", "write the path as seen from the suite's folder")
    return str(found)


def _wrong(path: Path, why: str, do: str) -> WorkbenchError:
    return WorkbenchError(f"Cannot use the suite {path}.", why, do)


# Runs


@dataclass(frozen=True)
class PlannedRun:
    """One training of a suite."""

    task: SuiteTask
    method: Method
    seed: int
    config: TrainConfig
    directory: Path
    """The run directory."""
    key: str
    """Its name in logs and tables: "prosqa/cot-0", where the task names starts "prosqa/words/cot-0"."""
    start: str = ""
    """Name of what it begins from, where the task names starts."""
    variant: str = ""
    """Its name, where the task has variants."""


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
    """Return the runs of a suite in the order of training: the first seed of every method and start, then the others.

    So a suite that is cut off has a number for every method before it has a second one for any.

    Raises:
        WorkbenchError: If a base configuration or an override is wrong.
    """
    runs = []
    for task in suite.tasks:
        base = load_config(Path(task.base))
        if task.variants:
            runs += _plan_variants(task, base, out)
            continue
        for name, (place, start) in itertools.product(task.methods, enumerate(task.starts or [""])):
            config = with_overrides(base, task.overrides.get(name, {}), f"overrides of {name} in task {task.name}")
            if start:
                config = dataclasses.replace(config, start=_begins_from(task, start, out))
            for seed in range(base.seed, base.seed + task.seeds_of(name)):
                directory = _directory(out / task.name / start, name, seed)
                key = directory.relative_to(out).as_posix()
                config = dataclasses.replace(config, method=name, seed=seed, name=key.replace("/", "-"))
                order = (seed - base.seed, place, list(METHODS).index(name))
                runs.append((order, PlannedRun(task, METHODS[name], seed, config, directory, key, start)))
    runs.sort(key=lambda pair: pair[0])
    return [run for _, run in runs]


def _plan_variants(task: SuiteTask, base: TrainConfig, out: Path) -> list[tuple[tuple[int, int, int], PlannedRun]]:
    """Return the runs of a task's variants, each with its place in the order of training."""
    found = []
    for place, (name, variant) in enumerate(task.variants.items()):
        config = with_overrides(base, variant.config, f"variant {name} in task {task.name}")
        start = config.start if config.start in task.starts else ""
        if task.starts and config.start and not start and "/" not in config.start:  # no directory, no name of a hub
            raise unknown("start", config.start, task.starts)
        if start:
            config = dataclasses.replace(config, start=_begins_from(task, start, out))
        for seed in range(base.seed, base.seed + task.seeds_of(name)):
            key = f"{task.name}/{name}-{seed}"
            own = dataclasses.replace(config, seed=seed, name=key.replace("/", "-"))
            run = PlannedRun(task, find_method(config.method), seed, own, out / key, key, start, name)
            found.append(((seed - base.seed, place, 0), run))
    return found


def _directory(folder: Path, method: str, seed: int) -> Path:
    """Return the directory of a run; the one there by the method's former name, where there is one."""
    former = (folder / f"{old}-{seed}" for old, name in FORMER_METHODS.items() if name == method)
    return next((path for path in former if path.is_dir()), folder / f"{method}-{seed}")


def plan_starts(suite: Suite, out: Path) -> list[PlannedRun]:
    """Return the trainings of a suite that others begin from, which have to be done before all else.

    Raises:
        WorkbenchError: If a configuration is wrong.
    """
    found = []
    for task in suite.tasks:
        for name in (name for name, given in task.starts.items() if given.endswith(".yaml")):
            config = load_config(Path(task.starts[name]))
            key = f"{task.name}/{STARTS}/{name}"
            config = dataclasses.replace(config, name=key.replace("/", "-"))
            found.append(PlannedRun(task, find_method(config.method), config.seed, config, out / key, key, name))
    return found


def _begins_from(task: SuiteTask, name: str, out: Path) -> str:
    """Return the checkpoint that a start's name means, as a run's configuration gives it."""
    given = task.starts[name]
    return str(out / task.name / STARTS / name) if given.endswith(".yaml") else given


def chosen_runs(suite: Suite, out: Path, only: Sequence[str] = ()) -> list[PlannedRun]:
    """Return the runs of some methods or variants, or of all where none is named, as `plan_runs`.

    Raises:
        WorkbenchError: A configuration is wrong, or a method is not in the suite.
    """
    variants = {name: name for task in suite.tasks for name in task.variants}
    if variants and (strange := next((one for one in only if one not in variants), "")):
        raise unknown("variant", strange, variants)
    only = [variants.get(one) or find_method(one).name for one in only]
    runs = [run for run in plan_runs(suite, out) if not only or (run.variant or run.method.name) in only]
    if not runs:
        raise WorkbenchError(
            "There is nothing to compare.", f"No task of the suite has the method {', '.join(only)}.", "Name another."
        )
    return runs


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
    try:
        before = load_config(stored)
    except WorkbenchError as error:  # of another version, as a rule: the others are counted all the same
        return Standing(0, None, False, (f"config.yaml cannot be used: {error.why}",))
    names = (field.name for field in dataclasses.fields(before) if field.name not in (*EXTENDABLE, "name", "start"))
    differs = tuple(name for name in names if getattr(before, name) != getattr(run.config, name))
    if _place(before.start) != _place(run.config.start) and before.start != start_within(run):
        differs += ("start",)
    step, model = newest_model(run.directory, weights=False)
    return Standing(step, model, step >= run.config.steps and not differs, differs)


def start_within(run: PlannedRun) -> str:
    """Return the start of a run as it is named in results that are kept elsewhere: within the suite's directory."""
    given = Path(_place(run.config.start))
    suite = Path(os.path.abspath(run.directory)).parents[len(Path(run.key).parts) - 1]
    return given.relative_to(suite).as_posix() if given.is_relative_to(suite) else run.config.start


def _place(start: str) -> str:
    """Return a start as a path from the root, however it was written; names of a hub stay different from each other."""
    return start and os.path.abspath(start)


def newest_step(run: PlannedRun) -> int:
    """Return the step up to which a run is known to have trained: of its metrics or its newest model."""
    if not (run.directory / "metrics.jsonl").exists():
        return 0
    records = read_metrics(run.directory)
    return max(newest_model(run.directory, weights=False)[0], records[-1]["step"] if records else 0)


def present_sets(task: SuiteTask) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the problem files of a task that are there, the judged one first, and the names of the others."""
    files = {name: Path(file) for name, file in (*task.problems.items(), *task.optional.items())}
    there = {name: file for name, file in files.items() if file.is_file()}
    return there, tuple(name for name in files if name not in there)


def timing_file(out: Path, task: SuiteTask) -> Path:
    """Return the file of the times of a task's methods, in the directory of its suite."""
    return out / f"timing-{task.name}.json"


def asked_in_training(config: TrainConfig) -> int:
    """Return how many questions a training draws."""
    per_step = config.graphs * config.questions if config.task == "edges" else config.rows.batch
    return per_step * config.processes * config.steps


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a nested mapping with the keys of another put in its place."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "hop_weights"
        merged[key] = _merged(merged[key], value) if both else value
    return merged
