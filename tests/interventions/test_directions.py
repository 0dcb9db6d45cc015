"""Directions of nodes taken out, moved, added and superposed, against least squares in a plain loop; sets by hand."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.conftest import chain
from tests.plain_loop import (
    PROBLEMS,
    Case,
    bank,
    check,
    check_unchanged,
    checkpoint,
    close,
    forest,
    rows_of,
    ways,
)
from workbench.errors import WorkbenchError
from workbench.interventions.base import Context, Intervention
from workbench.interventions.nodes import SETS, NodeSets, members, node_values
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Add, Move, Project, Superpose, Swap, Zero
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem

FRONTIER = {1: [2, 3], 2: [4, 5, 6], 3: [7]}
"""Of the forest, by hand."""

Formula = Callable[[Tensor, Tensor], Tensor]
"""Given the nodes' directions [m, d], in double precision, and the thought [d]."""


def frontier(problem: Problem, k: int) -> list[int]:
    """Return the frontier at hop k, by hand: of a chain there is node k + 1, up to the target."""
    return FRONTIER[k] if problem.id == "forest" else [k + 1] if k + 1 <= problem.target else []


def coefficients(units: Tensor, v: Tensor) -> Tensor:
    """Solve for the coefficients of the nearest point of the span."""
    return torch.linalg.lstsq(units.T, v[:, None], driver="gelsd").solution[:, 0]


def without(units: Tensor, v: Tensor) -> Tensor:
    return v - units.T @ coefficients(units, v)


def moved(old: Tensor, new: Tensor, share: float, v: Tensor) -> Tensor:
    has = coefficients(old, v)
    return v - share * old.T @ has + share * has.sum() * new.sum(0) / len(new)


def swapped(units: Tensor, size: int, share: float, v: Tensor) -> Tensor:
    """The first `size` nodes against the others: what both sides have is taken out, and put in crosswise."""
    has, old, new = coefficients(units, v), units[:size], units[size:]
    crossed = has[size:].sum() * old.mean(0) + has[:size].sum() * new.mean(0)
    return v + share * (crossed - units.T @ has)


def added(units: Tensor, v: Tensor) -> Tensor:
    total = units.sum(0)
    return v + 0.5 * v.norm() * total / total.norm()


@pytest.mark.parametrize(("kind", "space"), [("llama", "embedding"), ("llama", "unembedding"), ("text", "learned")])
def test_each_is_its_formula(kind: str, space: str) -> None:
    held = checkpoint(kind)
    own = bank(held, PROBLEMS)
    embedding, head = rows_of(held)
    learned = torch.randn(embedding.shape, generator=torch.Generator().manual_seed(1))
    rows, prompts = {"embedding": embedding, "unembedding": head, "learned": learned}, held.format.prompts(PROBLEMS)

    def raw(row: int, nodes: Sequence[int]) -> Tensor:
        return rows[space][[prompts[row].nodes[node][0] for node in nodes]].double()

    def formula(row: int, k: int, v: Tensor, nodes: Sequence[int], change: Formula) -> Tensor:
        return change(normalize(raw(row, nodes), dim=-1), v.double()).float() if nodes else v

    def by_hand(nodes: Sequence[int], change: Formula) -> Callable[[int], Callable[[int, Tensor], Tensor]]:
        return lambda row: lambda k, v: formula(row, k, v, nodes, change)

    def at_frontier(change: Formula) -> Callable[[int], Callable[[int, Tensor], Tensor]]:
        return lambda row: lambda k, v: formula(row, k, v, frontier(PROBLEMS[row], k), change)

    def superposed(row: int, k: int, v: Tensor, weighted: bool = False, rest: bool = False) -> Tensor:
        nodes = frontier(PROBLEMS[row], k)
        if not nodes:
            return v
        weights = torch.ones(len(nodes)).double()
        if weighted:
            first = [word[0] for word in prompts[row].nodes]
            weights = (own[row, k - 1] @ head.T).softmax(-1).double()[[first[node] for node in nodes]]
            weights = weights / torch.tensor([first.count(first[node]) for node in nodes])
        total = (weights[:, None] * raw(row, nodes)).sum(0)
        concepts = normalize(raw(row, range(2, len(prompts[row].nodes))), dim=-1)
        old = v.double() - without(concepts, v.double()) if rest else v.double()
        return (v.double() - old + old.norm() * total / total.norm()).float()

    some, other = ("frontier",), ("2", "3")
    cases = [
        *ways(partial(Project, some, space=space), at_frontier(without)),
        *ways(partial(Project, other, space=space, strength=2.0), by_hand([2, 3], lambda u, v: 2 * without(u, v) - v)),
        *ways(
            partial(Move, some, other, space=space, strength=0.7),
            lambda row: at_frontier(lambda u, v: moved(u, normalize(raw(row, [2, 3]), dim=-1), 0.7, v))(row),
        ),
        *ways(
            partial(Swap, ("0", "2"), ("3",), space=space, strength=0.7),
            by_hand([0, 2, 3], lambda u, v: swapped(u, 2, 0.7, v)),
        ),
        *ways(partial(Add, some, space=space, strength=0.5), at_frontier(added)),
        *ways(partial(Superpose, some, "even", space=space), lambda row: partial(superposed, row)),
        *ways(partial(Superpose, some, "value", space=space), lambda row: partial(superposed, row, weighted=True)),
        *ways(
            partial(Superpose, some, "even", space=space, rest=True), lambda row: partial(superposed, row, rest=True)
        ),
        Case(
            Plan((Superpose(some, space=space, length=2.0, strength=0.5),)),
            lambda row: lambda k, v: v / 2 + superposed(row, k, v) if frontier(PROBLEMS[row], k) else v,
        ),
    ]

    check(held, cases if kind == "llama" else cases[::3], spaces={"learned": learned})  # of long prompts, all thoughts


