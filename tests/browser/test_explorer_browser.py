"""The explorer in a real Chromium: keys, clicks, links, both themes, downloads.

A visit costs more than all that is done on it: a test makes one, and its assertions follow each other on the way.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.serve import listen, rest
from tests.browser.walk import STATE, WAIT_MS, open_page, start, tiny_explorer, walk


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the explorer of this file finds runs and problems."""
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def explorer(home: Path) -> Iterator[str]:
    """An explorer over a tiny run and five small problems, so that nothing here depends on what ships."""
    with tiny_explorer(home) as address:
        yield address


def go_to(page: Page, title: str) -> None:
    """Open another page by the navigation at the top."""
    page.get_by_test_id("stTopNavLink").filter(has_text=title).click()


def click_at(page: Page, place: list[float]) -> None:
    """Click in a figure, which first has to notice the pointer."""
    page.mouse.move(*place)
    page.mouse.click(*place)


ACTIONS = 6


def test_address_boxes_and_picture_agree_over_a_random_walk(page: Page, explorer: str) -> None:
    """More of them: `python -m tests.browser.walk 1000 log.txt`."""
    start(page, explorer)
    for number, name, faults in walk(page, ACTIONS, seed=0):
        assert not faults, f"after action {number}, {name}: {faults}"


FIRST_DRAWN = """new MutationObserver((_, own) => {
  const drawn = [...document.querySelectorAll('.js-plotly-plot:has(.main-svg)')];
  const seen = drawn.filter(one => !one.closest('.st-key-loads-plotly'));
  if (!seen.length) return;
  window.firstDrawn = seen.length;
  own.disconnect();
}).observe(document, {childList: true, subtree: true})"""
"""How many figures are on the page when the first of them is."""
THREE_PRESSES = """async () => {
  for (let press = 0; press < 3; press++) {
    document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
    await new Promise(resolve => setTimeout(resolve, 150));
  }
}"""


def test_steps_are_shown_at_once_and_told_to_the_server_where_it_needs_them(page: Page, explorer: str) -> None:
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page.emulate_media(reduced_motion="no-preference")
    page.add_init_script(FIRST_DRAWN)
    page.goto(f"{explorer}/?thoughts=6")

    # The first picture waits for no other, and a step taken at once finds the next.
    assert page.wait_for_function("window.firstDrawn", timeout=WAIT_MS).json_value() == 1
    body, asked = page.locator("body"), page.locator("h2").first
    page.locator(".ticks [aria-checked=true]").wait_for(timeout=WAIT_MS)
    body.press("ArrowRight")
    expect(page.get_by_text("After 2 thoughts · LM head")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".st-key-strip-only .main-svg").first).to_be_attached(timeout=WAIT_MS)
    rest(page, WAIT_MS)

    # Presses in a row end as many thoughts on; address, control and picture agree, and nobody waited for the server.
    sent.clear()
    page.evaluate(THREE_PRESSES)
    assert page.evaluate(STATE)[1:] == [5, 5, 5]
    expect(page).to_have_url(re.compile("after=5"))
    body.press("ArrowLeft")
    expect(page).to_have_url(re.compile("after=4"))
    page.wait_for_timeout(700)  # twice as long as the hand has to rest
    assert page.evaluate(STATE) == [4, 4, 4, 4]
    assert not sent

    # The table of a tab needs the step; opening it tells of the one before.
    page.get_by_role("tab", name="Node by node").click()
    expect(page.get_by_text("Values after 4 thoughts")).to_be_visible(timeout=WAIT_MS)
    body.press("ArrowRight")
    expect(page.get_by_text("Values after 5 thoughts")).to_be_visible(timeout=WAIT_MS)

    # Playing stops at the last thought; a click after a step does what it says, and the step stays.
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("After 6 thoughts · LM head")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=WAIT_MS)
    before = asked.inner_text()
    body.press("ArrowLeft")
    page.get_by_role("button", name="→", exact=True).click()
    expect(asked).not_to_have_text(before, timeout=WAIT_MS)
    expect(page.get_by_text("After 5 thoughts · LM head")).to_be_visible(timeout=WAIT_MS)

    # A step goes along to another page, and nothing of a page stays while the next is drawn.
    body.press("ArrowLeft")
    go_to(page, "Interventions")
    expect(page).to_have_url(re.compile("surgery.*after=4"), timeout=WAIT_MS)
    go_to(page, "Thoughts")
    page.locator(".st-key-picture .main-svg:visible").first.wait_for(timeout=WAIT_MS)
    go_to(page, "Population")
    page.get_by_role("heading", name="Breadth and chance").wait_for(timeout=WAIT_MS)
    assert page.locator(".st-key-picture").count() == 0
    page.emulate_media(reduced_motion="reduce")


