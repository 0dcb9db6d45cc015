"""Every category of the paper, at k = 0 and with a beginning left unsaid, in both notations."""

from itertools import pairwise

import pytest

from workbench.measure.behaviour import Behaviour, classify, parse_continuation
from workbench.problems.problem import Problem
from workbench.problems.prosqa import parse_question

B = Behaviour
# Tom - terpus - brimpus - lempus is shortest (3); Tom - rompus - yumpus - brimpus - lempus is longer (4).
TEXT = (
    "Tom is a terpus. Tom is a rompus. Every terpus is a brimpus. Every rompus is a yumpus. Every yumpus is a brimpus. "
    "Every brimpus is a lempus. Every brimpus is a zumpus. Alex is a gorpus. Every gorpus is a scrompus. "
    "Is Tom a lempus or scrompus?"
)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return parse_question(TEXT)


def words(path: str, answer: str) -> str:
    """Spell "Tom terpus brimpus" as sentences, the answer last."""
    names = path.split()
    steps = [f"{a} is a {b}." if a[0].isupper() else f"Every {a} is a {b}." for a, b in pairwise(names)]
    return "\n".join([*steps, f"### Tom is a {answer}."])


def edges(path: str, answer: str) -> str:
    """The same in the notation of the edges format."""
    names = path.split()
    return " ".join([*(f"| {a} {b}" for a, b in pairwise(names)), "[A]", answer])


@pytest.mark.parametrize("spell", [words, edges])
@pytest.mark.parametrize(
    ("path", "answer", "thoughts", "category"),
    [
        ("Tom terpus brimpus lempus", "lempus", 0, B.CORRECT_PATH),
        ("Tom rompus yumpus brimpus lempus", "lempus", 0, B.LONGER_PATH),
        ("Tom terpus lempus", "lempus", 0, B.HALLUCINATION),  # no such edge
        ("Tom terpus brimpus florpus", "lempus", 0, B.HALLUCINATION),  # no such name
        ("terpus brimpus lempus", "lempus", 0, B.HALLUCINATION),  # does not begin at the root
        ("gorpus scrompus", "scrompus", 2, B.HALLUCINATION),  # nothing from the root leads there
        ("Tom terpus brimpus zumpus", "zumpus", 0, B.WRONG_TARGET),
        ("Tom terpus brimpus", "lempus", 0, B.WRONG_TARGET),  # stops short
        ("Tom terpus brimpus lempus", "scrompus", 0, B.WRONG_TARGET),  # right path, other answer
        ("", "lempus", 0, B.CORRECT_LABEL),
        ("", "lempus", 6, B.CORRECT_LABEL),
        ("", "scrompus", 6, B.INCORRECT_LABEL),
        ("terpus brimpus lempus", "lempus", 1, B.CORRECT_PATH),
        ("brimpus lempus", "lempus", 2, B.CORRECT_PATH),
        ("rompus yumpus brimpus lempus", "lempus", 1, B.LONGER_PATH),
        ("brimpus lempus", "lempus", 3, B.LONGER_PATH),  # three edges to brimpus: by rompus and yumpus
        ("brimpus lempus", "lempus", 1, B.HALLUCINATION),  # one edge does not lead to brimpus
        ("brimpus zumpus", "zumpus", 2, B.WRONG_TARGET),
        ("Tom terpus brimpus lempus", "lempus", 2, B.HALLUCINATION),  # two edges do not lead to the root
    ],
)
def test_category(problem, spell, path, answer, thoughts, category):
    assert classify(problem, spell(path, answer), thoughts) is category


@pytest.mark.parametrize(
    ("path", "thoughts", "category"),
    [
        ("brimpus lempus", 1, B.CORRECT_PATH),
        ("brimpus lempus", 5, B.CORRECT_PATH),
        ("yumpus brimpus lempus", 1, B.LONGER_PATH),
        ("Tom terpus brimpus lempus", 2, B.CORRECT_PATH),
        ("gorpus scrompus", 2, B.HALLUCINATION),
        ("brimpus lempus", 0, B.HALLUCINATION),  # with no thoughts there is no unsaid beginning
    ],
)
def test_unsaid_beginning_of_any_length(problem, path, thoughts, category):
    assert classify(problem, words(path, "lempus"), thoughts, prefix="any") is category


def test_steps_that_do_not_join_are_a_hallucination(problem):
    said = "Tom is a terpus. Every brimpus is a lempus. ### Tom is a lempus."
    assert classify(problem, said, 0) is B.HALLUCINATION


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Every",
        "lempus lempus lempus",
        "Every terpus is a brimpus. Every brimpus is a lempus.",  # no answer
        "Tom is a terpus. ### Tom is a lempus. Tom is a scrompus.",
        "Every Tom is a terpus. ### Tom is a lempus.",
        "### Every Tom is a lempus.",
        "| Tom terpus | brimpus | [A] lempus",
        "| Tom terpus | terpus brimpus",
        "| [A]",
        "| [A] lempus scrompus",
    ],
)
def test_other_forms_are_invalid(problem, said):
    assert classify(problem, said, 0) is B.INVALID_FORMAT


@pytest.mark.parametrize(
    ("said", "category"),
    [
        ("Tom is a lempus.", B.CORRECT_LABEL),
        ("Tom is a terpus. Every terpus is a brimpus. Every brimpus is a lempus. Tom is a lempus.", B.CORRECT_PATH),
        ("Every### Tom is a lempus.", B.CORRECT_LABEL),
        ("Tom is a### Tom is a scrompus.", B.INCORRECT_LABEL),
        ("| Tom [A] lempus", B.CORRECT_LABEL),
        ("Alex is a terpus. ### Alex is a lempus.", B.HALLUCINATION),
        ("### Alex is a lempus.", B.INCORRECT_LABEL),
    ],
)
def test_answers_without_marker_openings_left_alone_and_other_subjects(problem, said, category):
    assert classify(problem, said, 0) is category


def test_parse_keeps_what_it_can_read(problem):
    said = parse_continuation("Tom is a terpus. Nonsense here. ### Tom is a lempus.", problem)
    assert said.steps == (("Tom", "terpus"),)
    assert said.answer == ("Tom", "lempus")
    assert not said.well_formed
