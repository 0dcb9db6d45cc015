"""ProntoQA: is it true that Alex is not shy? An own generator after the published description.

Saparov and He, arXiv 2210.01240: an ontology of fictional concepts, each a kind of the next, with properties of which
some are negated; an entity at its lower end; a question that takes a given number of rules, true or false. Coconut
(arXiv 2412.06769) uses five hops. Distractors here come as a mirror: another entity has an ontology of the same shape,
and says the opposite at each property. So every property is said once and denied once, at the same depth, and a rule
that does not follow the chain from the queried entity cannot do better than one half.
"""

import random
from collections.abc import Iterator
from itertools import pairwise, product

from workbench.errors import WorkbenchError
from workbench.tasks.item import Item
from workbench.tasks.ontology import QUERY, Claim
from workbench.tasks.prontoqa_oracle import OPTIONS, check
from workbench.tokenizer import CONCEPTS, ENTITIES

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
    """Yield items without end, each checked by the oracle; the same seed yields the same items.

    Of eight in turn four are true, four ask with "not", and in four the queried entity's side of the property is said
    before the other's; every combination comes once.

    Args:
        seed: Seed of all randomness.
        hops: Rules of the proof, 1 to 10.

    Raises:
        WorkbenchError: There are not enough names for so many hops.
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
