"""Rows of an audit, the sentences that they decide, and what is drawn and written of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from workbench.figures.interventions import in_a_column, over_places
from workbench.measure.verdicts import FEWEST
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.studies.audit.base import MEASURES, SCHEMA, Rows, where
from workbench.studies.audit.card import Sentence, card_texts, said, tables_of
from workbench.studies.audit.run import read_table

SENTENCE = Sentence(
    "needed",
    "all thoughts",
    "noise",
    "right",
    "at most",
    0.5,
    strength=1.0,
    short="noise",
    holds="Needed.",
    fails="Not needed.",
)


def table(right: int, of: int = 100, own: int | None = None) -> pl.DataFrame:
    """A battery with one figure: so many right with noise for thoughts, by default all right with the model's own."""
    rows = Rows("needed")
    values, control = np.arange(of) < right, np.arange(of) < (of if own is None else own)
    rows.add("all thoughts", "noise", "right", values, strength=1.0, chance=0.5, control="own", control_values=control)
    return rows.frame()


def test_a_row_holds_its_control_on_the_same_problems_and_the_exact_test() -> None:
    rows = Rows("needed")
    rows.add("q", "c", "right", [1, 0, 0, np.nan], control="own", control_values=[1, 1, 1, 0])
    row = rows.frame().row(0, named=True)

    assert (row["value"], row["n"]) == (pytest.approx(1 / 3), 3)
    assert row["control_value"] == 1  # the last problem is left out of both
    assert (row["difference"], row["graphs"]) == (pytest.approx(-2 / 3), 3)
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["control_low"] < row["control_high"] == pytest.approx(1)
    assert row["p"] == pytest.approx(0.5)  # two problems lost, none won: 2 * (1/2)^2


def test_questions_about_one_graph_count_together_and_of_other_graphs_as_they_did() -> None:
    pairs, single = generate("balanced", 60, seed=1), generate("released", 60, seed=1)
    right, beside = np.arange(60) % 4 < 2, np.arange(60) % 12 < 2  # both of a pair, or neither

    def row(problems: Sequence[Problem], of: Sequence[Problem] | None = None) -> dict[str, Any]:
        rows = Rows("needed", problems=problems)
        rows.add("q", "c", "right", right, control="own", control_values=beside, problems=of)
        return rows.frame().row(0, named=True)

    plain, graphs = row([]), row(pairs)
    assert row(single) == plain
    assert row(single, pairs) == graphs
    assert (graphs["n"], graphs["graphs"], plain["graphs"]) == (60, 30, 60)
    for name in ("", "control_", "difference_"):
        width, of_rows = (one[f"{name}high"] - one[f"{name}low"] for one in (graphs, plain))
        assert width > 1.2 * of_rows
    assert graphs["p"] > plain["p"]


def test_p_values_are_corrected_for_the_tests_of_the_battery() -> None:
    rows = Rows("needed")
    for lost in (10, 1):
        rows.add("q", str(lost), "right", np.arange(10) >= lost, control="own", control_values=np.ones(10))
    rows.add("q", "untested", "right", np.ones(10))
    found = rows.frame()

    assert found["p"].to_list() == [pytest.approx(2 / 2**10), pytest.approx(1), None]
    assert found["p_corrected"].to_list() == [pytest.approx(4 / 2**10), pytest.approx(1), None]


def test_a_figure_that_no_problem_defines_says_so_and_a_row_can_be_words_alone() -> None:
    rows = Rows("search")
    rows.add("q", "c", "right", where([1, 1], [False, False]))
    rows.not_applicable("q", "no thoughts", "d")
    found = rows.frame()

    assert found.schema == pl.Schema(SCHEMA)
    assert found["value"].to_list() == [None, None]
    assert found["note"].to_list() == ["no problem defines it", "not applicable: no thoughts"]


def test_a_sentence_turns_round_when_its_whole_interval_has_crossed_the_threshold() -> None:
    (below,), (at,), (above,) = (said(table(right), [SENTENCE]) for right in (38, 45, 62))

    assert (below.text, above.text) == ("Needed.", "Not needed.")
    assert at.text == f"Undecided whether this holds: {at.sentence.holds}"
    assert (below.mark, at.mark, above.mark) == ("●", "◐", "○")
    assert below.figure.startswith("0.380 [")
    assert below.figure.endswith("own 1.000, chance 0.500, n = 100")


