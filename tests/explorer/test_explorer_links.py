"""Links that were copied in November 2026 open what they opened."""

from tests.explorer.page import Open, fine, text

LINKS: dict[str, dict[str, str]] = {
    "": {"problem": "chain-3", "after": "2", "concept": "scrompus", "readout": "forced language"},
    "surgery": {"problem": "chain-3", "after": "2", "surgery": "project:at=2;nodes=brimpus"},
}


def test_a_link_of_before_opens_what_it_opened(opened: Open) -> None:
    for page, asked in LINKS.items():
        app = opened(page, run="reference", set="released", thoughts="3", outcome="any", **asked)  # the defaults too

        assert fine(app)
        assert not app.info  # nothing is said to be left out
        for box in ("problem", "concept", "readout"):
            assert box not in asked or app.session_state[box] == asked[box]
        assert int(app.session_state["after"]) == 2
        assert "surgery" not in asked or "brimpus" in text(app)
