"""The provenance of artefacts: seed, package versions, commit, and digests of model and problems."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Item, Problem

PACKAGES = ("coconut-workbench", "torch", "transformers", "numpy", "scipy", "polars", "pyarrow", "plotly")
"""Packages whose version may change a number or a picture."""


@dataclass(frozen=True)
class Provenance:
    """Seed, versions and commit, which every report and table names."""

    seed: int
    """Of all resampling and drawing."""
    versions: dict[str, str]
    """Version of Python and of each package by its name."""
    commit: str | None
    """Commit of the checkout, with "+changes" after it where files differ; None where this is no checkout."""

    def as_dict(self) -> dict[str, object]:
        """Return the three for JSON."""
        return asdict(self)


def provenance(seed: int) -> Provenance:
    """Return the provenance of an artefact made now."""
    return Provenance(seed, dict(_versions()), _commit())


def last_commit(file: Path) -> str | None:
    """Return the commit that last changed a file of the checkout, with "+changes" after it where the file differs.

    None where this is no checkout.
    """
    root, name = Path(__file__).resolve().parents[2], str(file.resolve())
    found = _git(root, "log", "-1", "--format=%H", "--", name) if (root / ".git").exists() else ""
    return found + ("+changes" if _git(root, "status", "--porcelain", "--", name) else "") if found else None


def checkpoint_digest(checkpoint: Checkpoint) -> str:
    """Return a SHA-256 over weights, tokenizer and the fields that say how the model thinks.

    The same for a checkpoint that was copied or moved; a tensor's name, shape and precision count too. How it was
    supervised does not: checkpoints did not always say it.
    """
    said = sorted((key, value) for key, value in checkpoint.meta.items() if key != "supervision")
    digest = hashlib.sha256(repr(said).encode())
    digest.update(f"{checkpoint.model.config.model_type} {checkpoint.thoughts} {checkpoint.format.name}".encode())
    digest.update(repr(sorted(checkpoint.tokenizer.get_vocab().items())).encode())
    for name, tensor in sorted(checkpoint.model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().float().numpy().data)
    return digest.hexdigest()


def problems_digest(problems: Iterable[Problem | Item]) -> str:
    """Return a SHA-256 over problems in their order, whatever file they were in."""
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(repr(problem).encode())
    return digest.hexdigest()


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", ".".join(map(str, sys.version_info[:3])))]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:  # run from a checkout that is not installed
            found.append((package, "not installed"))
    return tuple(found)


@cache
def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed into somebody else's checkout
        return None
    head = _git(root, "rev-parse", "HEAD")
    if not head:
        return None
    return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *arguments: str) -> str:
    env = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # asking writes nothing into the checkout
    try:
        ran = subprocess.run(["git", *arguments], cwd=root, env=env, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""
