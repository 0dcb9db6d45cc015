"""The card of models whose answer is known: one that needs its thoughts, one whose thoughts are idle, one untrained."""

import polars as pl
import pytest

from workbench.measure.statistics import wilson
from workbench.studies.audit.base import AuditOptions
from workbench.studies.audit.card import Said, ability, card_texts, said
from workbench.studies.audit.organisms import (
    UNTRAINED,
    Audited,
    alarm_table,
    audit,
    expected_and_found,
    load,
    organisms,
    problems,
    right,
    wrongly_asserted,
)

OPTIONS = AuditOptions(batch_size=160, fit=60)
COUNTS = {
    "thoughts": {"needed": 160, "content": 80, "shortcuts": 80, "where": 50},
    "idle": {"needed": 80, "content": 80, "shortcuts": 80},
    UNTRAINED: {"needed": 60, "content": 60, "shortcuts": 60},
}
"""Problems of the most telling batteries: the page has all, on more (docs/audits/organisms.md).

On 80 the interval of the choice without thoughts reaches beyond the threshold.
"""
DECIDED = {
    "thoughts": {
        "noise for all thoughts": "holds",
        "thoughts of another problem": "holds",
        "twin pairs, both right": "holds",
        "thoughts against prompt": "holds",
        "beside the best query-blind reader": "holds",
        "blind to thoughts at the answer": "holds",
    },
    "idle": {
        "noise for all thoughts": "does not hold",
        "thoughts of another problem": "does not hold",
        "all thoughts from the twin": "does not hold",
        "beside the best query-blind reader": "holds",
    },
}
"""What even so few problems decide."""


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    asked, found = problems(160), dict[str, pl.DataFrame]()
    for name in organisms():
        model = load(name)
        found[name] = pl.concat(
            audit(model, asked[:count], OPTIONS, batteries=[battery]) for battery, count in COUNTS[name].items()
        )
    return found


@pytest.fixture(scope="module")
def cards(tables: dict[str, pl.DataFrame]) -> dict[str, dict[str, Said]]:
    return {name: {one.sentence.short: one for one in said(table, card_texts().sentences)}
            for name, table in tables.items()}  # fmt: skip


def value(table: pl.DataFrame, question: str, condition: str, measure: str) -> float:
    rows = table.filter(
        pl.col("question") == question, pl.col("condition") == condition, pl.col("measure") == measure,
        pl.col("thought").is_null(), pl.col("strength").is_null() | (pl.col("strength") == 1),
    )  # fmt: skip
    assert len(rows) == 1
    return rows["value"].item()


def test_every_sentence_that_applies_has_an_expectation_of_the_trained_organisms(
    cards: dict[str, dict[str, Said]],
) -> None:
    shorts = {sentence.short for sentence in card_texts().sentences}
    assert len(shorts) == len(card_texts().sentences)
    for name, organism in organisms().items():
        assert set(organism.expected) <= shorts
        if name != UNTRAINED:
            assert set(cards[name]) <= set(organism.expected)


@pytest.mark.parametrize("name", ["thoughts", "idle", "untrained"])
def test_no_sentence_says_the_opposite_of_what_is_known(name: str, cards: dict[str, dict[str, Said]]) -> None:
    organism = organisms()[name]
    wrong = {short: one.text for short, one in cards[name].items()
             if right(organism.expects(one.sentence), one.verdict) is False}  # fmt: skip
    assert wrong == {}


@pytest.mark.parametrize("name", DECIDED)
def test_so_few_graphs_decide_what_an_organism_was_built_for(name: str, cards: dict[str, dict[str, Said]]) -> None:
    assert {short: cards[name][short].verdict for short in DECIDED[name]} == DECIDED[name]


def test_what_is_exact_is_found_exactly(tables: dict[str, pl.DataFrame]) -> None:
    thoughts, idle = tables["thoughts"], tables["idle"]
    assert value(thoughts, "interchange", "twin", "follows") == 1
    assert value(thoughts, "thoughts against prompt", "the answer follows the thoughts", "follows") == 1
    assert value(thoughts, "attention cut at the answer", "prompt", "lost") == 0
    for what in ("remove", "zero", "mean", "noise", "permute", "swap"):
        assert value(idle, "all thoughts", what, "changed") == 0
    assert value(idle, "interchange", "twin", "follows") == 0


def test_without_its_thoughts_an_organism_loses_the_choice_and_not_its_format_alone(
    tables: dict[str, pl.DataFrame], cards: dict[str, dict[str, Said]]
) -> None:
    for what, short in (("noise", "noise for all thoughts"), ("swap", "thoughts of another problem")):
        found = {name: value(one, "all thoughts", what, "chosen") for name, one in tables.items()}
        own = {name: value(one, "all thoughts", "own", "chosen") for name, one in tables.items()}
        assert found["thoughts"] < 0.65 < own["thoughts"]
        assert found["idle"] == own["idle"] > 0.65
        assert abs(own[UNTRAINED] - 0.5) < 0.2  # it has no format at all, and guesses between the options
        assert all("forced choice" in card[short].figure for card in cards.values())
        assert cards[UNTRAINED][short].verdict == "not measured"


def test_false_alarms_of_one_model_are_not_independent(tables: dict[str, pl.DataFrame]) -> None:
    wrong, asked = wrongly_asserted(tables["thoughts"])
    none = wrongly_asserted(tables[UNTRAINED])[1]
    row = alarm_table([tables["thoughts"], *[tables[UNTRAINED]] * 9]).rows[0]
    assert row[1] == f"{len(wrong)} of {asked + 9 * none}"
    low, high = (float(one) for one in row[2].split("[")[1].rstrip("]").split(", "))
    alone = wilson(len(wrong), asked + 9 * none)
    assert high - low > 1.5 * (alone.high - alone.low)  # all of them are one model's


def test_both_trained_organisms_are_well_above_chance_and_the_untrained_is_not(tables: dict[str, pl.DataFrame]) -> None:
    able = {name: ability(table) for name, table in tables.items()}
    for name, one in able.items():
        assert one is not None
        assert (one.estimate.low > 0.6) == (name != UNTRAINED)


def test_of_an_untrained_model_nothing_is_asserted(tables: dict[str, pl.DataFrame]) -> None:
    wrong, asked = wrongly_asserted(tables[UNTRAINED])
    assert wrong == []
    assert asked >= 10


def test_a_wrong_card_is_seen(tables: dict[str, pl.DataFrame]) -> None:
    """The page of a table under the wrong name has crosses."""
    given = {"thoughts": tables["idle"], "idle": tables["thoughts"], "untrained": tables["thoughts"]}
    mistaken = [Audited.of(organism, given[name]) for name, organism in organisms().items()]
    assert sum("✗" in cell for row in expected_and_found(mistaken).rows for cell in row) > 8
    rightly = [Audited.of(organism, tables[name]) for name, organism in organisms().items()]
    assert sum("✗" in cell for row in expected_and_found(rightly).rows for cell in row) == 0
    assert len(wrongly_asserted(tables["thoughts"])[0]) > 3
    assert "none" not in alarm_table([tables["thoughts"]]).rows[0]
