"""Arithmetic stories: sound, of two disjoint sets of sentences, and every kind of damage is found."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from workbench.errors import WorkbenchError
from workbench.problems.arithmetic import KINDS, WORDINGS, Line, Story, check, spell, sums
from workbench.problems.problem import Item
from workbench.problems.sets import generate_items as generate
from workbench.problems.shortcuts import shortcut_accuracies

LINES = (Line("start", 0, 8), Line("add_groups", 0, 3, 4), Line("join_times", 0, 2), Line("ask_share", 1, 6))
STORY = Story("train", "Tom", "Eva", "shells", "bags", LINES)
STEPS = ("<<3*4=12>>", "<<8+12=20>>", "<<20*2=40>>", "<<20+40=60>>", "<<60/6=10>>")
QUESTION = (
    "Tom has 8 shells. Tom buys 3 bags of 4 shells each. Eva has 2 times as many shells as Tom and gives all of them "
    "to Tom. 6 friends share all shells evenly. How many shells does each get?"
)
SOUND = Item("a", QUESTION, "10", STEPS, "arithmetic", ("12", "20", "40", "60", "10"))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return generate("arithmetic", 500, seed=3)


def test_a_story_in_words_and_in_sums() -> None:
    assert spell(STORY) == QUESTION
    assert tuple(map(str, sums(STORY))) == STEPS
    assert check(SOUND, limit=60, story=STORY) == []


def with_step(number: int, step: str) -> Item:
    return replace(SOUND, steps=(*STEPS[:number], step, *STEPS[number + 1 :]))


@pytest.mark.parametrize(
    ("item", "field", "reason"),
    [
        (with_step(1, "<<8+12=21>>"), "steps", 'step 2 ("<<8+12=21>>") comes to 20'),
        (with_step(1, "8+12=20"), "steps", "is not of the form"),
        (with_step(1, "<<8+12=20.0>>"), "steps", "is not of the form"),
        (with_step(4, "<<60/0=10>>"), "steps", "divides by 0"),
        (with_step(0, "<<5*4=20>>"), "steps", "5 is neither in the question nor a result before"),
        (replace(SOUND, steps=()), "steps", "there are none"),
        (replace(SOUND, answer="11"), "answer", '"11" is not the last result, 10'),
        (replace(SOUND, values=("12",)), "values", "are not the results"),
        (replace(SOUND, options=("10",)), "options", "any number may answer"),
        (with_step(1, f"<<{'9' * 3000}*{'9' * 3000}={'9' * 6000}>>"), "question", "has 3000 digits; 30 are allowed"),
        (replace(SOUND, question=QUESTION + "9" * 5000), "question", "has 5000 digits"),
        (replace(SOUND, question=QUESTION.replace("shells each", "shells")), "question", "does not say its story"),
        (replace(SOUND, steps=(STEPS[0], "<<12+8=20>>", *STEPS[2:])), "steps", "the story asks for <<3*4=12>> <<8+12"),
    ],
)
def test_every_damage_is_found(item: Item, field: str, reason: str) -> None:
    assert [fault.field for fault in check(item, 60, STORY) if reason in fault.reason] == [field]


def test_a_rule_without_reasoning_leaves_out_numbers_that_python_does_not_read() -> None:
    rules = shortcut_accuracies([replace(SOUND, question=f"{'9' * 5000} and 10 and 3", task="gsm8k")])
    assert (rules["the first number"], rules["the largest number"]) == (1, 1)


def test_a_number_above_the_limit_and_an_impossible_story_are_faults() -> None:
    assert [fault.reason for fault in check(SOUND, limit=59)] == ["60 is above 59"]
    nothing = replace(STORY, lines=(*LINES[:3], Line("ask_share", 1, 0)))
    assert "the story divides by 0" in [fault.reason for fault in check(SOUND, story=nothing)]


def test_generated_items_are_small_whole_and_of_two_to_six_operations(items: list[Item]) -> None:
    numbers = {
        int(number) for item in items for text in (item.question, *item.steps) for number in re.findall(r"\d+", text)
    }
    lengths = Counter(len(item.steps) for item in items)

    assert {check(item, limit=99) == [] for item in items} == {True}
    assert max(numbers) <= 99
    assert set(lengths) == {2, 3, 4, 5, 6}
    assert min(lengths.values()) > 75
    assert set("+-*/") <= set("".join(step for item in items for step in item.steps))


def words(split: str) -> set[str]:
    texts = [text for kinds in WORDINGS.values() for text in kinds[split]]  # type: ignore[index]
    return {word for text in texts for word in re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text).lower())}


def test_no_sentence_pattern_is_in_both_splits_but_every_word_of_the_test_is_known() -> None:
    assert set(WORDINGS) == set(KINDS)
    for kinds in WORDINGS.values():
        assert not set(kinds["train"]) & set(kinds["test"])
    assert words("test") <= words("train")


def test_generated_splits_share_no_sentence_pattern(items: list[Item]) -> None:
    def patterns(found: list[Item]) -> set[str]:
        names = r"\b([A-Z][a-z]+)\b"
        sentences = (part for item in found for part in re.split(r"(?<=[.?]) ", item.question))
        return {re.sub(names, "N", re.sub(r"\d+", "0", sentence)) for sentence in sentences}

    things = {sentence for sentence in patterns(items) & patterns(generate("arithmetic", 500, 3, "test"))}
    assert {sentence for sentence in things if "0" in sentence} == set()


def test_no_rule_that_does_not_reason_gets_far(items: list[Item]) -> None:
    rules = shortcut_accuracies(items)

    assert max(rules.values()) < 0.08, rules


def test_the_same_seed_makes_the_same_items_and_another_limit_others(items: list[Item]) -> None:
    assert generate("arithmetic", 10, seed=3) == items[:10]
    assert all(check(item, limit=40) == [] for item in generate("arithmetic", 50, seed=3, limit=40))
    assert {len(item.steps) for item in generate("arithmetic", 50, seed=3, operations=3)} == {2, 3}
    with pytest.raises(WorkbenchError, match="leaves too little to calculate"):
        generate("arithmetic", 1, seed=3, limit=5)
