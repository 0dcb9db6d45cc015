"""Generated problems of the tasks beside ProsQA, by name."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.tasks.arithmetic import LIMIT, arithmetic_items
from workbench.tasks.item import Item
from workbench.tasks.item_files import save_items
from workbench.tasks.prontoqa import HOPS, prontoqa_items
from workbench.tasks.wordings import Split

TASKS = ("prontoqa", "arithmetic")
"""The tasks that problems can be generated for."""
SHIPPED_SEED = 1_000_003
"""Seed of the sets that ship: one that nobody trains or validates with by accident."""
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
    check_task(task)
    if count < 1:
        why = "The number of problems must be at least 1."
        raise WorkbenchError(f"Cannot generate {count} problems.", why, "Ask for one or more.")
    key = f"{task} {split} {seed}"
    items: Iterator[Item] = prontoqa_items(key, hops) if task == "prontoqa" else arithmetic_items(key, split, limit)
    return [replace(item, id=f"{task}-{split}-{seed}-{place}") for place, item in enumerate(islice(items, count))]


def check_task(task: str) -> None:
    """Say whether problems of a task can be generated here.

    Raises:
        WorkbenchError: There is no such task.
    """
    if task not in TASKS:
        why = f'There is no task "{task}".'
        raise WorkbenchError("Cannot generate problems.", why, f"Use prosqa, {' or '.join(TASKS)}.")


def check_split(split: str) -> Split:
    """Return a split by its name.

    Raises:
        WorkbenchError: There is no such split.
    """
    for known in SPLITS:
        if split == known:
            return known
    raise WorkbenchError("Cannot generate problems.", f'There is no split "{split}".', f"Use {' or '.join(SPLITS)}.")


def make_task_sets(out_dir: Path, seed: int = SHIPPED_SEED, count: int = 200) -> dict[str, int]:
    """Write the test problems that ship, a file per task: the same seed gives the same bytes.

    Returns:
        The number of problems of each file by its name.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    sets = {f"{task}.json": generate(task, count, seed, "test") for task in TASKS}
    for name, items in sets.items():
        save_items(items, out_dir / name)
    return {name: len(items) for name, items in sets.items()}
