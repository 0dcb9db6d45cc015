"""The tables of a card as plain text cells: the page and the Markdown show the same ones."""

import polars as pl

from workbench.studies.audit.rows import MEASURES
from workbench.studies.compare.tables import NONE, Column, Table

_FULL = ("question", "condition", "measure", "value [95 %]", "control", "chance", "n", "p, corrected")


def tables_of(part: pl.DataFrame) -> list[Table]:
    """Return the tables of one battery: what is about all thoughts in full, what is about single ones by thought.

    Args:
        part: Rows of one battery.
    """
    whole = part.filter(pl.col("thought").is_null())
    columns = tuple(Column(name, "text" if name in _FULL[:3] else "ours") for name in _FULL)
    found = [Table("", columns, tuple(_cells(row) for row in whole.iter_rows(named=True)))]
    single = part.filter(pl.col("thought").is_not_null())
    for (question, measure), rows in single.group_by("question", "measure", maintain_order=True):
        found.append(_by_thought(str(question), str(measure), rows))
    return found


def number(value: float | None) -> str:
    """Return three digits, a dash for nothing."""
    return NONE if value is None else f"{value:.3f}"


def p_value(value: float | None) -> str:
    """Return a p-value, a dash for none."""
    if value is None:
        return NONE
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _cells(row: dict) -> tuple[str, ...]:
    condition = row["condition"] if row["dose"] is None else f"{row['condition']}, dose {row['dose']:g}"
    if row["value"] is None:
        return row["question"], condition, row["measure"] or NONE, row["note"], NONE, NONE, NONE, NONE
    beside = NONE if row["control_value"] is None else f"{row['control']} {row['control_value']:.3f}"
    condition += f" ({row['note']})" if row["note"] else ""
    value = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    return (
        row["question"], condition, row["measure"], value, beside, number(row["chance"]), str(row["n"]),
        p_value(row["p_corrected"]),
    )  # fmt: skip


def _by_thought(question: str, measure: str, rows: pl.DataFrame) -> Table:
    """Lay out conditions by thought, a cell each, and the control in the line below where it is not always the same."""
    thoughts = sorted(rows["thought"].unique().to_list())
    columns = (Column("condition", "text"), *(Column(f"thought {k}") for k in thoughts), Column("n"))
    lines = []
    for (condition, dose), group in rows.group_by("condition", "dose", maintain_order=True):
        name = f"{condition}" if dose is None or dose == 1 else f"{condition}, dose {dose:g}"
        values = {row["thought"]: row for row in group.iter_rows(named=True)}
        counts = sorted({row["n"] for row in values.values()})
        n = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
        lines.append((name, *(number(values[k]["value"]) if k in values else NONE for k in thoughts), n))
        controls = {k: row["control_value"] for k, row in values.items() if row["control_value"] is not None}
        if controls:
            beside = tuple(number(controls.get(k)) for k in thoughts)
            lines.append((f"– control: {group['control'][0]}", *beside, n))
    levels = sorted(rows["chance"].drop_nulls().unique().to_list())
    notes = [f"{MEASURES[measure].capitalize()}; intervals and tests are in the Parquet table."] if measure else []
    if len(levels) == 1:
        notes.append(f"Chance: {levels[0]:.3f}.")
    seen: set[tuple[str, ...]] = set()
    memoize = tuple(line for line in lines if not (line[0].startswith("–") and (line in seen or seen.add(line))))
    return Table(question, columns, memoize, (" ".join(notes),) if notes else ())
