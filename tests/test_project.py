"""The project holds to its own rules: dependencies, layers, house style."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

import networkx
import numpy as np
import pytest
import yaml
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.checks import checked, has_shapes, has_text
from tests.release import constrained, locked, sbom
from workbench.interventions.thoughts import Noise
from workbench.problems import graph
from workbench.problems.problem import Problem

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, HATCH = PYPROJECT["project"], PYPROJECT["tool"]["hatch"]
LONGEST_FILE = 800
MOST_FILES = 16

IMPORT_NAMES = {"pyyaml": "yaml"}
"""Distributions that are imported under another name than their own."""


def python_files(*folders: str) -> list[Path]:
    """Every Python file under the folders of the project."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def imports(path: Path) -> list[str]:
    """The dotted names that a file imports, at its top or inside a function; some forty tests ask."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def imports_of(folders: tuple[str, ...], *banned: str) -> list[str]:
    """Imports of a banned package (or of anything in it), as `file: name`."""
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files(*folders)
        for name in imports(path)
        if any(name == ban or name.startswith(f"{ban}.") for ban in banned)
    ]


def tracked_files() -> list[Path]:
    """The files under version control; skips the test where this is no git checkout."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def tracked_text() -> Iterator[tuple[str, str]]:
    """Name and content of each tracked text file."""
    for path in tracked_files():
        if path.suffix not in {".png", ".safetensors", ".parquet", ".gz"}:
            yield str(path.relative_to(ROOT)), path.read_text(errors="replace")


# Dependencies


def test_environment_yml_asks_for_what_pyproject_asks_for() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    extras = PROJECT["optional-dependencies"]

    assert environment["name"] == PROJECT["name"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert [entry for entry in pip if entry.startswith("-")] == ["--constraint constraints.txt", "--editable ."]
    assert sorted(entry for entry in pip if not entry.startswith("-")) == sorted(
        PROJECT["dependencies"] + [line for extra in extras.values() for line in extra]
    )


def test_constraints_pin_every_dependency_to_a_version_it_admits() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    wanted = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]

    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_every_pinned_package_can_be_installed_on_the_oldest_python() -> None:
    """Debian 12 has 3.11.2, and some packages ask for a later one of the same minor version."""
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    here = {str(canonicalize_name(one.name)): one for one in distributions()}
    asked = {name: str(here[name].metadata.json.get("requires_python", "")) for name in constrained() if name in here}
    assert len(asked) > 100
    assert not {name: needs for name, needs in asked.items() if not SpecifierSet(needs).contains(oldest)}


def test_the_lock_has_every_requirement_at_its_pin_and_with_hashes() -> None:
    pins, versions = locked(), constrained()
    wanted = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]

    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= pins.keys()
    assert pins["torch"][0].endswith("+cpu")
    assert {name: have.split("+")[0] for name, (have, _) in pins.items() if name in versions} == {
        name: version for name, version in versions.items() if name in pins
    }
    assert all(len(one) == 64 for _, hashes in pins.values() for one in hashes or [""])


def test_the_bill_of_materials_names_every_package_of_the_lock_with_its_hashes() -> None:
    parts = {part["name"]: part for part in sbom()["components"]}  # type: ignore[attr-defined]
    assert parts.keys() == locked().keys()
    assert parts["torch"]["hashes"][0]["content"] in locked()["torch"][1]
    assert parts["polars"]["licenses"][0]["license"]["name"].startswith("MIT")


def test_the_readme_of_a_package_index_has_no_link_that_leads_nowhere() -> None:
    shown = (ROOT / "README.md").read_text()
    for one in HATCH["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(one["pattern"], one["replacement"], shown)
    assert "<img" not in shown
    assert re.findall(r"\]\((?!https://)", shown) == []
    assert "then the notebooks in" in shown
    assert "](https://arxiv.org" in shown


def test_the_library_alone_does_not_pull_streamlit() -> None:
    assert not [line for line in PROJECT["dependencies"] if Requirement(line).name == "streamlit"]
    assert [line for line in PROJECT["optional-dependencies"]["app"] if Requirement(line).name == "streamlit"]


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_every_dependency_of_the_library_is_imported_by_it(line: str) -> None:
    name = canonicalize_name(Requirement(line).name)
    module = IMPORT_NAMES.get(name, name.replace("-", "_"))

    assert imports_of(("workbench",), module), f"nothing in workbench/ imports {module}"


# Layers: problem -> trace -> scores -> figure -> screen, and no way back


def test_the_library_knows_no_screen() -> None:
    assert imports_of(("workbench",), "streamlit", "apps") == []


def test_figures_run_no_model() -> None:
    libraries = ("torch", "transformers", "transformer_lens", "safetensors")
    ours = ("workbench.model.coconut", "workbench.model.checkpoint", "workbench.model.lens", "workbench.run")

    assert imports_of(("workbench/figures",), *libraries, *ours) == []


def test_importing_the_figures_loads_no_model_code() -> None:
    figures = [path.stem for path in (ROOT / "workbench" / "figures").glob("*.py") if path.stem != "__init__"]
    imported = "; ".join(f"import workbench.figures.{name}" for name in figures)
    code = f"import sys; {imported}; sys.exit('torch' in sys.modules)"

    assert figures
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_app_holds_no_mathematics() -> None:
    assert imports_of(("apps",), "numpy", "scipy", "networkx", "math", "torch", "statistics") == []


def test_the_library_imports_nothing_from_its_own_tests_or_benchmarks() -> None:
    assert imports_of(("workbench", "apps"), "tests", "benchmarks") == []


PACKAGES = """
    errors files settings catalog problems model interventions measure train figures readings studies api cli __main__
""".split()
"""Packages and files of the library; each imports only those before it."""
ORDER = {name: place for place, name in enumerate(PACKAGES)}


def test_each_package_uses_only_those_before_it() -> None:
    upwards = []
    for path in python_files("workbench"):
        here = path.relative_to(ROOT / "workbench").with_suffix("").parts[0]
        if here == "__init__":  # the public names, each imported when it is first asked for
            continue
        for name in imports(path):
            there = name.removeprefix("workbench.").partition(".")[0]
            if name.startswith("workbench.") and there in ORDER and ORDER[there] > ORDER[here]:
                upwards.append(f"{path.relative_to(ROOT)}: {name}")

    assert upwards == []


def test_no_two_files_import_each_other() -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in python_files("workbench", "apps")
        if path.parent != ROOT / "workbench" or path.stem != "__init__"  # imports what is asked for, when it is
    }
    edges = {module: {name for name in imports(path) if name in modules} - {module} for module, path in modules.items()}
    graph_of_files = networkx.DiGraph((module, name) for module, names in edges.items() for name in names)
    circles = [sorted(files) for files in networkx.strongly_connected_components(graph_of_files) if len(files) > 1]

    assert circles == []


