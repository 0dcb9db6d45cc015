"""Arithmetic items with other numbers: the story, read again from its words, comes to the twin's steps and answer."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from workbench.problems.arithmetic import THINGS, WORDINGS, Line, Story, check, sums
from workbench.problems.problem import Item
from workbench.problems.sets import generate_items
from workbench.problems.variants import number_rewrite, number_twin, renamed_story
from workbench.problems.vocabulary import ENTITIES

GSM = Item(
    "g",
    "A cook has 12 eggs, uses 5 and buys 30 more. How many eggs are there?",
    "37",
    ("<<12-5=7>>", "<<7+30=37>>"),
    "gsm8k",
    ("7", "37"),
)
PLACES = {
    "n": r"\d+",
    "m": r"\d+",
    "name": "|".join(ENTITIES),
    "other": "|".join(ENTITIES),
    "things": "|".join(THINGS),
    "box": r"\w+",
}


@pytest.fixture(scope="module", params=["train", "test"])
def items(request: pytest.FixtureRequest) -> list[Item]:
    return generate_items("arithmetic", 150, 8, request.param)


def pattern(template: str) -> re.Pattern[str]:
    """A wording as an expression: a place that it names twice must hold the same word twice."""
    parts = re.split(r"\{(\w+)\}", template)
    seen: set[str] = set()
    made = ""
    for place, part in enumerate(parts):
        if place % 2 == 0:
            made += re.escape(part)
        else:
            made += f"(?P={part})" if part in seen else f"(?P<{part}>{PLACES[part]})"
            seen.add(part)
    return re.compile(made)


PATTERNS = [
    (kind, split, place, pattern(text))
    for kind, splits in WORDINGS.items()
    for split, texts in splits.items()
    for place, text in enumerate(texts)
]


def read(text: str) -> Iterator[list[Line]]:
    """Every way to read a question as lines of a story: what its words say, nothing of its chain."""
    if not text:
        yield []
    for kind, _, place, wording in PATTERNS:
        if found := wording.match(text):
            said = found.groupdict()
            line = Line(kind, place, int(said.get("n", 0)), int(said.get("m", 0)))
            yield from ([line, *more] for more in read(text[found.end() :].lstrip()))


def recalculated(question: str) -> set[tuple[str, ...]]:
    """The steps of each reading of a question."""
    return {tuple(map(str, sums(Story("train", "", "", "", "", tuple(lines))))) for lines in read(question)}


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def test_the_steps_of_a_twin_are_those_that_its_words_ask_for(items: list[Item]) -> None:
    twins = [(item, made) for item in items if (made := number_twin(item))]

    assert len(twins) > len(items) / 2
    for item, twin in twins:
        assert recalculated(item.question) == {item.steps}  # the oracle reads what the generator meant
        assert recalculated(twin.question) == {twin.steps}
        assert check(twin) == []
        assert twin.values == tuple(re.findall(r"=(\d+)>>", " ".join(twin.steps)))
        assert twin.answer == twin.values[-1]


def test_a_twin_has_the_same_text_and_shape_and_no_result_in_common(items: list[Item]) -> None:
    for item, twin in [(item, made) for item in items if (made := number_twin(item))]:
        assert twin.id == f"{item.id}-numbers"
        assert without_numbers(twin.question) == without_numbers(item.question)
        assert [without_numbers(step) for step in twin.steps] == [without_numbers(step) for step in item.steps]
        assert all(a != b for a, b in zip(item.values, twin.values, strict=True))
        numbers, theirs = (re.findall(r"\d+", one.question) for one in (item, twin))
        assert [len(number) for number in numbers] == [len(number) for number in theirs]
        largest = max(int(number) for text in (item.question, *item.steps) for number in re.findall(r"\d+", text))
        assert max(map(int, theirs + list(twin.values))) <= largest
        assert number_twin(item) == twin


def test_a_rewrite_changes_one_number_and_the_answer(items: list[Item]) -> None:
    rewrites = [(item, made) for item in items if (made := number_rewrite(item, 3))]

    assert len(rewrites) > len(items) / 2
    for item, made in rewrites:
        numbers, theirs = (re.findall(r"\d+", one.question) for one in (item, made))
        assert sum(a != b for a, b in zip(numbers, theirs, strict=True)) == 1
        assert made.answer != item.answer
        assert recalculated(made.question) == {made.steps}
    assert any(number_rewrite(item, 4) != made for item, made in rewrites)  # the seed draws


def test_a_story_with_other_names_has_the_same_steps(items: list[Item]) -> None:
    for item in items[:50]:
        made = renamed_story(item, 1)
        assert made is not None
        assert (made.steps, made.answer) == (item.steps, item.answer)
        assert recalculated(made.question) == {item.steps}
        names, theirs = (
            {name for name in (*ENTITIES, *THINGS) if re.search(rf"\b{name}\b", one.question)} for one in (item, made)
        )
        assert len(names) == len(theirs)
        assert not names & theirs
    assert renamed_story(GSM, 1) is None


def test_items_of_gsm8k_have_twins_where_it_is_known_where_each_number_comes_from() -> None:
    twin = number_twin(GSM)
    assert twin is not None
    # What the task is called does not matter.
    assert number_twin(replace(GSM, task="own")) == replace(twin, task="own")
    one, two, three = map(int, re.findall(r"\d+", twin.question))
    assert twin.steps == (f"<<{one}-{two}={one - two}>>", f"<<{one - two}+{three}={one - two + three}>>")
    assert {one - two != 7, one - two + three != 37} == {True}


@pytest.mark.parametrize(
    "item",
    [
        replace(GSM, options=("37", "38")),  # the twin's answer would be none of them
        replace(GSM, steps=("<<12-5+30=37>>",), values=("37",)),  # no single operation
        replace(GSM, question=GSM.question.replace("30", "3.0")),
        replace(GSM, steps=("<<12-5=7>>", "<<7+31=38>>"), values=("7", "38"), answer="38"),  # 31 comes from nowhere
        replace(GSM, question=f"7 cooks. {GSM.question}"),  # is the 7 of step 2 the cooks, or the result?
        replace(GSM, question=f"12 cooks use 5 of 30 eggs. {GSM.question}"),  # which of the two 12, 5 and 30?
    ],
)  # fmt: skip
def test_where_a_number_comes_from_is_not_guessed(item: Item) -> None:
    assert number_twin(item) is None
    assert number_rewrite(item, 0) is None
