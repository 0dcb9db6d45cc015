"""Pages of the site that are made from the code: Python, commands, configuration, columns; alt texts of notebooks.

A hook of mkdocs (`mkdocs.yml`). Nothing here is written to the disk.
"""

import json
import re
import subprocess
import sys
from functools import cache
from html import escape
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, wherever the site is built from

import workbench
from workbench.measure.columns import columns, tables

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION, REWARD = "workbench.train.config", "workbench.train.reward"
SUITES = "workbench.studies.compare.suite"
SUITE_PARTS = ("Suite", "SuiteTask", "Variant", "Contrast", "SuiteAudit", "SuiteEmergence")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of the folder."""
    for name, text in {
        "reference/python.md": python_page(),
        "reference/commands.md": commands_page(),
        "reference/configuration.md": configuration_page(),
        "reference/suites.md": suites_page(),
        "reference/columns.md": columns_page(),
    }.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give the pictures of a notebook the alt texts that are in it: nbconvert leaves them out."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    cells = json.loads(Path(str(page.file.abs_src_path)).read_text(encoding="utf-8"))["cells"]
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    alts = (about["alt"] for output in outputs if (about := output.get("metadata", {}).get("image/png")))
    return re.sub(
        'alt="No description has been provided for this image"', lambda _: f'alt="{escape(next(alts))}"', html
    )


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
    module, reward = _module(CONFIGURATION), _module(REWARD)
    top, classes = module.classes["TrainConfig"], {**module.classes, **reward.classes}
    lines = [
        "# Training configuration",
        "",
        "A YAML file for `workbench train`. Every key has a default; an unknown key is an error that names the nearest "
        "known one. Examples: `configs/` in the repository.",
        "",
    ]
    named = {str(field.annotation) for one in (top, classes["RewardConfig"]) for field in one.attributes.values()}
    return "\n".join(
        [*lines, *_keys(top), *(line for name in classes if name in named for line in _keys(classes[name]))]
    )


def suites_page() -> str:
    """Return the page of the suites of `workbench compare`, from their dataclasses."""
    classes = _module(SUITES).classes
    lines = [
        "# Suites",
        "",
        "A YAML file for `workbench compare`: what is trained, measured and judged. Examples: `configs/suites/` in the "
        "repository.",
        "",
    ]
    return "\n".join([*lines, *(line for name in SUITE_PARTS for line in _keys(classes[name]))])


def _keys(found: griffe.Class) -> list[str]:
    """Return the keys of a dataclass as lines of a page."""
    lines = [f"## {found.name}", "", _line(found.docstring.value if found.docstring else ""), ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for one in found.attributes.values():
        if one.annotation is not None:
            meaning = _line(one.docstring.value if one.docstring else "")
            default = "required" if one.value is None else f"`{_cell(one.value)}`"
            lines.append(f"| `{one.name}` | `{_cell(one.annotation)}` | {default} | {meaning} |")
    return [*lines, ""]


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


@cache
def _package() -> griffe.Module:
    """Return the source of the library; griffe reads all of it, whichever module is asked for."""
    found = griffe.load("workbench", search_paths=[str(ROOT)])
    assert isinstance(found, griffe.Module)
    return found


def _module(name: str) -> griffe.Module:
    return _package()[name.removeprefix("workbench.")]


def _first_line(module: str) -> str:
    found = _module(module)
    return (found.docstring.value if found.docstring else module).splitlines()[0].rstrip(".")


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _line(text: str) -> str:
    return _cell(" ".join(text.split()))
