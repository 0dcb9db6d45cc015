"""Checkpoints: plain Hugging Face directories whose `config.coconut` says how the model thinks."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from workbench.formats import Format


@dataclass(frozen=True)
class Checkpoint:
    """A model that reasons in continuous thoughts, with all that is needed to ask it something."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    format: Format
    thoughts: int
    """Number of thoughts it was trained with."""
    name: str
    """Shown on the screen and in tables."""
    meta: dict[str, object]
    """`config.coconut` as it was read."""


def load_checkpoint(source: str | Path) -> Checkpoint:
    """Load a checkpoint from a run directory, a `save_pretrained` directory or a hub name."""
    raise NotImplementedError


def save_checkpoint(checkpoint: Checkpoint, directory: str | Path) -> Path:
    """Write a checkpoint as a plain `save_pretrained` directory."""
    raise NotImplementedError
