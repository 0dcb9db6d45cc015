"""The notebooks: each is a pair that agrees, and runs from top to bottom."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import tiny
from workbench.catalog import current
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.files import save_problems
from workbench.problems.sets import generate

ROOT = Path(__file__).resolve().parents[2]
PROBES = sorted((ROOT / "probes").glob("*.py"))
REFERENCE = current(ROOT / "fixtures" / "runs" / "reference")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reference model is not there, a random one takes its place."""
    problems = tmp_path / "few.json"
    save_problems(generate("released", 20, seed=1), problems)
    monkeypatch.setenv("WORKBENCH_PROBLEM_FILE", str(problems))
    monkeypatch.setenv("WORKBENCH_FITTED_ON", "40")
    if not (REFERENCE / "model").exists():
        run = save_checkpoint(tiny(max_position_embeddings=256), tmp_path / "run" / "model").parent
        monkeypatch.setenv("WORKBENCH_RUN", str(run))


def test_there_is_a_notebook() -> None:
    assert PROBES


@pytest.mark.parametrize("source", PROBES, ids=lambda path: path.stem)
def test_the_notebook_is_what_the_text_says(source: Path) -> None:
    text, notebook = jupytext.read(source), jupytext.read(source.with_suffix(".ipynb"))

    assert [(c.cell_type, c.source) for c in text.cells] == [(c.cell_type, c.source) for c in notebook.cells]


SAYS = {
    "one_thought": ("identity changes nothing: True", "thoughts 1 and 2 as before: True", "thought 3 changed: True"),
    "probes_and_lenses": ("before thought 2 as it was: True | from thought 2 on changed: True",),
    "your_own_checkpoint": ("ActivationCache (2, 4, 16) (2, 64)", "nowhere"),
}
"""What a notebook checks of the instrument itself, and must have said."""


@pytest.mark.slow
@pytest.mark.parametrize("source", PROBES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("stand_in")
# The notebook's client and its kernel talk over sockets that the garbage collector closes.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_notebook_runs(source: Path) -> None:
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    resources = {"metadata": {"path": str(source.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(str(output.get("text", "")) for output in outputs)

    assert all(words in said for words in SAYS.get(source.stem, ()))
    assert not [output for output in outputs if output.output_type == "error"]
    # Every notebook draws: in the form that Jupyter shows without an extension of ours.
    drawn = [output for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert drawn
