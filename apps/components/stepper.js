// Moves between the thoughts of one problem in the browser. The server is told when the hand rests if something on the
// page depends on it, else with the next click or key: a run of the page costs the browser more than a step.
// Everything that belongs to a thought is on the page already, in elements of class "at-K" or in containers of key
// "at-K-...": one style rule shows those of the current thought. Figures of other thoughts are drawn while the browser
// is idle (a container of no width draws none), the nearest first.
const PLAYING = 1100, REST = 350, PATIENCE = 4000;
const SOON = "step told soon", LATE = "step told late", LEAVING = "step told when leaving";
const STEPS = /^(Arrow(Left|Right)|p|Shift|Control|Alt|Meta)$/i;
const BEFORE = ["pointerdown", "keydown"];
// Where arrow keys have another meaning. A tab that was clicked keeps the focus; only one that was reached by the Tab key
// hands them to its neighbours.
const TAKEN = "input, textarea, select, [contenteditable], [role=combobox], [role=slider]";
const taken = (own, element) => element.closest?.(TAKEN) || (own.tabbed && element.closest?.("[role=tab]"));

export default function ({ data, parentElement, setStateValue }) {
  const bar = parentElement.querySelector(".stepper");
  let own = bar.own;
  if (!own) {
    own = bar.own = { made: data.echo, drawn: new Set(), shown: null, timer: null, teller: null, idle: null };
    own.style = document.head.appendChild(document.createElement("style"));
    own.marker = setInterval(() => mark(own), 500); // of figures that are drawn later than all else
    build(bar, own);
  }
  const fresh = own.version !== data.version;
  own.data = data;
  own.ask = () => setStateValue("drawn", data.version);
  document.stepper = own;
  own.version = data.version;
  if (fresh) own.drawn.clear();
  if (fresh || data.echo === own.made || !data.depths.includes(own.here)) own.here = data.here;
  ticks(bar, own);
  show(bar, own, own.here);
  if (own.here !== data.here) later(own); // a run of the page that began before the step wrote its address
  return () => {
    [own.timer, own.teller, own.idle].forEach(clearTimeout);
    clearInterval(own.marker);
    document.removeEventListener("keydown", own.keys, true);
    for (const kind of BEFORE) document.removeEventListener(kind, own.before, true);
    own.style.remove();
    delete bar.own;
  };
}

function build(bar, own) {
  bar.querySelector(".back").onclick = () => step(bar, own, -1);
  bar.querySelector(".next").onclick = () => step(bar, own, 1);
  bar.querySelector(".play").onclick = () => play(bar, own);
  own.keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || taken(own, event.composedPath()[0])) return;
    if (document.querySelector("[role=dialog]")) return;
    if (event.key === "ArrowLeft") step(bar, own, -1);
    else if (event.key === "ArrowRight") step(bar, own, 1);
    else if (event.key.toLowerCase() === "p") play(bar, own);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  document.addEventListener("keydown", own.keys, true);
  own.before = (event) => {
    if (event.type === "pointerdown" || event.key === "Tab") own.tabbed = event.key === "Tab";
    if (own.untold && !event.composedPath().includes(bar) && !STEPS.test(event.key))
      tell(own, event.target.closest?.("a[href]") ? LEAVING : LATE);
  };
  for (const kind of BEFORE) document.addEventListener(kind, own.before, true);
}

function ticks(bar, own) {
  const row = bar.querySelector(".ticks"), wanted = JSON.stringify([own.data.depths, own.data.labels]);
  if (row.dataset.of === wanted) return;
  row.dataset.of = wanted;
  row.replaceChildren(...own.data.depths.map((depth, place) => {
    const tick = document.createElement("button"), small = document.createElement("small");
    small.textContent = own.data.labels[place];
    tick.append(String(depth), small);
    tick.setAttribute("role", "radio");
    tick.setAttribute("aria-label", `After ${depth} thought${depth === 1 ? "" : "s"}, ${own.data.labels[place]}`);
    tick.onclick = () => { stop(bar, own); go(bar, own, depth); };
    tick.onpointerenter = (event) => { if (event.pointerType === "mouse" && !own.timer) show(bar, own, depth); };
    tick.onpointerleave = () => { if (!own.timer) show(bar, own, own.here); };
    return tick;
  }));
}

function step(bar, own, by) {
  stop(bar, own);
  const depths = own.data.depths, place = depths.indexOf(own.here) + by;
  if (place >= 0 && place < depths.length) go(bar, own, depths[place]);
}

function play(bar, own) {
  if (own.timer) return stop(bar, own);
  const depths = own.data.depths;
  if (own.here === depths.at(-1)) go(bar, own, depths[0]);
  own.timer = setInterval(() => {
    const place = depths.indexOf(own.here) + 1;
    if (place < depths.length) go(bar, own, depths[place]);
    if (place >= depths.length - 1) stop(bar, own);
  }, PLAYING);
  show(bar, own, own.here);
}

