"""Moving through the thoughts of one problem, in the browser: all of them are sent at once, and one is shown.

Streamlit draws everything; `stepper.js` shows the part that belongs to the current thought and writes its number into
the address. A run of the page costs the browser eight times what a step does, so the server is told when the hand rests
only if something on the page depends on the thought (`Steps.follow`), and else with the next click or key (`listen`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from workbench.measure.scores import NodeScores

KEY, AFTER = "stepper", "after"
"""Of the controls in the session, and of the number of thoughts there and in the address."""
SOON, LATE, LEAVING = "step told soon", "step told late", "step told when leaving"
"""Of the three components by which the browser can tell of a step."""
HTML = """
<div class="stepper">
  <button class="back" title="One thought back (left arrow key)">Back <kbd>←</kbd></button>
  <button class="next" title="One thought on (right arrow key)">Next <kbd>→</kbd></button>
  <button class="play" title="Run through the thoughts (key P)"><span>Play</span> <kbd>P</kbd></button>
  <span class="label">After how many thoughts</span>
  <div class="ticks" role="radiogroup" aria-label="After how many thoughts"></div>
</div>
"""
CSS = """
.stepper { display: flex; flex-wrap: wrap; gap: .45rem; align-items: center; font-family: var(--st-font);
  color: var(--st-text-color); padding: 2px; }
button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--st-border-color);
  border-radius: .5rem; padding: .3rem .7rem; cursor: pointer; line-height: 1.25; }