WHERE = """([name, place]) => {
  const graphs = [...document.querySelectorAll('.js-plotly-plot')]; // those of other thoughts are drawn too
  const graph = graphs.filter(one => one.checkVisibility({visibilityProperty: true}))[place];
  if (!graph || !graph.calcdata) return null;
  const box = graph.getBoundingClientRect();
  const {xaxis, yaxis} = graph._fullLayout;
  const node = graph.calcdata.flat().find(point => (point.htx || '').includes(`<b>${name}</b>`));
  return node && [box.left + xaxis._offset + xaxis.l2p(node.x), box.top + yaxis._offset + yaxis.l2p(node.y)];
}"""
"""Where a node is drawn in a figure, in pixels of the window, by its hover text; nothing before it is drawn."""


def click_node(page: Page, name: str, figure: int = 0) -> None:
    """Click a node in the graph, or in another figure that is seen."""
    click_at(page, page.wait_for_function(WHERE, arg=[name, figure], timeout=WAIT_MS).json_value())


def test_a_plan_made_by_clicks_is_in_the_link_which_opens_it_elsewhere_in_the_other_theme(
    page: Page, browser: Browser, explorer: str
) -> None:
    complaints = listen(page, explorer.partition("//")[2])
    page.set_viewport_size({"width": 1400, "height": 1600})
    open_page(page, f"{explorer}/surgery?problem=chain-3&after=2")
    click_node(page, "brimpus")
    page.get_by_role("button", name="Remove", exact=True).click(timeout=WAIT_MS)
    expect(page).to_have_url(re.compile("surgery=project.*brimpus"), timeout=WAIT_MS)
    go_to(page, "Thoughts")
    expect(page.get_by_text(re.compile("^Made to speak")).filter(visible=True)).to_be_visible(timeout=WAIT_MS)
    rest(page, WAIT_MS)
    click_node(page, "scrompus")
    expect(page).to_have_url(re.compile("concept=scrompus"), timeout=WAIT_MS)
    expect(page.get_by_text(re.compile("^scrompus · hop"))).to_be_visible(timeout=WAIT_MS)
    go_to(page, "Interventions")
    # For a moment the plan stands in the address of the page that is left: copied then, the link opens that one.
    whole = re.compile(r"/surgery\?(?=.*surgery=project.*brimpus)(?=.*problem=chain-3)(?=.*after=2)")
    expect(page).to_have_url(whole, timeout=WAIT_MS)

    elsewhere = browser.new_context(color_scheme="dark", reduced_motion="reduce").new_page()
    complaints_there = listen(elsewhere, explorer.partition("//")[2])
    open_page(elsewhere, page.url)
    expect(elsewhere.get_by_text("1. remove brimpus out of thought 2").first).to_be_visible(timeout=WAIT_MS)
    expect(elsewhere.get_by_text(re.compile("of the probability went elsewhere")).first).to_be_visible(timeout=WAIT_MS)
    for one, dark in ((page, False), (elsewhere, True)):
        background = one.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        assert (max(int(level) for level in re.findall(r"\d+", background)[:3]) < 90) == dark
    elsewhere.context.close()
    assert not complaints
    assert not complaints_there


POINT = """id => {
  for (const graph of document.querySelectorAll('.js-plotly-plot')) {
    const box = graph.getBoundingClientRect(), layout = graph._fullLayout;
    for (const point of graph.calcdata.flat()) {
      const trace = graph.calcdata.find(points => points.includes(point))[0].trace;
      if (trace.type !== 'scatter' || ((trace.customdata || [])[point.i] || [])[0] !== id) continue;
      const x = layout[trace.xaxis.replace('x', 'xaxis')], y = layout[trace.yaxis.replace('y', 'yaxis')];
      return [box.left + x._offset + x.l2p(point.x), box.top + y._offset + y.l2p(point.y)];
    }
  }
}"""
"""Where the first point that stands for a problem is drawn, in pixels of the window."""


