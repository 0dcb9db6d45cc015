"""How to read what the explorer shows."""

import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
"""Opens the explorer as a link with these parameters does."""


def here(app: AppTest) -> int | None:
    """The number of thoughts shown."""
    return int(app.session_state["after"]) if "after" in app.session_state else None


def go(app: AppTest, depth: int) -> AppTest:
    """Tell the server what the browser tells it when the hand rests at a number of thoughts."""
    app.session_state["after"] = depth
    return app.run()


def seen(app: AppTest, kind: str) -> list[Any]:
    """The elements of a kind that a reader sees: none of another number of thoughts."""
    return [one for block in (app.main, app.sidebar) for one in _seen(block, here(app)) if one.type == kind]


def _seen(block: Any, depth: int | None) -> Iterator[Any]:
    for child in block.children.values():
        of = re.match(r"at-(\d+)-", str(child.key or "")) if hasattr(child, "children") else None
        if of and int(of[1]) != depth:
            continue
        if hasattr(child, "children"):
            yield from _seen(child, depth)
        else:
            yield child


def html(app: AppTest) -> list[str]:
    """The texts written as HTML, without tags; of the number of thoughts shown alone where they depend on it."""
    found = []
    for part in seen(app, "html"):
        body, own = part.proto.body, f'<div class="at at-{here(app)}">'
        if body.startswith('<div class="at '):
            body = body.partition(own)[2].partition('<div class="at ')[0]
        if not body.lstrip().startswith("<style>"):
            found.append(" ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split()))
    return found


def text(app: AppTest) -> str:
    """All that is said on the page, as a reader sees it: without the backslashes of markdown."""
    kinds = ("markdown", "caption", "error", "info", "warning")
    parts = [part for kind in kinds for part in seen(app, kind)]
    return "\n".join([re.sub(r"\\(\W)", r"\1", "\n".join(str(part.value) for part in parts)), *html(app)])


def markdown(app: AppTest) -> list[str]:
    """Every text of the page that the browser reads as markdown, labels and helps included."""
    found = [str(part.value) for part in (*app.markdown, *app.caption, *app.error, *app.info, *app.warning)]
    boxes = (*app.button, *app.selectbox, *app.number_input, *app.multiselect, *app.metric, *app.text_input)
    for box in boxes:
        found += [box.label, str(getattr(box.proto, "help", "")), str(getattr(box.proto, "body", ""))]
    return found


def charts(app: AppTest) -> list[dict]:
    """The figures that a reader sees."""
    return [json.loads(chart.proto.spec) for chart in seen(app, "plotly_chart")]


def node_values(app: AppTest) -> list[float]:
    (nodes,) = [trace for trace in charts(app)[0]["data"] if trace.get("name") == "nodes"]
    return nodes["marker"]["color"]


def link(app: AppTest) -> dict[str, str]:
    """The parameters of the address."""
    found = {name: app.query_params[name] for name in app.query_params}
    return {name: value if isinstance(value, str) else " ".join(value) for name, value in found.items()}


def fine(app: AppTest) -> bool:
    """Whether nothing went wrong: no traceback, no message of an error."""
    return not app.exception and not app.error


def ran(code: str) -> dict[str, Any]:
    """The names that code of a page leaves; it is run without showing anything."""
    names: dict[str, Any] = {}
    exec(code.replace(".show()", "").replace("print(", "("), names)
    return names