SAME: list[Intervention] = [
    Project(strength=0.0), Project(()), Move(strength=0.0), Move((), ("2",)), Move(("2",), ()),
    Add(strength=0.0), Add(()), Swap(("2",), ("3",), strength=0.0), Swap((), ("2",)), Swap(("2",), ()),
    Superpose(strength=0.0), Superpose(()), Superpose(("frontier",), "value", strength=0.0),
]  # fmt: skip


@pytest.mark.parametrize("frozen", [False, True])
def test_no_strength_and_no_nodes_change_nothing_to_the_last_bit(tiny_checkpoint: Checkpoint, frozen: bool) -> None:
    check_unchanged(tiny_checkpoint, PROBLEMS, [Plan((one,), frozen) for one in SAME])


def test_swapping_twice_gives_the_thought_back_and_directions_may_be_those_of_the_thought(
    tiny_checkpoint: Checkpoint,
) -> None:
    one, rows = Swap(("2",), ("3",)), rows_of(tiny_checkpoint)[0]
    by_thought = torch.stack([rows, rows.flip(0), rows])
    alone = [Project(("2",), space=space, at=(2,)) for space in ("thoughts", "second")]
    own, twice, *both = (
        torch.from_numpy(outcome.thoughts[0])
        for outcome in run_intervened(
            tiny_checkpoint, [forest()], [[], [one, one], *([step] for step in alone)], keep_thoughts=True,
            spaces={"thoughts": by_thought, "second": rows.flip(0)},
        )
        if outcome.thoughts is not None
    )  # fmt: skip
    close(twice, own)
    close(both[0], both[1])
    assert (both[0] - own).abs().max() > 1e-3


def test_the_order_matters_and_nothing_gives_no_nan(tiny_checkpoint: Checkpoint) -> None:
    add, project = Add(("2",)), Project(("2",))
    one, other, nothing = run_intervened(
        tiny_checkpoint, PROBLEMS, [[add, project], [project, add], [Zero(), Superpose(), add, Move(("2",), ("3",))]]
    )
    (alone,) = run_intervened(tiny_checkpoint, PROBLEMS, [[project]])
    close(one.target, alone.target)
    assert np.abs(other.target - alone.target).max() > 1e-3
    assert np.isfinite(nothing.target).all()


def context(held: Checkpoint, problems: Sequence[Problem]) -> Context:
    """Return what interventions know of a batch."""
    prompts = tuple(held.format.prompts(problems))
    return Context(held, prompts, tuple(range(len(prompts))), bank(held, list(problems)))


BY_HAND: dict[str, tuple[list[int], ...]] = {
    "frontier": ([2, 3], [4, 5, 6], [7]),
    "within": ([2, 3], [2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]),
    "others": ([3], [5, 6], []),
    "leading": ([2], [4], []),
    "leading_and_target": ([2], [4], [7]),
    "strangers": ([], [], []),
    "optimal": ([2], [4], [7]),
    "on_path": ([2], [4], []),
    "all_on_path": ([2, 4], [2, 4], [2, 4]),
    "other_side": ([8], [], []),
    "reachable": ([2, 3, 4, 5, 6, 7],) * 3,
    "distractor": ([8],) * 3,
    "concepts": ([2, 3, 4, 5, 6, 7, 8, 9],) * 3,
    "root": ([0],) * 3,
    "target": ([7],) * 3,
    "negative": ([9],) * 3,
}


def test_sets_of_nodes_are_those_found_by_hand(tiny_checkpoint: Checkpoint) -> None:
    here = context(tiny_checkpoint, [forest(), chain(0, 2)])
    for name, nodes in BY_HAND.items():
        assert tuple(members(here, 0, k, (name,)).tolist() for k in (1, 2, 3)) == nodes, name
    assert members(here, 1, 1, ("frontier", "target", "Tom", "0")).tolist() == [0, 1, 2, 3]
    assert members(here, 1, 1, ("off_path", "other_side")).tolist() == []

    # By value: the best match at the same hop, and the best of all concepts.
    logits = bank(tiny_checkpoint, [forest()])[0] @ rows_of(tiny_checkpoint)[1].T
    (prompt,) = tiny_checkpoint.format.prompts([forest()])
    values = logits.softmax(-1)[:, [word[0] for word in prompt.nodes]].numpy()
    near = min((5, 6), key=lambda node: abs(values[1][node] - values[1][4]))
    close(node_values(here, 0, 2), values[1])
    assert [members(here, 0, k, ("off_path",)).tolist() for k in (1, 2, 3)] == [[3], [near], []]
    assert [members(here, 0, k, ("all_off_path",)).tolist() for k in (1, 2, 3)] == [[3, near]] * 3
    assert [members(here, 0, k, ("top",)).tolist() for k in (1, 2, 3)] == [[2 + v[2:].argmax()] for v in values]
    assert {*BY_HAND, "off_path", "all_off_path", "top"} == set(SETS)


