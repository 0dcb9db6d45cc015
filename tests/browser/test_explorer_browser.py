"""The explorer in a real Chromium: keys, clicks, links, both themes, downloads."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, FilePayload, Page, expect

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


def test_arrow_keys_move_through_the_thoughts_and_into_the_link(page: Page, explorer: str) -> None:
    open_page(page, explorer)
    page.locator("body").press("ArrowRight")
    expect(page.get_by_text("After 2 thoughts · LM head")).to_be_visible(timeout=WAIT_MS)
    expect(page).to_have_url(re.compile(r"after=2"))
    page.locator("body").press("ArrowLeft")
    expect(page.get_by_text("After 1 thought · LM head")).to_be_visible(timeout=WAIT_MS)


FIVE_PRESSES = """async () => {
  for (let press = 0; press < 5; press++) {
    document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
    await new Promise(resolve => setTimeout(resolve, 150));
  }
}"""


def test_five_presses_end_five_thoughts_on_and_address_control_and_picture_agree(page: Page, explorer: str) -> None:
    page.emulate_media(reduced_motion="no-preference")
    open_page(page, f"{explorer}/?readout=forced+language&thoughts=6")
    page.evaluate(FIVE_PRESSES)
    assert page.evaluate(STATE)[1:] == [5, 5, 5]  # the browser waits for nobody
    expect(page).to_have_url(re.compile("after=5"), timeout=WAIT_MS)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=WAIT_MS)
    assert page.evaluate(STATE) == [5, 5, 5, 5]


FIRST_DRAWN = """new MutationObserver((_, own) => {
  const drawn = [...document.querySelectorAll('.js-plotly-plot:has(.main-svg)')];
  const seen = drawn.filter(one => !one.closest('.st-key-loads-plotly'));
  if (!seen.length) return;
  window.firstDrawn = seen.length;
  own.disconnect();
}).observe(document, {childList: true, subtree: true})"""
"""How many figures are on the page when the first of them is."""


def test_the_first_picture_waits_for_no_other_and_a_step_at_once_finds_the_next(page: Page, explorer: str) -> None:
    page.emulate_media(reduced_motion="no-preference")
    page.add_init_script(FIRST_DRAWN)
    page.goto(explorer)
    assert page.wait_for_function("window.firstDrawn", timeout=WAIT_MS).json_value() == 1
    page.locator("body").press("ArrowRight")
    expect(page.get_by_text("After 2 thoughts · LM head")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".st-key-strip-only .main-svg").first).to_be_attached(timeout=WAIT_MS)


def test_a_step_waits_for_the_server_only_where_something_on_the_page_does(page: Page, explorer: str) -> None:
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    open_page(page, explorer)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=WAIT_MS)
    sent.clear()
    page.locator("body").press("ArrowRight")
    expect(page).to_have_url(re.compile("after=2"))
    page.wait_for_timeout(700)  # twice as long as the hand has to rest
    assert not sent
    page.get_by_role("tab", name="Node by node").click()  # which tells of the step first
    expect(page.get_by_text("Values after 2 thoughts")).to_be_visible(timeout=WAIT_MS)
    page.locator("body").press("ArrowRight")
    expect(page.get_by_text("Values after 3 thoughts")).to_be_visible(timeout=WAIT_MS)


def test_a_click_after_a_step_does_what_it_says(page: Page, explorer: str) -> None:
    open_page(page, explorer)
    asked = page.locator("h2").first.inner_text()
    page.locator("body").press("ArrowRight")
    page.get_by_role("button", name="→", exact=True).click()
    expect(page.locator("h2").first).not_to_have_text(asked, timeout=WAIT_MS)
    expect(page.get_by_text("After 2 thoughts · LM head")).to_be_visible(timeout=WAIT_MS)


def test_a_step_goes_along_to_another_page(page: Page, explorer: str) -> None:
    open_page(page, explorer)
    page.locator("body").press("ArrowRight")
    page.get_by_test_id("stTopNavLink").filter(has_text="Interventions").click()
    expect(page).to_have_url(re.compile("surgery.*after=2"), timeout=WAIT_MS)


def test_nothing_of_the_page_before_stays_while_another_is_drawn(page: Page, explorer: str) -> None:
    page.emulate_media(reduced_motion="no-preference")
    open_page(page, explorer)
    page.get_by_test_id("stTopNavLink").filter(has_text="Population").click()
    page.get_by_role("heading", name="Breadth and chance").wait_for(timeout=WAIT_MS)
    assert page.locator(".st-key-picture").count() == 0


ACTIONS = 12


def test_address_boxes_and_picture_agree_over_a_random_walk(page: Page, explorer: str) -> None:
    """More of them: `python -m tests.browser.walk 1000 log.txt`."""
    start(page, explorer)
    for number, name, faults in walk(page, ACTIONS, seed=0):
        assert not faults, f"after action {number}, {name}: {faults}"


def test_playing_runs_to_the_last_thought_and_stops(page: Page, explorer: str) -> None:
    open_page(page, explorer)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("After 3 thoughts · LM head")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=WAIT_MS)


WHERE = """name => {
  const graphs = [...document.querySelectorAll('.js-plotly-plot')]; // those of other thoughts are drawn too
  const graph = graphs.filter(one => one.checkVisibility({visibilityProperty: true}))[0];
  if (!graph || !graph.calcdata) return null;
  const box = graph.getBoundingClientRect();
  const {xaxis, yaxis} = graph._fullLayout;
  const node = graph.calcdata.flat().find(point => (point.htx || '').includes(`<b>${name}</b>`));
  return node && [box.left + xaxis._offset + xaxis.l2p(node.x), box.top + yaxis._offset + yaxis.l2p(node.y)];
}"""
"""Where a node is drawn, in pixels of the window, by its hover text; nothing before it is drawn."""


def test_a_click_on_a_node_chooses_the_concept(page: Page, explorer: str) -> None:
    open_page(page, f"{explorer}/?problem=chain-3")
    x, y = page.wait_for_function(WHERE, arg="brimpus", timeout=WAIT_MS).json_value()
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile("concept=brimpus"), timeout=WAIT_MS)
    expect(page.get_by_text(re.compile("^brimpus · hop"))).to_be_visible(timeout=WAIT_MS)


def test_a_clicked_node_is_removed_and_the_link_holds_the_plan(page: Page, browser: Browser, explorer: str) -> None:
    page.set_viewport_size({"width": 1400, "height": 1600})
    open_page(page, f"{explorer}/surgery?problem=chain-3&after=2")
    x, y = page.wait_for_function(WHERE, arg="brimpus", timeout=WAIT_MS).json_value()
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    page.get_by_role("button", name="Remove", exact=True).click(timeout=WAIT_MS)
    expect(page).to_have_url(re.compile("surgery=project.*brimpus"), timeout=WAIT_MS)
    page.get_by_role("link", name="Thoughts").click()
    expect(page.get_by_text(re.compile("^Made to speak")).filter(visible=True)).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="Interventions").click()
    # For a moment the plan stands in the address of the page that is left: copied then, the link opens that one.
    whole = re.compile(r"/surgery\?(?=.*surgery=project.*brimpus)(?=.*problem=chain-3)(?=.*after=2)")
    expect(page).to_have_url(whole, timeout=WAIT_MS)
    elsewhere = browser.new_context().new_page()
    open_page(elsewhere, page.url)
    expect(elsewhere.get_by_text("1. remove brimpus out of thought 2").first).to_be_visible(timeout=WAIT_MS)
    expect(elsewhere.get_by_text(re.compile("of the probability went elsewhere")).first).to_be_visible(timeout=WAIT_MS)
    elsewhere.context.close()


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


def test_a_click_on_a_point_of_the_population_opens_its_problem(page: Page, explorer: str) -> None:
    page.set_viewport_size({"width": 1400, "height": 2400})
    open_page(page, f"{explorer}/population?reading=parallelism&controls=shuffled&thoughts=2")
    expect(page).to_have_url(re.compile("reading=Parallelism"))  # by its name in the link, by its title in the address
    x, y = page.evaluate(POINT, "chain-2")
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(r"/\?.*problem=chain-2"), timeout=WAIT_MS)
    expect(page).to_have_url(re.compile("thoughts=2"))
    page.reload()
    page.locator(".js-plotly-plot .scatterlayer").first.wait_for(timeout=WAIT_MS)
    expect(page.get_by_role("combobox", name="Problem (5)")).to_have_value("chain-2", timeout=WAIT_MS)


@pytest.mark.parametrize("view", ["?below=Search+tree&tree_controls=true", "?below=Lens+over+layers&lens=tuned+lens"])
def test_a_reload_restores_the_tab_and_what_was_chosen_in_it(page: Page, explorer: str, view: str) -> None:
    open_page(page, f"{explorer}/{view}")
    drawn = page.get_by_text(re.compile("^Search tree with values|^What each layer says · tuned lens"))
    expect(drawn).to_be_visible(timeout=WAIT_MS)
    page.reload()
    expect(drawn).to_be_visible(timeout=WAIT_MS)
    assert page.url.endswith(view)


def test_a_click_in_the_search_tree_chooses_the_concept(page: Page, explorer: str) -> None:
    page.set_viewport_size({"width": 1400, "height": 3000})
    open_page(page, f"{explorer}/?problem=chain-3&below=Search+tree")
    expect(page.get_by_text("Search tree with values")).to_be_visible(timeout=WAIT_MS)
    fourth = WHERE.replace("[0]", "[3]")
    x, y = page.wait_for_function(fourth, arg="brimpus", timeout=WAIT_MS).json_value()
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile("concept=brimpus"), timeout=WAIT_MS)


@pytest.mark.parametrize("place", ["", "population", "training"])
def test_a_broken_file_is_refused_in_words_on_every_page(page: Page, explorer: str, place: str) -> None:
    page.goto(f"{explorer}/{place}?set=uploaded")
    page.locator("input[type=file]").wait_for(state="attached", timeout=WAIT_MS)
    broken: FilePayload = {"name": "mine.json", "mimeType": "application/json", "buffer": b"[1]"}
    page.locator("input[type=file]").set_input_files(broken)
    expect(page.get_by_text(re.compile("Nothing was loaded from mine.json"))).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_copied_link_opens_the_same_view_elsewhere(page: Page, browser: Browser, explorer: str) -> None:
    open_page(page, f"{explorer}/?problem=chain-4&after=2&concept=scrompus&readout=forced+language")
    elsewhere = browser.new_context().new_page()
    open_page(elsewhere, page.url)
    expect(elsewhere.get_by_text("After 2 thoughts · forced language").first).to_be_visible(timeout=WAIT_MS)
    expect(elsewhere.get_by_text(re.compile("^scrompus · hop"))).to_be_visible(timeout=WAIT_MS)
    elsewhere.context.close()


def test_a_pasted_question_goes_into_the_link(page: Page, explorer: str) -> None:
    page.goto(f"{explorer}/?set=pasted")
    box = page.get_by_role("textbox", name="Question")
    box.wait_for(timeout=WAIT_MS)
    box.fill("Tom is a lempus. Sally is a rompus. Is Tom a lempus or rompus?")
    box.press("Control+Enter")
    expect(page.get_by_role("heading", name="Is Tom a lempus or rompus?")).to_be_visible(timeout=WAIT_MS)
    expect(page).to_have_url(re.compile("question=Tom"))


def test_a_figure_comes_down_as_a_page_that_needs_no_network(page: Page, explorer: str, tmp_path: Path) -> None:
    open_page(page, explorer)
    with page.expect_download(timeout=WAIT_MS) as started:
        page.get_by_role("button", name="Graph as HTML").click()
    file = tmp_path / "graph.html"
    started.value.save_as(file)
    saved = file.read_text()
    assert "Plotly.newPlot" in saved
    assert not re.search(r"<script[^>]+src=", saved)
    page.goto(file.as_uri())
    expect(page.locator("figcaption")).to_contain_text(re.compile(r"Model reference, problem chain-\d, n = 1"))
    with page.expect_download(timeout=WAIT_MS) as drawn:
        page.get_by_role("button", name="SVG").click()
    drawn.value.save_as(tmp_path / "graph.svg")
    assert "lempus" in (tmp_path / "graph.svg").read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_draw_without_a_complaint_and_without_a_network(
    browser: Browser, explorer: str, theme: str
) -> None:
    context = browser.new_context(color_scheme="dark" if theme == "dark" else "light")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("requestfailed", lambda request: complaints.append(request.url))
    open_page(page, explorer)
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", background)[:3]]
    assert (max(levels) < 90) == (theme == "dark")
    assert complaints == []
    context.close()


MARKS = "![a](x.png) <img src=x onerror=alert(1)> `$x^2$` **b** \"q\" 'r'"
"""A name that a folder can have."""


@pytest.mark.parametrize("place", ["", "surgery"])
def test_names_with_marks_are_text(page: Page, home: Path, explorer: str, place: str) -> None:
    run, problems = home / "runs" / MARKS, home / "problems" / f"{MARKS}.json"
    if not run.exists():
        shutil.copytree(home / "runs" / "reference", run)
        shutil.copy(home / "problems" / "released.json", problems)
    far = "`![a](http://example.invalid/x)`</script><script>alert(2)</script>" + "x" * 3000
    asked = {"run": MARKS, "set": MARKS, "beside": MARKS, "problem": far, "concept": far, "surgery": far, "after": "2"}
    heard: list[str] = []
    host = explorer.partition("//")[2]
    page.on("request", lambda one: heard.append(one.url) if urlsplit(one.url).netloc not in ("", host) else None)
    page.on("pageerror", lambda error: heard.append(str(error)))

    def dismiss(dialog: Dialog) -> None:
        heard.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    open_page(page, f"{explorer}/{place}?{urlencode(asked)}")
    expect(page.get_by_role("combobox", name="Run").first).to_have_value(MARKS, timeout=WAIT_MS)
    expect(page.get_by_text("asks for something that is not here").first).to_be_visible(timeout=WAIT_MS)
    assert page.locator("img[src=x], img[src='x.png'], .katex, img[src*=example]").count() == 0
    assert not heard
