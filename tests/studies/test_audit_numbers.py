"""The content battery on arithmetic: models built so that it is known whether their answer follows their thoughts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.conftest import tiny_model
from tests.model.test_formats import bpe_tokenizer
from tests.studies.test_audit_batteries import figure
from workbench.measure.chains import judged
from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint, make_checkpoint
from workbench.model.formats import make_format, words_tokenizer
from workbench.model.prompts import Format
from workbench.problems.problem import Item
from workbench.problems.sets import generate_items
from workbench.problems.shortcuts import floor
from workbench.problems.variants import number_rewrite, number_twin, renamed_story
from workbench.studies.audit import numbers, text_steps
from workbench.studies.audit.base import AuditOptions, Rows, Subject
from workbench.studies.audit.card import card_texts, said
from workbench.studies.audit.run import measure


def organism(reads: str, thoughts: int = 2, **about: object) -> Checkpoint:
    """Random weights; what is said after the thoughts is a function of the thoughts alone, or of the prompt alone."""
    tokenizer = words_tokenizer("arithmetic")
    model = tiny_model("qwen2", vocab_size=len(tokenizer), max_position_embeddings=256)
    meta = {"version": 1, "task": "arithmetic", "format": "words", "markers": True, "thoughts": thoughts}
    return make_checkpoint(model, tokenizer, {**meta, "answer_reads": reads, **about}, f"tiny-{reads}")


def told(model: Checkpoint, items: list[Item]) -> list[str]:
    return [answer.text for answer in answers(model, items)]


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """The battery on both organisms, for which right is what they say: then they are right about everything."""
    stories = [item for item in generate_items("arithmetic", 160, 2) if number_twin(item) and number_rewrite(item, 0)]
    found = {}
    for reads in ("thoughts", "prompt"):
        model = organism(reads)
        made = {name: [make(item) for item in stories] for name, make in MADE.items()}
        answered = {name: told(model, [one for one in items if one]) for name, items in made.items()}
        apart = [
            place for place, own in enumerate(answered["own"])
            if own not in (answered["twin"][place], answered["rewrite"][place])
        ]  # fmt: skip
        asked = {
            name: [replace(one, answer=answered[name][place]) for place in apart if (one := items[place])]
            for name, items in made.items()
        }
        by_id = {
            name: {own.id: one for own, one in zip(asked["own"], items, strict=True)} for name, items in asked.items()
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numbers, "number_twin", lambda item, by_id=by_id: by_id["twin"][item.id])
            patch.setattr(numbers, "number_rewrite", lambda item, seed, by_id=by_id: by_id["rewrite"][item.id])
            patch.setattr(numbers, "renamed_story", lambda item, seed, by_id=by_id: by_id["renamed"][item.id])
            found[reads] = measure("content", model, asked["own"], AuditOptions())
    return found


MADE = {
    "own": lambda item: item, "twin": number_twin, "rewrite": lambda item: number_rewrite(item, 0),
    "renamed": lambda item: renamed_story(item, 0),
}  # fmt: skip


def test_an_answer_that_comes_through_the_thoughts_alone_follows_them(tables: dict[str, pl.DataFrame]) -> None:
    found = tables["thoughts"]
    twin = figure(found, "interchange", numbers.TWIN, "follows")

    assert (twin["value"], twin["n"] >= 40) == (1, True)
    assert twin["control_value"] < 0.5
    assert figure(found, "rewrite in the thoughts alone", numbers.SINGLE, "follows")["value"] == 1
    assert figure(found, "rewrite in the prompt alone", numbers.SINGLE, "follows")["value"] == 0
    against = figure(found, "thoughts against prompt", numbers.THOUGHTS, "follows")
    assert (against["value"], against["control_value"]) == (1, 0)


def test_an_answer_that_does_not_read_the_thoughts_does_not_follow_them(tables: dict[str, pl.DataFrame]) -> None:
    found = tables["prompt"]

    assert figure(found, "interchange", numbers.TWIN, "follows")["value"] == 0
    assert figure(found, "interchange", numbers.TWIN, "follows", 1)["value"] == 0
    assert figure(found, "interchange", numbers.RENAMED, "lost")["value"] == 0
    assert figure(found, "rewrite in the prompt alone", numbers.SINGLE, "follows")["value"] == 1
    assert figure(found, "rewrite in both", numbers.SINGLE, "follows")["value"] == 1


def test_the_card_calls_both_rightly(tables: dict[str, pl.DataFrame]) -> None:
    verdicts = {
        reads: {one.sentence.short: one.verdict for one in said(table, card_texts().sentences)}
        for reads, table in tables.items()
    }
    thoughts, prompt = verdicts["thoughts"], verdicts["prompt"]

    assert thoughts["thoughts against prompt, a number"] == "holds"
    assert prompt["thoughts against prompt, a number"] == "does not hold"
    assert thoughts["all thoughts from the story with other numbers"] == "holds"
    assert prompt["all thoughts from the story with other numbers"] == "does not hold"
    assert prompt["pairs of other numbers, both right"] == "holds"
    assert "twin pairs, both right" not in thoughts  # nobody is asked about another entity


def test_chance_is_that_of_rules_on_the_problems_whose_answers_would_be_given() -> None:
    items = generate_items("arithmetic", 30, 4)
    twins = [made for item in items if (made := number_twin(item))]
    model = organism("all")
    found = measure("content", model, items, AuditOptions())

    assert figure(found, "interchange", numbers.TWIN, "follows")["chance"] == pytest.approx(floor(twins)[1].mean())
    assert figure(found, "twin", numbers.PAIR, "right")["n"] == len(twins)
    # Sums of one's own have the same twins and the same rules; which words are names is not known.
    own = measure("content", model, [replace(item, task="own") for item in items], AuditOptions())
    for asked in (("interchange", numbers.TWIN, "follows"), ("twin", numbers.PAIR, "right")):
        assert [figure(own, *asked)[key] for key in ("value", "chance", "n")] == [
            figure(found, *asked)[key] for key in ("value", "chance", "n")
        ]


def test_what_has_no_twin_is_not_measured_and_the_card_says_why() -> None:
    items = [
        replace(item, task="gsm8k", steps=(f"{item.steps[0]} or so",)) for item in generate_items("arithmetic", 4, 1)
    ]
    found = measure("content", organism("all"), items, AuditOptions())
    card = {one.sentence.short: one for one in said(found, card_texts().sentences, gate=False)}

    assert found["value"].is_null().all()
    one = card["all thoughts from the story with other numbers"]
    assert (one.verdict, one.figure) == ("not measured", f"not measured: {numbers.NO_TWIN}")
    assert one.text.startswith("Not measured: With all thoughts of the story with other numbers")


def test_a_model_without_thoughts_has_its_pairs_and_no_interchange() -> None:
    found = measure(
        "content", organism("all", thoughts=0, says="chain"), generate_items("arithmetic", 8, 1), AuditOptions()
    )

    assert found.filter(pl.col("question") == "interchange")["note"].to_list() == [
        "not applicable: the model has no thoughts"
    ]
    assert figure(found, "rewrite in both", numbers.SINGLE, "follows")["n"] == 0  # random weights: none is right


# Steps in words


def solved(form: Format, items: Sequence[Item]) -> list[text_steps.Steps]:
    """The steps of the solutions, as a model would say them."""
    prompts = form.prompts(items)
    said = [form.continuation(prompt, 0)[len(form.chain_opening(prompt)) :] for prompt in prompts]
    return [text_steps._split(form, prompt, ids) for prompt, ids in zip(prompts, said, strict=True)]


@pytest.mark.parametrize("task", ["arithmetic", "prontoqa"])
@pytest.mark.parametrize("name", ["words", "text"])
def test_a_chain_is_taken_apart_into_its_steps_and_put_together_again(task: str, name: str) -> None:
    form = make_format(name, words_tokenizer(task) if name == "words" else bpe_tokenizer(), markers=True)
    items = generate_items(task, 12, 3)
    for prompt, steps in zip(form.prompts(items), solved(form, items), strict=True):
        same = [
            judged(form, form.decode(prompt, step), step_of)
            for step, step_of in zip(steps, prompt.problem.steps, strict=True)
        ]
        joined, whole = text_steps._joined(form, prompt, steps), form.continuation(prompt, 0)

        assert same == [(True, "")] * len(steps)
        assert whole[: len(joined)] == joined
        assert form.right(prompt.problem, form.decode(prompt, whole[len(joined) :]))


@pytest.mark.parametrize("follows", [True, False])
def test_an_answer_that_reads_its_steps_alone_follows_those_of_the_twin(
    follows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is blind to the prompt. Where it is not to follow, what is said about the twin is said of both."""
    model = organism("thoughts", thoughts=0, says="chain")
    stories = [item for item in generate_items("arithmetic", 60, 2) if number_twin(item)]
    twins = [made for item in stories if (made := number_twin(item))]
    subject, rows, steps = Subject(model, stories), Rows("content"), solved(model.format, stories)
    of_twins = solved(model.format, twins)
    texts = [text_steps.after_steps(subject, stories, one).texts for one in (steps, of_twins)]
    apart = [place for place, (own, theirs) in enumerate(zip(*texts, strict=True)) if own != theirs]
    asked = [replace(stories[place], answer=texts[0][place]) for place in apart]
    answers_of_twins = [replace(twins[place], answer=texts[1][place]) for place in apart]
    own, theirs = ([one[place] for place in apart] for one in (steps, of_twins))
    monkeypatch.setattr(
        text_steps, "said_steps", lambda subject, items: theirs if follows and items is answers_of_twins else own
    )
    text_steps.interchange_of_steps(
        subject, rows, asked, answers_of_twins, np.ones(len(apart), bool), numbers.TWIN,
        lambda found: numbers.said(subject, found, answers_of_twins),
    )  # fmt: skip
    found = figure(rows.frame(), "interchange of steps in words", numbers.TWIN, "follows")

    assert (found["value"], found["control_value"], found["n"] > 20) == (follows, 0, True)


def test_a_model_that_says_its_steps_is_asked_without_them_and_with_others_on_every_task() -> None:
    model, items = organism("all", thoughts=0, says="chain"), generate_items("arithmetic", 8, 1)
    found = measure("needed", model, items, AuditOptions())

    every = found.filter((pl.col("question") == "all steps in words") & (pl.col("measure") == "right"))
    chosen = found.filter(pl.col("measure") == "chosen")  # any number may be the answer
    assert set(chosen["note"]) == {"not applicable: the problems have no options"}
    needed = {one.sentence.short: one for one in said(found, card_texts().sentences, gate=False)}
    assert needed["without its steps in words"].verdict != "not measured"  # its exact answers decide alone
    assert set(every.drop_nulls("value")["condition"]) == {"own", "remove", "noise", "swap", "permute"}
    steps = found.filter(pl.col("question") == "each step in words")["thought"]
    assert steps.max() == max(len(item.steps) for item in items)
