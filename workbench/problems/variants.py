"""Counterfactual versions of a problem: one word, one edge or numbers changed, and the answer with them.

A model that searches follows the change. A rule that never reads the queried entity cannot follow the swap; a model
that has learned the shape of the graphs cannot follow the rewrite.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar, cast

import numpy as np

from workbench.problems import graph
from workbench.problems.arithmetic import STEP, THINGS, apply, check
from workbench.problems.problem import Item, Problem
from workbench.problems.prontoqa import OPTIONS, QUERY, derive, read_question
from workbench.problems.prosqa import make_problem
from workbench.problems.vocabulary import ENTITIES

Asked = TypeVar("Asked", Problem, Item)
Edges = tuple[tuple[int, int], ...]


def twin(problem: Problem | Item) -> Problem | Item | None:
    """Return the problem that asks about another entity, so that the other option becomes right, if there is one.

    Of ProsQA that is `entity_swap`. Of ProntoQA, it asks the same about an entity of whom the opposite follows, and
    has no steps. Items of other tasks have none.
    """
    if isinstance(problem, Problem):
        return entity_swap(problem)
    if problem.task != "prontoqa":
        return None
    premises, query, _ = read_question(problem.question)
    if query is None:
        return None
    flipped = next(option for option in OPTIONS if option != problem.answer)
    for entity in sorted({claim.subject for claim in premises if not claim.every} - {query.subject}):
        known = derive(premises, entity)
        asked, opposite = ((query.predicate, query.negated is same) for same in (True, False))
        if (asked in known) != (opposite in known) and (asked in known) == (flipped == "True"):
            given, mark, rest = problem.question.rpartition(QUERY)
            question = f"{given}{mark}{rest.replace(query.subject, entity, 1)}"
            return Item(f"{problem.id}-swap", question, flipped, (), problem.task, options=OPTIONS)
    return None


def entity_swap(problem: Problem) -> Problem | None:
    """Return the problem that asks about another entity, so that the other option becomes right.

    Only the entity's name changes in the question. In the released files the other entity is node 1 - root, one of
    the two special roots. In general it is any entity from which the negative can be reached and the target cannot:
    node 1 - root if possible, else the lowest number. The id gets the suffix "-swap".

    Returns:
        The counterfactual problem, or None if no entity has the other answer.
    """
    up_target = graph.reachable(problem.adjacency.T, problem.target)
    up_negative = graph.reachable(problem.adjacency.T, problem.negative)
    open_roots = [node for node in problem.entities if up_negative[node] and not up_target[node]]
    if not open_roots:
        return None
    root = 1 - problem.root if 1 - problem.root in open_roots else open_roots[0]
    return _changed(problem, "swap", root=root, turned=True)


def other_target(problem: Problem, seed: int) -> Problem | None:
    """Return the problem that names another leaf in the target's place: the same graph, root and other option.

    What a thought holds of the paths to the first target, although another is asked for, is no judgement of that
    target. The leaf is reached from the root and is not the negative; it is drawn by seed and id, among those as far
    from the root as the target where there are any, else among all. The id gets the suffix "-other-target".

    Returns:
        The problem, or None if the root reaches no other leaf. Compare `graph.structure(...).length` of the two for
        whether it is as far.
    """
    depth = graph.hops(problem.adjacency, problem.root)
    leaves = (depth > 0) & ~problem.adjacency.any(axis=1)
    leaves[[problem.target, problem.negative]] = False
    near = leaves & (depth == depth[problem.target])
    open_ = np.flatnonzero(near if near.any() else leaves)
    if not open_.size:
        return None
    target = int(generator_of(problem, seed).choice(open_))
    return make_problem(
        f"{problem.id}-other-target", problem.names, problem.edges, problem.root, target, problem.negative,
        problem.options[0] == problem.target, entities=problem.entities,
    )  # fmt: skip


def edge_rewrites(problem: Problem) -> list[Problem]:
    """Return every problem in which one edge ends elsewhere and the other option becomes right.

    These are the single-edge rewrites of arXiv 2607.06648. The new destination is no entity, no present child, and
    closes no cycle; afterwards the negative can be reached and the target cannot. One sentence's last word changes in
    the question. The id gets the suffix "-rewrite-EDGE-NODE": the edge's place in `edges` and its new destination.
    A concept may lose its only parent in this way, the target its only sentence; it stays a concept.

    Returns:
        The counterfactual problems in the order of edges, then of new destinations; none if no edge is a bridge to
        the target.
    """
    eligible = np.ones(len(problem.names), dtype=bool)
    eligible[list(problem.entities)] = False
    matrix = problem.adjacency.copy()
    found = []
    for place, (source, destination) in enumerate(problem.edges):
        matrix[source, destination] = False
        reached = graph.reachable(matrix, problem.root)
        if reached[source] and not reached[problem.target]:  # else no new destination changes the answer
            up_target = graph.reachable(matrix.T, problem.target)
            up_negative = graph.reachable(matrix.T, problem.negative)
            up_source = graph.reachable(matrix.T, source)  # the source itself too: no edge to itself
            open_nodes = eligible & ~problem.adjacency[source] & ~up_source & up_negative & ~up_target
            for node in np.flatnonzero(open_nodes).tolist():
                found.append(
                    _changed(problem, f"rewrite-{place}-{node}", _elsewhere(problem, place, node), turned=True)
                )
        matrix[source, destination] = True
    return found


def drawn_rewrite(problem: Problem, seed: int, rewrites: Sequence[Problem] | None = None) -> Problem | None:
    """Return one of the edge rewrites, drawn by seed and id: the same whatever file the problem is in.

    Args:
        problem: A sound problem.
        seed: Seed of the draw.
        rewrites: `edge_rewrites(problem)`, if it is known already.

    Returns:
        The rewrite, or None if there is none.
    """
    rewrites = edge_rewrites(problem) if rewrites is None else rewrites
    return rewrites[int(generator_of(problem, seed).integers(len(rewrites)))] if rewrites else None


def generator_of(problem: Problem | Item, seed: int) -> np.random.Generator:
    """Return a random generator that depends on the seed and the problem's id alone."""
    return np.random.default_rng([seed, zlib.crc32(problem.id.encode())])


