"""ProntoQA: what is generated is sound and has no shortcut, and every kind of damage is found."""

from dataclasses import replace

import pytest

from workbench.errors import WorkbenchError
from workbench.problems.problem import Item
from workbench.problems.prontoqa import MOST_HOPS, Claim, check, derive, read_claim, read_question, singular
from workbench.problems.sets import generate_items as generate
from workbench.problems.shortcuts import shortcut_accuracies

QUESTION = (
    "Every wumpus is an impus. Alex is a wumpus. Impuses are not shy. Each wumpus is hot. Every dumpus is shy. "
    "Sam is a dumpus. True or false: Alex is not shy."
)
STEPS = ("Alex is a wumpus. Every wumpus is an impus.", "Alex is an impus. Every impus is not shy.", "Alex is not shy.")
SOUND = Item("p", QUESTION, "True", STEPS, "prontoqa", ("impus", "shy", "True"), ("True", "False"))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return generate("prontoqa", 200, seed=3)


def test_a_sound_item_has_no_fault() -> None:
    assert check(SOUND, hops=2) == []


def asks(query: str) -> Item:
    return replace(SOUND, question=QUESTION.partition("True or")[0] + query)


@pytest.mark.parametrize(
    ("item", "field", "reason"),
    [
        (replace(SOUND, answer="False"), "answer", '"False" should be "True"'),
        (replace(SOUND, answer="maybe"), "answer", '"maybe" should be "True"'),
        (asks("True or false: Alex is shy."), "answer", '"True" should be "False"'),
        (asks("True or false: Alex is red."), "answer", "neither that Alex is red follows nor that it is not"),
        (asks("True or false: Rex is shy."), "question", 'asks about "Rex", of whom nothing is said'),
        (asks("Alex is shy."), "question", "the last sentence must ask"),
        (asks("True or false: Alex is shy. Sam is hot."), "question", "asks, but is not the last sentence"),
        (asks("Shyness is. True or false: Alex is shy."), "question", "has none of the forms"),
        (asks("Every wumpus is shy. True or false: Alex is not shy."), "question", "that Alex is shy follows, and"),
        (replace(SOUND, steps=()), "steps", "there are none"),
        (replace(SOUND, steps=("", *STEPS)), "steps", "step 1 is empty"),
        (replace(SOUND, steps=STEPS[:2]), "steps", "does not settle whether"),
        (replace(SOUND, steps=STEPS[1:]), "steps", "is no premise and follows from nothing said before"),
        (replace(SOUND, steps=(STEPS[0], "Alex is shy.")), "steps", "is no premise and follows from nothing"),
        (replace(SOUND, steps=("Think.", *STEPS)), "steps", 'step 1 ("Think") has none of the forms'),
        (
            replace(SOUND, steps=("Alex is a wumpus. Every wumpus is hot.", *STEPS)),
            "steps",
            "the proof uses 3 rules, but the shortest has 2",
        ),
        (replace(SOUND, options=("True",)), "options", "['True'] should be ['True', 'False']"),
        (replace(SOUND, values=("impus",)), "values", "1 values for 3 steps"),
    ],
)
def test_every_damage_is_found(item: Item, field: str, reason: str) -> None:
    faults = [fault for fault in check(item) if reason in fault.reason]

    assert [fault.field for fault in faults] == [field], check(item)


def test_a_proof_of_another_length_is_a_fault_where_one_length_is_asked_for() -> None:
    assert [fault.reason for fault in check(SOUND, hops=5)] == ["the shortest proof uses 2 rules, not 5"]


@pytest.mark.parametrize(
    "sentence",
    ["Every wumpus is not a real number", "Each wumpus is not a real number", "Wumpuses are not real numbers"],
)
def test_three_ways_to_say_the_same(sentence: str) -> None:
    claim = read_claim(sentence)

    assert claim
    assert claim.meaning == ("wumpus", "real number", True)
    assert str(claim) == "Every wumpus is not a real number."


def test_articles_and_plurals() -> None:
    assert str(Claim("Alex", False, "impus", True, False)) == "Alex is an impus."
    assert [singular(word) for word in ("wumpuses", "luminous", "cats", "butterflies", "foxes")] == [
        "wumpus",
        "luminous",
        "cat",
        "butterfly",
        "fox",
    ]


def test_generated_items_have_five_hops_and_six_steps(items: list[Item]) -> None:
    assert {check(item, hops=5) == [] for item in items} == {True}
    assert {len(item.steps) for item in items} == {6} == {len(item.values) for item in items}
    assert len({item.question for item in items}) == len(items)


def test_every_property_is_said_once_and_denied_once(items: list[Item]) -> None:
    for item in items[:50]:
        premises, _, _ = read_question(item.question)
        said = sorted((claim.predicate, claim.negated) for claim in premises if not claim.kind)
        assert all((word, not negated) in said for word, negated in said)
        assert len(set(said)) == len(said)


def test_asked_about_the_other_entity_the_answer_flips(items: list[Item]) -> None:
    for item in items[:50]:
        premises, query, _ = read_question(item.question)
        assert query
        (other,) = {claim.subject for claim in premises if not claim.every} - {query.subject}
        follows = (query.predicate, query.negated) in derive(premises, other)
        assert str(follows) != item.answer


def test_rules_that_do_not_reason_are_no_better_than_chance(items: list[Item]) -> None:
    rules = shortcut_accuracies(items)

    assert rules['True, or False where the question has "not"'] == rules["the commonest answer"] == 0.5
    assert rules["the first sentence about the property"] == rules["the last sentence about the property"] == 0.5
    assert all(abs(accuracy - 0.5) < 0.1 for accuracy in rules.values()), rules


def test_the_same_seed_makes_the_same_items_and_a_longer_list_begins_with_them(items: list[Item]) -> None:
    assert generate("prontoqa", 10, seed=3) == items[:10]
    assert generate("prontoqa", 1, seed=4)[0].question != items[0].question
    assert generate("prontoqa", 1, seed=3, split="test")[0].question != items[0].question


@pytest.mark.parametrize("hops", [1, MOST_HOPS])
def test_other_numbers_of_hops(hops: int) -> None:
    assert all(check(item, hops) == [] for item in generate("prontoqa", 8, seed=0, hops=hops))


def test_what_cannot_be_generated_is_said() -> None:
    with pytest.raises(WorkbenchError, match="0 hops are not offered"):
        generate("prontoqa", 1, seed=0, hops=0)
    with pytest.raises(WorkbenchError, match='no task "poetry"'):
        generate("poetry", 1, seed=0)
    with pytest.raises(WorkbenchError, match="must be at least 1"):
        generate("prontoqa", 0, seed=0)
