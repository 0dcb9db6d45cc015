"""The English of ProsQA: sentences to names, names to sentences (Coconut, arXiv 2412.06769, appendix A.2).

Three forms: "Tom is a terpus." says an edge from an entity, "Every terpus is a brimpus." one from a concept,
and the last sentence asks: "Is Tom a lempus or scrompus?".
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workbench.errors import clip

NAME = r"[^\W_][\w'’-]{0,63}"
"""Pattern of a name: one word of at most 64 characters that starts with a letter or digit."""

MOST_CHARACTERS = 500_000
"""The longest question read; ProsQA has up to 1,376 characters."""
FORMS = '"Tom is a terpus.", "Every terpus is a brimpus.", "Is Tom a lempus or scrompus?"'
"""The three forms, for messages."""

_EVERY = re.compile(rf"Every ({NAME}) is an? ({NAME})")
_ENTITY = re.compile(rf"(?!Every )({NAME}) is an? ({NAME})")
_QUERY = re.compile(rf"Is ({NAME}) an? ({NAME}) or (?:an? )?({NAME})")
_SENTENCE = re.compile(r"[^.?!]*[.?!]|[^.?!]+$")


@dataclass(frozen=True)
class Question:
    """What a question text says, in names."""

    edges: tuple[tuple[str, str], ...]
    """(source, destination) names, in the order of the sentences."""
    entities: frozenset[str]
    """Names used in the form without "Every"."""
    root: str
    """The name asked about; empty where no sentence asks."""
    options: tuple[str, str]
    """The two options in the order given; empty names where no sentence asks."""


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text without their end marks, white space squeezed."""
    parts = (" ".join(part.split()).rstrip(".?! ") for part in _SENTENCE.findall(text))
    return [part for part in parts if part]


def read_edge(sentence: str) -> tuple[str, str, bool] | None:
    """Return (source, destination, source is an entity) of a sentence without end mark, else None."""
    if match := _EVERY.fullmatch(sentence):
        return match[1], match[2], False
    if match := _ENTITY.fullmatch(sentence):
        return match[1], match[2], True
    return None


def read_question(text: str) -> tuple[Question, list[str]]:
    """Read a question text and say everything that is wrong with it.

    Returns:
        What could be read, and one reason for each thing that is wrong, each naming its sentence. With
        reasons given the question may be incomplete.
    """
    said: list[tuple[str, str, str, bool]] = []  # where, source, destination, is an entity's sentence
    root, options, reasons = "", ("", ""), []
    sentences = split_sentences(text)
    for number, sentence in enumerate(sentences, 1):
        where = f'sentence {number} ("{clip(sentence)}")'
        if asked := _QUERY.fullmatch(sentence):
            if number < len(sentences):
                reasons.append(f"{where} asks, but is not the last sentence")
            root, options = asked[1], (asked[2], asked[3])
        elif edge := read_edge(sentence):
            said.append((where, *edge))
        else:
            reasons.append(f"{where} has none of the three forms {FORMS}")
    if not root:
        reasons.append('the last sentence must ask, as in "Is Tom a lempus or scrompus?"')
    entities = frozenset(source for _, source, _, entity in said if entity)
    seen: set[tuple[str, str]] = set()
    for where, source, destination, entity in said:
        if source == destination:
            reasons.append(f"{where} says that {source} is a {source}")
        if (source, destination) in seen:
            reasons.append(f"{where} repeats an earlier sentence")
        if source in entities and not entity:
            reasons.append(f"{where} speaks of every {source}, but another sentence makes {source} an entity")
        if destination in entities:
            reasons.append(f"{where} puts the entity {destination} where a concept belongs")
        seen.add((source, destination))
    edges = tuple((source, destination) for _, source, destination, _ in said)
    return Question(edges, entities, root, options), reasons


def asks(text: str) -> bool:
    """Return whether a text ends as a question of ProsQA does: "Is Tom a lempus or scrompus?"."""
    sentences = split_sentences(text)
    return bool(sentences) and _QUERY.fullmatch(sentences[-1]) is not None


def is_a(source: str, destination: str, entity: bool) -> str:
    """Return an edge as a sentence: "Tom is a terpus." from an entity, "Every terpus is a brimpus." else."""
    return f"{source} is a {destination}." if entity else f"Every {source} is a {destination}."


def question_text(
    names: Sequence[str],
    edges: Sequence[tuple[int, int]],
    root: int,
    options: tuple[int, int],
    entities: Collection[int] | None = None,
) -> str:
    """Return the question in words: one sentence per edge in the order given, then the one that asks.

    Args:
        names: Name of each node.
        edges: (source, destination) nodes, in the order wanted.
        root: The entity asked about.
        options: The two concepts of the question, in the order wanted.
        entities: Nodes written as "Tom is a ..."; by default those without parents.
    """
    if entities is None:
        entities = parentless(len(names), edges)
    said = [is_a(names[source], names[destination], source in entities) for source, destination in edges]
    return " ".join([*said, f"Is {names[root]} a {names[options[0]]} or {names[options[1]]}?"])


def parentless(nodes: int, edges: Sequence[tuple[int, int]]) -> frozenset[int]:
    """Return the nodes of 0..nodes-1 that are no edge's destination."""
    return frozenset(range(nodes)) - {destination for _, destination in edges}
