"""Attention cut, heads and sublayers ablated or patched, against torch hooks on the plain model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import tiny
from tests.plain_layers import altered, check_inside, columns, module, start, watched
from tests.plain_loop import KINDS, OTHERS, PROBLEMS, K, check_unchanged, checkpoint, close
from workbench.errors import WorkbenchError
from workbench.interventions.layers import Ablate, Knockout, LayerIntervention, Part, PatchLayer
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Zero
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint
from workbench.model.lens import CoconutLens
from workbench.problems.problem import Problem


def in_heads(heads: Sequence[int], old: Tensor, new: Tensor) -> Tensor:
    """Put new values in the place of the old ones in some heads of four."""
    mixed = old.clone().view(4, -1)
    mixed[list(heads)] = new.view(4, -1)[list(heads)]
    return mixed.flatten()


REPLACING = [
    Ablate(part="heads", heads=(2,), layers=(1,), at=(2,)), Ablate(part="heads", heads=(0, 3)),
    Ablate(part="heads", where="both", layers=(0,), heads=(1,), at=(3,)),
    Ablate(part="attention", layers=(0,), at=(1, 3)), Ablate(part="attention", where="answer", layers=(1,)),
    Ablate(part="mlp", layers=(1,), strength=0.5, where="both"), Ablate(part="mlp", to="mean", at=(2,)),
    Ablate(part="residual", layers=(0,), at=(2,)), Ablate("heads", (1,), 0.4, "mean", layers=(1,)),
    PatchLayer("heads", (2,), source="friend"), PatchLayer("heads", (3,), source="friend", layers=(1,), at=(1,)),
    PatchLayer("attention", source="friend", at=(2,)), PatchLayer("mlp", strength=0.3, source="friend", layers=(0,)),
    PatchLayer("residual", source="friend", layers=(1,), at=(2,)),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_ablations_and_patches_equal_torch_hooks(kind: str) -> None:
    held = checkpoint(kind)

    @cache
    def recorded(source: Problem, layer: int, part: str) -> dict[int, Tensor]:
        return watched(held, source, layer, part)

    def hooks(one: Any, row: int) -> Iterator[Any]:
        for layer in one.layers or (0, 1):
            sources = {"friend": [OTHERS[row]], "mean": PROBLEMS}.get(one.puts_in, [])
            seen = [recorded(source, layer, one.part) for source in sources]

            def becomes(k: int, seen: list = seen) -> Callable[[Tensor], Tensor]:
                def change(old: Tensor) -> Tensor:
                    other = torch.stack([given[k] for given in seen]).mean(0) if seen else 0 * old
                    new = (1 - one.strength) * old + one.strength * other
                    return in_heads(one.heads or range(4), old, new) if one.part == "heads" else new

                return change

            yield altered(held, layer, one.part, {c: becomes(k) for c, k in columns(held, PROBLEMS[row], one).items()})

    plans = [Plan((one,)) for one in REPLACING]
    check_inside(held, [*plans, Plan((REPLACING[1],), freeze=True), Plan((REPLACING[3], REPLACING[9]))], hooks)


def hidden(one: Knockout, problem: Problem, first: int, column: int, k: int, form: str) -> list[int]:
    """Return the columns that one column is made blind to, by hand: in the edges format an edge is three tokens."""
    nodes = [0, 2, 4, 7] if problem.id == "forest" else [0, *range(2, problem.target + 1)]
    path, end = set(pairwise(nodes)), 1 + 3 * len(problem.edges)
    at_hop = {1: {2, 3}, 2: {4, 5, 6}, 3: {7}}.get(k, set()) if problem.id == "forest" else {k + 1} - {1}

    def edges(wanted: Callable[[int, tuple[int, int]], bool]) -> list[int]:
        return [1 + 3 * i + j for i, edge in enumerate(problem.edges) if wanted(i, edge) for j in range(3)]

    found = {
        "prompt": list(range(first)),
        "thoughts": list(range(first, column if k else first + K)),
        "edges": edges(lambda i, edge: True),
        "path_edges": edges(lambda i, edge: edge in path),
        "other_edges": edges(lambda i, edge: edge not in path),
        "frontier_edges": edges(lambda i, edge: k > 0 and edge[0] in at_hop),
        "edge-1": edges(lambda i, edge: i == 1),
        "options": [end + 1, end + 2],
        "root": [end + 4],
    }
    return [column for name in one.to for column in found[name]]


@contextmanager
def blinded(
    held: Checkpoint, layer: int, heads: Sequence[int], share: float, blind: Mapping[int, list[int]]
) -> Iterator[None]:
    """Add the logarithm of what is left to attention scores before the softmax."""

    def mask(_: nn.Module, given: tuple, named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        width = (given[0] if given else named["hidden_states"]).shape[1]
        scores = torch.zeros(1, 4, width, width).masked_fill(~torch.ones(width, width).tril().bool(), -1e30)
        for column, keys in blind.items():
            if column < width:
                for head in heads:
                    scores[0, head, column, keys] += np.log(1 - share) if share < 1 else -1e30
        return given, named | {"attention_mask": scores}

    held.model.set_attn_implementation("eager")
    handle = module(held, layer, "attention").register_forward_pre_hook(mask, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


CUTTING = [
    Knockout(at=(2,)), Knockout(("thoughts",), where="answer"), Knockout(("edges", "root"), layers=(1,)),
    Knockout(("thoughts", "options"), heads=(1, 2), where="both", at=(2, 3)), Knockout(("path_edges",), where="answer"),
    Knockout(("other_edges",), strength=0.7, layers=(0,)), Knockout(("frontier_edges",), where="both"),
    Knockout(("edge-1",), heads=(0,), at=(1,)), Knockout(("prompt", "thoughts"), at=(3,)),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_attention_cut_equals_a_mask_before_the_softmax(kind: str) -> None:
    held = checkpoint(kind)
    form = held.format.name

    def hooks(one: Any, row: int) -> Iterator[Any]:
        problem, first = PROBLEMS[row], start(held, PROBLEMS[row])
        blind = {c: hidden(one, problem, first, c, k, form) for c, k in columns(held, problem, one).items()}
        for layer in one.layers or (0, 1):
            yield blinded(held, layer, one.heads or range(4), one.strength, blind)

    whole = [one for one in CUTTING if set(one.to) <= {"prompt", "thoughts"}]
    plans = [Plan((one,)) for one in (whole if kind == "text" else CUTTING)]
    check_inside(held, [*plans, Plan((CUTTING[0], CUTTING[1]), freeze=True)], hooks)


@pytest.mark.parametrize(("kind", "frozen"), [("gpt2", False), ("llama", True)])
def test_what_is_put_back_or_left_changes_nothing_to_the_last_bit(kind: str, frozen: bool) -> None:
    same: list[LayerIntervention] = [
        Knockout(strength=0.0), Knockout(()), Ablate(strength=0.0), Ablate(to="mean", strength=0.0),
        PatchLayer(source="own"), PatchLayer(source="friend", strength=0.0),
        *(PatchLayer(source="own", part=part) for part in ("attention", "mlp", "residual")),
    ]  # fmt: skip
    plans = [Plan((one,), frozen) for one in same]
    check_unchanged(checkpoint(kind), PROBLEMS, plans, sources={"friend": OTHERS})


@pytest.mark.parametrize(
    ("name", "part"), [("attn.hook_z", "heads"), ("hook_mlp_out", "mlp"), ("hook_resid_post", "residual")]
)
def test_ablating_equals_run_with_hooks_of_the_lens(name: str, part: Part) -> None:
    held = checkpoint("llama")
    lens, form = CoconutLens(held), held.format
    prompts = form.prompts(PROBLEMS)
    rows = lens.rows(PROBLEMS, K, [form.answer_opening(prompt) for prompt in prompts])
    ran = lens.run_with_hooks(rows, [(f"blocks.0.{name}", lambda value, hook: 0 * value, 2)])
    (outcome,) = run_intervened(held, PROBLEMS, [[Ablate(part=part, layers=(0,), at=(2,))]])
    said = ran.logits[:, -1].log_softmax(-1)
    for row, (problem, prompt) in enumerate(zip(PROBLEMS, prompts, strict=True)):
        close(outcome.target[row], said[row, prompt.nodes[problem.target][0]])


def test_batches_change_nothing_and_what_is_done_inside_meets_what_is_fed() -> None:
    held = checkpoint("gpt2")
    plans = [
        [
            Zero(at=(1,)),
            Knockout(("edges",), at=(2,)),
            Ablate(heads=(1,), to="mean"),
            PatchLayer(source="friend", part="mlp"),
        ]
    ]
    found = [run_intervened(held, PROBLEMS, plans, sources={"friend": OTHERS}, batch_size=size)[0] for size in (1, 3)]
    close(found[0].target, found[1].target)
    (fed,) = run_intervened(held, PROBLEMS, [[Zero(at=(1,))]])
    assert np.abs(fed.target - found[0].target).max() > 1e-3


def test_without_thoughts_only_what_is_said_can_be_changed(tiny_checkpoint: Checkpoint) -> None:
    plans = [[], [Ablate()], [Ablate(to="mean")], [PatchLayer(source="friend")], [Knockout()], [Ablate(where="answer")]]
    without, *same, said = run_intervened(tiny_checkpoint, PROBLEMS, plans, 0, sources={"friend": OTHERS})
    for outcome in same:
        np.testing.assert_array_equal(outcome.target, without.target)
    assert np.abs(said.target - without.target).max() > 1e-3


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda: Ablate(layers=(2,)), "this model has layers 0 to 1"),
        (lambda: PatchLayer(source="friend", layers=(-1,)), "this model has layers 0 to 1"),
        (lambda: Knockout(heads=(4,)), "this model has heads 0 to 3"),
        (lambda: Ablate(heads=(9,)), "this model has heads 0 to 3"),
        (lambda: Ablate(part="mlp", heads=(1,)), '"mlp" has none'),
        (lambda: Knockout(("edgs",)), 'Did you mean "edges"'),
        (lambda: Knockout(("edge-99",)), "edge-0 to edge-"),
        (lambda: Knockout(strength=1.5), "strength: it lies between 0 and 1"),
        (lambda: Knockout(strength=-1.0), "strength: it lies between 0 and 1"),
        (lambda: Knockout(at=(4,)), "no thought 4"),
        (lambda: PatchLayer(source="twin"), 'source "twin" has no thoughts'),
        (lambda: PatchLayer(source="given"), 'source "given" has no activations'),
    ],
)
def test_what_the_model_does_not_have_is_named(made: Callable[[], LayerIntervention], named: str) -> None:
    sources = {"friend": OTHERS, "given": torch.zeros(3, K, 32)}
    with pytest.raises(WorkbenchError, match=named):
        run_intervened(tiny(), PROBLEMS, [[made()]], sources=sources)


def test_a_mean_needs_the_whole_set(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(WorkbenchError, match="There is no mean activation"):
        next(run(tiny_checkpoint, PROBLEMS, interventions=[Ablate(to="mean")]))
