"""How long a user waits for the explorer, in seconds (`python -m tests.browser.warm`; needs Chromium).

Measured in the browser on the bundled run and set, after a first visit that does not count: from a click, a key or an
address until the page shows what was asked for. A step's `handler` is the time that the page's own code takes, `paint`
that from the key to the next picture. Cold: from the start of the server to the first picture. The server's processor
seconds for one run of the script do not depend on what else the machine does.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page
from streamlit.testing.v1 import AppTest

from tests.browser import serve
from tests.browser.load import ASKED, HERE, WATCH
from tests.browser.serve import ROOT, running_chromium, running_explorer

REPEATS = 5
PICTURE = ".js-plotly-plot .scatterlayer:visible"
FILTERED = r"/Problem \((?!500)\d/"
"""A box of fewer problems than the set has."""
PATIENCE_MS = 120_000


class Clock:
    """Seconds by what was waited for."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Measure a block."""
        began = time.perf_counter()
        yield
        self.seconds[what].append(time.perf_counter() - began)

    def until_other(self, what: str, page: Page, act: Callable[[], object], watched: str) -> None:
        """Measure from an action until what is watched on the page has changed."""
        before = page.evaluate(watched)
        with self.of(what):
            act()
            page.wait_for_function(f"before => ({watched})() !== before", arg=before, polling=10, timeout=PATIENCE_MS)


def rest(page: Page) -> None:
    """Wait until the server has nothing more to say."""
    page.wait_for_timeout(1500)
    serve.rest(page, PATIENCE_MS)


def visit(page: Page, address: str, clock: Clock) -> None:
    """Do each thing a few times."""
    page.add_init_script(WATCH)
    for _ in range(REPEATS):
        with clock.of("a page that was open before"):
            page.goto(f"{address}/?thoughts=6", timeout=PATIENCE_MS)
            page.locator(PICTURE).first.wait_for(timeout=PATIENCE_MS)
        rest(page)
        for _ in range(4):
            clock.until_other(
                "a step, seen by Playwright", page, lambda: page.locator("body").press("ArrowRight"), HERE
            )
            page.wait_for_timeout(300)
        for handler, paint in page.evaluate("window.keys"):
            clock.seconds["a step: handler"].append(handler / 1000)
            clock.seconds["a step: paint"].append(paint / 1000)
        rest(page)
        on = page.get_by_role("button", name="→", exact=True).click
        for _ in range(2):
            clock.until_other("another problem", page, on, ASKED)
            rest(page)
    with clock.of("filter: wrong answers among 500 problems"):
        page.goto(f"{address}/?outcome=wrong", timeout=PATIENCE_MS)
        page.wait_for_function(f"() => {FILTERED}.test(document.body.innerText)", timeout=PATIENCE_MS)
        page.locator(PICTURE).first.wait_for(timeout=PATIENCE_MS)
    rest(page)
    with clock.of("Population, model and two controls: first picture"):
        page.goto(f"{address}/population?set=small", timeout=PATIENCE_MS)
        page.locator(PICTURE).first.wait_for(timeout=PATIENCE_MS)


def processor() -> float:
    """Return the median processor seconds of one whole warm run of the script."""
    app = AppTest.from_file(str(ROOT / "apps" / "explorer.py"), default_timeout=600).run()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        app.run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    """Print the figures."""
    clock = Clock()
    print(f"whole page, processor seconds: {processor():.3f}")
    with running_chromium() as chromium:
        began = time.perf_counter()
        with running_explorer() as address:
            page = chromium.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address, timeout=PATIENCE_MS)
            page.locator(PICTURE).first.wait_for(timeout=PATIENCE_MS)
            clock.seconds["cold: server and first picture"].append(time.perf_counter() - began)
            visit(page, address, clock)
    for what, seconds in clock.seconds.items():
        print(f"{what}: n {len(seconds)}, median {statistics.median(seconds):.3f}, most {max(seconds):.3f}")


if __name__ == "__main__":
    main()
