"""A real Chromium for the browser tests; without one they are skipped, with the reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser.serve import find_chromium, running_chromium

NO_CHROMIUM = "browser tests skipped: no Chromium here (WORKBENCH_CHROMIUM names one)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder as a browser test, and skip it where there is no Chromium."""
    here = Path(__file__).parent
    missing = find_chromium() is None
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if missing:
                item.add_marker(pytest.mark.skip(reason=NO_CHROMIUM))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for the whole session."""
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """The page of a file of tests, 1400 by 1000, that waits up to 30 seconds for what a test asks of it.

    A page of its own for each test would take half as much again of the processor's time. Streamlit moves as little as
    it can, since drawing what fades and turns takes a third. Tests of what is there in between ask for motion.
    """
    size: ViewportSize = {"width": 1400, "height": 1000}
    context = browser.new_context(viewport=size, accept_downloads=True, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()
