"""Run the notebooks and keep what they show (`make notebooks`): what they say, and a picture of each figure.

`python docs/notebooks.py tour emergence` runs these two. GitHub and the site cannot draw plotly's figures, so a picture
takes the place of each; whoever runs the notebook sees the figure itself.
"""

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from jupytext.cli import jupytext
from nbclient import NotebookClient
from PIL import Image
from playwright.sync_api import Page
from plotly.offline import get_plotlyjs

from tests.browser.serve import find_chromium, running_chromium

PROBES = Path(__file__).resolve().parents[1] / "probes"
PLOTLY = "application/vnd.plotly.v1+json"
WIDTH = 760
"""Pixels of a page that a figure takes, unless it asks for another width."""
SCALE = 1.5
"""Pixels of the picture for each of them."""
COLOURS = 96
"""Of a picture: with a palette it takes a quarter of the room."""
DRAW = """
([figure, width, scale]) => Plotly.toImage(
    {data: figure.data, layout: figure.layout}, {format: "png", width, height: figure.layout.height, scale})
"""


def run(file: Path) -> nbformat.NotebookNode:
    """Return a notebook after a run in a kernel of its own, with the bundled models and problems."""
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook, timeout=None, record_timing=False, coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": str(file.parent)}},
    )  # fmt: skip
    usual = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
    # The bars of tqdm are not kept either, and a sum over other threads could end in other digits.
    client.execute(env=usual | {"PYTHONWARNINGS": "ignore:IProgress not found", "OMP_NUM_THREADS": "1"})
    notebook.metadata.pop("language_info", None)  # names the version of Python
    return notebook


def picture(page: Page, figure: dict[str, Any]) -> bytes:
    """Return a figure as a PNG with a palette, its background clear.

    Args:
        page: With plotly's library.
        figure: As plotly's JSON.
    """
    width = figure["layout"].get("width", WIDTH)
    drawn = base64.b64decode(page.evaluate(DRAW, [figure, width, SCALE]).partition(",")[2])
    file = io.BytesIO()
    image = Image.open(io.BytesIO(drawn)).quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def draw(page: Page, notebook: nbformat.NotebookNode) -> None:
    """Put a picture, and its alt text, in the place of each figure."""
    for output in (one for cell in notebook.cells for one in cell.get("outputs", [])):
        if (figure := output.get("data", {}).get(PLOTLY)) is not None:
            alt = figure["layout"]["meta"]["alt"]
            png = base64.b64encode(picture(page, figure)).decode()
            output.data = {"image/png": png, "text/plain": alt}
            output.metadata = {"image/png": {"alt": alt, "width": figure["layout"].get("width", WIDTH)}}


def main() -> int:
    """Write the notebooks named, or all; return the exit status."""
    if find_chromium() is None:
        print("No Chromium found: install it, or name one in WORKBENCH_CHROMIUM.", file=sys.stderr)
        return 2
    names = sys.argv[1:] or sorted(source.stem for source in PROBES.glob("*.py"))
    with running_chromium() as browser:
        page = browser.new_page()
        page.set_content("<html></html>")
        page.add_script_tag(content=get_plotlyjs())
        for name in names:
            file = PROBES / f"{name}.ipynb"
            jupytext(["--quiet", "--update", "--to", "ipynb", str(file.with_suffix(".py"))])
            notebook = run(file)
            draw(page, notebook)
            nbformat.write(notebook, file)
            print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
