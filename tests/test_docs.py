"""The code in README and quickstart runs as it stands, and the site builds without a warning."""

import re
import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest

ROOT = Path(__file__).resolve().parents[1]


def blocks(name: str) -> list[str]:
    """The blocks of Python in a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_the_python_of_a_page_runs(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    shown: list[go.Figure] = []
    monkeypatch.setattr(go.Figure, "show", lambda figure: shown.append(figure))
    monkeypatch.chdir(ROOT)
    found = blocks(name)
    assert found
    for block in found:
        short = block.replace('released", 100', 'released", 6').replace("count=100", "count=6")
        exec(compile(short, name, "exec"), {})
    assert shown
    assert "[" in capsys.readouterr().out  # an interval


def test_the_readme_needs_one_import_and_ten_lines() -> None:
    (code,) = blocks("README.md")
    lines = [line for line in code.splitlines() if line]
    assert len(lines) <= 10
    assert [line for line in lines if "import" in line] == ["import workbench as wb"]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "reference" / "python.html").exists()
    tour = (tmp_path / "tutorials" / "tour.html").read_text()
    assert re.findall(r'<img[^>]*alt="Stacked bars of mass by node class', tour)  # a picture, and what it shows
    assert "No description has been provided" not in tour
