"""Take the screenshots of the docs (`make screenshot`): views in the light and the dark theme, stops of the tour.

`python docs/screenshot.py runs/factorial/report` takes the figures of a suite's page instead, named after its Markdown.
"""

import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, ViewportSize, expect

from apps.views.interventions.tour import STOPS
from tests.browser.serve import find_chromium, rest, running_chromium, running_explorer

FOLDER = Path(__file__).parent
SIZE: ViewportSize = {"width": 1440, "height": 1000}
TALLER: dict[str, ViewportSize] = {
    "surgery": {"width": 1440, "height": 1900},
    "before-after": {"width": 1440, "height": 1400},
}
"""Views whose pictures stand further down."""
VIEWS = {
    "screenshot": "?after=2",  # the second thought: where a frontier is wide
    "side-by-side": "?run=coconut_next_node&beside=pause_as_thought&set=small&after=2",
    "before-after": "?run=coconut_words&beside=coconut_words_reward&set=small&problem=small-29&after=3",
    "other-target": "?beside=another target asked&after=2&picture=difference",
    "surgery": "surgery?surgery=project:nodes=all_on_path&problem=released-219&after=2",
    "population": "population?reading=Distance+from+the+superposition",
    "training": "training?run=emergence&after=2",
}
"""Name of a file to the link it shows."""
STOP_SIZE: ViewportSize = {"width": 1280, "height": 1300}
WAIT_MS = 300_000
"""The first picture waits for the model to load, that of a population for a hundred problems and their controls."""


def take(browser: Browser, address: str, name: str, theme: str) -> Path:
    """Save a view, as a browser shows it that asks for this theme.

    Args:
        browser: A running Chromium.
        address: Where the explorer answers.
        name: Of the view.
        theme: "light" or "dark".

    Returns:
        The file written, `NAME-THEME.png` beside this script.
    """
    context = browser.new_context(
        viewport=TALLER.get(name, SIZE),
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"{address}/{VIEWS[name]}")
    page.locator(".js-plotly-plot:visible").first.wait_for(timeout=WAIT_MS)
    # Streamlit says "running" in a corner while a script works: the picture waits for it to be done.
    # A population shows the model first and its controls when they are done: then the bar is gone.
    expect(page.get_by_test_id("stProgress")).to_have_count(0, timeout=WAIT_MS)
    rest(page, WAIT_MS)
    page.wait_for_timeout(1000)  # plotly's own fade-in
    file = FOLDER / f"{name}-{theme}.png"
    page.screenshot(path=file)
    context.close()
    return file


def tour(browser: Browser, address: str, number: int, title: str) -> Path:
    """Save a stop of the guided tour, without a guess, from its question to what happened, in the light theme.

    Args:
        browser: A running Chromium.
        address: Where the explorer answers.
        number: Of the stop, from 1.
        title: Of the stop.

    Returns:
        The file written, `tour-NUMBER.png` beside this script.
    """
    context = browser.new_context(viewport=STOP_SIZE, color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{address}/surgery?tour={quote(title)}")
    page.get_by_text("no guess, show me").click(timeout=WAIT_MS)
    page.get_by_text("What happened:").first.wait_for(timeout=WAIT_MS)
    page.locator(".js-plotly-plot:visible").nth(1).wait_for(timeout=WAIT_MS)
    rest(page, WAIT_MS)
    page.wait_for_timeout(1500)
    file = FOLDER / f"tour-{number}.png"
    page.screenshot(path=file)
    context.close()
    return file


def figures(browser: Browser, report: Path, theme: str) -> list[Path]:
    """Save the figures of a page that a suite wrote.

    Args:
        browser: A running Chromium.
        report: Directory of index.html and one Markdown page.
        theme: "light" or "dark".

    Returns:
        The files written beside this script: `NAME-THEME.png`, `NAME-2-THEME.png` and so on, NAME being that of the
        Markdown page.
    """
    context = browser.new_context(
        viewport={"width": 1000, "height": 900}, device_scale_factor=1.5,
        color_scheme="dark" if theme == "dark" else "light",
    )  # fmt: skip
    page = context.new_page()
    page.goto((report / "index.html").as_uri())
    page.locator("figure .main-svg").first.wait_for(timeout=WAIT_MS)
    page.wait_for_timeout(1000)
    files, name = [], next(report.glob("*.md")).stem
    for number, found in enumerate(page.locator("figure").all(), 1):
        files.append(FOLDER / f"{name}{'' if number == 1 else f'-{number}'}-{theme}.png")
        found.screenshot(path=files[-1])
    context.close()
    return files


def main() -> int:
    """Write all files; return the exit status."""
    if find_chromium() is None:
        print("No Chromium found: install it, or name one in WORKBENCH_CHROMIUM.", file=sys.stderr)
        return 2
    if len(sys.argv) > 1:
        with running_chromium() as browser:
            for theme in ("light", "dark"):
                print(*figures(browser, Path(sys.argv[1]).resolve(), theme), sep="\n")
        return 0
    with running_explorer() as address, running_chromium() as browser:
        for name in VIEWS:
            for theme in ("light", "dark"):
                print(take(browser, address, name, theme))
        for number, title in enumerate(STOPS, 1):
            print(tour(browser, address, number, title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