function stop(bar, own) {
  if (!own.timer) return;
  clearInterval(own.timer);
  own.timer = null;
  show(bar, own, own.here);
  later(own);
}

function go(bar, own, depth) {
  if (own.here === depth) return show(bar, own, depth);
  own.here = depth;
  own.made += 1;
  show(bar, own, depth);
  later(own);
}

function later(own) {
  own.untold = true;
  clearTimeout(own.teller);
  if (!own.timer) own.teller = setTimeout(() => rest(own), REST);
}

function rest(own) {
  address(own);
  if (document.stepTellers?.[SOON]) tell(own, SOON);
}

function tell(own, when) {
  clearTimeout(own.teller);
  if (!document.stepTellers?.[when]) return later(own); // the rest of the page is not there yet
  own.untold = false;
  document.stepTellers[when]({ after: own.here, made: own.made });
}

function address(own) {
  const parts = location.search.slice(1).split("&").filter(Boolean), there = parts.find((part) => part.startsWith("after="));
  const wanted = own.here === own.data.depths[0] ? undefined : `after=${own.here}`;
  if (there === wanted) return;
  const others = parts.filter((part) => part !== there), search = [...others, wanted].filter(Boolean).join("&");
  history.replaceState(history.state, "", location.pathname + (search && `?${search}`) + location.hash);
}

function show(bar, own, depth) {
  own.shown = depth;
  own.drawn.add(depth);
  restyle(own);
  for (const tick of bar.querySelectorAll(".ticks button")) {
    const on = parseInt(tick.textContent) === depth;
    tick.setAttribute("aria-checked", on);
    tick.tabIndex = on ? 0 : -1;
  }
  bar.querySelector(".back").disabled = own.here === own.data.depths[0];
  bar.querySelector(".next").disabled = own.here === own.data.depths.at(-1);
  const playing = bar.querySelector(".play");
  playing.firstElementChild.textContent = own.timer ? "Stop" : "Play";
  playing.setAttribute("aria-pressed", Boolean(own.timer));
  bar.dataset.shown = depth;
  bar.dataset.whole = own.data.whole;
  mark(own);
  clearTimeout(own.idle);
  own.idle = setTimeout(() => prepare(own, Date.now()), 200);
}

const box = (depth) => `[class*="st-key-at-${depth}-"]`;

function restyle(own) {
  const others = own.data.depths.filter((depth) => depth !== own.shown);
  const hidden = others.filter((depth) => own.drawn.has(depth)), away = others.filter((depth) => !own.drawn.has(depth));
  const rules = [`.at.at-${own.shown} { display: block !important }`];
  if (others.length) rules.push(`${others.map((depth) => `.at.at-${depth}`).join()} { display: none !important }`);
  rules.push(`${box(own.shown)} { display: flex !important; visibility: visible; position: relative }`);
  if (hidden.length)
    rules.push(`${hidden.map(box).join()} { display: flex !important; visibility: hidden !important;
      position: absolute; inset: 0; overflow: hidden; pointer-events: none }`);
  if (away.length) rules.push(`${away.map(box).join()} { display: none !important }`);
  own.style.textContent = rules.join("\n");
}

function prepare(own, since) {
  mark(own);
  const unfinished = [...own.drawn].some((depth) =>
    [...document.querySelectorAll(box(depth))].some((one) => !one.querySelector(".js-plotly-plot .main-svg")));
  if (unfinished && Date.now() - since < PATIENCE) {
    own.idle = setTimeout(() => prepare(own, since), 60);
    return;
  }
  if (!own.data.whole) return own.ask();
  const away = own.data.depths.filter((depth) => !own.drawn.has(depth));
  if (!away.length) return;
  const far = (depth) => Math.abs(depth - own.shown) - (depth > own.shown ? 0.5 : 0);
  own.drawn.add(away.sort((one, other) => far(one) - far(other))[0]);
  restyle(own);
  own.idle = setTimeout(() => prepare(own, Date.now()), 60);
}

// Figures over all thoughts mark the current one by a shape named "here": it is moved, not drawn again.
function mark(own) {
  for (const graph of document.querySelectorAll(".js-plotly-plot")) {
    const shapes = graph._fullLayout?.shapes ?? [], place = own.data.depths.indexOf(own.shown);
    const key = Object.keys(own.data.others).find((name) => graph.closest(`.st-key-${CSS.escape(name)}`));
    const depth = key ? own.data.others[key][place] : own.shown;
    shapes.forEach((shape, index) => {
      const path = shape.name === "here" && graph.querySelector(`.shapelayer [data-index="${index}"]`);
      if (!path) return;
      const axis = graph._fullLayout[shape.xref.replace("x", "xaxis")], drawn = Math.round((shape.x0 + shape.x1) / 2);
      path.setAttribute("transform", `translate(${axis.l2p(depth) - axis.l2p(drawn)},0)`);
      if (graph.marked) return;
      graph.marked = true; // drawn again, where the window changes for one, the shape is back where it was
      graph.on("plotly_afterplot", () => mark(graph.ownerDocument.stepper));
    });
  }
}
