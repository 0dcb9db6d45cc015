"""How to read what the explorer shows."""

import json
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
"""Opens the explorer as a link with these parameters does."""


def text(app: AppTest) -> str:
    """All that is said on the page."""
    parts = [*app.markdown, *app.caption, *app.error, *app.info, *app.warning]
    return "\n".join(str(part.value) for part in parts)


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
