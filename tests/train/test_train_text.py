"""Training on problems as text: rows against rows written by hand, their loss, and that it is learned."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conftest import FAMILIES, chain, tiny
from tests.model.test_formats import bpe_tokenizer
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import collate, forward
from workbench.model.formats import make_format, words_tokenizer
from workbench.model.prompts import Format
from workbench.problems.files import save_problems
from workbench.problems.graph import frontier
from workbench.problems.problem import Item
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.batch import TrainBatch
from workbench.train.config import Curriculum, ModelConfig, RowsConfig, Schedule, TrainConfig
from workbench.train.init import begin
from workbench.train.methods import METHODS
from workbench.train.objective import TrainStep
from workbench.train.text import Row, TextData, chain_span, text_row, training_problems, validation_problems

TWO_STEPS = chain(0, 2)
"""Sally is a lempus. Every lempus is a brimpus."""
SCHEDULE = Schedule(Curriculum(thoughts=3, by="clock", remove_every=3), last=3, step_tokens=3)
WHOLE = "| Sally lempus | lempus brimpus [A] brimpus <eos>"
SECOND = "| lempus brimpus [A] brimpus <eos>"
ANSWER = "| [A] brimpus <eos>"
COCONUT = [(0, WHOLE), (1, SECOND), (2, ANSWER), (3, ANSWER)]

ROWS = {
    **dict.fromkeys(
        ("coconut_next_node", "pause_as_thought", "pause_words", "coconut_words", "coconut_frontier"), COCONUT
    ),
    "coconut_two": [(0, WHOLE), (2, SECOND), (4, ANSWER), (6, ANSWER)],
    "coconut_without_thought": [(0, WHOLE), (0, SECOND), (0, ANSWER), (0, ANSWER)],
    "cot": [(0, WHOLE)] * 4,
    "no_cot": [(0, ANSWER)] * 4,
    **{name: [(slots, ANSWER) for slots in range(4)] for name in ("pause_token", "coconut_without_curriculum")},
    "icot": [(0, WHOLE), (0, SECOND), (0, ANSWER), (0, ANSWER)],
}


def edges(markers: bool = False) -> Format:
    return make_format("edges", edges_tokenizer(), markers)


def speak(form: Format, ids: Sequence[int]) -> str:
    return " ".join(form.tokenizer.convert_ids_to_tokens(list(ids)))


def test_every_method_has_its_rows_here() -> None:
    assert ROWS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_row_at_each_stage(name: str) -> None:
    """Markers change nothing but that they are there, and not learned."""
    for stage, (slots, said) in enumerate(ROWS[name]):
        made, marked = (
            text_row(f.prompts([TWO_STEPS])[0], f, METHODS[name], stage, SCHEDULE, removed=3 * stage)
            for f in (edges(), edges(markers=True))
        )
        assert (made.slots, speak(edges(), made.rest)) == (slots, said), stage
        assert made.supervised == (True,) * len(made.rest)
        marker = edges(markers=True).marker
        expected = (*made.prompt, marker.bot), slots, (marker.eot, *made.rest), (False, *made.supervised)
        assert marked == Row(*expected)


def test_the_official_text_row() -> None:
    form = make_format("text", bpe_tokenizer(), True)
    made = text_row(form.prompts([TWO_STEPS])[0], form, METHODS["coconut_next_node"], 1, SCHEDULE)
    assert form.tokenizer.decode(list(made.prompt)) == TWO_STEPS.question + "\n<bot>"
    said = "<eot>Every lempus is a brimpus.\n### Sally is a brimpus.<|end|>"
    assert form.tokenizer.decode(list(made.rest)) == said
    assert (made.slots, made.supervised.count(False)) == (1, 1)


def test_a_chain_longer_than_the_thoughts_is_gone_in_the_stage_after_them() -> None:
    form, schedule = edges(), Schedule(Curriculum(thoughts=1), last=2)
    prompt = form.prompts([TWO_STEPS])[0]
    stages = [text_row(prompt, form, METHODS["coconut_next_node"], stage, schedule) for stage in range(3)]
    assert [(made.slots, speak(form, made.rest)) for made in stages] == [(0, WHOLE), (1, SECOND), (1, ANSWER)]


def test_single_tokens_disappear_from_the_left_and_the_answer_stays() -> None:
    form = edges(markers=True)
    prompt = form.prompts([TWO_STEPS])[0]
    rows = [text_row(prompt, form, METHODS["icot"], 1, SCHEDULE, removed=gone) for gone in (1, 4, 5, 99)]
    assert [speak(form, row.rest) for row in rows] == [
        "<eot> | lempus | lempus brimpus [A] brimpus <eos>",
        "<eot> | brimpus [A] brimpus <eos>",
        "<eot> | [A] brimpus <eos>",
        "<eot> | [A] brimpus <eos>",
    ]
    assert chain_span(form, prompt) == (2, 7)


def test_the_words_format_keeps_its_opening() -> None:
    item = Item("one", "Max has 8 books. Then Max loses 2 books.", "6", ("<<8-2=6>>",), "arithmetic")
    form = make_format("words", words_tokenizer("arithmetic"), False)
    prompt = form.prompts([item])[0]
    rows = [text_row(prompt, form, METHODS["icot"], 1, SCHEDULE, removed=gone) for gone in (0, 6, 7)]
    said = [speak(form, row.rest) for row in rows]
    assert said == ["| << 8 - 2 = 6 >> ### 6 <eos>", "| >> ### 6 <eos>", "| ### 6 <eos>"]
    assert form.answer_opening(prompt) == text_row(prompt, form, METHODS["no_cot"], 1, SCHEDULE).rest[:2]


ITEMS = [chain(number, 1 + number % 3) for number in range(8)]
CONFIG = TrainConfig(
    task="prosqa",
    method="coconut_words",
    mixing="none",
    rows=RowsConfig(batch=6, steps_per_stage=10),
    curriculum=Curriculum(thoughts=3),
    precision="fp32",
)


def make(
    method: str = "coconut_words", family: str = "qwen2", dropout: float = 0.0, **changes: Any
) -> tuple[TextData, Checkpoint]:
    more: dict[str, Any] = {"resid_pdrop": dropout} if dropout else {}
    checkpoint = tiny(family, markers=METHODS[method].fed != "nothing", **more)
    checkpoint.model.train()
    return TextData(replace(CONFIG, method=method, **changes), checkpoint, ITEMS), checkpoint


def draw(data: TextData, step: int, rank: int = 0) -> TrainBatch:
    stage = data.schedule.first()
    for number in range(1, step + 1):
        stage = data.schedule.after(stage, number, 0.0)
    return data.draw(stage, step, rank)


def loss(checkpoint: Checkpoint, batch: TrainBatch, seed: int = 0) -> torch.Tensor:
    return TrainStep(checkpoint.model, "fp32")(batch, seed).loss


def by_hand(data: TextData, checkpoint: Checkpoint, step: int, edit: object = None) -> torch.Tensor:
    """The loss of the same problems, laid out in rows of tokens and run by the loop of `model.coconut`."""
    rng = np.random.default_rng([data.config.seed, 0, step])
    chosen = [ITEMS[i] for i in rng.integers(0, len(ITEMS), data.config.rows.batch)]
    stage = min(step // 10, 3)
    form, rows = data.format, []
    for prompt in data.format.prompts(chosen):
        rows.append(text_row(prompt, form, data.method, stage, data.schedule))
    laid = collate(
        [row.prompt for row in rows],
        [row.slots for row in rows],
        [row.rest for row in rows],
        pad=form.pad,
        thought=form.marker.thought,
    )
    ran = forward(checkpoint.model, laid.ids, laid.is_thought, laid.mask, edit=edit)  # type: ignore[arg-type]
    begin = max(len(row.prompt) for row in rows)
    labels = torch.full_like(laid.ids, -100)
    for number, row in enumerate(rows):
        first = begin + row.slots + row.supervised.count(False)
        labels[number, first : begin + row.slots + len(row.rest)] = torch.tensor(row.rest)[
            row.supervised.count(False) :
        ]
    return F.cross_entropy(ran.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


@pytest.mark.parametrize(
    ("method", "family"),
    [*(("coconut_words", one) for one in FAMILIES), *((one, "qwen2") for one in ("coconut_two", "cot", "no_cot"))],
)
def test_the_loss_is_the_mean_over_what_is_said(method: str, family: str) -> None:
    data, checkpoint = make(method, family)
    batch = replace(draw(data, 20), heads=None)
    ours, plain = loss(checkpoint, batch), by_hand(data, checkpoint, 20)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    names, weights = zip(*checkpoint.model.named_parameters(), strict=True)
    for name, g, h in zip(names, torch.autograd.grad(ours, weights), torch.autograd.grad(plain, weights), strict=True):
        torch.testing.assert_close(g, h, atol=1e-4, rtol=1e-3, msg=name)


def test_a_pause_token_is_its_own_embedding_in_one_pass_or_in_several() -> None:
    """Several passes, each of which feeds the token's embedding: more compute, the same numbers."""
    data, checkpoint = make("pause_as_thought", "gpt2")
    batch = replace(draw(data, 20), heads=None)
    passes: list[int] = []
    hook = checkpoint.model.base_model.register_forward_hook(lambda m, a, out: passes.append(1))
    total = loss(checkpoint, batch)
    hook.remove()
    assert len(passes) == 3  # question, slots, what is said
    token = data.format.marker.thought
    pause = cast(nn.Embedding, checkpoint.model.get_input_embeddings()).weight[token]
    several = by_hand(data, checkpoint, 20, edit=lambda k, thought: pause.expand_as(thought))
    torch.testing.assert_close(total, several, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["coconut_next_node", "coconut_frontier", "coconut_two"])
