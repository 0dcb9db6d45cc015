"""ProntoQA (Saparov and He, arXiv 2210.01240): is it true that Alex is not shy? Sentences, validator, generator.

A problem is an ontology of fictional concepts, each a kind of the next, with properties of which some are negated; an
entity at its lower end; and a question that takes a given number of rules (five in Coconut, arXiv 2412.06769).

Sentences are read in the forms of the published files: "Alex is a wumpus.", "Every wumpus is an impus.", "Each wumpus
is not shy.", "Wumpuses are impuses.", "Wumpuses are not shy.", and last "True or false: Alex is not shy.". Written are
those with "Every". The validator chains forward over what the sentences say and knows nothing of the generator.

The generator is ours. Its distractors are a mirror: another entity has an ontology of the same shape that says the
opposite of each property. So every property is said once and denied once, at the same depth, and a rule that does not
follow the chain from the queried entity is right half of the time.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from workbench.errors import WorkbenchError, clip
from workbench.problems.english import split_sentences
from workbench.problems.problem import Fault, Item
from workbench.problems.vocabulary import CONCEPTS, ENTITIES

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


OPTIONS = ("True", "False")
"""What the answer may be."""

Literal = tuple[str, bool]
"""A concept or property, and whether it is negated."""


def derive(premises: Sequence[Claim], entity: str) -> dict[Literal, int]:
    """Return everything that follows about an entity, each with the number of rules that the shortest proof uses."""
    rules: dict[str, list[Literal]] = {}
    for claim in premises:
        if claim.every:
            rules.setdefault(claim.subject, []).append((claim.predicate, claim.negated))
    known = {(claim.predicate, claim.negated): 0 for claim in premises if not claim.every and claim.subject == entity}
    front = list(known)
    while front:
        following = []
        for predicate, negated in front:
            for literal in () if negated else rules.get(predicate, ()):
                if literal not in known:
                    known[literal] = known[predicate, negated] + 1
                    following.append(literal)
        front = following
    return known


def check(item: Item, hops: int | None = None) -> list[Fault]:
    """Return all faults of an item; none means that exactly its answer follows, and that its steps prove it.

    Checked: every sentence can be read; nothing follows together with its opposite; what is asked for follows, or its
    opposite does; the answer says which; each sentence of the steps is a premise or follows from what was said before
    by one rule; the last one settles the question; the proof is a shortest one. Faulty content never raises.

    Args:
        item: Any item.
        hops: Number of rules that the shortest proof must use; any by default.
    """
    premises, query, reasons = read_question(item.question)
    faults = [Fault("question", reason) for reason in reasons]
    if item.options != OPTIONS:
        faults.append(Fault("options", f"{list(item.options)} should be {list(OPTIONS)}"))
    if item.values and len(item.values) != len(item.steps):
        faults.append(Fault("values", f"{len(item.values)} values for {len(item.steps)} steps"))
    if reasons or query is None:
        return faults
    if query.every or all(query.subject != claim.subject for claim in premises):
        return [*faults, Fault("question", f'asks about "{query.subject}", of whom nothing is said')]
    known = derive(premises, query.subject)
    torn = sorted(word for word, negated in known if not negated and (word, True) in known)
    faults += [Fault("question", f"that {query.subject} is {word} follows, and that it is not") for word in torn]
    asked = (query.predicate, query.negated)
    opposite = (query.predicate, not query.negated)
    settled = [literal for literal in (asked, opposite) if literal in known]
    if not settled:
        reason = f"neither that {query.subject} is {query.predicate} follows nor that it is not"
        return [*faults, Fault("answer", reason)]
    right = "True" if asked in known else "False"
    if not torn and item.answer != right:
        faults.append(Fault("answer", f'"{clip(item.answer)}" should be "{right}"'))
    length = min(known[literal] for literal in settled)
    if hops is not None and length != hops:
        faults.append(Fault("question", f"the shortest proof uses {length} rules, not {hops}"))
    return faults + _proof(item, premises, query, length)


def _proof(item: Item, premises: Sequence[Claim], query: Claim, length: int) -> list[Fault]:
    """Return what is wrong with the steps, sentence by sentence."""
    given = {claim.meaning for claim in premises}
    said: set[tuple[str, str, bool]] = set()
    last, rules = None, 0
    for number, step in enumerate(item.steps, 1):
        sentences = split_sentences(step)
        if not sentences:
            return [Fault("steps", f"step {number} is empty")]
        for sentence in sentences:
            claim, where = read_claim(sentence), f'step {number} ("{clip(sentence)}")'
            if claim is None:
                return [Fault("steps", f"{where} has none of the forms {FORMS}")]
            follows = claim.subject == query.subject and any(
                subject == query.subject and not negated and (middle, claim.predicate, claim.negated) in said
                for subject, middle, negated in said
            )
            if claim.meaning not in given and not follows:
                return [Fault("steps", f"{where} is no premise and follows from nothing said before")]
            rules += claim.meaning in given and claim.every
            said.add(claim.meaning)
            last = claim
    if last is None:
        return [Fault("steps", "there are none")]
    if (last.subject, last.predicate) != (query.subject, query.predicate):
        return [Fault("steps", f'the last sentence, "{last}", does not settle whether "{query}"')]
    if rules != length:
        return [Fault("steps", f"the proof uses {rules} rules, but the shortest has {length}")]
    return []


HOPS = 5
"""Rules of the proof, as in Coconut."""
MOST_HOPS = 10
"""Two mirrored ontologies of this depth, with what hangs on them, still find enough names."""
PROPERTIES = tuple(
    "aggressive amenable angry bitter blue bright brown cold discordant dull earthy fast feisty floral fruity happy "
    "hot kind large liquid loud luminous mean melodic metallic moderate muffled nervous opaque orange overcast rainy "
    "red shy slow small snowy sour spicy sunny sweet temperate transparent windy wooden".split()
)
"""The 45 properties of the published generator."""

_PROPERTY = 0.4
"""Share of the chain's concepts, other than the queried one, that have a property."""
_MOST_ABOVE = 2
"""Concepts beyond the queried property's."""
_SIDES = 2
"""Concepts of the chain with a second kind, which leads nowhere."""


