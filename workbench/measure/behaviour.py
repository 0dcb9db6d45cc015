"""The category of a model's written explanation after k thoughts (Coconut v3, section 4).

The input is a continuation as a trace holds it, one sentence per step and the answer last:
"Tom is a terpus. Every terpus is a brimpus. ### Tom is a brimpus."
Line breaks and blanks are alike. "### " before the answer may be missing; the last sentence is then the
answer if it is about the root. The `edges` format, "| Tom terpus | terpus brimpus [A] brimpus", is read as
well.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Literal

from workbench.problems.english import read_edge, split_sentences
from workbench.problems.graph import structure, walk_frontier
from workbench.problems.problem import Problem


class Behaviour(StrEnum):
    """The categories, exclusive and exhaustive."""

    CORRECT_PATH = "Correct Path"
    """A shortest path to the target, or the rest of one, and the right answer."""
    LONGER_PATH = "Longer Path"
    """A valid path to the target that is not a shortest one, and the right answer."""
    HALLUCINATION = "Hallucination"
    """A step that is no edge, steps that do not join, or a beginning that no path from the root reaches."""
    WRONG_TARGET = "Wrong Target"
    """A valid path, but it or the answer after it ends somewhere other than the target."""
    CORRECT_LABEL = "Correct Label"
    """No steps, and the right answer."""
    INCORRECT_LABEL = "Incorrect Label"
    """No steps, and a wrong answer of the right form."""
    INVALID_FORMAT = "Invalid Format"
    """Not steps and an answer: other words, an unfinished chain, nothing. Apart from the paper's six."""


@dataclass(frozen=True)
class Explanation:
    """A continuation taken apart."""

    steps: tuple[tuple[str, str], ...]
    """(source, target) names of each step."""
    answer: tuple[str, str] | None
    """(subject, concept) of the answer, None if there is none."""
    well_formed: bool
    """Whether all of the text was steps and one answer at the end."""


def parse_continuation(text: str, problem: Problem) -> Explanation:
    """Take a continuation apart into steps and answer.

    Args:
        text: Sentences, then the answer with or without "### "; or the same in the `edges` format.
        problem: What was asked. A known name in the wrong form ("Every Tom is a terpus.") is not well formed.
    """
    if "|" in text or "[A]" in text:
        return _parse_edges(text, problem)
    root = problem.names[problem.root]
    concepts = structure(problem).concepts
    entities = {name for name, concept in zip(problem.names, concepts, strict=True) if not concept}
    chain, marker, last = text.partition("###")
    sentences = split_sentences(chain)
    if marker and len(sentences) == 1 and sentences[0] in ("Every", f"{root} is a"):
        sentences = []  # the forced opening of a step that the model did not take up
    read = [read_edge(sentence) for sentence in sentences]
    answers = [read_edge(sentence) for sentence in split_sentences(last)]
    # Without a marker "Tom is a lempus." is the answer in last place, and the first step in any other.
    if not marker and read and read[-1] and read[-1][0] == root:
        answers = [read.pop()]
    steps = [step for step in read if step]
    answer = answers[0] if len(answers) == 1 else None
    said = [*steps, *([answer] if answer else [])]
    right_form = all(entity == (source in entities) for source, _, entity in said if source in problem.names)
    return Explanation(
        tuple((source, destination) for source, destination, _ in steps),
        (answer[0], answer[1]) if answer else None,
        bool(answer) and right_form and len(steps) == len(read),
    )


def _parse_edges(text: str, problem: Problem) -> Explanation:
    """Read "| a b | b c [A] c": a bar before each step; one before the answer does no harm."""
    chain, marker, last = text.partition("[A]")
    parts = [part.split() for part in chain.split("|") if part.strip()]
    if marker and parts == [[problem.names[problem.root]]]:
        parts = []  # the forced opening of a step that the model did not take up
    answers = last.split()
    return Explanation(
        tuple((part[0], part[1]) for part in parts if len(part) == 2),
        (problem.names[problem.root], answers[0]) if len(answers) == 1 else None,
        bool(marker) and len(answers) == 1 and all(len(part) == 2 for part in parts),
    )


def classify(
    problem: Problem, continuation: str, thoughts: int, *, prefix: Literal["exact", "any"] = "exact"
) -> Behaviour:
    """Say which category a continuation after k thoughts falls into (Coconut v3, section 4).

    After k > 0 thoughts the steps are the rest of a path whose beginning was thought and not written. The
    paper leaves open how long that beginning may be.

    Args:
        problem: The problem asked.
        continuation: The model's words after the thoughts (see the module's docstring).
        thoughts: Thoughts before it, k >= 0.
        prefix: "exact": the unwritten beginning has exactly k edges, and the path is shortest if k + written
            steps is the shortest length. "any": it may have any length, and is taken to be as short as it can
            be. For k = 0 there is no unwritten beginning and both are the same.
    """
    said = parse_continuation(continuation, problem)
    if not said.well_formed:
        return Behaviour.INVALID_FORMAT
    right = said.answer == (problem.names[problem.root], problem.names[problem.target])
    if not said.steps:
        return Behaviour.CORRECT_LABEL if right else Behaviour.INCORRECT_LABEL
    node = {name: index for index, name in enumerate(problem.names)}
    steps = [(node.get(source, -1), node.get(target, -1)) for source, target in said.steps]
    joined = all(before[1] == after[0] for before, after in pairwise(steps))
    if not joined or not set(steps) <= set(problem.edges):
        return Behaviour.HALLUCINATION
    start, end = steps[0][0], steps[-1][1]
    about = structure(problem)
    if thoughts == 0 or prefix == "any":
        beginning = int(about.hops[start])
        possible = start == problem.root if thoughts == 0 else beginning >= 0
    else:
        beginning = thoughts
        possible = bool(walk_frontier(problem.adjacency, problem.root, thoughts)[start])
    if not possible:
        return Behaviour.HALLUCINATION
    if end != problem.target or not right:
        return Behaviour.WRONG_TARGET
    shortest = beginning + len(steps) == about.length
    return Behaviour.CORRECT_PATH if shortest else Behaviour.LONGER_PATH
