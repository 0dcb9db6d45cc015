"""A Chromium that is found, and an explorer that runs: for the browser tests and for `docs/screenshot.py`."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
START_SECONDS = 120
"""How long the explorer may take to answer its first request; long, because it may share the machine."""

QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
"""Chromium stays off the network: nothing but localhost is needed."""


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome: `WORKBENCH_CHROMIUM` if set, else the first one found."""
    named = os.environ.get("WORKBENCH_CHROMIUM")
    found = [named] if named else [shutil.which(name) for name in CHROMIUM_NAMES] + [MAC_CHROME]
    return next((path for path in found if path and Path(path).is_file()), None)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run a headless Chromium for as long as the block lasts."""
    # Chromium refuses its sandbox to root, which is who continuous integration is.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=find_chromium(), args=[*QUIET, "--no-sandbox"] if root else list(QUIET)
        )
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def running_explorer() -> Iterator[str]:
    """Run the explorer on a free port for as long as the block lasts; yields `http://localhost:PORT`."""
    address = f"http://localhost:{(port := free_port())}"
    command = [sys.executable, "-m", "streamlit", "run", "apps/explorer.py"]
    options = [f"--server.port={port}", "--server.headless=true"]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen([*command, *options], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            if not wait_until_healthy(address, server):
                log.seek(0)
                raise RuntimeError(f"the explorer did not start:\n{log.read()}")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:  # a busy machine, or a page still open
                server.kill()
                server.wait()


def rest(page: Page, milliseconds: float) -> None:
    """Wait until the server has nothing more to say, and all thoughts are on the page that moves between them."""
    expect(page.locator('.stepper[data-whole="false"]')).to_have_count(0, timeout=milliseconds)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=milliseconds)


def listen(page: Page, host: str = "") -> list[str]:
    """Return a list to which what a page should not do is added from now on.

    That is what it asks of another host than its own (`localhost:PORT`; none for a file), the dialogs that it opens,
    what it fails to load, and its errors.
    """
    heard: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        heard.append(dialog.message)
        dialog.dismiss()

    def ours(said: ConsoleMessage) -> bool:
        return "/_stcore/" not in said.location["url"]  # which Streamlit first looks for below the path of a page

    def left_behind(one: Request) -> bool:  # by a page that was left before it had all
        return one.failure == "net::ERR_ABORTED" or one.url.startswith("blob:")

    page.on("dialog", dismiss)
    page.on("request", lambda one: heard.append(one.url) if urlsplit(one.url).netloc not in ("", host) else None)
    page.on("requestfailed", lambda one: heard.append(one.url) if not left_behind(one) else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" and ours(said) else None)
    return heard


def free_port() -> int:
    """Return a port of localhost that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> bool:
    """Return True as soon as Streamlit says that it is well, False when it ended or took too long."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.25)
    return False
