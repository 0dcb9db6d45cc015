"""What a suite may ask of finished runs beside their answers: an audit card, and a reading at every kept checkpoint.

Each is kept beside the run, part by part: what was cut off goes on, and what is done is not done again.
"""

import hashlib
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import polars as pl
import torch

from workbench.errors import WorkbenchError
from workbench.measure.provenance import provenance
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_any
from workbench.problems.problem import Problem
from workbench.readings.emergence import EMERGENCE_SCHEMA, emergence
from workbench.studies import artefacts
from workbench.studies.audit.base import AUDIT_SCHEMA, NO_GRAPH, AuditOptions, require_problems
from workbench.studies.audit.card import write_card
from workbench.studies.audit.run import BATTERIES, inputs_of, join, open_audit, run_battery
from workbench.studies.compare.measure import FOLDER, made_of
from workbench.studies.compare.suite import Suite, SuiteAudit, SuiteEmergence
from workbench.train.launch import record_cost
from workbench.train.state import newest_model, stage_checkpoints

Extra = Literal["audit", "emergence"]
EXTRAS: Mapping[Extra, type[SuiteAudit] | type[SuiteEmergence]] = {"audit": SuiteAudit, "emergence": SuiteEmergence}
"""By the name of the suite's setting, of a run's folder and of its costs."""
SCHEMAS: Mapping[Extra, int] = {"audit": AUDIT_SCHEMA, "emergence": EMERGENCE_SCHEMA}
CONTROL = "untrained"
"""The control that is read beside every checkpoint."""
NO_THOUGHTS = "the model has no thoughts"
NO_CHECKPOINTS = "it kept no checkpoint beside its last model (keep_every)"
Wanted = SuiteAudit | SuiteEmergence


def wanted(suite: Suite) -> dict[Extra, Wanted]:
    """Return what a suite asks for beside answers, and how."""
    return {name: one for name in EXTRAS if (one := getattr(suite, name)) is not None}


def place_of(directory: Path, extra: Extra, name: str) -> Path:
    """Return the folder of an extra on a problem set in a run directory; its manifest ends in .json beside it."""
    return directory / FOLDER / f"{name}-{extra}"


def is_made(directory: Path, extra: Extra, name: str, file: Path, how: Wanted) -> bool:
    """Say whether an extra of the run's newest model is there, made as it is asked for."""
    _, model = newest_model(directory, weights=False)
    held = artefacts.read_manifest(_manifest(place_of(directory, extra, name)))
    return model is not None and bool(held) and held.get("key") == _key(model, extra, file, how)


def why_not(directory: Path, extra: Extra, name: str) -> str:
    """Return why there is nothing to be made of this run, empty where it was made."""
    return artefacts.read_manifest(_manifest(place_of(directory, extra, name)))["why_not"]


def make(directory: Path, extra: Extra, name: str, file: Path, how: Wanted) -> None:
    """Make an extra of a run's newest model, unless it is there; what it took is added to the costs of the run.

    Args:
        directory: A run directory.
        extra: Which.
        name: Of the problem set.
        file: Of the problem set.
        how: As the suite says.

    Raises:
        WorkbenchError: The run has no model, or it cannot be run on these problems.
    """
    if is_made(directory, extra, name, file, how):
        return
    _, model = newest_model(directory)
    if model is None:
        raise WorkbenchError(f"There is nothing to ask in {directory.name}/.", "No model is here.", "Train it first.")
    torch.set_num_threads(1)
    began, used = time.monotonic(), time.process_time()
    key, place = _key(model, extra, file, how), place_of(directory, extra, name)
    _manifest(place).unlink(missing_ok=True)  # of another model, or asked for otherwise
    try:
        if isinstance(how, SuiteAudit):
            told = _audit(directory, model, place, file, how)
        else:
            told = _read_checkpoints(directory, model, place, file, how)
    finally:
        record_cost(directory, time.monotonic() - began, time.process_time() - used, extra)
    artefacts.write_manifest(_manifest(place), {"key": key, "why_not": told})  # last: without it nothing is there
    if extra == "emergence":
        shutil.rmtree(place, ignore_errors=True)


def doing(directory: Path, name: str, extras: Mapping[Extra, Wanted]) -> str:
    """Say how far the extra that is being made of a run is, empty where none has begun."""
    for extra in extras:
        place = place_of(directory, extra, name)
        if place.is_dir() and not _manifest(place).exists():
            done = len(list(place.rglob("*.parquet")))
            return f"{extra}, {done} {'batteries' if extra == 'audit' else 'checkpoints'} done"
    return ""


def read_emergence(directory: Path, name: str) -> pl.DataFrame:
    """Return what was read at every checkpoint of a run (`emergence_frame`, with step and stage)."""
    return pl.read_parquet(_table(place_of(directory, "emergence", name)))


def _audit(directory: Path, model: Path, place: Path, file: Path, how: SuiteAudit) -> str:
    """Make what `workbench audit` makes of the run, in the folder of the extra."""
    checkpoint, problems = load_checkpoint(model), load_any(file)[: how.first]
    require_problems(problems)
    options = AuditOptions(fit=how.fit, further=how.further)
    names = how.batteries or tuple(BATTERIES)
    # Another model's, or one of before: what is asked for now takes its place.
    open_audit(place, inputs_of(checkpoint, problems, options), overwrite=True)
    for battery in names:
        run_battery(checkpoint, problems, place, battery, options)
    given = ("--first", str(how.first), "--fit", str(how.fit), "--further", str(how.further))
    only = [part for battery in how.batteries for part in ("--only", battery)]
    command = ("workbench", "audit", str(directory), str(file), "--out", str(place), *given, *only)
    write_card(place, join(place), shlex.join(command))
    return ""


def _read_checkpoints(directory: Path, model: Path, place: Path, file: Path, how: SuiteEmergence) -> str:
    """Write the reading of every kept checkpoint, or return why there is none."""
    problems = [problem for problem in load_any(file)[: how.first] if isinstance(problem, Problem)]
    if not problems:
        return NO_GRAPH
    if not load_checkpoint(model).thoughts:
        return NO_THOUGHTS
    try:
        stage_checkpoints(directory)
    except WorkbenchError:
        return NO_CHECKPOINTS
    table = emergence(directory, problems, controls=(CONTROL,), cache=place)
    artefacts.write_table(_table(place), table, EMERGENCE_SCHEMA, asdict(provenance(0)))
    return ""


def _key(model: Path, extra: Extra, file: Path, how: Wanted) -> str:
    return hashlib.sha256(f"{made_of(model, file, f'{extra} {SCHEMAS[extra]}')} {how}".encode()).hexdigest()


def _manifest(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _table(place: Path) -> Path:
    return place.with_name(f"{place.name}.parquet")
