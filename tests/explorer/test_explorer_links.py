"""Links that were copied in November 2026 open what they opened."""

import pytest

from tests.explorer.page import Open, fine, text

LINKS: dict[str, tuple[str, dict[str, str]]] = {
    "thoughts": ("", {"problem": "chain-3", "after": "2", "concept": "scrompus", "readout": "forced language"}),
    "interventions": ("surgery", {"problem": "chain-3", "after": "2", "surgery": "project:at=2;nodes=brimpus"}),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_of_before_opens_what_it_opened(opened: Open, name: str) -> None:
    page, asked = LINKS[name]
    app = opened(page, run="reference", set="released", **asked)

    assert fine(app)
    assert "asks for something that is not here" not in text(app)
    for box in ("problem", "concept", "readout"):
        assert box not in asked or app.session_state[box] == asked[box]
    assert int(app.session_state["after"]) == 2
    assert "surgery" not in asked or "brimpus" in text(app)