def test_nothing_is_said_about_few_graphs_and_an_aim_is_not_met_by_them() -> None:
    aim = replace(SENTENCE, rule="at least", threshold=0.1, aim=True)
    (few,), (enough,) = (said(table(of, of), [aim]) for of in (9, 40))

    assert (few.verdict, few.mark, few.aim) == ("too few", "–", "too little data to say whether the aim is met")
    assert (enough.verdict, enough.aim) == ("holds", "aim met")


def test_one_sentence_of_many_needs_more_than_its_own_interval() -> None:
    close = replace(SENTENCE, threshold=0.51)
    alone, among = said(table(40), [close]), said(table(40), [close, *[replace(SENTENCE, threshold=0.4)] * 9])

    assert (alone[0].verdict, among[0].verdict) == ("holds", "undecided")


def test_an_audit_of_before_has_no_differences_and_its_sentences_about_them_are_not_measured(tmp_path: Path) -> None:
    old = table(10).drop(
        "graphs", "control_graphs", "difference", "difference_low", "difference_high", "control_low", "control_high"
    )
    old.write_parquet(tmp_path / "audit.parquet")
    least, below = replace(SENTENCE, rule="at least"), replace(SENTENCE, rule="below control by", threshold=0.1)

    assert [one.verdict for one in said(read_table(tmp_path), [least, below])] == ["does not hold", "not measured"]


@pytest.mark.parametrize(
    ("over", "threshold", "right", "verdict"),
    [
        ("at least", 0.4, 55, "holds"),
        ("at least", 0.5, 55, "undecided"),
        ("at least", 0.7, 55, "does not hold"),
        ("below control by", 0.3, 55, "holds"),
        ("below control by", 0.5, 55, "undecided"),
        ("below control by", 0.6, 55, "does not hold"),
        ("at most, below control", 0.7, 55, "holds"),
        (
            "at most, below control",
            1.1,
            100,
            "undecided",
        ),  # at most the threshold, but not shown to be below its control
        ("at most, below control", 0.3, 55, "does not hold"),
        ("above control by", 0.0, 55, "does not hold"),  # it differs, but is lower
        ("equal to control within", 0.04, 100, "holds"),
        ("equal to control within", 0.02, 98, "undecided"),
        ("equal to control within", 0.02, 55, "does not hold"),
    ],
)
def test_every_comparison_is_decided_by_whole_intervals(over: Any, threshold: float, right: int, verdict: str) -> None:
    sentence = replace(SENTENCE, rule=over, threshold=threshold)

    assert said(table(right), [sentence])[0].verdict == verdict
    assert f"{threshold:g}" in sentence.condition_in_words


@pytest.mark.parametrize(
    ("over", "threshold", "right", "control", "verdict"),
    [
        ("at least, above control", 0.8, 95, 50, "holds"),
        ("at least, above control", 0.8, 95, 95, "does not hold"),  # what the control does as well says nothing
        ("at least, above control", 0.8, 95, 85, "undecided"),
        ("at least, above control", 0.8, 60, 20, "does not hold"),
        ("control at most, below value", 0.2, 60, 5, "holds"),
        ("control at most, below value", 0.2, 60, 50, "does not hold"),
        ("control at most, below value", 0.2, 5, 5, "does not hold"),
    ],
)
def test_a_threshold_counts_only_where_the_control_is_apart(
    over: Any, threshold: float, right: int, control: int, verdict: str
) -> None:
    sentence = replace(SENTENCE, rule=over, threshold=threshold)

    assert said(table(right, own=control), [sentence])[0].verdict == verdict
    assert "0.1 above" in sentence.condition_in_words


@pytest.mark.parametrize(
    ("right", "chosen", "verdict"),
    [
        (10, 48, "holds"),
        (10, 100, "does not hold"),  # nothing is answered in the right form, and the model knows as much as before
        (10, 57, "undecided"),
        (100, 48, "does not hold"),
        (10, None, "not measured"),  # an audit of before
    ],
)
def test_a_broken_format_is_no_lost_ability(right: int, chosen: int | None, verdict: str) -> None:
    sentence, beside = replace(SENTENCE, rule="at most, below control", threshold=0.6, also="chosen"), Rows("needed")
    if chosen is not None:
        beside.add(
            "all thoughts", "noise", "chosen", np.arange(100) < chosen, strength=1.0, chance=0.55, control="own",
            control_values=np.ones(100),
        )  # fmt: skip
    (one,) = said(pl.concat([table(right), beside.frame()]), [sentence])

    assert one.verdict == verdict
    assert one.figure.startswith(f"accuracy {right / 100:.3f} [")
    assert ("forced choice not measured" if chosen is None else f"forced choice {chosen / 100:.3f} [") in one.figure
    assert chosen is None or "chance 0.550" in one.figure