def sets_of(problem: Problem) -> NodeSets:
    """Return the sets of one problem whose nodes all have the same value."""
    return NodeSets([problem], lambda row, k: np.full(len(problem.names), 0.5))


def test_sets_around_the_paths_by_hand() -> None:
    # Sally -> lempus -> brimpus (target); Sally -> scrompus, a dead end; Tom -> rempus -> sterpus (negative).
    names = "Sally Tom lempus scrompus brimpus rempus sterpus hilpus".split()
    edges = [(0, 2), (0, 3), (2, 4), (1, 5), (5, 6), (1, 7)]
    problem = make_problem("hand", names, edges, 0, 4, 6, True)
    sets = sets_of(problem)
    named = {
        name: [names[node] for node in np.flatnonzero(sets.named(name)(0, 1))]
        for name in ("frontier", "on_path", "leading", "others", "other_side")
    }

    assert named == {
        "frontier": ["lempus", "scrompus"],
        "on_path": ["lempus"],
        "leading": ["lempus"],
        "others": ["scrompus"],
        "other_side": ["rempus"],
    }
    assert [names[node] for node in np.flatnonzero(sets.named("strangers")(0, 1))] == ["hilpus"]
    beside = sets.beside(sets.named("leading"), sets.named("leading_and_target"))
    assert [names[node] for node in np.flatnonzero(beside(0, 1))] == ["scrompus"]
    assert sets.matched(sets.named("leading"), beside, [1]).tolist() == [True]
    assert not sets.named("on_path")(0, 2).any()  # the target itself is never among them
    assert sets.named("leading_and_target")(0, 2).sum() == 1


def test_a_longer_path_leads_to_the_target_but_is_not_shortest() -> None:
    names = "Sally Tom lempus scrompus brimpus rempus sterpus".split()
    edges = [(0, 2), (0, 3), (2, 4), (3, 5), (5, 4), (1, 6)]
    sets = sets_of(make_problem("hand", names, edges, 0, 4, 6, True))

    assert np.flatnonzero(sets.named("on_path")(0, 1)).tolist() == [2]
    assert np.flatnonzero(sets.named("leading")(0, 1)).tolist() == [2, 3]


def test_where_several_thoughts_stand_for_a_step_the_hop_is_that_of_the_step() -> None:
    held = checkpoint("gpt2")
    object.__setattr__(held, "thoughts_per_step", 2)
    here = context(held, [forest()])
    assert [members(here, 0, k, ("frontier",)).tolist() for k in (1, 2, 3)] == [[2, 3], [2, 3], [4, 5, 6]]


def test_small_values_weigh_as_they_are(tiny_checkpoint: Checkpoint) -> None:
    sure = bank(tiny_checkpoint, [forest()])
    embedding, head = rows_of(tiny_checkpoint)
    sure = sure + 100 * head[63] / head[63].norm()  # all nodes together have next to nothing
    prompts = tuple(tiny_checkpoint.format.prompts([forest()]))
    here = Context(tiny_checkpoint, prompts, (0,), sure)
    one = Superpose(("frontier",), "value", at=(2,))
    first = [prompts[0].nodes[node][0] for node in FRONTIER[2]]
    shares = (sure[0, 1] @ head.T).log_softmax(-1)[first].softmax(-1)
    vector = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    total = shares @ embedding[first]
    close(one.edit(here)(2, vector)[0], vector.norm() * total / total.norm())


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda: Project(("on_pth",)), 'Did you mean "on_path"'),
        (lambda: Add(("lempuss",)), 'no node "lempuss"'),
        (lambda: Move(("99",), ("2",)), 'no node "99"'),
        (lambda: Superpose(("-1",)), 'no node "-1"'),
        (lambda: Project(space="probe"), 'no space "probe"'),
        (lambda: Superpose(length=-1.0), "length: it must be 0 or more"),
        (lambda: Add(strength=1e9), "too large"),
    ],
)
def test_what_is_not_there_is_named(tiny_checkpoint: Checkpoint, made: Callable[[], Intervention], named: str) -> None:
    with pytest.raises(WorkbenchError, match=named):
        run_intervened(tiny_checkpoint, PROBLEMS, [[made()]])
    with pytest.raises(WorkbenchError, match='space "short" does not fit this run'):
        run_intervened(tiny_checkpoint, PROBLEMS, [[]], spaces={"short": torch.zeros(64, 8)})
