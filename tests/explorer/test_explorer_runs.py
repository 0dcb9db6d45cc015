"""The page Runs without a browser: what is listed, filtered, opened, compared, and what an audit says."""

from pathlib import Path

import polars as pl
import pytest

from apps.views import runs
from tests.explorer.page import Open, fine, link, text
from workbench import catalog
from workbench.model.checkpoint import load_checkpoint

PAGE = "runs"


def test_every_run_is_listed_with_what_it_is_and_a_broken_one_with_its_fault(opened: Open) -> None:
    app = opened(PAGE)
    rows = {row["run"]: row for row in app.dataframe[0].value.to_dict("records")}

    assert fine(app)
    assert set(rows) == {name for name in catalog.runs() if "/" not in name}
    assert rows["coconut_two"]["thoughts"] == 6
    assert rows["pause_as_thought"]["fed"] == "pause token"
    assert "model.safetensors" in rows["cut-off"]["fault"]
    model = load_checkpoint(catalog.runs()["reference"]).model
    assert rows["reference"]["parameters"] == sum(weight.numel() for weight in model.parameters())


def test_filters_are_in_the_link(opened: Open) -> None:
    app = opened(PAGE, kind="checkpoints", find="stage1 ref")

    assert fine(app)
    assert list(app.dataframe[0].value["run"]) == ["reference/stage1"]
    assert link(app) == {"kind": "checkpoints", "find": "stage1 ref"}
    assert "No run passes the filter" in text(opened(PAGE, find="nowhere"))


@pytest.mark.parametrize("names", [["second"], ["second", "coconut_two"]])
def test_one_is_opened_and_two_are_compared(opened: Open, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    def choose(frame: pl.DataFrame, **settings: object) -> dict[str, dict[str, list[int]]]:
        held = frame["run"].to_list() if "run" in frame.columns else []
        return {"selection": {"rows": [held.index(name) for name in names if name in held]}}

    monkeypatch.setattr(runs.st, "dataframe", choose)  # without a browser no row can be chosen
    app = opened(PAGE)
    assert fine(app)
    assert f"{names[0]} has no audit here" in text(app)
    app.button(key="open runs").click().run()

    assert fine(app)
    assert [app.selectbox(key=key).value for key in ("run", "beside")] == [*names, None][:2]


def test_the_audit_of_a_bundled_run_is_found_by_name_and_said_sentence_by_sentence() -> None:
    card = runs._cards()["cot"]
    row = runs._row("cot", Path("nowhere"), card)

    assert row["fault"]
    assert row["needed"] in ("holds", "does not hold", "undecided", "not measured")
    counts = [int(part) for part in str(row["audit"]).split() if part.isdecimal()]
    assert sum(counts) == len(card.decided) > 0