def _elsewhere(problem: Problem, place: int, node: int) -> Edges:
    """Return the edges, one of them ending at another node."""
    return (*problem.edges[:place], (problem.edges[place][0], node), *problem.edges[place + 1 :])


def _changed(
    problem: Problem, suffix: str, edges: Edges | None = None, root: int | None = None, *, turned: bool = False,
    exchanged: bool = False,
) -> Problem:  # fmt: skip
    """Return the problem with other edges or another root, the answer turned, or the options listed the other way."""
    target, negative = (problem.negative, problem.target) if turned else (problem.target, problem.negative)
    first = (problem.options[0] == target) != exchanged
    return make_problem(
        f"{problem.id}-{suffix}", problem.names, problem.edges if edges is None else edges,
        problem.root if root is None else root, target, negative, first, entities=problem.entities,
    )  # fmt: skip


# The same answer: controls of what changes it


def harmless_rewrite(problem: Problem, seed: int) -> Problem | None:
    """Return the problem with one edge ending elsewhere and the same answer: the control of a rewrite.

    As in `edge_rewrites`, the new destination is no entity, no present child, and closes no cycle. The root still
    reaches the target and not the negative. Only edges that leave a node within the root's reach are moved, since
    those are what a rewrite moves. None where there is no such edge.
    """
    entities, rng = problem.entities, generator_of(problem, seed)
    reach = graph.reachable(problem.adjacency, problem.root)
    for place in rng.permutation(len(problem.edges)).tolist():
        source, destination = problem.edges[place]
        matrix = problem.adjacency.copy()
        matrix[source, destination] = False
        closed = problem.adjacency[source] | graph.reachable(matrix.T, source)
        for node in rng.permutation(np.flatnonzero(~closed)).tolist() if reach[source] else ():
            matrix[source, node] = True
            reached = graph.reachable(matrix, problem.root)
            matrix[source, node] = False
            if node not in entities and reached[problem.target] and not reached[problem.negative]:
                return _changed(problem, f"harmless-{place}-{node}", _elsewhere(problem, place, node))
    return None


def reordered(problem: Asked, seed: int) -> Asked:
    """Return the problem with its sentences in another order: the same premises, question and answer."""
    if isinstance(problem, Item):
        *said, asked = re.split(r"(?<=\.) (?!$)", problem.question)
        order = generator_of(problem, seed).permutation(len(said))
        return replace(
            problem, id=f"{problem.id}-reordered", question=" ".join([*(said[place] for place in order), asked])
        )
    order = generator_of(problem, seed).permutation(len(problem.edges)).tolist()
    return cast(Asked, _changed(problem, "reordered", tuple(problem.edges[place] for place in order)))


def other_root(problem: Problem) -> Problem | None:
    """Return the problem that asks about another entity of the same answer, None where there is no such entity."""
    target, negative = (graph.reachable(problem.adjacency.T, option) for option in (problem.target, problem.negative))
    open_ = [node for node in problem.entities if target[node] and not negative[node]]
    others = [node for node in open_ if node != problem.root]
    return _changed(problem, "other-root", root=others[0]) if others else None


