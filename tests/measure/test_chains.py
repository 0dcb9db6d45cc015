"""Chains in words: taken apart, judged by value or words, and their probabilities beside a plain forward pass."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch

from tests.conftest import tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.measure import chains
from workbench.measure.chains import judged, said_chain, spans
from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint, make_checkpoint
from workbench.model.coconut import forward
from workbench.model.formats import make_format, words_tokenizer
from workbench.problems.problem import Item
from workbench.problems.sets import generate_items
from workbench.problems.shortcuts import floor

WORDS = make_format("words", words_tokenizer("arithmetic"), markers=True)
TEXT = make_format("text", bpe_tokenizer(), markers=True)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def speaking(thoughts: int = 0) -> Checkpoint:
    """Random weights in the words of arithmetic."""
    tokenizer = words_tokenizer("arithmetic")
    model = tiny_model("qwen2", vocab_size=len(tokenizer), max_position_embeddings=256)
    meta = {"version": 1, "task": "arithmetic", "format": "words", "thoughts": thoughts, "says": "chain"}
    return make_checkpoint(model, tokenizer, meta, "speaking")


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> list[int]:
    """Let the next chain be this text; what is forced after it is the model's own."""
    ids: list[int] = WORDS.tokenizer(text, add_special_tokens=False)["input_ids"]
    told = iter([[[[*ids, WORDS.end]]]])
    own = chains.Branches.go_on
    monkeypatch.setattr(chains.Branches, "go_on", lambda *about: next(told, None) or own(*about))
    return ids


@pytest.mark.parametrize("task", ["arithmetic", "prontoqa"])
@pytest.mark.parametrize("name", ["words", "text"])
def test_the_steps_of_a_solution_are_found_among_its_tokens_and_right(task: str, name: str) -> None:
    form = TEXT if name == "text" else make_format("words", words_tokenizer(task), markers=True)
    for item in generate_items(task, 20, 1):
        (prompt,) = form.prompts([item])
        ids = form.continuation(prompt, 0)[len(form.chain_opening(prompt)) : -1]
        parts = spans(form, item.steps, ids)
        said = [form.decode(prompt, ids[start:end]) for start, end in parts]

        assert [judged(form, text, step) for text, step in zip(said, item.steps, strict=True)] == [(True, "")] * len(
            said
        )
        assert all(end == start for (_, end), (start, _) in pairwise(parts))
        assert form.said_answer(prompt, ids[parts[-1][1] :]) in (item.answer, item.answer.lower())


@pytest.mark.parametrize(
    ("text", "solution", "right", "why"),
    [
        ("<< 4 * 3 = 12 >>", "<<3*4=12>>", True, ""),
        ("<<14-5=10>>", "<<14-4=10>>", True, "14-5 comes to 9"),
        ("<<3+4=7>>", "<<3*4=12>>", False, "the solution's value is 12"),
        ("<<3*4=13>>", "<<3*4=12>>", False, "3*4 comes to 12"),
        ("so it is 12", "<<3*4=12>>", False, "no value; the solution's is 12"),
        ("<<3/0=12>>", "<<3*4=12>>", True, ""),
        ("600+400 = 1,000.", "<<600+400=1000>>", True, ""),
        ("<<1.5*2=3.0>>", "<<3*1=3>>", True, ""),
        ("Tom is  a lempus.", "Tom is a lempus", True, ""),
        ("Tom is a rempus.", "Tom is a lempus.", False, "not the words of the solution"),
        ("<<1+1=2>>", "", False, "the solution has no such step"),
    ],
)  # fmt: skip
def test_a_step_is_right_by_value_and_else_by_its_words(text: str, solution: str, right: bool, why: str) -> None:
    assert judged(TEXT, text, solution) == (right, why)


