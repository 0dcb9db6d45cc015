"""Where training by rows starts: from scratch, from a pre-trained model, from another run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import chain, tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.files import save_problems
from workbench.train.config import ModelConfig, RowsConfig, TrainConfig
from workbench.train.data import draw_items, draw_validation, start

CONFIG = TrainConfig(task="arithmetic", model=ModelConfig(32, 1, 2, 48), rows=RowsConfig(count=20))


def pretrained(directory: Path) -> str:
    """Save a model that has never had a thought."""
    tokenizer = bpe_tokenizer(markers=False)
    tiny_model("gpt2", vocab_size=len(tokenizer), pad_token_id=None).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def test_from_scratch_it_knows_the_words_of_the_task() -> None:
    made = start(CONFIG)
    assert (made.format.name, made.format.markers, made.thoughts, made.says) == ("words", True, 6, "answer")
    assert made.format.prompts(list(draw_items(CONFIG)))
    again, other = start(CONFIG), start(replace(CONFIG, seed=1))
    weights = [next(iter(m.model.parameters())) for m in (made, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("cot", {"thoughts": 0, "markers": False, "says": "chain", "fed": "hidden"}),
        ("no_cot", {"thoughts": 0, "markers": False, "says": "answer", "fed": "hidden"}),
        ("pause_token", {"thoughts": 6, "markers": True, "says": "answer", "fed": "pause"}),
        ("coconut_two", {"thoughts": 12, "thoughts_per_step": 2, "says": "answer", "fed": "hidden"}),
    ],
)
def test_a_checkpoint_says_what_its_method_feeds_and_says(method: str, fields: dict[str, object]) -> None:
    meta = start(replace(CONFIG, method=method)).meta
    assert {name: meta[name] for name in fields} == fields
    assert (meta["method"], meta["task"]) == (method, "arithmetic")


def test_sentences_of_prosqa_need_a_pretrained_model() -> None:
    with pytest.raises(WorkbenchError, match="not trained from scratch"):
        start(replace(CONFIG, task="prosqa"))


def test_a_pretrained_model_gets_its_markers_and_goes_on_with_another_method(tmp_path: Path) -> None:
    config = replace(CONFIG, task="prosqa", start=pretrained(tmp_path / "base"), method="cot")
    first = start(config)
    assert (first.format.name, first.format.markers, first.thoughts) == ("text", False, 0)
    assert first.format.prompts([chain(0, 2)])
    save_checkpoint(first, tmp_path / "run" / "model")
    second = start(replace(config, start=str(tmp_path / "run"), method="coconut"))
    assert (second.format.markers, second.thoughts, second.says) == (True, 6, "answer")
    for (name, weight), before in zip(second.model.named_parameters(), first.model.parameters(), strict=True):
        torch.testing.assert_close(weight, before, msg=name)


def test_a_damaged_pretrained_model_is_refused(tmp_path: Path) -> None:
    base = pretrained(tmp_path / "base")
    (tmp_path / "base" / "config.json").write_text("{}")
    with pytest.raises(WorkbenchError, match="cannot be read"):
        start(replace(CONFIG, task="prosqa", start=base))


def test_problems_come_from_a_file_or_are_generated_and_none_is_watched_that_is_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    save_problems([chain(number, 2) for number in range(3)], path)
    config = replace(CONFIG, task="prosqa", rows=RowsConfig(problems=str(path), validation=str(path)))
    assert [len(draw_items(config)), len(draw_validation(config, 2))] == [3, 2]
    for task in ("prosqa", "prontoqa", "arithmetic"):
        config = replace(CONFIG, task=task)
        trained, watched = (
            {item.question for item in items} for items in (draw_items(config), draw_validation(config, 5))
        )
        assert len(watched) == 5
        assert not trained & watched