def options_exchanged(problem: Problem) -> Problem:
    """Return the problem that lists its options in the other order."""
    return _changed(problem, "exchanged", exchanged=True)


def in_names_of(donor: Problem, problem: Problem, seed: int) -> Problem:
    """Return another problem in the names of this one: another graph, the same answer.

    Root and options have the names that they have in `problem`. The other nodes get names of its other nodes at random;
    if there are not enough, they keep their own names.

    Args:
        donor: Whose graph it is.
        problem: Whose names it bears.
        seed: Of the draw.
    """
    rng, theirs, entities = generator_of(problem, seed), donor.entities, problem.entities
    names = {getattr(donor, one): problem.names[getattr(problem, one)] for one in ("root", "target", "negative")}
    for is_entity in (True, False):
        own = [name for node, name in enumerate(donor.names) if (node in theirs) == is_entity]
        here = [name for node, name in enumerate(problem.names) if (node in entities) == is_entity]
        free = [name for name in rng.permutation(here).tolist() if name not in names.values()]
        pool = iter([*free, *(name for name in own if name not in problem.names)])
        for node in range(len(donor.names)):
            if (node in theirs) == is_entity and node not in names:
                names[node] = next(pool)
    return make_problem(
        f"{problem.id}-renamed", [names[node] for node in range(len(names))], donor.edges,
        donor.root, donor.target, donor.negative, donor.options[0] == donor.target, entities=theirs,
    )  # fmt: skip


# Other numbers in an arithmetic item
#
# They are made from the question and the chain alone, whatever the task is called: items of GSM8k and of one's own have
# them too where every step is one operation on whole numbers (`arithmetic.check`). An operand is taken for the only
# number or earlier result of its value. Where an operand could be either, or either of two results, nothing is changed,
# for it is not known what would follow. A number is changed only where no other number of the question and no other
# operand has its value.

LEAST = 2
"""Smallest number that is changed, and that one is changed to: "1 apple" is said otherwise than "2 apples"."""
TRIES = 20_000
"""Operations calculated before no twin is said to exist."""

_WHOLE, _PARTED = re.compile(r"\b\d+\b"), re.compile(r"\d[.,]\d")
_CALCULATION = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True)
class _Operand:
    """A number of a step and where it comes from: a place in the question, an earlier step, or neither for sure."""

    value: int
    place: int | None = None
    step: int | None = None


_Operation = tuple[str, _Operand, _Operand, int]
"""Symbol, operands and result of a step."""


def calculates(problem: Problem | Item) -> bool:
    """Return whether a step of a problem is a calculation, "<<...>>": then its twin would be one of other numbers."""
    return isinstance(problem, Item) and any(_CALCULATION.search(step) for step in problem.steps)


def number_twin(item: Item) -> Item | None:
    """Return the item with other numbers in the same text: the chain has the same shape, and every result differs.

    As few numbers are changed as are needed, later ones last. No number is larger than the largest of the item, and
    those changed keep their number of digits. The id gets the suffix "-numbers".

    Returns:
        The twin, or None where none was found: the steps are no sums of whole numbers, where a number comes from is
        not known, or no numbers fit.
    """
    chain = _chain(item)
    if chain is None:
        return None
    rng, largest = generator_of(item, 0), _largest(item)
    options = {place: [value, *_others(value, largest, rng)] for place, value in _changeable(chain).items()}
    found = next(_versions(chain, options, largest, differ=True, budget=iter(range(TRIES))), None)
    return found and _written(item, "numbers", chain, *found)


def number_rewrite(item: Item, seed: int) -> Item | None:
    """Return the item with one number of its question changed and with it the answer, drawn by seed and id.

    Results that do not depend on the number stay. Otherwise as `number_twin`; the id gets the suffix "-number".
    """
    chain = _chain(item)
    if chain is None:
        return None
    rng, largest, free = generator_of(item, seed), _largest(item), _changeable(chain)
    for place in rng.permutation(sorted(free)).tolist():
        options = {one: [value] for one, value in free.items()} | {place: _others(free[place], largest, rng)}
        for chosen, results in _versions(chain, options, largest, differ=False, budget=iter(range(TRIES))):
            if str(results[-1]) != item.answer:
                return _written(item, "number", chain, chosen, results)
    return None


def renamed_story(item: Item, seed: int) -> Item | None:
    """Return a generated story about other people and other things: the same numbers, steps and answer.

    Names are drawn by seed and id. None for items of other tasks, whose names are not known.
    """
    if item.task != "arithmetic":
        return None
    rng, new = generator_of(item, seed), dict[str, str]()
    for names in (ENTITIES, THINGS):
        said = [name for name in names if re.search(rf"\b{name}\b", item.question)]
        others = rng.permutation([name for name in names if name not in said]).tolist()
        new |= dict(zip(said, others, strict=False))
    words = re.compile("|".join(rf"\b{name}\b" for name in new))
    question = words.sub(lambda found: new[found[0]], item.question) if new else item.question
    return replace(item, id=f"{item.id}-renamed", question=question) if question != item.question else None


