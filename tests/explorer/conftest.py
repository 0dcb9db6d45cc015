"""An explorer over tiny runs and small problem sets, opened without a browser."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from apps.components import stepper, tabs
from tests.conftest import chain, tiny_model
from tests.explorer.page import Open
from workbench import catalog
from workbench.model.checkpoint import Checkpoint, make_checkpoint, save_checkpoint
from workbench.problems.files import save_problems
from workbench.problems.sets import generate
from workbench.problems.vocabulary import edges_tokenizer
from workbench.readings import lenses

EXPLORER = Path(__file__).resolve().parents[2] / "apps" / "explorer.py"
THOUGHTS = 3
FIT, LENS_STEPS = lenses.fit_lens, 3
"""Enough for a page to show a tuned lens; how well it fits is tested with the reading."""
COMPONENTS = cache(manifest_scanner.scan_component_manifests)
"""Streamlit reads what all installed packages say of themselves whenever a page is opened: once is enough."""
KINDS: dict[str, dict[str, object]] = {
    "pause_as_thought": {"thoughts": THOUGHTS, "fed": "pause"},
    "cot": {"thoughts": 0, "says": "chain"},
    "no_cot": {"thoughts": 0},
    "coconut_two": {"thoughts": 2 * THOUGHTS, "thoughts_per_step": 2},
}
"""Runs of methods that think otherwise than Coconut, by name: what sets them apart in config.coconut."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny runs, one with a checkpoint of an earlier stage and one cut off, and two problem sets."""
    home = tmp_path_factory.mktemp("explorer")
    for name, seed in (("reference", 0), ("second", 1), ("reference/checkpoints/stage1", 2)):
        model = tiny_model("qwen2", seed, max_position_embeddings=256)
        meta: dict[str, object] = {"version": 1, "task": "prosqa", "format": "edges", "thoughts": THOUGHTS}
        inner = home / "runs" / name / ("" if "stage" in name else "model")
        save_checkpoint(make_checkpoint(model, edges_tokenizer(), meta, name), inner)
    for name, about in KINDS.items():
        model = tiny_model("qwen2", 3, max_position_embeddings=256)
        more: dict[str, object] = {"version": 1, "format": "edges", "markers": False, "method": name} | about
        save_checkpoint(make_checkpoint(model, edges_tokenizer(), more, name), home / "runs" / name / "model")
    broken = home / "runs" / "cut-off" / "model"
    save_checkpoint(make_checkpoint(model, edges_tokenizer(), meta, "cut-off"), broken)
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (home / "problems").mkdir()
    save_problems([chain(number, number + 1) for number in range(5)], home / "problems" / "released.json")
    save_problems(generate("balanced", 2, 0), home / "problems" / "pairs.json")
    return home


def draw_here(steps: stepper.Steps, key: str, make: Callable[[int], None]) -> None:
    """Draw one number of thoughts, as `Steps.draw` does for all of them."""
    with st.container(key=f"steps-{key}"), st.container(key=f"at-{steps.here}-{key}"):
        make(steps.here)


@pytest.fixture
def all_thoughts() -> None:
    """Draw every number of thoughts, as for a browser: four times the work, so only where a test looks at others."""


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Open:
    """Open a page of the explorer, at its root by default, as a link with these parameters does."""

    def fit_lens(checkpoint: Checkpoint, residual: np.ndarray, steps: int = 0, seed: int = 0) -> lenses.TunedLens:
        return FIT(checkpoint, residual, LENS_STEPS, seed)

    if "all_thoughts" not in request.fixturenames:
        monkeypatch.setattr(stepper.Steps, "draw", draw_here)
    monkeypatch.setattr(lenses, "fit_lens", fit_lens)
    monkeypatch.setattr(tabs, "fit_lens", fit_lens)
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", COMPONENTS)
    monkeypatch.setenv(catalog.RUNS_VARIABLE, str(folder / "runs"))
    monkeypatch.setenv(catalog.PROBLEMS_VARIABLE, str(folder / "problems"))
    monkeypatch.setattr(catalog, "RUN_FOLDERS", ())
    monkeypatch.setattr(catalog, "PROBLEM_FOLDERS", ())
    # Streamlit puts the script in its place, and processes that a later test spawns would run the script.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def open_it(page: str = "", **parameters: str) -> AppTest:
        app = AppTest.from_file(str(EXPLORER), default_timeout=300)
        if page:  # what the browser sends for /population; AppTest can switch to files only
            app._page_hash = calc_hash(page)
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return open_it
