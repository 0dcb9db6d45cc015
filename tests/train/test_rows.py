"""What each method makes of a problem at each stage, against rows written by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import chain
from tests.model.test_formats import bpe_tokenizer
from workbench.model.formats import make_format, words_tokenizer
from workbench.model.prompts import Format
from workbench.problems.problem import Item
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.data import Plan, chain_length, row, tokens_gone
from workbench.train.methods import METHODS

TWO_STEPS = chain(0, 2)
"""Sally is a lempus. Every lempus is a brimpus."""
PLAN = Plan(thoughts=3, last=3, tokens_per_stage=3)
WHOLE = "| Sally lempus | lempus brimpus [A] brimpus <eos>"
SECOND = "| lempus brimpus [A] brimpus <eos>"
ANSWER = "| [A] brimpus <eos>"
COCONUT = [(0, WHOLE), (1, SECOND), (2, ANSWER), (3, ANSWER)]

ROWS = {
    "coconut": COCONUT,
    "pause_as_thought": COCONUT,
    "coconut_language": COCONUT,
    "coconut_frontier": COCONUT,
    "coconut_two": [(0, WHOLE), (2, SECOND), (4, ANSWER), (6, ANSWER)],
    "coconut_without_thought": [(0, WHOLE), (0, SECOND), (0, ANSWER), (0, ANSWER)],
    "cot": [(0, WHOLE)] * 4,
    "no_cot": [(0, ANSWER)] * 4,
    "pause_token": [(0, ANSWER), (1, ANSWER), (2, ANSWER), (3, ANSWER)],
    "coconut_without_curriculum": [(0, ANSWER), (1, ANSWER), (2, ANSWER), (3, ANSWER)],
    "icot": [(0, WHOLE), (0, SECOND), (0, ANSWER), (0, ANSWER)],
}


def edges(markers: bool = False) -> Format:
    return make_format("edges", edges_tokenizer(), markers)


def speak(form: Format, ids: tuple[int, ...]) -> str:
    return " ".join(form.tokenizer.convert_ids_to_tokens(list(ids)))


def test_every_method_has_its_rows_here() -> None:
    assert ROWS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_row_at_each_stage(name: str) -> None:
    form, method = edges(), METHODS[name]
    prompt = form.prompts([TWO_STEPS])[0]
    without_luck = replace(method, smoothing=0.0)
    for stage, (slots, said) in enumerate(ROWS[name]):
        gone = tokens_gone(without_luck, stage, PLAN, np.random.default_rng(0))
        made = row(prompt, form, method, stage, PLAN, gone)
        assert (made.prompt, made.slots, speak(form, made.rest)) == (prompt.ids, slots, said), stage
        assert made.supervised == (True,) * len(made.rest)


@pytest.mark.parametrize("name", ROWS)
def test_markers_are_there_and_not_learned(name: str) -> None:
    form, bare = edges(markers=True), edges()
    made, without = (row(f.prompts([TWO_STEPS])[0], f, METHODS[name], 1, PLAN, removed=3) for f in (form, bare))
    assert made.prompt[-1] == form.marker.bot
    assert made.rest == (form.marker.eot, *without.rest)
    assert made.supervised == (False, *[True] * len(without.rest))


def test_the_official_text_row() -> None:
    form = make_format("text", bpe_tokenizer(), True)
    made = row(form.prompts([TWO_STEPS])[0], form, METHODS["coconut"], 1, PLAN)
    assert form.tokenizer.decode(list(made.prompt)) == TWO_STEPS.question + "\n<bot>"
    said = "<eot>Every lempus is a brimpus.\n### Sally is a brimpus.<|end|>"
    assert form.tokenizer.decode(list(made.rest)) == said
    assert (made.slots, made.supervised.count(False)) == (1, 1)


def test_a_chain_longer_than_the_thoughts_is_gone_in_the_stage_after_them() -> None:
    form, plan = edges(), Plan(thoughts=1, last=2)
    prompt = form.prompts([TWO_STEPS])[0]
    stages = [row(prompt, form, METHODS["coconut"], stage, plan) for stage in range(3)]
    assert [(made.slots, speak(form, made.rest)) for made in stages] == [(0, WHOLE), (1, SECOND), (1, ANSWER)]


def test_single_tokens_disappear_from_the_left_and_the_answer_stays() -> None:
    form = edges(markers=True)
    prompt = form.prompts([TWO_STEPS])[0]
    said = [speak(form, row(prompt, form, METHODS["icot"], 1, PLAN, removed=gone).rest) for gone in (1, 4, 5, 99)]
    assert said == [
        "<eot> | lempus | lempus brimpus [A] brimpus <eos>",
        "<eot> | brimpus [A] brimpus <eos>",
        "<eot> | [A] brimpus <eos>",
        "<eot> | [A] brimpus <eos>",
    ]
    assert chain_length(form, prompt) == 5


def test_removal_is_smoothed_as_icot_does() -> None:
    rng = np.random.default_rng(0)
    gone = np.array([tokens_gone(METHODS["icot"], 2, PLAN, rng) for _ in range(4000)])
    assert gone.min() == 6
    assert (gone > 6).mean() == pytest.approx(np.exp(-4), abs=0.006)
    assert tokens_gone(METHODS["icot"], 0, PLAN, rng) == 0
    assert tokens_gone(METHODS["icot"], 3, PLAN, rng) > 1000


def test_tokens_go_evenly_through_every_stage_but_the_first() -> None:
    rng, calm = np.random.default_rng(0), replace(METHODS["icot"], smoothing=0.0)
    passed = [(stage, part) for stage in range(4) for part in (0.0, 0.34, 0.67)]
    gone = [tokens_gone(calm, stage, PLAN, rng, part) for stage, part in passed]
    assert gone == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_the_words_format_keeps_its_opening() -> None:
    item = Item("one", "Max has 8 books. Then Max loses 2 books.", "6", ("<<8-2=6>>",), "arithmetic")
    form = make_format("words", words_tokenizer("arithmetic"), False)
    prompt = form.prompts([item])[0]
    said = [speak(form, row(prompt, form, METHODS["icot"], 1, PLAN, removed=gone).rest) for gone in (0, 6, 7)]
    assert said == ["| << 8 - 2 = 6 >> ### 6 <eos>", "| >> ### 6 <eos>", "| ### 6 <eos>"]
    assert form.answer_opening(prompt) == row(prompt, form, METHODS["no_cot"], 1, PLAN).rest[:2]