def _chain(item: Item) -> list[_Operation] | None:
    """Return the operations of an item with the sources of their numbers, None where these are not known."""
    if check(item) or _PARTED.search(item.question):
        return None
    found = [match for step in item.steps if (match := STEP.fullmatch(step))]
    read = [(int(match[1]), match[2], int(match[3]), int(match[4])) for match in found]
    places: dict[int, list[int]] = {}
    for number in _WHOLE.finditer(item.question):
        places.setdefault(int(number[0]), []).append(number.start())
    used = Counter(operand for left, _, right, _ in read for operand in (left, right))
    results, chain = list[int](), list[_Operation]()
    for left, symbol, right, result in read:
        operands = []
        for value in (left, right):
            steps, said = [step for step, before in enumerate(results) if before == value], places.get(value, [])
            if len(steps) > 1 or (steps and said):
                return None
            alone = value >= LEAST and len(said) == 1 and used[value] == 1
            operands.append(_Operand(value, said[0] if alone else None, steps[0] if steps else None))
        first, second = operands
        chain.append((symbol, first, second, result))
        results.append(result)
    return chain


def _changeable(chain: Sequence[_Operation]) -> dict[int, int]:
    """Return the numbers of the question that may be changed, by their places, in the order of the steps."""
    return {one.place: one.value for _, *operands, _ in chain for one in operands if one.place is not None}


def _largest(item: Item) -> int:
    return max(int(number) for text in (item.question, *item.steps) for number in re.findall(r"\d+", text))


def _others(value: int, largest: int, rng: np.random.Generator) -> list[int]:
    """Return other numbers of as many digits in random order, at most a hundred of them."""
    low, high = max(LEAST, 10 ** (len(str(value)) - 1)), min(10 ** len(str(value)) - 1, largest)
    drawn = rng.permutation(
        np.unique(rng.integers(low, high + 1, 100) if high - low > 100 else np.arange(low, high + 1))
    )
    return [number for number in drawn.tolist() if number != value]


def _versions(
    chain: Sequence[_Operation],
    options: Mapping[int, Sequence[int]],
    largest: int,
    *,
    differ: bool,
    budget: Iterator[int],
    results: tuple[int, ...] = (),
) -> Iterator[tuple[dict[int, int], tuple[int, ...]]]:
    """Yield numbers by place, and the results that they give: whole, from 1 to the largest.

    Args:
        chain: The operations.
        options: What each number may be, by its place.
        largest: Of all numbers.
        differ: Whether no result may be that of the chain.
        budget: Operations that may still be calculated.
        results: Those of the steps before.
    """
    if len(results) == len(chain):
        yield {}, results
        return
    symbol, left, right, before = chain[len(results)]
    for one in _values(left, options, results):
        for other in _values(right, options, results):
            if next(budget, None) is None:
                return
            result = apply(symbol, Fraction(one), Fraction(other)) if symbol != "/" or other else Fraction(0)
            if result.denominator != 1 or not 1 <= result <= largest or (differ and result == before):
                continue
            now = {
                operand.place: value for operand, value in ((left, one), (right, other)) if operand.place is not None
            }
            later = _versions(chain, options, largest, differ=differ, budget=budget, results=(*results, int(result)))
            yield from ((now | chosen, made) for chosen, made in later)


def _values(operand: _Operand, options: Mapping[int, Sequence[int]], results: Sequence[int]) -> Sequence[int]:
    if operand.step is not None:
        return [results[operand.step]]
    return [operand.value] if operand.place is None else options[operand.place]


def _written(
    item: Item, suffix: str, chain: Sequence[_Operation], chosen: Mapping[int, int], results: tuple[int, ...]
) -> Item:
    """Write the item with other numbers at some places of its question, and the chain that follows from them."""
    question = _WHOLE.sub(lambda found: str(chosen.get(found.start(), found[0])), item.question)
    told = {place: [number] for place, number in chosen.items()}
    steps = tuple(
        f"<<{_values(left, told, results)[0]}{symbol}{_values(right, told, results)[0]}={result}>>"
        for (symbol, left, right, _), result in zip(chain, results, strict=True)
    )
    values = tuple(map(str, results)) if item.values else ()
    return replace(
        item, id=f"{item.id}-{suffix}", question=question, steps=steps, values=values, answer=str(results[-1])
    )
