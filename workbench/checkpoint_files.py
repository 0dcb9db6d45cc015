"""What must lie in a checkpoint's directory before anything in it is opened."""

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError, safe_open

from workbench.errors import WorkbenchError

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_EXAMPLE = '"coconut": {"version": 1, "format": "text", "markers": true, "thoughts": 6}'


@dataclass(frozen=True)
class CoconutConfig:
    """The fields of `config.coconut` that decide how a model is run."""

    version: int = 1
    format: str = "edges"
    markers: bool = True
    thoughts: int = 6
    thoughts_per_step: int = 1
    fed: str = "hidden"
    """What is fed as a thought: "hidden", the hidden state itself, or "pause", always the pause token."""
    says: str = "answer"
    """What follows the thoughts: "answer" at once, or the "chain" of steps with the answer at its end."""

    @classmethod
    def read(cls, meta: object, name: str) -> "CoconutConfig":
        """Read and check the fields; others (task, method, ...) are free.

        Raises:
            WorkbenchError: A field has the wrong type or value.
        """
        if not isinstance(meta, dict):
            raise _wrong_field(name, f"config.coconut is {meta!r}, not a table of fields")
        given = {field.name: meta[field.name] for field in fields(cls) if field.name in meta}
        for field in fields(cls):
            key, kind = field.name, type(field.default)
            if key in given and type(given[key]) is not kind:
                raise _wrong_field(name, f"config.coconut.{key} is {given[key]!r}, not of type {kind.__name__}")
        for key, known in {"fed": ("hidden", "pause"), "says": ("answer", "chain")}.items():
            if key in given and given[key] not in known:
                raise _wrong_field(name, f"config.coconut.{key} is {given[key]!r}, expected {' or '.join(known)}")
        read = cls(**given)
        if read.version != 1:
            raise WorkbenchError(
                f"{name} was saved by another version of the workbench.",
                f"config.coconut.version is {read.version}; this one reads version 1.",
                "Update coconut-workbench.",
            )
        if read.thoughts < 0:
            raise _wrong_field(name, f"config.coconut.thoughts is {read.thoughts}; it counts thoughts")
        if read.thoughts_per_step < 1:
            raise _wrong_field(
                name, f"config.coconut.thoughts_per_step is {read.thoughts_per_step}, expected 1 or more"
            )
        return read


def find(source: str | Path) -> tuple[Path, str]:
    """Return the directory that holds a checkpoint, fetched from the hub where need be, and its name.

    Raises:
        WorkbenchError: There is no such directory or model.
    """
    path = Path(source)
    if path.is_dir():
        inner = path if (path / "config.json").exists() else path / "model"
        if not (inner / "config.json").exists():
            raise WorkbenchError(
                f"There is no checkpoint in {path}.",
                "Neither config.json nor model/config.json is there.",
                "Name a run directory, or a directory written by save_pretrained().",
            )
        return inner, _name(path.resolve())
    if path.exists():
        raise WorkbenchError(
            f"{path} is a file.", "A checkpoint is a directory.", "Name the directory that holds config.json."
        )
    if not isinstance(source, str) or not _HUB_NAME.fullmatch(source):
        raise WorkbenchError(
            f"There is no checkpoint {source}.",
            "There is no such directory, and it is not the name of a model on the hub.",
            "Check the path; a run directory has a folder model/.",
        )
    return _fetch(source), source


def read_config(directory: Path, name: str) -> dict[str, Any]:
    """Return config.json.

    Raises:
        WorkbenchError: It cannot be read.
    """
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkbenchError(
            f"config.json of {name} cannot be read.", reason(error), "Copy or save the checkpoint again."
        ) from error
    return config if isinstance(config, dict) else {}


def require_config(directory: Path, name: str) -> None:
    """Check that config.json can be read and has `coconut`."""
    config = read_config(directory, name)
    if "coconut" not in config:
        raise WorkbenchError(
            f"{name} does not say how it thinks.",
            "Its config.json has no field `coconut`, so it is not a Coconut checkpoint.",
            f"If it was trained on thoughts elsewhere, add {_EXAMPLE} to its config.json.",
        )
    CoconutConfig.read(config["coconut"], name)


def require_weights(directory: Path, name: str) -> None:
    """Check that the weights are whole safetensors files."""
    index = directory / "model.safetensors.index.json"
    files = [directory / "model.safetensors"]
    if index.exists():
        try:
            files = [directory / Path(part).name for part in set(json.loads(index.read_text())["weight_map"].values())]
        except (ValueError, KeyError, AttributeError) as error:
            raise _damaged(index.name, name, reason(error)) from error
    elif not files[0].exists():
        pickles = sorted(file.name for file in directory.iterdir() if file.suffix in _PICKLES)
        if pickles:
            raise _only_pickles(name, pickles)
        raise WorkbenchError(
            f"{name} has no weights.",
            "There is no model.safetensors in it.",
            "Copy or save the checkpoint again; fetch large files if it came by git (git lfs pull).",
        )
    for file in sorted(files):
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise _damaged(file.name, name, reason(error)) from error


def require_tokenizer(directory: Path, name: str) -> None:
    """Check that there is a tokenizer."""
    if not any((directory / file).exists() for file in _TOKENIZERS):
        raise WorkbenchError(
            f"{name} has no tokenizer.",
            f"None of {', '.join(_TOKENIZERS)} is in it.",
            "Save it beside the model with tokenizer.save_pretrained().",
        )


def reason(error: Exception) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _name(path: Path) -> str:
    """Name a checkpoint by its run: "reference", "reference/stage-3"."""
    if path.parent.name == "checkpoints":
        return f"{path.parent.parent.name}/{path.name}"
    return path.parent.name if path.name == "model" else path.name


def _fetch(name: str) -> Path:
    patterns = ["*.safetensors", "*.json", "*.txt", "*.model"]
    try:
        directory = Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
        if not list(directory.glob("*.safetensors*")):
            pickles = sorted(f for f in HfApi().list_repo_files(name) if f.endswith(_PICKLES) and "/" not in f)
            if pickles:
                raise _only_pickles(name, pickles)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WorkbenchError(
            f"There is no checkpoint {name}.",
            f"There is no such directory, and the hub did not give a model of that name: {reason(error)}",
            "Check the path or the name; for a model on the hub, check the network and your access.",
        ) from error
    if not (directory / "config.json").exists():
        raise WorkbenchError(f"{name} on the hub is no model.", "It has no config.json.", "Check the name.")
    return directory


def _only_pickles(name: str, files: list[str]) -> WorkbenchError:
    return WorkbenchError(
        f"The weights of {name} are refused.",
        f"They come as a pickle only ({', '.join(files[:3])}), and reading a pickle can run any code that is in it.",
        "Load it where you trust it and save it again with save_pretrained(), which writes model.safetensors.",
    )


def _damaged(file: str, name: str, why: str) -> WorkbenchError:
    return WorkbenchError(
        f"{file} of {name} is cut off or damaged.", why, "Copy, download or save the checkpoint again."
    )


def _wrong_field(name: str, why: str) -> WorkbenchError:
    return WorkbenchError(f"{name} does not say clearly how it thinks.", f"{why}.", "Correct config.json.")