def prontoqa_items(seed: str, hops: int = HOPS) -> Iterator[Item]:
    """Yield items without end, each checked by `check`; the same seed yields the same items.

    Of eight in turn four are true, four ask with "not", and in four the queried entity's side of the property is said
    before the other's; every combination comes once.

    Args:
        seed: Seed of all randomness.
        hops: Rules of the proof, 1 to 10.

    Raises:
        WorkbenchError: There are not enough names for this number of hops.
    """
    if not 1 <= hops <= MOST_HOPS:
        why = f"{hops} hops are not offered: there are only {len(CONCEPTS)} concepts."
        raise WorkbenchError("Cannot generate ProntoQA problems.", why, f"Ask for 1 to {MOST_HOPS} hops.")
    rng = random.Random(seed)
    while True:
        kinds = list(product((True, False), repeat=3))
        rng.shuffle(kinds)
        for answer, negated, first in kinds:
            item = _item(rng, hops, answer, negated, first)
            faults = check(item, hops)
            if faults:
                raise AssertionError(f"a generated problem is faulty, please report it: {item} {faults}")
            yield item


def _item(rng: random.Random, hops: int, answer: bool, asked_negated: bool, own_first: bool) -> Item:
    entities = rng.sample(ENTITIES, 2)
    concepts = iter(rng.sample(CONCEPTS, len(CONCEPTS)))
    properties = iter(rng.sample(PROPERTIES, len(PROPERTIES)))
    chains = [[next(concepts) for _ in range(hops + rng.randint(0, _MOST_ABOVE))] for _ in entities]
    premises: list[Claim] = []

    def say_opposites(first: str, second: str, what: str, negated: bool) -> None:
        premises.append(Claim(first, True, what, False, negated))
        premises.append(Claim(second, True, what, False, not negated))

    for entity, chain in zip(entities, chains, strict=True):
        premises.append(Claim(entity, False, chain[0], True, False))
        premises += [Claim(low, True, high, True, False) for low, high in pairwise(chain)]
        if rng.random() < 0.5:  # an ontology may begin below the entity
            premises.append(Claim(next(concepts), True, chain[0], True, False))
    queried, holds_negated = next(properties), asked_negated == answer  # what follows is denied
    say_opposites(chains[0][hops - 1], chains[1][hops - 1], queried, holds_negated)
    for depth in range(hops - 1):
        if rng.random() < _PROPERTY:
            say_opposites(chains[0][depth], chains[1][depth], next(properties), rng.random() < 0.5)
    for depth in rng.sample(range(hops), min(_SIDES, hops)):
        sides = [next(concepts) for _ in chains]
        premises += [Claim(chain[depth], True, side, True, False) for chain, side in zip(chains, sides, strict=True)]
        say_opposites(sides[0], sides[1], next(properties), rng.random() < 0.5)
    rng.shuffle(premises)
    own, other = (
        premises.index(Claim(chain[hops - 1], True, queried, False, negated))
        for chain, negated in ((chains[0], holds_negated), (chains[1], not holds_negated))
    )
    if (own < other) != own_first:
        premises[own], premises[other] = premises[other], premises[own]

    entity, chain = entities[0], chains[0][:hops]
    query = Claim(entity, False, queried, False, asked_negated)
    ends = [*(Claim(low, True, high, True, False) for low, high in pairwise(chain))]
    ends.append(Claim(chain[-1], True, queried, False, holds_negated))
    steps = [f"{Claim(entity, False, rule.subject, True, False)} {rule}" for rule in ends]
    steps.append(str(Claim(entity, False, queried, False, holds_negated)))
    said = str(answer)
    return Item(
        id="",
        question=" ".join([*map(str, premises), f"{QUERY} {query}"]),
        answer=said,
        steps=tuple(steps),
        task="prontoqa",
        values=(*chain[1:], queried, said),
        options=OPTIONS,
    )
