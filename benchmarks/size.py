"""How large the code is: files, lines and statements, by package.

    python -m benchmarks.size [--at COMMIT]

Lines include docstrings, comments and blank lines. A statement is a node of the syntax tree that stands on its own;
docstrings are not counted.
"""

import ast
import subprocess
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

FOLDERS = ("workbench", "apps", "tests", "benchmarks", "probes", "docs")


def count(source: str) -> Counter:
    """Count lines, lines of docstrings, and statements of one file."""
    found: Counter = Counter(files=1, lines=len(source.splitlines()))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found["docstring lines"] += (node.end_lineno or node.lineno) - node.lineno + 1
        elif isinstance(node, ast.stmt):
            found["statements"] += 1
    return found


def main(at: Annotated[str, typer.Option(help="A commit; by default the index.")] = "") -> None:
    """Print the table."""
    listed = ["git", "ls-tree", "-r", "--name-only", at] if at else ["git", "ls-files"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    table = Table("folder", "files", "lines", "docstring lines", "statements")
    sums: dict[str, Counter] = {}
    for name in names:
        top, *rest = name.split("/")
        if name.endswith(".py") and top in FOLDERS:
            source = subprocess.run(["git", "show", f"{at}:{name}"], capture_output=True, text=True, check=True).stdout
            counted = count(source)
            for key in (top, f"  {rest[0]}") if top == "workbench" and len(rest) > 1 else (top,):
                sums[key] = sums.get(key, Counter()) + counted
    for key, counted in sums.items():
        table.add_row(key, *(str(counted[column]) for column in ("files", "lines", "docstring lines", "statements")))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
