"""The oracle of ProntoQA: forward chaining over what the sentences say, blind to how the question was made."""

from collections.abc import Sequence

from workbench.oracle import Fault
from workbench.sentences import clip, split_sentences
from workbench.tasks.item import Item
from workbench.tasks.ontology import FORMS, Claim, read_claim, read_question

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
