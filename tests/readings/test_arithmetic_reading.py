"""Values of steps in thoughts: against the LM head by hand, beside another item's thoughts."""

from itertools import islice
from typing import Any

import polars as pl
import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.figures.layers import OTHER, step_values
from workbench.model.checkpoint import Checkpoint, make_checkpoint
from workbench.model.coconut import collate, forward
from workbench.model.formats import words_tokenizer
from workbench.problems.arithmetic import arithmetic_items
from workbench.problems.problem import Item
from workbench.readings import find_reading
from workbench.readings.arithmetic import arithmetic_frame, record_items
from workbench.train.config import ModelConfig
from workbench.train.init import build_model


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    tokenizer = words_tokenizer("arithmetic")
    model = build_model(ModelConfig(width=32, heads=2, mlp_width=32), seed=0, max_positions=256, tokenizer=tokenizer)
    meta: dict[str, object] = {"version": 1, "task": "arithmetic", "format": "words", "thoughts": 2}
    return make_checkpoint(model.eval(), tokenizer, meta, "tiny-arithmetic")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    drawn = islice(arithmetic_items("a", operations=(2, 3)), 4)
    return [Item(f"item-{n}", i.question, i.answer, i.steps, i.task, i.values) for n, i in enumerate(drawn)]


@torch.no_grad()
def test_a_value_has_the_probability_that_the_plain_model_gives_it(checkpoint: Checkpoint, items: list[Item]) -> None:
    table = arithmetic_frame(record_items(checkpoint, items, batch_size=3))
    form = checkpoint.format
    for item, prompt in zip(items, form.prompts(items), strict=True):
        rows = collate([prompt.ids], [2], [()], pad=form.pad, thought=form.marker.thought)
        logits = forward(checkpoint.model, rows.ids, rows.is_thought, rows.mask).logits[0]
        for step, value in enumerate(item.values, 1):
            token = checkpoint.tokenizer.convert_tokens_to_ids(value)
            for k in (1, 2):
                share = logits[len(prompt.ids) + k - 2].softmax(-1)  # thought k is the state before its column
                (row,) = table.filter(problem=item.id, step=step, thought=k).to_dicts()
                assert row["raw"] == pytest.approx(float(share[token]), abs=1e-5)
                assert row["rank"] == int((share > share[token]).sum()) + 1
                assert row["value"] == value


def test_other_items_and_controls_stand_beside(checkpoint: Checkpoint, items: list[Item]) -> None:
    table = find_reading("arithmetic").frame(record_items(checkpoint, items, controls=["shuffled", "untrained"]))
    own, shuffled = (table.filter(run=label) for label in ("model", "shuffled"))

    # With the thoughts of the other item fed, what is read in thought 1 is what the model reads there.
    first = (pl.col("thought") == 1, pl.col("step") == 1)
    assert shuffled.filter(*first)["raw"].to_list() == pytest.approx(own.filter(*first)["other"].to_list(), abs=1e-5)
    assert set(table["run"]) == {"model", "shuffled", "untrained"}
    drawn: Any = step_values(table)
    assert len(drawn.data) == 4
    assert drawn.to_dict()["layout"]["annotations"][-1]["text"].replace("<br>", " ") == OTHER
    assert "at most" in drawn["layout"]["meta"]["alt"]


BARE = Item("bare", "How many?", "3", (), "gsm8k")


def test_items_without_values_are_left_out_and_counted(checkpoint: Checkpoint, items: list[Item]) -> None:
    recorded = record_items(checkpoint, [BARE, *items], controls=["untrained"], batch_size=1)
    whole, table = arithmetic_frame(record_items(checkpoint, items, batch_size=1)), arithmetic_frame(recorded)
    counted = table.select("items", "left_out").unique().rows()
    raw = [one.filter(run="model").select("problem", "thought", "step", "raw", "other") for one in (whole, table)]

    assert counted == [(5, 1)]
    assert whole.select("items", "left_out").unique().rows() == [(4, 0)]
    # The others' rows and their chance level are those of the set without it.
    for column in ("raw", "other"):
        assert raw[1][column].to_list() == pytest.approx(raw[0][column].to_list(), abs=1e-6)
    told = [str(step_values(one).to_dict()["layout"]["title"]["subtitle"]["text"]) for one in (whole, table)]
    assert "left out" not in told[0]
    assert "1 of 5 problems left out: no values of steps" in told[1]


def test_a_set_without_values_says_why_there_is_no_matrix(checkpoint: Checkpoint, items: list[Item]) -> None:
    with pytest.raises(WorkbenchError) as none:
        arithmetic_frame(record_items(checkpoint, [BARE, BARE]))
    with pytest.raises(WorkbenchError) as one:
        arithmetic_frame(record_items(checkpoint, [BARE, items[0]]))

    assert "The set has 2 items, and none has values of its steps." in str(none.value)
    assert "Of 2 items only item-0 has values of its steps." in str(one.value)
