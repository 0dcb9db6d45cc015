"""A suite file: which methods, seeds and tasks are trained, and which problems they are judged on."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.settings import build, read_settings
from workbench.train.methods import METHODS, find_method

DEFAULT = "default"
"""Key of a per-method setting that holds for every method without its own."""


@dataclass(frozen=True)
class SuiteTask:
    """Methods on one task, all from the same base configuration."""

    name: str
    """Folder of its runs, and what the report calls it."""
    base: str
    """Training configuration (YAML), relative to the suite file."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Keys of `METHODS`, in any order."""
    seeds: dict[str, int] = field(default_factory=lambda: {DEFAULT: 1})
    """Number of seeds of a method, or of all others under "default"; they are numbered from the base's seed on."""
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
class Suite:
    """What `workbench compare` is asked to do."""

    name: str
    tasks: tuple[SuiteTask, ...]
    jobs: int = 2
    """Runs trained side by side, one thread per process."""
    timed: int = 20
    """Problems that every method is timed on."""


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
    names = [task.name for task in suite.tasks]
    if len(set(names)) < len(names):
        raise _wrong(path, f"two tasks are called {_twice(names)}", "give each a name of its own")
    return Suite(suite.name, tuple(_checked(task, path) for task in suite.tasks), suite.jobs, suite.timed)


def with_problems(suite: Suite, extra: dict[str, Path], task: str | None = None) -> Suite:
    """Return a suite that is judged on more problem sets.

    Args:
        suite: As loaded.
        extra: Name to file.
        task: The task they belong to; by default the first.
    """
    chosen = task or suite.tasks[0].name
    tasks = tuple(
        SuiteTask(**{**vars(one), "problems": {**one.problems, **{name: str(file) for name, file in extra.items()}}})
        if one.name == chosen
        else one
        for one in suite.tasks
    )
    return Suite(suite.name, tasks, suite.jobs, suite.timed)


def _checked(task: SuiteTask, path: Path) -> SuiteTask:
    """Check what only this file's readers know: methods, counts, files."""
    where = f"tasks, {task.name}"
    if not task.name or Path(task.name).name != task.name:
        raise _wrong(path, f"the task name {task.name!r} is no name of a folder", "use letters, digits and dashes")
    for method in (*task.methods, *(key for key in _per_method(task) if key != DEFAULT)):
        try:
            find_method(method)
        except WorkbenchError as error:
            raise _wrong(path, f"{where}: {error.what} {error.why}", error.do) from error
    if not task.methods or len(set(task.methods)) < len(task.methods):
        raise _wrong(path, f"{where}: methods must name at least one, and none twice", "change the list")
    for method, count in (*task.seeds.items(), *task.tried.items()):
        if count < 1:
            raise _wrong(path, f"{where}: {method} has {count} of them, expected 1 or more", "change the number")
    folder = path.parent
    problems = {name: _file(folder, file, path, f"{where}, problems.{name}") for name, file in task.problems.items()}
    optional = {name: str(folder / file) for name, file in task.optional.items()}
    base = _file(folder, task.base, path, f"{where}, base")
    return SuiteTask(**{**vars(task), "base": base, "problems": problems, "optional": optional})


def _per_method(task: SuiteTask) -> Iterable[str]:
    return (*task.seeds, *task.tried, *task.overrides)


def _file(folder: Path, file: str, path: Path, where: str) -> str:
    found = folder / file
    if not found.is_file():
        raise _wrong(path, f"{where}: there is no file {found}", "write the path as seen from the suite's folder")
    return str(found)


def _twice(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _wrong(path: Path, why: str, do: str) -> WorkbenchError:
    return WorkbenchError(f"Cannot use the suite {path}.", why, do)