def test_a_control_that_few_graphs_define_decides_nothing_however_many_the_value_has() -> None:
    rows, control = Rows("needed"), np.where(np.arange(200) < FEWEST - 1, 1.0, np.nan)
    rows.add("all thoughts", "noise", "right", np.zeros(200), strength=1.0, control="own", control_values=control)
    row = rows.frame().row(0, named=True)
    below = replace(SENTENCE, rule="below control by", threshold=0.1)

    assert (row["graphs"], row["control_graphs"]) == (200, FEWEST - 1)
    assert [one.verdict for one in said(rows.frame(), [SENTENCE, below])] == ["holds", "too few"]


def test_how_a_model_does_it_is_not_judged_where_it_is_no_better_than_chance() -> None:
    can = replace(SENTENCE, question="accuracy", condition="the model", rule="at least", threshold=0.3, strength=None)
    can = replace(can, battery="shortcuts", ability=True)

    def judged(right: int, **how: bool) -> list[str]:
        rows = Rows("shortcuts")
        rows.add("accuracy", "the model", "right", np.arange(100) < right)
        return [one.verdict for one in said(pl.concat([rows.frame(), table(38)]), [can, SENTENCE], **how)]

    assert judged(80) == ["holds", "holds"]
    assert judged(55) == ["holds", "not measured"]
    assert judged(55, gate=False) == ["holds", "holds"]


def test_what_does_not_apply_is_not_said_and_what_was_not_measured_is_said_to_be_so() -> None:
    rows = Rows("needed")
    rows.not_applicable("all thoughts", "no thoughts", "noise")
    gone = rows.frame().with_columns(measure=pl.lit("right"), strength=pl.lit(1.0))
    missing = gone.with_columns(note=pl.lit("no problem defines it"))

    assert said(gone, [SENTENCE]) == []
    (one,) = said(missing, [SENTENCE])
    assert one.verdict == "not measured"
    assert one.text.startswith("Not measured")


def test_every_sentence_has_two_readings_and_a_known_measure() -> None:
    for sentence in card_texts().sentences:
        assert sentence.holds != sentence.fails
        assert sentence.measure in MEASURES
        assert sentence.short


def test_tables_show_all_rows_once() -> None:
    rows = Rows("needed")
    rows.add("all", "noise", "right", [1, 0], strength=1.0, chance=0.5)
    for k in (1, 2):
        rows.add("each", "zero", "right", [1, k == 2], thought=k, control="own", control_values=[1, 1])
    whole, single = tables_of(rows.frame())

    assert whole.rows[0][1] == "noise, strength 1"
    assert single.rows == (("zero", "0.500", "1.000", "2"), ("– control: own", "1.000", "1.000", "2"))


def test_figures_draw_values_controls_and_chance() -> None:
    rows = Rows("needed")
    for k in (1, 2):
        rows.add("each", "zero", "right", [1, 0], thought=k, chance=0.5, control="own", control_values=[1, 1])
    frame = rows.frame()
    over: Any = over_places(frame, "t", "s", "u")
    beside: Any = in_a_column(frame[:1], "t", "s", "u")
    lines = {trace.name: list(trace.y) for trace in over.data}
    column = {trace.name: list(trace.x) for trace in beside.data}

    assert lines == {"zero": [0.5, 0.5], "control: own": [1, 1], "chance": [0.5, 0.5]}
    assert column == {"value": [0.5], "control": [1.0], "chance": [0.5]}


def test_lines_with_controls_of_their_own_have_them_in_their_colour() -> None:
    rows = Rows("search")
    for strength, beside in ((1.0, [1, 1]), (2.0, [0, 0])):
        for k in (1, 2):
            rows.add(
                "put in",
                "added",
                "turned",
                [1, 0],
                thought=k,
                strength=strength,
                control="others",
                control_values=beside,
            )
    made: Any = over_places(rows.frame(), "t", "s", "u")
    drawn = {trace.name: (list(trace.y), trace.line.color) for trace in made.data}

    assert drawn["control of added, strength 1.0"] == ([1, 1], drawn["added, strength 1.0"][1])
    assert drawn["control of added, strength 2.0"] == ([0, 0], drawn["added, strength 2.0"][1])
    assert drawn["added, strength 1.0"][1] != drawn["added, strength 2.0"][1]
