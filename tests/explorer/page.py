"""How to read what the explorer shows."""

import json
import re
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
"""Opens the explorer as a link with these parameters does."""


def text(app: AppTest) -> str:
    """All that is said on the page, as a reader sees it: without the backslashes of markdown."""
    parts = [*app.markdown, *app.caption, *app.error, *app.info, *app.warning]
    return re.sub(r"\\(\W)", r"\1", "\n".join(str(part.value) for part in parts))


def markdown(app: AppTest) -> list[str]:
    """Every text of the page that the browser reads as markdown, labels and helps included."""
    found = [str(part.value) for part in (*app.markdown, *app.caption, *app.error, *app.info, *app.warning)]
    boxes = (*app.button, *app.selectbox, *app.number_input, *app.multiselect, *app.metric, *app.text_input)
    for box in boxes:
        found += [box.label, str(getattr(box.proto, "help", "")), str(getattr(box.proto, "body", ""))]
    return found


def charts(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


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