def test_no_folder_is_too_full() -> None:
    files = [path for path in python_files("workbench") if path.stem != "__init__"]
    counts = Counter(path.parent.relative_to(ROOT) for path in files)

    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES} == {}


# House style


def test_the_library_does_not_print() -> None:
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files("workbench")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert calls == []


def test_files_are_short_enough_to_read_in_one_sitting() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in python_files("workbench", "apps", "benchmarks", "tests", "docs")
    }

    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_file_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}

    assert [path for path in python_files("workbench", "apps", "benchmarks") if path.stem in drawers] == []


def test_annotations_are_not_postponed() -> None:
    # jaxtyping and beartype read them when the function is defined.
    assert imports_of(("workbench", "apps", "benchmarks", "tests"), "__future__") == []


def test_shapes_and_types_of_the_library_are_checked_in_tests() -> None:
    wrong: Any = "three"
    with pytest.raises(BeartypeCallHintViolation):  # a shape
        graph.hops(np.zeros((2, 3), dtype=bool), 0)
    with pytest.raises(BeartypeCallHintViolation):  # an argument without arrays
        graph.hop_read(wrong, wrong)
    with pytest.raises(BeartypeCallHintViolation):  # a field of a dataclass
        Noise(at=wrong)


@pytest.mark.parametrize("number", [1, 2])
def test_an_inner_function_is_checked_each_time_it_is_defined(number: int) -> None:
    def define(of: int) -> Callable[..., Any]:
        @checked(typechecker=beartype)
        def added(to: int, also: str = "") -> int:
            """Add."""
            return also if also else to + of  # type: ignore[return-value]

        return added

    made, wrong = define(number), "x"
    assert made(1) == 1 + number
    assert made.__doc__ == "Add."
    for arguments in (wrong,), (1, wrong), (1, 2):
        with pytest.raises(BeartypeCallHintViolation):
            made(*arguments)


@pytest.mark.parametrize(
    ("hint", "shapes", "text"),
    [
        (int | None, False, False), (list[Problem], False, False), (Callable[[int], str], False, False),
        ("Problem", False, True), (Callable[["Problem"], int], False, True), (Literal["Problem"] | None, False, False),
        (Float[np.ndarray, "a"], True, False), (dict[str, list[Float[np.ndarray, "a"] | None]], True, False),
        (Callable[[Float[np.ndarray, "a"]], int], True, False),
    ],
)  # fmt: skip
def test_annotations_with_shapes_or_in_text_are_known(hint: Any, shapes: bool, text: bool) -> None:
    assert (has_shapes(hint), has_text(hint)) == (shapes, text)


def test_the_axes_of_a_call_agree_in_arguments_and_result_whatever_those_of_a_call_within() -> None:
    @checked(typechecker=beartype)
    def added(one: Float[np.ndarray, "a"], other: Float[np.ndarray, "a"], end: int) -> Float[np.ndarray, "a"]:
        """Add, and cut; before that, add a part."""
        return (one + other)[:end] if len(one) == 1 else added(one[:1], other[:1], 1).repeat(end)

    full = np.ones(3)
    assert added(full, full, 3).tolist() == [2, 2, 2]
    for arguments in (full, full[1:], 3), (full, full, 2), (np.ones((3, 1)), full, 3):
        with pytest.raises(BeartypeCallHintViolation):
            added(*arguments)


def test_no_pickle_is_read_or_written() -> None:
    assert imports_of(("workbench", "apps"), "pickle", "joblib", "dill", "cloudpickle") == []


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        # Brackets, so that this file does not name what it forbids.
        ("a package registry's host", "pypi[.]org|pythonhosted[.]org|npmjs[.]org|debian[.]org|anaconda[.]org"),
        ("a path of one machine", r"(?<![\w.~/:-])/(?:work|farm|root|home)/\w"),
        ("a word with more than one name", r"latent[ ]tokens?\b"),
    ],
)
def test_no_tracked_file_names(what: str, pattern: str) -> None:
    found = [f"{name}: {match[0]}" for name, text in tracked_text() for match in [re.search(pattern, text)] if match]

    assert found == [], what


def test_no_tracked_file_is_larger_than_ten_megabytes() -> None:
    assert {path.name: path.stat().st_size for path in tracked_files() if path.stat().st_size > 10_000_000} == {}
