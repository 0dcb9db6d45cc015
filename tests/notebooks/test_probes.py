"""The notebooks: each is a pair that agrees, ships with its outputs, and runs from top to bottom."""

import ast
import base64
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from PIL import Image

from tests.conftest import tiny
from workbench.catalog import current
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.files import save_problems
from workbench.problems.sets import generate

ROOT = Path(__file__).resolve().parents[2]
PROBES = sorted((ROOT / "probes").glob("*.py"))
STAGED = ROOT / "fixtures" / "runs" / "emergence"
REFERENCE = current(ROOT / "fixtures" / "runs" / "reference")
PLOTLY, PICTURE = "application/vnd.plotly.v1+json", "image/png"
LARGEST = 1_500_000
"""Bytes of all notebooks: each version of them stays in the history."""


def read(source: Path) -> nbformat.NotebookNode:
    """The notebook of a text."""
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The outputs of all cells."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def shows(code: str) -> bool:
    """Whether a cell prints, or ends in a value."""
    tree = ast.parse(code)
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return isinstance(tree.body[-1], ast.Expr) or any(isinstance(one, ast.Name) and one.id == "print" for one in calls)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    """One kernel for all notebooks, with few problems and the first and last checkpoint of the run that kept them.

    Where the reference model is not there, a random one takes its place.
    """
    folder = tmp_path_factory.mktemp("notebooks")
    save_problems(generate("released", 8, seed=1), folder / "few.json")
    kept = sorted((STAGED / "checkpoints").iterdir())
    for checkpoint in (kept[0], kept[-1]):
        shutil.copytree(checkpoint, folder / "staged" / "checkpoints" / checkpoint.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_PROBLEM_FILE", str(folder / "few.json"))
        patch.setenv("WORKBENCH_STAGED_RUN", str(folder / "staged"))
        patch.setenv("WORKBENCH_FITTED_ON", "20")
        if not (REFERENCE / "model").exists():
            run = save_checkpoint(tiny(max_position_embeddings=256), folder / "run" / "model").parent
            patch.setenv("WORKBENCH_RUN", str(run))
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(ROOT / "probes"))
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("source", PROBES, ids=lambda path: path.stem)
def test_the_notebook_is_what_the_text_says(source: Path) -> None:
    text, notebook = jupytext.read(source), jupytext.read(source.with_suffix(".ipynb"))

    assert [(c.cell_type, c.source) for c in text.cells] == [(c.cell_type, c.source) for c in notebook.cells]


@pytest.mark.parametrize("source", PROBES, ids=lambda path: path.stem)
def test_the_notebook_ships_with_what_each_cell_shows(source: Path) -> None:
    notebook = read(source)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = outputs_of(notebook)

    # One run from top to bottom, without an error or a warning.
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.source for cell in cells if shows(cell.source) != bool(cell.outputs)] == []
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    # GitHub and the site draw no plotly: pictures, with their alt texts.
    assert not [output for output in outputs if PLOTLY in output.get("data", {})]
    pictures = [output for output in outputs if PICTURE in output.get("data", {})]
    assert pictures
    for output in pictures:
        drawn = Image.open(io.BytesIO(base64.b64decode(output.data[PICTURE])))
        assert drawn.width >= output.metadata[PICTURE]["width"]
        assert output.data["text/plain"] == output.metadata[PICTURE]["alt"] != ""


@pytest.mark.parametrize("source", PROBES, ids=lambda path: path.stem)
def test_the_notebook_names_no_machine_and_no_time(source: Path) -> None:
    notebook = read(source)
    said = [str(output.get("text") or output.data.get("text/plain", "")) for output in outputs_of(notebook)]

    assert [text for text in said if re.search(r"(?<![\w.~])/\w+/\w|\d\d:\d\d:\d\d|0x[0-9a-f]{6}", text)] == []
    assert notebook.metadata.keys() == {"jupytext", "kernelspec"}
    assert [cell.id for cell in notebook.cells if cell.metadata] == []


def test_the_notebooks_stay_small() -> None:
    assert sum(source.with_suffix(".ipynb").stat().st_size for source in PROBES) <= LARGEST


SAYS = {
    "one_thought": ("identity changes nothing: True", "thoughts 1 and 2 as before: True", "thought 3 changed: True"),
    "probes_and_lenses": ("before thought 2 as it was: True | from thought 2 on changed: True",),
    "your_own_checkpoint": ("ActivationCache (2, 4, 16) (2, 64)", "nowhere"),
}
"""What a notebook checks of the instrument itself, and must have said."""


@pytest.mark.slow
@pytest.mark.parametrize("source", PROBES, ids=lambda path: path.stem)
# The notebook's client and its kernel talk over sockets that the garbage collector closes.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_notebook_runs(source: Path, kernel: KernelManager) -> None:
    notebook = read(source)
    shipped = sum(PICTURE in output.get("data", {}) for output in outputs_of(notebook))
    notebook.cells.insert(0, new_code_cell("%reset -f"))  # names of the notebook before it
    client = NotebookClient(notebook, km=kernel, timeout=300)
    client.execute()
    assert client.kc
    client.kc.stop_channels()
    outputs = outputs_of(notebook)
    said = "".join(str(output.get("text", "")) for output in outputs)

    assert all(words in said for words in SAYS.get(source.stem, ()))
    assert not [output for output in outputs if output.output_type == "error"]
    # Every notebook draws: in the form that Jupyter shows without an extension of ours.
    assert sum(PLOTLY in output.get("data", {}) for output in outputs) == shipped > 0
