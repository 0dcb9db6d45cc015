"""What a run begins with: random weights, a pre-trained model, another run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import chain, tiny, tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import save_checkpoint
from workbench.train.config import ModelConfig, RowsConfig, TrainConfig, notes, save_config
from workbench.train.init import begin
from workbench.train.launch import slow_products, train_command
from workbench.train.text import training_problems

CONFIG = TrainConfig(task="arithmetic", model=ModelConfig(32, 1, 2, 48), rows=RowsConfig(count=20))
GIVEN = replace(CONFIG, task="prosqa", model=ModelConfig())


def pretrained(directory: Path) -> str:
    """Save a model that has never had a thought."""
    tokenizer = bpe_tokenizer(markers=False)
    tiny_model("gpt2", vocab_size=len(tokenizer), pad_token_id=None).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def test_a_new_model_knows_the_words_of_the_task() -> None:
    made = begin(CONFIG)
    assert (made.format.name, made.format.markers, made.thoughts, made.says) == ("words", True, 6, "answer")
    assert made.format.prompts(list(training_problems(CONFIG)))
    again, other = begin(CONFIG), begin(replace(CONFIG, seed=1))
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
    meta = begin(replace(CONFIG, method=method)).meta
    assert {name: meta[name] for name in fields} == fields
    assert (meta["method"], meta["task"]) == (method, "arithmetic")


def test_sentences_of_prosqa_need_a_pretrained_model() -> None:
    with pytest.raises(WorkbenchError, match="not trained from scratch"):
        begin(GIVEN)


def test_a_pretrained_model_gets_its_markers_and_goes_on_with_another_method(tmp_path: Path) -> None:
    config = replace(GIVEN, start=pretrained(tmp_path / "base"), method="cot")
    first = begin(config)
    assert (first.format.name, first.format.markers, first.thoughts) == ("text", False, 0)
    assert first.format.prompts([chain(0, 2)])
    save_checkpoint(first, tmp_path / "run" / "model")
    second = begin(replace(config, start=str(tmp_path / "run"), method="coconut_next_node"))
    assert (second.format.markers, second.thoughts, second.says) == (True, 6, "answer")
    for (name, weight), before in zip(second.model.named_parameters(), first.model.parameters(), strict=True):
        torch.testing.assert_close(weight, before, msg=name)
    with pytest.raises(WorkbenchError, match="does not read the edges format"):
        begin(replace(config, start=str(tmp_path / "run"), task="edges"))


def test_a_damaged_pretrained_model_is_refused(tmp_path: Path) -> None:
    base = pretrained(tmp_path / "base")
    (tmp_path / "base" / "config.json").write_text("{}")
    with pytest.raises(WorkbenchError, match="model_type is None"):
        begin(replace(GIVEN, start=base))


def test_a_start_that_is_not_there_or_has_other_sizes_leaves_no_run_behind(tmp_path: Path) -> None:
    save_checkpoint(tiny(), tmp_path / "held")
    same = ModelConfig(width=32, layers=2, heads=4, mlp_width=48)
    assert begin(replace(CONFIG, task="edges", start=str(tmp_path / "held"), model=same)).thoughts == 6
    path, out = tmp_path / "one.yaml", tmp_path / "run"
    for start, message in (
        (tmp_path / "nothing" / "here", "There is no checkpoint"),
        (tmp_path / "held", "do not agree"),
    ):
        save_config(replace(CONFIG, task="edges", start=str(start)), path)
        with pytest.raises(WorkbenchError, match=message):
            train_command(path, out)
        assert not out.exists()


def test_a_missing_start_names_the_configuration_that_makes_it(tmp_path: Path) -> None:
    save_config(CONFIG, tmp_path / "words-four.yaml")
    save_config(replace(CONFIG, start="runs/words-four"), tmp_path / "last.yaml")
    with pytest.raises(WorkbenchError) as caught:
        train_command(tmp_path / "last.yaml", tmp_path / "run")
    assert f"{tmp_path / 'words-four.yaml'} makes it" in caught.value.why
    assert "--out runs/words-four" in caught.value.do


def test_products_that_are_slow_in_bf16_are_noted_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {torch.float32: 1.0, torch.bfloat16: 40.0}
    monkeypatch.setattr("workbench.train.launch._seconds_of_a_product", seconds.get)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (said,) = slow_products("bf16")
    assert "40 times as long" in said
    assert "precision: fp32" in said
    assert slow_products("fp32") == []
    seconds[torch.bfloat16] = 0.4
    assert slow_products("bf16") == []


def test_a_method_that_asks_for_a_graph_is_noted_where_there_is_none() -> None:
    assert "no graph" in notes(CONFIG)[0]
    assert notes(replace(CONFIG, method="coconut_words")) == notes(GIVEN) == []


@pytest.mark.parametrize("layers", [2, 3])
def test_a_larger_model_computes_the_same_and_all_of_it_learns(tmp_path: Path, layers: int) -> None:
    model = ModelConfig(width=32, layers=2, heads=4, mlp_width=48)
    config = replace(CONFIG, task="edges", method="coconut_words", model=model)
    small = begin(config)
    with torch.no_grad():
        for weight in small.model.parameters():  # gains and biases too are not what a new model has
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.05)
    save_checkpoint(small, tmp_path / "run" / "model", torch.float32)
    wide = replace(
        config, start=str(tmp_path / "run"), model=ModelConfig(width=48, layers=layers, heads=6, mlp_width=100)
    )
    grown = begin(wide)
    assert grown.model.config.hidden_size == 48
    ids = torch.arange(3, 23)[None]
    before, after = (one.model(ids, output_hidden_states=True) for one in (small, grown))
    torch.testing.assert_close(after.logits, before.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.hidden_states[-1][..., :32], before.hidden_states[-1], atol=1e-4, rtol=1e-4)
    assert not after.hidden_states[-1][..., 32:].any()
    optimizer = torch.optim.SGD(grown.model.parameters(), lr=0.1)
    start = {name: weight.detach().clone() for name, weight in grown.model.named_parameters()}
    for _ in range(4):
        optimizer.zero_grad()
        grown.model(ids, labels=ids).loss.backward()
        optimizer.step()
    for name, weight in grown.model.named_parameters():
        last = weight[-1] if "bias" not in name else weight
        assert not torch.equal(last, start[name][-1] if "bias" not in name else start[name]), name


@pytest.mark.parametrize("sizes", [(32, 1, 4, 48), (48, 2, 4, 48), (16, 2, 2, 48), (48, 2, 6, 40)])
def test_what_cannot_be_made_larger_is_refused(tmp_path: Path, sizes: tuple[int, int, int, int]) -> None:
    save_checkpoint(tiny(), tmp_path / "held")
    with pytest.raises(WorkbenchError, match="do not agree"):
        begin(replace(CONFIG, task="edges", start=str(tmp_path / "held"), model=ModelConfig(*sizes)))
