"""Runs and problem sets by name: those that ship with the project, those in `runs/`, and those of folders you name.

Links hold these names and nothing else, so that no link can make the explorer read a file of its choosing.
"""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]
ROOT = _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path(__file__).resolve().parent / "bundled"
"""What ships: the checkout, or the part of it that is inside the installed package (`pyproject.toml` names it)."""
RUN_FOLDERS = (ROOT / "fixtures" / "runs", _CHECKOUT / "runs" if ROOT == _CHECKOUT else Path("runs").absolute())
PROBLEM_FOLDERS = (ROOT / "fixtures" / "problems",)
TASK_FOLDERS = (ROOT / "fixtures" / "tasks",)
RUNS_VARIABLE, PROBLEMS_VARIABLE = "WORKBENCH_RUNS", "WORKBENCH_PROBLEMS"
"""Environment variables that name more folders, separated as in PATH; they come first."""

FIRST_RUN, FIRST_SET = "reference", "released"
"""What the explorer opens when nothing was chosen."""

FORMER_RUNS = {
    "coconut": "coconut_next_node",
    "coconut_language": "coconut_words",
}
"""Bundled runs by their former name: links, scripts and commands that hold it still open them."""
FORMER_METHODS = {"coconut": "coconut_next_node", "coconut_language": "coconut_words"}
"""Methods by their former name, as configurations and checkpoints of before hold it."""


def runs() -> dict[str, Path]:
    """Return every run and every checkpoint of a run: name to the directory that `load_checkpoint` takes."""
    found: dict[str, Path] = {}
    for folder in _folders(RUNS_VARIABLE, RUN_FOLDERS):
        for run in _sorted(folder):
            if _has_model(run) or _has_model(run / "model"):
                found.setdefault(run.name, run)
            for checkpoint in _sorted(run / "checkpoints"):
                if _has_model(checkpoint):
                    found.setdefault(f"{run.name}/{checkpoint.name}", checkpoint)
    return _first(run_name(FIRST_RUN, found), found)


def run_name(name: str, known: Iterable[str] | None = None) -> str:
    """Return what a run is called today, a checkpoint of it included; a name that is known, or strange, is its own.

    Args:
        name: As it was called at some time.
        known: The names of today, by default those of `runs()`.
    """
    run, slash, checkpoint = name.partition("/")
    known = runs() if known is None else known
    return name if name in known else f"{FORMER_RUNS.get(run, run)}{slash}{checkpoint}"


def typed_run(name: str, known: Iterable[str]) -> str:
    """Return what a run is called today, and warn where its former name was typed: it will not be known for ever.

    Args:
        name: As typed in a command or a script; links keep theirs, and nothing is said of them.
        known: The names of today.
    """
    today = run_name(name, known)
    if today != name:
        told = f'The run "{name}" is called "{today}" now; version 1.0 will not know its former name.'
        warnings.warn(told, FutureWarning, stacklevel=3)
    return today


def current(path: Path) -> Path:
    """Return where a bundled file is, given its path of today or the one it had; any other path is its own.

    A path such as fixtures/runs/base or configs/first.yaml is found wherever a command is typed.
    """
    bundled = ROOT / "fixtures" / "runs"
    there = os.path.exists(path)  # False, and no error, for a name that no file system takes
    if not path.is_absolute() and not there and os.path.exists(ROOT / path) and path.parts[:1] != ("..",):
        return ROOT / path
    if there or "\0" in str(path) or not path.resolve().is_relative_to(bundled):
        return path
    name, *inside = path.resolve().relative_to(bundled).parts or ("",)
    return bundled.joinpath(FORMER_RUNS.get(name, name), *inside)


def problem_sets() -> dict[str, Path]:
    """Return every problem set: name to JSON file."""
    return _first(FIRST_SET, _json_files(_folders(PROBLEMS_VARIABLE, PROBLEM_FOLDERS)))


def task_sets() -> dict[str, Path]:
    """Return the bundled problem sets without graphs: name to JSON file."""
    return _json_files(TASK_FOLDERS)


def home(path: Path) -> Path:
    """Return the run that a checkpoint belongs to; a run is its own."""
    return path.parents[1] if path.parent.name == "checkpoints" else path


def shown(path: Path) -> str:
    """Return a path as a reader of the screen would type it: relative to the project where it lies inside."""
    return str(path.relative_to(_CHECKOUT)) if ROOT == _CHECKOUT and path.is_relative_to(ROOT) else str(path)


def _folders(variable: str, usual: Iterable[Path]) -> list[Path]:
    named = [Path(part).expanduser() for part in os.environ.get(variable, "").split(os.pathsep) if part]
    return [folder for folder in (*named, *usual) if folder.is_dir()]


def _sorted(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _json_files(folders: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in (file for folder in folders for file in _sorted(folder) if file.suffix == ".json"):
        found.setdefault(file.stem, file)
    return found


def _has_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _first(name: str, found: dict[str, Path]) -> dict[str, Path]:
    return {name: found[name]} | found if name in found else found
