"""Contrast of every text that is seen on a page, by WCAG 2.2: computed in the browser from the colours used.

`python -m tests.browser.contrast` lists the pairs below 4.5 : 1 on every page of the explorer, in both themes. Opacity
counts; text in figures stands on the page, or on the cell, box or node drawn beneath it. Tables are pictures (canvas)
and not seen by this; texts of controls that are switched off are exempt, as in WCAG.
"""

from playwright.sync_api import Browser, Page

from tests.browser.serve import rest, running_chromium, running_explorer

LEAST = 4.5
PAGES = {
    "Thoughts": "?after=2",
    "Thoughts, past the target": "?after=6",
    "two runs": "?beside=coconut_words&after=2",
    "difference of two runs": "?beside=coconut_words&after=2&picture=difference",
    "Interventions": "surgery?problem=released-194&after=2",
    "Population": "population?set=small&count=100&controls=",
    "Training": "training",
    "Runs": "runs",
}
BELOW = """least => {
  const parse = text => {
    const canvas = parse.canvas ??= new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under, share = 1) => under.map((c, i) => top[i] * top[3] * share + c * (1 - top[3] * share));
  const light = colour => {
    const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, two) => {
    const [low, high] = [light(one), light(two)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const parents = part => part ? [part, ...parents(part.parentElement ?? part.getRootNode().host)] : [];
  const ground = part => parents(part).reverse().reduce(
    (under, one) => over(parse(getComputedStyle(one).backgroundColor), under), [255, 255, 255]);
  const beneath = (part, {left, right, top, bottom}) => {
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    return [...part.closest('svg').querySelectorAll('path.point')].findLast(one => {
      const mark = one.getBoundingClientRect();
      return mark.left < x && x < mark.right && mark.top < y && y < mark.bottom && mark.width >= 14;
    });
  };
  const found = {};
  const look = root => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    while (walker.nextNode()) {
      const node = walker.currentNode, part = node.parentElement;
      if (node.shadowRoot) look(node.shadowRoot);
      if (node.nodeType !== 3 || !node.textContent.trim() || !part || part.closest('style, script, title')) continue;
      if (!part.checkVisibility({visibilityProperty: true})) continue;
      if (part.closest(':disabled, [aria-disabled=true]')) continue;
      const box = part.getBoundingClientRect(), style = getComputedStyle(part), drawn = part.closest('svg');
      if (box.width < 2 || box.height < 2) continue;
      if (part.closest('[data-testid=stIconMaterial]')) continue; // an icon, whose name is its text
      // The number over a slider's knob is a child of the knob and stands above it.
      const over_knob = part.closest('[data-testid=stSliderThumbValue]');
      const mark = part.closest('.textpoint') && beneath(part, box); // a number in the node of a graph
      const under = mark ? parse(getComputedStyle(mark).fill).slice(0, 3)
        : ground(over_knob ? part.closest('[data-testid=stSlider]') : part);
      const whole = parents(part);
      let share = whole.reduce((all, one) => all * Number(getComputedStyle(one).opacity), 1);
      let colour = parse(drawn ? style.fill : style.color);
      if (drawn) share *= Number(style.fillOpacity);
      if (share < 0.02) continue;
      if (part.closest('.heatmaplayer, .heatmap-label')) continue; // on colours of the cells
      const value = ratio(over(colour, under, share), under);
      if (value < least) {
        const key = [style.fontSize, over(colour, under, share).map(Math.round), under.map(Math.round)].join(' ');
        found[key] ??= [value.toFixed(2), node.textContent.trim().slice(0, 40), 0];
        found[key][2] += 1;
      }
    }
  };
  look(document.body);
  return Object.entries(found).map(([key, rest]) => [key, ...rest]);
}"""


def open_everything(page: Page, address: str) -> None:
    """Open a page and wait until the server is done and the figures are drawn."""
    page.goto(address)
    page.locator(".js-plotly-plot .main-svg:visible, [data-testid=stDataFrame]:visible").first.wait_for(timeout=300_000)
    rest(page, 300_000)
    page.wait_for_timeout(1500)


def below(browser: Browser, address: str, theme: str) -> list[list[object]]:
    """Return the pairs below 4.5 : 1 of a page: size and colours, contrast, a text that has it, how many do."""
    scheme = "dark" if theme == "dark" else "light"
    context = browser.new_context(viewport={"width": 1440, "height": 2600}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text[:160]) if one.type in ("warning", "error") else None)
    open_everything(page, address)
    found = page.evaluate(BELOW, LEAST)
    context.close()
    return [*found, *([["console", *sorted(set(said))]] if said else [])]


if __name__ == "__main__":
    with running_explorer() as explorer, running_chromium() as chromium:
        for theme in ("light", "dark"):
            for name, link in PAGES.items():
                rows = below(chromium, f"{explorer}/{link}", theme)
                print(f"{theme} · {name}: {len(rows)}", *rows, sep="\n    ", flush=True)