def test_a_chain_is_read_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model, others = speaking(), generate_items("arithmetic", 6, 3)
    item, *others = others
    ids = say(monkeypatch, f"{item.steps[0]} <<1+1=3>> ### 7")
    found = said_chain(model, item, others)

    assert [step.right for step in found.steps][:1] == [True]
    assert found.steps[1].why in ("1+1 comes to 2", "the solution has no such step")
    assert (found.answer, found.right) == ("7", item.answer == "7")
    assert found.floor[1] == pytest.approx(floor([item, *others])[1].mean())
    values = [[other.values[number] if number < len(other.values) else "" for number in (0, 1)] for other in others]
    said = [item.values[0], "3"]
    share = sum(a == b for row in values for a, b in zip(row, said, strict=True)) / (2 * len(others))
    assert found.right_by_chance == pytest.approx(share)

    def plain(asked: Item) -> torch.Tensor:
        """The probability of each token of the chain, from the whole row in one pass."""
        (prompt,) = model.format.prompts([asked])
        row = torch.tensor([[*prompt.ids, *model.format.chain_opening(prompt), *ids]])
        shares = model.model(row).logits[0].softmax(-1)
        return shares[range(row.shape[1] - len(ids) - 1, row.shape[1] - 1), ids]

    own, beside = plain(item), torch.stack([plain(other) for other in others])
    told = [token for step in found.steps for token in step.tokens]
    assert [one[1] for one in told] == pytest.approx(own[: len(told)].tolist(), rel=1e-3)
    assert [one[2] for one in told] == pytest.approx(beside.mean(0)[: len(told)].tolist(), rel=1e-3)
    first = len(found.steps[0].tokens)
    assert found.steps[0].probability == pytest.approx(float(own[:first].prod()), rel=1e-3)
    assert found.frame["chance"][0] == pytest.approx(float(beside[:, :first].prod(1).mean()), rel=1e-3)


def test_answers_are_forced_after_each_number_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model, item = speaking(), generate_items("arithmetic", 1, 3)[0]
    say(monkeypatch, f"{' '.join(item.steps)} ### {item.answer}")
    found = said_chain(model, item)
    (at_once,) = answers(model, [item], says="answer")

    assert len(found.forced) == len(item.steps) + 1
    assert found.forced[0][0] == at_once.text
    (prompt,) = model.format.prompts([item])
    mark = model.format.answer_opening(prompt)[-1]
    ids = [*prompt.ids, *model.format.continuation(prompt, 0)]
    row = torch.tensor([ids[: ids.index(mark) + 1]])
    assert found.forced[-1][0] == model.format.decode(prompt, [int(model.model(row).logits[0, -1].argmax())])
    assert (found.others, found.right_by_chance, found.chances[0]) == (0, None, None)
    assert found.steps[0].tokens[0][2] is None


def test_thoughts_stand_for_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (item, *others) = (
        speaking(thoughts=1),
        [one for one in generate_items("arithmetic", 9, 3) if len(one.steps) > 2],
    )
    ids = say(monkeypatch, item.steps[1])
    found = said_chain(model, item, others)

    assert (found.first, found.frame["step"].to_list(), found.steps[0].right) == (2, [2], True)
    assert (found.answer, found.right) == ("", False)
    (prompt,) = model.format.prompts([item])
    opening = model.format.chain_opening(prompt)
    row = torch.tensor([[*prompt.ids, model.format.marker.thought, *opening, *ids]])
    logits = forward(model.model, row, row == model.format.marker.thought).logits
    shares = logits[0, -len(ids) - 1 : -1].softmax(-1)[range(len(ids)), ids]
    assert [one[1] for one in found.steps[0].tokens] == pytest.approx(shares.tolist(), rel=1e-3)


def test_a_problem_without_steps_is_judged_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, "<<1+1=2>> ### 2")
    bare = Item("b", "Tom has 8 shells. How many shells does Tom have now?", "8", (), "arithmetic")
    found = said_chain(speaking(), bare, generate_items("arithmetic", 2, 1))

    assert [step.right for step in found.steps] == [None]
    assert found.right_by_chance is None
