"""Many sessions at once: `python -m tests.browser.load --sessions 20`; needs Chromium.

Each session is a window of one browser. All open their page at once; when the last one is complete, all step through
ten thoughts; then all open two more problems and one intervention by its link. Between two actions a visitor looks at
the page, for `--look` seconds on average; `--look 0` is a machine's haste, in which all windows are drawn at once.
Printed are the median and the 95th percentile of every kind of action, seconds on the clock of the browser, the errors,
requests to other hosts, and the memory of the server after one session and after all of them; `tests.browser.reruns`
has it after many runs of the page. Stepping is done by the page itself: `handler` is the time that its own code takes
for a key, `paint` that from the key to the next picture. What a step takes beyond that is this machine, which draws all
windows, and Playwright.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.serve import QUIET, find_chromium
from tests.browser.walk import tiny_explorer

PATIENCE_MS = 600_000
HERE = """() => [...document.querySelectorAll('*')].map(part => part.shadowRoot?.querySelector(
  '.ticks [aria-checked=true]')).find(Boolean)?.firstChild.textContent"""
WATCH = """window.keys = []; new PerformanceObserver(list => list.getEntries().forEach(one => {
  if (one.name === 'keydown') window.keys.push([one.processingEnd - one.processingStart, one.duration]);
})).observe({type: 'event', durationThreshold: 16});"""
"""Chromium tells of keys whose next picture comes after 16 ms or more, rounded to 8; those before count as less."""
ASKED = "() => document.querySelector('h2')?.innerText"


class Measured:
    """Seconds by kind of action, and what went wrong."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []

    async def action(self, kind: str, page: Page, act: Awaitable[object], watched: str) -> None:
        """Act, and wait until what is watched on the page is another than before."""
        before, began = await page.evaluate(watched), time.perf_counter()
        await act
        await page.wait_for_function(f"before => ({watched})() !== before", arg=before, timeout=PATIENCE_MS, polling=20)
        self.note(kind, time.perf_counter() - began)

    def note(self, kind: str, seconds: float) -> None:
        """Keep what an action took, and say it."""
        self.seconds[kind].append(seconds)
        print(f"{kind}: {seconds:.3f} s", file=sys.stderr)

    async def opened(self, context: BrowserContext, address: str) -> Page:
        """Open the page in a window of its own and wait for its picture."""
        page = await context.new_page()
        await page.add_init_script(WATCH)
        host = address.partition("//")[2].partition("/")[0]
        page.on("request", lambda one: self._note(one.url, host))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        began = time.perf_counter()
        await page.goto(address, timeout=PATIENCE_MS)
        await page.locator(".js-plotly-plot .scatterlayer:visible").first.wait_for(timeout=PATIENCE_MS)
        self.note("first picture", time.perf_counter() - began)
        return page

    def _note(self, url: str, host: str) -> None:
        if host not in url and not url.startswith(("data:", "blob:", "about:")):
            self.errors.append(f"asked for {url}")


async def session(
    browser: Browser, address: str, measured: Measured, look: Callable[[], float], others: asyncio.Barrier
) -> None:
    """Do what one visitor does; `look` says for how many seconds before the next action, `others` waits for all."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    try:
        await asyncio.sleep(look())
        page = await measured.opened(context, f"{address}/?thoughts=6")
        await page.get_by_test_id("stStatusWidget").wait_for(state="detached")
        await others.wait()
        for number in range(10):
            await asyncio.sleep(look())
            key = "ArrowRight" if number < 5 else "ArrowLeft"
            await measured.action("step", page, page.locator("body").press(key), HERE)
            await asyncio.sleep(0.3)
        for handler, paint in await page.evaluate("window.keys"):
            measured.note("handler", handler / 1000)
            measured.note("paint", paint / 1000)
        await others.wait()
        for _ in range(2):
            on = page.get_by_role("button", name="→", exact=True).click()
            await measured.action("problem", page, on, ASKED)
            await asyncio.sleep(look())
        began = time.perf_counter()
        await page.goto(f"{address}/surgery?problem=chain-3&after=2&surgery=project:at=2;nodes=brimpus")
        await page.get_by_text("of the probability went elsewhere").first.wait_for()
        measured.note("intervention, opened by a link", time.perf_counter() - began)
        if await page.get_by_test_id("stException").count():
            measured.errors.append("an exception on the page")
    except Exception as error:
        await others.abort()
        measured.errors.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    finally:
        await context.close()


def memory(port: int) -> float:
    """Return the memory in MB of the server that listens on a port, which this process started."""
    held = [0]
    for one in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.Error):  # of a window that has just ended
            if any(f"port={port}" in part for part in one.cmdline()):
                held.append(one.memory_info().rss)
    return max(held) / 2**20


def processor(port: int) -> dict[str, float]:
    """Return the processor seconds that the server of a port has taken, and the browser: processes of this one."""
    found = {"server": 0.0, "browser": 0.0}
    for one in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.Error):
            times, words = one.cpu_times(), " ".join(one.cmdline())
            who = "server" if f"port={port}" in words else "browser" if "chrom" in words else ""
            if who:  # children that have ended count for their parent
                found[who] += times.user + times.system + times.children_user + times.children_system
    return found


async def visit(address: str, sessions: int, look: float, seed: int) -> None:
    """Measure and print."""
    port, measured, held = int(address.rpartition(":")[2]), Measured(), {}
    rng = np.random.default_rng(seed)
    async with async_playwright() as playwright:
        arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else list(QUIET)
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        await session(
            browser, address, Measured(), lambda: 0.0, asyncio.Barrier(1)
        )  # the first visitor waits for PyTorch
        held["one session"] = memory(port)
        others, looks = asyncio.Barrier(sessions), lambda: float(rng.uniform(0, 2 * look))
        before = processor(port)
        await asyncio.gather(*(session(browser, address, measured, looks, others) for _ in range(sessions)))
        used = {name: round(seconds - before[name]) for name, seconds in processor(port).items()}
        held[f"{sessions} sessions"] = memory(port)
        await browser.close()
    for kind, seconds in measured.seconds.items():
        middle, high = statistics.median(seconds), np.percentile(seconds, 95)
        print(f"{kind}: n {len(seconds)}, median {middle:.3f} s, p95 {high:.3f} s")
    print("processor seconds:", used)
    print("memory of the server, MB:", {name: round(size) for name, size in held.items()})
    print(f"load of the machine {os.getloadavg()[0]:.1f}; {len(measured.errors)} errors", *measured.errors[:10])


def main(
    sessions: Annotated[int, typer.Option(help="Sessions at once.")] = 20,
    look: Annotated[float, typer.Option(help="Seconds between two actions of a visitor, on average.")] = 4.0,
    seed: Annotated[int, typer.Option(help="Of these seconds.")] = 0,
) -> None:
    """Start an explorer over a tiny run, and visit it."""
    with tempfile.TemporaryDirectory() as home, tiny_explorer(Path(home)) as address:
        asyncio.run(visit(address, sessions, look, seed))


if __name__ == "__main__":
    typer.run(main)
