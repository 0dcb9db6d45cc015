"""Where in a prompt's tokens its edges, its options and its root stand."""

import re
from dataclasses import dataclass
from itertools import pairwise

from workbench.prompts import Format, Prompt
from workbench.sentences import split_sentences

Span = tuple[int, int]
"""First column, and the one after the last, counted in `Prompt.ids`."""


@dataclass(frozen=True)
class Places:
    """Columns of a prompt."""

    edges: tuple[Span, ...]
    """Of each edge, in the order of `Problem.edges`: its sentence, in the edges format source, target and `|`."""
    options: tuple[Span, Span]
    """Of the two options in the question, in the order listed."""
    root: Span
    """Of the root in the question."""


def places(form: Format, prompt: Prompt) -> Places:
    """Return where edges, options and root stand in a prompt."""
    problem = prompt.graph
    if form.name == "edges":
        end = 1 + 3 * len(problem.edges)
        edges = tuple((start, start + 3) for start in range(1, end, 3))
        return Places(edges, ((end + 1, end + 2), (end + 2, end + 3)), (end + 4, end + 5))
    question = problem.question
    *sentences, asked = split_sentences(question)
    starts, cursor = [], 0
    for sentence in (*sentences, asked):
        cursor = question.index(sentence, cursor)
        starts.append(cursor)
        cursor += len(sentence)
    offsets = _offsets(form, question)
    edges = tuple(_columns(offsets, first, last) for first, last in pairwise(starts))
    first, second = (
        _named(offsets, question, problem.names[option], starts[-1] + len("Is ")) for option in problem.options
    )
    return Places(edges, (first, second), _named(offsets, question, problem.names[problem.root], starts[-1]))


def _offsets(form: Format, question: str) -> list[tuple[int, int]]:
    """Return the characters of each token of a prompt in the text format; markers stand for none."""
    read = form.tokenizer(question + "\n", return_offsets_mapping=True, add_special_tokens=True)
    return [(int(start), int(end)) for start, end in read["offset_mapping"]]  # type: ignore[union-attr]


def _named(offsets: list[tuple[int, int]], question: str, name: str, after: int) -> Span:
    found = re.compile(rf"\b{re.escape(name)}\b").search(question, after)
    assert found is not None, f"{name} is not asked about"
    return _columns(offsets, *found.span())


def _columns(offsets: list[tuple[int, int]], start: int, end: int) -> Span:
    """Return the tokens that share a character with start..end, blanks at its ends not counted."""
    inside = [column for column, (first, last) in enumerate(offsets) if first < end and last > start and last > first]
    return inside[0], inside[-1] + 1
