"""The English of ProntoQA, both ways: what a sentence says about whom.

Read are the forms of the published files (Saparov and He, arXiv 2210.01240): "Alex is a wumpus.", "Every wumpus is an
impus.", "Each wumpus is not shy.", "Wumpuses are impuses.", "Wumpuses are not shy.", and last "True or false: Alex is
not shy.". Written are those with "Every".
"""

import re
from dataclasses import dataclass

from workbench.sentences import clip, split_sentences

QUERY = "True or false:"
"""How the last sentence of a question begins."""
FORMS = '"Alex is a wumpus", "Every wumpus is not shy", "Wumpuses are shy"'
"""Forms of a sentence, for messages."""

_EVERY = re.compile(r"(?:Every|Each) (.+?) is (not )?(an? )?(.+)")
_PLURAL = re.compile(r"(.+?) are (not )?(.+)")
_ENTITY = re.compile(r"([A-Z][\w'’-]*) is (not )?(an? )?(.+)")


@dataclass(frozen=True)
class Claim:
    """What one sentence says: that somebody, or everything of a kind, is something or is not."""

    subject: str
    """An entity, or a concept."""
    every: bool
    """Whether the subject is a concept."""
    predicate: str
    """A concept or a property."""
    kind: bool
    """Whether the sentence calls the predicate a kind of thing ("a wumpus") and not a property ("shy")."""
    negated: bool

    def __str__(self) -> str:
        """Return the sentence, with its end mark."""
        what = ("an " if self.predicate[:1] in "aeiou" else "a ") + self.predicate if self.kind else self.predicate
        return f"{'Every ' * self.every}{self.subject} is {'not ' * self.negated}{what}."

    @property
    def meaning(self) -> tuple[str, str, bool]:
        """What stays the same however it is worded: subject, predicate, whether negated."""
        return self.subject, self.predicate, self.negated


def read_claim(sentence: str) -> Claim | None:
    """Return what a sentence without its end mark says, None where it has none of the forms."""
    if match := _EVERY.fullmatch(sentence):
        return Claim(match[1].lower(), True, match[4], bool(match[3]), bool(match[2]))
    if match := _PLURAL.fullmatch(sentence):
        predicate = singular(match[3])
        return Claim(singular(match[1]).lower(), True, predicate, predicate != match[3], bool(match[2]))
    if match := _ENTITY.fullmatch(sentence):
        return Claim(match[1], False, match[4], bool(match[3]), bool(match[2]))
    return None


def read_question(text: str) -> tuple[list[Claim], Claim | None, list[str]]:
    """Read a question.

    Returns:
        The premises in their order; what is asked for, None where the last sentence does not ask; and a reason for
        each thing that cannot be read, naming its sentence.
    """
    premises: list[Claim] = []
    query: Claim | None = None
    reasons: list[str] = []
    sentences = split_sentences(text)
    for number, sentence in enumerate(sentences, 1):
        where = f'sentence {number} ("{clip(sentence)}")'
        asks = sentence.startswith(QUERY)
        claim = read_claim(sentence.removeprefix(QUERY).strip())
        if claim is None:
            reasons.append(f"{where} has none of the forms {FORMS}")
        elif asks and number < len(sentences):
            reasons.append(f"{where} asks, but is not the last sentence")
        elif asks:
            query = claim
        else:
            premises.append(claim)
    if query is None:
        reasons.append(f'the last sentence must ask, as in "{QUERY} Alex is not shy."')
    return premises, query, reasons


def singular(word: str) -> str:
    """Return the singular of a regular plural; any other word as it is ("luminous", "wumpus")."""
    for ending, instead in (("uses", "us"), ("ies", "y"), ("shes", "sh"), ("ches", "ch"), ("xes", "x")):
        if word.endswith(ending):
            return word.removesuffix(ending) + instead
    return word if word.endswith(("us", "ss")) else word.removesuffix("s")