button:hover:not(:disabled) { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
button:disabled { opacity: .45; cursor: default; }
.play { border-color: var(--st-primary-color); font-weight: 600; min-width: 5.4rem; }
kbd { font: inherit; opacity: .7; font-size: .85em; }
.label { margin-left: .6rem; font-size: .875rem; }
.ticks { display: flex; flex: 1 1 20rem; flex-wrap: wrap; gap: .25rem; }
.ticks button { flex: 1 1 2.6rem; max-width: 6rem; min-width: 2.6rem; padding: .15rem .3rem; font-weight: 600; }
.ticks small { display: block; font-weight: 400; font-size: .72rem; white-space: nowrap; }
.ticks button[aria-checked=true] { border-color: var(--st-primary-color);
  box-shadow: inset 0 0 0 1px var(--st-primary-color);
  background: color-mix(in srgb, var(--st-primary-color) 14%, transparent); }
"""
TELLER_JS = """export default function ({ data, setStateValue }) {
  const tellers = document.stepTellers ??= {}, tell = tellers[data.when] = (value) => setStateValue("step", value);
  return () => { if (tellers[data.when] === tell) delete tellers[data.when]; };
}"""
_mount = component(KEY, html=HTML, css=CSS, js=Path(__file__).with_suffix(".js").read_text())
_mount_teller = component("step_teller", html="<span></span>", js=TELLER_JS)


@dataclass
class Steps:
    """The numbers of thoughts that a page can show, and the one that it shows."""

    depths: tuple[int, ...]
    """Ascending."""
    here: int
    """The one that the server knows of; the browser may be ahead by a moment."""
    whole: bool = True
    """Whether all is drawn now; else only what is seen first, and the rest when the browser has drawn that."""
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def text(self, make: Callable[[int], str]) -> None:
        """Draw HTML for each number of thoughts; one is seen. What a user wrote in it must be escaped."""
        st.html("".join(f'<div class="at at-{depth}">{make(depth)}</div>' for depth in self.depths))

    def draw(self, key: str, make: Callable[[int], None]) -> None:
        """Draw elements for each number of thoughts, told to `make`: the current one now, the others in `finish`.

        Args:
            key: Unique on the page.
            make: Draws them; keys of elements must hold the number.
        """
        with st.container(key=f"steps-{key}"):
            boxes = {depth: st.container(key=f"at-{depth}-{key}") for depth in self.depths}

        def fill(depth: int) -> None:
            with boxes[depth]:
                make(depth)

        fill(self.here)
        self._waiting += [lambda depth=depth: fill(depth) for depth in self.depths if depth != self.here]

    def later(self, make: Callable[[], None]) -> None:
        """Draw elements in this place in `finish`: what is seen below or beside the first picture."""
        box = st.container()

        def fill() -> None:
            with box:
                make()

        self._waiting.append(fill)

    def follow(self, depends: bool = True) -> int:
        """Run the fragment that calls this again when the hand rests after a step; return the number of thoughts.

        Args:
            depends: Whether anything in it depends on the number of thoughts now.
        """
        if depends and len(self.depths) > 1:
            _tell(SOON)
        self.here = st.session_state[AFTER]
        _to_address(self.here, min(self.depths))
        return self.here

    def finish(self) -> None:
        """Draw what was left for later, unless the browser is still at the first picture: it will ask for the rest."""
        while self._waiting and self.whole:
            self._waiting.pop(0)()


def listen() -> None:
    """Let the browser tell of its last step with the next click or key; to be called outside all fragments.

    Streamlit (1.67) sends the step and the click in one message and runs what the first of them belongs to: here, the
    whole page. Only a link to another page goes in a message before that of the step, which must not call the old page
    back: then a fragment is asked for that is gone.
    """
    _tell(LATE)
    st.fragment(_tell)(LEAVING)


def _tell(key: str) -> None:
    _mount_teller(key=key, data={"when": key}, on_step_change=partial(_told, key))


def labels(scores: NodeScores) -> list[str]:
    """Return what each number of thoughts is read as: "hop 2", "past hop 4" where no node is so far away."""
    far = int(scores.structure.hops.max())
    return [f"hop {hop}" if hop <= far else f"past hop {far}" for hop in scores.hops_read]


def choose(
    depths: Sequence[int],
    labels: Sequence[str],
    version: object,
    others: Mapping[str, Sequence[int]] | None = None,
    *,
    by_parts: bool = False,
) -> Steps:
    """Draw the controls and return how many thoughts have been thought.

    Args:
        depths: The numbers of thoughts that there is a reading for, ascending.
        labels: What stands under each of them.
        version: Of what is shown: another problem or run, another version.
        others: For the key of a figure whose x axis counts otherwise, what it is to mark at each of `depths`.
        by_parts: Draw one number of thoughts at first. When the browser has drawn it, the fragment runs again for the
            others: plotly draws all figures of one message in one go, and until then nothing is seen.
    """
    asked = st.session_state.get(AFTER, st.query_params.get(AFTER))
    here = min(depths, key=lambda depth: abs(depth - int(asked))) if _is_count(asked) else depths[0]
    st.session_state[AFTER] = here
    _to_address(here, depths[0])
    # Where there is no browser (AppTest) nobody would ask for the rest.
    drawn = (st.session_state.get(KEY) or {}).get("drawn")
    whole = len(depths) == 1 or not by_parts or drawn == str(version) or not st.context.url
    if len(depths) == 1:
        st.caption("No thoughts to move through.")
    else:
        told: list[Any] = [(st.session_state.get(key) or {}).get("step") for key in (SOON, LATE, LEAVING)]
        echo = max(step["made"] if step else 0 for step in told)
        _mount(
            key=KEY,
            data={
                "depths": list(depths), "labels": list(labels), "here": here, "echo": echo,
                "version": str(version), "others": {name: list(own) for name, own in (others or {}).items()},
                "whole": whole,
            },
            on_drawn_change=lambda: None,
        )  # fmt: skip
    # Before the component runs: what belongs to other thoughts is not seen.
    st.html(f'<style>.at:not(.at-{here}), [class*="st-key-at-"]:not([class*="st-key-at-{here}-"]) '
            "{ display: none }</style>")  # fmt: skip
    return Steps(tuple(depths), here, whole)


def _told(key: str) -> None:
    st.session_state[AFTER] = st.session_state[key]["step"]["after"]


def _to_address(here: int, first: int) -> None:
    if here != first:
        if st.query_params.get(AFTER) != str(here):
            st.query_params[AFTER] = str(here)
    elif AFTER in st.query_params:
        del st.query_params[AFTER]


def _is_count(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isdecimal() and len(value) < 4)
