"""Pages of the site that are made from the code: Python, commands, configuration, columns.

A hook of mkdocs (`mkdocs.yml`). Nothing here is written to the disk.
"""

import subprocess
import sys
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, wherever the site is built from

import workbench
from workbench.measure.columns import columns, tables

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION, REWARD = "workbench.train.config", "workbench.train.reward"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of the folder."""
    for name, text in {
        "reference/python.md": python_page(),
        "reference/commands.md": commands_page(),
        "reference/configuration.md": configuration_page(),
        "reference/columns.md": columns_page(),
    }.items():
        files.append(File.generated(config, name, content=text))
    return files


def python_page() -> str:
    """Return the page of the public names, from their docstrings."""
    lines = [
        "# Python",
        "",
        "`import workbench as wb` gives these names, and only these are stable. Importing loads no torch; each name is "
        "imported when it is first used.",
        "",
    ]
    for module in dict.fromkeys(workbench.PUBLIC.values()):
        lines += [f"## {_first_line(module)}", ""]
        for name in (name for name, where in workbench.PUBLIC.items() if where == module):
            lines += [f"::: {module}.{name}", ""]
    return "\n".join(lines)


def commands_page() -> str:
    """Return the page of the commands, from their help texts."""
    command = [sys.executable, "-m", "typer", "workbench.cli", "utils", "docs", "--name", "workbench"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return made.replace("# `workbench`", "# Commands", 1)


def configuration_page() -> str:
    """Return the page of the training configuration, from its dataclasses."""
    module, reward = (griffe.load(name, search_paths=[str(ROOT)]) for name in (CONFIGURATION, REWARD))
    lines = [
        "# Training configuration",
        "",
        "A YAML file for `workbench train`. Every key has a default; an unknown key is an error that names the nearest "
        "known one. Examples: `configs/` in the repository.",
        "",
    ]
    top = module.classes["TrainConfig"]
    named = {str(one.annotation) for one in top.attributes.values()}
    for name, found in {"TrainConfig": top, **module.classes, **reward.classes}.items():
        if found is not top and name not in named:
            continue
        fields = [one for one in found.attributes.values() if one.annotation is not None]
        lines += [f"## {name}", "", _line(found.docstring.value if found.docstring else ""), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{one.name}` | `{_cell(one.annotation)}` | `{_cell(one.value)}` | "
            f"{_line(one.docstring.value if one.docstring else '')} |"
            for one in fields
        ]
        lines += [""]
    return "\n".join(lines)


def columns_page() -> str:
    """Return the page of the columns of every table, from the descriptions beside the code that writes them."""
    lines = [
        "# Table columns",
        "",
        "Every Parquet table that the workbench writes. The chance level of a column `NAME` stands in `NAME_chance`.",
        "",
    ]
    for table in tables():
        lines += [f"## {table}", "", "| column | meaning | unit | range | chance |", "|---|---|---|---|---|"]
        for one in columns(table):
            cells = (one.what, one.unit, one.range, one.chance)
            lines.append(f"| `{one.name}` | {' | '.join(_line(cell or '') for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)


def _first_line(module: str) -> str:
    found = griffe.load(module, search_paths=[str(ROOT)])
    return (found.docstring.value if found.docstring else module).splitlines()[0].rstrip(".")


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _line(text: str) -> str:
    return _cell(" ".join(text.split()))
