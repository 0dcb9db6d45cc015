"""The problem file of a task, whatever the task."""

from pathlib import Path

from workbench.problem import Problem
from workbench.problem_files import load_problems
from workbench.tasks.item import Item

GRAPH_TASKS = ("edges", "prosqa")
"""Tasks of the training configuration whose problems are ProsQA's."""


def load_set(file: Path, task: str) -> list[Problem] | list[Item]:
    """Read the problems of a file.

    Args:
        file: In the format of the task.
        task: `TrainConfig.task`.

    Raises:
        WorkbenchError: As the task's own reader.
    """
    return load_problems(file)
