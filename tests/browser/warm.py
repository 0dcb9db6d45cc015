"""How long a warm page takes: from a click to the new picture (`python -m tests.browser.warm`; needs Chromium).

Prints seconds of wall time in the browser for one thought on and for another problem, and the server's own processor
seconds for the same script run, which do not depend on what else the machine does.
"""

import statistics
import sys
import time

from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from tests.browser.serve import ROOT, find_chromium, running_chromium, running_explorer

REPEATS = 5
SHOWN = """() => [...document.querySelectorAll('h2, .figure-title')].filter(part => part.checkVisibility(
  {visibilityProperty: true})).map(part => part.innerText).join()"""
"""The question and the titles of the figures that are seen."""


def wall(page: Page) -> dict[str, float]:
    """Return the median seconds from a key or a click until the page shows the new picture."""
    found: dict[str, list[float]] = {"one thought on": [], "another problem": []}
    for _ in range(REPEATS):
        for what, act in (
            ("one thought on", lambda: page.locator("body").press("ArrowRight")),
            ("another problem", lambda: page.get_by_role("button", name="→", exact=True).click()),
        ):
            before = page.evaluate(f"({SHOWN})()")
            start = time.perf_counter()
            act()
            page.wait_for_function(
                f"before => ({SHOWN})() !== before",
                arg=before,
                polling=10,
                timeout=60_000,
            )
            expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=60_000)
            found[what].append(time.perf_counter() - start)
            if what == "one thought on":
                page.locator("body").press("ArrowLeft")
                page.wait_for_timeout(1500)
    return {what: statistics.median(times) for what, times in found.items()}


def processor() -> float:
    """Return the median processor seconds of one whole warm run of the script."""
    app = AppTest.from_file(str(ROOT / "apps" / "explorer.py"), default_timeout=600).run()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        app.run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> int:
    """Print the figures; return the exit status."""
    print(f"whole page, processor seconds: {processor():.3f}")
    if find_chromium() is None:
        print("No Chromium found: no wall times.", file=sys.stderr)
        return 0
    with running_explorer() as address, running_chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        page.locator(".js-plotly-plot .scatterlayer:visible").first.wait_for(timeout=240_000)
        page.wait_for_timeout(3000)
        for what, seconds in wall(page).items():
            print(f"{what}, wall seconds: {seconds:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