def test_the_lm_head_is_asked_at_the_slots_of_text_as_on_graphs(method: str) -> None:
    """At the newest stage without mixing, at every open one with packed mixing; never beyond the chain."""
    for mixing in ("none", "packed"):
        data, checkpoint = make(method, mixing=mixing)
        batch = draw(data, 20)
        rng = np.random.default_rng([data.config.seed, 0, 20])
        chosen = [ITEMS[i] for i in rng.integers(0, len(ITEMS), 6)]
        assert batch.heads is not None
        asked = set(zip((batch.heads.at // 2).tolist(), (batch.heads.at % 2 + 1).tolist(), strict=True))
        hops = (2,) if mixing == "none" else (1, 2)
        assert asked == {(i, hop) for i, one in enumerate(chosen) for hop in hops if hop <= len(one.steps)}
        form = data.format
        for at, token in zip(batch.heads.at.tolist(), batch.heads.token.tolist(), strict=True):
            problem, hop = chosen[at // 2], at % 2 + 1
            nodes = frontier(problem.adjacency, problem.root, hop).nonzero()[0]
            names = [form.prompts([problem])[0].nodes[node][0] for node in nodes]
            assert token in names
            assert len(names) == 1 or method == "coconut_frontier"
        words = draw(make("coconut_words", mixing=mixing)[0], 20)
        assert words.heads is None
        whole, without = loss(checkpoint, batch), loss(checkpoint, replace(batch, heads=None))
        assert float(whole.detach()) > float(without.detach()) + 0.1


def test_tasks_without_a_graph_have_no_labels_at_slots() -> None:
    config = TrainConfig(task="arithmetic", rows=RowsConfig(count=20, batch=4, steps_per_stage=1), watched=2)
    data = TextData(config, begin(replace(config, model=ModelConfig(32, 1, 2, 48))))
    batch = draw(data, 3)
    assert (batch.slots, batch.heads, batch.frontier.shape[2]) == (3, None, 0)


def test_a_batch_is_drawn_from_seed_step_and_process_alone() -> None:
    first, again = (draw(make(mixing="0.3")[0], 25) for _ in range(2))
    assert torch.equal(first.question, again.question)
    assert torch.equal(first.words[0].labels.token, again.words[0].labels.token)
    others = [
        draw(make(mixing="0.3")[0], 26),
        draw(make(mixing="0.3")[0], 25, rank=1),
        draw(make(mixing="0.3", seed=1)[0], 25),
    ]
    assert not any(
        other.question.shape == first.question.shape and torch.equal(other.question, first.question) for other in others
    )


def slots_of(batch: TrainBatch) -> set[int]:
    """After how many slots the rows of a batch go on in words."""
    return set((batch.words[0].after - batch.question.shape[2] + 1).flatten().tolist())


def test_mixed_stages_have_as_many_thoughts_as_steps_are_gone() -> None:
    many = RowsConfig(batch=40, steps_per_stage=10)
    assert slots_of(draw(make(mixing="packed", rows=many)[0], 99)) == {0, 1, 2, 3}
    assert slots_of(draw(make(mixing="none")[0], 99)) == {3}
    assert slots_of(draw(make("pause_token", mixing="packed")[0], 0)) == {3}
    assert slots_of(draw(make(curriculum=Curriculum(thoughts=2))[0], 1000)) == {2}  # three steps, two thoughts


def test_tokens_disappear_one_by_one() -> None:
    data, _ = make("icot", rows=RowsConfig(batch=200, steps_per_stage=10))
    assert (data.schedule.last, data.schedule.step_tokens) == (3, 3)
    learned = [draw(data, step).words[0].labels.total for step in range(8, 45, 8)]
    assert learned == sorted(learned, reverse=True)
    assert learned[-1] == 200 * 4  # | [A] target <eos>


def test_dropout_repeats_with_the_seed_and_leaves_other_draws_alone() -> None:
    data, checkpoint = make(family="gpt2", dropout=0.3)
    batch = draw(data, 20)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (float(loss(checkpoint, batch, seed).detach()) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("method", ["coconut_next_node", "icot"])
def test_a_few_problems_are_learned_by_heart(method: str) -> None:
    data, checkpoint = make(method)
    optimizer = torch.optim.AdamW(checkpoint.model.parameters(), lr=3e-3)
    seen = []
    for step in range(40, 90):
        total = loss(checkpoint, draw(data, step))
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(float(total.detach()))
    assert np.mean(seen[-5:]) < 0.25 * seen[0]


def test_problems_come_from_a_file_or_are_generated_and_none_is_watched_that_is_trained_on(tmp_path) -> None:
    path = tmp_path / "mine.json"
    save_problems([chain(number, 2) for number in range(3)], path)
    config = TrainConfig(task="prosqa", rows=RowsConfig(problems=str(path), validation=str(path)), watched=2)
    assert [len(training_problems(config)), len(validation_problems(config))] == [3, 2]
    for task in ("prosqa", "prontoqa", "arithmetic"):
        config = TrainConfig(task=task, rows=RowsConfig(count=20), watched=5)
        trained, watched = (
            {item.question for item in items} for items in (training_problems(config), validation_problems(config))
        )
        assert len(watched) == 5
        assert not trained & watched
