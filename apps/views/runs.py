"""The page *Runs*: every checkpoint with its method, how its thoughts were supervised, accuracy and audit."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import streamlit as st

from apps import cache, links, widgets
from apps.errors import in_words
from apps.text import code, plain, plural
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.measure.provenance import checkpoint_digest
from workbench.model.checkpoint import CoconutConfig, read_config, require_weights
from workbench.model.recurrence import Recurrence
from workbench.model.supervision import Supervision
from workbench.studies.audit.card import TITLES, Card, find_cards
from workbench.train.loop import read_metrics
from workbench.train.methods import METHODS

AUDITS = catalog.ROOT / "docs" / "audits"
"""Audits of the bundled runs, a folder each; a checkout has them."""
KINDS = ("runs", "checkpoints", "all")
ABOUT = {
    "run": "Its name, as the box of runs has it.",
    "supervision": "What the LM head of its thoughts was asked in training.",
    "fed": "What is fed as a thought.",
    "parameters": "Stored weights; tied ones count once.",
    "accuracy": "Share of right answers when the run last measured it in training, on the problems of its "
    "configuration. Chance between the two options: 0.5. Figures of a whole set with intervals are in the audit.",
    "needed": "Whether its answers need its thoughts: the first sentence of its audit, about noise in place of all of "
    "them.",
    "written": "When its weights were written on this machine; empty of a bundled run: its files have the copy's day.",
    "audit": "Sentences of its audit that hold (●), that do not (○), and that are undecided or were not measured (◐). "
    "Found by the run's name; choose the run, and the page says whether the audit is of these weights.",
}

WIDTHS = {
    "run": 190, "supervision": 215, "accuracy": 78, "needed": 96, "audit": 112, "thoughts": 72, "parameters": 84,
    "method": 175, "written": 92, "fed": 180, "task": 74,
}  # fmt: skip
"""The columns in their order and their pixels: in a window of 1,440 all up to the method are seen."""


def draw() -> None:
    """Draw the page."""
    with in_words():
        with st.sidebar:
            st.markdown("### Coconut Workbench")
            kind = widgets.segments("Which", KINDS, "kind", "Final models, or checkpoints on the way.", wide=True)
            wanted = st.text_input(
                "Filter", key="find", bind="query-params", placeholder="coconut words", max_chars=80,
                help="Every word must stand in the name, the method or the supervision.",
            )  # fmt: skip
        st.markdown("## Runs")
        note, rows = st.container(), _rows()
        words = wanted.lower().split()
        shown = [
            row
            for row in rows
            if (kind == "all" or ("/" in str(row["run"])) == (kind == "checkpoints"))
            and all(
                word in " ".join(str(row[key]) for key in ("run", "method", "supervision")).lower() for word in words
            )
        ]
        if not shown:
            st.info("No run passes the filter.", icon=":material/filter_list_off:")
        else:
            _table(shown, len(rows))
        with note:
            links.say_what_was_left_out()


def _table(rows: Sequence[dict[str, object]], total: int) -> None:
    st.caption(
        f"{len(rows)} of {plural(total, 'checkpoint')}. Click a column's head to sort; choose one row to open it, or "
        "two to compare them."
    )
    kinds = st.column_config
    columns: dict[str, widgets.Column] = {
        name: kinds.Column(width=width, help=ABOUT.get(name), pinned=name == "run") for name, width in WIDTHS.items()
    } | {
        "accuracy": kinds.NumberColumn("accuracy", format="%.3f", width=WIDTHS["accuracy"], help=ABOUT["accuracy"]),
        "parameters": kinds.NumberColumn(format="compact", width=WIDTHS["parameters"], help=ABOUT["parameters"]),
        "written": kinds.DateColumn(format="YYYY-MM-DD", width=WIDTHS["written"], help=ABOUT["written"]),
    }
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame = frame.select(*WIDTHS, *(name for name in frame.columns if name not in WIDTHS))
    told = [name for name in frame.columns if frame[name].null_count() < frame.height]
    chosen = st.dataframe(
        frame.select(told).with_columns(pl.col(pl.String).fill_null("–")), hide_index=True, column_config=columns,
        on_select="rerun", selection_mode="multi-row", height="content", key="table of runs",
    )  # fmt: skip
    names = [str(rows[place]["run"]) for place in chosen["selection"]["rows"] if place < len(rows)]
    st.button(
        "Compare" if len(names) == 2 else "Open", type="primary", disabled=len(names) not in (1, 2), on_click=_open,
        args=(names,), icon=":material/open_in_new:", key="open runs",
    )  # fmt: skip
    widgets.download_table(frame, "runs", "save-runs")
    for name in names[:2]:
        _card(name)


def _open(names: Sequence[str]) -> None:
    st.session_state["open next"] = names[0]
    beside = {"beside": names[1]} if len(names) == 2 else {}
    st.session_state["beside"] = beside.get("beside")
    links.leave_for(links.HOME, {"run": names[0], **beside})


def _card(name: str) -> None:
    """Draw what the audit of a run says, sentence by sentence."""
    card = _cards().get(name)
    if card is None:
        st.caption(f"{plain(name)} has no audit here. Make one: {code(f'workbench audit {name}')}.")
        return
    st.markdown(f"#### What the audit of {plain(name)} says")
    path = catalog.runs()[name]
    digest = cache.kept("digest", cache.fingerprint(path), lambda: checkpoint_digest(cache.checkpoint(path)))
    if card.inputs.get("weights") != digest:
        st.warning("This audit is of another model of this name: its weights or settings are not those of this run.")
    frame = pl.DataFrame(
        {
            "question": TITLES[one.sentence.battery],
            "verdict": str(one.verdict),
            "what it says": one.text,
            "figure": one.figure,
        }
        for one in card.decided.values()
    )
    wide = {key: st.column_config.TextColumn(width="large") for key in ("what it says", "figure")}
    widgets.table(frame, f"audit-{name}", f"audit of {name}", wide, height=420)
    st.caption(f"Whole card with its tables and figures: {code(catalog.shown(AUDITS / name / 'card.md'))}")


def _cards() -> dict[str, Card]:
    tables = sorted(AUDITS.glob("*/audit.parquet"))
    if not tables:
        return {}
    about = tuple((str(table), table.stat().st_mtime_ns) for table in tables)
    return cache.kept(
        "cards", about, lambda: {card.name: card for card in find_cards(AUDITS)}, "Reading the audits ..."
    )


def _rows() -> list[dict[str, object]]:
    """Return what is known of every checkpoint without loading one."""
    cards = _cards()
    return [_row(name, path, cards.get(name)) for name, path in catalog.runs().items()]


def _row(name: str, path: Path, card: Card | None) -> dict[str, object]:
    row: dict[str, object] = {
        "run": name, "method": None, "supervision": None, "accuracy": None, "needed": None, "audit": None,
        "thoughts": None, "parameters": None, "written": None, "fed": None, "task": None, "fault": None,
    }  # fmt: skip
    folder = path if (path / "config.json").exists() else path / "model"
    try:
        meta = read_config(folder, name).get("coconut")
        known = CoconutConfig.read(meta, name)
        assert isinstance(meta, dict)  # `CoconutConfig.read` has checked it
        method = str(meta.get("method", ""))
        found = METHODS.get(catalog.FORMER_METHODS.get(method, method))
        row |= {
            "method": found.title if found else method or None,
            "supervision": str(Supervision.read(meta, folder)), "task": str(meta.get("task", "prosqa")),
            "thoughts": known.thoughts,
            "fed": ("pause token" if known.fed == "pause" else str(Recurrence.read(meta))) if known.thoughts else None,
            "parameters": require_weights(folder, name), "accuracy": _accuracy(path, meta.get("step")),
            "written": _written(folder),
        }  # fmt: skip
    except WorkbenchError as error:
        row["fault"] = error.what
    if card is not None:
        verdicts = [one.verdict for one in card.decided.values()]
        first = next((one for one in card.decided.values() if one.sentence.battery == "needed"), None)
        held, failed = (verdicts.count(verdict) for verdict in ("holds", "does not hold"))
        row["needed"] = first.verdict if first else None
        row["audit"] = f"{held} ●  {failed} ○  {len(verdicts) - held - failed} ◐"
    return row


def _written(folder: Path) -> date | None:
    """Return the day of the newest file of weights; a checkpoint keeps none, as its bytes follow from its seed.

    None of a bundled run: the day would be that of the clone.
    """
    if folder.is_relative_to(catalog.ROOT / "fixtures"):
        return None
    days = [file.stat().st_mtime for file in folder.glob("*.safetensors")]
    return datetime.fromtimestamp(max(days), UTC).date() if days else None


def _accuracy(path: Path, step: object) -> float | None:
    """Return the last accuracy that a run measured up to a step."""
    try:
        rows = read_metrics(catalog.home(path))
    except (WorkbenchError, json.JSONDecodeError):
        return None
    values = [row.get("accuracy") for row in rows if not isinstance(step, int) or row.get("step", 0) <= step]
    known = [value for value in values if isinstance(value, float) and value == value]
    return known[-1] if known else None
