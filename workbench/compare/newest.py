"""The newest model of a run that can be opened, finished or not."""

import json
from pathlib import Path


def newest_model(directory: Path) -> tuple[int, Path | None]:
    """Return the step and the directory of the newest model of a run: `model/`, or a kept stage that is newer.

    A run that was killed has no `model/`, or that of an interruption before.
    """
    found = [(step, path) for path in _models(directory) if (step := _step(path)) is not None]
    if not found:
        return 0, None
    return max(found, key=lambda pair: (pair[0], pair[1].name == "model"))


def _models(directory: Path) -> list[Path]:
    return [directory / "model", *sorted((directory / "checkpoints").glob("step*"))]


def _step(model: Path) -> int | None:
    """Return the step that a saved model says it is of, None where none is saved whole."""
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        whole = any(model.glob("*.safetensors"))
        return int(config["coconut"]["step"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
