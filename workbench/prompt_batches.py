"""Problems read as they are needed, and put together in batches that waste little on padding."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from transformers import PreTrainedModel

from workbench.checkpoint import Checkpoint
from workbench.errors import WorkbenchError
from workbench.problem import Problem
from workbench.prompts import Prompt
from workbench.tasks.item import Item

_WINDOW = 4
"""Batches read ahead, so that prompts of like length share a batch and little is spent on padding."""


def prompt_batches(
    checkpoint: Checkpoint, problems: Iterable[Problem | Item], batch_size: int
) -> Iterator[tuple[int, list[Prompt], list[int]]]:
    """Yield a few batches at a time: the number of their first prompt, the prompts, and their order by length.

    Raises:
        WorkbenchError: The batch size is below one, or a problem cannot be written in the checkpoint's format.
    """
    if batch_size < 1:
        raise WorkbenchError(
            f"A batch cannot hold {batch_size} problems.", "The batch size is below one.", "Give 1 or more."
        )
    stream, first = iter(problems), 0
    while chunk := list(islice(stream, batch_size * _WINDOW)):
        prompts = checkpoint.format.prompts(chunk)
        yield first, prompts, sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))
        first += len(chunk)


def thought_count(checkpoint: Checkpoint, thoughts: int | None) -> int:
    """Return how many thoughts are asked for, by default as many as the model was trained with.

    Raises:
        WorkbenchError: The number is negative.
    """
    count = checkpoint.thoughts if thoughts is None else thoughts
    if count < 0:
        raise WorkbenchError(
            f"A model cannot think {count} thoughts.",
            "The number of thoughts is negative.",
            "Give 0 for none, or leave it out for as many as it was trained with.",
        )
    return count


def positions_left(model: PreTrainedModel, batch: Sequence[Prompt], used: int) -> int:
    """Return how many positions are left after the longest prompt and so many more."""
    positions = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    return positions - max(len(prompt.ids) for prompt in batch) - used
