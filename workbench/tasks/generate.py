"""Generated problems of the tasks beside ProsQA, by name."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from workbench.errors import WorkbenchError
from workbench.tasks.arithmetic import LIMIT, arithmetic_items
from workbench.tasks.item import Item
from workbench.tasks.prontoqa import HOPS, prontoqa_items
from workbench.tasks.wordings import Split

TASKS = ("prontoqa", "arithmetic")
"""The tasks that problems can be generated for."""
SPLITS: tuple[Split, ...] = ("train", "test")


def generate(
    task: str, count: int, seed: int, split: Split = "train", *, hops: int = HOPS, limit: int = LIMIT
) -> list[Item]:
    """Generate problems, each checked by its oracle; the same arguments give the same problems.

    The first problems of a longer list are those of a shorter one. The splits never draw the same random numbers;
    arithmetic stories of different splits also share no sentence pattern.

    Args:
        task: "prontoqa" or "arithmetic".
        count: Number of problems.
        seed: Seed of all randomness.
        split: "train" or "test".
        hops: For prontoqa: rules of the proof.
        limit: For arithmetic: the largest number.

    Raises:
        WorkbenchError: There is no such task, or the numbers are not offered.
    """
    what = f"Cannot generate {count} problems."
    if task not in TASKS:
        raise WorkbenchError(what, f'There is no task "{task}".', f"Use one of {', '.join(TASKS)}.")
    if split not in SPLITS:
        raise WorkbenchError(what, f'There is no split "{split}".', f"Use one of {', '.join(SPLITS)}.")
    if count < 1:
        raise WorkbenchError(what, "The number of problems must be at least 1.", "Ask for one or more.")
    key = f"{task} {split} {seed}"
    items: Iterator[Item] = prontoqa_items(key, hops) if task == "prontoqa" else arithmetic_items(key, split, limit)
    return [replace(item, id=f"{task}-{split}-{seed}-{place}") for place, item in enumerate(islice(items, count))]
