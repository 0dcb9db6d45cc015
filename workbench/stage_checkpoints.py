"""The checkpoints that a run kept of itself, in the order of training: what a reading is scrubbed over."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from workbench.errors import WorkbenchError

START = "start"
"""Stage of what a run began from."""


@dataclass(frozen=True)
class StageCheckpoint:
    """A model of a run at one step of its training."""

    step: int
    """Steps trained; 0 for what the run began from."""
    stage: str
    """Stage of the curriculum, such as "thoughts4-edges20", or `START`."""
    path: Path
    """A plain `save_pretrained` directory, or a run directory, as `load_checkpoint` takes it."""


def stage_checkpoints(run: str | Path, start: bool = True) -> list[StageCheckpoint]:
    """Return the checkpoints of a run by step; the last one is `model/`, unless a kept one is newer.

    Where `model/` and a kept checkpoint are of the same step they are the same model, and only `model/` is named. What
    is not saved whole (a run may be killed while it writes) is left out.

    Args:
        run: A run directory.
        start: Whether to begin with the checkpoint that the run's config.yaml says it started from, where that is a
            directory here.

    Raises:
        WorkbenchError: The run kept no checkpoint beside its last model.
    """
    directory = Path(run)
    found: dict[int, StageCheckpoint] = {}
    for path in (*sorted((directory / "checkpoints").glob("step*")), directory / "model"):
        if (checkpoint := _read(path)) is not None:
            found[checkpoint.step] = checkpoint
    if start and (begun := _start(directory)) is not None:
        found.setdefault(0, StageCheckpoint(0, START, begun))
    if len(found) < 2:
        have = "only its last model" if found else "no model at all"
        raise WorkbenchError(
            f"{directory.name} has no checkpoints to scrub over.",
            f"The folder holds {have}; checkpoints are kept in checkpoints/stepNNNNNN-STAGE/.",
            "Give a run directory of `workbench train`, or train again with a smaller keep_every in the configuration.",
        )
    return [found[step] for step in sorted(found)]


def _read(path: Path) -> StageCheckpoint | None:
    """Return what a saved model says of itself, None where none is saved whole."""
    try:
        meta = json.loads((path / "config.json").read_text(encoding="utf-8"))["coconut"]
        step, stage = int(meta["step"]), str(meta.get("stage", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return StageCheckpoint(step, stage, path) if any(path.glob("*.safetensors")) else None


def _start(directory: Path) -> Path | None:
    """Return the directory that a run started from, None where it names none, or none that is here."""
    try:
        start = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))["start"]
        path = Path(start)
        return path if start and any((place / "config.json").is_file() for place in (path, path / "model")) else None
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return None