def test_clicks_lead_from_the_population_into_a_search_tree_and_a_reload_and_a_file_keep_it(
    page: Page, explorer: str, tmp_path: Path
) -> None:
    page.set_viewport_size({"width": 1400, "height": 3000})
    open_page(page, f"{explorer}/population?reading=parallelism&controls=shuffled&thoughts=2")
    expect(page).to_have_url(re.compile("reading=Parallelism"))  # by its name in the link, by its title in the address
    click_at(page, page.evaluate(POINT, "chain-3"))
    expect(page).to_have_url(re.compile(r"/\?.*problem=chain-3"), timeout=WAIT_MS)
    rest(page, WAIT_MS)
    page.get_by_role("tab", name="Search tree").click()
    tree = page.get_by_text("Search tree with values")
    expect(tree).to_be_visible(timeout=WAIT_MS)
    rest(page, WAIT_MS)
    click_node(page, "brimpus", figure=3)
    asked = re.compile(r"/\?(?=.*problem=chain-3)(?=.*thoughts=2)(?=.*below=Search)(?=.*concept=brimpus)")
    expect(page).to_have_url(asked, timeout=WAIT_MS)

    page.reload()
    page.locator(".js-plotly-plot .scatterlayer").first.wait_for(timeout=WAIT_MS)
    expect(tree).to_be_visible(timeout=WAIT_MS)
    for box, value in (("Problem (5)", "chain-3"), ("Concept", "brimpus")):
        expect(page.get_by_role("combobox", name=box)).to_have_value(value, timeout=WAIT_MS)
    expect(page).to_have_url(asked)

    with page.expect_download(timeout=WAIT_MS) as started:
        page.get_by_role("button", name="Graph as HTML").click()
    file = tmp_path / "graph.html"
    started.value.save_as(file)
    page.goto(file.as_uri())
    expect(page.locator("figcaption")).to_contain_text("Model reference, problem chain-3, n = 1")
    with page.expect_download(timeout=WAIT_MS) as drawn:
        page.get_by_role("button", name="SVG").click()
    drawn.value.save_as(tmp_path / "graph.svg")
    assert "lempus" in (tmp_path / "graph.svg").read_text()
    assert not re.search(r"<script[^>]+src=", file.read_text())  # it needs no network


def test_a_broken_file_is_refused_in_words_and_a_pasted_question_goes_into_the_link(page: Page, explorer: str) -> None:
    page.goto(f"{explorer}/?set=uploaded")
    page.locator("input[type=file]").wait_for(state="attached", timeout=WAIT_MS)
    broken: FilePayload = {"name": "mine.json", "mimeType": "application/json", "buffer": b"[1]"}
    page.locator("input[type=file]").set_input_files(broken)
    expect(page.get_by_text(re.compile("Nothing was loaded from mine.json"))).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_test_id("stException")).to_have_count(0)

    page.get_by_role("combobox", name="Problem set").click()
    page.get_by_role("option", name="pasted").click()
    box = page.get_by_role("textbox", name="Question")
    box.fill("Tom is a lempus. Sally is a rompus. Is Tom a lempus or rompus?")
    box.press("Control+Enter")
    expect(page.get_by_role("heading", name="Is Tom a lempus or rompus?")).to_be_visible(timeout=WAIT_MS)
    expect(page).to_have_url(re.compile("question=Tom"))


MARKS = "![a](x.png) <img src=x onerror=alert(1)> `$x^2$` **b** \"q\" 'r'"
"""A name that a folder can have."""


def test_names_with_marks_are_text(page: Page, home: Path, explorer: str) -> None:
    shutil.copytree(home / "runs" / "reference", home / "runs" / MARKS)
    shutil.copy(home / "problems" / "released.json", home / "problems" / f"{MARKS}.json")
    far = "`![a](http://example.invalid/x)`</script><script>alert(2)</script>" + "x" * 3000
    asked = {"run": MARKS, "set": MARKS, "beside": "reference", "after": "2"}
    asked |= dict.fromkeys(("problem", "concept", "surgery"), far)
    heard = listen(page, explorer.partition("//")[2])
    for place, box, value in (("", "Compare with", "reference"), ("surgery", "Run", MARKS)):
        open_page(page, f"{explorer}/{place}?{urlencode(asked)}")
        expect(page.get_by_role("combobox", name="Run").first).to_have_value(MARKS, timeout=WAIT_MS)
        expect(page.get_by_role("combobox", name=box).first).to_have_value(value, timeout=WAIT_MS)
        expect(page.get_by_text("asks for something that is not here").first).to_be_visible(timeout=WAIT_MS)
        assert page.locator("img[src=x], img[src='x.png'], .katex, img[src*=example]").count() == 0
    assert not heard
