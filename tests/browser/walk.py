"""A random walk through the explorer: after each action the address, the boxes and the picture must agree.

`python -m tests.browser.walk 1000 log.txt` makes so many actions on a tiny run and five small problems, writes a line
for each, and says at the end how many left something in disagreement. The tests make the same walk with a few actions.
"""

import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import numpy as np
from playwright.sync_api import Error, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.serve import rest, running_chromium, running_explorer
from tests.conftest import chain, tiny_model
from workbench.model.checkpoint import make_checkpoint, save_checkpoint
from workbench.problems.files import save_problems
from workbench.problems.vocabulary import edges_tokenizer

WAIT_MS = 120_000
"""The first page waits for PyTorch to be imported."""
PATIENCE = 20.0
"""Seconds after an action until what still disagrees counts; the server may be busy."""
CONCEPTS = "lempus brimpus scrompus rempus sterpus hilpus".split()
"""The concepts of `chain` in order: problem n asks for the n-th, and the next one is the other option."""
BOXES = (r"^Problem \(", "^Concept")
STATE = """() => [
  Number(new URLSearchParams(location.search).get('after') || 0),
  Number([...document.querySelectorAll('*')].map(part => part.shadowRoot?.querySelector('.ticks [aria-checked=true]'))
    .find(Boolean).firstChild.textContent),
  ...[...document.querySelectorAll('.says, .figure-title')]
    .filter(part => part.checkVisibility({visibilityProperty: true}))
    .map(part => Number((/^After (\\d+) thought/.exec(part.innerText) || [])[1])).filter(depth => depth >= 0),
]"""
"""The number of thoughts in the address, in the control, in the sentence and over the graph."""


@contextmanager
def tiny_explorer(home: Path) -> Iterator[str]:
    """Run an explorer over a tiny run and five small problems, so that nothing depends on what ships."""
    meta: dict[str, object] = {"version": 1, "task": "prosqa", "format": "edges", "thoughts": 3}
    checkpoint = make_checkpoint(tiny_model("qwen2"), edges_tokenizer(), meta, "reference")
    save_checkpoint(checkpoint, home / "runs" / "reference" / "model")
    (home / "problems").mkdir()
    save_problems([chain(number, number + 1) for number in range(5)], home / "problems" / "released.json")
    places = {"WORKBENCH_RUNS": str(home / "runs"), "WORKBENCH_PROBLEMS": str(home / "problems")}
    with patch.dict(os.environ, places), running_explorer() as address:
        yield address


def open_page(page: Page, address: str) -> None:
    """Open a link and wait for the graph to be drawn."""
    page.goto(address)
    page.locator(".js-plotly-plot .scatterlayer:visible").first.wait_for(timeout=WAIT_MS)
    rest(page, WAIT_MS)


def start(page: Page, explorer: str) -> None:
    """Open the page that the walk goes through."""
    page.set_viewport_size({"width": 1400, "height": 1600})
    open_page(page, f"{explorer}/?concept=brimpus")
    page.get_by_text("Filter", exact=True).click()


def walk(page: Page, actions: int, seed: int) -> Iterator[tuple[int, str, list[str]]]:
    """Make random actions; yield the number of each, its name, and what disagrees once the page rests."""
    rng = np.random.default_rng(seed)

    def choose(box: str) -> None:
        options = page.get_by_role("option")
        for _ in range(5):  # on a busy machine a late answer to the last action may change the list, which closes it
            page.get_by_role("combobox", name=re.compile(box)).click()
            with suppress(PlaywrightTimeout):
                options.first.wait_for(timeout=PATIENCE * 1000)
                texts = options.all_inner_texts()
                if texts:
                    return options.nth(int(rng.integers(len(texts)))).click(timeout=5000)
        raise AssertionError(f"the list of {box} does not stay open")

    def hops() -> None:
        pills = page.get_by_test_id("stButtonGroup").first.get_by_role("button")
        pills.nth(int(rng.integers(pills.count()))).click()

    acts = {
        "next": lambda: page.get_by_role("button", name="→", exact=True).click(),
        "before": lambda: page.get_by_role("button", name="←", exact=True).click(),
        "key": lambda: page.locator("body").press(str(rng.choice(["ArrowLeft", "ArrowRight"]))),
        "problem": lambda: choose(BOXES[0]),
        "concept": lambda: choose(BOXES[1]),
        "filter": hops,
    }
    for number in range(actions):
        name = str(rng.choice(list(acts)))
        page.mouse.move(700, 2)  # off the boxes, whose help would lie over others
        acts[name]()
        page.wait_for_timeout(500)  # the server is told when the hand rests
        rest(page, WAIT_MS)
        deadline = time.monotonic() + PATIENCE
        while (faults := disagreements(page)) and time.monotonic() < deadline:
            page.wait_for_timeout(200)
        yield number, name, faults


def disagreements(page: Page) -> list[str]:
    """Return in what the address, the boxes and the picture differ; the problem is one of `chain`."""
    link = parse_qs(urlsplit(page.url).query)
    problem, concept = (page.get_by_role("combobox", name=re.compile(box)).input_value() for box in BOXES)
    target = int(problem.partition("-")[2])
    asked = page.get_by_role("heading", level=2).first.inner_text()
    after, *shown = page.evaluate(STATE)
    curve = page.get_by_text(re.compile(r"^\w+ · hop|^\w+ · not reach")).first.inner_text()
    holds = {
        f"{page.url} has problem {problem}": link.get("problem", [problem]) == [problem],
        f"{page.url} has concept {concept}": link.get("concept", [CONCEPTS[target]]) == [concept],
        f"{concept} is a node of {problem}": concept in [*CONCEPTS[: target + 2], "Sally", "Tom"],
        f"{problem} asks: {asked}": {CONCEPTS[target], CONCEPTS[target + 1]} <= set(re.findall(r"\w+", asked)),
        f"{concept} is the concept of {curve}": curve.startswith(f"{concept} · "),
        f"{page.url} has thought {shown}": {after or 1} == set(shown),
    }
    return [said for said, true in holds.items() if not true]


def main(actions: int, log: Path) -> None:
    """Walk and write the log; an action that the page does not allow is noted, and the page opened anew."""
    done, seed, found = 0, 0, Counter[str]()
    with (
        tempfile.TemporaryDirectory() as home,
        tiny_explorer(Path(home)) as address,
        running_chromium() as browser,
        log.open("w") as out,
    ):
        while done < actions:
            context = browser.new_context()
            context.set_default_timeout(30_000)
            page = context.new_page()
            try:
                start(page, address)
                for _, name, faults in walk(page, actions - done, seed):
                    done += 1
                    found["agree" if not faults else "disagree"] += 1
                    print(done, seed, name, *(faults or ["ok"]), sep="\t", file=out, flush=True)
            except (Error, AssertionError) as error:
                done += 1
                found["not possible"] += 1
                print(done, seed, "not possible", str(error).splitlines()[0], sep="\t", file=out, flush=True)
            context.close()
            seed += 1
    print(f"{done} actions:", dict(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
